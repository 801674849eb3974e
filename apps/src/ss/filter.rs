//! ss's filters: states, and expressions over addresses and ports.
//!
//! ```text
//! filter     = { ("state" | "exclude") STATE } [ expression ]
//! expression = term { ("or" | "|" | "||") term }
//! term       = factor { [ "and" | "&" | "&&" ] factor }
//! factor     = ("not" | "!") factor | "(" expression ")" | condition
//! condition  = ("src" | "dst") [ OP ] ADDRESS[/LEN][:PORT]
//!            | ("sport" | "dport") OP [:]PORT | "dev" OP NAME | "fwmark" OP NUMBER[/MASK]
//! ```

use std::net::Ipv4Addr;

use super::ports::Ports;
use crate::control::model::Socket;
use crate::failure::Failure;

/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 64;

/// Linux's numbers of the states, as bits.
pub const LISTEN: u32 = 1 << 10;
pub const CLOSED: u32 = 1 << 7;
const ESTABLISHED: u32 = 1 << 1;
const SYN_SENT: u32 = 1 << 2;
const SYN_RECV: u32 = 1 << 3;
const TIME_WAIT: u32 = 1 << 6;
pub const ALL: u32 = (1 << 12) - 2;
const CONNECTED: u32 = ALL & !(LISTEN | CLOSED);
/// What is shown unless asked otherwise: connections that last.
pub const USUAL: u32 = CONNECTED & !(TIME_WAIT | SYN_RECV);

/// Names of states and of groups of them.
const STATES: [(&str, u32); 19] = [
    ("all", ALL),
    ("connected", CONNECTED),
    ("synchronized", CONNECTED & !SYN_SENT),
    ("bucket", SYN_RECV | TIME_WAIT),
    ("big", ALL & !(SYN_RECV | TIME_WAIT)),
    ("established", ESTABLISHED),
    ("syn-sent", SYN_SENT),
    ("syn-recv", SYN_RECV),
    ("fin-wait-1", 1 << 4),
    ("fin-wait-2", 1 << 5),
    ("time-wait", TIME_WAIT),
    ("closed", CLOSED),
    ("unconnected", CLOSED),
    ("close", CLOSED),
    ("close-wait", 1 << 8),
    ("last-ack", 1 << 9),
    ("listening", LISTEN),
    ("listen", LISTEN),
    ("closing", 1 << 11),
];

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The states, if any are named.
    pub states: Option<u32>,
    pub expression: Option<Expression>,
}

/// A condition, or several.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    Or(Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Address { local: bool, equal: bool, host: Host },
    Port { local: bool, compare: Compare, port: u16 },
    Device { equal: bool, name: String },
    Mark { equal: bool, mark: u32, mask: u32 },
}

/// An address, a subnet, a port, or together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    pub address: Option<(Ipv4Addr, u8)>,
    pub port: Option<u16>,
}

/// How ports are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Expression {
    /// Whether a socket is meant.
    pub fn fits(&self, socket: &Socket) -> bool {
        let end = |local: bool| if local { socket.local } else { socket.peer };
        match self {
            Expression::Or(a, b) => a.fits(socket) || b.fits(socket),
            Expression::And(a, b) => a.fits(socket) && b.fits(socket),
            Expression::Not(inner) => !inner.fits(socket),
            Expression::Address { local, equal, host } => host.fits(end(*local)) == *equal,
            Expression::Port { local, compare, port } => compare.holds(end(*local).port(), *port),
            Expression::Device { equal, name } => (socket.dev.as_ref() == Some(name)) == *equal,
            Expression::Mark { equal, mark, mask } => (socket.mark & mask == *mark) == *equal,
        }
    }
}

impl Host {
    fn fits(&self, end: std::net::SocketAddr) -> bool {
        let in_subnet = self.address.is_none_or(|(network, len)| match end.ip() {
            std::net::IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                address.to_bits() & mask == network.to_bits() & mask
            }
            std::net::IpAddr::V6(_) => false,
        });
        in_subnet && self.port.is_none_or(|port| port == end.port())
    }
}

impl Compare {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "=" | "==" | "eq" => Compare::Equal,
            "!=" | "ne" | "neq" => Compare::NotEqual,
            "<" | "lt" => Compare::Less,
            "<=" | "le" | "leq" => Compare::LessEqual,
            ">" | "gt" => Compare::Greater,
            ">=" | "ge" | "geq" => Compare::GreaterEqual,
            _ => return None,
        })
    }

    fn holds(self, a: u16, b: u16) -> bool {
        match self {
            Compare::Equal => a == b,
            Compare::NotEqual => a != b,
            Compare::Less => a < b,
            Compare::LessEqual => a <= b,
            Compare::Greater => a > b,
            Compare::GreaterEqual => a >= b,
        }
    }
}

/// Reads a filter from the words of a command line.
pub fn parse(words: &[String], ports: &Ports) -> Result<Filter, Failure> {
    let words = split(words);
    let mut states = None;
    let mut at = 0;
    while let Some(word @ ("state" | "exclude" | "excl")) = words.get(at).map(String::as_str) {
        let Some(name) = words.get(at + 1) else {
            return Err(wrong(format_args!("{word:?} wants the name of a state")));
        };
        let known = STATES.iter().find(|(known, _)| known == name);
        let Some((_, bits)) = known else {
            return Err(wrong(format_args!("wrong state name: {name}")));
        };
        states = Some(match word {
            "state" => states.unwrap_or(0) | bits,
            _ => states.unwrap_or(ALL) & !bits,
        });
        at += 2;
    }
    if at == words.len() {
        return Ok(Filter { states, expression: None });
    }
    let mut parser = Parser { words: &words[at..], at: 0, depth: 0, ports };
    let expression = parser.expression()?;
    match parser.peek() {
        None => Ok(Filter { states, expression: Some(expression) }),
        Some(word) => Err(wrong(format_args!("{word:?} does not belong here"))),
    }
}

