use std::fs;
use std::path::PathBuf;

use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use tapping_stack::packet::{ChecksumState, Packet, PacketPool};
use tapping_stack::time::Duration;
use tapping_stack::wire::ethernet::MacAddr;

use super::*;
use crate::device::{Device, DeviceConfig};
use crate::veth;

/// A file of its own for the test, removed when this goes.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Scratch(std::env::temp_dir().join(format!("tapping-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn config(name: &str) -> DeviceConfig {
    DeviceConfig { name: name.to_owned(), mac: MacAddr([2, 0, 0, 0, 0, 1]), mtu: 1500 }
}

fn frame(len: usize) -> Packet {
    let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
    Packet::from_slice(&bytes)
}

#[test]
fn another_reader_finds_what_passed_a_device() {
    let scratch = Scratch::new("passed.pcapng");
    let file = CaptureFile::create(&scratch.0).unwrap();
    let (a, b) = veth::pair(config("left"), config("right"));
    let (mut a, mut b) = (Capture::new(a, &file), Capture::new(b, &file));
    let mut pool = PacketPool::new(4, 4);
    for len in [60, 61, 62, 63, 1514] {
        a.transmit(frame(len)).unwrap();
        b.receive(&mut pool).unwrap().unwrap();
    }
    let refused = a.transmit(frame(4000));
    assert!(refused.is_err(), "a frame that did not go is not in the file");
    drop((a, b, file));

    let mut reader = PcapNgReader::new(fs::File::open(&scratch.0).unwrap()).unwrap();
    let mut seen = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            let flags = packet.options.iter().find_map(|option| match option {
                EnhancedPacketOption::Flags(flags) => Some(*flags),
                _ => None,
            });
            assert_eq!(packet.data, frame(packet.original_len as usize).bytes());
            // The reader takes the timestamp's units for nanoseconds, as they are.
            let age = crate::clock::Clock::wall().saturating_sub(packet.timestamp);
            assert!(age < Duration::from_secs(60), "{age:?}");
            seen.push((packet.interface_id, packet.data.len(), flags));
        }
    }
    let expected: Vec<_> = [60, 61, 62, 63, 1514]
        .into_iter()
        .flat_map(|len| [(0, len, Some(2)), (1, len, Some(1))])
        .collect();
    assert_eq!(seen, expected);
    let names: Vec<_> = reader
        .interfaces()
        .iter()
        .map(|interface| {
            assert_eq!(interface.linktype, DataLink::ETHERNET);
            assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
            interface.options.iter().find_map(|option| match option {
                InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                _ => None,
            })
        })
        .collect();
    assert_eq!(names, [Some("left".to_owned()), Some("right".to_owned())]);
}

#[test]
fn our_reader_reads_what_our_writer_wrote() {
    let scratch = Scratch::new("own.pcapng");
    let file = CaptureFile::create(&scratch.0).unwrap();
    let interface = file.add_interface("eth0", MacAddr::ZERO);
    let wall = Duration::new(1_700_000_000, 123_456_789);
    for n in 0..200u64 {
        let direction = if n % 2 == 0 { Direction::Inbound } else { Direction::Outbound };
        file.write(interface, wall + Duration::from_nanos(n), direction, &frame(1000));
    }
    drop(file);
    let mut reader = CaptureReader::open(&scratch.0).unwrap();
    for n in 0..200u64 {
        let record = reader.next_record().unwrap().unwrap();
        assert_eq!(record.timestamp, Some(wall + Duration::from_nanos(n)));
        assert_eq!((record.data, record.original_len), (frame(1000).bytes(), 1000));
    }
    assert!(reader.next_record().unwrap().is_none());
}

