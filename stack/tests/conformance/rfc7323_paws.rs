//! RFC 7323 §5: protection against wrapped sequence numbers.

use tapping_stack::{SocketError, TcpState};

use crate::talk::*;

conformance! {
    "RFC 7323", "Wrapped sequences (§5)";

    Must "RFC7323-5.3-old" "5.3" "A segment whose value is older than the last recorded is dropped and acknowledged."
        => an_old_value_is_refused;
    Must "RFC7323-5.3-rst" "5.3" "An RST is not subject to that."
        => resets_pass_paws;
    Must "RFC7323-5.3-wrap" "5.3" "Values are compared modulo 2³²."
        => values_wrap;
    Must "RFC7323-5.5-idle" "5.5" "After 24 days of silence the recorded value no longer counts."
        => a_recorded_value_ages;
    Must "RFC7323-5.3-order" "5.3" "The value is looked at before the number."
        => the_value_is_checked_first;
    Rule "RFC7323-5.3-record" "5.3" "Only acceptable segments update the record."
        => only_acceptable_segments_update;
    Rule "RFC7323-5.3-pureack" "5.3" "A pure ACK that was overtaken is no reason for an answer."
        => an_overtaken_ack_is_forgiven;
    Rule "RFC7323-5.2-sequence" "5.2" "A segment from before the numbers wrapped is not taken for a new one."
        => a_segment_of_the_last_round_is_refused;
    Rule "RFC7323-5.8-earlier" "5.8" "Values of an earlier connection do not count in the next."
        => each_connection_records_anew;
    Rule "RFC7323-3.2-syn-sent" "3.2" "A SYN-ACK that echoes what was never sent is answered with RST."
        => an_impossible_echo_in_syn_ack_is_reset;
}

/// A connection whose peer has the clock `clock`, with 100 bytes received.
fn talk(clock: u32) -> Talk {
    let mut t = Talk::passive(Setup { clock, ..Setup::modern() });
    let data = t.data(100);
    t.inject(data);
    t.read_all();
    t.run(millis(500));
    t.heard();
    t
}

fn with_value(seg: Seg, value: u32) -> Seg {
    let echo = seg.ts.map_or(0, |(_, echo)| echo);
    Seg { ts: Some((value, echo)), ..seg }
}

fn rejected(t: &Talk) -> u64 {
    t.stack.snapshot().tcp_ext.paws_estab_rejected
}

fn an_old_value_is_refused() {
    for back in [600, 1000, 1_000_000, 0x7fff_0000] {
        let mut t = talk(1_000_000);
        let next = t.peer_nxt;
        // In the window, and next in order.
        let old = with_value(t.data(50), t.peer_clock().wrapping_sub(back));
        let answer = t.exchange(old);
        t.peer_nxt = next;
        assert_eq!(answer.len(), 1, "{back} ms back");
        assert_eq!((answer[0].is_ack(), answer[0].ack), (true, next));
        assert_eq!((t.try_read(100), rejected(&t)), (Err(SocketError::WouldBlock), 1));
        let new = t.data(50);
        t.inject(new);
        assert_eq!(t.read_all(), 50);
    }
}

fn resets_pass_paws() {
    let mut t = talk(1_000_000);
    let reset = with_value(Seg { flags: RST, ..t.seg() }, 5);
    t.inject(reset);
    assert_eq!((t.state(), rejected(&t)), (TcpState::Closed, 0));
    assert_eq!(t.error(), Some(SocketError::ConnectionReset));
}

fn values_wrap() {
    // The clock passes zero during the connection.
    let mut t = talk(0xffff_fe00);
    let mut wrapped = false;
    for _ in 0..12 {
        t.run(millis(100));
        wrapped |= t.peer_clock() < 0x1000_0000;
        let data = t.data(10);
        let acks = t.exchange(data);
        assert_eq!(acks.last().map(|ack| ack.ack), Some(t.peer_nxt));
        assert_eq!(acks[0].ts.map(|(_, echo)| echo), Some(t.peer_clock()));
    }
    assert!(wrapped);
    assert_eq!((t.read_all(), rejected(&t)), (120, 0));
    // From behind it nothing gets back before it.
    for old in [0xffff_ff00, 0xffff_ffff, 0x9000_0000] {
        let next = t.peer_nxt;
        let data = with_value(t.data(10), old);
        t.inject(data);
        t.peer_nxt = next;
    }
    assert_eq!((t.read_all(), rejected(&t)), (0, 3));
}

fn a_recorded_value_ages() {
    for (days, taken) in [(1, false), (23, false), (25, true), (40, true)] {
        let mut t = talk(3_000_000_000);
        t.run(secs(days * 24 * 3600));
        t.silent();
        let data = with_value(t.data(10), 3_000_000_000 - 1_000_000_000);
        t.inject(data);
        assert_eq!(t.read_all(), if taken { 10 } else { 0 }, "after {days} days");
        assert_eq!(rejected(&t), u64::from(!taken));
    }
}

