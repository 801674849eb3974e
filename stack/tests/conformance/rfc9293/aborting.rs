//! Aborting, TIME-WAIT, orphans and listeners that go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use tapping_stack::SocketError;
use tapping_stack::config::TimeWaitReuse;
use tapping_stack::socket::Interest;
use tapping_stack::time::Duration;
use tapping_stack::wire::SeqNumber;

use crate::host::{PEER, US};
use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Aborting, TIME-WAIT and orphans (§3.6.1, §3.10.5)";

    Must "RFC9293-MUST-13" "3.6.1" "After closing first a connection stays in TIME-WAIT for twice the segment lifetime."
        => time_wait_lasts;
    May "RFC9293-MAY-2" "3.6.1" "A SYN newer than the old connection may open a new one from TIME-WAIT."
        => a_newer_syn_reopens_from_time_wait;
    Should "RFC9293-SHLD-4" "3.6.1" "Timestamps make reuse by our own connections safe sooner."
        => timestamps_allow_reuse;
    Rule "RFC9293-3.10.5-abort" "3.10.5" "Abort sends RST and forgets the connection, in every state whose peer may still send."
        => abort_sends_a_reset;
    Rule "RFC9293-3.10.5-pending" "3.10.5" "Abort drops what waits to be sent and what waits to be read, and wakes whoever waits."
        => abort_drops_the_queues;
    Rule "RFC9293-3.6-listener" "3.10.4" "Closing a listener resets what it has not handed out."
        => closing_a_listener_resets_its_connections;
    Linux "RFC9293-3.6-orphan-retries" "3.6" "An orphan whose peer has vanished is given up after 8 retransmissions, or tcp_orphan_retries."
        => orphans_try_less_often;
    Linux "RFC9293-3.6-orphans" "3.6" "Orphans beyond tcp_max_orphans are reset."
        => orphans_are_limited;
    Linux "RFC9293-3.9-linger0" "3.9.1" "Linger of zero turns close into abort."
        => linger_zero_aborts;
    Linux "RFC9293-3.9-linger" "3.9.1" "Linger of some seconds makes close wait until all is acknowledged or the time is over."
        not_applicable "No call of the stack blocks; whoever blocks in close can see from readiness and TCP_INFO when all is acknowledged.";
}

/// Linux and most others take the segment lifetime to be 30 s (RFC 9293 §3.4.2 leaves it to
/// experience).
fn time_wait_lasts() {
    for setup in [Setup::plain(), Setup::full()] {
        let mut conn = setup.at(At::TimeWait);
        conn.pass_ms(59_900);
        conn.expect(At::TimeWait);
        // The port pair is taken as long.
        let old = conn.seg(ACK).seq(conn.rcv_nxt - 1);
        conn.challenged(&old);
        conn.pass_ms(200);
        conn.expect_gone();
        conn.reset_by(&old);
    }
}

fn a_newer_syn_reopens_from_time_wait() {
    for (offset, opens) in
        [(1, true), (1000, true), (1 << 30, true), (u32::MAX, false), ((1u32 << 31) + 1, false)]
    {
        let mut conn = Setup::plain().at(At::TimeWait);
        let syn = conn.syn().seq(conn.rcv_nxt + offset);
        let old = conn.snd_nxt;
        if !opens {
            conn.challenged(&syn);
            conn.expect(At::TimeWait);
            continue;
        }
        let answer = conn.one(&syn);
        assert_eq!((answer.flags, answer.ack), (SYN_ACK, syn.seq + 1));
        assert!(answer.seq.gt(old), "beyond the numbers of the old connection");
        conn.expect(At::SynReceived);
        conn.rcv_nxt = syn.seq + 1;
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.accept();
        conn.feed(&[4; 10]);
        assert_eq!(conn.read(), [4; 10]);
    }
    // Nobody listens any more: TIME-WAIT stays.
    let mut conn = Setup::plain().at(At::TimeWait);
    let (now, listener) = (conn.bench.lab.now(), conn.listener.expect("a listener"));
    conn.stack().close(now, listener).expect("a listener");
    let syn = conn.syn().seq(conn.rcv_nxt + 1);
    conn.send(&syn);
    conn.expect(At::TimeWait);
}

