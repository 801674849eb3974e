//! RFC 5682, F-RTO in its version for SACK.

use std::time::Duration;

use tapping_stack::sim::{End, Verdict};
use tapping_stack::tcp::cc::CaState;

use crate::conn::{Conn, Setup, numbers};
use crate::path::Path;

conformance! {
    "RFC 5682", "F-RTO";

    Must "RFC5682-3.1-step1" "3.1" "A timeout retransmits the first segment and remembers the highest one sent."
        => a_timeout_retransmits_one;
    Rule "RFC5682-3.1-step2a" "3.1" "An ACK that does not move on, without new SACK, goes the usual way."
        => a_duplicate_sends_nothing_new;
    Rule "RFC5682-3.1-step2b" "3.1" "A first ACK that moves on, but not past everything, sends up to two new segments."
        => the_first_ack_sends_new_data;
    Rule "RFC5682-3.1-step2b-nodata" "3.1" "Without new data or room for it the usual way is gone."
        => without_new_data_the_usual_way;
    Rule "RFC5682-3.1-step3b" "3.1" "An ACK of something that was not retransmitted shows that the timeout was spurious."
        => the_second_ack_shows_it_was_spurious;
    Rule "RFC5682-3.1-spike" "3.1" "After a sudden delay nothing but the first segment was sent twice."
        => a_sudden_delay_resends_one;
    Rule "RFC5682-3.1-step3a" "3.1" "A duplicate then means that the loss was real."
        => a_duplicate_means_real_loss;
    Rule "RFC5682-3.1-covers" "3.1" "An ACK of everything ends the trial undecided."
        => an_ack_of_everything_decides_nothing;
    Rule "RFC5682-2.1-basic" "2.1" "Peers without SACK get the same by cumulative ACKs."
        => frto_without_sack;
    Rule "RFC5682-3.1-repeat" "3.1" "It is tried for the first timeout of a window and its repetitions, not amid another recovery."
        => not_amid_another_recovery;
}

/// Segments 0 to 9 are in flight, and their timer has expired.
fn timed_out(setup: Setup, written: u32) -> Conn {
    let mut conn = setup.config(|config| config.tcp.tail_loss_probe = false).open();
    conn.write(written);
    assert_eq!(conn.numbers(), numbers(0..10));
    conn.run(300);
    assert_eq!(conn.numbers(), [0]);
    assert_eq!(conn.ext().tcp_timeouts, 1);
    conn.run(50);
    conn
}

fn a_timeout_retransmits_one() {
    let mut conn = timed_out(Setup::default(), 30);
    conn.quiet();
    let info = conn.info();
    assert_eq!((info.ca_state, info.snd_cwnd, info.lost, info.retrans), (CaState::Loss, 1, 10, 1));
}

fn a_duplicate_sends_nothing_new() {
    let mut conn = timed_out(Setup::default(), 30);
    conn.ack(0);
    let sent = conn.numbers();
    assert!(sent.iter().all(|number| *number < 10), "{sent:?}");
    assert_eq!(conn.info().ca_state, CaState::Loss);
}

fn the_first_ack_sends_new_data() {
    let mut conn = timed_out(Setup::default(), 30);
    conn.ack(1);
    assert_eq!(conn.numbers(), [10, 11], "new data and no retransmission");
    assert_eq!(conn.info().ca_state, CaState::Loss);
}

fn without_new_data_the_usual_way() {
    let mut conn = timed_out(Setup::default(), 10);
    conn.ack(1);
    assert_eq!(conn.numbers(), [1, 2]);
    // Nor with data for which the peer has no room.
    let mut conn = Setup::default().config(|config| config.tcp.tail_loss_probe = false).open();
    conn.offer(10_000 / 128);
    conn.write(30);
    let flight = conn.sent().len() as u32;
    assert_eq!(flight, 9);
    conn.run(300);
    conn.sent();
    conn.window = 8_000 / 128;
    conn.ack(1);
    let sent = conn.numbers();
    assert_eq!(sent, [1, 2]);
}

