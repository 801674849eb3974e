//! Lines as iperf3 prints them.

use std::io::{self, Write};

use super::super::meter::{Interval, Role, Side, Snapshot, StreamInfo, StreamSummary, Summary};
use super::super::params::{Direction, Params, Protocol};
use super::super::results::ServerOutput;
use super::super::units::{self, RateUnit};
use super::{Opening, Report};

const RULE: &str = "- - - - - - - - - - - - - - - - - - - - - - - - -";
/// What stands in the place of a stream's number.
const SUM: &str = "SUM";
/// The most of its own report that a server keeps for its client.
const MAX_KEPT: usize = 1024 * 1024;

/// Prints lines to `out`.
pub struct Text<O> {
    out: O,
    unit: RateUnit,
    title: Option<String>,
    role: Role,
    protocol: Protocol,
    direction: Direction,
    streams: Vec<StreamInfo>,
    /// Lines so far, when the other end wants them.
    kept: Option<String>,
    intervals: u64,
}

impl<O: Write + Send> Text<O> {
    /// A report to `out` with rates in `unit`.
    pub fn new(out: O, unit: RateUnit) -> Self {
        let Params { protocol, direction, .. } = Params::default();
        Text {
            out,
            unit,
            title: None,
            role: Role::Client,
            protocol,
            direction,
            streams: Vec::new(),
            kept: None,
            intervals: 0,
        }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        if let Some(kept) = &mut self.kept
            && kept.len() + line.len() < MAX_KEPT
        {
            kept.push_str(line);
            kept.push('\n');
        }
        match &self.title {
            Some(title) => writeln!(self.out, "{title}:  {line}"),
            None => writeln!(self.out, "{line}"),
        }
    }

