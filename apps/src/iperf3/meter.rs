//! What the streams of a test have moved: by interval, and all told.

use std::net::SocketAddr;
use std::time::Duration;

use super::params::{Params, Protocol};
use super::results::{Cpu, Results, ServerOutput, StreamResult, stream_id};

/// Which end of a test this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It asked for the test.
    Client,
    /// It was asked.
    Server,
}

/// A stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its number in reports.
    pub socket: usize,
    /// Whether this end sends.
    pub sending: bool,
    /// This end.
    pub local: SocketAddr,
    /// The other.
    pub remote: SocketAddr,
}

/// What a stream has moved up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Snapshot {
    /// Payload.
    pub bytes: u64,
    /// Datagrams: sent, or known to have been sent.
    pub packets: u64,
    /// Of these, not come.
    pub lost: u64,
    /// Datagrams that came late.
    pub out_of_order: u64,
    /// Deviation of transit times, in seconds.
    pub jitter: f64,
    /// What the connection of a sender is like.
    pub tcp: Option<TcpSample>,
}

/// A connection as its sender sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpSample {
    /// Segments sent again.
    pub retransmits: u64,
    /// Congestion window in bytes.
    pub cwnd: u64,
    /// The peer's window in bytes.
    pub window: u64,
    /// Smoothed round-trip time in microseconds.
    pub rtt: u64,
    /// Its deviation.
    pub rttvar: u64,
    /// Path MTU.
    pub pmtu: u64,
}

/// What was moved in a part of the test.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Seconds since the test began to count.
    pub start: f64,
    /// Likewise.
    pub end: f64,
    /// It does not count.
    pub omitted: bool,
    /// The streams' amounts, in this time alone.
    pub streams: Vec<Snapshot>,
}

/// What one end of a stream has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Side {
    /// Payload.
    pub bytes: u64,
    /// The time it took.
    pub seconds: f64,
    /// Segments sent again.
    pub retransmits: Option<u64>,
    /// Deviation of transit times, in seconds.
    pub jitter: f64,
    /// Datagrams not come.
    pub lost: u64,
    /// Datagrams sent.
    pub packets: u64,
    /// Datagrams that came late.
    pub out_of_order: u64,
}

impl Side {
    /// Bytes per second.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.bytes as f64 / self.seconds } else { 0.0 }
    }

    /// Several together; the time is the longest of theirs, the jitter their mean.
    pub fn sum<'a>(sides: impl IntoIterator<Item = &'a Side>) -> Side {
        let (mut sum, mut count) = (Side::default(), 0u32);
        for side in sides {
            count += 1;
            sum.bytes += side.bytes;
            sum.seconds = sum.seconds.max(side.seconds);
            sum.jitter += side.jitter;
            sum.lost += side.lost;
            sum.packets += side.packets;
            sum.out_of_order += side.out_of_order;
            if let Some(retransmits) = side.retransmits {
                sum.retransmits = Some(sum.retransmits.unwrap_or(0) + retransmits);
            }
        }
        sum.jitter /= f64::from(count.max(1));
        sum
    }
}

/// How the connection of a sender has been.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TcpRange {
    /// The largest congestion window.
    pub max_cwnd: u64,
    /// The largest window of the peer.
    pub max_window: u64,
    /// The longest round-trip time in microseconds.
    pub max_rtt: u64,
    /// The shortest.
    pub min_rtt: u64,
    /// The mean.
    pub mean_rtt: u64,
}

/// A stream after the test.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StreamSummary {
    /// What its sender says.
    pub sender: Option<Side>,
    /// What its receiver says.
    pub receiver: Option<Side>,
    /// Its connection, if it was sent from here.
    pub tcp: Option<TcpRange>,
}

/// A test after its end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// The streams.
    pub streams: Vec<StreamSummary>,
    /// Processor time at this end.
    pub cpu: Cpu,
    /// At the other.
    pub remote_cpu: Option<Cpu>,
    /// The senders' congestion control algorithm.
    pub sender_congestion: Option<String>,
    /// That of the receivers.
    pub receiver_congestion: Option<String>,
    /// The server's own report.
    pub server_output: Option<ServerOutput>,
}

/// Keeps count.
#[derive(Debug)]
pub struct Meter {
    role: Role,
    protocol: Protocol,
    streams: Vec<Stream>,
    /// When it began to count.
    start: Duration,
    /// When the last interval ended.
    last: Duration,
    /// What passes now does not count.
    omitting: bool,
    /// Intervals were told since it began to count.
    intervals: u64,
}

#[derive(Debug)]
struct Stream {
    info: StreamInfo,
    /// When it began to count.
    base: Snapshot,
    /// When the last interval ended.
    last: Snapshot,
    range: TcpRange,
    rtts: u64,
    rtt_sum: u64,
}

impl Meter {
    /// Of streams that begin now.
    pub fn new(role: Role, params: &Params, streams: &[StreamInfo], now: Duration) -> Self {
        let stream = |&info: &StreamInfo| Stream {
            info,
            base: Snapshot::default(),
            last: Snapshot::default(),
            range: TcpRange::default(),
            rtts: 0,
            rtt_sum: 0,
        };
        Meter {
            role,
            protocol: params.protocol,
            streams: streams.iter().map(stream).collect(),
            start: now,
            last: now,
            omitting: params.omit > 0,
            intervals: 0,
        }
    }

    /// An interval ends.
    pub fn interval(&mut self, now: Duration, snapshots: &[Snapshot]) -> Interval {
        let seconds = |at: Duration| at.saturating_sub(self.start).as_secs_f64();
        let (start, end) = (seconds(self.last), seconds(now));
        let streams = self.streams.iter_mut().zip(snapshots);
        let streams = streams.map(|(stream, snapshot)| stream.interval(snapshot)).collect();
        self.last = now;
        self.intervals += 1;
        Interval { start, end, omitted: self.omitting, streams }
    }

