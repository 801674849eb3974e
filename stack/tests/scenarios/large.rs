//! Large segments on their way through a router: what leaves is what would have left had they come
//! as single ones.

use std::sync::{Arc, Mutex};

use tapping_stack::event::{Event, Observer};
use tapping_stack::packet::{ChecksumState, Gso, GsoKind};
use tapping_stack::stats::{DropReason, Snapshot};
use tapping_stack::time::Instant;
use tapping_stack::wire::checksum;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::{
    MacAddr, Message, Protocol, SeqNumber, TcpFlags, TcpOptionsRepr, TcpRepr, Unreachable,
};
use tapping_stack::{Capabilities, Config, LinkConfig, LinkId, Packet, Stack};

use crate::lab::*;

const NOW: Instant = Instant::from_secs(1);
const INSIDE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OUTSIDE: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const SENDER: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
const RECEIVER: MacAddr = MacAddr([2, 0, 0, 0, 0, 4]);
const SRC: &str = "10.0.1.9";
const DST: &str = "10.0.2.9";
const MSS: usize = 1448;
const WHOLE: Capabilities = Capabilities { tx_checksum: true, max_gso_size: 65_536 };

/// A router between 10.0.1.0/24 and 10.0.2.0/24.
pub struct Router {
    pub stack: Stack,
    pub inside: LinkId,
    pub outside: LinkId,
}

impl Router {
    fn new(mtu: usize, capabilities: Capabilities) -> Self {
        Router::with(Config::default(), mtu, capabilities)
    }

    fn with(config: Config, mtu: usize, capabilities: Capabilities) -> Self {
        let mut stack = Stack::new(config, 1);
        stack.set_forwarding(true);
        let mut link = |config, cidr: &str, neighbour: &str, mac| {
            let link = stack.add_link(config).unwrap();
            stack.add_address(NOW, link, cidr.parse().unwrap()).unwrap();
            stack.add_neighbour(NOW, link, ip(neighbour).into(), mac).unwrap();
            link
        };
        let inside = link(LinkConfig::new("in", INSIDE), "10.0.1.1/24", SRC, SENDER);
        let config = LinkConfig { mtu, capabilities, ..LinkConfig::new("out", OUTSIDE) };
        let outside = link(config, "10.0.2.1/24", DST, RECEIVER);
        Router { stack, inside, outside }
    }

    fn give(&mut self, packet: Packet) {
        self.stack.handle_frame(NOW, self.inside, packet);
    }

    /// What leaves, and with what is left to do.
    fn take(&mut self, link: LinkId) -> Vec<Packet> {
        std::iter::from_fn(|| self.stack.poll_transmit(NOW, link)).collect()
    }

    fn frames(&mut self) -> Vec<Vec<u8>> {
        let link = self.outside;
        self.take(link).into_iter().map(|packet| packet.bytes().to_vec()).collect()
    }

    fn counters(&self) -> (u64, u64, u64) {
        let snapshot: Snapshot = self.stack.snapshot();
        let (.., counters) = snapshot.links.iter().find(|(id, ..)| *id == self.outside).unwrap();
        (counters.tx_packets, counters.tx_bytes, counters.tx_dropped)
    }
}

/// One TCP segment as a frame, its checksum finished or holding the pseudo-header's sum.
fn frame(id: u16, seq: u32, df: bool, flags: TcpFlags, data: &[u8], finished: bool) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: 4000,
        dst_port: 80,
        seq: SeqNumber(seq),
        ack: SeqNumber(9),
        flags,
        window: 512,
        urgent: 0,
        options: TcpOptionsRepr { timestamps: Some((3, 4)), ..Default::default() },
    };
    let mut segment = vec![0; tcp.header_len()];
    tcp.emit(&mut segment);
    segment.extend_from_slice(data);
    let pseudo = pseudo_header_sum(ip(SRC), ip(DST), Protocol::TCP, segment.len() as u16);
    segment[16..18].copy_from_slice(&pseudo.fold().to_be_bytes());
    if finished {
        checksum::complete(&mut segment, 16);
    }
    let packet = Ip::new(ip(SRC), ip(DST), Protocol::TCP, segment).id(id);
    let packet = if df { packet.df() } else { packet };
    ip_frame(SENDER, INSIDE, &packet.build())
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// A large segment as a device hands it in.
fn large(len: usize, df: bool) -> Packet {
    let flags = TcpFlags::ACK | TcpFlags::PSH;
    let mut packet = Packet::from_slice(&frame(7, 100, df, flags, &data(len), false));
    let segments = len.div_ceil(MSS) as u16;
    let kind = GsoKind::TcpV4 { ecn: false };
    packet.meta.gso = Some(Gso { kind, size: MSS as u16, segments, fixed_id: false });
    packet.meta.checksum = ChecksumState::Partial { start: 20, offset: 16 };
    packet
}

