//! What the peer's window allows, and what becomes of a closed one.

use tapping_stack::tcp::info::TcpInfo;
use tapping_stack::{SocketError, TcpState};

use crate::talk::*;

conformance! {
    "RFC 9293", "The peer's window (§3.8.6)";

    MustNot "RFC9293-3.8.6-beyond" "3.8.6" "No new data is sent beyond the peer's window."
        => the_window_is_never_exceeded;
    Must "RFC9293-MUST-34" "3.8.6" "A window that shrinks does no harm."
        => a_shrinking_window_does_no_harm;
    ShouldNot "RFC9293-SHLD-15" "3.8.6" "No new data is sent into a window that shrank past what is in flight."
        => no_new_data_after_shrinking;
    Should "RFC9293-SHLD-16" "3.8.6" "Data inside the window is still retransmitted after shrinking."
        => data_inside_a_shrunk_window_is_retransmitted;
    May "RFC9293-MAY-7" "3.8.6" "Data beyond the shrunk window may be retransmitted: here the oldest segment alone, as a probe."
        => retransmission_beyond_a_shrunk_window;
    ShouldNot "RFC9293-SHLD-17" "3.8.6" "A connection is not given up because data beyond a shrunk window is unacknowledged."
        => shrunk_windows_do_not_time_out;
    Must "RFC9293-MUST-35" "3.8.6.1" "Zero windows are probed."
        => zero_windows_are_probed;
    Must "RFC9293-MUST-36" "3.8.6.1" "A sender probes a zero window even when all that it has sent is acknowledged."
        => a_closed_window_is_probed_with_nothing_in_flight;
    Rule "RFC9293-3.8.6.1-handshake" "3.8.6.1" "A window that is closed from the handshake on is like any other."
        => a_window_closed_in_the_handshake_opens;
    Should "RFC9293-SHLD-29" "3.8.6.1" "The first probe goes out when the window was closed for one retransmission timeout."
        => the_first_probe_waits_for_the_rto;
    Should "RFC9293-SHLD-30" "3.8.6.1" "The time between probes grows exponentially."
        => probes_back_off;
    Must "RFC9293-MUST-37" "3.8.6.1" "A peer that answers probes may keep its window closed for ever."
        => a_window_may_stay_closed_for_ever;
    Linux "RFC9293-3.8.6.1-silent" "3.8.6.1" "A peer that answers none of tcp_retries2 probes is given up."
        => unanswered_probes_are_given_up;
    Must "RFC9293-MUST-66" "3.8.6" "RST and URG are processed although our window is closed."
        => reset_is_processed_with_a_closed_window;
    Rule "RFC9293-3.8.6.1-open" "3.8.6.1" "The window update that opens it sets data going at once."
        => an_opened_window_sends_at_once;
    Rule "RFC9293-3.8.6.1-lost" "3.8.6.1" "A lost window update does not stall the connection."
        => a_lost_window_update_does_not_stall;
    Must "RFC9293-MUST-38" "3.8.6.2.1" "The sender does not send segments that are silly."
        => no_silly_segments_are_sent;
    Rule "RFC9293-3.8.6.2.1-small" "3.8.6.2.1" "A peer whose largest window is below two segments is sent half of it at a time."
        => a_tiny_peer_window_is_used;
    Rule "RFC9293-3.8.6-update" "3.10.7.4" "An older segment does not change the window."
        => an_old_segment_does_not_change_the_window;
}

/// Segments of 1000 bytes.
fn talk() -> Talk {
    Talk::passive(Setup { mss: Some(1000), ..Setup::default() })
}

/// Ten segments are in flight and ten more wait.
fn busy() -> Talk {
    let mut t = talk();
    assert_eq!(t.sent(20_000).len(), 10);
    t
}

/// Nothing is in flight, and the window is closed.
fn closed() -> Talk {
    let mut t = talk();
    t.sent(100);
    let ack = Seg { win: 0, ..t.seg() };
    assert_eq!(t.exchange(ack), []);
    t
}

fn is_probe(seg: &Seg, snd_una: u32) -> bool {
    seg.range() == (snd_una - 1, 0) && seg.is_ack()
}

