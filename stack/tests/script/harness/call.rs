//! Socket calls, in packetdrill's C or as short verbs.
//!
//! `write(4, ..., 1000) = 1000` and `write 1000` are the same call: a verb acts on the socket that
//! was opened, accepted or named last, and succeeds unless ` = ` says otherwise.

use tapping_stack::tcp::SendFlags;

use super::cursor::Cursor;

/// A call and what it should return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub op: Op,
    /// The socket; the one used last if `None`.
    pub fd: Option<i32>,
    pub expected: Expected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Whatever success is: all bytes sent, any descriptor, 0.
    Success,
    Value(i64),
    /// The name of an errno.
    Error(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Socket {
        udp: bool,
        non_blocking: bool,
    },
    Bind {
        port: Option<u16>,
    },
    Listen {
        backlog: usize,
    },
    Accept,
    Connect {
        port: Option<u16>,
    },
    /// Takes back what connect did.
    Disconnect,
    Send {
        len: usize,
        flags: SendFlags,
    },
    SendTo {
        len: usize,
    },
    Receive {
        len: usize,
        peek: bool,
    },
    /// The urgent byte.
    ReceiveUrgent {
        peek: bool,
    },
    Shutdown {
        read: bool,
        write: bool,
    },
    Close,
    Abort,
    Set {
        name: String,
        values: Vec<i64>,
        text: String,
    },
    Get {
        name: String,
        expected: String,
    },
    NonBlocking(bool),
    /// Event names that must be ready; none others of those asked for may be.
    Poll {
        events: Vec<String>,
        ready: Vec<String>,
    },
    /// Makes a socket the one used.
    Use,
    /// What state the connection must be in (RFC 9293 §3.3.2).
    State(String),
}

/// `name(arguments) = result`.
pub fn parse_call(text: &str) -> Result<Call, String> {
    let open = text.find('(').ok_or("a call has arguments")?;
    let close = closing(text, open).ok_or("the arguments do not end")?;
    let name = text[..open].trim();
    let arguments = split_arguments(&text[open + 1..close]);
    let expected = parse_result(&text[close + 1..])?;
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let number = |index: usize| -> Result<usize, String> {
        argument(index).parse().map_err(|_| format!("{:?} is no number", argument(index)))
    };
    let op = match name {
        "socket" => Op::Socket {
            udp: argument(1).contains("DGRAM"),
            non_blocking: argument(1).contains("SOCK_NONBLOCK"),
        },
        "bind" => Op::Bind { port: port(argument(1)) },
        "listen" => Op::Listen { backlog: number(1)? },
        "accept" | "accept4" => Op::Accept,
        "connect" if argument(1).contains("AF_UNSPEC") => Op::Disconnect,
        "connect" => Op::Connect { port: port(argument(1)) },
        "write" => Op::Send { len: number(2)?, flags: SendFlags::empty() },
        "send" => Op::Send { len: number(2)?, flags: send_flags(argument(3)) },
        "sendmsg" => Op::Send { len: vector_len(argument(1))?, flags: send_flags(argument(2)) },
        "ioctl" => {
            let expected = argument(2).trim_matches(['[', ']']).to_string();
            Op::Get { name: argument(1).into(), expected }
        }
        "sendto" => match argument(4) {
            "" | "NULL" => Op::Send { len: number(2)?, flags: send_flags(argument(3)) },
            _ => Op::SendTo { len: number(2)? },
        },
        "read" => Op::Receive { len: number(2)?, peek: false },
        "recv" | "recvfrom" if argument(3).contains("MSG_OOB") => {
            Op::ReceiveUrgent { peek: argument(3).contains("MSG_PEEK") }
        }
        "recv" | "recvfrom" => {
            Op::Receive { len: number(2)?, peek: argument(3).contains("MSG_PEEK") }
        }
        "shutdown" => shutdown(argument(1))?,
        "close" => Op::Close,
        "fcntl" if argument(1) == "F_SETFL" => Op::NonBlocking(argument(2).contains("O_NONBLOCK")),
        "fcntl" => Op::Use,
        "setsockopt" => set(argument(2), argument(3)),
        "getsockopt" => {
            let expected = argument(3).trim_matches(['[', ']']).to_string();
            Op::Get { name: argument(2).into(), expected }
        }
        "poll" => parse_poll(argument(0)),
        other => return Err(format!("no call is named {other}")),
    };
    let fd = match name {
        "socket" => None,
        "poll" => field(argument(0), "fd").and_then(|fd| fd.parse().ok()),
        _ => Some(number(0)? as i32),
    };
    // What fcntl(F_GETFL) and poll return says nothing that is not checked otherwise.
    let expected = match op {
        Op::Use | Op::Poll { .. } => Expected::Success,
        _ => expected,
    };
    Ok(Call { op, fd, expected })
}

