//! The loop itself: stacks over virtual pairs, deadlines, wake-ups, signals, back-pressure.

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Host, PATIENCE, echo, pattern};
use tapping_drivers::device::{Device, DeviceConfig};
use tapping_drivers::pcap::{CaptureFile, Direction, Pace, Replay};
use tapping_drivers::runtime::{Runtime, Turn};
use tapping_drivers::veth;
use tapping_stack::packet::PacketPool;
use tapping_stack::wire::ethernet::MacAddr;
use tapping_stack::{Config, LinkId, Stack};

const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn end(n: u8, mtu: usize) -> DeviceConfig {
    DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu }
}

/// A second stack in the same loop, with an address on its one link.
fn add(runtime: &mut Runtime, device: impl Device + 'static, address: &str) -> LinkId {
    let id = runtime.add_stack(Stack::new(Config::default(), 2));
    let link = runtime.attach(id, device).unwrap();
    let now = runtime.now();
    runtime.stack_mut(id).add_address(now, link, address.parse().unwrap()).unwrap();
    link
}

#[test]
fn two_stacks_in_one_loop_ping_each_other_at_every_size() {
    for mtu in [1500, 68, 65_535] {
        let (a, b) = veth::pair(end(1, mtu), end(2, mtu));
        let mut host = Host::new(a, "10.0.0.1/24");
        add(&mut host.runtime, b, "10.0.0.2/24");
        for size in [0, 56, 1472, 1473, 9000, 65_507] {
            // At an MTU of 68 the largest is 1,365 fragments, more than the queue of a link.
            if size / mtu < 900 {
                assert_eq!(host.ping(B, 1, &pattern(size)), pattern(size), "{size} over {mtu}");
            }
        }
    }
}

#[test]
fn two_stacks_on_two_threads_ping_each_other() {
    const COUNT: u16 = 300;
    let (a, b) = veth::channel_pair(end(1, 1500), end(2, 1500)).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = std::sync::mpsc::channel();
    let peer = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            let mut peer = Host::new(b, "10.0.0.2/24");
            sender.send(peer.runtime.waker()).unwrap();
            while !done.load(Ordering::SeqCst) {
                let limit = peer.runtime.now() + PATIENCE;
                let turn = peer.runtime.turn(Some(limit)).unwrap();
                assert!(!turn.deadline, "nobody woke the peer");
            }
            peer.stack().snapshot().icmp.in_echos
        })
    };
    let waker = receiver.recv().unwrap();
    let mut host = Host::new(a, "10.0.0.1/24");
    for sequence in 0..COUNT {
        assert_eq!(host.ping(B, sequence, &pattern(2000)), pattern(2000));
    }
    done.store(true, Ordering::SeqCst);
    waker.wake().unwrap();
    assert_eq!(peer.join().unwrap(), COUNT.into());

    // The other end went with its thread, so this link is down.
    let (id, link) = (host.id, host.link);
    host.turn_until(|stack| (!stack.interfaces().get(link)?.up).then_some(()));
    assert!(!host.runtime.device(id, link).unwrap().is_open());
}

#[test]
fn a_turn_sleeps_to_its_deadline_and_no_shorter() {
    let mut runtime = Runtime::new().unwrap();
    for micros in [0, 1, 50, 700, 1_500, 20_000] {
        let deadline = runtime.now() + Duration::from_micros(micros);
        // An earlier setting of the timer may end a turn before its time, and only that.
        let mut turns = 0;
        let turn = loop {
            let turn = runtime.turn(Some(deadline)).unwrap();
            turns += 1;
            if turn.deadline {
                break turn;
            }
            assert!(turns < 3, "turns end before their time");
        };
        assert!(runtime.now() >= deadline);
        assert_eq!(turn, Turn { deadline: true, ..Turn::default() });
    }
}

