//! What connections cost in memory, everything counted: records, tables, timers, ports.

use std::net::Ipv4Addr;

use allocation_counter::measure;
use tapping_benches::pair::{Clock, Pair, Wire};
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::{
    Ipv4Repr, Protocol, SeqNumber, Tcp, TcpFlags, TcpOptionsRepr, TcpRepr, ipv4, tcp,
};
use tapping_stack::{Config, LinkConfig, LinkId, Packet, SocketError, Stack, TcpState};

/// Bytes that an idle connection may cost.
const PER_CONNECTION: i64 = 1536;

/// Bytes that a stack gives back when it is dropped.
fn freed_by(stack: Stack) -> i64 {
    -measure(|| drop(stack)).bytes_current
}

#[test]
fn a_hundred_thousand_idle_connections() {
    const CONNECTIONS: usize = 100_000;
    let mut pair = Pair::new(Wire::Veth, Clock::stopped());
    let empty = Pair::new(Wire::Veth, Clock::stopped());
    for n in 0..CONNECTIONS {
        let [client, server] = pair.connect(n).expect("a connection");
        // They have been used, too.
        let now = pair.clock.now();
        pair.ends[0].0.send(now, client, b"?").expect("room");
        pair.carry();
        assert_eq!(pair.ends[1].0.receive(now, server, &mut [0; 8]), Ok(1));
        pair.ends[1].0.send(now, server, b"!").expect("room");
        pair.carry();
        assert_eq!(pair.ends[0].0.receive(now, client, &mut [0; 8]), Ok(1));
    }
    // Until delayed acknowledgments have been sent.
    for _ in 0..100 {
        pair.clock.advance(Duration::from_millis(10));
        pair.run_timers();
        pair.carry();
    }
    for (side, (stack, _)) in pair.ends.iter().enumerate() {
        let established =
            stack.tcp_sockets().filter(|(_, state)| *state == TcpState::Established).count();
        assert_eq!(established, CONNECTIONS, "side {side}");
    }
    let empty = empty.ends.map(|(stack, _)| freed_by(stack));
    let full = pair.ends.map(|(stack, _)| freed_by(stack));
    for ((side, empty), full) in ["connecting", "accepting"].iter().zip(empty).zip(full) {
        let each = (full - empty) / CONNECTIONS as i64;
        println!("{side} side: {each} bytes for each of {CONNECTIONS} idle connections");
        assert!(each <= PER_CONNECTION, "{side} side: {each} bytes each");
    }
}

const LISTENER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A stack that listens on port 80 of a link without Ethernet, behind which everybody is.
fn listener() -> (Stack, LinkId) {
    let mut stack = Stack::new(Config::default(), 1);
    let link = stack.add_link(LinkConfig::ip("tun0")).expect("a link");
    stack.add_address(Instant::ZERO, link, "10.0.0.1/1".parse().expect("a prefix")).expect("room");
    let socket = stack.open_tcp().expect("a socket");
    stack.bind(socket, (LISTENER, 80).into()).expect("a port");
    stack.listen(Instant::ZERO, socket, 4096).expect("a listener");
    (stack, link)
}

/// A segment without payload from `src` as an IP packet.
fn segment(mut packet: Packet, src: Ipv4Addr, seq: u32, ack: u32, flags: TcpFlags) -> Packet {
    let syn = flags.contains(TcpFlags::SYN);
    let segment = TcpRepr {
        src_port: 1024,
        dst_port: 80,
        seq: SeqNumber(seq),
        ack: SeqNumber(ack),
        flags,
        window: 64_240,
        urgent: 0,
        options: TcpOptionsRepr { mss: syn.then_some(1460), ..Default::default() },
    };
    let len = segment.header_len();
    let bytes = packet.put(ipv4::HEADER_LEN + len);
    let header = Ipv4Repr {
        tos: 0,
        id: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::TCP,
        src,
        dst: LISTENER,
        total_len: (ipv4::HEADER_LEN + len) as u16,
        options_len: 0,
    };
    header.emit(bytes);
    segment.emit(&mut bytes[ipv4::HEADER_LEN..]);
    let pseudo = ipv4::pseudo_header_sum(src, LISTENER, Protocol::TCP, len as u16);
    tcp::fill_checksum(&mut bytes[ipv4::HEADER_LEN..], pseudo);
    packet
}

/// Sends SYNs from `count` sources, the first one `first`; what is answered is not read.
fn flood(stack: &mut Stack, link: LinkId, first: u32, count: u32) {
    for n in 0..count {
        let now = Instant::from_secs(1) + Duration::from_micros(u64::from(first + n) * 10);
        let src = Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + first + n);
        let packet = segment(stack.take_buffer(60), src, n, 0, TcpFlags::SYN);
        stack.handle_frame(now, link, packet);
        while let Some(answer) = stack.poll_transmit(now, link) {
            stack.recycle(answer);
        }
    }
}

#[test]
fn a_syn_flood_takes_no_memory_and_an_honest_client_gets_through() {
    const SOURCES: u32 = 100_000;
    let (mut stack, link) = listener();
    // As many as are remembered: the SYN queue, and what it is found by.
    let warm_up = 10_000;
    flood(&mut stack, link, 0, warm_up);
    let taken = measure(|| flood(&mut stack, link, warm_up, SOURCES - warm_up));
    assert_eq!(taken.bytes_current, 0, "bytes kept of a flood");
    let (sockets, _, handshakes) = stack.tcp_counts();
    assert!(sockets == 1 && handshakes <= 4097, "{sockets} sockets, {handshakes} handshakes");
    assert!(stack.snapshot().tcp_ext.syncookies_sent >= u64::from(SOURCES - warm_up));

    let now = Instant::from_secs(3);
    let honest = Ipv4Addr::new(12, 0, 0, 1);
    let syn = segment(stack.take_buffer(60), honest, 99, 0, TcpFlags::SYN);
    stack.handle_frame(now, link, syn);
    let answer = stack.poll_transmit(now, link).expect("SYN-ACK");
    let isn = Tcp::parse(answer.transport()).expect("a segment").seq();
    let ack = segment(stack.take_buffer(60), honest, 100, (isn + 1).0, TcpFlags::ACK);
    stack.handle_frame(now, link, ack);
    let (listener, _) =
        stack.tcp_sockets().find(|(_, state)| *state == TcpState::Listen).expect("it listens");
    let (_, peer) = stack.accept(now, listener).expect("a connection");
    assert_eq!(peer, (honest, 1024).into());
    assert_eq!(stack.accept(now, listener), Err(SocketError::WouldBlock));
}
