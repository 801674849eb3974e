//! The words of an ip(8) command line, which are not those of other commands: options of several
//! letters after one hyphen, and objects that may be shortened.

use std::net::{IpAddr, Ipv4Addr};

use super::{Format, Options, links, neighbours, routes};
use crate::cli::ip::IpArgs;
use crate::failure::Failure;

/// What `tapping ip help` prints.
pub const HELP: &str = "\
Usage: tapping ip [OPTIONS] OBJECT [show] [SELECTION]
Objects: address, link, neighbour, route; the first letters will do
Options: -s[tatistics] -br[ief] -o[neline] -d[etails] -j[son] -p[retty] -4 --stack NAME|PID|PATH
Selection:
  address, link   [dev] NAME, up
  route           [to] PREFIX, table main|local|all, dev NAME, via ADDRESS, proto PROTOCOL,
                  scope SCOPE, type TYPE
  neighbour       [to] PREFIX, dev NAME, nud STATE
";

/// Words for the states of neighbours.
const NUD: [&str; 7] =
    ["INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "PERMANENT"];

/// A command line that makes sense.
#[derive(Debug)]
pub struct Asked {
    pub options: Options,
    pub stack: Option<String>,
    pub what: What,
}

/// What to list.
#[derive(Debug)]
pub enum What {
    Links(links::Wanted),
    Routes(routes::Wanted),
    Neighbours(neighbours::Wanted),
}

impl What {
    /// The link that is asked for by name.
    pub fn dev(&self) -> Option<&str> {
        match self {
            What::Links(wanted) => wanted.dev.as_deref(),
            What::Routes(wanted) => wanted.dev.as_deref(),
            What::Neighbours(wanted) => wanted.dev.as_deref(),
        }
    }
}

fn wrong(what: std::fmt::Arguments<'_>) -> Failure {
    Failure::new(format_args!("ip: {what}"))
}

/// Reads the words; `None` is a request for help.
pub fn parse(args: &IpArgs) -> Result<Option<Asked>, Failure> {
    let mut words = Words { words: &args.words, at: 0 };
    let mut flags = Flags { stack: args.stack.clone(), ..Flags::default() };
    while let Some(word) = words.peek().filter(|word| word.starts_with('-')) {
        words.at += 1;
        if flags.take(word, &mut words)? {
            return Ok(None);
        }
    }
    let Some(object) = words.next() else {
        return Err(wrong(format_args!("which object? address, link, neighbour or route")));
    };
    let is = |name: &str| !object.is_empty() && name.starts_with(object);
    let asked = |what| Asked { options: flags.options(), stack: flags.stack.clone(), what };
    if object == "help" {
        return Ok(None);
    }
    // In the order in which iproute2 lets shortened names be.
    let parsed = if is("address") {
        links(&mut words, true).map(What::Links)
    } else if is("route") {
        routes(&mut words).map(What::Routes)
    } else if is("link") {
        links(&mut words, false).map(What::Links)
    } else if is("neighbor") || is("neighbour") {
        neighbours(&mut words).map(What::Neighbours)
    } else {
        return Err(wrong(format_args!("object {object:?} is unknown, try \"tapping ip help\"")));
    };
    parsed.map(|what| Some(asked(what)))
}

/// What options have said.
#[derive(Debug, Default)]
struct Flags {
    stack: Option<String>,
    statistics: u8,
    brief: bool,
    oneline: bool,
    details: bool,
    json: bool,
    pretty: bool,
    ipv4: bool,
}

impl Flags {
    /// Takes an option; `true` when it is help that is wanted.
    fn take(&mut self, word: &str, words: &mut Words<'_>) -> Result<bool, Failure> {
        let name = word.trim_start_matches('-');
        let is = |long: &str| !name.is_empty() && long.starts_with(name);
        match name {
            "stack" => self.stack = Some(words.value("stack")?.to_string()),
            "4" => self.ipv4 = true,
            "br" | "bri" | "brie" | "brief" => self.brief = true,
            "V" | "h" => return Ok(true),
            _ if is("statistics") || is("stats") => {
                self.statistics = self.statistics.saturating_add(1);
            }
            _ if is("details") => self.details = true,
            _ if is("oneline") => self.oneline = true,
            _ if is("json") => self.json = true,
            _ if is("pretty") => self.pretty = true,
            _ if is("help") => return Ok(true),
            _ => {
                let what = format_args!("option {word:?} is unknown, try \"tapping ip help\"");
                return Err(wrong(what));
            }
        }
        Ok(false)
    }

    fn options(&self) -> Options {
        let format = match self {
            Flags { json: true, brief, pretty, .. } => {
                Format::Json { brief: *brief, pretty: *pretty }
            }
            Flags { brief: true, .. } => Format::Brief,
            Flags { oneline: true, .. } => Format::Oneline,
            _ => Format::Full,
        };
        let Flags { statistics, details, ipv4, .. } = *self;
        Options { format, statistics, details, ipv4 }
    }
}

struct Words<'a> {
    words: &'a [String],
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn value(&mut self, of: &str) -> Result<&'a str, Failure> {
        self.next().ok_or_else(|| wrong(format_args!("{of:?} wants a value")))
    }

    /// Passes over the word for listing; there is no other.
    fn skip_show(&mut self) -> Result<(), Failure> {
        match self.peek() {
            Some("show" | "sh" | "s" | "list" | "lst" | "ls" | "l") => self.at += 1,
            Some("add" | "del" | "delete" | "change" | "replace" | "set" | "flush" | "get") => {
                return Err(wrong(format_args!("only what there is can be shown")));
            }
            _ => {}
        }
        Ok(())
    }
}

