//! Which of several stacks a frame is for.
//!
//! The kernel steers a flow that the other side has begun always by the same queue, and a flow that
//! was begun here by the queue that sends it, but no longer when it has been idle (see
//! [`crate::tap`]). So each stack has a part of the ephemeral ports for itself, and what comes for
//! one of them goes to its stack, whichever queue it came by. What is not of a flow, answers to ARP
//! requests and the like, every stack gets.
//!
//! Fragments have no ports: they stay where they come, and are put together there. So a datagram
//! in fragments reaches a socket with an ephemeral port only by chance.

use parking_lot::Mutex;
use tapping_stack::{Config, Packet};

use tapping_stack::wire::arp::{Arp, ArpOperation};
use tapping_stack::wire::ethernet::{EtherType, Ethernet};
use tapping_stack::wire::icmpv4::types;
use tapping_stack::wire::ipv4::{Ipv4, Protocol};

/// Frames that wait for a stack from the queues of others (`net.core.netdev_max_backlog`).
const MAX_INBOX: usize = 1000;

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// To the stack whose queue it came by.
    Here,
    /// To this one.
    Shard(usize),
    /// To all.
    Everywhere,
}

/// How ephemeral ports are shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steering {
    shards: usize,
    tcp: (u16, u16),
    udp: (u16, u16),
}

impl Steering {
    pub(super) fn new(config: &Config, shards: usize) -> Self {
        Steering { shards, tcp: config.tcp.port_range, udp: config.ipv4.local_port_range }
    }

    /// Leaves a stack its part of the ports.
    pub(super) fn restrict(&self, config: &mut Config, shard: usize) {
        config.tcp.port_range = self.part(self.tcp, shard);
        config.ipv4.local_port_range = self.part(self.udp, shard);
    }

    /// The stack that an ephemeral TCP port belongs to.
    pub(super) fn tcp_owner(&self, port: u16) -> Option<usize> {
        self.owner(self.tcp, port)
    }

    fn part(&self, (first, last): (u16, u16), shard: usize) -> (u16, u16) {
        let count = usize::from(last.saturating_sub(first)) + 1;
        let start = |shard: usize| (shard * count).div_ceil(self.shards);
        // With fewer ports than stacks some have the same.
        let low = start(shard).min(count - 1);
        let high = (start(shard + 1).max(low + 1) - 1).min(count - 1);
        (first + low as u16, first + high as u16)
    }

    fn owner(&self, (first, last): (u16, u16), port: u16) -> Option<usize> {
        if self.shards == 1 || port < first || port > last {
            return None;
        }
        let count = usize::from(last - first) + 1;
        Some(usize::from(port - first) * self.shards / count)
    }

    /// Where a frame goes.
    pub(super) fn target(&self, frame: &[u8]) -> Target {
        let Ok(ethernet) = Ethernet::parse(frame) else { return Target::Here };
        match ethernet.ethertype() {
            EtherType::ARP => match Arp::parse(ethernet.payload()) {
                Ok(arp) if arp.operation == ArpOperation::Reply => Target::Everywhere,
                _ => Target::Here,
            },
            EtherType::IPV4 => self.ipv4_target(ethernet.payload()).unwrap_or(Target::Here),
            _ => Target::Here,
        }
    }

    fn ipv4_target(&self, packet: &[u8]) -> Option<Target> {
        let ipv4 = Ipv4::parse(packet).ok()?;
        if ipv4.is_fragment() {
            return None;
        }
        let port = |at: usize| {
            let bytes = ipv4.payload().get(at..at + 2)?;
            Some(u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let owner = match ipv4.protocol() {
            Protocol::TCP => self.owner(self.tcp, port(2)?),
            Protocol::UDP => self.owner(self.udp, port(2)?),
            Protocol::ICMP => return Some(self.icmp_target(ipv4.payload())),
            Protocol::IGMP => return Some(Target::Everywhere),
            _ => None,
        };
        owner.map(Target::Shard)
    }

    /// An error goes to who sent what it quotes; an answer to whoever asked.
    fn icmp_target(&self, message: &[u8]) -> Target {
        match message.first() {
            Some(&types::ECHO | &types::TIMESTAMP) | None => Target::Here,
            _ => Target::Everywhere,
        }
    }
}

/// Frames that came by the queues of others, each with the number of its link.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Vec<(usize, Packet)>>);

impl Inbox {
    /// Adds a frame, unless there are too many.
    pub(super) fn put(&self, link: usize, frame: Packet) {
        let mut frames = self.0.lock();
        if frames.len() < MAX_INBOX {
            frames.push((link, frame));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Takes all frames; `frames` is empty before.
    pub(super) fn take(&self, frames: &mut Vec<(usize, Packet)>) {
        std::mem::swap(&mut *self.0.lock(), frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every port of the range belongs to the stack whose part it is in.
    #[test]
    fn parts_and_owners_agree() {
        for shards in 1..=9 {
            for range in [(32_768, 60_999), (100, 199), (0, 65_535), (7, 20)] {
                let steering = Steering { shards, tcp: range, udp: range };
                let mut next = range.0;
                for shard in 0..shards {
                    let (low, high) = steering.part(range, shard);
                    assert_eq!(low, next, "{shards} {range:?} {shard}");
                    for port in [low, high] {
                        let owner = steering.tcp_owner(port);
                        assert_eq!(owner, (shards > 1).then_some(shard), "{port} of {range:?}");
                    }
                    next = high.wrapping_add(1);
                }
                assert_eq!(next, range.1.wrapping_add(1), "{shards} {range:?}");
                let outside = [range.0.checked_sub(1), range.1.checked_add(1)];
                for port in outside.into_iter().flatten() {
                    assert_eq!(steering.tcp_owner(port), None, "{port} is out of {range:?}");
                }
            }
        }
    }
}