#[test]
fn a_checksum_left_for_later_is_whole_in_the_file() {
    // UDP from 10.0.0.1 to 10.0.0.2, 8 bytes of header and 4 of data; the field holds the folded
    // sum of the pseudo-header.
    let mut bytes = vec![0; 14 + 20 + 12];
    bytes[12..14].copy_from_slice(&[0x08, 0x00]);
    bytes[14] = 0x45;
    let udp = [0x04, 0xd2, 0x16, 0x2e, 0x00, 0x0c, 0x00, 0x00, b'd', b'a', b't', b'a'];
    bytes[34..].copy_from_slice(&udp);
    let pseudo = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 12u16;
    bytes[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let mut packet = Packet::from_slice(&bytes);
    packet.meta.checksum = ChecksumState::Partial { start: 20, offset: 6 };

    let scratch = Scratch::new("partial.pcapng");
    let file = CaptureFile::create(&scratch.0).unwrap();
    let interface = file.add_interface("eth0", MacAddr::ZERO);
    file.write(interface, Duration::ZERO, Direction::Outbound, &packet);
    drop(file);
    let mut reader = CaptureReader::open(&scratch.0).unwrap();
    let record = reader.next_record().unwrap().unwrap();
    // RFC 1071: over the pseudo-header and the datagram with its checksum the sum is all ones.
    let words = record.data[34..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut sum = u32::from(pseudo) + words.map(u32::from).sum::<u32>();
    sum = (sum & 0xffff) + (sum >> 16);
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    assert_eq!(packet.bytes(), bytes, "the packet itself is as it was");
}

#[test]
fn a_full_disk_ends_the_capture_not_the_traffic() {
    // Writing to /dev/full fails with ENOSPC (full(4)).
    let error = CaptureFile::create("/dev/full").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));

    let scratch = Scratch::new("full.pcapng");
    crate::testing::in_namespace(|| {
        // A file that may not grow beyond 100,000 bytes stands for a disk with so much room; the
        // signal that would say so is caught.
        let flag = std::sync::Arc::default();
        signal_hook::flag::register(libc::SIGXFSZ, flag).unwrap();
        let limit = rustix::process::Rlimit { current: Some(100_000), maximum: None };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();

        let file = CaptureFile::create(&scratch.0).unwrap();
        let (a, mut b) = veth::pair(config("a"), config("b"));
        let mut a = Capture::new(a, &file);
        let mut pool = PacketPool::new(4, 4);
        for _ in 0..300 {
            a.transmit(frame(1001)).unwrap();
            assert_eq!(b.receive(&mut pool).unwrap().unwrap().bytes(), frame(1001).bytes());
        }
        let error = file.take_error().expect("the file was full");
        assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
        assert!(file.take_error().is_none(), "told once");
        drop((a, file));

        // Whole blocks only.
        let mut reader = CaptureReader::open(&scratch.0).unwrap();
        let mut count = 0;
        while let Some(record) = reader.next_record().unwrap() {
            assert_eq!(record.data, frame(1001).bytes());
            count += 1;
        }
        assert!((90..100).contains(&count), "{count}");
    });
}

/// A pcap of Ethernet frames, in the byte order of `word`.
fn pcap(magic: u32, word: fn(u32) -> [u8; 4], fraction: u32, frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Version 2.4 is two halves, which the reader does not look at.
    for value in [magic, 0, 0, 0, 65_535, 1] {
        bytes.extend(word(value));
    }
    for (n, frame) in frames.iter().enumerate() {
        // Longer on the wire than kept, as a snapshot length makes it.
        for value in [1000 + n as u32, fraction, frame.len() as u32, frame.len() as u32 + 70_000] {
            bytes.extend(word(value));
        }
        bytes.extend_from_slice(frame);
    }
    bytes
}

#[test]
fn pcap_is_read_in_either_order_and_either_resolution() {
    for (magic, word, nanos) in [
        (0xa1b2_c3d4, u32::to_le_bytes as fn(u32) -> [u8; 4], 5_000),
        (0xa1b2_c3d4, u32::to_be_bytes, 5_000),
        (0xa1b2_3c4d, u32::to_le_bytes, 5),
        (0xa1b2_3c4d, u32::to_be_bytes, 5),
    ] {
        let bytes = pcap(magic, word, 5, &[&[1; 60], &[2; 61]]);
        let mut reader = CaptureReader::new(&bytes[..]).unwrap();
        let first = reader.next_record().unwrap().unwrap();
        assert_eq!(first.timestamp, Some(Duration::new(1000, nanos)));
        assert_eq!((first.data, first.original_len), (&[1; 60][..], 70_060));
        assert_eq!(reader.next_record().unwrap().unwrap().data, [2; 61]);
        assert!(reader.next_record().unwrap().is_none());
    }
}

/// A block in big-endian order.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32 + 12).to_be_bytes();
    [&kind.to_be_bytes()[..], &len, body, &len].concat()
}

