use proptest::prelude::*;
use tapping_stack::wire::MacAddr;
use tapping_stack::wire::ethernet::EthernetRepr;

use super::*;

const KEYS: [u64; 3] = [0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321, 0xdead_beef_0bad_cafe];

/// What the kernel's machine does with a program, as far as ours has it (RFC 9669).
fn run(program: &[u64], frame: &[u8]) -> u64 {
    let mut registers = [0u64; 11];
    let mut at = 0;
    for _ in 0..program.len() {
        let [code, registers_of, a, b, c, d, e, f] = program[at].to_le_bytes();
        let (dst, src) = (usize::from(registers_of & 15), usize::from(registers_of >> 4));
        let skip = usize::from(u16::from_le_bytes([a, b]));
        let immediate = u32::from_le_bytes([c, d, e, f]);
        at += 1;
        let load = |from: u64, len: usize| {
            let bytes = frame.get(from as usize..from as usize + len)?;
            Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        let value = u64::from(immediate);
        let loaded = match code {
            0x20 => load(value, 4),
            0x28 => load(value, 2),
            0x30 => load(value, 1),
            0x40 => load(value + registers[src], 4),
            _ => Some(registers[0]),
        };
        let Some(loaded) = loaded else { return 0 };
        registers[0] = loaded;
        match code {
            0x20 | 0x28 | 0x30 | 0x40 => {}
            0xbf => registers[dst] = registers[src],
            0xb7 => registers[dst] = value,
            0x18 => {
                registers[dst] = program[at] & 0xffff_ffff_0000_0000 | value;
                at += 1;
            }
            0x0f => registers[dst] = registers[dst].wrapping_add(registers[src]),
            0x2f => registers[dst] = registers[dst].wrapping_mul(registers[src]),
            0x57 => registers[dst] &= value,
            0x67 => registers[dst] <<= value,
            0x77 => registers[dst] >>= value,
            0x15 if registers[dst] == value => at += skip,
            0x55 if registers[dst] != value => at += skip,
            0x45 if registers[dst] & value != 0 => at += skip,
            0x15 | 0x55 | 0x45 => {}
            0x95 => return registers[0],
            other => panic!("instruction {other:#04x}"),
        }
    }
    panic!("the program does not end");
}

/// An IPv4 packet in an Ethernet frame, with so many bytes of options.
fn frame(protocol: u8, remote: SocketAddrV4, local: SocketAddrV4, options: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + options + 8];
    let (src, dst) = (MacAddr([2; 6]), MacAddr([4; 6]));
    EthernetRepr { dst, src, ethertype: EtherType::IPV4 }.emit(&mut frame);
    frame[14] = 0x45 + (options / 4) as u8;
    frame[23] = protocol;
    frame[26..30].copy_from_slice(&remote.ip().octets());
    frame[30..34].copy_from_slice(&local.ip().octets());
    let ports = 34 + options;
    frame[ports..ports + 2].copy_from_slice(&remote.port().to_be_bytes());
    frame[ports + 2..ports + 4].copy_from_slice(&local.port().to_be_bytes());
    frame
}

proptest! {
    /// It is told where the frame comes, before it comes.
    #[test]
    fn the_program_does_what_is_said_of_it(
        keys in any::<[u64; 3]>(),
        queues in 1..256u32,
        protocol in prop_oneof![Just(6u8), Just(17), any::<u8>()],
        remote in any::<(u32, u16)>(),
        local in any::<(u32, u16)>(),
        words in 0..=10usize,
        fragment in prop_oneof![Just(0u16), Just(0x4000), any::<u16>()],
    ) {
        let steering = Steering { keys, queues };
        let remote = SocketAddrV4::new(remote.0.into(), remote.1);
        let local = SocketAddrV4::new(local.0.into(), local.1);
        let mut frame = frame(protocol, remote, local, 4 * words);
        frame[20..22].copy_from_slice(&fragment.to_be_bytes());
        let whole = fragment & 0x3fff == 0;
        let expected = match whole {
            true => steering.queue_of(protocol, remote, local),
            false => {
                let portless = |addr: SocketAddrV4| SocketAddrV4::new(*addr.ip(), 0);
                steering.queue_of(protocol, portless(remote), portless(local))
            }
        };
        let hash = run(&steering.program(), &frame);
        prop_assert_eq!((hash as u32 % queues) as usize, expected);
    }

    #[test]
    fn no_frame_upsets_it(frame in prop::collection::vec(any::<u8>(), 0..100)) {
        let hash = run(&Steering { keys: KEYS, queues: 4 }.program(), &frame);
        prop_assert!(hash <= u64::from(u32::MAX));
        concerns_all(&frame);
    }
}

#[test]
fn ports_next_to_each_other_are_spread() {
    let steering = Steering { keys: KEYS, queues: 4 };
    let local = "10.0.0.2:80".parse().unwrap();
    let mut counts = [0; 4];
    for port in 32_768..33_768 {
        let remote = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), port);
        counts[steering.queue_of(6, remote, local)] += 1;
    }
    assert!(counts.iter().all(|count| (150..350).contains(count)), "{counts:?}");
}

#[test]
fn what_concerns_all() {
    let [remote, local] = ["10.0.0.1:7", "10.0.0.2:7"].map(|addr| addr.parse().unwrap());
    let mut packet = frame(1, remote, local, 0);
    (packet[16], packet[17]) = (0, 28);
    for kind in 0..=20 {
        packet[34] = kind;
        assert_eq!(concerns_all(&packet), matches!(kind, 3 | 4 | 5 | 11 | 12), "ICMP {kind}");
    }
    for (protocol, all) in [(2, true), (6, false), (17, false), (47, false)] {
        packet[23] = protocol;
        assert_eq!(concerns_all(&packet), all, "protocol {protocol}");
    }
    let mut bytes = vec![0; 14 + 28];
    let (src, dst) = (MacAddr([2; 6]), MacAddr([4; 6]));
    EthernetRepr { dst, src, ethertype: EtherType::ARP }.emit(&mut bytes);
    for (operation, all) in [(ArpOperation::Request, false), (ArpOperation::Reply, true)] {
        let (sender_ip, target_ip) = (*remote.ip(), *local.ip());
        let arp = Arp { operation, sender_mac: src, sender_ip, target_mac: dst, target_ip };
        arp.emit(&mut bytes[14..]);
        assert_eq!(concerns_all(&bytes), all);
    }
}