fn the_window_is_never_exceeded() {
    for (seed, wscale) in [(1u64, None), (2, Some(3)), (3, Some(14)), (4, Some(0))] {
        let mut t = Talk::passive(Setup {
            wscale,
            syn_window: 3000,
            window: 3000 >> wscale.unwrap_or(0),
            ..Setup::default()
        });
        let (mut state, mut edge, mut una) = (seed, 1 + 3000u32, 1);
        if wscale == Some(14) {
            edge = 1;
        }
        for _ in 0..400 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (state >> 33) as u32;
            let _ = t.try_write(5000, Default::default());
            for seg in t.heard() {
                assert!(seg.end() <= edge, "{:?} beyond {edge}", seg.range());
            }
            una += random % (t.host_nxt - una + 1);
            let win = ((random >> 8) % 20_000) >> wscale.unwrap_or(0);
            edge = edge.max(una + (win << wscale.unwrap_or(0)));
            let ack = Seg { ack: una, win: win as u16, ..t.seg() };
            for seg in t.exchange(ack) {
                assert!(seg.end() <= edge, "{:?} beyond {edge}", seg.range());
            }
        }
        assert!(una > 10_000, "there was progress with scale {wscale:?}: {una}");
    }
}

fn a_shrinking_window_does_no_harm() {
    for win in [0, 1, 500, 4000] {
        let mut t = busy();
        // The right edge moves from 65536 to within what is in flight.
        let ack = Seg { ack: 1001, win, ..t.seg() };
        t.inject(ack);
        t.run(secs(30));
        for seg in t.heard() {
            assert!(seg.end() <= 10_001, "nothing new: {:?}", seg.range());
        }
        assert_eq!(t.state(), TcpState::Established);
        // It opens again: all arrives.
        for _ in 0..100 {
            let ack = t.seg();
            t.inject(ack);
            t.run(millis(300));
        }
        assert_eq!((t.host_nxt, t.info().unacked), (20_001, 0), "window {win}");
    }
}

fn no_new_data_after_shrinking() {
    let mut t = busy();
    let ack = Seg { ack: 3001, win: 2000, ..t.seg() };
    assert_eq!(t.exchange(ack), []);
    // Nor when half of what is in flight has left.
    let ack = Seg { ack: 5001, win: 2000, ..t.seg() };
    assert_eq!(t.exchange(ack), []);
    let ack = Seg { ack: 10_001, win: 2000, ..t.seg() };
    assert_eq!(ranges(&t.exchange(ack)), [(10_001, 1000), (11_001, 1000)]);
}

fn data_inside_a_shrunk_window_is_retransmitted() {
    let mut t = busy();
    let ack = Seg { ack: 1001, win: 3000, ..t.seg() };
    assert_eq!(t.exchange(ack), []);
    let first = t.next(secs(2));
    assert_eq!(first.range(), (1001, 1000));
    // All within the window go after a timeout, and none beyond it.
    let mut seen = Vec::new();
    for una in [2001, 3001] {
        let ack = Seg { ack: una, win: (4001 - una) as u16, ..t.seg() };
        seen.extend(ranges(&t.exchange(ack)));
    }
    assert!(seen.contains(&(2001, 1000)) && seen.contains(&(3001, 1000)), "{seen:?}");
    assert!(seen.iter().all(|(seq, len)| *seq as usize + len <= 4001), "{seen:?}");
}

fn retransmission_beyond_a_shrunk_window() {
    let mut t = busy();
    let ack = Seg { ack: 1001, win: 0, ..t.seg() };
    assert_eq!(t.exchange(ack), []);
    t.run(secs(20));
    let sent = t.heard();
    assert!(sent.len() >= 3, "it is tried again and again: {:?}", ranges(&sent));
    assert!(sent.iter().all(|seg| seg.range() == (1001, 1000)), "{:?}", ranges(&sent));
}

fn shrunk_windows_do_not_time_out() {
    let mut t = busy();
    let ack = Seg { ack: 1001, win: 0, ..t.seg() };
    t.inject(ack);
    let end = t.now + secs(3600);
    while t.now < end {
        let seg = t.next(secs(121));
        assert_eq!(seg.seq, 1001);
        t.heard();
        let ack = Seg { ack: 1001, win: 0, ..t.seg() };
        t.inject(ack);
    }
    assert_eq!((t.state(), t.error()), (TcpState::Established, None));
    // Without any answer it is over when the peer was silent for twice tcp_rto_max.
    let silent = t.now;
    while t.state() == TcpState::Established {
        t.run(secs(1));
    }
    let took = t.now - silent;
    assert!(took > secs(240) && took <= secs(361), "{took:?}");
    assert_eq!(t.error(), Some(SocketError::TimedOut));
}

