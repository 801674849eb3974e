//! Retransmission by the timer, and connections that fail.

use tapping_stack::config::MtuProbing;
use tapping_stack::socket::Readiness;
use tapping_stack::tcp::SendFlags;
use tapping_stack::tcp::cc::CongestionAlgorithm;
use tapping_stack::{Config, SocketError, TcpOptions, TcpState};

use crate::talk::*;

conformance! {
    "RFC 9293", "Retransmission and failing connections (§3.8.1–§3.8.3)";

    Must "RFC9293-MUST-18" "3.8.1" "Round trips are not measured on retransmitted segments without timestamps."
        => retransmissions_are_not_measured;
    Must "RFC9293-MUST-19" "3.8.2" "Slow start, congestion avoidance and exponential backoff are there."
        => congestion_control_is_there;
    May "RFC9293-MAY-4" "3.8.1" "A retransmission may have the IP identification of the first; here it has its own."
        => retransmissions_have_their_own_identification;
    May "RFC9293-MAY-18" "3.8.2" "Other conforming congestion controls may be used."
        => other_congestion_controls_may_be_used;
    Must "RFC9293-MUST-20-R1" "3.8.3" "After R1 retransmissions the IP layer is asked to doubt the route."
        deviation "Every segment looks its route up, and a silent neighbour is probed, whatever the count; R1 makes the connection doubt the path MTU, when tcp_mtu_probing is on."
        => after_r1_the_path_mtu_is_doubted;
    Must "RFC9293-MUST-20-R2" "3.8.3" "After R2 the connection is given up."
        => after_r2_the_connection_is_given_up;
    Must "RFC9293-MUST-21" "3.8.3" "The application can set R2."
        => the_application_can_set_r2;
    Should "RFC9293-SHLD-9" "3.8.3" "The application is told of the trouble between R1 and R2."
        deviation "As on Linux nothing is raised before R2; tcp_info shows retransmissions and backoff."
        => trouble_shows_in_tcp_info;
    Should "RFC9293-SHLD-10" "3.8.3" "R1 is at least 3 retransmissions."
        => r1_is_three;
    Should "RFC9293-SHLD-11" "3.8.3" "R2 is at least 100 seconds."
        => r2_is_beyond_100_seconds;
    Must "RFC9293-MUST-22" "3.8.3" "SYNs are retransmitted and given up in the same manner."
        => syns_are_retransmitted_and_given_up;
    Must "RFC9293-MUST-23" "3.8.3" "A SYN is tried for at least 3 minutes."
        deviation "As Linux: tcp_syn_retries is 6, some 2 minutes; the setting can be raised."
        => a_syn_is_tried_for_two_minutes;
    Rule "RFC9293-3.8.3-synack" "3.8.3" "An unanswered SYN-ACK is retransmitted five times and then forgotten."
        => syn_acks_are_retransmitted_and_given_up;
    Rule "RFC9293-3.8.1-first" "3.8.1" "The timer retransmits the first segment that is not acknowledged."
        => the_timer_retransmits_the_first_segment;
    Rule "RFC9293-3.8.1-copy" "3.8.1" "What is retransmitted has the same bytes, however it is cut."
        => retransmissions_have_the_same_bytes;
    Rule "RFC9293-3.8.3-freed" "3.8.3" "A connection that failed has told the application why, and holds no buffers."
        => failed_connections_free_their_buffers;
    Linux "RFC9293-3.8.3-orphan" "3.8.3" "A connection that nobody has any more is given up sooner."
        => orphans_are_given_up_sooner;
}

/// Segments of 1000 bytes.
fn talk() -> Talk {
    Talk::passive(Setup { mss: Some(1000), ..Setup::default() })
}

/// Waits for the connection to end; returns what it sent, and how long that took in seconds.
fn until_closed(t: &mut Talk) -> (Vec<Seg>, f64) {
    let (start, mut sent) = (t.now, Vec::new());
    while t.state() != TcpState::Closed {
        t.run(millis(10));
        sent.extend(t.heard());
        assert!(t.now - start < secs(5000), "it ends");
    }
    (sent, (t.now - start).as_secs_f64())
}

fn retransmissions_are_not_measured() {
    let mut t = talk();
    t.sent(500);
    let before = t.info().rtt;
    while t.info().retransmits == 0 {
        t.next(secs(1));
    }
    t.heard();
    t.run(millis(1));
    let ack = t.seg();
    t.inject(ack);
    assert_eq!((t.info().rtt, t.info().unacked), (before, 0), "whose is the acknowledgment?");
    // The next one, sent once, is measured.
    t.sent(500);
    t.run(millis(90));
    let ack = t.seg();
    t.inject(ack);
    assert!(t.info().rtt > before + millis(5), "{:?}", t.info().rtt);
}

