//! Readiness and wakers of datagram sockets.

use core::task::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use tapping_stack::socket::{Interest, Readiness};
use tapping_stack::wire::{Message, Protocol, Unreachable};

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Registers a new waker.
fn wait(bench: &mut Bench, socket: SocketId, interest: Interest) -> Arc<Count> {
    let count = Arc::<Count>::default();
    let waker = Waker::from(Arc::clone(&count));
    bench.stack().register_waker(socket, interest, &waker).unwrap();
    count
}

#[test]
fn everybody_who_waits_is_woken_once() {
    let mut bench = Bench::new();
    let (socket, other) = (bench.bound("10.0.0.1:53"), bench.bound("10.0.0.1:54"));
    assert_eq!(bench.stack().readiness(socket), Readiness::WRITABLE);
    let counts = [0; 3].map(|_| wait(&mut bench, socket, Interest::Read));
    let elsewhere = wait(&mut bench, other, Interest::Read);
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"one");
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"two");
    assert!(counts.iter().all(|count| count.get() == 1));
    assert_eq!(elsewhere.get(), 0);
    assert_eq!(bench.stack().readiness(socket), Readiness::READABLE | Readiness::WRITABLE);
    bench.received(socket);
    assert_eq!(bench.stack().readiness(socket), Readiness::WRITABLE);
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"three");
    assert!(counts.iter().all(|count| count.get() == 1), "forgotten");
}

#[test]
fn who_need_not_wait_is_woken_at_once() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    assert_eq!(wait(&mut bench, socket, Interest::Write).get(), 1);
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"one");
    assert_eq!(wait(&mut bench, socket, Interest::Read).get(), 1);
}

#[test]
fn errors_and_closing_wake() {
    let mut bench = Bench::new();
    let socket = bench.bound("10.0.0.1:53");
    bench.connect(socket, "10.0.0.9:1000").unwrap();
    let error = wait(&mut bench, socket, Interest::Read);
    let quoted = udp("10.0.0.1:53", "10.0.0.9:1000", b"data").build();
    let refused = icmp(Message::DestinationUnreachable(Unreachable::Port), &quoted);
    bench.give(&Ip::icmp(ip(PEER), ip(HERE), refused));
    assert_eq!(error.get(), 1);
    bench.stack().take_error(socket).unwrap();
    let closed = wait(&mut bench, socket, Interest::Read);
    bench.lab.close(bench.host, socket).unwrap();
    assert_eq!(closed.get(), 1);
    let waker = Waker::from(closed);
    let registered = bench.stack().register_waker(socket, Interest::Read, &waker);
    assert_eq!(registered, Err(SocketError::BadSocket));
}

#[test]
fn ping_and_raw_sockets_wake_too() {
    let mut bench = Bench::new();
    let ping = bench.stack().open_ping(Some(7)).unwrap();
    let raw = bench.stack().open_raw(Protocol::ICMP).unwrap();
    let counts = [ping, raw].map(|socket| wait(&mut bench, socket, Interest::Read));
    bench.give(&Ip::icmp(ip(PEER), ip(HERE), echo_reply(7, 1, b"data")));
    assert!(counts.iter().all(|count| count.get() == 1));
}

#[test]
fn wakers_are_bounded() {
    let mut config = Config::default();
    config.core.max_wakers = 10;
    let mut bench = Bench::with(config);
    let socket = bench.bound("10.0.0.1:53");
    let waiting: Vec<_> = (0..10).map(|_| wait(&mut bench, socket, Interest::Read)).collect();
    let waker = Waker::from(Arc::<Count>::default());
    let refused = bench.stack().register_waker(socket, Interest::Read, &waker);
    assert_eq!(refused, Err(SocketError::OutOfMemory));
    bench.datagram("10.0.0.9:1000", "10.0.0.1:53", b"one");
    assert!(waiting.iter().all(|count| count.get() == 1));
}
