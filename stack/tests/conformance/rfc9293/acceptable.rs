//! Which segments are acceptable, in every state.

use tapping_stack::time::Duration;
use tapping_stack::wire::SeqNumber;

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Which segments are acceptable (§3.4, §3.10.7.4)";

    Rule "RFC9293-3.10.7.4-zero-zero" "3.10.7.4" "An empty segment with a closed window is acceptable at exactly the next number."
        => empty_segment_and_zero_window;
    Rule "RFC9293-3.10.7.4-zero-open" "3.10.7.4" "An empty segment is acceptable inside the window."
        => empty_segment_and_open_window;
    Rule "RFC9293-3.10.7.4-data-zero" "3.10.7.4" "Data is not acceptable while the window is closed, and answered with ACK."
        => data_and_zero_window;
    Rule "RFC9293-3.10.7.4-data-open" "3.10.7.4" "Data is acceptable when its first or its last byte is inside the window."
        => data_and_open_window;
    Rule "RFC9293-3.10.7.4-oow" "3.10.7.4" "A segment that is not acceptable is dropped and answered with an ACK of what is expected."
        => an_unacceptable_segment_is_acknowledged;
    Rule "RFC9293-3.10.7.4-oow-rst" "3.10.7.4" "An unacceptable segment with RST is dropped without an answer."
        => an_unacceptable_reset_is_not_answered;
    Linux "RFC9293-3.10.7.4-oow-limit" "3.10.7.4" "Empty segments that are not acceptable are answered twice a second at most, those with data always."
        => answers_to_empty_segments_are_limited;
    Should "RFC9293-SHLD-31" "3.10.7.4" "What arrives out of order is kept."
        => out_of_order_data_is_kept;
    Should "RFC9293-3.10.7.4-order" "3.10.7.4" "Segments are processed in the order of their numbers."
        => data_is_delivered_in_order;
    Must "RFC9293-MUST-58" "3.10.7.4" "One ACK answers several segments where that is possible."
        => acknowledgments_are_aggregated;
    Must "RFC9293-MUST-59" "3.10.7.4" "All queued segments that are in order now are processed before the ACK goes out."
        => queued_segments_count_in_the_next_ack;
    May "RFC9293-MAY-13" "3.10.7.4" "A segment out of order is acknowledged at once."
        => out_of_order_is_acknowledged_at_once;
    Rule "RFC9293-3.10.7.4-trim" "3.10.7.4" "What lies outside the window is cut off, SYN and FIN included, and the rest taken."
        => a_segment_is_trimmed_to_the_window;
    Rule "RFC9293-3.10.7.4-noack" "3.10.7.4" "In synchronized states a segment without ACK is dropped."
        => a_segment_without_ack_is_dropped;
    Rule "RFC9293-3.10.7.4-text-states" "3.10.7.4" "Data is taken in ESTABLISHED, FIN-WAIT-1 and FIN-WAIT-2, and ignored after the peer's FIN."
        => data_is_taken_in_the_right_states;
    Rule "RFC9293-3.4-wrap" "3.4" "A transfer across the wrap at 2³² is nothing special, in either direction."
        => a_transfer_crosses_the_wrap;
}

/// The states in which an ACK has something to acknowledge.
const UNACKED: [At; 7] = [
    At::SynReceived,
    At::SynCrossed,
    At::Established,
    At::FinWait1,
    At::CloseWait,
    At::Closing,
    At::LastAck,
];

/// A connection in a state with something of the host's to acknowledge.
fn with_something_unacked(at: At) -> Conn {
    let mut conn = Setup::plain().at(at);
    if matches!(at, At::Established | At::CloseWait) {
        assert_eq!(conn.write(&[7; 100]).len(), 1);
    }
    conn
}

