//! RFC 7323: window scale and timestamps.

use tapping_stack::config::SynCookies;
use tapping_stack::{TcpOptions, TcpState};

use crate::talk::*;

conformance! {
    "RFC 7323", "Window scale and timestamps";

    Must "RFC7323-2.2-syn" "2.2" "Window scale is sent in SYN only, and in SYN-ACK only when SYN had it."
        => window_scale_only_in_syn;
    MustNot "RFC7323-2.2-scaled-syn" "2.2" "The window in SYN and SYN-ACK is not scaled."
        => windows_in_syn_are_not_scaled;
    Must "RFC7323-2.2-both" "2.2" "It works only when both sent it; else both shifts are 0."
        => both_sides_must_agree_on_scaling;
    Must "RFC7323-2.3-out" "2.3" "Windows sent are shifted right, those received left."
        => windows_are_shifted;
    Must "RFC7323-2.3-14" "2.3" "A shift above 14 counts as 14."
        => a_shift_above_14_is_14;
    Must "RFC7323-2.2-nonsyn" "2.2" "The option in other segments is ignored."
        => window_scale_elsewhere_is_ignored;
    Should "RFC7323-2.4-retract" "2.4" "A window that rounding down made smaller does no harm."
        => rounding_does_not_retract;
    Linux "RFC7323-2.3-shift" "2.3" "Our shift fits the largest buffer: 7 for 6 MiB."
        => the_shift_fits_the_buffer;
    May "RFC7323-3.2-syn" "3.2" "Timestamps are offered in SYN."
        => timestamps_are_offered;
    Must "RFC7323-3.2-all" "3.2" "Once agreed, every segment but RST carries them."
        => every_segment_carries_timestamps;
    Should "RFC7323-3.2-missing" "3.2" "A segment that lacks them then is dropped."
        deviation "As Linux: it is taken without the check of timestamps, as there are middleboxes that strip them."
        => a_segment_without_timestamps_is_taken;
    MustNot "RFC7323-3.2-rst" "3.2" "An RST is not refused for want of timestamps."
        => a_reset_needs_no_timestamps;
    Must "RFC7323-3.2-notagreed" "3.2" "Without agreement none are sent, and those received are ignored."
        => timestamps_without_agreement;
    Must "RFC7323-3.2-echo-zero" "3.2" "TSecr is zero where ACK is not set."
        => a_syn_echoes_zero;
    Must "RFC7323-4.3-recent" "4.3" "What is echoed is the newest value that came at the left edge of the window."
        => the_echo_is_of_the_left_edge;
    Rule "RFC7323-4.1-rtt" "4.1" "Round trips are measured by echo only on ACKs of new data."
        => echoes_measure_new_data_only;
    Rule "RFC7323-4.1-retransmitted" "4.1" "With timestamps a retransmission is measured, too."
        => echoes_measure_retransmissions;
    Rule "RFC7323-4.2-rto" "4.2" "Many samples a round trip do not make the average forget faster."
        => many_samples_do_not_shorten_memory;
    Rule "RFC7323-5.4-clock" "5.4" "The clock ticks every millisecond, from an offset of its own for each pair of addresses."
        => the_clock_ticks_by_milliseconds;
    Must "RFC7323-5.4-monotone" "5.4" "TSval never goes back within a connection."
        => values_never_go_back;
}

fn window_scale_only_in_syn() {
    let t = Talk::connecting(Setup::default());
    assert_eq!(t.first.wscale, Some(7));
    for wscale in [None, Some(0), Some(7)] {
        let mut t = Talk::passive(Setup { wscale, ..Setup::default() });
        assert_eq!(t.first.wscale, wscale.map(|_| 7), "SYN had {wscale:?}");
        let mut rest = t.sent(5000);
        let data = t.data(10);
        rest.extend(t.exchange(data));
        t.close();
        rest.extend(t.heard());
        assert!(rest.len() > 3 && rest.iter().all(|seg| seg.wscale.is_none()));
    }
}

fn windows_in_syn_are_not_scaled() {
    // The peer's: 1000 are 1000 until its next segment.
    let mut t = Talk::connecting(Setup { wscale: Some(7), ..Setup::default() });
    let syn_ack = Seg { win: 1000, ..t.syn_ack() };
    t.inject(syn_ack);
    assert_eq!(t.info().snd_wnd, 1000);
    let ack = Seg { win: 1000, ..t.seg() };
    t.inject(ack);
    assert_eq!(t.info().snd_wnd, 128_000);
    // Ours.
    let t = Talk::active(Setup { wscale: Some(7), ..Setup::default() });
    let next = t.handshake_ack.as_ref().map(|seg| seg.win);
    assert_eq!((t.first.win, next), (64_240, Some(502)));
}