fn wrong(what: std::fmt::Arguments<'_>) -> Failure {
    Failure::new(format_args!("ss: {what}"))
}

/// Words at white space, and parentheses as words of their own.
fn split(words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for word in words.iter().flat_map(|word| word.split_whitespace()) {
        let mut rest = word;
        while let Some(at) = rest.find(['(', ')', '&', '|']) {
            let (before, from) = rest.split_at(at);
            let doubled = from.starts_with("&&") || from.starts_with("||");
            let (sign, after) = from.split_at(1 + usize::from(doubled));
            found
                .extend([before, sign].into_iter().filter(|part| !part.is_empty()).map(Into::into));
            rest = after;
        }
        if !rest.is_empty() {
            found.push(rest.to_string());
        }
    }
    found
}

struct Parser<'a> {
    words: &'a [String],
    at: usize,
    depth: usize,
    ports: &'a Ports,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self, wanted: &str) -> Result<String, Failure> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word.ok_or_else(|| wrong(format_args!("the filter ends where {wanted} should be")))
    }

    fn expression(&mut self) -> Result<Expression, Failure> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(wrong(format_args!("the filter is nested too deeply")));
        }
        let mut left = self.term()?;
        while matches!(self.peek(), Some("or" | "|" | "||")) {
            self.at += 1;
            left = Expression::Or(Box::new(left), Box::new(self.term()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn term(&mut self) -> Result<Expression, Failure> {
        let mut left = self.factor()?;
        loop {
            match self.peek() {
                Some("and" | "&" | "&&") => self.at += 1,
                None | Some("or" | "|" | "||" | ")") => return Ok(left),
                Some(_) => {}
            }
            left = Expression::And(Box::new(left), Box::new(self.factor()?));
        }
    }

    fn factor(&mut self) -> Result<Expression, Failure> {
        let mut negations = 0;
        while matches!(self.peek(), Some("not" | "!")) {
            self.at += 1;
            negations += 1;
        }
        let inner = if self.peek() == Some("(") {
            self.at += 1;
            let inner = self.expression()?;
            match self.next("a closing parenthesis")?.as_str() {
                ")" => inner,
                word => return Err(wrong(format_args!("{word:?} where ) should be"))),
            }
        } else {
            self.condition()?
        };
        Ok(if negations % 2 == 1 { Expression::Not(Box::new(inner)) } else { inner })
    }

    fn condition(&mut self) -> Result<Expression, Failure> {
        let word = self.next("a condition")?;
        match word.as_str() {
            "src" | "dst" => {
                let compare = self.peek().and_then(Compare::parse);
                let equal = match compare {
                    None => true,
                    Some(compare) => {
                        self.at += 1;
                        equality(compare)?
                    }
                };
                let host = self.next("an address")?;
                Ok(Expression::Address { local: word == "src", equal, host: self.host(&host)? })
            }
            "sport" | "dport" => {
                let compare = self.compare()?;
                let port = self.next("a port")?;
                let port = self.port(port.strip_prefix(':').unwrap_or(&port))?;
                Ok(Expression::Port { local: word == "sport", compare, port })
            }
            "dev" => {
                let equal = equality(self.compare()?)?;
                Ok(Expression::Device { equal, name: self.next("the name of a link")? })
            }
            "fwmark" => {
                let equal = equality(self.compare()?)?;
                let text = self.next("a mark")?;
                let (mark, mask) = text.split_once('/').unwrap_or((&text, "0xffffffff"));
                match (number(mark), number(mask)) {
                    (Some(mark), Some(mask)) => Ok(Expression::Mark { equal, mark, mask }),
                    _ => Err(wrong(format_args!("{text:?} is no mark"))),
                }
            }
            other => Err(wrong(format_args!(
                "{other:?} is no condition; there are src, dst, sport, dport, dev and fwmark"
            ))),
        }
    }

    fn compare(&mut self) -> Result<Compare, Failure> {
        let word = self.next("a comparison")?;
        Compare::parse(&word).ok_or_else(|| wrong(format_args!("{word:?} is no comparison")))
    }

    fn host(&self, text: &str) -> Result<Host, Failure> {
        let (address, port) = match text.rsplit_once(':') {
            Some((address, "*" | "")) => (address, None),
            Some((address, port)) => (address, Some(self.port(port)?)),
            None => (text, None),
        };
        if matches!(address, "" | "*") {
            return Ok(Host { address: None, port });
        }
        let (address, len) = address.split_once('/').unwrap_or((address, "32"));
        let len = len.parse::<u8>().ok().filter(|len| *len <= 32);
        match (address.parse::<Ipv4Addr>(), len) {
            (Ok(address), Some(len)) => Ok(Host { address: Some((address, len)), port }),
            _ => Err(wrong(format_args!("{text:?} is no IPv4 address, subnet or port"))),
        }
    }

    fn port(&self, text: &str) -> Result<u16, Failure> {
        let known = text.parse().ok().or_else(|| self.ports.number(text));
        known.ok_or_else(|| wrong(format_args!("{text:?} does not look like a port")))
    }
}

fn equality(compare: Compare) -> Result<bool, Failure> {
    match compare {
        Compare::Equal => Ok(true),
        Compare::NotEqual => Ok(false),
        _ => Err(wrong(format_args!("addresses, links and marks are equal or not"))),
    }
}

/// Decimal, or hexadecimal after 0x.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
