//! poll(2) and wakers, in every transition.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use tapping_stack::Config;
use tapping_stack::socket::{Interest, Readiness};
use tapping_stack::wire::TcpFlags;
use tapping_stack::{Shutdown, SocketError, SocketId};

use super::*;

const IN: Readiness = Readiness::READABLE;
const OUT: Readiness = Readiness::WRITABLE;
const RDHUP: Readiness = Readiness::READ_CLOSED;
const WRHUP: Readiness = Readiness::WRITE_CLOSED;
const ERR: Readiness = Readiness::ERROR;

/// EPOLLHUP.
fn hup() -> Readiness {
    RDHUP | WRHUP
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub struct Watch(Arc<Counter>);

impl Watch {
    pub fn on(wire: &mut Wire, socket: SocketId, interest: Interest) -> Self {
        let watch = Watch(Arc::default());
        watch.again(wire, socket, interest);
        watch
    }

    fn again(&self, wire: &mut Wire, socket: SocketId, interest: Interest) {
        let waker = Waker::from(Arc::clone(&self.0));
        wire.stack().register_waker(socket, interest, &waker).unwrap();
    }

    pub fn count(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }
}

/// Linux `tcp_poll`.
#[test]
fn readiness_in_every_state() {
    let mut wire = Wire::new();
    let fresh = wire.socket();
    assert_eq!(wire.readiness(fresh), OUT | hup(), "never connected");
    let (_, socket, mut peer) = wire.accepted(80);
    assert_eq!(wire.readiness(socket), OUT);
    let data = peer.data(b"x");
    wire.give(&data);
    assert_eq!(wire.readiness(socket), IN | OUT);
    wire.receive(socket).unwrap();
    let fin = peer.fin();
    wire.give(&fin);
    assert_eq!(wire.readiness(socket), IN | OUT | RDHUP);
    wire.shutdown(socket, Shutdown::Write).unwrap();
    assert_eq!(wire.readiness(socket), IN | OUT | hup());
}

#[test]
fn a_reset_is_an_error_and_the_end() {
    let mut wire = Wire::new();
    let (_, socket, peer) = wire.accepted(80);
    wire.give(&peer.rst());
    assert_eq!(wire.readiness(socket), IN | OUT | hup() | ERR);
    assert_eq!(wire.stack().take_error(socket), Ok(Some(SocketError::ConnectionReset)));
    assert_eq!(wire.readiness(socket), IN | OUT | hup());
}

#[test]
fn shutting_down_shows() {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    wire.shutdown(socket, Shutdown::Read).unwrap();
    assert_eq!(wire.readiness(socket), IN | OUT | RDHUP);
    let (_, socket, _) = wire.accepted(81);
    wire.shutdown(socket, Shutdown::Write).unwrap();
    assert_eq!(wire.readiness(socket), OUT | WRHUP);
}

#[test]
fn connecting_is_ready_for_nothing() {
    let mut wire = Wire::new();
    let (socket, mut peer, syn) = wire.connecting(80);
    assert_eq!(wire.readiness(socket), Readiness::empty());
    let write = Watch::on(&mut wire, socket, Interest::Write);
    let read = Watch::on(&mut wire, socket, Interest::Read);
    assert_eq!(write.count(), 0);
    wire.give(&peer.syn_ack(&syn));
    assert_eq!(wire.readiness(socket), OUT);
    assert_eq!((read.count(), write.count()), (0, 1));
}

#[test]
fn a_refusal_wakes_both() {
    let mut wire = Wire::new();
    let (socket, mut peer, syn) = wire.connecting(80);
    let write = Watch::on(&mut wire, socket, Interest::Write);
    let read = Watch::on(&mut wire, socket, Interest::Read);
    peer.ack = syn.seq + 1;
    wire.give(&peer.rst());
    assert_eq!((read.count(), write.count()), (1, 1));
    assert_eq!(wire.readiness(socket), IN | OUT | hup() | ERR);
}

#[test]
fn a_timeout_wakes_both() {
    let mut wire = Wire::new();
    let (socket, ..) = wire.connecting(80);
    let watches = [Interest::Write, Interest::Read].map(|i| Watch::on(&mut wire, socket, i));
    wire.pass(secs(300));
    assert_eq!(watches.map(|watch| watch.count()), [1, 1]);
}

#[test]
fn a_listener_is_readable_when_a_connection_waits() {
    let mut wire = Wire::new();
    let listener = wire.listener(80, 4);
    assert_eq!(wire.readiness(listener), Readiness::empty());
    let watches = [0; 3].map(|_| Watch::on(&mut wire, listener, Interest::Read));
    let write = Watch::on(&mut wire, listener, Interest::Write);
    let mut peer = Peer::new(PEER, 1, US, 80);
    let syn_ack = wire.answer(&peer.syn());
    assert!(watches.iter().all(|watch| watch.count() == 0), "half open is nothing yet");
    peer.ack = syn_ack.seq + 1;
    wire.give(&peer.ack());
    assert_eq!(wire.readiness(listener), IN);
    assert_eq!(watches.each_ref().map(Watch::count), [1, 1, 1], "all of them");
    assert_eq!(write.count(), 0);
    // Who comes when it is ready is woken at once.
    let late = Watch::on(&mut wire, listener, Interest::Read);
    assert_eq!(late.count(), 1);
    wire.accept(listener).unwrap();
    assert_eq!(wire.readiness(listener), Readiness::empty());
    let watch = Watch::on(&mut wire, listener, Interest::Read);
    wire.shutdown(listener, Shutdown::Read).unwrap();
    assert_eq!(watch.count(), 1, "it listens no more");
    assert_eq!(wire.readiness(listener), OUT | hup());
}

#[test]
fn data_wakes_readers_once() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let readers = [0; 5].map(|_| Watch::on(&mut wire, socket, Interest::Read));
    let data = peer.data(b"one");
    wire.give(&data);
    assert_eq!(readers.each_ref().map(Watch::count), [1; 5]);
    let data = peer.data(b"two");
    wire.give(&data);
    assert_eq!(readers.each_ref().map(Watch::count), [1; 5], "once");
    wire.receive(socket).unwrap();
    readers[0].again(&mut wire, socket, Interest::Read);
    // The same waker twice is one waker.
    readers[0].again(&mut wire, socket, Interest::Read);
    let fin = peer.fin();
    wire.give(&fin);
    assert_eq!(readers.each_ref().map(Watch::count), [2, 1, 1, 1, 1], "the end wakes, too");
}