/// `verb arguments [= result]`.
pub fn parse_verb(text: &str) -> Result<Call, String> {
    let (action, result) = match text.split_once(" = ") {
        Some((action, result)) => (action, Some(result)),
        None => (text, None),
    };
    let mut cursor = Cursor::new(action);
    let mut fd = None;
    let verb = cursor.word();
    let op = match verb {
        "socket" => Op::Socket { udp: cursor.word() == "udp", non_blocking: false },
        "bind" => Op::Bind { port: Some(cursor.number()?) },
        "listen" => Op::Listen { backlog: cursor.number()? },
        "accept" => Op::Accept,
        "connect" if cursor.rest().is_empty() => Op::Connect { port: None },
        "connect" => Op::Connect { port: Some(cursor.number()?) },
        "disconnect" => Op::Disconnect,
        "write" => {
            let len = cursor.number()?;
            let flags = send_flags(cursor.rest());
            cursor.skip(cursor.rest().len());
            Op::Send { len, flags }
        }
        "sendto" => Op::SendTo { len: cursor.number()? },
        "read" => Op::Receive { len: cursor.number()?, peek: false },
        "peek" => Op::Receive { len: cursor.number()?, peek: true },
        "urgent" => Op::ReceiveUrgent { peek: cursor.eat("peek") },
        "shutdown" => shutdown(cursor.word())?,
        "close" => Op::Close,
        "abort" => Op::Abort,
        "nonblocking" => Op::NonBlocking(true),
        "set" => {
            let name = cursor.word();
            let value = cursor.rest();
            cursor.skip(value.len());
            set(name, value)
        }
        "get" => {
            let expected = result.unwrap_or("0").trim().to_string();
            return Ok(Call {
                op: Op::Get { name: cursor.word().into(), expected },
                fd,
                expected: Expected::Success,
            });
        }
        "ready" => {
            let ready = cursor.rest().split_whitespace().map(str::to_string).collect();
            cursor.skip(cursor.rest().len());
            let all = ["POLLIN", "POLLPRI", "POLLOUT", "POLLERR", "POLLHUP", "POLLRDHUP"];
            Op::Poll { events: all.map(str::to_string).to_vec(), ready }
        }
        "use" => {
            fd = Some(cursor.number()?);
            Op::Use
        }
        "state" => Op::State(cursor.token().into()),
        other => return Err(format!("no verb is {other:?}")),
    };
    cursor.finish()?;
    let expected = match result {
        None => Expected::Success,
        Some(result) => parse_result(&format!("= {result}"))?,
    };
    Ok(Call { op, fd, expected })
}

fn shutdown(how: &str) -> Result<Op, String> {
    match how {
        "SHUT_RD" | "rd" => Ok(Op::Shutdown { read: true, write: false }),
        "SHUT_WR" | "wr" => Ok(Op::Shutdown { read: false, write: true }),
        "SHUT_RDWR" | "rdwr" => Ok(Op::Shutdown { read: true, write: true }),
        other => Err(format!("no way to shut down is {other:?}")),
    }
}

/// `MSG_MORE|MSG_EOR`, or `more eor`.
fn send_flags(text: &str) -> SendFlags {
    let words: Vec<_> =
        text.split(['|', ' ']).map(|word| word.trim_start_matches("MSG_").to_lowercase()).collect();
    let mut flags = SendFlags::empty();
    for (name, flag) in
        [("more", SendFlags::MORE), ("oob", SendFlags::URGENT), ("eor", SendFlags::END_OF_RECORD)]
    {
        flags.set(flag, words.iter().any(|word| word == name));
    }
    flags
}

fn set(name: &str, value: &str) -> Op {
    let numbers = value.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let values = numbers.filter_map(|word| word.parse().ok()).collect();
    let text = value.trim_matches(['[', ']', '"', ' ']).to_string();
    Op::Set { name: name.into(), values, text }
}

fn parse_poll(argument: &str) -> Op {
    let list = |name| {
        let names = field(argument, name).unwrap_or_default();
        let names = names.split('|').map(str::trim).filter(|name| name.starts_with("POLL"));
        names.map(str::to_string).collect()
    };
    Op::Poll { events: list("events"), ready: list("revents") }
}

/// The value of `name=value` in a C structure.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.split(['{', '}', '[', ']', ',']);
    fields.find_map(|field| {
        let (key, value) = field.split_once('=')?;
        (key.trim() == name).then(|| value.trim().to_string())
    })
}

/// The bytes of `msg_iov(2)=[{..., 100}, {..., 60}]` together.
fn vector_len(argument: &str) -> Result<usize, String> {
    let (_, vector) = argument.split_once("msg_iov").ok_or("which bytes?")?;
    let pieces = vector.split(']').next().unwrap_or("").split("...,").skip(1);
    let lens = pieces.map(|piece| piece.split('}').next().unwrap_or("").trim().parse::<usize>());
    lens.sum::<Result<usize, _>>().map_err(|_| format!("{argument:?} is no message"))
}

/// The port in `{sa_family=AF_INET, sin_port=htons(8080), …}`; none in `...`.
fn port(argument: &str) -> Option<u16> {
    let start = argument.find("htons(")? + "htons(".len();
    argument[start..].split(')').next()?.trim().parse().ok()
}

/// Where the bracket opened at `open` closes.
fn closing(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// At the commas outside of any brackets.
fn split_arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        match arguments.last_mut() {
            Some(argument) if c != ',' || depth > 0 => argument.push(c),
            _ => arguments.push(String::new()),
        }
    }
    arguments.into_iter().map(|argument| argument.trim().to_string()).collect()
}

/// `= 3`, `= -1 EAGAIN (Resource temporarily unavailable)`, or nothing.
fn parse_result(text: &str) -> Result<Expected, String> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Ok(Expected::Success),
        (Some("="), Some("-1"), Some(errno)) => Ok(Expected::Error(errno.into())),
        (Some("="), Some(errno), None) if errno.starts_with('E') => {
            Ok(Expected::Error(errno.into()))
        }
        (Some("="), Some(value), _) => {
            let number = match value.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16),
                None => value.parse(),
            };
            number.map(Expected::Value).map_err(|_| format!("{value:?} is no result"))
        }
        _ => Err(format!("{text:?} is no result")),
    }
}
