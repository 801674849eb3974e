//! Parsing and checksums beside etherparse, pnet_packet and smoltcp, each by its quickest way that
//! still refuses a header it cannot read.

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tapping_stack::wire::{
    EtherType, Ethernet, EthernetRepr, Ipv4, Ipv4Repr, MacAddr, Protocol, SackBlock, SeqNumber,
    Tcp, TcpFlags, TcpOptionsRepr, TcpRepr, checksum, ethernet, ipv4,
};

/// What a demultiplexer needs.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    ethertype: u16,
    protocol: u8,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    src_port: u16,
    dst_port: u16,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    payload_len: usize,
}

fn ours(frame: &[u8]) -> Option<Fields> {
    let ethernet = Ethernet::parse(frame).ok()?;
    if ethernet.ethertype() != EtherType::IPV4 {
        return None;
    }
    let ip = Ipv4::parse(ethernet.payload()).ok()?;
    if ip.protocol() != Protocol::TCP || ip.is_fragment() {
        return None;
    }
    let tcp = Tcp::parse(ip.payload()).ok()?;
    Some(Fields {
        ethertype: ethernet.ethertype().0,
        protocol: ip.protocol().0,
        src: ip.src(),
        dst: ip.dst(),
        src_port: tcp.src_port(),
        dst_port: tcp.dst_port(),
        seq: tcp.seq().0,
        ack: tcp.ack().0,
        flags: tcp.flags().bits() as u8,
        window: tcp.window(),
        payload_len: tcp.payload().len(),
    })
}

fn etherparse(frame: &[u8]) -> Option<Fields> {
    use etherparse::{Ethernet2Slice, Ipv4Slice, TcpSlice, ether_type, ip_number};
    let ethernet = Ethernet2Slice::from_slice_without_fcs(frame).ok()?;
    if ethernet.ether_type() != ether_type::IPV4 {
        return None;
    }
    let packet = Ipv4Slice::from_slice(ethernet.payload_slice()).ok()?;
    let ip = packet.header();
    if ip.protocol() != ip_number::TCP || ip.is_fragmenting_payload() {
        return None;
    }
    let tcp = TcpSlice::from_slice(packet.payload().payload).ok()?;
    // The byte of flags at once is what it offers least effort for.
    let flags = tcp.header_slice()[13];
    Some(Fields {
        ethertype: ethernet.ether_type().0,
        protocol: ip.protocol().0,
        src: ip.source_addr(),
        dst: ip.destination_addr(),
        src_port: tcp.source_port(),
        dst_port: tcp.destination_port(),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags,
        window: tcp.window_size(),
        payload_len: tcp.payload().len(),
    })
}

fn pnet(frame: &[u8]) -> Option<Fields> {
    use pnet_packet::Packet;
    use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
    use pnet_packet::ip::IpNextHeaderProtocols;
    use pnet_packet::ipv4::Ipv4Packet;
    use pnet_packet::tcp::TcpPacket;
    let ethernet = EthernetPacket::new(frame)?;
    if ethernet.get_ethertype() != EtherTypes::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new(ethernet.payload())?;
    let fragment = ip.get_flags() & 1 != 0 || ip.get_fragment_offset() != 0;
    if ip.get_next_level_protocol() != IpNextHeaderProtocols::Tcp || fragment {
        return None;
    }
    let tcp = TcpPacket::new(ip.payload())?;
    Some(Fields {
        ethertype: ethernet.get_ethertype().0,
        protocol: ip.get_next_level_protocol().0,
        src: ip.get_source(),
        dst: ip.get_destination(),
        src_port: tcp.get_source(),
        dst_port: tcp.get_destination(),
        seq: tcp.get_sequence(),
        ack: tcp.get_acknowledgement(),
        flags: tcp.get_flags(),
        window: tcp.get_window(),
        payload_len: tcp.payload().len(),
    })
}

fn smoltcp(frame: &[u8]) -> Option<Fields> {
    use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket};
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Tcp || ip.more_frags() || ip.frag_offset() != 0 {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    let flags = flag(tcp.fin(), 1)
        | flag(tcp.syn(), 2)
        | flag(tcp.rst(), 4)
        | flag(tcp.psh(), 8)
        | flag(tcp.ack(), 16)
        | flag(tcp.urg(), 32);
    Some(Fields {
        ethertype: ethernet.ethertype().into(),
        protocol: ip.next_header().into(),
        src: ip.src_addr(),
        dst: ip.dst_addr(),
        src_port: tcp.src_port(),
        dst_port: tcp.dst_port(),
        seq: tcp.seq_number().0 as u32,
        ack: tcp.ack_number().0 as u32,
        flags,
        window: tcp.window_len(),
        payload_len: tcp.payload().len(),
    })
}