/// The same as single segments.
fn singles(len: usize, df: bool) -> Vec<Packet> {
    let data = data(len);
    let count = len.div_ceil(MSS);
    let single = |(n, data): (usize, &[u8])| {
        let psh = if n + 1 == count { TcpFlags::PSH } else { TcpFlags::empty() };
        let seq = 100 + (n * MSS) as u32;
        Packet::from_slice(&frame(7 + n as u16, seq, df, TcpFlags::ACK | psh, data, true))
    };
    data.chunks(MSS).enumerate().map(single).collect()
}

#[test]
fn a_link_that_takes_nothing_large_gets_finished_frames() {
    for df in [true, false] {
        let mut router = Router::new(1500, Capabilities::default());
        router.give(large(60_000, df));
        let mut other = Router::new(1500, Capabilities::default());
        singles(60_000, df).into_iter().for_each(|packet| other.give(packet));
        let frames = router.frames();
        assert_eq!(frames.len(), 42);
        let bytes: usize = frames.iter().map(Vec::len).sum();
        assert_eq!(router.counters(), (42, bytes as u64, 0));
        assert!(frames == other.frames(), "the same bytes");
    }
}

#[test]
fn a_link_that_sums_but_does_not_cut_gets_frames_to_sum() {
    let sums = Capabilities { tx_checksum: true, max_gso_size: 0 };
    let mut router = Router::new(1500, sums);
    router.give(large(4000, true));
    let mut other = Router::new(1500, Capabilities::default());
    singles(4000, true).into_iter().for_each(|packet| other.give(packet));
    let outside = router.outside;
    let finished = router.take(outside).into_iter().map(|mut packet| {
        assert_eq!(packet.meta.checksum, ChecksumState::Partial { start: 20, offset: 16 });
        assert_eq!(packet.meta.gso, None);
        packet.finish_checksum();
        packet.bytes().to_vec()
    });
    assert!(finished.collect::<Vec<_>>() == other.frames());
}

#[test]
fn a_link_that_takes_large_segments_gets_them_whole() {
    let mut router = Router::new(1500, WHOLE);
    router.give(large(60_000, true));
    let outside = router.outside;
    let packets = router.take(outside);
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].meta.gso, large(60_000, true).meta.gso);
    assert_eq!(packets[0].meta.checksum, ChecksumState::Partial { start: 20, offset: 16 });
    assert_eq!(packets[0].len(), 14 + 20 + 32 + 60_000);
    // What is larger than it takes is cut instead.
    let some = Capabilities { max_gso_size: 20_000, ..WHOLE };
    let mut router = Router::new(1500, some);
    router.give(large(20_000 - 52, true));
    router.give(large(20_000 - 51, true));
    assert_eq!(router.take(router.outside).len(), 1 + 14);
    // To cut without summing is no use.
    let mut router = Router::new(1500, Capabilities { tx_checksum: false, ..WHOLE });
    router.give(large(4000, true));
    assert_eq!(router.take(router.outside).len(), 3);
}

/// RFC 1191 §4; Linux `ip_exceeds_mtu`: what counts is what the segments will be.
#[test]
fn segments_beyond_the_next_mtu_are_refused_with_df() {
    for capabilities in [Capabilities::default(), WHOLE] {
        let mut router = Router::new(1499, capabilities);
        router.give(large(60_000, true));
        assert!(router.frames().is_empty());
        let errors = router.take(router.inside);
        assert_eq!(errors.len(), 1);
        let message = icmp_in(&errors[0].bytes()[14..]).message();
        let expected = Unreachable::FragmentationNeeded { mtu: 1499 };
        assert_eq!(message, Message::DestinationUnreachable(expected));
        let snapshot = router.stack.snapshot();
        assert_eq!(snapshot.dropped(DropReason::FragmentationNeeded), 1);
        assert_eq!(snapshot.ip.frag_fails, 1);
    }
}