    /// Streams are told apart by who sends only where both do.
    fn tag(&self, sending: bool) -> &'static str {
        match (self.direction, sending, self.role) {
            (Direction::Forward | Direction::Reverse, ..) => "",
            (_, true, Role::Client) => "[TX-C]",
            (_, false, Role::Client) => "[RX-C]",
            (_, true, Role::Server) => "[TX-S]",
            (_, false, Role::Server) => "[RX-S]",
        }
    }

    /// The two directions that have streams, sent ones first at the client.
    fn directions(&self) -> impl Iterator<Item = bool> + use<O> {
        let sending: Vec<bool> = self.streams.iter().map(|stream| stream.sending).collect();
        let order = match self.role {
            Role::Client => [true, false],
            Role::Server => [false, true],
        };
        order.into_iter().filter(move |direction| sending.contains(direction))
    }

    /// The streams of one direction, by index.
    fn of(&self, sending: bool) -> Vec<usize> {
        let is = |index: &usize| self.streams[*index].sending == sending;
        (0..self.streams.len()).filter(is).collect()
    }

    /// The columns of intervals, or of the summary.
    fn header(&mut self, summary: bool) -> io::Result<()> {
        let both = self.direction == Direction::Both;
        let sends = self.streams.iter().any(|stream| stream.sending);
        let columns = match self.protocol {
            Protocol::Tcp if summary && (sends || self.role == Role::Client) => "         Retr",
            Protocol::Tcp if summary || !sends => "",
            Protocol::Tcp => "         Retr  Cwnd",
            Protocol::Udp if !summary && sends && !both => "         Total Datagrams",
            Protocol::Udp => "         Jitter    Lost/Total Datagrams",
        };
        let role = if both { "[Role]" } else { "" };
        self.line(&format!("[ ID]{role} Interval           Transfer     Bitrate{columns}"))
    }

    fn amounts(&self, id: &str, tag: &str, span: (f64, f64), bytes: u64, rate: f64) -> String {
        let (start, end) = span;
        let amount = units::bytes(bytes);
        let rate = units::rate(rate, self.unit);
        format!("[{id:>3}]{tag} {start:6.2}-{end:<6.2} sec  {amount}  {rate}/sec")
    }

    fn interval_line(&self, id: &str, sending: bool, of: &Interval, moved: &Snapshot) -> String {
        let seconds = of.end - of.start;
        let rate = if seconds > 0.0 { moved.bytes as f64 / seconds } else { 0.0 };
        let span = (of.start, of.end);
        let mut line = self.amounts(id, self.tag(sending), span, moved.bytes, rate);
        let omitted = if of.omitted { "(omitted)" } else { "" };
        let both = self.direction == Direction::Both;
        line += &match (self.protocol, sending, moved.tcp) {
            (Protocol::Tcp, true, Some(tcp)) => {
                let window = match id {
                    SUM => "   ".into(),
                    _ => units::bytes(tcp.cwnd),
                };
                format!("  {:3}   {window}       {omitted}", tcp.retransmits)
            }
            (Protocol::Tcp, ..) => format!("                  {omitted}"),
            (Protocol::Udp, true, _) => {
                let gap = if both { 10 } else { 0 };
                format!("  {:gap$}{}  {omitted}", "", moved.packets)
            }
            (Protocol::Udp, false, _) => {
                format!("{}  {omitted}", datagrams(moved.jitter, moved.lost, moved.packets))
            }
        };
        line
    }

    fn side_line(&self, id: &str, sending: bool, side: &Side, is_sender: bool) -> String {
        let span = (0.0, side.seconds);
        let mut line = self.amounts(id, self.tag(sending), span, side.bytes, side.rate());
        let what = if is_sender { "sender" } else { "receiver" };
        line += &match (self.protocol, is_sender, side.retransmits) {
            (Protocol::Tcp, true, Some(retransmits)) => {
                format!("  {retransmits:3}             {what}")
            }
            (Protocol::Tcp, ..) => format!("                  {what}"),
            // A sender knows neither.
            (Protocol::Udp, true, _) => format!("{}  {what}", datagrams(0.0, 0, side.packets)),
            (Protocol::Udp, false, _) => {
                format!("{}  {what}", datagrams(side.jitter, side.lost, side.packets))
            }
        };
        line
    }

    /// What both ends of a stream say, or of the sum of several.
    fn sides(
        &mut self,
        id: &str,
        sending: bool,
        sender: Option<&Side>,
        receiver: Option<&Side>,
    ) -> io::Result<()> {
        for (side, is_sender) in [(sender, true), (receiver, false)] {
            let Some(side) = side else {
                // A server shows its own side; a client misses what it was not told.
                if self.role == Role::Client {
                    let which = if is_sender { "sender" } else { "receiver" };
                    self.line(&format!("[{id:>3}] ({which} statistics not available)"))?;
                }
                continue;
            };
            self.line(&self.side_line(id, sending, side, is_sender))?;
            if self.protocol == Protocol::Udp && side.out_of_order > 0 {
                let (tag, seconds, late) = (self.tag(sending), side.seconds, side.out_of_order);
                self.line(&format!(
                    "[{id:>3}]{tag}   0.00-{seconds:<6.2} sec  {late} datagrams received out-of-order"
                ))?;
            }
        }
        Ok(())
    }
}

/// What a receiver of datagrams sees.
fn datagrams(jitter: f64, lost: u64, packets: u64) -> String {
    let percent = units::percent(lost, packets);
    format!("  {:5.3} ms  {lost}/{packets} ({percent}%)", jitter * 1e3)
}

impl<O: Write + Send> Report for Text<O> {
    fn opened(&mut self, opening: &Opening<'_>) -> io::Result<()> {
        let params = opening.params;
        (self.role, self.protocol) = (opening.role, params.protocol);
        self.direction = params.direction;
        self.title.clone_from(&params.title);
        let (host, port) = (&opening.host, opening.port);
        if self.role == Role::Server {
            self.kept = params.get_server_output.then(String::new);
            return self.line(&format!("Accepted connection from {host}, port {port}"));
        }
        self.line(&format!("Connecting to host {host}, port {port}"))?;
        if params.direction == Direction::Reverse {
            self.line(&format!("Reverse mode, remote host {host} is sending"))?;
        }
        self.out.flush()
    }

