//! UDP and TCP against etherparse, pnet_packet and smoltcp.

use std::net::Ipv4Addr;

use etherparse::TcpOptionElement;
use pnet_packet::Packet;
use pnet_packet::tcp::{MutableTcpPacket, TcpPacket};
use pnet_packet::udp::{MutableUdpPacket, UdpPacket};
use proptest::prelude::*;
use smoltcp::wire::TcpOption as SmolOption;
use tapping_stack::wire::ipv4::pseudo_header_sum;
use tapping_stack::wire::tcp_options::kinds;
use tapping_stack::wire::{
    Checksum, Protocol, SackBlock, SeqNumber, Tcp, TcpFlags, TcpOption, TcpOptions, TcpOptionsRepr,
    TcpRepr, Udp, UdpRepr, tcp, udp,
};

const SRC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

fn pseudo(protocol: Protocol, len: usize) -> Checksum {
    pseudo_header_sum(SRC, DST, protocol, len as u16)
}

/// What a [`TcpOptionsRepr`] borrows.
#[derive(Debug, Clone)]
struct Options {
    mss: Option<u16>,
    window_scale: Option<u8>,
    sack_permitted: bool,
    timestamps: Option<(u32, u32)>,
    fast_open: Option<Vec<u8>>,
    sack: Vec<SackBlock>,
}

impl Options {
    fn repr(&self) -> TcpOptionsRepr<'_> {
        TcpOptionsRepr {
            mss: self.mss,
            window_scale: self.window_scale,
            sack_permitted: self.sack_permitted,
            timestamps: self.timestamps,
            fast_open: self.fast_open.as_deref(),
            sack: &self.sack,
        }
    }
}

fn options() -> impl Strategy<Value = Options> {
    let block = (any::<u32>(), any::<u32>())
        .prop_map(|(left, right)| SackBlock { left: SeqNumber(left), right: SeqNumber(right) });
    let cookie = prop::collection::vec(any::<u8>(), 0..20);
    let syn = (any::<Option<u16>>(), any::<Option<u8>>(), any::<bool>());
    let rest = (any::<Option<(u32, u32)>>(), prop::option::weighted(0.2, cookie));
    (syn, rest, prop::collection::vec(block, 0..6)).prop_map(|(syn, rest, sack)| Options {
        mss: syn.0,
        window_scale: syn.1,
        sack_permitted: syn.2,
        timestamps: rest.0,
        fast_open: rest.1,
        sack,
    })
}

#[derive(Debug, Clone)]
struct Segment {
    repr: TcpRepr<'static>,
    options: Options,
    payload: Vec<u8>,
}

impl Segment {
    fn repr(&self) -> TcpRepr<'_> {
        TcpRepr { options: self.options.repr(), ..self.repr }
    }

    fn emit(&self) -> Vec<u8> {
        let mut bytes = vec![0xff; self.repr().header_len()];
        self.repr().emit(&mut bytes);
        bytes.extend_from_slice(&self.payload);
        let pseudo = pseudo(Protocol::TCP, bytes.len());
        tcp::fill_checksum(&mut bytes, pseudo);
        bytes
    }
}

fn segment() -> impl Strategy<Value = Segment> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>());
    let rest = (0..0x200u16, any::<u16>(), any::<u16>());
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    (numbers, rest, options(), payload).prop_map(|(numbers, rest, options, payload)| {
        let repr = TcpRepr {
            src_port: numbers.0,
            dst_port: numbers.1,
            seq: SeqNumber(numbers.2),
            ack: SeqNumber(numbers.3),
            flags: TcpFlags::from_bits_truncate(rest.0),
            window: rest.1,
            urgent: rest.2,
            options: TcpOptionsRepr::default(),
        };
        Segment { repr, options, payload }
    })
}

/// One option as all of them may name it.
#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    /// The first three blocks: two of the peers read no fourth.
    Sack(Vec<(u32, u32)>),
    Timestamps(u32, u32),
    Other,
}