fn congestion_control_is_there() {
    let mut t = talk();
    let buffer = |options: &mut TcpOptions| options.send_buffer = Some(1 << 20);
    t.set(buffer);
    assert_eq!(t.sent(200_000).len(), 10, "the initial window");
    // Slow start: two more for each that is acknowledged, though not always at once.
    t.run(millis(10));
    let mut more = 0;
    for n in 1..=10u32 {
        let ack = Seg { ack: 1 + n * 1000, ..t.seg() };
        more += t.exchange(ack).len();
        assert!(more <= 2 * n as usize, "{more} for {n}");
    }
    assert_eq!((t.info().snd_cwnd, more), (20, 20));
    // A timeout: one segment, and the timer doubles.
    let mut times = Vec::new();
    for _ in 0..6 {
        t.next(secs(60));
        t.heard();
        times.push(t.now);
    }
    let info = t.info();
    assert_eq!(info.snd_cwnd, 1);
    assert!(info.snd_ssthresh <= 14, "{}", info.snd_ssthresh);
    let gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]).as_secs_f64()).collect();
    for pair in gaps[1..].windows(2) {
        assert!((pair[1] / pair[0] - 2.0).abs() < 0.05, "{gaps:?}");
    }
    // Beyond ssthresh it grows by far less than one for each.
    let threshold = info.snd_ssthresh;
    for _ in 0..12 {
        while t.info().unacked > 0 && t.info().snd_cwnd <= threshold {
            let una = t.info().bytes_acked as u32 + 1000;
            let ack = Seg { ack: una.min(t.host_nxt), ..t.seg() };
            t.inject(ack);
        }
    }
    let before = t.info().snd_cwnd;
    let ack = t.seg();
    t.inject(ack);
    t.run(millis(10));
    assert!(t.info().snd_cwnd < before * 2, "{} after {before}", t.info().snd_cwnd);
}

fn retransmissions_have_their_own_identification() {
    let mut t = talk();
    let mut ids = vec![t.sent(500)[0].id];
    for _ in 0..4 {
        ids.push(t.next(secs(10)).id);
    }
    for pair in ids.windows(2) {
        assert_eq!(pair[1], pair[0].wrapping_add(1), "{ids:?}");
    }
}

fn other_congestion_controls_may_be_used() {
    for (algorithm, name) in [
        (CongestionAlgorithm::Cubic, "cubic"),
        (CongestionAlgorithm::Reno, "reno"),
        (CongestionAlgorithm::Bbr, "bbr"),
    ] {
        let options = TcpOptions { congestion: Some(algorithm), ..TcpOptions::default() };
        let mut t = Talk::passive(Setup { options, ..Setup::modern() });
        assert_eq!(t.info().congestion, name);
        let mut lost = 0;
        for _ in 0..2000 {
            let _ = t.try_write(20_000, SendFlags::empty());
            t.run(millis(10));
            let sent = t.heard();
            lost += sent.len();
            let ack = t.seg();
            t.inject(ack);
            if t.host_nxt > 1_000_000 {
                break;
            }
        }
        assert!(t.host_nxt > 1_000_000 && lost > 500, "{name}: {} bytes", t.host_nxt);
    }
}

fn after_r1_the_path_mtu_is_doubted() {
    let mut setup = Setup::default();
    setup.config.tcp.mtu_probing = MtuProbing::BlackHole;
    let mut t = Talk::passive(setup);
    t.set(|options| options.nodelay = true);
    t.sent(1460);
    let mut sizes = Vec::new();
    while sizes.last() != Some(&1024) {
        let seg = t.next(secs(200));
        assert_eq!(seg.seq, 1);
        sizes.push(seg.len());
        assert!(sizes.len() < 10, "{sizes:?}");
        t.heard();
    }
    assert!(sizes.len() > 3, "not before R1: {sizes:?}");
    assert!(sizes[..sizes.len() - 1].iter().all(|len| *len == 1460), "{sizes:?}");
}

fn after_r2_the_connection_is_given_up() {
    for setup in [Setup::default(), Setup::modern()] {
        let mut t = Talk::passive(setup);
        t.sent(500);
        let (sent, took) = until_closed(&mut t);
        // 924.6 s after the first retransmission at the earliest: as if the timeout had been
        // 200 ms at first. It is looked at every 120 s by then.
        assert!((924.6..1050.0).contains(&took), "{took} s");
        assert!((15..=18).contains(&sent.len()), "{} retransmissions", sent.len());
        assert!(sent.iter().all(|seg| seg.seq == 1 && !seg.has(RST)));
        assert_eq!(t.error(), Some(SocketError::TimedOut));
        assert_eq!(t.stack.snapshot().tcp_ext.tcp_abort_on_timeout, 1);
    }
}