fn zero_windows_are_probed() {
    let mut t = closed();
    t.write(500);
    t.silent();
    let probe = t.next(secs(1));
    assert!(is_probe(&probe, 101), "{probe:?}");
    // The peer answers with its window, and is believed.
    let ack = t.seg();
    assert_eq!(ranges(&t.exchange(ack)), [(101, 500)]);
}

fn a_closed_window_is_probed_with_nothing_in_flight() {
    let mut t = closed();
    let TcpInfo { unacked, snd_wnd, .. } = t.info();
    assert_eq!((unacked, snd_wnd), (0, 0));
    // Not as long as there is nothing to send.
    t.run(secs(600));
    t.silent();
    t.write(1);
    assert!(is_probe(&t.next(secs(1)), 101));
}

fn a_window_closed_in_the_handshake_opens() {
    for active in [false, true] {
        let setup = Setup { mss: Some(1000), syn_window: 0, window: 0, ..Setup::default() };
        let mut t = if active { Talk::active(setup) } else { Talk::passive(setup) };
        assert_eq!((t.state(), t.info().snd_wnd), (TcpState::Established, 0));
        assert_eq!(t.sent(3000), []);
        let probe = t.next(secs(2));
        assert!(is_probe(&probe, 1), "{probe:?}");
        let ack = Seg { ack: 1, win: 0, ..t.seg() };
        assert_eq!(t.exchange(ack), [], "still closed");
        let ack = Seg { ack: 1, win: 10_000, ..t.seg() };
        assert_eq!(ranges(&t.exchange(ack)), [(1, 1000), (1001, 1000), (2001, 1000)]);
    }
}

fn the_first_probe_waits_for_the_rto() {
    for rtt in [10, 300] {
        let mut t = Talk::passive(Setup { rtt: millis(rtt), ..Setup::default() });
        let ack = Seg { win: 0, ..t.data(1) };
        t.inject(ack);
        t.heard();
        t.write(10);
        let (rto, start) = (t.info().rto, t.now);
        t.next(secs(5));
        let waited = t.now - start;
        assert!(waited >= rto && waited <= rto + millis(5), "{waited:?}, not {rto:?}");
    }
}

fn probes_back_off() {
    let mut t = closed();
    t.write(500);
    let mut times = vec![t.now];
    for _ in 0..13 {
        assert!(is_probe(&t.next(secs(121)), 101));
        times.push(t.now);
        // An answer does not make them more frequent.
        let ack = Seg { ack: 101, win: 0, ..t.seg() };
        t.inject(ack);
    }
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for pair in gaps.windows(2) {
        let expected = (pair[0] * 2.0).min(120.0);
        assert!((pair[1] - expected).abs() < 0.01 || pair[0] == gaps[0], "{gaps:?}");
    }
    assert_eq!(gaps.last(), Some(&120.0), "{gaps:?}");
}

fn a_window_may_stay_closed_for_ever() {
    let mut t = closed();
    t.write(500);
    let end = t.now + secs(24 * 3600);
    let mut probes = 0;
    while t.now < end {
        assert!(is_probe(&t.next(secs(121)), 101));
        probes += 1;
        let ack = Seg { ack: 101, win: 0, ..t.seg() };
        t.inject(ack);
    }
    assert!(probes >= 700, "{probes}");
    assert_eq!((t.state(), t.error()), (TcpState::Established, None));
    let ack = t.seg();
    assert_eq!(ranges(&t.exchange(ack)), [(101, 500)]);
}

fn unanswered_probes_are_given_up() {
    let mut t = closed();
    t.write(500);
    let start = t.now;
    let mut probes = 0;
    while t.state() == TcpState::Established {
        t.run(secs(1));
        probes += t.heard().iter().filter(|seg| is_probe(seg, 101)).count();
    }
    let took = (t.now - start).as_secs();
    // 210 ms doubled to 107.5 s, then six times 120 s.
    assert!((930..940).contains(&took), "{took} s");
    assert_eq!((probes, t.error()), (15, Some(SocketError::TimedOut)));
    assert_eq!(t.info().wmem_queued, 0, "what was written is freed");
    t.close();
    assert_eq!(t.stack.tcp_counts(), (1, 0, 0), "the listener");
}

