//! When what is written leaves, and with which flags.

use tapping_stack::tcp::SendFlags;

use crate::talk::*;

conformance! {
    "RFC 9293", "Pushing and Nagle (§3.7.4, §3.9.1.2)";

    MustNot "RFC9293-MUST-60" "3.9.1.2" "Data written is not held back without end for want of a push."
        => data_is_not_held_back;
    Must "RFC9293-MUST-61" "3.9.1.2" "The last segment of what was written carries PSH."
        => the_last_segment_is_pushed;
    May "RFC9293-MAY-15" "3.9.1.2" "A send call may say whether to push."
        => a_send_call_says_whether_to_push;
    May "RFC9293-MAY-16" "3.9.1.2" "Data may be gathered before it is sent."
        => small_writes_are_gathered;
    Should "RFC9293-SHLD-27" "3.9.1.2" "Pushes of several writes collapse into one when sent together."
        => pushes_collapse;
    May "RFC9293-MAY-17" "3.9.1.3" "The receiving application is told of a push."
        not_applicable "Reading returns what is there, as on Linux; a push says nothing more.";
    Linux "RFC9293-3.9-pushhalf" "3.9.1.2" "A long write is pushed each time half the largest window is filled."
        => half_the_window_is_pushed;
    Should "RFC9293-SHLD-7" "3.7.4" "A small segment waits while another small one is unacknowledged."
        => nagle_holds_small_segments;
    Must "RFC9293-MUST-17" "3.7.4" "The application can turn that off."
        => nagle_can_be_turned_off;
    Linux "RFC9293-3.7.4-cork" "3.7.4" "CORK holds back what is not full, for 200 ms at most."
        => cork_holds_until_full_or_200_ms;
    Linux "RFC9293-3.7.4-more" "3.7.4" "MSG_MORE holds back what is not full until the next write without it."
        => more_holds_until_the_next_write;
    May "RFC9293-MAY-14" "3.9.1" "A call that flushes."
        not_applicable "Nothing waits that a flush could hasten but what NODELAY and CORK control.";
}

/// Segments of 1000 bytes.
fn talk() -> Talk {
    Talk::passive(Setup { mss: Some(1000), ..Setup::default() })
}

fn data_is_not_held_back() {
    let mut t = talk();
    assert_eq!(ranges(&t.sent(1)), [(1, 1)], "nothing is in flight");
    assert_eq!(t.sent(10), [], "a small segment is in flight");
    let ack = t.seg();
    assert_eq!(ranges(&t.exchange(ack)), [(2, 10)], "and now it is not");
    let ack = t.seg();
    t.inject(ack);
    t.set(|options| options.cork = true);
    t.write(5);
    t.silent();
    let start = t.now;
    let seg = t.next(secs(1));
    assert_eq!(seg.range(), (12, 5));
    assert!(t.now - start <= millis(250), "{:?}", t.now - start);
}

fn the_last_segment_is_pushed() {
    let mut t = talk();
    let sent = t.sent(2500);
    assert_eq!(ranges(&sent), [(1, 1000), (1001, 1000), (2001, 500)]);
    // Linux pushes at the end of each large segment as well, of two here.
    assert_eq!((sent[0].has(PSH), sent[2].has(PSH)), (false, true));
    // Also when it ends with a full segment, and when it has to wait for the window.
    let ack = Seg { win: 1000, ..t.seg() };
    t.inject(ack);
    let first = t.sent(2000);
    assert_eq!((ranges(&first), first[0].has(PSH)), (vec![(2501, 1000)], false));
    let ack = Seg { win: 1000, ..t.seg() };
    let second = t.exchange(ack);
    assert_eq!((ranges(&second), second[0].has(PSH)), (vec![(3501, 1000)], true));
}

fn a_send_call_says_whether_to_push() {
    let mut t = talk();
    assert_eq!(t.try_write(1000, SendFlags::MORE), Ok(1000));
    let full = t.one();
    assert_eq!((full.range(), full.has(PSH)), ((1, 1000), false), "more is to come");
    let pushed = t.sent(1000);
    assert_eq!((ranges(&pushed), pushed[0].has(PSH)), (vec![(1001, 1000)], true));
}

