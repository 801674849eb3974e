//! RFC 2861, congestion window validation.

use crate::conn::Setup;

conformance! {
    "RFC 2861", "Restart after idling";

    Rule "RFC2861-3-idle" "3.2" "For each timeout of idling the window is halved, down to the restart window."
        => idling_halves_the_window;
    Rule "RFC2861-3-ssthresh" "3.2" "Three quarters of the window remain as ssthresh."
        => ssthresh_remembers_the_window;
    Rule "RFC2861-3-app" "3.2" "A window that the application does not fill for a timeout shrinks to the mean of itself and what was used."
        => an_unused_window_shrinks;
}

fn idling_halves_the_window() {
    for (timeouts, cwnd) in [(0.9, 80), (1.5, 40), (2.5, 20), (3.5, 10), (9.5, 10)] {
        let mut conn = Setup::default().open();
        conn.grow_to(80);
        let rto = conn.info().rto.as_secs_f64();
        let since = conn.info().last_data_sent.as_secs_f64();
        conn.run(((rto * timeouts - since) * 1e3) as u64);
        conn.write(1);
        assert_eq!(conn.window().0, cwnd, "{timeouts} timeouts");
    }
}

fn ssthresh_remembers_the_window() {
    let mut conn = Setup::default().open();
    let acked = conn.grow_to(40);
    // A loss sets a threshold, and the window grows beyond.
    conn.write(40);
    conn.run(100);
    conn.sack(acked, &[(acked + 1, acked + 40)]);
    conn.run(100);
    conn.ack(acked + 40);
    assert_eq!(conn.window(), (20, 20));
    conn.run(10_000);
    conn.write(1);
    assert_eq!(conn.window(), (10, 20), "it is larger than 15");
    let mut conn = Setup::default().open();
    conn.grow_to(40);
    conn.run(10_000);
    conn.write(1);
    assert_eq!(conn.window().0, 10);
    assert!(conn.window().1 >= 30);
}

fn an_unused_window_shrinks() {
    let mut conn = Setup::default().open();
    let mut acked = conn.grow_to(80);
    // Twelve segments a round trip, never idle.
    let mut windows = Vec::new();
    for _ in 0..40 {
        conn.write(12);
        conn.run(100);
        acked += 12;
        conn.ack(acked);
        windows.push(conn.window().0);
    }
    windows.dedup();
    // (80 + 12) / 2, (46 + 12) / 2; in slow start twice what is used is not too much.
    assert_eq!(windows[..3], [80, 46, 29]);
    assert!(windows[3..].iter().all(|window| *window <= 36), "{windows:?}");
}