fn the_second_ack_shows_it_was_spurious() {
    let mut conn = timed_out(Setup::default(), 30);
    conn.ack(1);
    conn.sent();
    conn.run(5);
    conn.ack(2);
    let ext = conn.ext();
    assert_eq!((ext.tcp_spurious_rtos, ext.tcp_loss_undo), (1, 1));
    let info = conn.info();
    assert_eq!((info.ca_state, info.lost), (CaState::Open, 0));
    assert!(info.snd_cwnd >= 10 && info.snd_ssthresh > 100, "{info:?}");
    let sent = conn.numbers();
    assert!(sent.iter().all(|number| *number >= 12), "no go-back-N: {sent:?}");
    // A SACK tells the same.
    let mut conn = timed_out(Setup::default(), 30);
    conn.sack(0, &[(3, 4)]);
    assert_eq!((conn.ext().tcp_spurious_rtos, conn.info().ca_state), (1, CaState::Disorder));
}

fn a_sudden_delay_resends_one() {
    for timestamps in [true, false] {
        let mut path = Path::new(5, Duration::from_millis(50), |plan| {
            plan.sender.tcp.timestamps = timestamps;
            plan.sender.tcp.tail_loss_probe = false;
        });
        path.warm_up();
        path.write(200);
        path.run(Duration::from_millis(95));
        // For a while everything is held up.
        let until = path.lab.now() + Duration::from_millis(700);
        let mut now = path.lab.now();
        let step = Duration::from_millis(1);
        let hold = Duration::from_millis(700);
        path.lab
            .link_mut(path.wire)
            .set_script(End::B, Some(Box::new(move |_, _| Verdict::Hold(hold))));
        while now < until {
            path.run(step);
            now = path.lab.now();
        }
        path.lab.link_mut(path.wire).set_script(End::B, None);
        path.transfer(50);
        let ext = path.sender_ext();
        assert!(ext.tcp_timeouts >= 1 && ext.tcp_loss_undo >= 1, "{timestamps} {ext:?}");
        let again = path.retransmitted();
        assert!(again <= 2, "timestamps {timestamps}: {again} were sent again");
    }
}

fn a_duplicate_means_real_loss() {
    let mut conn = timed_out(Setup::default(), 30);
    conn.ack(1);
    assert_eq!(conn.numbers(), [10, 11]);
    conn.run(100);
    conn.sack(1, &[(10, 11)]);
    assert!(conn.numbers().starts_with(&[1]), "the rest is lost indeed");
    assert_eq!((conn.ext().tcp_spurious_rtos, conn.info().ca_state), (0, CaState::Loss));
}

fn an_ack_of_everything_decides_nothing() {
    let mut conn = timed_out(Setup::default(), 30);
    conn.ack(10);
    let info = conn.info();
    assert_eq!((info.ca_state, conn.ext().tcp_spurious_rtos), (CaState::Open, 1));
    // Originals were among what it acknowledged, with SACK that is known.
    assert_eq!(conn.ext().tcp_loss_undo, 1);
    // Without it is not.
    let mut conn = timed_out(Setup::default().sack(false), 30);
    conn.ack(10);
    assert_eq!(conn.ext().tcp_spurious_rtos, 0);
    assert_eq!(conn.window().1, 5);
}

fn frto_without_sack() {
    let mut conn = timed_out(Setup::default().sack(false), 30);
    conn.ack(1);
    assert_eq!(conn.numbers(), [10, 11]);
    conn.ack(2);
    assert_eq!((conn.ext().tcp_spurious_rtos, conn.info().ca_state), (1, CaState::Open));
    // A duplicate is what the new data makes of a real loss.
    let mut conn = timed_out(Setup::default().sack(false), 30);
    conn.ack(1);
    conn.sent();
    conn.run(100);
    conn.ack(1);
    assert!(conn.numbers().starts_with(&[1]));
    assert_eq!(conn.ext().tcp_spurious_rtos, 0);
}

fn not_amid_another_recovery() {
    let mut conn = Setup::default().open();
    conn.write(30);
    conn.run(100);
    conn.sent();
    conn.sack(0, &[(1, 4)]);
    conn.sent();
    conn.run(300);
    assert_eq!((conn.numbers(), conn.ext().tcp_timeouts), (vec![0], 1));
    conn.ack(4);
    let sent = conn.numbers();
    assert!(sent.starts_with(&[4]), "the usual way: {sent:?}");
    // The same segment again: still tried.
    let mut conn = timed_out(Setup::default(), 30);
    conn.run(600);
    conn.sent();
    assert_eq!(conn.ext().tcp_timeouts, 2);
    conn.ack(1);
    assert_eq!(conn.numbers(), [10, 11]);
}
