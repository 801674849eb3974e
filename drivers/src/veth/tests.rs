use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tapping_stack::packet::{ChecksumState, Gso, GsoKind, LinkId};

use super::*;

fn config(name: &str) -> DeviceConfig {
    DeviceConfig { name: name.to_owned(), mac: MacAddr([2, 0, 0, 0, 0, 1]), mtu: 1500 }
}

fn numbered(n: u64) -> Packet {
    Packet::from_slice(&n.to_be_bytes())
}

/// Both kinds of pair, as one type to test.
fn pairs() -> [(Box<dyn Device>, Box<dyn Device>); 2] {
    let (a, b) = pair(config("a"), config("b"));
    let (c, d) = channel_pair(config("a"), config("b")).unwrap();
    [(Box::new(a), Box::new(b)), (Box::new(c), Box::new(d))]
}

#[test]
fn the_packet_itself_crosses_with_what_later_layers_owe_it() {
    for (mut a, mut b) in pairs() {
        let mut pool = PacketPool::new(4, 4);
        let mut packet = Packet::from_slice(&[7; 1500]);
        packet.meta.checksum = ChecksumState::Partial { start: 20, offset: 16 };
        let kind = GsoKind::TcpV4 { ecn: false };
        packet.meta.gso = Some(Gso { kind, size: 700, segments: 2, fixed_id: false });
        packet.meta.mark = 9;
        packet.meta.link_out = Some(LinkId(2));
        let storage = packet.bytes().as_ptr();
        assert!(a.transmit(packet).unwrap().is_none());

        let got = b.receive(&mut pool).unwrap().unwrap();
        assert_eq!(got.bytes().as_ptr(), storage, "moved, not copied");
        assert_eq!(got.meta.checksum, ChecksumState::Partial { start: 20, offset: 16 });
        assert!(got.meta.gso.is_some());
        assert_eq!((got.meta.mark, got.meta.link_out), (0, None));
        assert!(b.receive(&mut pool).unwrap().is_none());
    }
}

#[test]
fn for_what_it_gets_an_end_gives_an_empty_buffer_back() {
    for (mut a, mut b) in pairs() {
        let (mut pool_a, mut pool_b) = (PacketPool::new(4, 4), PacketPool::new(4, 4));
        for kept in [1500, 65_536] {
            // Nothing to give, or nothing as large.
            for _ in 0..2 {
                assert!(a.transmit(pool_a.take(kept)).unwrap().is_none());
                let got = b.receive(&mut pool_b).unwrap().unwrap();
                pool_b.put(got);
            }
            let mut sent = pool_a.take(kept);
            sent.put_slice(&[7; 100]);
            let back = a.transmit(sent).unwrap().expect("of the second");
            assert!(back.is_empty() && back.true_size() >= kept);
            let got = b.receive(&mut pool_b).unwrap().unwrap();
            assert_eq!((got.len(), pool_b.free()), (100, (0, 0)), "the last one is on its way");
            assert!(a.transmit(pool_a.take(kept)).unwrap().is_some());
            b.receive(&mut pool_b).unwrap().unwrap();
        }
    }
}

#[test]
fn no_more_than_so_many_empty_buffers_wait() {
    const MANY: usize = 2 * RETURN_LEN;
    for (mut a, mut b) in pairs() {
        let packet = || PacketPool::new(1, 1).take(1500);
        let mut pool = PacketPool::new(MANY, 0);
        for _ in 0..MANY {
            pool.put(packet());
            assert!(a.transmit(packet()).unwrap().is_none());
        }
        for _ in 0..MANY {
            b.receive(&mut pool).unwrap().unwrap();
        }
        assert_eq!(pool.free().0, MANY - RETURN_LEN);
        let returned = (0..MANY).filter(|_| a.transmit(packet()).unwrap().is_some()).count();
        assert_eq!(returned, RETURN_LEN);
    }
}

#[test]
fn a_full_pair_gives_the_packet_back_and_keeps_the_order() {
    for (mut a, mut b) in pairs() {
        let mut pool = PacketPool::new(4, 4);
        for n in 0..QUEUE_LEN as u64 {
            assert!(a.transmit(numbered(n)).unwrap().is_none());
        }
        let refused = a.transmit(numbered(QUEUE_LEN as u64)).unwrap_err();
        assert!(refused.is_would_block());
        assert_eq!(refused.packet.bytes(), (QUEUE_LEN as u64).to_be_bytes());
        for n in 0..QUEUE_LEN as u64 {
            assert_eq!(b.receive(&mut pool).unwrap().unwrap().bytes(), n.to_be_bytes());
        }
        assert!(a.transmit(refused.packet).unwrap().is_none());
        let last = b.receive(&mut pool).unwrap().unwrap();
        assert_eq!(last.bytes(), (QUEUE_LEN as u64).to_be_bytes());
    }
}

#[test]
fn what_is_too_long_for_the_mtu_does_not_cross() {
    for (mut a, _b) in pairs() {
        let refused = a.transmit(Packet::from_slice(&[0; 1600])).unwrap_err();
        assert_eq!(refused.error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(refused.packet.len(), 1600);
    }
}

#[test]
fn closing_one_end_takes_the_other_down_once_it_is_drained() {
    for (mut a, mut b) in pairs() {
        let mut pool = PacketPool::new(4, 4);
        a.transmit(numbered(1)).unwrap();
        assert!(a.is_open() && b.is_open());
        drop(a);
        assert!(b.receive(&mut pool).unwrap().is_some());
        assert!(b.receive(&mut pool).unwrap().is_none());
        assert!(!b.is_open());
        let refused = b.transmit(numbered(2)).unwrap_err();
        assert_eq!(refused.error.raw_os_error(), Some(libc::ENETDOWN));
    }
}

/// Waits for the descriptor, at most 10 seconds.
fn wait(end: &ChannelEnd) -> bool {
    let mut fds = [PollFd::new(&end.own_bell.fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn two_threads_exchange_more_than_fits_without_loss_or_polling() {
    const COUNT: u64 = 20 * QUEUE_LEN as u64;
    let (mut a, mut b) = channel_pair(config("a"), config("b")).unwrap();
    let sender = thread::spawn(move || {
        let mut pool = PacketPool::new(0, 0);
        for n in 0..COUNT {
            let mut packet = numbered(n);
            while let Err(refused) = a.transmit(packet) {
                assert!(refused.is_would_block());
                packet = refused.packet;
                assert!(wait(&a), "the receiver made room and did not say so");
                // Silences the bell; nothing comes the other way.
                assert!(a.receive(&mut pool).unwrap().is_none());
            }
        }
        a
    });
    let mut pool = PacketPool::new(0, 0);
    let mut expected = 0;
    while expected < COUNT {
        match b.receive(&mut pool).unwrap() {
            Some(packet) => {
                assert_eq!(packet.bytes(), expected.to_be_bytes());
                expected += 1;
            }
            None => assert!(wait(&b), "a packet came and nobody said so"),
        }
    }
    drop(sender.join().unwrap());
    assert!(wait(&b), "the other end closed and nobody said so");
    assert!(b.receive(&mut pool).unwrap().is_none());
    assert!(!b.is_open());
}