#[test]
fn a_flush_sends_at_once_and_the_next_turn_tells_what_came() {
    let (a, b) = veth::pair(end(1, 1500), end(2, 1500));
    let mut host = Host::new(a, "10.0.0.1/24");
    add(&mut host.runtime, b, "10.0.0.2/24");
    host.ping(B, 0, &pattern(8));
    let socket = host.stack().open_ping(None).unwrap();
    let now = host.runtime.now();
    host.stack().send_to(now, socket, (B, 0).into(), &echo(1, &pattern(8))).unwrap();
    // The request with one, the reply with the other.
    host.runtime.flush().unwrap();
    host.runtime.flush().unwrap();
    assert!(host.stack().recv(socket).is_some(), "the reply is not there");
    let turn = host.runtime.turn(None).unwrap();
    assert!(turn.received >= 2 && turn.transmitted >= 2, "{turn:?}");
}

#[test]
fn a_spinning_turn_sees_all_that_a_sleeping_one_does() {
    let (a, b) = veth::channel_pair(end(1, 1500), end(2, 1500)).unwrap();
    let mut host = Host::new(a, "10.0.0.1/24");
    host.runtime.set_busy_poll(Some(Duration::from_millis(2)));
    let waker = host.runtime.waker();
    let done = Arc::new(AtomicBool::new(false));
    let peer = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            let mut peer = Host::new(b, "10.0.0.2/24");
            peer.runtime.set_busy_poll(Some(Duration::from_micros(100)));
            while !done.load(Ordering::SeqCst) {
                peer.runtime.turn(Some(peer.runtime.now() + Duration::from_millis(5))).unwrap();
            }
        })
    };
    for sequence in 0..300 {
        assert_eq!(host.ping(B, sequence, &pattern(2000)), pattern(2000));
    }
    // A deadline before, within and after the spin.
    for micros in [0, 500, 5_000] {
        let deadline = host.runtime.now() + Duration::from_micros(micros);
        while !host.runtime.turn(Some(deadline)).unwrap().deadline {}
        assert!(host.runtime.now() >= deadline);
    }
    let waking = thread::spawn(move || waker.wake().unwrap());
    while !host.runtime.turn(None).unwrap().woken {}
    waking.join().unwrap();
    done.store(true, Ordering::SeqCst);
    peer.join().unwrap();
}

#[test]
fn another_thread_ends_a_turn_that_has_no_deadline() {
    let mut runtime = Runtime::new().unwrap();
    let waker = runtime.waker();
    waker.wake().unwrap();
    assert!(runtime.turn(None).unwrap().woken, "a wake-up before the turn counts");
    let thread = thread::spawn(move || waker.wake().unwrap());
    assert!(runtime.turn(None).unwrap().woken);
    thread.join().unwrap();
}

#[test]
fn signals_end_a_turn_and_say_which() {
    use rustix::process::{Signal, getpid, kill_process};
    let mut runtime = Runtime::new().unwrap();
    runtime.catch_signals().unwrap();
    let mut caught = |signal: Signal| {
        kill_process(getpid(), signal).unwrap();
        loop {
            // The signal's own interruption of the sleep may end a turn first.
            let turn = runtime.turn(None).unwrap();
            if turn.signals != Default::default() {
                return turn.signals;
            }
        }
    };
    let signals = caught(Signal::INT);
    assert!(signals.interrupt && signals.is_stop() && !signals.terminate && !signals.quit);
    let signals = caught(Signal::TERM);
    assert!(signals.terminate && signals.is_stop() && !signals.interrupt);
    let signals = caught(Signal::HUP);
    assert!(signals.hangup && signals.is_stop() && !signals.terminate);
    let signals = caught(Signal::QUIT);
    assert!(signals.quit && !signals.is_stop());
}

