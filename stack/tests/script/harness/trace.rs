//! What has happened, for a report.

use core::fmt::Write;

use tapping_stack::time::Instant;
use tapping_stack::wire::TcpFlags;

use super::flow::{LOCAL, PEER};
use super::segment::{Body, Packet, Segment};

/// Everything that a script did and saw.
#[derive(Debug, Default)]
pub struct Trace {
    entries: Vec<(Instant, Entry)>,
}

#[derive(Debug)]
enum Entry {
    Call(String),
    Packet { sent: bool, packet: Packet },
}

impl Trace {
    pub fn call(&mut self, at: Instant, text: &str) {
        self.entries.push((at, Entry::Call(text.into())));
    }

    /// Notes a packet; `sent` by the host or to it. The usual port goes without saying.
    pub fn packet(&mut self, at: Instant, sent: bool, packet: &Packet, usual_port: u16) {
        let mut packet = packet.clone();
        packet.peer_port = packet.peer_port.filter(|port| *port != usual_port);
        self.entries.push((at, Entry::Packet { sent, packet }));
    }

    /// As a script.
    pub fn script(&self, start: Instant) -> String {
        let mut text = String::new();
        for (at, entry) in &self.entries {
            let _ = write!(text, "{:10.6} ", (*at - start).as_secs_f64());
            let _ = match entry {
                Entry::Call(call) => writeln!(text, "    ({call})"),
                Entry::Packet { sent, packet } => {
                    writeln!(text, "{} {packet}", if *sent { '>' } else { '<' })
                }
            };
        }
        text
    }

    /// As tshark lists packets.
    pub fn packets(&self, start: Instant) -> String {
        let mut text = String::new();
        let packets = self.entries.iter().filter_map(|(at, entry)| match entry {
            Entry::Packet { sent, packet } => Some((at, sent, packet)),
            Entry::Call(_) => None,
        });
        for (number, (at, sent, packet)) in packets.enumerate() {
            let (from, to) = if *sent { (LOCAL, PEER) } else { (PEER, LOCAL) };
            let seconds = (*at - start).as_secs_f64();
            let _ = write!(text, "{:5} {seconds:10.6} {from} → {to} ", number + 1);
            let _ = match &packet.body {
                Body::Tcp(segment) => writeln!(text, "TCP {}", summary(segment)),
                Body::Udp(len) => writeln!(text, "UDP Len={len}"),
                Body::Icmp(icmp) => writeln!(text, "ICMP {icmp}"),
            };
        }
        text
    }
}

fn summary(segment: &Segment) -> String {
    let names = [
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::SYN, "SYN"),
        (TcpFlags::RST, "RST"),
        (TcpFlags::PSH, "PSH"),
        (TcpFlags::ACK, "ACK"),
        (TcpFlags::URG, "URG"),
        (TcpFlags::ECE, "ECE"),
        (TcpFlags::CWR, "CWR"),
    ];
    let set = names.iter().filter(|(flag, _)| segment.flags.contains(*flag));
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    let mut text = format!("[{}] Seq={}", set.join(", "), segment.seq);
    let _ = segment.ack.map(|ack| write!(text, " Ack={ack}"));
    let _ = segment.window.map(|window| write!(text, " Win={window}"));
    let _ = write!(text, " Len={}", segment.len);
    for option in segment.options.iter().flatten() {
        let _ = write!(text, " {option}");
    }
    text
}
