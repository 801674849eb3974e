//! One JSON document about a test, with the fields of iperf3's.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use super::super::meter::{
    Interval, Role, Side, Snapshot, StreamInfo, StreamSummary, Summary, TcpRange,
};
use super::super::params::{Direction, Params, Protocol, Until};
use super::super::results::{Cpu, ServerOutput};
use super::super::tree::{Json as Tree, object};
use super::super::units::percentage;
use super::text::{add, sum_of};
use super::{Opening, Report};

/// The most stream intervals that a document keeps; the sums at its end count all.
const MAX_KEPT: usize = 250_000;

/// Prints the document to `out`, at the end.
pub struct Json<O> {
    out: O,
    role: Role,
    params: Params,
    streams: Vec<StreamInfo>,
    start: Tree,
    intervals: Vec<Tree>,
    kept: usize,
    end: Tree,
    server_output: Option<ServerOutput>,
    written: bool,
}

impl<O: Write + Send> Json<O> {
    /// A report to `out`.
    pub fn new(out: O) -> Self {
        Json {
            out,
            role: Role::Client,
            params: Params::default(),
            streams: Vec::new(),
            start: object! {
                "version" => concat!("tapping ", env!("CARGO_PKG_VERSION")),
                "system_info" => system_info(),
            },
            intervals: Vec::new(),
            kept: 0,
            end: object! {},
            server_output: None,
            written: false,
        }
    }

    fn document(&self, error: Option<&str>) -> Tree {
        let mut document = object! {
            "start" => self.start.clone(),
            "intervals" => self.intervals.clone(),
            "end" => self.end.clone(),
        };
        for (name, text) in [("title", &self.params.title), ("extra_data", &self.params.extra_data)]
        {
            if let Some(text) = text {
                document.push(name, text.clone());
            }
        }
        match &self.server_output {
            None => {}
            Some(ServerOutput::Text(text)) => document.push("server_output_text", text.clone()),
            Some(ServerOutput::Json(tree)) => document.push("server_output_json", tree.clone()),
        }
        if let Some(error) = error {
            document.push("error", error);
        }
        document
    }

    fn write(&mut self, error: Option<&str>) -> io::Result<()> {
        if std::mem::replace(&mut self.written, true) {
            return Ok(());
        }
        writeln!(self.out, "{:#}", self.document(error))?;
        self.out.flush()
    }

    /// The streams this end sends on, or receives on.
    fn of(&self, sending: bool) -> impl Iterator<Item = usize> {
        let streams = self.streams.iter().enumerate();
        streams.filter(move |(_, stream)| stream.sending == sending).map(|(index, _)| index)
    }

    /// The way that the first of the sums is about, and the other one where both are used.
    fn ways(&self) -> (bool, Option<bool>) {
        let first = self.streams.first().is_none_or(|stream| stream.sending);
        (first, (self.params.direction == Direction::Both).then_some(!first))
    }

    fn interval_fields(&self, interval: &Interval, moved: &Snapshot, sending: bool) -> Tree {
        let seconds = interval.end - interval.start;
        let rate = if seconds > 0.0 { moved.bytes as f64 * 8.0 / seconds } else { 0.0 };
        let mut fields = object! {
            "start" => interval.start,
            "end" => interval.end,
            "seconds" => seconds,
            "bytes" => moved.bytes,
            "bits_per_second" => rate,
        };
        match (self.params.protocol, sending, moved.tcp) {
            (Protocol::Tcp, true, Some(tcp)) => fields.push("retransmits", tcp.retransmits),
            (Protocol::Tcp, ..) => {}
            (Protocol::Udp, true, _) => fields.push("packets", moved.packets),
            (Protocol::Udp, false, _) => {
                fields.push("jitter_ms", moved.jitter * 1e3);
                fields.push("lost_packets", moved.lost);
                fields.push("packets", moved.packets);
                fields.push("lost_percent", percentage(moved.lost, moved.packets));
            }
        }
        fields
    }

    /// The end of a stream of a TCP test.
    fn connection(&self, info: &StreamInfo, stream: &StreamSummary) -> Tree {
        let mut ends = object! {};
        for (name, side) in [("sender", &stream.sender), ("receiver", &stream.receiver)] {
            let Some(side) = side else { continue };
            let mut fields = object! { "socket" => info.socket };
            extend(&mut fields, side_fields(side));
            if name == "sender" {
                push_retransmits(&mut fields, side);
                // iperf3's client tells zeros of a connection that it does not see.
                let remote = self.role == Role::Client && side.retransmits.is_some();
                if let Some(range) = stream.tcp.or(remote.then(TcpRange::default)) {
                    fields.push("max_snd_cwnd", range.max_cwnd);
                    fields.push("max_snd_wnd", range.max_window);
                    fields.push("max_rtt", range.max_rtt);
                    fields.push("min_rtt", range.min_rtt);
                    fields.push("mean_rtt", range.mean_rtt);
                }
            }
            fields.push("sender", info.sending);
            ends.push(name, fields);
        }
        ends
    }