/// Linux `ip_finish_output_gso`.
#[test]
fn segments_beyond_the_next_mtu_are_cut_and_fragmented_without_df() {
    for capabilities in [Capabilities::default(), WHOLE] {
        let mut router = Router::new(1000, capabilities);
        // The last segment fits.
        router.give(large(3 * MSS + 100, false));
        let mut other = Router::new(1000, Capabilities::default());
        singles(3 * MSS + 100, false).into_iter().for_each(|packet| other.give(packet));
        let outside = router.outside;
        let finished = router.take(outside).into_iter().map(|mut packet| {
            packet.finish_checksum();
            packet.bytes().to_vec()
        });
        let finished: Vec<_> = finished.collect();
        assert_eq!(finished.len(), 7);
        assert!(finished == other.frames());
        let (ip, other) = (router.stack.snapshot().ip, other.stack.snapshot().ip);
        assert_eq!((ip.frag_oks, ip.frag_creates), (other.frag_oks, other.frag_creates));
    }
}

struct Sent(Arc<Mutex<Vec<usize>>>);

impl Observer for Sent {
    fn event(&mut self, _: Instant, event: &Event<'_>) {
        if let Event::LinkOut { packet, .. } = event {
            self.0.lock().unwrap().push(packet.len());
        }
    }
}

#[test]
fn every_frame_is_shown() {
    let mut router = Router::new(1500, Capabilities::default());
    let sent = Arc::new(Mutex::new(Vec::new()));
    router.stack.set_observer(Some(Box::new(Sent(Arc::clone(&sent)))));
    router.give(large(2 * MSS + 10, true));
    router.give(large(10, true));
    let header = 14 + 20 + 32;
    assert_eq!(*sent.lock().unwrap(), [header + MSS, header + MSS, header + 10, header + 10]);
}

/// Linux pfifo: a large segment is one packet in the queue.
#[test]
fn a_large_segment_needs_the_room_of_one_frame() {
    let mut config = Config::default();
    config.core.tx_queue_len = 2;
    let mut router = Router::with(config, 1500, Capabilities::default());
    router.give(large(10, true));
    router.give(large(60_000, true));
    router.give(large(10, true));
    assert_eq!(router.stack.snapshot().dropped(DropReason::TxQueueFull), 1);
    assert_eq!(router.frames().len(), 1 + 42);
}

/// Linux `udp_queue_rcv_skb`: datagrams that came together are single ones to this host.
#[test]
fn datagrams_that_come_together_are_delivered_one_by_one() {
    let mut router = Router::new(1500, Capabilities::default());
    let raw = router.stack.open_raw(Protocol::UDP).unwrap();
    let datagram = Ip::udp(ip(SRC), ip("10.0.1.1"), 1, 2, &data(250)).build();
    let mut packet = Packet::from_slice(&ip_frame(SENDER, INSIDE, &datagram));
    packet.meta.gso = Some(Gso { kind: GsoKind::UdpV4, size: 100, segments: 3, fixed_id: false });
    router.give(packet);
    let mut got = Vec::new();
    while let Some(mut packet) = router.stack.recv(raw) {
        assert_eq!(packet.meta.gso, None);
        packet.finish_checksum();
        let udp = udp_in(packet.bytes());
        let pseudo = pseudo_header_sum(ip(SRC), ip("10.0.1.1"), Protocol::UDP, udp.len());
        assert!(udp.verify_checksum(pseudo));
        got.push(udp.payload().to_vec());
    }
    assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    assert_eq!(got.concat(), data(250));
    let snapshot = router.stack.snapshot();
    assert_eq!((snapshot.udp.no_ports, snapshot.udp.in_csum_errors), (3, 0));
}

/// A device can say what it likes of a packet.
#[test]
fn what_is_no_large_segment_is_an_ordinary_packet() {
    let mut router = Router::new(1500, Capabilities::default());
    for size in [0, MSS as u16] {
        let datagram = Ip::udp(ip(SRC), ip(DST), 1, 2, &data(800)).build();
        let mut packet = Packet::from_slice(&ip_frame(SENDER, INSIDE, &datagram));
        let kind = GsoKind::TcpV4 { ecn: false };
        packet.meta.gso = Some(Gso { kind, size, segments: 3, fixed_id: false });
        router.give(packet);
        let frames = router.frames();
        assert_eq!((frames.len(), frames[0].len()), (1, 14 + 28 + 800));
    }
}

