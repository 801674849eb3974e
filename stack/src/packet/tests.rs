use std::vec;

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