fn the_value_is_checked_first() {
    // Behind the window, in it, and beyond it, and with a SYN.
    for seq in [1, 101, 150, 10_000_000] {
        let mut t = talk(1_000_000);
        let old = with_value(t.data_at(seq, 10), 1000);
        let answer = t.exchange(old);
        assert_eq!((rejected(&t), answer.len()), (1, 1), "number {seq}");
        assert!(answer[0].is_ack() && answer[0].sack.iter().all(|(left, _)| *left < 101));
    }
}

fn only_acceptable_segments_update() {
    let far = |t: &Talk| t.peer_clock().wrapping_add(0x4000_0000);
    type Make = fn(&Talk) -> Seg;
    let cases: [(&str, Make); 5] = [
        ("beyond the window", |t| t.data_at(t.peer_nxt + 10_000_000, 10)),
        ("before the window", |t| t.data_at(t.peer_nxt.wrapping_sub(1_000_000), 10)),
        ("out of order", |t| t.data_at(t.peer_nxt + 1000, 10)),
        ("acknowledging what was never sent", |t| Seg { ack: t.host_nxt + 1000, ..t.data(10) }),
        ("without ACK", |t| Seg { flags: PSH, ..t.data(10) }),
    ];
    for (what, make) in cases {
        let mut t = talk(1_000_000);
        let next = t.peer_nxt;
        let poison = with_value(make(&t), far(&t));
        t.inject(poison);
        t.peer_nxt = next;
        t.run(secs(1));
        t.heard();
        let data = t.data(10);
        let acks = t.exchange(data);
        assert_eq!((acks[0].ack, rejected(&t)), (next + 10, 0), "{what}");
        assert_eq!(acks[0].ts.map(|(_, echo)| echo), Some(t.peer_clock()), "{what}");
    }
}

fn an_overtaken_ack_is_forgiven() {
    let mut t = talk(1_000_000);
    let before = t.peer_clock();
    t.run(millis(20));
    let ack = t.seg();
    t.inject(ack);
    let overtaken = with_value(t.seg(), before);
    t.inject(overtaken);
    t.silent();
    assert_eq!(rejected(&t), 0);
    // Not one older than a timeout.
    let old = with_value(t.seg(), before - 5000);
    assert_eq!((t.exchange(old).len(), rejected(&t)), (1, 1));
}

/// The case that it is for: 4 GiB later the same numbers are in the window again.
fn a_segment_of_the_last_round_is_refused() {
    // The peer's numbers wrap while 100 bytes are sent; the old one is of the round before.
    let mut t = Talk::passive(Setup { isn: 0xffff_ffc0, ..Setup::modern() });
    let old = t.data_at(201, 100);
    t.run(secs(100));
    let data = t.data(200);
    let acks = t.exchange(data);
    assert_eq!(acks[0].ack, 201, "across the wrap");
    let next = t.peer_nxt;
    t.inject(old);
    t.peer_nxt = next;
    assert_eq!((t.read_all(), rejected(&t)), (200, 1));
    let new = t.data(100);
    t.inject(new);
    assert_eq!(t.read_all(), 100);
}

fn each_connection_records_anew() {
    let mut t = talk(2_000_000_000);
    let reset = Seg { flags: RST, ..t.seg() };
    t.inject(reset);
    t.close();
    // The peer was restarted: the same port, its clock far behind.
    t.setup.clock = 1000;
    t.setup.isn = 0x1234_5678;
    (t.peer_nxt, t.host_nxt, t.ts_recent, t.read) = (0, 0, 0, 0);
    let syn = t.syn();
    t.inject(syn);
    assert!(t.one().has(SYN | ACK));
    let ack = t.seg();
    t.inject(ack);
    t.accept();
    let data = t.data(100);
    t.inject(data);
    assert_eq!((t.read_all(), rejected(&t)), (100, 0));
}

fn an_impossible_echo_in_syn_ack_is_reset() {
    for offset in [1i32, 100_000, -1_000, i32::MIN] {
        let mut t = Talk::connecting(Setup::modern());
        t.run(millis(10));
        let echo = match offset {
            ..0 => t.ts_recent.wrapping_add_signed(offset),
            // Later than now.
            _ => t.ts_recent.wrapping_add_signed(offset + 10),
        };
        let syn_ack = Seg { ts: Some((1, echo)), ..t.syn_ack() };
        let answer = t.exchange(syn_ack);
        assert_eq!((answer.len(), answer[0].flags, answer[0].seq), (1, RST, 1), "{offset}");
        assert_eq!(t.state(), TcpState::SynSent);
        assert_eq!(t.stack.snapshot().tcp_ext.paws_active_rejected, 1);
        // The right one is taken.
        t.peer_nxt = 0;
        let syn_ack = t.syn_ack();
        t.inject(syn_ack);
        assert_eq!(t.state(), TcpState::Established);
    }
}