#[test]
fn pcapng_of_others_is_read() {
    let mut section = 0x1a2b_3c4du32.to_be_bytes().to_vec();
    section.extend([0, 1, 0, 0]);
    section.extend([0xff; 8]);
    // Ethernet, no limit, no options: microseconds. Then raw IP. Then Ethernet in units of 2^-10 s.
    let microseconds = [0, 1, 0, 0, 0, 0, 0, 0];
    let raw_ip = [0, 101, 0, 0, 0, 0, 0, 0];
    let binary = [0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0x8a, 0, 0, 0];
    let enhanced = |interface: u32, units: u64, frame: &[u8]| {
        let mut body = Vec::new();
        let len = frame.len() as u32;
        for value in [interface, (units >> 32) as u32, units as u32, len, len] {
            body.extend(value.to_be_bytes());
        }
        body.extend_from_slice(frame);
        block(6, &body)
    };
    let file = [
        block(0x0a0d_0d0a, &section),
        block(1, &microseconds),
        block(1, &raw_ip),
        block(1, &binary),
        block(0x0bad_cafe, &[0; 400]),
        enhanced(0, 7_000_001, &[1; 60]),
        enhanced(1, 0, &[9; 60]),
        enhanced(2, 1536, &[2; 60]),
        block(3, &[&60u32.to_be_bytes()[..], &[3; 60]].concat()),
        // A new section starts with no interfaces.
        block(0x0a0d_0d0a, &section),
        enhanced(0, 0, &[4; 60]),
    ]
    .concat();
    let mut reader = CaptureReader::new(&file[..]).unwrap();
    let mut next =
        || reader.next_record().map(|r| r.map(|r| (r.timestamp, r.data[0], r.data.len())));
    assert_eq!(next().unwrap(), Some((Some(Duration::new(7, 1_000)), 1, 60)));
    assert_eq!(next().unwrap(), Some((Some(Duration::new(1, 500_000_000)), 2, 60)));
    assert_eq!(next().unwrap(), Some((None, 3, 60)));
    assert_eq!(next().unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn damaged_files_are_errors_not_panics() {
    let scratch = Scratch::new("damaged.pcapng");
    let file = CaptureFile::create(&scratch.0).unwrap();
    let interface = file.add_interface("eth0", MacAddr::ZERO);
    for len in [60, 61, 1000] {
        file.write(interface, Duration::from_secs(1), Direction::Inbound, &frame(len));
    }
    drop(file);
    let pcapng = fs::read(&scratch.0).unwrap();
    let pcap = pcap(0xa1b2_c3d4, u32::to_le_bytes, 5, &[&[1; 60], &[2; 61]]);
    for whole in [pcapng, pcap] {
        let drain = |bytes: &[u8]| {
            let Ok(mut reader) = CaptureReader::new(bytes) else { return };
            // No file has more records than bytes.
            for _ in 0..bytes.len() {
                match reader.next_record() {
                    Ok(Some(record)) => assert!(record.data.len() <= bytes.len()),
                    Ok(None) | Err(_) => return,
                }
            }
        };
        for len in 0..whole.len() {
            drain(&whole[..len]);
        }
        for at in 0..whole.len().min(400) {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                drain(&bytes);
            }
        }
    }
    let neither = CaptureReader::new(&b"no capture at all"[..]).unwrap_err();
    assert!(neither.to_string().contains("neither a pcap nor a pcapng"));
}

#[test]
fn a_replay_gives_the_frames_and_then_closes() {
    let scratch = Scratch::new("replay.pcapng");
    let file = CaptureFile::create(&scratch.0).unwrap();
    let interface = file.add_interface("eth0", MacAddr::ZERO);
    for (n, len) in [60, 700, 1514].into_iter().enumerate() {
        let at = Duration::from_secs(5) + Duration::from_millis(10) * n as u32;
        file.write(interface, at, Direction::Inbound, &frame(len));
    }
    drop(file);
    let mut pool = PacketPool::new(4, 4);

    let mut fast = Replay::open(&scratch.0, Pace::Fast, config("replay")).unwrap();
    for len in [60, 700, 1514] {
        assert_eq!(fast.receive(&mut pool).unwrap().unwrap().bytes(), frame(len).bytes());
    }
    assert!(fast.is_open());
    assert!(fast.receive(&mut pool).unwrap().is_none());
    assert!(!fast.is_open());

    let mut paced = Replay::open(&scratch.0, Pace::Recorded, config("replay")).unwrap();
    let start = std::time::Instant::now();
    let mut lens = Vec::new();
    while paced.is_open() {
        match paced.receive(&mut pool).unwrap() {
            Some(packet) => {
                // Never early: the n-th frame is n times 10 ms after the first.
                assert!(start.elapsed() >= Duration::from_millis(10) * lens.len() as u32);
                lens.push(packet.len());
            }
            None => std::thread::yield_now(),
        }
    }
    assert_eq!(lens, [60, 700, 1514]);
}
