//! When data is acknowledged.

use tapping_stack::TcpOptions;

use crate::talk::*;

conformance! {
    "RFC 9293", "Sending acknowledgments (§3.8.6.3)";

    Should "RFC9293-SHLD-18" "3.8.6.3" "ACKs are delayed in the hope of something to send with them."
        => acknowledgments_are_delayed;
    Must "RFC9293-MUST-40" "3.8.6.3" "No ACK is delayed by half a second."
        => no_ack_is_delayed_by_half_a_second;
    Should "RFC9293-SHLD-19" "3.8.6.3" "At least every second full segment is acknowledged."
        => every_second_full_segment_is_acknowledged;
    Linux "RFC9293-3.8.6.3-quick" "3.8.6.3" "A connection begins by acknowledging every segment."
        => a_connection_begins_with_quick_acks;
    Linux "RFC9293-3.8.6.3-idle" "3.8.6.3" "After a pause longer than the timeout quick ACKs begin again."
        => quick_acks_return_after_a_pause;
    Linux "RFC9293-3.8.6.3-ato" "3.8.6.3" "The delay is 40 ms at first and 200 ms at most."
        => the_delay_is_40_to_200_ms;
    Rule "RFC9293-3.8.6.3-piggyback" "3.8.6.3" "Every segment sent carries the newest ACK and stops the delay."
        => data_carries_the_acknowledgment;
    Must "RFC9293-3.8.6.3-gap" "3.8.6.3" "Segments out of order, or that fill a gap, are acknowledged at once."
        => gaps_are_acknowledged_at_once;
}

/// A conversation in which the host answers what it is asked: no quick ACKs.
fn conversation() -> Talk {
    let mut t = Talk::passive(Setup::default());
    for _ in 0..3 {
        let question = t.data(100);
        t.inject(question);
        t.read_all();
        t.run(millis(5));
        t.sent(100);
        t.run(millis(5));
    }
    let ack = t.seg();
    t.inject(ack);
    t.heard();
    t
}

/// A bulk flow that is past its quick ACKs, which go on as long as the buffer grows.
fn bulk(setup: Setup) -> Talk {
    let options = TcpOptions { receive_buffer: Some(32_768), ..setup.options };
    let mut t = Talk::passive(Setup { options, ..setup });
    for _ in 0..60 {
        let seg = Seg { flags: ACK, ..t.data(1460) };
        t.inject(seg);
        t.read_all();
        t.run(millis(1));
    }
    t.run(millis(150));
    t.heard();
    t
}

fn acknowledgments_are_delayed() {
    let mut t = conversation();
    let question = t.data(100);
    assert_eq!(t.exchange(question), [], "not at once");
    t.read_all();
    t.run(millis(30));
    t.silent();
    let answer = t.sent(100);
    assert_eq!((answer.len(), answer[0].len(), answer[0].ack), (1, 100, t.peer_nxt));
    t.run(millis(190));
    t.silent();
    // Nothing to send: by itself, a little later.
    let ack = t.seg();
    t.inject(ack);
    let question = t.data(100);
    assert_eq!(t.exchange(question), []);
    let start = t.now;
    let ack = t.next(secs(1));
    assert!(ack.is_ack() && ack.ack == t.peer_nxt, "{ack:?}");
    assert!(t.now - start >= millis(40) && t.now - start <= millis(200), "{:?}", t.now - start);
}

fn no_ack_is_delayed_by_half_a_second() {
    for read in [false, true] {
        for gap in [1, 7, 30, 45, 100, 190, 300, 700, 2000] {
            for len in [1, 100, 1460] {
                let mut t = Talk::passive(Setup::default());
                let mut due = None;
                for _ in 0..30 {
                    let seg = t.data(len);
                    t.inject(seg);
                    due.get_or_insert(t.now);
                    if read {
                        t.read_all();
                    }
                    let end = t.now + millis(gap);
                    while t.now < end {
                        if t.heard().last().is_some_and(|ack| ack.ack == t.peer_nxt) {
                            due = None;
                        }
                        let waited = due.map_or(millis(0), |due| t.now - due);
                        assert!(waited <= millis(201), "{len} bytes every {gap} ms: {waited:?}");
                        t.run(millis(1));
                    }
                }
            }
        }
    }
}