/// Whether the ACK of that was taken.
fn is_acked(conn: &mut Conn, at: At) -> bool {
    match at {
        At::SynReceived => conn.stack().tcp_counts().2 == 0,
        At::Closing => conn.stack().tcp_counts().1 == 1,
        _ => {
            let socket = conn.socket();
            conn.stack().tcp_info(socket).expect("a socket").unacked == 0
        }
    }
}

/// A connection whose receive window is closed.
fn with_closed_window() -> Conn {
    let mut conn =
        Setup::plain().options(|options| options.receive_buffer = Some(4096)).at(At::Established);
    for _ in 0..40 {
        let len = usize::from(conn.offered).min(1000);
        if len == 0 {
            return conn;
        }
        conn.feed(&vec![1; len]);
        conn.pass_ms(300);
    }
    panic!("the window does not close: {}", conn.offered);
}

fn empty_segment_and_zero_window() {
    for (offset, taken) in [(0u32, true), (1, false), (u32::MAX, false), (1000, false)] {
        let mut conn = with_closed_window();
        conn.write(&[7; 100]);
        let ack = conn.seg(ACK).seq(conn.rcv_nxt + offset);
        match taken {
            true => conn.quietly(&ack),
            false => conn.challenged(&ack),
        }
        assert_eq!(is_acked(&mut conn, At::Established), taken, "offset {offset}");
        assert_eq!(conn.offered, 0);
    }
}

fn empty_segment_and_open_window() {
    for at in UNACKED {
        let window = u32::from(Setup::plain().at(at).offered);
        assert!(window > 1000);
        for (offset, taken) in [
            (0, true),
            (1, true),
            (window - 1, true),
            (window + 1, false),
            (window + 100_000, false),
            (u32::MAX, false),
            (1u32 << 31, false),
        ] {
            let mut conn = with_something_unacked(at);
            let ack = conn.seg(ACK).seq(conn.rcv_nxt + offset);
            if taken {
                conn.quietly(&ack);
            } else {
                conn.challenged(&ack);
                conn.expect(at);
            }
            assert_eq!(is_acked(&mut conn, at), taken, "{at:?} offset {offset}");
        }
    }
}

fn data_and_zero_window() {
    let mut conn = with_closed_window();
    let seg = conn.seg(ACK).data(&[9; 10]);
    let answer = conn.one(&seg);
    assert!(answer.is_ack(conn.snd_nxt, conn.rcv_nxt) && answer.window == 0, "{answer:?}");
    assert_eq!(conn.ext().tcp_zero_window_drop, 1);
    let before = conn.read();
    assert!(!before.contains(&9), "nothing of it was kept");
    conn.pass_ms(300);
    conn.feed(&[9; 10]);
    assert_eq!(conn.read(), [9; 10]);
}

/// Every way in which a segment may lie to the window; what is new and inside it can be read.
fn data_and_open_window() {
    let setup = || Setup::plain().options(|options| options.receive_buffer = Some(8192));
    let window = i64::from(setup().at(At::Established).offered);
    let wide = window as usize;
    for (first, len, kept) in [
        (-100, 50, 0..0),
        (-100, 100, 0..0),
        (-50, 100, 0..50),
        (0, 100, 0..100),
        (200, 100, 200..300),
        (window - 50, 100, wide - 50..wide),
        (window - 1, 1, wide - 1..wide),
        (window, 100, 0..0),
        (window + 50, 100, 0..0),
    ] {
        let mut conn = setup().at(At::Established);
        let start = conn.rcv_nxt;
        let seg = conn.seg(ACK).seq(start + first as u32).data(&vec![9; len]);
        let answered = conn.send(&seg);
        if kept.is_empty() {
            assert!(answered.len() == 1 && answered[0].is_ack(conn.snd_nxt, start), "{first}");
        }
        // What it left open is filled with other bytes.
        let mut read = Vec::new();
        let mut at = 0;
        while at < wide {
            if kept.contains(&at) {
                at = kept.end;
                continue;
            }
            let end = if at < kept.start { kept.start } else { wide };
            let len = (end - at).min(500);
            let seg = conn.seg(ACK).seq(start + at as u32).data(&vec![1; len]);
            conn.send(&seg);
            read.extend(conn.read());
            at += len;
        }
        conn.rcv_nxt = start + wide as u32;
        conn.pass_ms(300);
        let seg = conn.seg(ACK).seq(start);
        conn.challenged(&seg);
        read.extend(conn.read());
        let expected: Vec<u8> =
            (0..wide).map(|at| if kept.contains(&at) { 9 } else { 1 }).collect();
        assert_eq!(read, expected, "{first}");
    }
}

