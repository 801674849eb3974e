use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::*;

/// A TAP whose descriptor is another file's.
fn over(fd: OwnedFd) -> Tap {
    let link = LinkInfo {
        index: 1,
        name: "tap0".to_owned(),
        hardware_type: 1,
        flags: 0,
        mtu: 1500,
        operational_state: 0,
        mac: None,
        kind: None,
    };
    Tap {
        file: File::Own(fd),
        mac: MacAddr([2; 6]),
        link,
        open: true,
        offloads: None,
        spare: None,
        watch: None,
        changes: Changes::default(),
        queues: Arc::default(),
        steering: None,
    }
}

/// Which the kernel's TAP never does: the frame counts as lost, and is not sent again as one that
/// begins in its middle.
#[test]
fn a_frame_that_is_written_in_part_is_lost() {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
    let room = fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut tap = over(writer);
    let refused = tap.transmit(Packet::from_slice(&vec![1; 2 * room])).unwrap_err();
    assert_eq!(refused.error.kind(), io::ErrorKind::WriteZero);
    assert_eq!(refused.packet.len(), 2 * room);
    assert!(!refused.is_would_block() && !refused.is_short_of_memory());
    // Then the pipe is full.
    let refused = tap.transmit(Packet::from_slice(&[2; 100])).unwrap_err();
    assert!(refused.is_would_block());
    // And then there is nobody to read it.
    drop(reader);
    let refused = tap.transmit(refused.packet).unwrap_err();
    assert!(!refused.is_would_block() && tap.is_open());
}

/// Into a small buffer, one of its size, or the large one that it was read into.
#[test]
fn a_frame_of_any_size_comes_whole() {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
    fcntl_setpipe_size(&writer, 1 << 17).unwrap();
    let mut tap = over(reader);
    let mut pool = PacketPool::new(4, 4);
    let true_size = |capacity| PacketPool::new(0, 0).take(capacity).true_size();
    for (len, expected) in [
        (60, 60),
        (1514, 1514),
        (1920, 1920),
        (1921, 1921),
        (9014, 9014),
        (COPY_LIMIT, COPY_LIMIT),
        (COPY_LIMIT + 1, MAX_READ),
        (65_549, MAX_READ),
    ] {
        let frame: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        rustix::io::write(&writer, &frame).unwrap();
        let packet = tap.receive(&mut pool).unwrap().expect("a frame");
        assert!(packet.bytes() == frame, "{len} bytes came otherwise");
        assert_eq!(packet.true_size(), true_size(expected), "{len} bytes");
        pool.put(packet);
        assert!(tap.receive(&mut pool).unwrap().is_none());
    }
}

#[test]
fn what_was_obtained_reads_well() {
    assert_eq!(Offloads::ALL.to_string(), "checksum, TSO, TSO ECN, USO");
    assert_eq!(Offloads::default().to_string(), "none");
    for (less, more) in Offloads::STEPS.iter().skip(1).zip(&Offloads::STEPS) {
        assert_eq!(less.bits() & !more.bits(), 0);
        assert_ne!(less.bits(), more.bits());
    }
}