fn plain(option: &TcpOption<'_>) -> Plain {
    match *option {
        TcpOption::Nop => Plain::Nop,
        TcpOption::MaximumSegmentSize(mss) => Plain::Mss(mss),
        TcpOption::WindowScale(shift) => Plain::WindowScale(shift),
        TcpOption::SackPermitted => Plain::SackPermitted,
        TcpOption::Sack(blocks) => {
            let blocks = blocks.iter().map(|block| (block.left.0, block.right.0));
            Plain::Sack(blocks.collect())
        }
        TcpOption::Timestamps { value, echo } => Plain::Timestamps(value, echo),
        TcpOption::FastOpen(_) | TcpOption::Unknown { .. } => Plain::Other,
    }
}

fn first_three(mut option: Plain) -> Plain {
    if let Plain::Sack(blocks) = &mut option {
        blocks.truncate(3);
    }
    option
}

fn ours(bytes: &[u8]) -> (Vec<Plain>, bool) {
    let read: Vec<_> = TcpOptions::new(bytes).collect();
    let failed = read.last().is_some_and(Result::is_err);
    (read.iter().flatten().map(plain).collect(), failed)
}

/// Up to the first option that etherparse does not know.
fn by_etherparse(bytes: &[u8]) -> Vec<Plain> {
    let options = etherparse::TcpOptionsIterator::from_slice(bytes);
    let options = options.map_while(Result::ok).map(|option| match option {
        TcpOptionElement::Noop => Plain::Nop,
        TcpOptionElement::MaximumSegmentSize(mss) => Plain::Mss(mss),
        TcpOptionElement::WindowScale(shift) => Plain::WindowScale(shift),
        TcpOptionElement::SelectiveAcknowledgementPermitted => Plain::SackPermitted,
        TcpOptionElement::SelectiveAcknowledgement(first, rest) => {
            Plain::Sack([first].into_iter().chain(rest.into_iter().flatten()).collect())
        }
        TcpOptionElement::Timestamp(value, echo) => Plain::Timestamps(value, echo),
    });
    options.collect()
}

/// Up to the first option that smoltcp refuses; whether that is the end of the list.
fn by_smoltcp(mut bytes: &[u8]) -> (Vec<Plain>, bool) {
    let mut options = Vec::new();
    while !bytes.is_empty() {
        let Ok((rest, option)) = SmolOption::parse(bytes) else { return (options, false) };
        options.push(match option {
            SmolOption::EndOfList => break,
            SmolOption::NoOperation => Plain::Nop,
            SmolOption::MaxSegmentSize(mss) => Plain::Mss(mss),
            SmolOption::WindowScale(shift) => Plain::WindowScale(shift),
            SmolOption::SackPermitted => Plain::SackPermitted,
            SmolOption::SackRange(blocks) => Plain::Sack(blocks.into_iter().flatten().collect()),
            SmolOption::TimeStamp { tsval, tsecr } => Plain::Timestamps(tsval, tsecr),
            SmolOption::Unknown { .. } => Plain::Other,
        });
        bytes = rest;
    }
    (options, true)
}

