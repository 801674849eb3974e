//! RFC 7661, windows of senders that have little to send.

use crate::conn::Setup;

conformance! {
    "RFC 7661", "Application-limited windows";

    Must "RFC7661-4.3-grow" "4.3" "A window that is not used does not grow."
        => an_unused_window_does_not_grow;
    Rule "RFC7661-4.4-validate" "4.4" "What is in flight, not the window, decides after a loss."
        deviation "As Linux the window decides; one that is not used has been lowered before."
        => a_loss_counts_the_window;
}

fn an_unused_window_does_not_grow() {
    for setup in [Setup::default(), Setup::default().cubic()] {
        let mut conn = setup.open();
        let mut acked = 0;
        for _ in 0..50 {
            conn.write(4);
            conn.run(100);
            acked += 4;
            conn.ack(acked);
        }
        assert_eq!(conn.window().0, 10);
        // More than half of it in slow start: that is on the way to using it.
        conn.write(8);
        conn.run(100);
        conn.ack(acked + 8);
        assert!((12..=18).contains(&conn.window().0), "{}", conn.window().0);
    }
}

fn a_loss_counts_the_window() {
    let mut conn = Setup::default().open();
    let acked = conn.grow_to(40);
    conn.write(5);
    conn.run(100);
    conn.sack(acked, &[(acked + 1, acked + 5)]);
    assert_eq!(conn.window().1, 20);
}
