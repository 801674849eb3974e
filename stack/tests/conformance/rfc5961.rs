//! RFC 5961, robustness against blind attacks in the window.

use tapping_stack::time::Duration;
use tapping_stack::wire::SeqNumber;

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 5961", "Blind attacks in the window";

    Must "RFC5961-3.2-exact" "3.2" "RST at exactly the expected number resets."
        => reset_at_the_exact_number;
    Must "RFC5961-3.2-inwindow" "3.2" "RST elsewhere in the window is answered with a challenge ACK."
        => reset_in_the_window_is_challenged;
    Must "RFC5961-3.2-outside" "3.2" "RST outside the window is dropped in silence."
        => reset_outside_the_window_is_dropped;
    Linux "RFC5961-3.2-sack" "3.2" "RST at the right edge of what was received out of order resets, too."
        => reset_at_the_sacked_edge;
    Linux "RFC5961-3.2-fin" "3.2" "After the peer's FIN an RST at the number of that FIN resets, too."
        => reset_at_the_number_of_fin;
    Must "RFC5961-4.2-syn" "4.2" "SYN in a synchronized state is answered with a challenge ACK whatever its number."
        => syn_is_challenged_whatever_its_number;
    Must "RFC5961-5.2-ack-range" "5.2" "A segment whose ACK is older than the largest window ever offered allows is challenged and dropped; one that is not as old is taken."
        => data_with_an_impossible_ack_is_refused;
    Should "RFC5961-7-limit" "7" "Challenge ACKs are limited in number."
        => challenge_acks_are_limited;
    Rule "RFC5961-7-unpredictable" "7" "The limit cannot be used to find out about other connections."
        => the_challenge_limit_is_no_oracle;
    Rule "RFC5961-3-tw" "3.2" "TIME-WAIT and SYN-RECEIVED check numbers of RST likewise."
        => reset_checks_hold_in_the_small_states;
}

/// The states with a whole connection behind them.
const STATES: [At; 6] =
    [At::Established, At::FinWait1, At::FinWait2, At::CloseWait, At::Closing, At::LastAck];

/// Linux's own limit, one in 500 ms.
fn limited() -> Setup {
    Setup::plain().config(|config| config.tcp.invalid_ratelimit = Duration::from_millis(500))
}

fn reset_at_the_exact_number() {
    for at in STATES {
        for flags in [RST, RST_ACK] {
            let mut conn = Setup::full().at(at);
            let reset = conn.seg(flags);
            conn.quietly(&reset);
            conn.expect_gone();
        }
    }
}

fn reset_in_the_window_is_challenged() {
    for at in STATES {
        for ahead in [1, 2, 1000, 60_000] {
            let mut conn = Setup::plain().at(at);
            let reset = conn.seg(RST).seq(conn.rcv_nxt + ahead);
            let challenge = conn.one(&reset);
            assert!(challenge.is_ack(conn.snd_nxt, conn.rcv_nxt), "{at:?} {ahead}");
            conn.expect(at);
            assert_eq!(conn.ext().tcp_challenge_ack, 1);
            // A peer that has no connection answers with RST at the number that the challenge
            // acknowledges.
            let genuine = conn.seg(RST).seq(challenge.ack);
            conn.quietly(&genuine);
            conn.expect_gone();
        }
    }
}

fn reset_outside_the_window_is_dropped() {
    for at in STATES {
        for offset in [-2i32, -1000, 70_000, i32::MIN] {
            let mut conn = Setup::full().at(at);
            let reset = conn.seg(RST).seq(conn.rcv_nxt + offset as u32);
            conn.quietly(&reset);
            conn.expect(at);
        }
    }
}

fn reset_at_the_sacked_edge() {
    for (ahead, resets) in
        [(3000, true), (2000, false), (1000, false), (2999, false), (3001, false)]
    {
        let mut conn = Setup::full().at(At::Established);
        let data = conn.seg(ACK).seq(conn.rcv_nxt + 2000).data(&[1; 1000]);
        conn.challenged(&data);
        let reset = conn.seg(RST).seq(conn.rcv_nxt + ahead);
        if resets {
            conn.quietly(&reset);
            conn.expect_gone();
        } else {
            assert_eq!(conn.send(&reset).len(), 1, "a challenge");
            conn.expect(At::Established);
        }
    }
}

fn reset_at_the_number_of_fin() {
    for at in STATES {
        let mut conn = Setup::plain().at(at);
        let reset = conn.seg(RST).seq(conn.rcv_nxt - 1);
        conn.quietly(&reset);
        match at {
            At::CloseWait | At::Closing | At::LastAck => conn.expect_gone(),
            _ => conn.expect(at),
        }
    }
}