    /// The end of a stream of a UDP test: what was sent, and how it came.
    fn flow(&self, info: &StreamInfo, stream: &StreamSummary) -> Tree {
        let side = stream.sender.or(stream.receiver).unwrap_or_default();
        let came = stream.receiver.unwrap_or_default();
        let mut fields = object! { "socket" => info.socket };
        extend(&mut fields, side_fields(&side));
        push_datagrams(&mut fields, &came, side.packets);
        fields.push("out_of_order", came.out_of_order);
        fields.push("sender", info.sending);
        object! { "udp" => fields }
    }

    /// The sums of one way.
    fn sums(&self, end: &mut Tree, summary: &Summary, sending: bool, names: [&'static str; 3]) {
        let streams: Vec<StreamSummary> =
            self.of(sending).map(|index| summary.streams[index]).collect();
        let sent = sum_of(&streams, |stream| stream.sender.as_ref());
        let received = sum_of(&streams, |stream| stream.receiver.as_ref());
        let udp = self.params.protocol == Protocol::Udp;
        let [both, sent_name, received_name] = names;
        if udp && let Some(side) = sent.or(received) {
            let came = received.unwrap_or_default();
            let mut fields = side_fields(&side);
            push_datagrams(&mut fields, &came, side.packets);
            fields.push("sender", sending);
            end.push(both, fields);
        }
        for (name, side) in [(sent_name, sent), (received_name, received)] {
            let Some(side) = side else { continue };
            let mut fields = side_fields(&side);
            if name == sent_name {
                push_retransmits(&mut fields, &side);
            }
            if udp {
                push_datagrams(&mut fields, &side, side.packets);
            }
            fields.push("sender", sending);
            end.push(name, fields);
        }
    }
}

fn extend(to: &mut Tree, from: Tree) {
    if let (Tree::Object(to), Tree::Object(from)) = (to, from) {
        to.extend(from);
    }
}

fn side_fields(side: &Side) -> Tree {
    object! {
        "start" => 0u8,
        "end" => side.seconds,
        "seconds" => side.seconds,
        "bytes" => side.bytes,
        "bits_per_second" => side.rate() * 8.0,
    }
}

fn push_retransmits(fields: &mut Tree, side: &Side) {
    if let Some(retransmits) = side.retransmits {
        fields.push("retransmits", retransmits);
    }
}

fn push_datagrams(fields: &mut Tree, came: &Side, packets: u64) {
    fields.push("jitter_ms", came.jitter * 1e3);
    fields.push("lost_packets", came.lost);
    fields.push("packets", packets);
    fields.push("lost_percent", percentage(came.lost, packets));
}

fn test_start(params: &Params) -> Tree {
    let (duration, bytes, blocks) = match params.until {
        Until::Time(seconds) => (seconds, 0, 0),
        Until::Bytes(bytes) => (0, bytes, 0),
        Until::Blocks(blocks) => (0, 0, blocks),
    };
    object! {
        "protocol" => params.protocol.name(),
        "num_streams" => params.parallel,
        "blksize" => params.block,
        "omit" => params.omit,
        "duration" => duration,
        "bytes" => bytes,
        "blocks" => blocks,
        "reverse" => u8::from(params.direction == Direction::Reverse),
        "tos" => params.tos,
        "target_bitrate" => params.rate,
        "bidir" => u8::from(params.direction == Direction::Both),
    }
}

fn cpu_fields(own: Cpu, other: Option<Cpu>) -> Tree {
    let mut fields = object! {
        "host_total" => own.total,
        "host_user" => own.user,
        "host_system" => own.system,
    };
    if let Some(other) = other {
        fields.push("remote_total", other.total);
        fields.push("remote_user", other.user);
        fields.push("remote_system", other.system);
    }
    fields
}

impl<O: Write + Send> Report for Json<O> {
    fn opened(&mut self, opening: &Opening<'_>) -> io::Result<()> {
        (self.role, self.params) = (opening.role, opening.params.clone());
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + opening.unix);
        self.start
            .push("timestamp", object! { "time" => date, "timesecs" => opening.unix.as_secs() });
        let peer = object! { "host" => opening.host.clone(), "port" => opening.port };
        let name = match self.role {
            Role::Client => "connecting_to",
            Role::Server => "accepted_connection",
        };
        self.start.push(name, peer);
        self.start.push("cookie", opening.cookie.to_string());
        if self.params.protocol == Protocol::Tcp {
            match self.params.mss {
                Some(mss) => self.start.push("tcp_mss", mss),
                None => self.start.push("tcp_mss_default", opening.mss),
            }
        }
        Ok(())
    }