/// Segments as a bulk transfer has them: data with timestamps, acknowledgments, some with SACK.
fn frames() -> Vec<Vec<u8>> {
    (0u32..64).map(frame).collect()
}

fn frame(n: u32) -> Vec<u8> {
    let payload_len = if n.is_multiple_of(3) { 0 } else { 64 + n as usize };
    let block = SackBlock { left: SeqNumber(n), right: SeqNumber(n + 1448) };
    let sack: &[SackBlock] = if n.is_multiple_of(9) { &[block] } else { &[] };
    let tcp = TcpRepr {
        src_port: 40_000 + n as u16,
        dst_port: 5201,
        seq: SeqNumber(n * 1448),
        ack: SeqNumber(n * 7),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 501,
        urgent: 0,
        options: TcpOptionsRepr { timestamps: Some((n, n)), sack, ..Default::default() },
    };
    let total_len = ipv4::HEADER_LEN + tcp.header_len() + payload_len;
    let mut frame = vec![0; ethernet::HEADER_LEN + total_len];
    EthernetRepr {
        dst: MacAddr([2, 0, 0, 0, 0, 1]),
        src: MacAddr([2, 0, 0, 0, 0, 2]),
        ethertype: EtherType::IPV4,
    }
    .emit(&mut frame);
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    Ipv4Repr {
        tos: 0,
        id: n as u16,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::TCP,
        src,
        dst,
        total_len: total_len as u16,
        options_len: 0,
    }
    .emit(&mut frame[ethernet::HEADER_LEN..]);
    let segment = &mut frame[ethernet::HEADER_LEN + ipv4::HEADER_LEN..];
    tcp.emit(segment);
    let pseudo = ipv4::pseudo_header_sum(src, dst, Protocol::TCP, segment.len() as u16);
    tapping_stack::wire::tcp::fill_checksum(segment, pseudo);
    frame
}

type Parser = fn(&[u8]) -> Option<Fields>;

fn parse_eth_ipv4_tcp(c: &mut Criterion) {
    let frames = frames();
    let parsers: [(&str, Parser); 4] = [
        ("tapping", ours),
        ("etherparse", etherparse),
        ("pnet_packet", pnet),
        ("smoltcp", smoltcp),
    ];
    for frame in &frames {
        let fields = ours(frame).expect("frames made here parse");
        for (name, parser) in &parsers {
            assert_eq!(parser(frame).as_ref(), Some(&fields), "{name} reads other fields");
        }
    }

    let mut group = c.benchmark_group("parse_eth_ipv4_tcp");
    group.throughput(Throughput::Elements(frames.len() as u64));
    // Each parser is a type of its own to `bench`, so that it is inlined as in a program.
    macro_rules! bench {
        ($name:literal, $parser:ident) => {
            group.bench_function($name, |b| {
                b.iter(|| {
                    for frame in &frames {
                        black_box($parser(black_box(frame)));
                    }
                })
            });
        };
    }
    bench!("tapping", ours);
    bench!("etherparse", etherparse);
    bench!("pnet_packet", pnet);
    bench!("smoltcp", smoltcp);
    group.finish();
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum");
    for len in [20usize, 64, 1500, 65536] {
        let data: Vec<u8> = (0..len).map(|i| (i * 31 + 7) as u8).collect();
        let etherparse = |data: &[u8]| {
            u16::from_be(etherparse::checksum::u64_16bit_word::ones_complement(
                etherparse::checksum::u64_16bit_word::add_slice(0, data),
            ))
        };
        // Its `skipword` counts as zero; one beyond the data skips nothing.
        let pnet = |data: &[u8]| pnet_packet::util::checksum(data, usize::MAX);
        let smoltcp = |data: &[u8]| !smoltcp::wire::checksum::data(data);
        assert_eq!(checksum::checksum(&data), etherparse(&data));
        assert_eq!(checksum::checksum(&data), pnet(&data));
        assert_eq!(checksum::checksum(&data), smoltcp(&data));

        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("tapping", len), |b| {
            b.iter(|| checksum::checksum(black_box(&data)))
        });
        group.bench_function(BenchmarkId::new("etherparse", len), |b| {
            b.iter(|| etherparse(black_box(&data)))
        });
        group.bench_function(BenchmarkId::new("pnet_packet", len), |b| {
            b.iter(|| pnet(black_box(&data)))
        });
        group.bench_function(BenchmarkId::new("smoltcp", len), |b| {
            b.iter(|| smoltcp(black_box(&data)))
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = tapping_benches::criterion();
    targets = parse_eth_ipv4_tcp, checksums
}
criterion_main!(benches);
