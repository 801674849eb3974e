//! Looks ahead at frames that have come together.
//!
//! When connections are many, the memory of one that a segment is for is not in the processor's
//! cache, and waiting for it takes longer than all that is done with it. So before the first frame
//! is dealt with the connections of all are looked up and read, and what is missing of them comes
//! from memory at once.

use super::demux::{Found, TcpSockets};
use super::segment::FourTuple;
use crate::core::Core;
use crate::packet::Packet;
use crate::wire::ethernet::{EtherType, Ethernet};
use crate::wire::ipv4::{Ipv4, Protocol};

/// Of how many connections the memory is asked for at once: a processor waits for no more.
pub(crate) const LOOK_AHEAD: usize = 16;
/// Fewer connections than that are in the cache.
const MANY: usize = 1024;

/// Reads the connections that these frames are for.
pub(crate) fn look_ahead(core: &Core, frames: &[Packet], ethernet: bool) {
    let sockets = &core.tcp.sockets;
    if sockets.len() < MANY {
        return;
    }
    let mut found = [None; LOOK_AHEAD];
    let mut last = None;
    for (found, frame) in found.iter_mut().zip(frames) {
        let tuple = tuple_of(frame.bytes(), ethernet);
        // Bulk comes in runs.
        if tuple != last
            && let Some(tuple) = &tuple
        {
            *found = sockets.guess(tuple);
        }
        last = tuple;
    }
    found.into_iter().flatten().for_each(|found| warm(sockets, found));
}

/// Reads the connections whose timers fire next.
pub(crate) fn look_ahead_at_timers(sockets: &TcpSockets) {
    sockets.upcoming().take(LOOK_AHEAD).for_each(|found| warm(sockets, found));
}

fn warm(sockets: &TcpSockets, found: Found) {
    if let Found::Connection(index) = found {
        sockets.warm(index);
    }
}

/// The four numbers of a segment, as its receiver sees them; none of what is not a plain one.
fn tuple_of(bytes: &[u8], ethernet: bool) -> Option<FourTuple> {
    let bytes = match ethernet {
        true => {
            let frame = Ethernet::parse(bytes).ok()?;
            if frame.ethertype() != EtherType::IPV4 {
                return None;
            }
            frame.payload()
        }
        false => bytes,
    };
    let packet = Ipv4::parse(bytes).ok()?;
    if packet.protocol() != Protocol::TCP {
        return None;
    }
    let [s1, s2, d1, d2] = *packet.payload().first_chunk()?;
    Some(FourTuple {
        local: packet.dst(),
        remote: packet.src(),
        local_port: u16::from_be_bytes([d1, d2]),
        remote_port: u16::from_be_bytes([s1, s2]),
    })
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::vec::Vec;

    use super::*;
    #[test]
    fn segments_are_recognized_and_nothing_else() {
        let mut ip: Vec<u8> = std::vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        ip.extend([10, 0, 0, 2, 10, 0, 0, 1, 0x12, 0x34, 0, 80]);
        ip.resize(40, 0);
        let mut frame: Vec<u8> = std::vec![0; 12];
        frame.extend([8, 0]);
        frame.extend(&ip);
        let tuple = FourTuple {
            local: Ipv4Addr::new(10, 0, 0, 1),
            remote: Ipv4Addr::new(10, 0, 0, 2),
            local_port: 80,
            remote_port: 0x1234,
        };
        assert_eq!(tuple_of(&ip, false), Some(tuple));
        assert_eq!(tuple_of(&frame, true), Some(tuple));
        (0..24).for_each(|len| assert_eq!(tuple_of(&ip[..len], false), None));
        (0..38).for_each(|len| assert_eq!(tuple_of(&frame[..len], true), None));
        frame[12] = 9;
        assert_eq!(tuple_of(&frame, true), None);
        ip[9] = 17;
        assert_eq!(tuple_of(&ip, false), None);
    }
}