    fn connected(&mut self, streams: &[StreamInfo], buffers: (usize, usize)) -> io::Result<()> {
        self.streams = streams.to_vec();
        let connected = |stream: &StreamInfo| {
            object! {
                "socket" => stream.socket,
                "local_host" => stream.local.ip().to_string(),
                "local_port" => stream.local.port(),
                "remote_host" => stream.remote.ip().to_string(),
                "remote_port" => stream.remote.port(),
            }
        };
        let connected: Vec<Tree> = streams.iter().map(connected).collect();
        if let Tree::Object(fields) = &mut self.start {
            fields.insert(0, ("connected", connected.into()));
        }
        self.start.push("target_bitrate", self.params.rate);
        self.start.push("sock_bufsize", self.params.window.unwrap_or(0));
        self.start.push("sndbuf_actual", buffers.0);
        self.start.push("rcvbuf_actual", buffers.1);
        self.start.push("test_start", test_start(&self.params));
        Ok(())
    }

    fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        self.kept += interval.streams.len();
        if self.kept > MAX_KEPT {
            return Ok(());
        }
        let stream = |(info, moved): (&StreamInfo, &Snapshot)| {
            let mut fields = object! { "socket" => info.socket };
            extend(&mut fields, self.interval_fields(interval, moved, info.sending));
            if let Some(tcp) = moved.tcp {
                fields.push("snd_cwnd", tcp.cwnd);
                fields.push("snd_wnd", tcp.window);
                fields.push("rtt", tcp.rtt);
                fields.push("rttvar", tcp.rttvar);
                fields.push("pmtu", tcp.pmtu);
            }
            fields.push("omitted", interval.omitted);
            fields.push("sender", info.sending);
            fields
        };
        let streams: Vec<Tree> = self.streams.iter().zip(&interval.streams).map(stream).collect();
        let mut fields = object! { "streams" => streams };
        let (first, second) = self.ways();
        for (name, way) in [("sum", Some(first)), ("sum_bidir_reverse", second)] {
            let Some(way) = way else { continue };
            let (mut sum, mut count) = (Snapshot::default(), 0u32);
            for index in self.of(way) {
                add(&mut sum, &interval.streams[index]);
                count += 1;
            }
            sum.jitter /= f64::from(count.max(1));
            let mut of = self.interval_fields(interval, &sum, way);
            of.push("omitted", interval.omitted);
            of.push("sender", way);
            fields.push(name, of);
        }
        self.intervals.push(fields);
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let stream = |(info, stream): (&StreamInfo, &StreamSummary)| match self.params.protocol {
            Protocol::Tcp => self.connection(info, stream),
            Protocol::Udp => self.flow(info, stream),
        };
        let streams: Vec<Tree> = self.streams.iter().zip(&summary.streams).map(stream).collect();
        let mut end = object! { "streams" => streams };
        let (first, second) = self.ways();
        self.sums(&mut end, summary, first, ["sum", "sum_sent", "sum_received"]);
        if let Some(second) = second {
            let names =
                ["sum_bidir_reverse", "sum_sent_bidir_reverse", "sum_received_bidir_reverse"];
            self.sums(&mut end, summary, second, names);
        }
        end.push("cpu_utilization_percent", cpu_fields(summary.cpu, summary.remote_cpu));
        for (name, congestion) in [
            ("sender_tcp_congestion", &summary.sender_congestion),
            ("receiver_tcp_congestion", &summary.receiver_congestion),
        ] {
            if let Some(congestion) = congestion {
                end.push(name, congestion.clone());
            }
        }
        self.end = end;
        self.server_output.clone_from(&summary.server_output);
        Ok(())
    }

    fn output(&mut self) -> Option<ServerOutput> {
        self.params.get_server_output.then(|| ServerOutput::Json(self.document(None)))
    }

    fn done(&mut self) -> io::Result<()> {
        self.write(None)
    }

    fn failed(&mut self, why: &str) -> io::Result<bool> {
        self.write(Some(why))?;
        Ok(true)
    }
}

/// Which machine this is.
fn system_info() -> String {
    let words = ["ostype", "hostname", "osrelease", "version"].map(|name| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.map_or_else(|_| "-".to_string(), |text| text.trim().to_string())
    });
    format!("{} {}", words.join(" "), std::env::consts::ARCH)
}

/// The time since 1970.
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