fn both_sides_must_agree_on_scaling() {
    for active in [false, true] {
        let setup = Setup { wscale: None, window: 5000, ..Setup::default() };
        let mut t = if active { Talk::active(setup) } else { Talk::passive(setup) };
        assert_eq!(t.info().wscale, None);
        let ack = t.seg();
        t.inject(ack);
        assert_eq!(t.info().snd_wnd, 5000);
        let data = t.data(10);
        let ack = t.exchange(data);
        assert!(ack[0].win > 60_000, "as it is: {}", ack[0].win);
    }
    // When we do not offer it, the peer's counts for nothing.
    let mut setup = Setup { wscale: Some(9), window: 5000, ..Setup::default() };
    setup.config.tcp.window_scaling = false;
    for active in [false, true] {
        let setup = setup.clone();
        let mut t = if active { Talk::active(setup) } else { Talk::passive(setup) };
        assert_eq!((t.first.wscale, t.info().wscale), (None, None));
        let ack = t.seg();
        t.inject(ack);
        assert_eq!(t.info().snd_wnd, 5000);
    }
}

fn windows_are_shifted() {
    for shift in 0..=14 {
        let mut t = Talk::passive(Setup { wscale: Some(shift), window: 0, ..Setup::default() });
        for win in [1u16, 100, 65_535] {
            let ack = Seg { win, ..t.seg() };
            t.inject(ack);
            assert_eq!(t.info().snd_wnd, u32::from(win) << shift);
        }
        let data = t.data(1);
        let ack = t.exchange(data);
        assert_eq!(u32::from(ack[0].win), t.info().rcv_wnd >> 7);
    }
}

fn a_shift_above_14_is_14() {
    for shift in [14, 15, 31, 32, 255] {
        let setup = Setup { wscale: Some(shift), window: 2, ..Setup::default() };
        for active in [false, true] {
            let setup = setup.clone();
            let mut t = if active { Talk::active(setup) } else { Talk::passive(setup) };
            let ack = t.seg();
            t.inject(ack);
            assert_eq!(t.info().snd_wnd, 2 << 14, "shift {shift}");
        }
    }
}

fn window_scale_elsewhere_is_ignored() {
    let mut t = Talk::passive(Setup { wscale: Some(2), window: 100, ..Setup::default() });
    let data = Seg { wscale: Some(9), win: 1000, ..t.data(10) };
    t.inject(data);
    assert_eq!((t.read_all(), t.info().snd_wnd), (10, 4000));
    let ack = Seg { win: 1000, ..t.seg() };
    t.inject(ack);
    assert_eq!(t.info().snd_wnd, 4000);
}

/// The right edge of a peer that rounds down moves left by less than a unit.
fn rounding_does_not_retract() {
    let setup = Setup { mss: Some(1000), wscale: Some(7), window: 16, ..Setup::default() };
    let mut t = Talk::passive(setup);
    assert_eq!(ranges(&t.sent(10_000)), [(1, 1000), (1001, 1000)]);
    // 99 of 2048 are left, and rounded down to none: that ends before what is in flight does.
    let ack = Seg { ack: 1950, win: 0, ..t.seg() };
    t.inject(ack);
    t.heard();
    // Our own segments still have the number that is next.
    let data = Seg { ack: 1950, win: 0, ..t.data(10) };
    let ack = t.exchange(data);
    assert_eq!((ack[0].is_ack(), ack[0].seq), (true, 2001));
    let ack = Seg { win: 500, ..t.seg() };
    let sent = t.exchange(ack);
    assert_eq!(sent.last().map(Seg::end), Some(10_001), "{:?}", ranges(&sent));
    assert_eq!(t.state(), TcpState::Established);
    // Ours is rounded up: it never moves left.
    let mut t = Talk::passive(Setup { wscale: Some(7), ..Setup::default() });
    let mut edge = 0;
    for len in [1, 127, 128, 129, 1000, 1, 1, 1] {
        let data = t.data(len);
        for ack in t.exchange(data) {
            let right = ack.ack + (u32::from(ack.win) << 7);
            assert!(right >= edge, "{right} after {edge}");
            edge = right;
        }
    }
}

fn the_shift_fits_the_buffer() {
    for (most, shift) in
        [(6 << 20, 7), (4 << 20, 7), (65_536, 1), (1 << 20, 5), (64 << 20, 11), (1 << 30, 14)]
    {
        let mut setup = Setup::default();
        setup.config.tcp.rmem.max = most;
        let syn = Talk::connecting(setup).first;
        assert_eq!(syn.wscale, Some(shift), "{most} bytes");
        assert!(most >> shift <= 65_536, "the shift reaches it");
    }
}