#[test]
fn data_out_of_order_wakes_nobody() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    let reader = Watch::on(&mut wire, socket, Interest::Read);
    let (first, second) = (peer.data(b"one"), peer.data(b"two"));
    wire.give(&second);
    assert_eq!(reader.count(), 0);
    wire.give(&first);
    assert_eq!(reader.count(), 1);
    assert_eq!(wire.receive(socket).unwrap(), b"onetwo");
}

/// SO_RCVLOWAT.
#[test]
fn few_bytes_may_not_be_worth_waking() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.set(socket, |options| options.rcvlowat = 10);
    let reader = Watch::on(&mut wire, socket, Interest::Read);
    let data = peer.data(b"123456789");
    wire.give(&data);
    assert_eq!((reader.count(), wire.readiness(socket)), (0, OUT));
    let data = peer.data(b"0");
    wire.give(&data);
    assert_eq!((reader.count(), wire.readiness(socket)), (1, IN | OUT));
    wire.receive(socket).unwrap();
    // The end does not wait for more.
    let data = peer.data(b"1");
    wire.give(&data);
    assert_eq!(wire.readiness(socket), OUT);
    let fin = peer.fin();
    wire.give(&fin);
    assert_eq!(wire.readiness(socket), IN | OUT | RDHUP);
}

