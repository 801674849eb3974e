use std::vec;

use proptest::prelude::*;

use super::*;

#[test]
fn pushing_past_the_headroom_keeps_bytes_and_layer_offsets() {
    let mut packet = Packet::over(vec![0; 16], 4);
    packet.put_slice(b"payload");
    packet.mark_network();
    packet.mark_transport(3);
    packet.push(10).fill(b'h');
    assert_eq!(packet.bytes(), b"hhhhhhhhhhpayload");
    assert_eq!(packet.network(), b"payload");
    assert_eq!(packet.transport(), b"load");
    assert!(packet.headroom() >= HEADROOM);
}

#[test]
fn pulled_headers_stay_readable_and_truncation_bounds_the_offsets() {
    let mut packet = Packet::from_slice(b"ethipdata");
    packet.mark_mac();
    packet.pull(3);
    packet.mark_network();
    packet.mark_transport(2);
    assert_eq!(packet.bytes(), b"ipdata");
    assert_eq!(packet.mac(), b"ethipdata");
    packet.truncate(1);
    assert_eq!((packet.network(), packet.transport()), (&b"i"[..], &b""[..]));
    packet.pull(100);
    assert!(packet.is_empty());
    packet.rewind_to_network();
    assert_eq!(packet.bytes(), b"i");
}

#[test]
fn put_zeroes_reused_storage_and_reset_forgets_everything() {
    let mut packet = Packet::from_slice(&[0xff; 64]);
    packet.meta.mark = 7;
    packet.reset();
    assert_eq!((packet.len(), packet.headroom(), packet.meta.mark), (0, HEADROOM, 0));
    assert!(packet.put(64).iter().all(|byte| *byte == 0));
    assert!(packet.put(1000).iter().all(|byte| *byte == 0));
    assert_eq!(packet.len(), 1064);
}

#[test]
fn the_pool_hands_back_what_it_was_given_and_stays_bounded() {
    let mut pool = PacketPool::new(2, 1);
    let packets: vec::Vec<_> = (0..4).map(|_| pool.take(1500)).collect();
    let large = pool.take(60_000);
    let odd = pool.take(100_000);
    packets.into_iter().for_each(|packet| pool.put(packet));
    pool.put(large);
    pool.put(odd);
    assert_eq!(pool.free(), (2, 1));
    let again = pool.take(1514);
    assert!(again.is_empty() && again.tailroom() >= 1514);
    assert_eq!(pool.free(), (1, 1));
}

proptest! {
    /// Whatever is done in whatever order, the head stays before the tail, the layer offsets do not
    /// pass it, and so no view of the packet panics.
    #[test]
    fn no_order_of_changes_moves_an_offset_past_the_tail(
        steps in proptest::collection::vec((0..14, 0..300_usize), 0..40),
    ) {
        let mut packet = Packet::over(vec![0; 64], 16);
        for (step, n) in steps {
            match step {
                0 => drop(packet.push(n).first()),
                1 => packet.pull(n),
                2 => drop(packet.put(n).first()),
                3 => packet.put_slice(&vec![7; n]),
                4 => packet.commit(n),
                5 => packet.truncate(n),
                6 => packet.reset(),
                7 => packet.mark_mac(),
                8 => packet.mark_network(),
                9 => packet.mark_transport(n),
                10 => packet.rewind_to_network(),
                11 => packet.seek_to_transport(),
                12 => packet.pull(usize::MAX),
                _ => packet = packet.duplicate(),
            }
            let (head, end) = (packet.headroom(), packet.true_size() - packet.tailroom());
            prop_assert!(head <= end && packet.len() == end - head);
            let views = [packet.mac(), packet.network(), packet.transport()];
            prop_assert!(views.iter().all(|view| view.len() <= end));
        }
    }
}