/// Old and new, empty and with data, in every state.
fn an_unacceptable_segment_is_acknowledged() {
    for at in SYNCHRONIZED {
        for offset in [-100_000i32, -100, 66_000, 1 << 30] {
            for data in [&[][..], &[9; 50]] {
                let mut conn = Setup::full().at(at);
                let seg = conn.seg(ACK).seq(conn.rcv_nxt + offset as u32).data(data);
                conn.challenged(&seg);
                conn.expect(at);
            }
        }
    }
}

fn an_unacceptable_reset_is_not_answered() {
    for at in SYNCHRONIZED {
        for offset in [-100_000i32, -100, -2, 70_000, 1 << 30] {
            for flags in [RST, RST_ACK] {
                let mut conn = Setup::plain().at(at);
                let seg = conn.seg(flags).seq(conn.rcv_nxt + offset as u32);
                conn.quietly(&seg);
                conn.expect(at);
            }
        }
    }
}

fn answers_to_empty_segments_are_limited() {
    let setup = || {
        Setup::plain().config(|config| config.tcp.invalid_ratelimit = Duration::from_millis(500))
    };
    for at in [At::Established, At::FinWait2, At::CloseWait, At::TimeWait] {
        let mut conn = setup().at(at);
        conn.pass_ms(600);
        let empty = conn.seg(ACK).seq(conn.rcv_nxt - 100);
        conn.challenged(&empty);
        conn.pass_ms(499);
        conn.quietly(&empty);
        conn.pass_ms(1);
        conn.challenged(&empty);
        let data = empty.data(&[1; 10]);
        conn.challenged(&data);
        conn.challenged(&data);
    }
}

fn out_of_order_data_is_kept() {
    let mut conn = Setup::full().at(At::Established);
    let start = conn.rcv_nxt;
    let bytes = stream(0, 300);
    for piece in [1, 2, 0] {
        let at = piece * 100;
        let seg = conn.seg(ACK).seq(start + at as u32).data(&bytes[at..at + 100]);
        let answer = conn.one(&seg);
        let expected = if piece == 0 { start + 300 } else { start };
        assert_eq!(answer.ack, expected);
    }
    assert_eq!(conn.try_read().as_deref(), Ok(&bytes[..]), "in one piece");
}

/// FIN and data before it arrive in every order.
fn data_is_delivered_in_order() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut conn = Setup::full().at(At::Established);
        let (start, bytes) = (conn.rcv_nxt, stream(0, 200));
        for (n, piece) in order.into_iter().enumerate() {
            let seg = match piece {
                2 => conn.seg(FIN_ACK).seq(start + 200),
                piece => {
                    let at = 100 * piece;
                    conn.seg(ACK).seq(start + at as u32).data(&bytes[at..at + 100])
                }
            };
            conn.send(&seg);
            conn.expect(if n == 2 { At::CloseWait } else { At::Established });
        }
        assert_eq!(conn.try_read().as_deref(), Ok(&bytes[..]), "{order:?}");
        assert_eq!(conn.try_read(), Ok(Vec::new()), "the end");
    }
}