fn timestamps_allow_reuse() {
    for (setup, reuse, wait, allowed) in [
        (Setup::full(), TimeWaitReuse::On, 1100, true),
        (Setup::full(), TimeWaitReuse::On, 500, false),
        (Setup::full(), TimeWaitReuse::Off, 1100, false),
        (Setup::full(), TimeWaitReuse::Loopback, 1100, false),
        (Setup::plain(), TimeWaitReuse::On, 1100, false),
    ] {
        let mut conn = setup
            .options(|options| options.reuse_addr = true)
            .config(|config| config.tcp.tw_reuse = reuse)
            .at(At::SynSent);
        let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt);
        conn.rcv_nxt += 1;
        conn.challenged(&syn_ack);
        conn.send_fin();
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.receive_fin();
        conn.expect(At::TimeWait);
        let old = conn.snd_nxt;
        conn.pass_ms(wait);
        let now = conn.bench.lab.now();
        let socket = conn.stack().open_tcp().expect("a socket");
        let reuse = |options: &mut tapping_stack::TcpOptions| options.reuse_addr = true;
        conn.stack().set_tcp_options(now, socket, reuse).expect("an option");
        let local = conn.local;
        conn.stack().bind(socket, (US, local).into()).expect("the port is free for that");
        let connected = conn.stack().connect(now, socket, (PEER, PEER_PORT).into());
        conn.bench.lab.settle();
        let heard = conn.heard();
        if allowed {
            assert_eq!(connected, Ok(()));
            let [syn] = &heard[..] else { panic!("one SYN: {heard:?}") };
            assert_eq!((syn.flags, syn.seq), (SYN, old + 65_535 + 2), "beyond the old numbers");
            assert_eq!(conn.stack().tcp_counts().1, 0, "its place is taken");
        } else {
            assert_eq!(connected, Err(SocketError::AddressNotAvailable));
            assert!(heard.is_empty());
            conn.expect(At::TimeWait);
        }
    }
}