fn the_application_can_set_r2() {
    let mut t = talk();
    t.set(|options| options.user_timeout = secs(5));
    t.sent(500);
    let (_, took) = until_closed(&mut t);
    assert!((5.0..5.8).contains(&took), "{took} s");
    assert_eq!(t.error(), Some(SocketError::TimedOut));
    // Or whoever runs the host.
    let mut setup = Setup::default();
    setup.config.tcp.retries2 = 3;
    let mut t = Talk::passive(setup);
    t.sent(500);
    let (_, took) = until_closed(&mut t);
    assert!((3.0..7.0).contains(&took), "{took} s");
}

fn trouble_shows_in_tcp_info() {
    let mut t = talk();
    t.sent(500);
    t.run(secs(60));
    let info = t.info();
    assert!(info.retransmits > 3 && info.backoff > 3 && info.total_retrans > 3, "{info:?}");
    assert_eq!(info.unacked, 1);
    assert_eq!((t.error(), t.ready().contains(Readiness::ERROR)), (None, false));
}

fn r1_is_three() {
    assert_eq!(Config::default().tcp.retries1, 3);
    let mut setup = Setup::default();
    setup.config.tcp.mtu_probing = MtuProbing::BlackHole;
    let mut t = Talk::passive(setup);
    t.sent(1460);
    while t.info().retransmits < 4 {
        t.next(secs(10));
    }
    assert_eq!(t.info().snd_mss, 1460, "no doubt after three");
    t.run(secs(20));
    assert!(t.info().snd_mss <= 1024, "{}", t.info().snd_mss);
}

fn r2_is_beyond_100_seconds() {
    for rtt in [1, 100, 1000] {
        let mut t = Talk::passive(Setup { rtt: millis(rtt), ..Setup::default() });
        t.sent(500);
        t.run(secs(900));
        assert_eq!(t.state(), TcpState::Established);
        // It comes back, and goes on.
        let ack = t.seg();
        t.inject(ack);
        assert_eq!(t.info().unacked, 0);
        t.heard();
        assert_eq!(ranges(&t.sent(500)), [(501, 500)]);
    }
}

fn syn_times(t: &mut Talk) -> Vec<f64> {
    let (sent, _) = until_closed(t);
    assert!(sent.iter().all(|seg| seg.flags.contains(SYN) && seg.seq == 0));
    sent.iter().map(|seg| seg.at.as_secs_f64()).collect()
}

fn syns_are_retransmitted_and_given_up() {
    let mut t = Talk::connecting(Setup::default());
    let times = syn_times(&mut t);
    assert_eq!(times, [1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0, 19.0, 35.0, 67.0]);
    assert_eq!(t.error(), Some(SocketError::TimedOut));
    // Without the steady ones at the beginning, as RFC 6298 has it.
    let mut setup = Setup::default();
    setup.config.tcp.syn_linear_timeouts = 0;
    let mut t = Talk::connecting(setup);
    assert_eq!(syn_times(&mut t), [1.0, 3.0, 7.0, 15.0, 31.0, 63.0]);
}

fn a_syn_is_tried_for_two_minutes() {
    let mut t = Talk::connecting(Setup::default());
    let (_, took) = until_closed(&mut t);
    assert!((131.0..131.1).contains(&took), "{took} s");
    let mut setup = Setup::default();
    setup.config.tcp.syn_retries = 8;
    let mut t = Talk::connecting(setup);
    let (_, took) = until_closed(&mut t);
    assert!(took > 180.0, "{took} s");
}

fn syn_acks_are_retransmitted_and_given_up() {
    let mut t = Talk::listening(Setup::default());
    let syn = t.syn();
    t.inject(syn);
    assert_eq!(t.stack.tcp_counts().2, 1);
    t.run(secs(200));
    let sent = t.heard();
    assert!(sent.iter().all(|seg| seg.has(SYN | ACK) && seg.ack == 1));
    let times: Vec<f64> = sent.iter().map(|seg| seg.at.as_secs_f64()).collect();
    assert_eq!(times, [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]);
    assert_eq!(t.stack.tcp_counts(), (1, 0, 0), "the listener alone is left");
}