fn timestamps_are_offered() {
    assert!(Talk::connecting(Setup::default()).first.ts.is_some());
    assert!(Talk::passive(Setup::modern()).first.ts.is_some());
    let mut setup = Setup::modern();
    setup.config.tcp.timestamps = false;
    assert_eq!(Talk::connecting(setup).first.ts, None);
}

fn every_segment_carries_timestamps() {
    for active in [false, true] {
        let setup = Setup::modern();
        let mut t = if active { Talk::active(setup) } else { Talk::passive(setup) };
        let mut seen = vec![t.first.clone()];
        seen.extend(t.handshake_ack.clone());
        seen.extend(t.sent(10_000));
        let gap = t.data_at(5000, 100);
        seen.extend(t.exchange(gap));
        t.peer_nxt = 1;
        t.run(secs(3));
        t.close();
        seen.extend(t.heard());
        assert!(seen.len() > 8, "{}", seen.len());
        for seg in seen.iter().filter(|seg| !seg.has(RST)) {
            let (_, echo) = seg.ts.expect("timestamps");
            assert_eq!(echo == 0, !seg.has(ACK), "{seg:?}");
        }
    }
}

fn a_segment_without_timestamps_is_taken() {
    let mut t = Talk::passive(Setup::modern());
    let data = Seg { ts: None, ..t.data(100) };
    let acks = t.exchange(data);
    assert_eq!((acks.len(), acks[0].ack), (1, 101));
    assert!(acks[0].ts.is_some(), "ours have them");
    t.sent(100);
    let ack = Seg { ts: None, ..t.seg() };
    t.inject(ack);
    assert_eq!((t.read_all(), t.info().unacked), (100, 0));
}

fn a_reset_needs_no_timestamps() {
    let mut t = Talk::passive(Setup::modern());
    let reset = Seg { flags: RST, ts: None, ..t.seg() };
    t.inject(reset);
    assert_eq!(t.state(), TcpState::Closed);
}

fn timestamps_without_agreement() {
    let mut t = Talk::passive(Setup { ts: false, ..Setup::modern() });
    assert_eq!(t.first.ts, None);
    // Values that go back, which agreed upon would be refused.
    for value in [5000, 4000, 1, 0x9000_0000] {
        let data = Seg { ts: Some((value, 77)), ..t.data(10) };
        for ack in t.exchange(data) {
            assert_eq!((ack.ts, ack.ack), (None, t.peer_nxt));
        }
    }
    assert_eq!(t.read_all(), 40);
    assert!(t.sent(10)[0].ts.is_none());
    // Nor does an echo of nothing measure anything.
    let before = t.info().rtt;
    let ack = Seg { ts: Some((1, 1)), ..t.seg() };
    t.inject(ack);
    assert!(t.info().rtt <= before);
}

fn a_syn_echoes_zero() {
    let mut t = Talk::connecting(Setup::modern());
    t.run(secs(3));
    let again = t.heard();
    assert!(again.len() >= 2);
    for syn in [&[t.first.clone()][..], &again].concat() {
        assert_eq!(syn.ts.map(|(_, echo)| echo), Some(0));
    }
    // A SYN's own echo field says nothing.
    let mut t = Talk::listening(Setup::modern());
    let syn = Seg { ts: Some((4711, 0xdead_beef)), ..t.syn() };
    t.inject(syn);
    assert_eq!(t.one().ts.map(|(_, echo)| echo), Some(4711));
}

fn the_echo_is_of_the_left_edge() {
    let mut t = Talk::passive(Setup::modern());
    // A conversation, so that ACKs are delayed.
    for _ in 0..2 {
        let data = t.data(10);
        t.inject(data);
        t.sent(10);
    }
    let ack = t.seg();
    t.inject(ack);
    t.read_all();
    let value = |t: &Talk, n: u32| Some((t.peer_clock() + n, t.ts_recent));
    // Two segments for one ACK: the echo is of the first, so that the delay is in the measure.
    t.run(millis(5));
    let first = Seg { ts: value(&t, 100), ..t.data(10) };
    let wanted = first.ts.unwrap().0;
    assert_eq!(t.exchange(first), []);
    let second = Seg { ts: value(&t, 200), ..t.data(10) };
    t.inject(second);
    let ack = t.next(secs(1));
    assert_eq!(ack.ts.map(|(_, echo)| echo), Some(wanted), "{ack:?}");
    // Out of order: the value of what came before the gap stays.
    let next = t.peer_nxt;
    let beyond = Seg { ts: value(&t, 1000), ..t.data_at(next + 500, 10) };
    let kept = {
        let ack = t.exchange(beyond);
        ack[0].ts.unwrap().1
    };
    assert_eq!(kept, wanted);
    // What fills the gap is at the edge.
    let filling = Seg { ts: value(&t, 1100), ..t.data_at(next, 500) };
    let wanted = filling.ts.unwrap().0;
    assert_eq!(t.exchange(filling)[0].ts.unwrap().1, wanted);
}