#[test]
fn what_a_device_has_no_room_for_waits_in_order() {
    // Nobody reads the other end, so it fills.
    let (a, mut b) = veth::channel_pair(end(1, 1500), end(2, 1500)).unwrap();
    let mut host = Host::new(a, "10.0.0.1/24");
    let (id, link) = (host.id, host.link);
    let now = host.runtime.now();
    host.stack().add_neighbour(now, link, B.into(), MacAddr([2, 0, 0, 0, 0, 2])).unwrap();
    let socket = host.stack().open_ping(None).unwrap();
    let total = veth::QUEUE_LEN as u16 + 300;
    for sequence in 0..total {
        let now = host.runtime.now();
        host.stack().send_to(now, socket, (B, 0).into(), &echo(sequence, b"")).unwrap();
        if sequence % 100 == 0 {
            host.runtime.turn(Some(now)).unwrap();
        }
    }
    for _ in 0..3 {
        let now = host.runtime.now();
        host.runtime.turn(Some(now)).unwrap();
    }
    let stats = host.runtime.port_stats(id, link).unwrap();
    assert_eq!((stats.transmitted, stats.blocked), (veth::QUEUE_LEN as u64, 1));

    let mut pool = PacketPool::new(0, 0);
    let mut expected = 0;
    let end = host.runtime.now() + PATIENCE;
    while expected < total {
        assert!(host.runtime.now() < end, "only {expected} of {total} came");
        while let Some(packet) = b.receive(&mut pool).unwrap() {
            if packet.bytes()[12..14] == [0x08, 0x00] {
                assert_eq!(packet.bytes()[40..42], expected.to_be_bytes());
                expected += 1;
            }
        }
        let deadline = host.runtime.now() + Duration::from_millis(5);
        host.runtime.turn(Some(deadline)).unwrap();
    }
    assert_eq!(host.runtime.port_stats(id, link).unwrap().transmit_errors, 0);
}

#[test]
fn closing_one_end_of_a_local_pair_takes_the_other_down() {
    let (a, b) = veth::pair(end(1, 1500), end(2, 1500));
    let mut host = Host::new(a, "10.0.0.1/24");
    let other = host.runtime.add_stack(Stack::new(Config::default(), 2));
    let other_link = host.runtime.attach(other, b).unwrap();
    drop(host.runtime.detach(other, other_link).unwrap());
    assert!(host.runtime.stack(other).interfaces().get(other_link).is_none());
    let link = host.link;
    host.turn_until(|stack| (!stack.interfaces().get(link)?.up).then_some(()));
}

#[test]
fn a_stack_answers_a_replayed_capture() {
    // Two echo requests, 5 ms apart.
    let path = std::env::temp_dir().join(format!("tapping-replayed-{}", std::process::id()));
    let file = CaptureFile::create(&path).unwrap();
    let interface = file.add_interface("a", MacAddr::ZERO);
    let (a, mut b) = veth::channel_pair(end(1, 1500), end(2, 1500)).unwrap();
    let mut asker = Host::new(a, "10.0.0.1/24");
    let (now, link) = (asker.runtime.now(), asker.link);
    asker.stack().add_neighbour(now, link, B.into(), MacAddr([2, 0, 0, 0, 0, 2])).unwrap();
    let socket = asker.stack().open_ping(None).unwrap();
    for sequence in 0..2 {
        asker.stack().send_to(now, socket, (B, 0).into(), &echo(sequence, b"again")).unwrap();
    }
    asker.runtime.turn(Some(now)).unwrap();
    let mut pool = PacketPool::new(0, 0);
    let mut at = Duration::from_secs(1);
    while let Some(packet) = b.receive(&mut pool).unwrap() {
        at += Duration::from_millis(5);
        file.write(interface, at, Direction::Outbound, &packet);
    }
    drop(file);

    for pace in [Pace::Fast, Pace::Recorded] {
        let replay = Replay::open(&path, pace, end(2, 1500)).unwrap();
        let mut host = Host::new(replay, "10.0.0.2/24");
        let link = host.link;
        // At its end a replay is closed.
        host.turn_until(|stack| (!stack.interfaces().get(link)?.up).then_some(()));
        assert_eq!(host.stack().snapshot().icmp.in_echos, 2, "{pace:?}");
        assert_eq!(host.stack().snapshot().icmp.out_echo_reps, 2, "{pace:?}");
    }
    std::fs::remove_file(&path).unwrap();
}