fn small_writes_are_gathered() {
    let mut t = talk();
    t.sent(1);
    for _ in 0..30 {
        assert_eq!(t.sent(20), []);
    }
    let ack = t.seg();
    assert_eq!(ranges(&t.exchange(ack)), [(2, 600)]);
    // A segment that is full does not wait.
    for n in 0..50 {
        let sent = t.sent(20);
        assert_eq!(ranges(&sent), if n == 49 { vec![(602, 1000)] } else { vec![] }, "write {n}");
    }
}

fn pushes_collapse() {
    let mut t = talk();
    t.sent(1);
    t.write(700);
    t.write(700);
    t.write(100);
    let ack = t.seg();
    let sent = t.exchange(ack);
    let pushed: Vec<_> = sent.iter().map(|seg| (seg.range(), seg.has(PSH))).collect();
    assert_eq!(pushed[..1], [((2, 1000), false)]);
    let ack = t.seg();
    let sent: Vec<_> = sent.into_iter().skip(1).chain(t.exchange(ack)).collect();
    let pushed: Vec<_> = sent.iter().map(|seg| (seg.range(), seg.has(PSH))).collect();
    assert_eq!(pushed, [((1002, 500), true)]);
}

/// The largest window is 4000: what is written at once is pushed every 2000 bytes and a little.
fn half_the_window_is_pushed() {
    let setup = Setup { mss: Some(1000), syn_window: 4000, window: 4000, ..Setup::default() };
    let mut t = Talk::passive(setup);
    let mut sent = t.sent(8000);
    while t.host_nxt < 8001 {
        let ack = t.seg();
        sent.extend(t.exchange(ack));
    }
    let pushed: Vec<u32> = sent.iter().filter(|seg| seg.has(PSH)).map(Seg::end).collect();
    assert_eq!(pushed.last(), Some(&8001));
    assert!(pushed.len() >= 3, "pushed at {pushed:?}");
    for pair in [&[1][..], &pushed].concat().windows(2) {
        assert!(pair[1] - pair[0] <= 4000, "no window is filled without a push: {pushed:?}");
    }
}

/// In Minshall's variant a full segment in flight holds nothing back.
fn nagle_holds_small_segments() {
    let mut t = talk();
    let both = t.sent(1100);
    assert_eq!(ranges(&both), [(1, 1000), (1001, 100)], "the rest of a write does not wait");
    assert_eq!(t.sent(100), [], "a small segment is in flight");
    let ack = Seg { ack: 1001, ..t.seg() };
    assert_eq!(t.exchange(ack), [], "it still is");
    let ack = t.seg();
    assert_eq!(ranges(&t.exchange(ack)), [(1101, 100)]);
}

fn nagle_can_be_turned_off() {
    let mut t = talk();
    t.sent(1);
    assert_eq!(t.sent(10), []);
    t.set(|options| options.nodelay = true);
    assert_eq!(t.one().range(), (2, 10), "what waits goes");
    for n in 0..5 {
        assert_eq!(ranges(&t.sent(3)), [(12 + 3 * n, 3)]);
    }
    t.set(|options| options.nodelay = false);
    assert_eq!(t.sent(3), []);
}

fn cork_holds_until_full_or_200_ms() {
    let mut t = talk();
    t.set(|options| options.cork = true);
    assert_eq!(t.sent(600), []);
    assert_eq!(ranges(&t.sent(600)), [(1, 1000)], "a full one goes");
    let ack = t.seg();
    assert_eq!(t.exchange(ack), []);
    t.set(|options| options.cork = false);
    let rest = t.one();
    assert_eq!((rest.range(), rest.has(PSH)), ((1001, 200), true), "uncorking sends");
    let ack = t.seg();
    t.inject(ack);
    t.set(|options| options.cork = true);
    t.write(50);
    t.run(millis(150));
    t.silent();
    // The timer of window probes, an RTO, ends it.
    t.run(millis(100));
    assert_eq!(t.one().range(), (1201, 50));
}

fn more_holds_until_the_next_write() {
    let mut t = talk();
    assert_eq!(t.try_write(300, SendFlags::MORE), Ok(300));
    assert_eq!(t.try_write(300, SendFlags::MORE), Ok(300));
    t.silent();
    let sent = t.sent(10);
    assert_eq!((ranges(&sent), sent[0].has(PSH)), (vec![(1, 610)], true));
    // And not for ever.
    let ack = t.seg();
    t.inject(ack);
    assert_eq!(t.try_write(300, SendFlags::MORE), Ok(300));
    t.run(millis(150));
    t.silent();
    t.run(millis(100));
    assert_eq!(t.one().range(), (611, 300));
}
