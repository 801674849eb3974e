//! The lines of a script.

use core::time::Duration;

use super::call::{Call, parse_call, parse_verb};
use super::cursor::Cursor;
use super::segment::Packet;
use super::shell::{self, Count};

/// A whole script.
#[derive(Debug, Default)]
pub struct Script {
    /// `sysctl name=value` and `--name=value`, in force from the start.
    pub settings: Vec<(String, String)>,
    pub events: Vec<Event>,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub line: usize,
    pub text: String,
    pub time: Time,
    pub action: Action,
}

/// When an event happens, counted from the start or from the event before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    pub relative: bool,
    pub start: Duration,
    pub until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At the start, give or take the tolerance.
    Exact,
    /// `a~b`: any time from the start to this.
    Range(Duration),
    /// `a...b`: a call that starts at the start and returns at this.
    Returns(Duration),
    /// `*`: whenever it happens.
    Any,
}

#[derive(Debug, Clone)]
pub enum Action {
    Inject(Packet),
    Expect(Packet),
    /// Calls one after another, at the same time.
    Calls(Vec<Call>),
    Assert(Vec<Comparison>),
    Count(Count),
}

/// `tcpi_snd_cwnd == 10`, `(tcpi_options & 2) != 0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub field: String,
    /// The bits that count.
    pub mask: i64,
    pub operator: String,
    pub value: i64,
}

impl Script {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script = Script::default();
        for (line, text) in joined_lines(text) {
            script.add(line, &text).map_err(|error| format!("line {line}: {text}\n  {error}"))?;
        }
        Ok(script)
    }

    fn add(&mut self, line: usize, text: &str) -> Result<(), String> {
        if let Some(option) = text.strip_prefix("--") {
            return self.add_setting(option);
        }
        if let Some(settings) = text.strip_prefix("sysctl ") {
            return settings.split_whitespace().try_for_each(|setting| self.add_setting(setting));
        }
        if text.starts_with('`') {
            self.settings.extend(shell::settings(text.trim_matches('`')));
            return Ok(());
        }
        let mut cursor = Cursor::new(text);
        let time = Time::parse(&mut cursor)?;
        let action = Action::parse(cursor.rest())?;
        self.events.push(Event { line, text: text.into(), time, action });
        Ok(())
    }

    fn add_setting(&mut self, setting: &str) -> Result<(), String> {
        // What packetdrill asks for without a value is switched on.
        let (name, value) = setting.split_once('=').unwrap_or((setting, "1"));
        if name.is_empty() || name.contains(' ') {
            return Err("a setting is name=value".into());
        }
        // Where packetdrill's hosts are, and how the machine's clock ticks.
        if !MACHINE.contains(&name) {
            self.settings.push((shell::plain_name(name), value.trim_matches('"').into()));
        }
        Ok(())
    }
}

/// Options of packetdrill that say nothing to a host in virtual time.
const MACHINE: [&str; 6] =
    ["ip_version", "local_ip", "gateway_ip", "netmask_ip", "remote_ip", "tcp_ts_tick_usecs"];

/// Lines without comments; one that does not begin an event belongs to the one before.
fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut in_shell = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or("");
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if in_shell || !begins_event(line) => {
                last.push(if in_shell { '\n' } else { ' ' });
                last.push_str(line);
            }
            _ => lines.push((index + 1, line.into())),
        }
        in_shell ^= line.matches('`').count() % 2 == 1;
    }
    lines
}

fn begins_event(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '`' | '.'))
        || ["%{", "--", "sysctl "].iter().any(|start| line.starts_with(start))
}

impl Time {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, String> {
        if cursor.peek_char() == Some('%') {
            return Ok(Time { relative: true, start: Duration::ZERO, until: Until::Exact });
        }
        if cursor.eat("*") {
            return Ok(Time { relative: true, start: Duration::ZERO, until: Until::Any });
        }
        let word = cursor.token();
        let relative = word.starts_with('+');
        let (start, until) = if cursor.eat("... ") {
            (word, Until::Returns(seconds(cursor.token())?))
        } else if let Some((start, end)) = word.split_once("...") {
            (start, Until::Returns(seconds(end)?))
        } else if let Some((start, end)) = word.split_once('~') {
            (start, Until::Range(seconds(end)?))
        } else {
            (word, Until::Exact)
        };
        Ok(Time { relative, start: seconds(start)?, until })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.trim_start_matches('+').parse().ok();
    // Rounded, as 0.3 has no exact binary form.
    let micros = number.map(|seconds| (seconds * 1e6).round() as u64);
    micros.map(Duration::from_micros).ok_or_else(|| format!("{text:?} is no time"))
}

impl Action {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(packet) = text.strip_prefix('<') {
            return Packet::parse(packet).map(Action::Inject);
        }
        if let Some(packet) = text.strip_prefix('>') {
            return Packet::parse(packet).map(Action::Expect);
        }
        if let Some(code) = text.strip_prefix("%{") {
            return parse_assertions(code.trim_end_matches("}%")).map(Action::Assert);
        }
        if text.starts_with('`') {
            return shell::count(text.trim_matches('`')).map(Action::Count);
        }
        if text.starts_with("assert ") {
            return parse_assertions(text).map(Action::Assert);
        }
        if text.contains('(') {
            return Ok(Action::Calls(vec![parse_call(text)?]));
        }
        text.split(';')
            .map(|verb| parse_verb(verb.trim()))
            .collect::<Result<_, _>>()
            .map(Action::Calls)
    }
}