/// What comes as single segments in one batch leaves as if it had come one by one, but passed the
/// router as one packet.
#[test]
fn segments_of_a_batch_pass_as_one_and_leave_as_they_came() {
    for capabilities in [Capabilities::default(), WHOLE] {
        let mut router = Router::new(1500, capabilities);
        let inside = router.inside;
        router.stack.handle_frames(NOW, inside, singles(40_000, true));
        let mut other = Router::new(1500, Capabilities::default());
        singles(40_000, true).into_iter().for_each(|packet| other.give(packet));
        let (snapshot, one_by_one) = (router.stack.snapshot(), other.stack.snapshot());
        assert_eq!((snapshot.ip.forw_datagrams, one_by_one.ip.forw_datagrams), (1, 28));
        // The link received frames, whatever became of them.
        assert_eq!(snapshot.links[1].2.rx_packets, 28);
        assert_eq!(snapshot.links[1].2.rx_bytes, one_by_one.links[1].2.rx_bytes);
        if capabilities == WHOLE {
            let outside = router.outside;
            let packets = router.take(outside);
            assert_eq!(packets.len(), 1);
            let gso = packets[0].meta.gso.unwrap();
            assert_eq!((usize::from(gso.size), gso.segments), (MSS, 28));
        } else {
            assert!(router.frames() == other.frames(), "the same bytes");
        }
    }
}

#[test]
fn batches_of_none_and_one_and_of_anything_are_handled() {
    let mut router = Router::new(1500, Capabilities::default());
    let inside = router.inside;
    router.stack.handle_frames(NOW, inside, []);
    router.stack.handle_frames(NOW, inside, singles(100, true));
    assert_eq!(router.frames().len(), 1);
    let datagram = Ip::udp(ip(SRC), ip(DST), 1, 2, b"between").build();
    let mut batch = singles(4 * MSS, true);
    batch.insert(2, Packet::from_slice(&ip_frame(SENDER, INSIDE, &datagram)));
    batch.push(Packet::default());
    batch.push(Packet::from_slice(&arp_frame(
        MacAddr::BROADCAST,
        &arp_request(SENDER, ip(SRC), ip("10.0.1.1")),
    )));
    router.stack.handle_frames(NOW, inside, batch);
    assert_eq!(router.frames().len(), 5);
    assert_eq!(router.take(inside).len(), 1, "an ARP reply");
    assert_eq!(router.stack.snapshot().dropped(DropReason::EthernetMalformed), 1);
    // A link that is not there.
    router.stack.handle_frames(NOW, LinkId(99), singles(4 * MSS, true));
    assert!(router.frames().is_empty());
}

/// The same on links without Ethernet, in and out.
#[test]
fn without_ethernet_segments_are_joined_and_cut_as_well() {
    let mut stack = Stack::new(Config::default(), 1);
    stack.set_forwarding(true);
    let [inside, outside] =
        [("tun0", "10.0.1.1/24"), ("tun1", "10.0.2.1/24")].map(|(name, cidr)| {
            let link = stack.add_link(LinkConfig::ip(name)).unwrap();
            stack.add_address(NOW, link, cidr.parse().unwrap()).unwrap();
            link
        });
    let packets = |packets: Vec<Packet>| {
        packets.into_iter().map(|packet| Packet::from_slice(&packet.bytes()[14..]))
    };
    stack.handle_frames(NOW, inside, packets(singles(40_000, true)));
    assert_eq!(stack.snapshot().ip.forw_datagrams, 1);
    let mut other = Router::new(1500, Capabilities::default());
    singles(40_000, true).into_iter().for_each(|packet| other.give(packet));
    let expected: Vec<_> = other.frames().iter().map(|frame| frame[14..].to_vec()).collect();
    let got: Vec<_> = std::iter::from_fn(|| stack.poll_transmit(NOW, outside))
        .map(|packet| packet.bytes().to_vec())
        .collect();
    assert!(got == expected, "the same bytes");
}
