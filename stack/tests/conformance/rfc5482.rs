//! RFC 5482, the user timeout.

use tapping_stack::{SocketError, TcpState};

use crate::talk::*;

conformance! {
    "RFC 5482", "User timeout";

    May "RFC5482-3-option" "3" "The user timeout option of TCP is exchanged."
        not_applicable "Linux neither sends nor reads it; the timeout is local.";
    Rule "RFC5482-2-local" "2" "An application can bound how long data may stay unacknowledged."
        => user_timeout_bounds_unacknowledged_data;
    Rule "RFC5482-2-zerowin" "2" "The bound holds for a peer whose window stays closed, too."
        => user_timeout_bounds_a_closed_window;
    Rule "RFC5482-2-shrunk" "2" "And for one that shrank its window below what is in flight."
        => user_timeout_bounds_a_shrunk_window;
    Rule "RFC5482-4.1-keepalive" "4.1" "With it set keep-alive gives up after that time rather than after its count."
        => user_timeout_overrides_keep_alive;
    Must "RFC5482-3.1-unknown" "3.3" "The option of a peer that sends it is passed over."
        => the_option_is_passed_over;
}

/// How long it takes the connection to end, in milliseconds; `answer` is done every 100 ms.
fn lifetime(t: &mut Talk, mut answer: impl FnMut(&mut Talk)) -> u128 {
    let start = t.now;
    while t.state() != TcpState::Closed {
        for _ in 0..10 {
            t.run(millis(10));
            if t.state() == TcpState::Closed {
                break;
            }
        }
        answer(t);
        assert!(t.now - start < secs(4000), "it ends");
    }
    assert_eq!(t.error(), Some(SocketError::TimedOut));
    (t.now - start).as_millis()
}

fn user_timeout_bounds_unacknowledged_data() {
    for seconds in [1, 10, 100, 1500] {
        let mut t = Talk::passive(Setup::modern());
        t.set(|options| options.user_timeout = secs(seconds));
        t.sent(500);
        let took = lifetime(&mut t, |_| ());
        let expected = u128::from(seconds) * 1000;
        // It counts from the first retransmission (Linux), some hundred milliseconds later.
        assert!((expected..expected + 800).contains(&took), "{took} ms for {seconds} s");
    }
}

fn user_timeout_bounds_a_closed_window() {
    for answers in [false, true] {
        let mut t = Talk::passive(Setup { window: 0, ..Setup::default() });
        t.set(|options| options.user_timeout = secs(20));
        t.write(500);
        let took = lifetime(&mut t, |t| {
            if answers && !t.heard().is_empty() {
                let ack = t.seg();
                t.inject(ack);
            }
        });
        assert!((20_000..21_000).contains(&took), "{took} ms, answers: {answers}");
    }
}

fn user_timeout_bounds_a_shrunk_window() {
    let mut t = Talk::passive(Setup { mss: Some(1000), ..Setup::default() });
    t.set(|options| options.user_timeout = secs(20));
    t.write(5000);
    let ack = Seg { ack: 1001, win: 0, ..t.seg() };
    t.inject(ack);
    let took = lifetime(&mut t, |t| {
        let ack = Seg { ack: 1001, win: 0, ..t.seg() };
        t.inject(ack);
    });
    assert!((20_000..40_000).contains(&took), "{took} ms");
}

fn user_timeout_overrides_keep_alive() {
    for (user, expected) in [(25, 30), (100, 100)] {
        let mut t = Talk::passive(Setup::default());
        t.set(|options| {
            options.keepalive = true;
            options.keepidle = Some(secs(20));
            options.keepintvl = Some(secs(10));
            options.keepcnt = Some(3);
            options.user_timeout = secs(user);
        });
        let took = lifetime(&mut t, |_| ());
        assert_eq!(took / 1000, expected, "for {user} s");
        assert!(t.heard().last().is_some_and(|seg| seg.has(RST)));
    }
}

fn the_option_is_passed_over() {
    let mut t = Talk::listening(Setup::modern());
    let option = vec![28, 4, 0x80, 1];
    let syn = Seg { raw: option.clone(), ..t.syn() };
    t.inject(syn);
    t.first = t.one();
    assert!(t.first.wscale.is_some() && t.first.sack_ok && t.first.ts.is_some());
    let ack = Seg { raw: option.clone(), ..t.seg() };
    t.inject(ack);
    t.accept();
    let data = Seg { raw: option, ..t.data(100) };
    t.inject(data);
    assert_eq!(t.read_all(), 100);
    // Nor does it bound anything.
    t.sent(100);
    t.run(secs(600));
    assert_eq!(t.state(), TcpState::Established);
}