/// Every `assert A [and B …][, message]` in a piece of packetdrill's Python.
fn parse_assertions(code: &str) -> Result<Vec<Comparison>, String> {
    let mut comparisons = Vec::new();
    for assertion in code.split("assert ").skip(1) {
        let condition = assertion.split([',', ';']).next().unwrap_or("");
        for comparison in condition.split(" and ") {
            Comparison::parse(comparison, &mut comparisons)?;
        }
    }
    match comparisons.is_empty() {
        true => Err("nothing is asserted".into()),
        false => Ok(comparisons),
    }
}

const OPERATORS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];

impl Comparison {
    /// Reads `A == B`, or a chain `A <= B <= C`.
    fn parse(text: &str, comparisons: &mut Vec<Comparison>) -> Result<(), String> {
        let (left, operator, rest) = split_at_operator(text);
        let (middle, next, last) = split_at_operator(rest);
        let parts = [left, middle, last].map(|part| part.trim_matches([' ', '\n', '\t', '\\']));
        let [left, middle, last] = parts;
        match (operator, next) {
            ("", _) => return Err(format!("{text:?} compares nothing")),
            (_, "") if number(left).is_some() => {
                comparisons.push(Comparison::new(middle, mirrored(operator), left)?);
            }
            (_, "") => comparisons.push(Comparison::new(left, operator, middle)?),
            _ => {
                comparisons.push(Comparison::new(middle, mirrored(operator), left)?);
                comparisons.push(Comparison::new(middle, next, last)?);
            }
        }
        Ok(())
    }

    fn new(field: &str, operator: &str, value: &str) -> Result<Self, String> {
        let field = field.trim_matches(['(', ')', ' ']);
        let (field, mask) = field.split_once('&').unwrap_or((field, "-1"));
        let read = |text: &str| number(text).ok_or_else(|| format!("{text:?} is no number"));
        let (mask, value) = (read(mask.trim())?, read(value)?);
        Ok(Comparison { field: field.trim().into(), mask, operator: operator.into(), value })
    }

    pub fn holds(&self, actual: i64) -> bool {
        let actual = actual & self.mask;
        match self.operator.as_str() {
            "==" => actual == self.value,
            "!=" => actual != self.value,
            "<=" => actual <= self.value,
            ">=" => actual >= self.value,
            "<" => actual < self.value,
            _ => actual > self.value,
        }
    }
}

/// What comes before the first operator, the operator, and what comes after it.
fn split_at_operator(text: &str) -> (&str, &str, &str) {
    let places = OPERATORS.iter().filter_map(|operator| Some((text.find(operator)?, *operator)));
    // The longest of those that begin first.
    let first = places.min_by_key(|(at, operator)| (*at, core::cmp::Reverse(operator.len())));
    let Some((at, operator)) = first else { return (text, "", "") };
    (&text[..at], operator, &text[at + operator.len()..])
}

/// The operator with its sides exchanged.
fn mirrored(operator: &str) -> &str {
    match operator {
        "<=" => ">=",
        ">=" => "<=",
        "<" => ">",
        ">" => "<",
        same => same,
    }
}

fn number(text: &str) -> Option<i64> {
    symbol(text).or_else(|| text.parse().ok())
}

/// The names that Linux's headers give to numbers in `tcp_info`.
fn symbol(name: &str) -> Option<i64> {
    let states = [
        "",
        "TCP_ESTABLISHED",
        "TCP_SYN_SENT",
        "TCP_SYN_RECV",
        "TCP_FIN_WAIT1",
        "TCP_FIN_WAIT2",
        "TCP_TIME_WAIT",
        "TCP_CLOSE",
        "TCP_CLOSE_WAIT",
        "TCP_LAST_ACK",
        "TCP_LISTEN",
        "TCP_CLOSING",
    ];
    let bits = [
        ("TCPI_OPT_TIMESTAMPS", 1),
        ("TCPI_OPT_SACK", 2),
        ("TCPI_OPT_WSCALE", 4),
        ("TCPI_OPT_ECN", 8),
        ("TCPI_OPT_ECN_SEEN", 16),
        ("TCPI_OPT_SYN_DATA", 32),
    ];
    if let Some((_, bit)) = bits.iter().find(|(known, _)| *known == name) {
        return Some(*bit);
    }
    let phases = ["TCP_CA_Open", "TCP_CA_Disorder", "TCP_CA_CWR", "TCP_CA_Recovery", "TCP_CA_Loss"];
    let mut tables = [&states[..], &phases[..]].into_iter();
    let place = tables.find_map(|table| table.iter().position(|known| *known == name));
    place.filter(|_| !name.is_empty()).map(|place| place as i64)
}
