//! The lines of a script.

use core::time::Duration;

use super::call::{Call, parse_call, parse_verb};
use super::cursor::Cursor;
use super::segment::Packet;

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
}

/// `tcpi_snd_cwnd == 10`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub field: String,
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
            return self.add_shell(text.trim_matches('`'));
        }
        let mut cursor = Cursor::new(text);
        let time = Time::parse(&mut cursor)?;
        let action = Action::parse(cursor.rest())?;
        self.events.push(Event { line, text: text.into(), time, action });
        Ok(())
    }

    fn add_setting(&mut self, setting: &str) -> Result<(), String> {
        let (name, value) = setting.split_once('=').ok_or("a setting is name=value")?;
        let name = name.trim_start_matches("net.ipv4.").trim_start_matches("net.core.");
        self.settings.push((name.into(), value.trim_matches('"').into()));
        Ok(())
    }

    /// The shell commands that packetdrill scripts begin with: settings count, others are about
    /// the machine that they were written for.
    fn add_shell(&mut self, commands: &str) -> Result<(), String> {
        for command in commands.split(['\n', ';']) {
            let Some(settings) = command.trim().strip_prefix("sysctl ") else { continue };
            for setting in settings.split_whitespace().filter(|word| word.contains('=')) {
                self.add_setting(setting)?;
            }
        }
        Ok(())
    }
}

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
        let (start, until) = if let Some((start, end)) = word.split_once("...") {
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
        let condition = assertion.split(',').next().unwrap_or("");
        for comparison in condition.split(" and ") {
            comparisons.push(Comparison::parse(comparison)?);
        }
    }
    match comparisons.is_empty() {
        true => Err("nothing is asserted".into()),
        false => Ok(comparisons),
    }
}

impl Comparison {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || "();".contains(c));
        let operators = ["==", "!=", "<=", ">=", "<", ">"];
        let found = operators.iter().find_map(|operator| {
            let (field, value) = text.split_once(operator)?;
            Some((field.trim(), *operator, value.trim()))
        });
        let (field, operator, value) = found.ok_or(format!("{text:?} compares nothing"))?;
        let value = match symbol(value) {
            Some(value) => value,
            None => value.parse().map_err(|_| format!("{value:?} is no number"))?,
        };
        Ok(Comparison { field: field.into(), operator: operator.into(), value })
    }

    pub fn holds(&self, actual: i64) -> bool {
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
    let phases = ["TCP_CA_Open", "TCP_CA_Disorder", "TCP_CA_CWR", "TCP_CA_Recovery", "TCP_CA_Loss"];
    let mut tables = [&states[..], &phases[..]].into_iter();
    let place = tables.find_map(|table| table.iter().position(|known| *known == name));
    place.filter(|_| !name.is_empty()).map(|place| place as i64)
}