fn abort_sends_a_reset() {
    for (at, told) in [
        (At::SynSent, false),
        (At::SynCrossed, true),
        (At::Established, true),
        (At::FinWait1, true),
        (At::FinWait2, true),
        (At::CloseWait, true),
        (At::Closing, false),
        (At::LastAck, false),
    ] {
        let mut conn = Setup::full().at(at);
        let listeners = usize::from(conn.listener.is_some());
        let heard = conn.abort();
        assert_eq!(heard.len(), usize::from(told), "{at:?}: {heard:?}");
        for reset in heard {
            let expected = (RST_ACK, conn.snd_nxt, conn.rcv_nxt);
            assert_eq!((reset.flags, reset.seq, reset.ack), expected, "{at:?}");
        }
        assert_eq!(conn.stack().tcp_counts(), (listeners, 0, 0), "{at:?}");
        assert!(conn.pass(Duration::from_secs(300)).is_empty());
        // What comes for it finds nobody.
        let late = conn.seg(ACK);
        assert_eq!(conn.reset_by(&late).seq, late.ack);
    }
    // TIME-WAIT is not the socket's any more; it goes on.
    let mut conn = Setup::full().at(At::TimeWait);
    assert!(conn.abort().is_empty());
    conn.expect(At::TimeWait);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn abort_drops_the_queues() {
    let mut conn = Setup::plain().at(At::Established);
    // More than the window of the peer lets go.
    let shut = conn.seg(ACK).window(0);
    conn.quietly(&shut);
    assert!(conn.write(&[1; 1000]).is_empty());
    conn.feed(&[2; 1000]);
    let (reader, writer) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let socket = conn.socket();
    for (interest, woken) in [(Interest::Read, &reader), (Interest::Write, &writer)] {
        let waker = Waker::from(Arc::clone(woken));
        conn.stack().register_waker(socket, interest, &waker).expect("a socket");
    }
    let heard = conn.abort();
    assert!(heard.len() == 1 && heard[0].has(RST) && heard[0].data.is_empty(), "{heard:?}");
    assert!(reader.0.load(Ordering::Relaxed) > 0 && writer.0.load(Ordering::Relaxed) > 0);
    assert_eq!(conn.try_read(), Err(SocketError::BadSocket));
    assert_eq!(conn.try_write(&[1]), Err(SocketError::BadSocket));
    assert!(conn.pass(Duration::from_secs(300)).is_empty(), "nothing more is sent");
}

fn closing_a_listener_resets_its_connections() {
    let mut conn = Conn::listen(Setup::plain());
    let mut flows = Vec::new();
    for port in [4001, 4002, 4003] {
        flows.push(conn.leave_for(port));
        let syn = conn.syn();
        let answer = conn.one(&syn);
        conn.snd_nxt = answer.seq + 1;
        conn.rcv_nxt = syn.seq + 1;
        if port != 4003 {
            let ack = conn.seg(ACK);
            conn.quietly(&ack);
        }
    }
    let last = conn.snd_nxt;
    let (now, listener) = (conn.bench.lab.now(), conn.listener.expect("a listener"));
    conn.stack().close(now, listener).expect("a listener");
    conn.bench.lab.settle();
    let mut reset: Vec<u16> =
        conn.heard().iter().filter(|seg| seg.flags == RST_ACK).map(|seg| seg.dst_port).collect();
    reset.sort_unstable();
    assert_eq!(reset, [4001, 4002]);
    assert_eq!(conn.stack().tcp_counts(), (0, 0, 0), "nothing is left");
    // The peer that has not answered yet is reset when it does.
    let ack = conn.seg(ACK);
    let answer = conn.reset_by(&ack);
    assert_eq!((answer.flags, answer.seq), (RST, last));
    // One that was handed out lives on.
    let mut conn = Setup::plain().at(At::Established);
    let (now, listener) = (conn.bench.lab.now(), conn.listener.expect("a listener"));
    conn.stack().close(now, listener).expect("a listener");
    conn.feed(&[1; 10]);
    assert_eq!(conn.read(), [1; 10]);
}

fn orphans_try_less_often() {
    for (retries, sent) in [(0, 8), (3, 3)] {
        let setup = Setup::plain().config(|config| {
            config.tcp.orphan_retries = retries;
            config.tcp.tail_loss_probe = false;
        });
        let mut conn = setup.at(At::Established);
        // A round-trip time of 300 ms.
        conn.write(&[1; 10]);
        conn.pass_ms(300);
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.write(&[1; 10]);
        conn.close();
        let again = conn.pass(Duration::from_secs(3600));
        let again = again.iter().filter(|seg| seg.seq == again[0].seq && !seg.has(RST)).count();
        assert_eq!(again, sent, "tcp_orphan_retries = {retries}");
        assert_eq!(conn.stack().tcp_counts(), (1, 0, 0), "freed");
    }
}

fn orphans_are_limited() {
    let mut conn = Setup::plain().config(|config| config.tcp.max_orphans = 1).at(At::Established);
    let mut first = conn.leave_for(4001);
    conn.shake(false);
    conn.swap(&mut first);
    let heard = conn.close();
    assert!(heard.iter().all(|seg| !seg.has(RST)) && heard.len() == 1);
    conn.swap(&mut first);
    let heard = conn.close();
    assert!(heard.last().is_some_and(|seg| seg.flags == RST_ACK), "{heard:?}");
    assert_eq!(conn.ext().tcp_abort_on_memory, 1);
    assert_eq!(conn.stack().tcp_counts(), (2, 0, 0), "the listener and one orphan");
}

fn linger_zero_aborts() {
    let mut conn =
        Setup::plain().options(|options| options.linger_reset = true).at(At::Established);
    conn.write(&[1; 100]);
    let heard = conn.close();
    let [reset] = &heard[..] else { panic!("one RST: {heard:?}") };
    assert_eq!((reset.flags, reset.seq, reset.ack), (RST_ACK, conn.snd_nxt, conn.rcv_nxt));
    assert_eq!(conn.stack().tcp_counts(), (1, 0, 0));
    assert_ne!(reset.seq, SeqNumber(0));
}