fn acknowledgments_are_aggregated() {
    let mut conn = Setup::plain().at(At::Established);
    // Beyond the quick acknowledgments of the start.
    for _ in 0..40 {
        conn.feed(&[1; 1460]);
        conn.read();
        conn.heard();
    }
    let mut acks = 0;
    for _ in 0..20 {
        let seg = conn.seg(ACK).data(&[1; 1460]);
        acks += conn.send(&seg).len();
        conn.rcv_nxt += 1460;
    }
    acks += conn.pass_ms(300).len();
    assert!((1..=11).contains(&acks), "{acks} for 20 segments");
}

fn queued_segments_count_in_the_next_ack() {
    let mut conn = Setup::plain().at(At::Established);
    let start = conn.rcv_nxt;
    for piece in [1, 3, 2, 4] {
        let seg = conn.seg(ACK).seq(start + piece * 1000).data(&[piece as u8; 1000]);
        let answer = conn.one(&seg);
        assert!(answer.is_ack(conn.snd_nxt, start), "{answer:?}");
    }
    let seg = conn.seg(ACK).data(&[0; 1000]);
    let answer = conn.one(&seg);
    assert!(answer.is_ack(conn.snd_nxt, start + 5000), "{answer:?}");
    assert!(conn.pass_ms(300).is_empty(), "one is enough");
    assert_eq!(conn.read().len(), 5000);
}

fn out_of_order_is_acknowledged_at_once() {
    let mut conn = Setup::plain().at(At::Established);
    for _ in 0..40 {
        conn.feed(&[1; 1460]);
        conn.read();
    }
    conn.pass_ms(300);
    for step in 1..4 {
        let seg = conn.seg(ACK).seq(conn.rcv_nxt + step * 1460).data(&[2; 1460]);
        conn.challenged(&seg);
    }
}

/// Data on both sides of the window, and a FIN beyond it.
fn a_segment_is_trimmed_to_the_window() {
    let mut conn = Setup::plain().at(At::Established);
    conn.feed(&stream(0, 100));
    let seg = conn.seg(ACK).seq(conn.rcv_nxt - 60).data(&stream(40, 100));
    conn.rcv_nxt += 40;
    conn.challenged(&seg);
    assert_eq!(conn.read(), stream(0, 140), "the old part is cut off");
    // A SYN below the window is cut off in the same way: it is old.
    let syn = conn.seg(SYN_ACK).seq(SeqNumber(conn.setup.irs)).data(&stream(0, 150));
    conn.challenged(&syn);
    conn.expect(At::Established);
    // FIN goes with the data before it.
    let mut conn = with_closed_window();
    let fin = conn.seg(FIN_ACK).seq(conn.rcv_nxt - 10).data(&[1; 20]);
    conn.send(&fin);
    conn.expect(At::Established);
    assert!(!conn.read().contains(&9), "nothing new of it was taken");
    // When there is room again, all of it is.
    conn.heard();
    let fin = conn.seg(FIN_ACK).data(&[9]);
    conn.send(&fin);
    conn.expect(At::CloseWait);
    assert_eq!(conn.read(), [9]);
}

fn a_segment_without_ack_is_dropped() {
    for at in SYNCHRONIZED {
        for flags in [PSH, FIN, PSH | FIN] {
            let mut conn = Setup::plain().at(at);
            let seg = conn.seg(flags).data(&[9; 10]);
            if at == At::TimeWait {
                // All that TIME-WAIT does is to say where it is.
                conn.challenged(&seg);
            } else {
                conn.quietly(&seg);
            }
            conn.expect(at);
            if matches!(at, At::Established | At::FinWait1 | At::FinWait2) {
                assert!(conn.read().is_empty(), "nothing is delivered");
            }
        }
    }
}