fn the_timer_retransmits_the_first_segment() {
    let mut t = talk();
    assert_eq!(t.sent(5000).len(), 5);
    while t.info().retransmits == 0 {
        t.run(millis(1));
    }
    let sent = t.heard();
    assert_eq!(sent.last().map(Seg::range), Some((1, 1000)));
    // The first of those that are left.
    let ack = Seg { ack: 2001, ..t.seg() };
    t.inject(ack);
    t.heard();
    while t.info().retransmits == 0 {
        t.run(millis(1));
    }
    assert_eq!(t.heard().last().map(Seg::range), Some((2001, 1000)));
}

/// Every byte that is heard is compared with what was written, here too.
fn retransmissions_have_the_same_bytes() {
    let mut t = talk();
    t.set(|options| options.nodelay = true);
    for len in [1, 999, 1000, 37, 1963] {
        t.sent(len);
    }
    let mut seen = Vec::new();
    for ack in [1, 2, 500, 1001, 1500, 2037] {
        // An acknowledgment in the middle of a segment, and smaller segments than before.
        let ack = Seg { ack, ..t.seg() };
        t.inject(ack);
        if ack_is(&t, 500) {
            t.set(|options| options.maxseg = Some(300));
        }
        t.run(secs(3));
        seen.extend(ranges(&t.heard()));
    }
    assert!(seen.iter().any(|(_, len)| *len > 300) && seen.iter().any(|(_, len)| *len <= 300));
    assert!(seen.len() > 6, "{seen:?}");
}

fn ack_is(t: &Talk, number: u64) -> bool {
    t.info().bytes_acked == number
}

fn failed_connections_free_their_buffers() {
    type Fail = fn(&mut Talk);
    let fails: [(&str, Fail, SocketError); 4] = [
        ("never acks", |t| t.run(secs(1100)), SocketError::TimedOut),
        (
            "never reads",
            |t| {
                let ack = Seg { win: 0, ..t.seg() };
                t.inject(ack);
                t.set(|options| options.user_timeout = secs(30));
                let _ = t.try_write(4000, SendFlags::empty());
                for _ in 0..60 {
                    t.run(secs(1));
                    let ack = Seg { win: 0, ..t.seg() };
                    t.inject(ack);
                }
            },
            SocketError::TimedOut,
        ),
        (
            "resets",
            |t| {
                let reset = Seg { flags: RST | ACK, ..t.seg() };
                t.inject(reset);
            },
            SocketError::ConnectionReset,
        ),
        (
            "vanishes",
            |t| {
                let ack = t.seg();
                t.inject(ack);
                while t.info().unacked > 0 || t.info().notsent_bytes > 0 {
                    let ack = t.seg();
                    t.inject(ack);
                    t.run(millis(10));
                }
                t.set(|options| options.keepalive = true);
                t.run(secs(7200 + 9 * 75 + 80));
            },
            SocketError::TimedOut,
        ),
    ];
    for (what, fail, error) in fails {
        let mut t = Talk::passive(Setup { rtt: millis(10), ..Setup::modern() });
        let received = t.data(1000);
        t.inject(received);
        // Something out of order, too.
        let beyond = t.data_at(5001, 1000);
        t.inject(beyond);
        t.peer_nxt = 1001;
        t.write(16_000);
        assert!(t.info().rmem_alloc > 0 && t.info().wmem_queued > 0);
        fail(&mut t);
        assert_eq!(t.state(), TcpState::Closed, "a peer that {what}");
        assert!(t.ready().contains(Readiness::ERROR | Readiness::READABLE | Readiness::WRITABLE));
        assert_eq!(t.error(), Some(error), "a peer that {what}");
        let info = t.info();
        assert_eq!((info.wmem_queued, info.unacked), (0, 0), "a peer that {what}");
        // What was received can still be read, and no more is kept.
        assert_eq!(t.try_read(4000), Ok(1000));
        assert_eq!(t.try_read(4000), Ok(0));
        assert_eq!(t.info().rmem_alloc, 0, "a peer that {what}");
        t.close();
        assert_eq!(t.stack.tcp_counts(), (1, 0, 0), "only the listener is left");
        assert!(t.stack.poll_timeout().is_none_or(|at| at > t.now + secs(100_000)));
    }
}

fn orphans_are_given_up_sooner() {
    let mut t = talk();
    t.write(5000);
    t.close();
    let start = t.now;
    while t.stack.tcp_counts().0 > 1 {
        t.run(secs(1));
        assert!(t.now - start < secs(300), "orphans end");
    }
    let took = (t.now - start).as_secs();
    assert!((30..=220).contains(&took), "eight retransmissions, {took} s");
}