/// Option bytes that mean something more often than not.
fn option_bytes() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        (kinds::MSS, 4u8),
        (kinds::WINDOW_SCALE, 3),
        (kinds::SACK_PERMITTED, 2),
        (kinds::SACK, 10),
        (kinds::SACK, 18),
        (kinds::SACK, 34),
        (kinds::TIMESTAMPS, 10),
        (kinds::FAST_OPEN, 10),
    ]);
    let known = (known, any::<[u8; 32]>(), prop_oneof![8 => Just(0i8), 1 => -3..=3i8]).prop_map(
        |((kind, len), data, slip)| {
            let mut option = vec![kind, len.wrapping_add_signed(slip)];
            option.extend_from_slice(&data[..usize::from(len) - 2]);
            option
        },
    );
    let option = prop_oneof![
        4 => known,
        2 => Just(vec![kinds::NOP]),
        1 => Just(vec![kinds::END]),
        1 => prop::collection::vec(any::<u8>(), 1..8),
    ];
    prop::collection::vec(option, 0..6).prop_map(|options| {
        let mut bytes = options.concat();
        bytes.truncate(40);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn udp_both_ways(
        ports in any::<(u16, u16)>(),
        payload in prop::collection::vec(any::<u8>(), 0..64),
        padding in 0..4usize,
    ) {
        let len = udp::HEADER_LEN + payload.len();
        let repr = UdpRepr { src_port: ports.0, dst_port: ports.1, len: len as u16 };
        let mut bytes = vec![0xff; udp::HEADER_LEN];
        repr.emit(&mut bytes);
        bytes.extend_from_slice(&payload);
        let pseudo = pseudo(Protocol::UDP, len);
        udp::fill_checksum(&mut bytes, pseudo);
        let check = Udp::parse(&bytes).unwrap().checksum();

        let header = etherparse::UdpHeader {
            source_port: ports.0,
            destination_port: ports.1,
            length: len as u16,
            checksum: check,
        };
        let calculated = header.calc_checksum_ipv4_raw(SRC.octets(), DST.octets(), &payload);
        prop_assert_eq!(calculated, Ok(check));
        prop_assert_eq!([&header.to_bytes()[..], &payload].concat(), &bytes[..]);

        let mut by_pnet = vec![0; len];
        let mut packet = MutableUdpPacket::new(&mut by_pnet).unwrap();
        packet.set_source(ports.0);
        packet.set_destination(ports.1);
        packet.set_length(len as u16);
        packet.set_payload(&payload);
        // RFC 768: it leaves a zero as it is.
        let calculated = pnet_packet::udp::ipv4_checksum(&packet.to_immutable(), &SRC, &DST);
        prop_assert_eq!(if calculated == 0 { 0xffff } else { calculated }, check);
        packet.set_checksum(check);
        prop_assert_eq!(&by_pnet, &bytes);

        let mut by_smoltcp = vec![0; len];
        let mut packet = smoltcp::wire::UdpPacket::new_unchecked(&mut by_smoltcp[..]);
        packet.set_src_port(ports.0);
        packet.set_dst_port(ports.1);
        packet.set_len(len as u16);
        packet.payload_mut().copy_from_slice(&payload);
        packet.fill_checksum(&SRC.into(), &DST.into());
        prop_assert_eq!(&by_smoltcp, &bytes);

        bytes.resize(len + padding, 0xaa);
        let ours = Udp::parse(&bytes).unwrap();
        prop_assert_eq!(UdpRepr::from_view(&ours), repr);
        prop_assert_eq!(ours.payload(), &payload[..]);
        prop_assert!(ours.verify_checksum(pseudo));
        let theirs = etherparse::UdpSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!((theirs.to_header(), theirs.payload()), (header, &payload[..]));
        // Its payload reaches to the end of the buffer, whatever the length field says.
        let theirs = UdpPacket::new(&bytes[..len]).unwrap();
        prop_assert_eq!((theirs.get_source(), theirs.get_destination()), ports);
        prop_assert_eq!(theirs.get_length(), repr.len);
        prop_assert_eq!(theirs.payload(), &payload[..]);
        let theirs = smoltcp::wire::UdpPacket::new_checked(&bytes[..]).unwrap();
        prop_assert_eq!((theirs.src_port(), theirs.dst_port()), ports);
        prop_assert_eq!(theirs.payload(), &payload[..]);
        prop_assert!(theirs.verify_checksum(&SRC.into(), &DST.into()));
    }

    #[test]
    fn udp_validity(
        mut bytes in prop::collection::vec(any::<u8>(), 0..32),
        len in prop_oneof![4 => 0..40u16, 1 => any::<u16>()],
    ) {
        if let Some(field) = bytes.get_mut(4..6) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        let ours = Udp::parse(&bytes);
        let theirs = smoltcp::wire::UdpPacket::new_checked(&bytes[..]);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        // A length of zero is to etherparse the jumbogram of IPv6 (RFC 2675).
        let theirs = etherparse::UdpSlice::from_slice(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok() && len != 0);
        if let Ok(ours) = ours {
            prop_assert_eq!(ours.payload(), theirs.unwrap().payload());
        }
    }

    #[test]
    fn tcp_we_emit_we_and_they_read(segment in segment()) {
        let bytes = segment.emit();
        let repr = segment.repr();
        let (payload, flags) = (&segment.payload[..], repr.flags);
        let ours = Tcp::parse(&bytes).unwrap();
        prop_assert_eq!((ours.src_port(), ours.dst_port()), (repr.src_port, repr.dst_port));
        prop_assert_eq!((ours.seq(), ours.ack(), ours.flags()), (repr.seq, repr.ack, flags));
        prop_assert_eq!((ours.window(), ours.urgent()), (repr.window, repr.urgent));
        prop_assert_eq!((ours.header_len(), ours.payload()), (repr.header_len(), payload));
        prop_assert!(ours.verify_checksum(pseudo(Protocol::TCP, bytes.len())));

        let theirs = etherparse::TcpSlice::from_slice(&bytes).unwrap();
        prop_assert_eq!(theirs.source_port(), repr.src_port);
        prop_assert_eq!(theirs.destination_port(), repr.dst_port);
        prop_assert_eq!(theirs.sequence_number(), repr.seq.0);
        prop_assert_eq!(theirs.acknowledgment_number(), repr.ack.0);
        let bits = [theirs.fin(), theirs.syn(), theirs.rst(), theirs.psh(), theirs.ack()];
        let more = [theirs.urg(), theirs.ece(), theirs.cwr(), theirs.ns()];
        prop_assert_eq!(collect_flags(bits.into_iter().chain(more)), flags);
        prop_assert_eq!((theirs.window_size(), theirs.urgent_pointer()), (repr.window, repr.urgent));
        prop_assert_eq!((theirs.options(), theirs.payload()), (ours.options(), payload));
        prop_assert_eq!(
            theirs.to_header().calc_checksum_ipv4_raw(SRC.octets(), DST.octets(), payload),
            Ok(ours.checksum())
        );

        let theirs = TcpPacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_source(), repr.src_port);
        prop_assert_eq!(theirs.get_destination(), repr.dst_port);
        prop_assert_eq!(theirs.get_sequence(), repr.seq.0);
        prop_assert_eq!(theirs.get_acknowledgement(), repr.ack.0);
        prop_assert_eq!(u16::from(theirs.get_flags()), flags.bits() & 0xff);
        prop_assert_eq!(u16::from(theirs.get_reserved()), flags.bits() >> 8);
        prop_assert_eq!((theirs.get_window(), theirs.get_urgent_ptr()), (repr.window, repr.urgent));
        prop_assert_eq!((theirs.get_options_raw(), theirs.payload()), (ours.options(), payload));
        let check = pnet_packet::tcp::ipv4_checksum(&theirs, &SRC, &DST);
        prop_assert_eq!(check, ours.checksum());

        let theirs = smoltcp::wire::TcpPacket::new_checked(&bytes[..]).unwrap();
        prop_assert_eq!((theirs.src_port(), theirs.dst_port()), (repr.src_port, repr.dst_port));
        prop_assert_eq!(theirs.seq_number().0 as u32, repr.seq.0);
        prop_assert_eq!(theirs.ack_number().0 as u32, repr.ack.0);
        let bits = [theirs.fin(), theirs.syn(), theirs.rst(), theirs.psh(), theirs.ack()];
        let more = [theirs.urg(), theirs.ece(), theirs.cwr(), theirs.ns()];
        prop_assert_eq!(collect_flags(bits.into_iter().chain(more)), flags);
        prop_assert_eq!((theirs.window_len(), theirs.urgent_at()), (repr.window, repr.urgent));
        prop_assert_eq!((theirs.options(), theirs.payload()), (ours.options(), payload));
        prop_assert_eq!(ours.segment_len() as usize, theirs.segment_len());
        prop_assert!(theirs.verify_checksum(&SRC.into(), &DST.into()));
    }

    #[test]
    fn tcp_they_emit_we_read(segment in segment()) {
        let bytes = segment.emit();
        let (repr, header_len) = (segment.repr(), segment.repr().header_len());
        let has = |flag| repr.flags.contains(flag);
        let mut header = etherparse::TcpHeader {
            source_port: repr.src_port,
            destination_port: repr.dst_port,
            sequence_number: repr.seq.0,
            acknowledgment_number: repr.ack.0,
            ns: has(TcpFlags::AE),
            fin: has(TcpFlags::FIN),
            syn: has(TcpFlags::SYN),
            rst: has(TcpFlags::RST),
            psh: has(TcpFlags::PSH),
            ack: has(TcpFlags::ACK),
            urg: has(TcpFlags::URG),
            ece: has(TcpFlags::ECE),
            cwr: has(TcpFlags::CWR),
            window_size: repr.window,
            urgent_pointer: repr.urgent,
            ..Default::default()
        };
        header.set_options_raw(&bytes[tcp::HEADER_LEN..header_len]).unwrap();
        let check = header.calc_checksum_ipv4_raw(SRC.octets(), DST.octets(), &segment.payload);
        header.checksum = check.unwrap();
        prop_assert_eq!([&header.to_bytes()[..], &segment.payload].concat(), &bytes[..]);

        let mut by_pnet = vec![0; bytes.len()];
        let mut packet = MutableTcpPacket::new(&mut by_pnet).unwrap();
        packet.set_source(repr.src_port);
        packet.set_destination(repr.dst_port);
        packet.set_sequence(repr.seq.0);
        packet.set_acknowledgement(repr.ack.0);
        packet.set_data_offset((header_len / 4) as u8);
        packet.set_reserved((repr.flags.bits() >> 8) as u8);
        packet.set_flags(repr.flags.bits() as u8);
        packet.set_window(repr.window);
        packet.set_urgent_ptr(repr.urgent);
        packet.get_options_raw_mut().copy_from_slice(&bytes[tcp::HEADER_LEN..header_len]);
        packet.set_payload(&segment.payload);
        let check = pnet_packet::tcp::ipv4_checksum(&packet.to_immutable(), &SRC, &DST);
        packet.set_checksum(check);
        prop_assert_eq!(&by_pnet, &bytes);

        let mut by_smoltcp = vec![0; bytes.len()];
        let mut packet = smoltcp::wire::TcpPacket::new_unchecked(&mut by_smoltcp[..]);
        packet.set_src_port(repr.src_port);
        packet.set_dst_port(repr.dst_port);
        packet.set_seq_number(smoltcp::wire::TcpSeqNumber(repr.seq.0 as i32));
        packet.set_ack_number(smoltcp::wire::TcpSeqNumber(repr.ack.0 as i32));
        packet.set_header_len(header_len as u8);
        packet.set_fin(has(TcpFlags::FIN));
        packet.set_syn(has(TcpFlags::SYN));
        packet.set_rst(has(TcpFlags::RST));
        packet.set_psh(has(TcpFlags::PSH));
        packet.set_ack(has(TcpFlags::ACK));
        packet.set_urg(has(TcpFlags::URG));
        packet.set_ece(has(TcpFlags::ECE));
        packet.set_cwr(has(TcpFlags::CWR));
        packet.set_ns(has(TcpFlags::AE));
        packet.set_window_len(repr.window);
        packet.set_urgent_at(repr.urgent);
        packet.options_mut().copy_from_slice(&bytes[tcp::HEADER_LEN..header_len]);
        packet.payload_mut().copy_from_slice(&segment.payload);
        packet.fill_checksum(&SRC.into(), &DST.into());
        prop_assert_eq!(&by_smoltcp, &bytes);
    }

    #[test]
    fn tcp_validity(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        offset in prop_oneof![3 => 4..12u8, 1 => 0..16u8],
    ) {
        if let Some(field) = bytes.get_mut(12) {
            *field = offset << 4 | *field & 0x0f;
        }
        let ours = Tcp::parse(&bytes);
        let theirs = etherparse::TcpSlice::from_slice(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        let theirs = smoltcp::wire::TcpPacket::new_checked(&bytes[..]);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let Ok(ours) = ours {
            let theirs = theirs.unwrap();
            prop_assert_eq!((ours.options(), ours.payload()), (theirs.options(), theirs.payload()));
        }
    }

    #[test]
    fn tcp_options_we_emit_all_read(options in options()) {
        let repr = options.repr();
        let mut bytes = vec![0xff; repr.len()];
        repr.emit(&mut bytes);
        prop_assert!(bytes.len() <= 40 && bytes.len().is_multiple_of(4));

        let mut expected = Vec::new();
        expected.extend(options.mss.map(Plain::Mss));
        expected.extend(options.sack_permitted.then_some(Plain::SackPermitted));
        expected.extend(options.timestamps.map(|(value, echo)| Plain::Timestamps(value, echo)));
        expected.extend(options.window_scale.map(Plain::WindowScale));
        let cookie = options.fast_open.as_deref().filter(|cookie| {
            matches!(cookie.len(), 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16)
        });
        expected.extend(cookie.iter().map(|_| Plain::Other));
        if let blocks @ [_, ..] = repr.sack_fitting() {
            let blocks = blocks.iter().map(|block| (block.left.0, block.right.0));
            expected.push(Plain::Sack(blocks.collect()));
        }
        let (read, failed) = ours(&bytes);
        prop_assert!(!failed);
        let read: Vec<_> = read.into_iter().filter(|option| *option != Plain::Nop).collect();
        prop_assert_eq!(&read, &expected);
        let cookies = TcpOptions::new(&bytes).filter_map(|option| match option {
            Ok(TcpOption::FastOpen(cookie)) => Some(cookie),
            _ => None,
        });
        prop_assert_eq!(cookies.collect::<Vec<_>>(), cookie.into_iter().collect::<Vec<_>>());

        let (theirs, whole) = by_smoltcp(&bytes);
        prop_assert!(whole);
        let theirs: Vec<_> = theirs.into_iter().filter(|option| *option != Plain::Nop).collect();
        let expected: Vec<_> = expected.into_iter().map(first_three).collect();
        prop_assert_eq!(theirs, &expected[..]);
        if cookie.is_none() {
            let theirs = by_etherparse(&bytes).into_iter().map(first_three);
            let theirs: Vec<_> = theirs.filter(|option| *option != Plain::Nop).collect();
            prop_assert_eq!(theirs, expected);
        }
    }

    /// Ours goes on where a peer gives up; as far as a peer comes, both read the same.
    #[test]
    fn tcp_options_any_bytes(bytes in option_bytes()) {
        let (ours, failed) = ours(&bytes);
        prop_assert!(ours.len() <= bytes.len());
        let ours: Vec<_> = ours.into_iter().map(first_three).collect();

        let theirs: Vec<_> = by_etherparse(&bytes).into_iter().map(first_three).collect();
        prop_assert!(ours.starts_with(&theirs));
        let (theirs, whole) = by_smoltcp(&bytes);
        prop_assert!(ours.starts_with(&theirs));
        if whole {
            prop_assert!(!failed && ours.len() == theirs.len());
        }
    }

    #[test]
    fn sequence_numbers_order_as_smoltcp_has_them(start in any::<u32>(), step in any::<i32>()) {
        use smoltcp::wire::TcpSeqNumber;
        // Exactly half the space apart neither comes first; the peers differ there.
        prop_assume!(step != i32::MIN);
        let (a, b) = (SeqNumber(start), SeqNumber(start.wrapping_add_signed(step)));
        let (smol_a, smol_b) = (TcpSeqNumber(a.0 as i32), TcpSeqNumber(b.0 as i32));
        prop_assert_eq!((a.lt(b), a.le(b)), (smol_a < smol_b, smol_a <= smol_b));
        prop_assert_eq!((a.gt(b), a.ge(b)), (smol_a > smol_b, smol_a >= smol_b));
        prop_assert_eq!(b.distance(a), step);
        prop_assert_eq!(a + b.since(a), b);
    }
}

/// From FIN up to AE.
fn collect_flags(bits: impl Iterator<Item = bool>) -> TcpFlags {
    let bits = bits.enumerate().map(|(at, is)| u16::from(is) << at);
    TcpFlags::from_bits_truncate(bits.sum())
}