fn data_is_taken_in_the_right_states() {
    for at in [At::Established, At::FinWait1, At::FinWait2] {
        let mut conn = Setup::plain().at(at);
        conn.feed(&stream(0, 100));
        assert_eq!(conn.read(), stream(0, 100), "{at:?}");
    }
    // With the ACK that ends the handshake.
    let mut conn = Setup::plain().at(At::SynReceived);
    conn.feed(&stream(0, 100));
    conn.accept();
    assert_eq!(conn.read(), stream(0, 100));
    let mut conn = Setup::plain().at(At::SynCrossed);
    conn.feed(&stream(0, 100));
    conn.expect(At::Established);
    assert_eq!(conn.read(), stream(0, 100));
    for at in [At::CloseWait, At::Closing, At::LastAck, At::TimeWait] {
        let mut conn = Setup::plain().at(at);
        let seg =
            conn.seg(ACK).ack(conn.snd_nxt - u32::from(at != At::CloseWait && at != At::TimeWait));
        let seg = seg.data(&stream(0, 100));
        let heard = conn.send(&seg);
        assert!(heard.iter().all(|seg| seg.is_ack(conn.snd_nxt, conn.rcv_nxt)), "{heard:?}");
        conn.expect(at);
        if at != At::TimeWait {
            assert!(conn.read().is_empty(), "{at:?}");
        }
    }
}

/// 20 KB each way, both streams across the wrap, with a loss in either.
fn a_transfer_crosses_the_wrap() {
    let setup = || Setup { irs: 5000u32.wrapping_neg(), ..Setup::full() };
    // The clock of initial numbers ticks every 64 ns: so long until it is 5000 before the wrap.
    let missing = (5000u32.wrapping_neg()).wrapping_sub(setup().at(At::SynReceived).iss.0);
    let mut conn = Conn::listen(setup());
    conn.pass(Duration::from_nanos(64 * u64::from(missing)));
    conn.shake(false);
    assert!(conn.iss.0 > u32::MAX - 10_000, "{}", conn.iss);
    receive_across_the_wrap(&mut conn);
    send_across_the_wrap(&mut conn);
}

fn receive_across_the_wrap(conn: &mut Conn) {
    let start = conn.rcv_nxt;
    let all = stream(0, 20_000);
    let mut read = Vec::new();
    // The segment across the wrap comes last of its neighbours.
    let mut order: Vec<usize> = (0..20).collect();
    order.swap(4, 5);
    for piece in order {
        let at = piece * 1000;
        let seg = conn.seg(ACK).seq(start + at as u32).data(&all[at..at + 1000]);
        let heard = conn.send(&seg);
        if piece == 5 {
            let [block] = heard[0].sack_blocks()[..] else { panic!("one block: {heard:?}") };
            assert_eq!((block.left, block.right), (start + 5000, start + 6000));
        }
        read.extend(conn.read());
    }
    conn.rcv_nxt = start + 20_000;
    assert_eq!(read, all);
}

fn send_across_the_wrap(conn: &mut Conn) {
    let start = conn.snd_nxt;
    let all = stream(0, 20_000);
    let mut got = vec![None; all.len()];
    let mut lost = false;
    let mut heard = conn.write(&all);
    let mut una = start;
    for _ in 0..200 {
        for seg in heard {
            let at = seg.seq.since(start) as usize;
            if seg.seq.0 > u32::MAX - 2000 && !lost && !seg.data.is_empty() {
                lost = true;
                continue;
            }
            for (place, byte) in got[at..].iter_mut().zip(&seg.data) {
                *place = Some(*byte);
            }
        }
        let next = got.iter().position(Option::is_none).unwrap_or(all.len());
        una = start + next as u32;
        if next == all.len() {
            break;
        }
        let last = got.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
        let mut ack = conn.seg(ACK).ack(una);
        if last > next {
            let hole = got[next..].iter().position(Option::is_some).unwrap_or(0) + next;
            ack = ack.sack(&[(start + hole as u32, start + last as u32)]);
        }
        heard = conn.send(&ack);
        heard.extend(conn.pass_ms(20));
    }
    assert!(lost, "the segment before the wrap was lost once");
    assert!(una.0 < 1 << 31 && start.0 > 1 << 31, "across the wrap");
    let got: Vec<u8> = got.into_iter().flatten().collect();
    assert_eq!(got, all);
}
