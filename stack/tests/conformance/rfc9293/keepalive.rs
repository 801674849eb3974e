//! Keep-alive.

use tapping_stack::{SocketError, TcpOptions, TcpState};

use crate::talk::*;

conformance! {
    "RFC 9293", "Keep-alive (§3.8.4)";

    May "RFC9293-MAY-5" "3.8.4" "Keep-alive exists."
        => keep_alive_exists;
    Must "RFC9293-MUST-24" "3.8.4" "The application turns it on for each connection."
        => keep_alive_is_per_connection;
    Must "RFC9293-MUST-25" "3.8.4" "It is off by default."
        => keep_alive_is_off_by_default;
    Must "RFC9293-MUST-26" "3.8.4" "Probes go out only after nothing was sent or received for the interval."
        => keep_alive_waits_for_silence;
    Must "RFC9293-MUST-27" "3.8.4" "The interval can be set."
        => the_interval_can_be_set;
    Must "RFC9293-MUST-28" "3.8.4" "The interval is two hours by default."
        => the_interval_is_two_hours;
    MustNot "RFC9293-MUST-29" "3.8.4" "One probe without answer does not end the connection."
        => one_lost_probe_is_forgiven;
    Linux "RFC9293-3.8.4-give-up" "3.8.4" "The peer is given up, with RST, when nine probes 75 seconds apart had no answer."
        => nine_lost_probes_are_not;
    Should "RFC9293-SHLD-12" "3.8.4" "A probe has no data."
        => a_probe_has_no_data;
    May "RFC9293-MAY-6" "3.8.4" "A probe may have a byte of garbage."
        not_applicable "Peers that would need it are gone; Linux sends none.";
    Rule "RFC9293-3.8.4-answer" "3.8.4" "A probe from the peer is answered with ACK."
        => a_probe_is_answered;
}

/// A connection that is kept alive.
fn kept() -> Talk {
    let mut t = Talk::passive(Setup::default());
    t.set(|options| options.keepalive = true);
    t
}

fn is_probe(seg: &Seg, t: &Talk) -> bool {
    seg.is_ack() && seg.seq == t.host_nxt - 1 && seg.ack == t.peer_nxt
}

fn keep_alive_exists() {
    let mut t = kept();
    let probe = t.next(secs(7201));
    assert!(is_probe(&probe, &t), "{probe:?}");
    assert_eq!(t.stack.snapshot().tcp_ext.tcp_keep_alive, 1);
}

fn keep_alive_is_per_connection() {
    let mut t = Talk::passive(Setup::default());
    let (kept, now) = (t.conn, t.now);
    t.set(|options| options.keepalive = true);
    // A second connection of the same listener.
    let other = t.stack.open_tcp().expect("room");
    assert!(!t.stack.tcp_options(other).expect("a socket").keepalive);
    assert!(t.stack.tcp_options(kept).expect("a socket").keepalive);
    t.next(secs(7201));
    t.stack.set_tcp_options(now, kept, |options| options.keepalive = false).expect("an option");
    t.heard();
    t.run(secs(100_000));
    t.silent();
    // What accepts has it from its listener.
    let options = TcpOptions { keepalive: true, ..TcpOptions::default() };
    let mut t = Talk::passive(Setup { options, ..Setup::default() });
    t.next(secs(7201));
}

fn keep_alive_is_off_by_default() {
    for mut t in [Talk::passive(Setup::default()), Talk::active(Setup::modern())] {
        t.run(secs(7 * 24 * 3600));
        t.silent();
        assert_eq!(t.state(), TcpState::Established);
    }
}

fn keep_alive_waits_for_silence() {
    let mut t = kept();
    for n in 0..5 {
        t.run(secs(7000));
        t.silent();
        match n % 2 {
            0 => {
                let data = t.data(10);
                t.inject(data);
                t.run(secs(1));
            }
            _ => {
                t.sent(10);
                let ack = t.seg();
                t.inject(ack);
            }
        }
        t.heard();
    }
    // What is in flight is watched by its own timer: no probe beside it.
    t.set(|options| options.keepidle = Some(secs(20)));
    let una = t.host_nxt;
    t.write(10);
    t.run(secs(300));
    let sent = t.heard();
    assert!(sent.iter().all(|seg| seg.seq == una && seg.len() == 10), "{:?}", ranges(&sent));
}