    fn connected(&mut self, streams: &[StreamInfo], _: (usize, usize)) -> io::Result<()> {
        self.streams = streams.to_vec();
        for StreamInfo { socket, local, remote, .. } in streams {
            self.line(&format!(
                "[{socket:3}] local {} port {} connected to {} port {}",
                local.ip(),
                local.port(),
                remote.ip(),
                remote.port()
            ))?;
        }
        self.out.flush()
    }

    fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        let several = self.directions().any(|sending| self.of(sending).len() > 1);
        if self.intervals == 0 {
            self.header(false)?;
        } else if several {
            self.line(RULE)?;
        }
        self.intervals += 1;
        for sending in self.directions() {
            let indices = self.of(sending);
            let mut sum = Snapshot::default();
            for &index in &indices {
                let moved = &interval.streams[index];
                let id = self.streams[index].socket.to_string();
                self.line(&self.interval_line(&id, sending, interval, moved))?;
                add(&mut sum, moved);
            }
            if indices.len() > 1 {
                sum.jitter /= indices.len() as f64;
                self.line(&self.interval_line(SUM, sending, interval, &sum))?;
            }
        }
        self.out.flush()
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        self.line(RULE)?;
        self.header(true)?;
        let server = self.role == Role::Server;
        for sending in self.directions() {
            let indices = self.of(sending);
            let streams: Vec<StreamSummary> = indices
                .iter()
                .map(|&index| {
                    let mut stream = summary.streams[index];
                    if server && sending {
                        stream.receiver = None;
                    } else if server {
                        stream.sender = None;
                    }
                    stream
                })
                .collect();
            for (index, stream) in indices.iter().zip(&streams) {
                let id = self.streams[*index].socket.to_string();
                self.sides(&id, sending, stream.sender.as_ref(), stream.receiver.as_ref())?;
            }
            if streams.len() > 1 {
                let sender = sum_of(&streams, |stream| stream.sender.as_ref());
                let receiver = sum_of(&streams, |stream| stream.receiver.as_ref());
                self.sides(SUM, sending, sender.as_ref(), receiver.as_ref())?;
            }
        }
        match &summary.server_output {
            None => {}
            Some(ServerOutput::Text(text)) => {
                self.line("")?;
                self.line("Server output:")?;
                // It was written elsewhere; only its lines are wanted, not what a terminal obeys.
                for line in text.lines() {
                    self.line(&line.replace(|c: char| c.is_control(), " "))?;
                }
            }
            Some(ServerOutput::Json(tree)) => {
                self.line("")?;
                self.line("Server JSON output:")?;
                self.line(&format!("{tree:#}"))?;
            }
        }
        self.out.flush()
    }

    fn output(&mut self) -> Option<ServerOutput> {
        self.kept.take().map(ServerOutput::Text)
    }

    fn done(&mut self) -> io::Result<()> {
        if self.role == Role::Client {
            self.line("")?;
            self.line("iperf Done.")?;
        }
        self.out.flush()
    }

    fn failed(&mut self, _: &str) -> io::Result<bool> {
        self.out.flush()?;
        Ok(false)
    }
}

/// The sum of one side of several streams, if any of them has it.
pub fn sum_of<'a>(
    streams: &'a [StreamSummary],
    side: impl Fn(&'a StreamSummary) -> Option<&'a Side>,
) -> Option<Side> {
    let sides: Vec<&Side> = streams.iter().filter_map(side).collect();
    (!sides.is_empty()).then(|| Side::sum(sides))
}

/// Adds what another stream has moved.
pub fn add(sum: &mut Snapshot, moved: &Snapshot) {
    sum.bytes += moved.bytes;
    sum.packets += moved.packets;
    sum.lost += moved.lost;
    sum.out_of_order += moved.out_of_order;
    sum.jitter += moved.jitter;
    if let Some(tcp) = moved.tcp {
        sum.tcp.get_or_insert_default().retransmits += tcp.retransmits;
    }
}

#[cfg(test)]
mod tests;
