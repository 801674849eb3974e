//! Large segments: whole where nothing tells their frames apart, cut where something may.

use core::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tapping_stack::event::{Event, Observer};
use tapping_stack::packet::{ChecksumState, Gso, GsoKind};
use tapping_stack::sim::{Conditions, End, Link, Probability, Queue, Verdict};
use tapping_stack::time::Instant;
use tapping_stack::wire::ethernet::{EtherType, EthernetRepr};
use tapping_stack::wire::ipv4::{Ipv4Repr, Protocol, pseudo_header_sum};
use tapping_stack::wire::tcp::{TcpFlags, TcpRepr};
use tapping_stack::wire::{MacAddr, SeqNumber, TcpOptionsRepr};
use tapping_stack::{LinkId, Packet};

use crate::net::{Pair, ms};

const HEADERS: usize = 14 + 20 + 20;

/// Ten segments of 1000 bytes in one, from 10.0.0.1 to 10.0.0.2.
fn large_segment() -> Packet {
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let total_len = 20 + 20 + 10_000;
    let ethernet = EthernetRepr {
        dst: MacAddr([2, 0, 0, 1, 0, 0]),
        src: MacAddr([2, 0, 0, 0, 0, 0]),
        ethertype: EtherType::IPV4,
    };
    let ip = Ipv4Repr {
        tos: 0,
        id: 7,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::TCP,
        src,
        dst,
        total_len,
        options_len: 0,
    };
    let tcp = TcpRepr {
        src_port: 1,
        dst_port: 2,
        seq: SeqNumber(5),
        ack: SeqNumber(6),
        flags: TcpFlags::ACK,
        window: 7,
        urgent: 0,
        options: TcpOptionsRepr::default(),
    };
    let mut packet = Packet::with_capacity(HEADERS + 10_000);
    ethernet.emit(packet.put(14));
    ip.emit(packet.put(20));
    tcp.emit(packet.put(20));
    packet.put_slice(&(0..10_000).map(|n| n as u8).collect::<Vec<_>>());
    packet.pull(14);
    packet.mark_network();
    packet.mark_transport(20);
    let sum = pseudo_header_sum(src, dst, Protocol::TCP, total_len - 20).fold();
    packet.transport_mut()[16..18].copy_from_slice(&sum.to_be_bytes());
    packet.push(14);
    packet.meta.checksum = ChecksumState::Partial { start: 20, offset: 16 };
    let kind = GsoKind::TcpV4 { ecn: false };
    packet.meta.gso = Some(Gso { kind, size: 1000, segments: 10, fixed_id: false });
    packet
}

/// Notes how long what arrives is, and of how many segments.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<Vec<(Instant, usize, u16)>>>);

impl Observer for Arrivals {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        if let Event::LinkIn { packet, .. } = event {
            let segments = packet.meta.gso.map_or(1, |gso| gso.segments);
            self.0.lock().unwrap().push((now, packet.len(), segments));
        }
    }
}

/// What B gets of a large segment that A sends, as milliseconds after, length and segments; and
/// how many frames were on the wire.
fn carry(link: Link) -> (Vec<(u64, usize, u16)>, u64) {
    let Pair { mut lab, a, b, wire } = Pair::on(1, link).introduced();
    let arrivals = Arrivals::default();
    lab.stack(b).set_observer(Some(Box::new(arrivals.clone())));
    let start = lab.now();
    let (host, out): (_, LinkId) = lab.end(wire, End::A);
    assert_eq!(host, a);
    lab.stack(a).send_frame(start, out, large_segment());
    lab.run_for(ms(100));
    let arrivals = arrivals.0.lock().unwrap();
    let since = |at: Instant| (at - start).as_millis() as u64;
    let seen = arrivals.iter().map(|(at, len, segments)| (since(*at), *len, *segments)).collect();
    (seen, lab.link(wire).counters(End::A).frames)
}

#[test]
fn a_wire_that_treats_all_alike_carries_it_whole() {
    // 8432 bits a frame.
    let slow = Conditions { delay: ms(5), rate: Some(8_432_000), ..Conditions::default() };
    let link = Link::new(slow).with_offload();
    assert!(!link.must_cut(End::A));
    assert_eq!(carry(link), (vec![(15, HEADERS + 10_000, 10)], 1));
}

#[test]
fn it_is_cut_where_one_frame_may_fare_otherwise_than_the_next() {
    let slow = Conditions { delay: ms(5), rate: Some(8_432_000), ..Conditions::default() };
    let each: Vec<_> = (6..=15).map(|at| (at, HEADERS + 1000, 1)).collect();
    let queue = Queue::Frames(10);
    assert_eq!(carry(Link::new(Conditions { queue, ..slow }).with_offload()), (each.clone(), 10));
    let mut scripted = Link::new(slow).with_offload();
    scripted.set_script(End::A, Some(Box::new(|_, _| Verdict::Pass)));
    assert_eq!(carry(scripted), (each.clone(), 10));
    // The fourth and the last are lost, whatever is sent the other way.
    let mut lossy = Link::asymmetric(slow, Conditions::default()).with_offload();
    lossy.drop_frames(End::A, &[4, 10]);
    assert!(lossy.must_cut(End::A) && !lossy.must_cut(End::B));
    let rest: Vec<_> = each.iter().filter(|(at, ..)| ![9, 15].contains(at)).copied().collect();
    assert_eq!(carry(lossy), (rest, 10));
    // A link without the capability has the stack cut.
    assert_eq!(carry(Link::new(slow)), (each, 10));
}

#[test]
fn what_arrives_together_is_put_together_where_the_link_says_so() {
    let lossy = Conditions { loss: Probability::from_ppm(1), ..Conditions::default() };
    let apart = vec![(0, HEADERS + 1000, 1); 10];
    assert_eq!(carry(Link::new(lossy).with_offload()), (apart.clone(), 10));
    assert_eq!(carry(Link::new(Conditions::default())), (apart, 10));
    let together = vec![(0, HEADERS + 10_000, 10)];
    for link in [Link::new(lossy).with_offload(), Link::new(Conditions::default())] {
        assert_eq!(carry(link.with_batches()), (together.clone(), 10));
    }
}