fn reset_is_processed_with_a_closed_window() {
    let mut t = Talk::passive(Setup {
        options: tapping_stack::TcpOptions { receive_buffer: Some(4096), ..Default::default() },
        ..Setup::default()
    });
    t.sent(100);
    while t.info().rcv_wnd > 0 {
        let seg = Seg { ack: 1, ..t.data(1000.min(t.info().rcv_wnd as usize)) };
        t.inject(seg);
        t.run(millis(300));
    }
    t.heard();
    let urgent = Seg { flags: ACK | URG, urg: 1, ack: 101, ..t.seg() };
    t.inject(urgent);
    assert_eq!(t.info().unacked, 0, "its acknowledgment counts");
    let reset = Seg { flags: RST, ..t.seg() };
    t.inject(reset);
    assert_eq!(t.state(), TcpState::Closed);
    assert_eq!(t.error(), Some(SocketError::ConnectionReset));
}

fn an_opened_window_sends_at_once() {
    let mut t = closed();
    assert_eq!(t.sent(5000), []);
    let update = Seg { ack: 101, win: 2500, ..t.seg() };
    assert_eq!(ranges(&t.exchange(update)), [(101, 1000), (1101, 1000)]);
    // Then the probe is not needed, and the probe's timer does not disturb.
    let ack = t.seg();
    assert_eq!(ranges(&t.exchange(ack)), [(2101, 1000), (3101, 1000), (4101, 1000)]);
}

fn a_lost_window_update_does_not_stall() {
    let mut t = closed();
    t.write(5000);
    t.run(millis(100));
    // The peer has opened its window now, and its update is lost. The next probe is answered so.
    t.silent();
    let probe = t.next(secs(1));
    assert!(is_probe(&probe, 101));
    let ack = Seg { ack: 101, ..t.seg() };
    assert_eq!(t.exchange(ack).len(), 5);
}

fn no_silly_segments_are_sent() {
    let mut t = closed();
    assert_eq!(t.sent(10_000), []);
    for win in [1, 100, 300, 999] {
        let ack = Seg { ack: 101, win, ..t.seg() };
        assert_eq!(t.exchange(ack), [], "window {win}");
    }
    // But not without end: the probe is of what fits.
    let start = t.now;
    let part = t.next(secs(5));
    assert_eq!(part.range(), (101, 999));
    assert!(t.now - start >= millis(200));
    let ack = Seg { win: 1000, ..t.seg() };
    assert_eq!(ranges(&t.exchange(ack)), [(1100, 1000)]);
}

fn a_tiny_peer_window_is_used() {
    for (window, most) in [(1000u16, 500), (2000, 1000), (536, 536), (100, 100)] {
        let mut t = Talk::passive(Setup { syn_window: window, window, ..Setup::default() });
        let mut sent = t.sent(3000);
        assert!(!sent.is_empty(), "window {window}");
        for _ in 0..100 {
            let ack = t.seg();
            sent.extend(t.exchange(ack));
        }
        assert_eq!(t.host_nxt, 3001, "window {window}: it does not stall");
        assert_eq!(sent.iter().map(Seg::len).max(), Some(most), "window {window}");
    }
    // When the window turns out to be larger, so do the segments.
    let mut t = Talk::passive(Setup { syn_window: 1000, window: 1000, ..Setup::default() });
    assert_eq!(ranges(&t.sent(10_000)), [(1, 500), (501, 500)]);
    let ack = Seg { win: 10_000, ..t.seg() };
    assert_eq!(t.exchange(ack)[0].range(), (1001, 1460));
}

fn an_old_segment_does_not_change_the_window() {
    let mut t = busy();
    let data = Seg { ack: 5001, win: 5000, ..t.data(10) };
    t.inject(data);
    assert_eq!(t.info().snd_wnd, 5000);
    // A segment from before it, overtaken: neither its number nor its acknowledgment is newer.
    let old = Seg { seq: 1, ack: 3001, win: 60_000, ..t.seg() };
    t.inject(old);
    let old = Seg { seq: 1, ack: 5001, win: 60_000, data: bytes(1, 5), ..t.seg() };
    t.inject(old);
    assert_eq!(t.info().snd_wnd, 5000);
    let new = Seg { ack: 5001, win: 6000, ..t.seg() };
    t.inject(new);
    assert_eq!(t.info().snd_wnd, 6000);
}