fn echoes_measure_new_data_only() {
    let mut t = Talk::passive(Setup { rtt: millis(50), ..Setup::modern() });
    t.sent(5000);
    let old = t.ts_recent;
    t.run(millis(50));
    let before = t.info().rtt;
    // Duplicates and window updates with an echo of long ago.
    for win in [500, 501, 502] {
        let ack =
            Seg { ack: 1, win, ts: Some((t.peer_clock(), old.wrapping_sub(5000))), ..t.seg() };
        t.inject(ack);
    }
    assert_eq!(t.info().rtt, before);
    let ack = Seg { ack: 1449, ts: Some((t.peer_clock(), old)), ..t.seg() };
    t.inject(ack);
    assert!(t.info().rtt.abs_diff(millis(50)) < millis(5), "{:?}", t.info().rtt);
}

fn echoes_measure_retransmissions() {
    let mut t = Talk::passive(Setup { rtt: millis(10), ..Setup::modern() });
    t.sent(500);
    while t.info().retransmits == 0 {
        t.next(secs(1));
    }
    t.heard();
    // It is the retransmission that arrived, a while ago.
    t.run(millis(90));
    let ack = t.seg();
    t.inject(ack);
    let rtt = t.info().rtt;
    assert!(rtt > millis(15) && rtt < millis(30), "an eighth of 90 ms comes in: {rtt:?}");
    assert_eq!(t.info().backoff, 0);
}

/// One round trip of 400 ms, then many of 100 ms: how the timeout comes down.
fn many_samples_do_not_shorten_memory() {
    let rto = |acks: u32| {
        let mut t = Talk::passive(Setup { rtt: millis(100), ..Setup::modern() });
        t.set(|options| options.nodelay = true);
        t.sent(100);
        t.run(millis(400));
        let ack = t.seg();
        t.inject(ack);
        for _ in 0..3 {
            for _ in 0..acks {
                t.write(100);
            }
            t.heard();
            let (first, echo) = (t.host_nxt - 100 * acks, t.ts_recent);
            t.run(millis(100));
            for n in 1..=acks {
                let ack = first + 100 * n;
                let ack = Seg { ack, ts: Some((t.peer_clock(), echo)), ..t.seg() };
                t.inject(ack);
            }
            t.heard();
        }
        t.info().rto
    };
    let (one, many) = (rto(1), rto(8));
    assert!(many >= one * 7 / 10, "{many:?} after many samples, {one:?} after one a round trip");
}

fn the_clock_ticks_by_milliseconds() {
    let mut t = Talk::passive(Setup::modern());
    let value = |seg: &Seg| seg.ts.expect("timestamps").0;
    let mut last = (t.now, value(&t.sent(10)[0]));
    for wait in [1u32, 7, 100, 12_345] {
        let ack = t.seg();
        t.inject(ack);
        t.run(millis(wait.into()));
        let now = (t.now, value(&t.sent(10)[0]));
        assert_eq!(now.1.wrapping_sub(last.1), wait);
        last = now;
    }
    // Another peer, another offset, as Linux's secure_tcp_ts_off; the same for the same one.
    let mut t = Talk::idle(Setup::modern());
    let mut offsets = Vec::new();
    for host in 10..30 {
        let peer = core::net::Ipv4Addr::new(10, 0, 0, host);
        let mut both = Vec::new();
        for port in [1, 2] {
            let socket = t.stack.open_tcp().expect("room");
            t.stack.connect(t.now, socket, (peer, port).into()).expect("a way");
            t.settle();
            both.push(value(&t.one()));
        }
        assert_eq!(both[0], both[1]);
        offsets.push(both[0]);
    }
    offsets.sort_unstable();
    assert!(offsets.windows(2).all(|pair| pair[1] - pair[0] > 1000), "{offsets:?}");
}

fn values_never_go_back() {
    for cookies in [false, true] {
        let mut setup = Setup::modern();
        if cookies {
            setup.config.tcp.syncookies = SynCookies::Always;
        }
        setup.options = TcpOptions { nodelay: true, ..TcpOptions::default() };
        let mut t = Talk::passive(setup);
        let mut last = t.first.ts.expect("timestamps").0;
        for n in 0..100 {
            let _ = t.try_write(100, Default::default());
            let data = t.data(10);
            t.inject(data);
            t.run(millis(n % 7 * 13));
            for seg in t.heard() {
                let value = seg.ts.expect("timestamps").0;
                assert!(value.wrapping_sub(last) as i32 >= 0, "{value} after {last}");
                last = value;
            }
            if n % 5 == 0 {
                let ack = t.seg();
                t.inject(ack);
            }
        }
    }
}