fn the_interval_can_be_set() {
    let mut t = kept();
    t.set(|options| {
        options.keepidle = Some(secs(30));
        options.keepintvl = Some(secs(4));
        options.keepcnt = Some(3);
    });
    let start = t.now;
    t.run(secs(100));
    let times: Vec<u64> = t.heard().iter().map(|seg| seg.at.as_secs()).collect();
    let times: Vec<u64> =
        times.iter().map(|at| at - (t.since_start() - (t.now - start)).as_secs()).collect();
    assert_eq!(times, [30, 34, 38, 42], "three probes and RST");
    assert_eq!(t.error(), Some(SocketError::TimedOut));
    // As setsockopt refuses.
    let mut t = kept();
    let now = t.now;
    let conn = t.conn;
    let mut set = |change: fn(&mut TcpOptions)| t.stack.set_tcp_options(now, conn, change);
    let refused = Err(SocketError::InvalidArgument);
    assert_eq!(set(|options| options.keepidle = Some(secs(0))), refused);
    assert_eq!(set(|options| options.keepidle = Some(secs(32_768))), refused);
    assert_eq!(set(|options| options.keepintvl = Some(secs(32_768))), refused);
    assert_eq!(set(|options| options.keepcnt = Some(0)), refused);
    assert_eq!(set(|options| options.keepcnt = Some(128)), refused);
    assert_eq!(set(|options| options.keepidle = Some(secs(32_767))), Ok(()));
    assert_eq!(set(|options| options.keepcnt = Some(127)), Ok(()));
}

fn the_interval_is_two_hours() {
    let mut t = kept();
    t.run(secs(7199));
    t.silent();
    t.run(secs(1));
    assert!(is_probe(&t.one(), &t));
}

fn one_lost_probe_is_forgiven() {
    let mut t = kept();
    for _ in 0..5 {
        for _ in 0..8 {
            let probe = t.next(secs(7201));
            assert!(is_probe(&probe, &t), "{probe:?}");
        }
        // An answer at last: all is as before.
        let ack = t.seg();
        t.inject(ack);
        t.run(secs(7000));
        t.silent();
    }
    assert_eq!((t.state(), t.error()), (TcpState::Established, None));
}

fn nine_lost_probes_are_not() {
    let mut t = kept();
    let mut last = t.now;
    for n in 0..9 {
        let probe = t.next(secs(7201));
        assert!(is_probe(&probe, &t), "{probe:?}");
        let gap = (t.now - last).as_secs_f64().round();
        assert_eq!(gap, if n == 0 { 7200.0 } else { 75.0 }, "probe {n}");
        last = t.now;
    }
    t.run(secs(74));
    t.silent();
    t.run(secs(1));
    let reset = t.one();
    assert!(reset.has(RST | ACK) && reset.seq == t.host_nxt, "{reset:?}");
    assert_eq!((t.state(), t.error()), (TcpState::Closed, Some(SocketError::TimedOut)));
}

fn a_probe_has_no_data() {
    let mut t = kept();
    t.sent(100);
    let ack = t.seg();
    t.inject(ack);
    let probe = t.next(secs(7201));
    assert_eq!((probe.range(), probe.flags, probe.ack), ((100, 0), ACK, 1));
}

fn a_probe_is_answered() {
    let mut t = Talk::passive(Setup { sack: true, ..Setup::default() });
    let data = t.data(100);
    t.inject(data);
    t.run(secs(1));
    t.heard();
    for n in 0..5 {
        let probe = Seg { seq: t.peer_nxt - 1, ..t.seg() };
        let answer = t.exchange(probe);
        assert_eq!(answer.len(), 1, "probe {n}");
        assert_eq!((answer[0].is_ack(), answer[0].ack, answer[0].seq), (true, 101, 1));
        t.run(secs(75));
    }
    // With a byte of garbage: a duplicate, which is reported as such.
    let mut probe = Seg { seq: t.peer_nxt - 1, flags: ACK, ..t.data(1) };
    probe.data = vec![0];
    let answer = t.exchange(probe);
    assert_eq!((answer.len(), answer[0].ack), (1, 101));
    assert_eq!(answer[0].sack, [(100, 101)]);
    assert_eq!(t.read_all(), 100);
}