    /// From now on it counts.
    pub fn omitted(&mut self, now: Duration, snapshots: &[Snapshot]) {
        for (stream, snapshot) in self.streams.iter_mut().zip(snapshots) {
            (stream.base, stream.last) = (*snapshot, *snapshot);
            (stream.range, stream.rtts, stream.rtt_sum) = (TcpRange::default(), 0, 0);
        }
        (self.start, self.last, self.omitting, self.intervals) = (now, now, false, 0);
    }

    /// The test ends: an interval that is worth it, of `usual` length in full; without that, the
    /// whole test. Before
    /// [`results`](Self::results) and [`summary`](Self::summary).
    pub fn finish(
        &mut self,
        now: Duration,
        snapshots: &[Snapshot],
        usual: Option<Duration>,
    ) -> Option<Interval> {
        let since = now.saturating_sub(self.last);
        let moved = || self.streams.iter().zip(snapshots).any(|(s, now)| now.bytes > s.last.bytes);
        let worth = usual.is_none_or(|usual| {
            self.intervals == 0 || since * 10 >= usual || (!since.is_zero() && moved())
        });
        let interval = self.interval(now, snapshots);
        worth.then_some(interval)
    }

    /// What is told to the other end, apart from what concerns the whole test.
    pub fn results(&self) -> Vec<StreamResult> {
        let seconds = self.last.saturating_sub(self.start).as_secs_f64();
        let result = |(index, stream): (usize, &Stream)| {
            let side = stream.side(seconds);
            StreamResult {
                id: stream_id(index),
                bytes: side.bytes,
                retransmits: side.retransmits,
                jitter: side.jitter,
                errors: stream.last.lost,
                packets: stream.last.packets,
                omitted: Some((stream.base.lost, stream.base.packets)),
                seconds,
            }
        };
        self.streams.iter().enumerate().map(result).collect()
    }

    /// Everything, with what the other end has told.
    pub fn summary(&self, remote: Option<&Results>) -> Summary {
        let seconds = self.last.saturating_sub(self.start).as_secs_f64();
        let summary = |(index, stream): (usize, &Stream)| {
            let own = stream.side(seconds);
            let id = stream_id(index);
            let other = remote.and_then(|remote| remote.streams.iter().find(|s| s.id == id));
            let other = other.map(|other| stream.remote_side(other, self.protocol));
            let (sender, receiver) =
                if stream.info.sending { (Some(own), other) } else { (other, Some(own)) };
            let tcp = stream.last.tcp.map(|_| stream.range);
            StreamSummary { sender, receiver, tcp }
        };
        Summary {
            streams: self.streams.iter().enumerate().map(summary).collect(),
            remote_cpu: remote.map(|remote| remote.cpu),
            server_output: remote
                .filter(|_| self.role == Role::Client)
                .and_then(|remote| remote.server_output.clone()),
            ..Summary::default()
        }
    }
}

impl Stream {
    fn interval(&mut self, now: &Snapshot) -> Snapshot {
        let before = std::mem::replace(&mut self.last, *now);
        let tcp = now.tcp.map(|tcp| {
            let range = &mut self.range;
            range.max_cwnd = range.max_cwnd.max(tcp.cwnd);
            range.max_window = range.max_window.max(tcp.window);
            range.max_rtt = range.max_rtt.max(tcp.rtt);
            range.min_rtt = if self.rtts == 0 { tcp.rtt } else { range.min_rtt.min(tcp.rtt) };
            self.rtts += 1;
            self.rtt_sum += tcp.rtt;
            range.mean_rtt = self.rtt_sum / self.rtts;
            let earlier = before.tcp.map_or(0, |before| before.retransmits);
            TcpSample { retransmits: tcp.retransmits.saturating_sub(earlier), ..tcp }
        });
        Snapshot {
            bytes: now.bytes.saturating_sub(before.bytes),
            packets: now.packets.saturating_sub(before.packets),
            lost: now.lost.saturating_sub(before.lost),
            out_of_order: now.out_of_order.saturating_sub(before.out_of_order),
            jitter: now.jitter,
            tcp,
        }
    }

    /// What was counted here.
    fn side(&self, seconds: f64) -> Side {
        let (now, base) = (&self.last, &self.base);
        let earlier = base.tcp.map_or(0, |base| base.retransmits);
        Side {
            bytes: now.bytes.saturating_sub(base.bytes),
            seconds,
            retransmits: now.tcp.map(|tcp| tcp.retransmits.saturating_sub(earlier)),
            jitter: now.jitter,
            lost: now.lost.saturating_sub(base.lost),
            packets: now.packets.saturating_sub(base.packets),
            out_of_order: now.out_of_order.saturating_sub(base.out_of_order),
        }
    }

    /// What was counted at the other end. One that does not say how much of it was left out has left
    /// out as much as this one.
    fn remote_side(&self, result: &StreamResult, protocol: Protocol) -> Side {
        let (errors, packets) = result.omitted.unwrap_or((self.base.lost, self.base.packets));
        Side {
            bytes: result.bytes,
            seconds: result.seconds,
            retransmits: result.retransmits.filter(|_| protocol == Protocol::Tcp),
            jitter: result.jitter,
            lost: result.errors.saturating_sub(errors),
            packets: result.packets.saturating_sub(packets),
            out_of_order: 0,
        }
    }
}

#[cfg(test)]
mod tests;
