//! What a test is to be: the parameters that the client sends.

use serde_json::{Map, Value};

use super::protocol::VERSION;
use super::tree::{Json, object};

/// The most streams each way.
pub const MAX_STREAMS: u32 = 128;
/// The longest block of a TCP test.
pub const MAX_BLOCK: u32 = 1024 * 1024;
/// The shortest datagram of a UDP test: its header with long counters.
pub const MIN_DATAGRAM: u32 = 16;
/// The longest: what IPv4 and UDP leave.
pub const MAX_DATAGRAM: u32 = 65_507;
/// The longest test, in seconds.
pub const MAX_TIME: u32 = 86_400;
/// The longest time at the start that is left out, in seconds.
pub const MAX_OMIT: u32 = 600;
/// The largest socket buffers that can be asked for.
pub const MAX_WINDOW: u32 = 512 * 1024 * 1024;
/// The largest segment size that can be asked for.
pub const MAX_MSS: u32 = 9 * 1024;
/// The most blocks sent at once.
pub const MAX_BURST: u32 = 1_000;
/// The longest tick of paced sending, in microseconds.
pub const MAX_PACING_TIMER: u32 = 1_000_000;
/// Bytes of a block over TCP unless given.
pub const DEFAULT_BLOCK: u32 = 128 * 1024;
/// Bits per second over UDP unless given.
pub const DEFAULT_UDP_RATE: u64 = 1024 * 1024;
/// Microseconds between looks at whether a paced sender may send again.
pub const DEFAULT_PACING_TIMER: u32 = 1_000;

/// What carries the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A connection for each stream.
    Tcp,
    /// A flow of datagrams for each stream.
    Udp,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        }
    }
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    Forward,
    /// The server.
    Reverse,
    /// Both.
    Both,
}

/// When the test is over, after what is left out at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After so many seconds; never for zero.
    Time(u32),
    /// When so many bytes were sent.
    Bytes(u64),
    /// When so many blocks or datagrams were sent.
    Blocks(u64),
}

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// What carries the data.
    pub protocol: Protocol,
    /// Who sends.
    pub direction: Direction,
    /// When it is over.
    pub until: Until,
    /// Seconds at the start that do not count.
    pub omit: u32,
    /// Streams each way.
    pub parallel: u32,
    /// Bytes of a block.
    pub block: u32,
    /// Bits per second of each stream; no limit for zero.
    pub rate: u64,
    /// Blocks sent at once whenever one may be sent.
    pub burst: u32,
    /// Microseconds between looks at whether more may be sent.
    pub pacing_timer: u32,
    /// The largest segment.
    pub mss: Option<u32>,
    /// Segments do not wait to be full.
    pub nodelay: bool,
    /// Bytes of the sockets' buffers.
    pub window: Option<u32>,
    /// Type of service.
    pub tos: u8,
    /// The congestion control algorithm.
    pub congestion: Option<String>,
    /// A word before each line.
    pub title: Option<String>,
    /// A word to be repeated in the report.
    pub extra_data: Option<String>,
    /// The client wants to show the server's report as well.
    pub get_server_output: bool,
    /// Datagrams are counted in 64 bits.
    pub counters_64bit: bool,
    /// The data is digits in turn, not random.
    pub repeating_payload: bool,
    /// Datagrams are not to be fragmented.
    pub dont_fragment: bool,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            protocol: Protocol::Tcp,
            direction: Direction::Forward,
            until: Until::Time(10),
            omit: 0,
            parallel: 1,
            block: DEFAULT_BLOCK,
            rate: 0,
            burst: 0,
            pacing_timer: DEFAULT_PACING_TIMER,
            mss: None,
            nodelay: false,
            window: None,
            tos: 0,
            congestion: None,
            title: None,
            extra_data: None,
            get_server_output: false,
            counters_64bit: false,
            repeating_payload: false,
            dont_fragment: false,
        }
    }
}

impl Params {
    /// How many streams there are, both ways together.
    pub fn streams(&self) -> usize {
        let each = self.parallel as usize;
        if self.direction == Direction::Both { 2 * each } else { each }
    }

    /// Whether the client sends on the stream of this index: of both ways, its own come first.
    pub fn client_sends(&self, index: usize) -> bool {
        match self.direction {
            Direction::Forward => true,
            Direction::Reverse => false,
            Direction::Both => index < self.parallel as usize,
        }
    }

    /// The message of the parameters.
    pub fn to_json(&self) -> Json {
        let (time, bytes, blocks) = match self.until {
            Until::Time(seconds) => (seconds, 0, 0),
            Until::Bytes(bytes) => (0, bytes, 0),
            Until::Blocks(blocks) => (0, 0, blocks),
        };
        let mut json = object! {};
        json.push(if self.protocol == Protocol::Tcp { "tcp" } else { "udp" }, true);
        json.push("omit", self.omit);
        json.push("time", time);
        json.push("num", bytes);
        json.push("blockcount", blocks);
        push_some(&mut json, "MSS", self.mss);
        push_flag(&mut json, "nodelay", self.nodelay);
        json.push("parallel", self.parallel);
        match self.direction {
            Direction::Forward => {}
            Direction::Reverse => json.push("reverse", true),
            Direction::Both => json.push("bidirectional", true),
        }
        push_some(&mut json, "window", self.window);
        json.push("len", self.block);
        push_some(&mut json, "bandwidth", (self.rate > 0).then_some(self.rate));
        json.push("pacing_timer", self.pacing_timer);
        push_some(&mut json, "burst", (self.burst > 0).then_some(self.burst));
        push_some(&mut json, "TOS", (self.tos > 0).then_some(self.tos));
        push_some(&mut json, "title", self.title.clone());
        push_some(&mut json, "extra_data", self.extra_data.clone());
        push_some(&mut json, "congestion", self.congestion.clone());
        let number = |json: &mut Json, name, set: bool| push_some(json, name, set.then_some(1u8));
        number(&mut json, "get_server_output", self.get_server_output);
        number(&mut json, "udp_counters_64bit", self.counters_64bit);
        number(&mut json, "repeating_payload", self.repeating_payload);
        number(&mut json, "dont_fragment", self.dont_fragment);
        json.push("client_version", VERSION);
        json
    }

