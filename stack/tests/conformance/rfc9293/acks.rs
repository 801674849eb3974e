//! Acknowledgments that arrive.

use tapping_stack::time::Duration;

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Acknowledgments received (§3.10.7.4)";

    Rule "RFC9293-3.10.7.4-ack-synrcvd" "3.10.7.4" "In SYN-RECEIVED the ACK of our SYN establishes the connection."
        => the_ack_of_syn_establishes;
    Rule "RFC9293-3.10.7.4-ack-synrcvd-bad" "3.10.7.4" "In SYN-RECEIVED an ACK of something else is answered with RST of that number."
        => syn_received_resets_an_impossible_ack;
    Rule "RFC9293-3.10.7.4-ack-new" "3.10.7.4" "An ACK of new data frees it and restarts or stops the retransmission timer."
        => a_new_ack_frees_data;
    Rule "RFC9293-3.10.7.4-ack-partial" "3.10.7.4" "An ACK inside a segment frees the part it covers; only the rest is retransmitted."
        => an_ack_inside_a_segment_counts;
    Rule "RFC9293-3.10.7.4-ack-old" "3.10.7.4" "An ACK of what was acknowledged before changes nothing."
        => an_old_ack_is_ignored;
    Rule "RFC9293-3.10.7.4-ack-future" "3.10.7.4" "An ACK of what was never sent is answered with an ACK and dropped; the segment's data is not taken."
        => an_ack_of_the_future_is_dropped;
    Linux "RFC9293-3.10.7.4-ack-future-limit" "3.10.7.4" "ACKs of what was never sent are answered twice a second at most."
        => answers_to_impossible_acks_are_limited;
    Rule "RFC9293-3.10.7.4-wl" "3.10.7.4" "The window is updated only by segments newer than the last update, or with a newer ACK."
        => windows_are_updated_by_newer_segments;
    Rule "RFC9293-3.10.7.4-ack-fin" "3.10.7.4" "The ACK of our FIN leads from FIN-WAIT-1 to FIN-WAIT-2, from CLOSING to TIME-WAIT, and from LAST-ACK to CLOSED."
        => the_ack_of_fin_moves_on;
    Rule "RFC9293-3.10.7.4-ack-tw" "3.10.7.4" "In TIME-WAIT a retransmitted FIN is acknowledged and the wait starts anew."
        => time_wait_acknowledges_fin_and_restarts;
}

fn the_ack_of_syn_establishes() {
    for at in [At::SynReceived, At::SynCrossed] {
        let mut conn = Setup::full().at(at);
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        if at == At::SynReceived {
            conn.accept();
        }
        conn.expect(At::Established);
        assert_eq!(conn.write(&[1; 10])[0].data, [1; 10]);
    }
    // A SYN-ACK does so, too, when the SYNs have crossed.
    let mut conn = Setup::full().at(At::SynCrossed);
    let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt);
    let heard = conn.send(&syn_ack);
    assert!(heard.iter().all(|seg| seg.is_ack(conn.snd_nxt, conn.rcv_nxt)), "{heard:?}");
    conn.expect(At::Established);
}

fn syn_received_resets_an_impossible_ack() {
    for at in [At::SynReceived, At::SynCrossed] {
        for offset in [1, u32::MAX, 1000, 1 << 31] {
            for data in [&[][..], &[9; 10]] {
                let mut conn = Setup::plain().at(at);
                let seg = conn.seg(ACK).ack(conn.snd_nxt + offset).data(data);
                let reset = conn.reset_by(&seg);
                assert_eq!((reset.flags, reset.seq), (RST, seg.ack), "{at:?} {offset}");
                conn.expect(at);
                // The attempt goes on.
                let ack = conn.seg(ACK);
                conn.quietly(&ack);
                if at == At::SynReceived {
                    conn.accept();
                }
                conn.expect(At::Established);
                assert!(conn.read().is_empty());
            }
        }
    }
}

fn a_new_ack_frees_data() {
    let mut conn =
        Setup::plain().options(|options| options.send_buffer = Some(4096)).at(At::Established);
    let una = conn.snd_nxt;
    // SYN counts as on Linux.
    let before = conn.info().bytes_acked;
    // Until there is no more room.
    let mut written = 0;
    while let Ok(n) = conn.try_write(&[1; 1000]) {
        written += n;
    }
    let heard = conn.heard();
    assert!(written >= 4096 && heard.len() > 2);
    let socket = conn.socket();
    let writable = |conn: &mut Conn| {
        let ready = conn.stack().readiness(socket);
        ready.contains(tapping_stack::socket::Readiness::WRITABLE)
    };
    assert!(!writable(&mut conn));
    let ack = conn.seg(ACK).ack(una + heard[0].data.len() as u32);
    conn.send(&ack);
    assert_eq!(conn.info().bytes_acked - before, heard[0].data.len() as u64);
    let mut heard = conn.pass_ms(100);
    // The rest: no timer runs for it any more.
    for _ in 0..20 {
        let ack = conn.seg(ACK);
        heard = conn.send(&ack);
    }
    assert!(heard.is_empty());
    assert_eq!((conn.info().unacked, conn.info().bytes_acked - before), (0, written as u64));
    assert!(writable(&mut conn));
    assert!(conn.pass(Duration::from_secs(600)).is_empty(), "nothing is sent again");
}