fn every_second_full_segment_is_acknowledged() {
    for mss in [536, 1000, 1460] {
        let mut t = bulk(Setup::default());
        for _ in 0..20 {
            let seg = Seg { flags: ACK, ..t.data(mss) };
            t.inject(seg);
            t.read_all();
            t.run(millis(1));
        }
        t.run(millis(150));
        t.heard();
        let (mut acked, mut acks) = (t.peer_nxt, 0);
        for _ in 0..100 {
            let seg = Seg { flags: ACK, ..t.data(mss) };
            t.inject(seg);
            t.read_all();
            for ack in t.heard() {
                acked = ack.ack;
                acks += 1;
            }
            assert!(t.peer_nxt - acked < 2 * mss as u32, "{} bytes wait", t.peer_nxt - acked);
            t.run(millis(1));
        }
        assert!((50..=60).contains(&acks), "{acks} for 100 segments of {mss}: every second one");
    }
}

fn a_connection_begins_with_quick_acks() {
    let mut t = Talk::passive(Setup::default());
    for n in 0..16 {
        let seg = Seg { flags: ACK, ..t.data(1000) };
        let acks = t.exchange(seg);
        assert_eq!(acks.len(), 1, "segment {n}");
        assert_eq!((acks[0].is_ack(), acks[0].ack), (true, t.peer_nxt));
        t.run(millis(1));
    }
    // They end; TCP_QUICKACK asks for more.
    let mut t = bulk(Setup::default());
    let seg = Seg { flags: ACK, ..t.data(1460) };
    assert_eq!(t.exchange(seg), []);
    t.read_all();
    t.silent();
    t.set(|options| options.quickack = Some(true));
    assert_eq!(t.one().ack, t.peer_nxt, "what is owed goes at once");
    // And a conversation ends them.
    let mut t = Talk::passive(Setup::default());
    let seg = t.data(100);
    assert_eq!(t.exchange(seg).len(), 1);
    t.sent(10);
    let seg = t.data(100);
    assert_eq!(t.exchange(seg), []);
}

fn quick_acks_return_after_a_pause() {
    let mut t = bulk(Setup::default());
    let seg = Seg { flags: ACK, ..t.data(500) };
    t.inject(seg);
    t.run(secs(10));
    t.heard();
    for n in 0..10 {
        let seg = Seg { flags: ACK, ..t.data(500) };
        assert_eq!(t.exchange(seg).len(), 1, "segment {n}");
        t.run(millis(5));
    }
}

fn the_delay_is_40_to_200_ms() {
    let mut t = bulk(Setup::default());
    let mut delays = Vec::new();
    for _ in 0..12 {
        let seg = Seg { flags: ACK, ..t.data(1000) };
        t.inject(seg);
        t.read_all();
        let start = t.now;
        t.next(secs(1));
        delays.push((t.now - start).as_millis());
        t.run(millis(150));
        t.heard();
    }
    let longest = delays.iter().max().expect("delays");
    let delayed: Vec<_> = delays.iter().filter(|delay| **delay > 0).collect();
    assert!(!delayed.is_empty() && delayed.iter().all(|delay| **delay >= 20), "{delays:?}");
    assert!(*longest <= 200, "{delays:?}");
}

fn data_carries_the_acknowledgment() {
    let mut t = conversation();
    for _ in 0..5 {
        let seg = t.data(100);
        assert_eq!(t.exchange(seg), []);
        t.run(millis(10));
        let sent = t.sent(10);
        assert_eq!((sent.len(), sent[0].ack), (1, t.peer_nxt));
        t.run(millis(190));
        t.silent();
        let ack = t.seg();
        t.inject(ack);
    }
}

fn gaps_are_acknowledged_at_once() {
    for setup in [Setup::default(), Setup::modern()] {
        let mut t = bulk(setup);
        let next = t.peer_nxt;
        for n in 1..=3 {
            let seg = t.data_at(next + n * 1000, 1000);
            let acks = t.exchange(seg);
            assert_eq!((acks.len(), acks[0].ack), (1, next), "out of order {n}");
        }
        let seg = t.data_at(next, 500);
        let acks = t.exchange(seg);
        assert_eq!((acks.len(), acks[0].ack), (1, next + 500), "part of the gap");
        let seg = t.data_at(next + 500, 500);
        let acks = t.exchange(seg);
        assert_eq!((acks.len(), acks[0].ack), (1, next + 4000), "the gap is filled");
    }
}
