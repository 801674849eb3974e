//! RFC 3465, appropriate byte counting: packets are counted here, as on Linux.

use crate::conn::{Conn, Setup};

conformance! {
    "RFC 3465", "Counting what was acknowledged";

    Should "RFC3465-2.1-ca" "2.1" "In congestion avoidance the window grows by what was acknowledged, not by the number of ACKs."
        => growth_counts_what_was_acknowledged;
    Must "RFC3465-2.2-limit" "2.2" "In slow start one ACK adds two segments at most."
        deviation "As Linux the limit is what the ACK covers; a stretch ACK would lose its growth otherwise."
        => a_stretch_ack_counts_in_full;
    Must "RFC3465-2.3-rto" "2.3" "After a timeout one ACK adds one segment at most."
        deviation "As before; what is marked lost and proportional rate reduction bound what goes out."
        => slow_start_after_a_timeout;
}

fn growth_counts_what_was_acknowledged() {
    // One ACK or ten for a window of ten: one segment more.
    for step in [1, 2, 5, 10] {
        let mut conn = Setup::default().open();
        conn.write(10);
        conn.run(100);
        conn.sack(0, &[(1, 10)]);
        conn.run(100);
        conn.ack(10);
        let (cwnd, ssthresh) = conn.window();
        assert_eq!((cwnd, ssthresh), (5, 5));
        conn.write(100);
        let mut acked = 10;
        for round in 0..5 {
            conn.run(100);
            let end = acked + 5 + round;
            while acked < end {
                acked = (acked + step).min(end);
                conn.ack(acked);
            }
        }
        assert_eq!(conn.window().0, 10, "by {step}");
    }
}

fn a_stretch_ack_counts_in_full() {
    let mut conn = Setup::default().open();
    conn.write(100);
    conn.run(100);
    conn.ack(10);
    assert_eq!(conn.window().0, 20);
}

/// Ten are lost, and the timer has expired.
fn timed_out() -> Conn {
    let mut conn = Setup::default()
        .config(|config| (config.tcp.tail_loss_probe, config.tcp.frto) = (false, false))
        .open();
    conn.write(10);
    conn.run(300);
    conn.sent();
    conn
}

fn slow_start_after_a_timeout() {
    let mut conn = timed_out();
    assert_eq!(conn.window(), (1, 5));
    conn.run(100);
    conn.ack(1);
    assert_eq!((conn.window().0, conn.numbers()), (2, vec![1, 2]));
    conn.run(100);
    conn.ack(3);
    assert_eq!((conn.window().0, conn.numbers()), (4, vec![3, 4, 5, 6]));
    conn.run(100);
    conn.ack(7);
    assert_eq!((conn.window().0, conn.numbers()), (5, vec![7, 8, 9]), "to ssthresh");
}
