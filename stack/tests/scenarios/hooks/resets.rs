//! Packets rejected with a TCP reset.

use super::*;

struct Segment {
    flags: TcpFlags,
    seq: u32,
    ack: u32,
    data: &'static [u8],
}

fn segment(segment: &Segment) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: 1000,
        dst_port: 80,
        seq: SeqNumber(segment.seq),
        ack: SeqNumber(segment.ack),
        flags: segment.flags,
        window: 500,
        urgent: 0,
        options: TcpOptionsRepr::default(),
    };
    let mut bytes = vec![0; repr.header_len()];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(segment.data);
    let len = bytes.len() as u16;
    tcp::fill_checksum(&mut bytes, pseudo_header_sum(ip(PEER), ip(HERE), Protocol::TCP, len));
    bytes
}

fn rejecting() -> Bench {
    let mut bench = Bench::new();
    let reset = Verdict::Reject(RejectReason::TcpReset);
    register(&mut bench, HookPoint::Input, always(reset));
    bench
}

fn tcp_packet(payload: Vec<u8>) -> Ip {
    Ip::new(ip(PEER), ip(HERE), Protocol::TCP, payload)
}

/// RFC 9293 §3.5.2: with ACK the reset takes its sequence number from there; without it
/// acknowledges what came.
#[test]
fn sequence_numbers_of_resets() {
    let syn = TcpFlags::SYN;
    let (ack, fin, psh) = (TcpFlags::ACK, TcpFlags::FIN, TcpFlags::PSH);
    let cases = [
        (Segment { flags: syn, seq: 100, ack: 0, data: b"" }, (0, 101, true)),
        (Segment { flags: syn, seq: u32::MAX, ack: 0, data: b"" }, (0, 0, true)),
        (Segment { flags: syn, seq: 100, ack: 0, data: b"early" }, (0, 106, true)),
        (Segment { flags: fin, seq: 100, ack: 0, data: b"bye" }, (0, 104, true)),
        (Segment { flags: syn | ack, seq: 100, ack: 555, data: b"" }, (555, 0, false)),
        (Segment { flags: ack | psh, seq: 100, ack: 555, data: b"data" }, (555, 0, false)),
        (Segment { flags: ack | fin, seq: 100, ack: 555, data: b"" }, (555, 0, false)),
    ];
    for (sent, (seq, acknowledged, with_ack)) in cases {
        let mut bench = rejecting();
        assert_eq!(bench.give(&tcp_packet(segment(&sent)).build()), [DropReason::HookReject]);
        let packet = bench.lab.heard_one_ip(bench.tester);
        let header = ipv4(&packet);
        assert_eq!((header.src(), header.dst()), (ip(HERE), ip(PEER)));
        // Linux nf_reject_iphdr_put.
        assert_eq!((header.ttl(), header.dont_fragment(), header.id()), (64, true, 0));
        let reset = Tcp::parse(header.payload()).unwrap();
        let pseudo = pseudo_header_sum(ip(HERE), ip(PEER), Protocol::TCP, 20);
        assert!(reset.verify_checksum(pseudo));
        assert_eq!((reset.src_port(), reset.dst_port()), (80, 1000));
        assert_eq!((reset.seq(), reset.ack()), (SeqNumber(seq), SeqNumber(acknowledged)));
        let flags = if with_ack { TcpFlags::RST | ack } else { TcpFlags::RST };
        assert_eq!((reset.flags(), reset.window()), (flags, 0));
        assert_eq!(header.payload().len(), 20);
    }
}

/// Linux `nf_reject_ip_tcphdr_get`: no reset for a reset, for what is damaged, for a fragment
/// other than the first, for what is not TCP or went to many.
#[test]
fn what_is_not_answered_with_a_reset() {
    let syn = Segment { flags: TcpFlags::SYN, seq: 1, ack: 0, data: b"12345678" };
    let rst = Segment { flags: TcpFlags::RST, seq: 1, ack: 0, data: b"" };
    let mut damaged = segment(&syn);
    damaged[4] ^= 1;
    let broadcast = Ip::new(ip(PEER), ip("10.0.0.255"), Protocol::TCP, segment(&syn));
    let packets = [
        tcp_packet(segment(&rst)),
        tcp_packet(damaged),
        tcp_packet(segment(&syn)[..12].to_vec()),
        broadcast,
        Ip::udp(ip(PEER), ip(HERE), 1, 2, b"not TCP"),
    ];
    for packet in packets {
        let mut bench = rejecting();
        bench.refuses(&packet.build(), DropReason::HookReject);
    }
    let (mut bench, _) = router();
    register(&mut bench, HookPoint::Forward, always(Verdict::Reject(RejectReason::TcpReset)));
    let later = Ip::new(ip(PEER), ip("10.0.1.9"), Protocol::TCP, segment(&syn)).fragment(8, false);
    bench.refuses(&later.build(), DropReason::HookReject);
}

/// A checksum that a sender on the same machine left open is not a wrong one.
#[test]
fn an_open_checksum_is_good_enough() {
    let mut bench = rejecting();
    let mut payload = segment(&Segment { flags: TcpFlags::SYN, seq: 9, ack: 0, data: b"" });
    payload[16..18].copy_from_slice(&[0x12, 0x34]);
    let mac = bench.lab.mac(bench.host, bench.link);
    let frame = ip_frame(bench.tester.mac, mac, &tcp_packet(payload).build());
    let mut packet = Packet::from_slice(&frame);
    packet.meta.checksum = ChecksumState::Partial { start: 20, offset: 16 };
    let (now, link) = (bench.lab.now(), bench.link);
    bench.stack().handle_frame(now, link, packet);
    bench.lab.settle();
    let reset = bench.lab.heard_one_ip(bench.tester);
    assert_eq!(Tcp::parse(ipv4(&reset).payload()).unwrap().ack(), SeqNumber(10));
}

/// For forwarded packets the reset comes from the address that was meant.
#[test]
fn a_router_resets_in_the_name_of_the_destination() {
    let (mut bench, far) = router();
    register(&mut bench, HookPoint::Forward, always(Verdict::Reject(RejectReason::TcpReset)));
    let dst = ip("10.0.1.9");
    let mut payload = segment(&Segment { flags: TcpFlags::SYN, seq: 9, ack: 0, data: b"" });
    tcp::fill_checksum(&mut payload, pseudo_header_sum(ip(PEER), dst, Protocol::TCP, 20));
    let packet = Ip::new(ip(PEER), dst, Protocol::TCP, payload).build();
    assert_eq!(bench.give(&packet), [DropReason::HookReject]);
    let reset = bench.lab.heard_one_ip(bench.tester);
    assert_eq!((ipv4(&reset).src(), ipv4(&reset).dst()), (dst, ip(PEER)));
    assert!(bench.lab.heard(far).is_empty());
}
