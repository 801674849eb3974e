//! RFC 3522, the Eifel detection algorithm.

use crate::conn::{Conn, Setup};

conformance! {
    "RFC 3522", "Eifel detection";

    Should "RFC3522-3.2-compare" "3.2" "An ACK whose echo is older than the retransmission's timestamp shows that it was needless."
        => an_older_echo_shows_a_spurious_retransmit;
    MustNot "RFC3522-3.2-equal" "3.2" "An echo that is equal or newer shows nothing."
        => an_equal_echo_shows_nothing;
    Rule "RFC3522-3.2-duplicates" "3.2" "Without timestamps D-SACK must tell."
        => without_timestamps_duplicates_tell;
}

/// Segment 0 has been sent again; the timestamps of both copies.
fn sent_again(setup: Setup) -> (Conn, u32, u32) {
    let mut conn = setup.timestamps().open();
    conn.write(10);
    let original = conn.sent()[0].timestamps.expect("timestamps").0;
    conn.run(100);
    for n in 2..=4 {
        match setup_has_sack(&mut conn) {
            true => conn.sack(0, &[(1, n)]),
            false => conn.ack(0),
        }
    }
    let again = conn.only();
    assert_eq!(again.number(), 0);
    conn.run(20);
    (conn, original, again.timestamps.expect("timestamps").0)
}

fn setup_has_sack(conn: &mut Conn) -> bool {
    conn.info().sack
}

fn an_older_echo_shows_a_spurious_retransmit() {
    for sack in [true, false] {
        let (mut conn, original, again) = sent_again(Setup::default().sack(sack));
        assert!(original < again);
        assert_eq!(conn.window().1, 5);
        conn.ack_echoing(10, original);
        assert!(conn.window().1 > 1000, "SACK {sack}: ssthresh is as before");
        // Without SACK the state is kept until more is acknowledged, and the window with it.
        assert!(conn.window().0 >= if sack { 10 } else { 6 });
        assert_eq!(conn.ext().tcp_full_undo, 1);
    }
}

fn an_equal_echo_shows_nothing() {
    for later in [0, 1] {
        let (mut conn, _, again) = sent_again(Setup::default());
        conn.run(80);
        conn.ack_echoing(10, again + later);
        assert_eq!(conn.window().1, 5);
        assert_eq!(conn.ext().tcp_full_undo, 0);
    }
}

fn without_timestamps_duplicates_tell() {
    for tells in [false, true] {
        let mut conn = Setup::default().open();
        conn.write(10);
        conn.run(100);
        conn.sent();
        conn.sack(0, &[(1, 4)]);
        assert_eq!(conn.numbers(), [0]);
        conn.run(20);
        match tells {
            true => conn.sack(10, &[(0, 1)]),
            false => conn.ack(10),
        }
        assert_eq!(conn.window().1 > 1000, tells);
        assert_eq!(conn.ext().tcp_full_undo, u64::from(tells));
    }
}