fn links(words: &mut Words<'_>, addresses: bool) -> Result<links::Wanted, Failure> {
    words.skip_show()?;
    let mut wanted = links::Wanted { addresses, ..links::Wanted::default() };
    while let Some(word) = words.next() {
        match word {
            "up" => wanted.up = true,
            "dev" => wanted.dev = Some(words.value("dev")?.to_string()),
            name if wanted.dev.is_none() => wanted.dev = Some(name.to_string()),
            other => return Err(wrong(format_args!("what is {other:?}?"))),
        }
    }
    Ok(wanted)
}

fn routes(words: &mut Words<'_>) -> Result<routes::Wanted, Failure> {
    words.skip_show()?;
    let mut wanted = routes::Wanted::default();
    while let Some(word) = words.next() {
        match word {
            "table" | "t" => {
                let table = words.value("table")?;
                wanted.table = match table {
                    "all" | "0" => None,
                    "main" | "254" => Some("main".into()),
                    "local" | "255" => Some("local".into()),
                    _ => return Err(wrong(format_args!("{table:?} is no table here"))),
                };
            }
            "dev" | "oif" => wanted.dev = Some(words.value(word)?.to_string()),
            "via" => wanted.gateway = Some(address(words.value("via")?)?),
            "proto" | "protocol" => wanted.protocol = Some(words.value(word)?.to_string()),
            "scope" => wanted.scope = Some(words.value("scope")?.to_string()),
            "type" => wanted.kind = Some(words.value("type")?.to_string()),
            kind @ ("unicast" | "local" | "broadcast" | "blackhole" | "unreachable"
            | "prohibit") => wanted.kind = Some(kind.to_string()),
            "to" | "exact" => wanted.prefix = Some(prefix(words.value(word)?)?),
            text => wanted.prefix = Some(prefix(text)?),
        }
    }
    Ok(wanted)
}

fn neighbours(words: &mut Words<'_>) -> Result<neighbours::Wanted, Failure> {
    words.skip_show()?;
    let mut wanted = neighbours::Wanted::default();
    while let Some(word) = words.next() {
        match word {
            "dev" => wanted.dev = Some(words.value("dev")?.to_string()),
            "nud" => {
                let state = words.value("nud")?.to_uppercase();
                if state != "ALL" && !NUD.contains(&state.as_str()) {
                    return Err(wrong(format_args!("{state:?} is no state of a neighbour")));
                }
                wanted.state = (state != "ALL").then_some(state);
            }
            "to" => wanted.prefix = Some(prefix(words.value("to")?)?),
            text => wanted.prefix = Some(prefix(text)?),
        }
    }
    Ok(wanted)
}

fn address(text: &str) -> Result<IpAddr, Failure> {
    let parsed = text.parse::<Ipv4Addr>().map(IpAddr::V4);
    parsed.map_err(|_| wrong(format_args!("{text:?} is no IPv4 address")))
}

fn prefix(text: &str) -> Result<(IpAddr, u8), Failure> {
    if text == "default" {
        return Ok((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
    }
    let (start, len) = text.split_once('/').unwrap_or((text, "32"));
    let len = len.parse::<u8>().ok().filter(|len| *len <= 32);
    match (start.parse::<Ipv4Addr>(), len) {
        (Ok(start), Some(len)) => Ok((IpAddr::V4(start), len)),
        _ => Err(wrong(format_args!("{text:?} is no IPv4 prefix"))),
    }
}