fn syn_is_challenged_whatever_its_number() {
    for at in STATES {
        for offset in [0i32, 1, 1000, -1, -1000, 70_000, i32::MIN] {
            for flags in [SYN, SYN_ACK, SYN | FIN, SYN | PSH] {
                let mut conn = Setup::plain().at(at);
                let syn = conn.syn().flags(flags).seq(conn.rcv_nxt + offset as u32);
                let syn = if flags == SYN_ACK { syn.ack(conn.snd_nxt) } else { syn };
                conn.challenged(&syn);
                conn.expect(at);
                assert_eq!(conn.ext().tcp_challenge_ack, 1, "{at:?} {offset} {flags:?}");
            }
        }
    }
}

fn data_with_an_impossible_ack_is_refused() {
    // 3000 bytes are acknowledged, beside SYN; Linux takes what was never sent for no older.
    for (window, back, taken) in [
        (65_535, 0, true),
        (65_535, 1, true),
        (65_535, 3000, true),
        (65_535, 3002, false),
        (65_535, 1 << 30, false),
        (1000, 1000, true),
        (1000, 1001, false),
    ] {
        let mut conn = Setup { window, ..Setup::plain() }.at(At::Established);
        conn.write(&[1; 3000]);
        for _ in 0..10 {
            let ack = conn.seg(ACK);
            conn.send(&ack);
        }
        let seg = conn.seg(ACK).ack(conn.snd_nxt - back).data(&[9; 10]);
        if taken {
            conn.send(&seg);
            assert_eq!(conn.read(), [9; 10], "{window} {back}");
        } else {
            conn.challenged(&seg);
            assert!(conn.read().is_empty(), "{window} {back}");
        }
    }
}

fn challenge_acks_are_limited() {
    let mut conn = limited().at(At::Established);
    let reset = conn.seg(RST).seq(conn.rcv_nxt + 100);
    let syn = conn.syn();
    let mut heard = 0;
    for _ in 0..50 {
        heard += conn.send(&reset).len() + conn.send(&syn).len();
    }
    assert_eq!(heard, 1);
    assert_eq!(conn.ext().tcp_challenge_ack, 1);
    assert_eq!(conn.ext().tcp_ack_skipped_challenge, 99);
    conn.pass_ms(499);
    conn.quietly(&reset);
    conn.pass_ms(1);
    conn.challenged(&reset);
    // The limit of the whole host, once it is set.
    let mut conn =
        Setup::plain().config(|config| config.tcp.challenge_ack_limit = 3).at(At::Established);
    let second =
        Duration::from_nanos(1_000_000_000 - conn.bench.lab.now().as_nanos() % 1_000_000_000);
    conn.pass(second);
    for challenged in [true, true, true, false, false] {
        assert_eq!(conn.send(&reset.clone()).len(), usize::from(challenged));
    }
    conn.pass(Duration::from_secs(1));
    conn.challenged(&reset);
}

fn the_challenge_limit_is_no_oracle() {
    let mut conn = limited().at(At::Established);
    let mut other = conn.leave_for(4001);
    conn.shake(false);
    let exhaust = conn.seg(RST).seq(conn.rcv_nxt + 100);
    let sent: usize = (0..2000).map(|_| conn.send(&exhaust).len()).sum();
    assert_eq!(sent, 1);
    conn.swap(&mut other);
    let reset = conn.seg(RST).seq(conn.rcv_nxt + 100);
    conn.challenged(&reset);
}

fn reset_checks_hold_in_the_small_states() {
    for at in [At::SynReceived, At::TimeWait] {
        for (offset, ends) in
            [(0i32, true), (1, false), (1000, false), (-1000, false), (70_000, false)]
        {
            let mut conn = Setup::plain().at(at);
            let reset = conn.seg(RST).seq(conn.rcv_nxt + offset as u32);
            let heard = conn.send(&reset);
            let in_window = (1..=1000).contains(&offset);
            match heard.first() {
                Some(challenge) => {
                    assert!(at == At::SynReceived && in_window, "{at:?} {offset}");
                    assert!(challenge.is_ack(conn.snd_nxt, conn.rcv_nxt));
                }
                None => assert!(at == At::TimeWait || !in_window, "{at:?} {offset}"),
            }
            match ends {
                true => conn.expect_gone(),
                false => conn.expect(at),
            }
        }
    }
    // A segment that claims an impossible ACK is not believed either.
    let mut conn = Setup::plain().at(At::SynReceived);
    let reset = conn.seg(RST_ACK).ack(SeqNumber(1));
    conn.quietly(&reset);
    conn.expect(At::SynReceived);
}