/// Linux `sk_stream_is_writeable`: a third of the buffer must be free.
#[test]
fn room_to_send_wakes_writers() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    wire.set(socket, |options| options.send_buffer = Some(15_000));
    peer.window = 0;
    wire.give(&peer.ack());
    let mut queued = 0;
    while let Ok(n) = wire.send(socket, &[7; 1000]) {
        queued += n;
    }
    assert_eq!(wire.send(socket, b"x"), Err(SocketError::WouldBlock));
    assert_eq!(queued, 30_000, "SO_SNDBUF counts twice");
    assert_eq!(wire.readiness(socket), Readiness::empty());
    let writers = [0; 3].map(|_| Watch::on(&mut wire, socket, Interest::Write));
    peer.window = 65_535;
    let mut heard = wire.give(&peer.ack());
    for _ in 0..100 {
        let before = peer.ack;
        peer.hear(&heard);
        if peer.ack == before {
            break;
        }
        heard = wire.give(&peer.ack());
    }
    heard.clear();
    assert_eq!(writers.each_ref().map(Watch::count), [1, 1, 1]);
    assert_eq!(wire.readiness(socket), OUT);
}

#[test]
fn a_reset_wakes_everybody() {
    let mut wire = Wire::new();
    let (_, socket, mut peer) = wire.accepted(80);
    peer.window = 0;
    wire.give(&peer.ack());
    while wire.send(socket, &[7; 10_000]).is_ok() {}
    let reader = Watch::on(&mut wire, socket, Interest::Read);
    let writer = Watch::on(&mut wire, socket, Interest::Write);
    wire.give(&peer.rst());
    assert_eq!((reader.count(), writer.count()), (1, 1));
}

#[test]
fn closing_and_shutting_down_wake_who_waits() {
    let mut wire = Wire::new();
    let (_, socket, _) = wire.accepted(80);
    let reader = Watch::on(&mut wire, socket, Interest::Read);
    wire.shutdown(socket, Shutdown::Read).unwrap();
    assert_eq!(reader.count(), 1);
    let (_, socket, _) = wire.accepted(81);
    let reader = Watch::on(&mut wire, socket, Interest::Read);
    wire.close(socket);
    assert_eq!(reader.count(), 1);
    assert!(wire.heard_one().flags.contains(TcpFlags::FIN));
    let (socket, ..) = wire.connecting(82);
    let writer = Watch::on(&mut wire, socket, Interest::Write);
    wire.shutdown(socket, Shutdown::Both).unwrap();
    assert_eq!(writer.count(), 1);
    let listener = wire.listener(83, 1);
    let reader = Watch::on(&mut wire, listener, Interest::Read);
    wire.close(listener);
    assert_eq!(reader.count(), 1);
}

#[test]
fn wakers_of_no_socket_are_refused() {
    let mut wire = Wire::new();
    let socket = wire.socket();
    wire.close(socket);
    let waker = Waker::from(Arc::new(Counter::default()));
    let refused = wire.stack().register_waker(socket, Interest::Read, &waker);
    assert_eq!(refused, Err(SocketError::BadSocket));
}

/// TCP_NOTSENT_LOWAT, and tcp_notsent_lowat for who does not say.
#[test]
fn what_is_not_sent_may_be_limited() {
    for of_all in [false, true] {
        let mut config = Config::default();
        if of_all {
            config.tcp.notsent_lowat = 5000;
        }
        let mut wire = Wire::with(config);
        let (_, socket, mut peer) = wire.accepted(80);
        if !of_all {
            wire.set(socket, |options| options.notsent_lowat = Some(5000));
        }
        peer.window = 0;
        wire.give(&peer.ack());
        wire.send(socket, &[1; 4999]).unwrap();
        assert_eq!(wire.readiness(socket), OUT);
        wire.send(socket, &[1; 1]).unwrap();
        assert_eq!(wire.readiness(socket), Readiness::empty(), "of all: {of_all}");
    }
}