    /// Reads the message; what is wrong with it otherwise.
    pub fn from_json(text: &[u8]) -> Result<Params, String> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| format!("they are not JSON: {error}"))?;
        let Value::Object(fields) = value else {
            return Err("they are not a JSON object".into());
        };
        let fields = Fields(fields);
        let mut params = Params { protocol: fields.protocol()?, ..Params::default() };
        let udp = params.protocol == Protocol::Udp;
        params.direction = match (fields.flag("reverse"), fields.flag("bidirectional")) {
            (false, false) => Direction::Forward,
            (true, false) => Direction::Reverse,
            (false, true) => Direction::Both,
            (true, true) => return Err("both reverse and bidirectional are set".into()),
        };
        params.until = fields.until()?;
        params.omit = fields.number("omit", 0, MAX_OMIT)?.unwrap_or(0);
        params.parallel = fields.number("parallel", 1, MAX_STREAMS)?.unwrap_or(1);
        let (min, max) = if udp { (MIN_DATAGRAM, MAX_DATAGRAM) } else { (1, MAX_BLOCK) };
        let block = fields.number("len", min, max)?;
        params.block = block.unwrap_or(if udp { 1460 } else { DEFAULT_BLOCK });
        params.rate = fields.integer("bandwidth", 0, u64::MAX)?.unwrap_or(0);
        params.burst = fields.number("burst", 0, MAX_BURST)?.unwrap_or(0);
        params.pacing_timer = fields
            .number("pacing_timer", 0, MAX_PACING_TIMER)?
            .filter(|&timer| timer > 0)
            .unwrap_or(DEFAULT_PACING_TIMER);
        params.mss = fields.number("MSS", 0, MAX_MSS)?.filter(|&mss| mss > 0);
        params.window = fields.number("window", 0, MAX_WINDOW)?.filter(|&window| window > 0);
        params.tos = fields.number("TOS", 0, 255)?.unwrap_or(0) as u8;
        params.nodelay = fields.flag("nodelay");
        params.congestion = fields.text("congestion");
        params.title = fields.text("title");
        params.extra_data = fields.text("extra_data");
        params.get_server_output = fields.flag("get_server_output");
        params.counters_64bit = fields.flag("udp_counters_64bit");
        params.repeating_payload = fields.flag("repeating_payload");
        params.dont_fragment = fields.flag("dont_fragment");
        Ok(params)
    }
}

fn push_some<T: Into<Json>>(json: &mut Json, name: &'static str, value: Option<T>) {
    if let Some(value) = value {
        json.push(name, value);
    }
}

fn push_flag(json: &mut Json, name: &'static str, set: bool) {
    push_some(json, name, set.then_some(true));
}

/// The fields of a message.
struct Fields(Map<String, Value>);

impl Fields {
    fn protocol(&self) -> Result<Protocol, String> {
        match (self.flag("tcp"), self.flag("udp"), self.flag("sctp")) {
            (_, true, false) => Ok(Protocol::Udp),
            (_, false, false) => Ok(Protocol::Tcp),
            (_, _, true) => Err("SCTP is not spoken here".into()),
        }
    }

    fn until(&self) -> Result<Until, String> {
        let bytes = self.integer("num", 0, u64::MAX)?.unwrap_or(0);
        let blocks = self.integer("blockcount", 0, u64::MAX)?.unwrap_or(0);
        Ok(match (bytes, blocks) {
            (0, 0) => Until::Time(self.number("time", 0, MAX_TIME)?.unwrap_or(0)),
            (0, blocks) => Until::Blocks(blocks),
            (bytes, _) => Until::Bytes(bytes),
        })
    }

    /// `true`, or a number that is not zero.
    fn flag(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(set)) => *set,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            _ => false,
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        Some(self.0.get(name)?.as_str()?.to_string())
    }

    fn number(&self, name: &str, min: u32, max: u32) -> Result<Option<u32>, String> {
        let number = self.integer(name, u64::from(min), u64::from(max))?;
        Ok(number.map(|number| number as u32))
    }

    /// A whole number, which others may have written as a floating point one.
    fn integer(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, String> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let from_float =
            |number: f64| (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
        value
            .as_u64()
            .or_else(|| value.as_f64().and_then(from_float))
            .filter(|number| (min..=max).contains(number))
            .map(Some)
            .ok_or_else(|| format!("{name} is {value}, not {min} to {max}"))
    }
}

#[cfg(test)]
mod tests;