fn an_ack_inside_a_segment_counts() {
    let mut conn = Setup::plain().at(At::Established);
    let start = conn.snd_nxt;
    let sent = conn.write(&stream(0, 1000));
    assert_eq!(sent.len(), 1);
    conn.pass_ms(1);
    let ack = conn.seg(ACK).ack(start + 400);
    conn.quietly(&ack);
    let again = conn.pass(Duration::from_secs(2));
    assert!(!again.is_empty());
    for seg in again {
        assert_eq!((seg.seq, &seg.data[..]), (start + 400, &stream(400, 600)[..]));
    }
}

fn an_old_ack_is_ignored() {
    for back in [1, 50, 100] {
        let mut conn = Setup::plain().at(At::Established);
        conn.write(&[1; 100]);
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.write(&[2; 100]);
        let old = conn.seg(ACK).ack(ack.ack - back).window(1);
        conn.quietly(&old);
        let info = conn.info();
        assert_eq!((info.unacked, info.snd_wnd), (1, u32::from(conn.setup.window)), "{back}");
        // Its data counts all the same.
        let data = old.data(&[5; 10]);
        conn.send(&data);
        assert_eq!(conn.read(), [5; 10]);
    }
}

fn an_ack_of_the_future_is_dropped() {
    for at in [At::Established, At::FinWait1, At::FinWait2, At::CloseWait, At::Closing, At::LastAck]
    {
        for ahead in [1, 1000, 1 << 30] {
            for data in [&[][..], &[9; 10]] {
                let mut conn = Setup::plain().at(at);
                let seg = conn.seg(ACK).ack(conn.snd_nxt + ahead).data(data);
                conn.challenged(&seg);
                conn.expect(at);
                assert!(conn.read().is_empty(), "{at:?}: its data is not taken");
            }
        }
    }
}

fn answers_to_impossible_acks_are_limited() {
    let limit = Duration::from_millis(500);
    let mut conn =
        Setup::plain().config(|config| config.tcp.invalid_ratelimit = limit).at(At::Established);
    let seg = conn.seg(ACK).ack(conn.snd_nxt + 1).data(&[9; 10]);
    conn.challenged(&seg);
    for _ in 0..100 {
        conn.quietly(&seg);
    }
    conn.pass(limit);
    conn.challenged(&seg);
}

fn windows_are_updated_by_newer_segments() {
    let mut conn = Setup::plain().at(At::Established);
    let window = |conn: &mut Conn| conn.info().snd_wnd;
    // Newer by its number.
    let newer = conn.seg(ACK).seq(conn.rcv_nxt + 1000).data(&[1; 10]).window(5000);
    conn.send(&newer);
    assert_eq!(window(&mut conn), 5000);
    // Older by its number, same acknowledgment.
    let older = conn.seg(ACK).window(9000);
    conn.quietly(&older);
    assert_eq!(window(&mut conn), 5000);
    // As new as the last one: only a larger window is news.
    conn.send(&newer.clone().window(4000));
    assert_eq!(window(&mut conn), 5000);
    conn.send(&newer.window(6000));
    assert_eq!(window(&mut conn), 6000);
    // Older by its number, but it acknowledges something new.
    conn.write(&[1; 100]);
    let newer_ack = conn.seg(ACK).window(3000);
    conn.quietly(&newer_ack);
    assert_eq!(window(&mut conn), 3000);
}

fn the_ack_of_fin_moves_on() {
    for (from, to) in
        [(At::FinWait1, Some(At::FinWait2)), (At::Closing, Some(At::TimeWait)), (At::LastAck, None)]
    {
        let mut conn = Setup::full().at(from);
        // Not by the ACK of what came before FIN.
        let early = conn.seg(ACK).ack(conn.snd_nxt - 1);
        conn.send(&early);
        conn.expect(from);
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        match to {
            Some(to) => conn.expect(to),
            None => conn.expect_gone(),
        }
    }
}

fn time_wait_acknowledges_fin_and_restarts() {
    let mut conn = Setup::plain().at(At::TimeWait);
    conn.pass(Duration::from_secs(30));
    let fin = conn.seg(FIN_ACK).seq(conn.rcv_nxt - 1);
    conn.challenged(&fin);
    conn.pass(Duration::from_secs(31));
    conn.expect(At::TimeWait);
    conn.pass(Duration::from_secs(28));
    conn.expect(At::TimeWait);
    conn.pass(Duration::from_secs(2));
    conn.expect_gone();
}
