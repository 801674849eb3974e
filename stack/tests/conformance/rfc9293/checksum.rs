//! Checksums, options in any segment, and segments that are cut short.

use tapping_stack::stats::DropReason;
use tapping_stack::wire::tcp_options::kinds;
use tapping_stack::wire::{Protocol, TcpFlags};

use crate::lab::Ip;
use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Checksums and options in segments (§3.1, §3.2)";

    Must "RFC9293-MUST-2" "3.1" "Every segment sent carries the checksum over pseudo-header, header and data."
        => every_segment_sent_has_a_checksum;
    Must "RFC9293-MUST-3" "3.1" "A segment whose checksum is wrong is discarded and has no effect."
        => a_wrong_checksum_has_no_effect;
    Must "RFC9293-MUST-5" "3.1" "Options are taken from any segment, not from SYN alone."
        => options_are_read_in_any_segment;
    Must "RFC9293-MUST-6" "3.1" "Options that are not known are passed over and the segment taken."
        => unknown_options_are_passed_over;
    Must "RFC9293-MUST-7" "3.1" "An option length that cannot be does no harm."
        => impossible_option_lengths_do_no_harm;
    Rule "RFC9293-3.1-short" "3.1" "A segment shorter than its header claims is discarded in silence."
        => a_cut_segment_is_discarded_in_silence;
    Should "RFC9293-REC-1" "3.1" "The windows kept inside count 32 bits, so that scaled ones fit."
        => windows_are_kept_in_32_bits;
    Should "RFC9293-SHLD-28" "3.9.1.2" "Segments of the full size are sent where there is data for them."
        => full_segments_are_sent_where_possible;
}

/// Every segment that these tests hear is verified when it is read; here each kind is heard.
fn every_segment_sent_has_a_checksum() {
    let mut seen = TcpFlags::empty();
    let mut note = |heard: Vec<Seg>| {
        assert!(!heard.is_empty());
        for seg in heard {
            // Not by leaving it out: that would be 0 and not verify.
            let bytes = seg.bytes();
            assert_ne!(bytes[16..18], [0, 0]);
            seen |= seg.flags;
        }
    };
    for setup in [Setup::plain(), Setup::full()] {
        for len in [1, 2, 3, 99, 1000, 1447, 1448, 1460, 5000] {
            let mut conn = setup.clone().at(At::Established);
            note(conn.write(&stream(0, len)));
            note(conn.feed(&stream(0, len)));
        }
        for at in [At::Established, At::CloseWait] {
            let mut conn = setup.clone().at(at);
            note(conn.close());
            let mut conn = setup.clone().at(at);
            note(conn.abort());
        }
        let mut conn = Conn::listen(setup.clone());
        let syn = conn.syn();
        note(conn.send(&syn));
        note(conn.send(&Seg { dst_port: 81, ..syn }));
        let mut conn = setup.at(At::SynSent);
        note(conn.pass_ms(1500));
    }
    assert_eq!(seen, SYN | ACK | FIN | RST | PSH);
}

fn a_wrong_checksum_has_no_effect() {
    for flags in [ACK, ACK | PSH, SYN, RST, RST_ACK, FIN_ACK] {
        for bit in [0, 40, 60, 107, 130, 160] {
            let mut conn = Setup::plain().at(At::Established);
            conn.write(&[1; 100]);
            let host = conn.bench.host;
            conn.bench.lab.events(host);
            let seg = conn.seg(flags).data(&[9; 10]);
            let mut packet = seg.ip();
            packet.payload[bit / 8] ^= 1 << (bit % 8);
            let (tester, link) = (conn.bench.tester, conn.bench.link);
            conn.bench.lab.inject_ip(tester, host, link, &packet.build());
            assert!(conn.heard().is_empty(), "{flags:?}, bit {bit}");
            assert_eq!(conn.bench.lab.drops(host), [DropReason::TcpChecksum]);
            let tcp = conn.snapshot().tcp;
            assert_eq!((tcp.in_csum_errors, tcp.in_errs), (1, 1));
            conn.expect(At::Established);
            assert_eq!(conn.info().unacked, 1, "its ACK does not count");
            assert!(conn.read().is_empty());
            conn.feed(&[3; 10]);
            assert_eq!(conn.read(), [3; 10]);
        }
    }
}

fn options_are_read_in_any_segment() {
    let mut conn = Setup::full().at(At::Established);
    let clock = conn.clock().expect("timestamps");
    // On data, behind NOPs where no layout of ours would have it.
    let mut odd = vec![kinds::NOP];
    odd.extend(&ts_option(clock + 5, conn.echo)[2..]);
    let data = conn.seg(ACK).options(&odd).data(&[1; 10]);
    conn.rcv_nxt += 10;
    let mut heard = conn.send(&data);
    heard.extend(conn.pass_ms(200));
    assert_eq!(heard[0].timestamps().map(|(_, echo)| echo), Some(clock + 5));
    // On a pure ACK: SACK.
    let start = conn.snd_nxt;
    assert_eq!(conn.write(&[1; 3 * 1448]).len(), 3);
    let ack = conn.seg(ACK).ack(start).sack(&[(start + 1448, start + 2896)]);
    conn.send(&ack);
    assert_eq!(conn.info().sacked, 1);
    // On FIN.
    conn.pass_ms(1);
    let fin = conn.seg(FIN_ACK).options(&ts_option(clock + 5000, conn.echo));
    let mut heard = conn.send(&fin);
    heard.extend(conn.pass_ms(50));
    assert!(heard.iter().any(|seg| seg.timestamps().map(|(_, echo)| echo) == Some(clock + 5000)));
}

fn unknown_options_are_passed_over() {
    let strange: [&[u8]; 6] =
        [&[30, 4, 1, 2], &[253, 4, 0, 0], &[254, 2], &[19, 18], &[34, 2], &[255, 6, 1, 2, 3, 4]];
    for option in strange {
        let mut whole = option.to_vec();
        whole.resize(usize::from(option[1]), 0);
        // Before and behind the others.
        for before in [true, false] {
            let mut conn = Conn::listen(Setup { mss: Some(1000), ..Setup::plain() });
            let syn = conn.syn();
            let mut options = if before { whole.clone() } else { mss_option(1000) };
            options.extend(if before { mss_option(1000) } else { whole.clone() });
            let answer = conn.one(&syn.clone().options(&options));
            assert_eq!((answer.flags, answer.ack), (SYN_ACK, syn.seq + 1), "{option:?}");
            conn.rcv_nxt = syn.seq + 1;
            let ack = conn.seg(ACK).options(&whole);
            conn.quietly(&ack);
            conn.accept();
            assert_eq!(conn.info().snd_mss, 1000, "what is known counts");
            let data = conn.seg(ACK).options(&whole).data(&[4; 10]);
            conn.send(&data);
            assert_eq!(conn.read(), [4; 10], "{option:?}");
        }
    }
}

fn impossible_option_lengths_do_no_harm() {
    let bad: [&[u8]; 8] = [
        &[kinds::MSS, 0, 0, 0],
        &[kinds::MSS, 1, 5, 0xb4],
        &[kinds::MSS, 3, 5, 0xb4],
        &[kinds::MSS, 200, 5, 0xb4],
        &[kinds::NOP, kinds::NOP, kinds::NOP, kinds::MSS],
        &[kinds::TIMESTAMPS, 10, 0, 0],
        &[kinds::WINDOW_SCALE, 4, 7, 7],
        &[kinds::SACK, 0, 0, 0],
    ];
    for options in bad {
        let mut conn = Conn::listen(Setup::plain());
        let syn = conn.syn().options(options);
        let answer = conn.one(&syn);
        assert_eq!(answer.flags, SYN_ACK, "{options:?}");
        assert_eq!((answer.timestamps(), answer.wscale()), (None, None), "as if it were absent");
        conn.rcv_nxt = syn.seq + 1;
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.accept();
        assert_eq!(conn.info().snd_mss, 536, "{options:?}");
        let data = conn.seg(ACK).options(options).data(&[4; 10]);
        conn.send(&data);
        assert_eq!(conn.read(), [4; 10]);
        conn.expect(At::Established);
    }
}

fn a_cut_segment_is_discarded_in_silence() {
    let mut conn = Setup::plain().at(At::Established);
    let whole = conn.seg(RST).bytes();
    let (tester, host, link) = (conn.bench.tester, conn.bench.host, conn.bench.link);
    let mut send = |payload: Vec<u8>| {
        let Seg { src, dst, .. } = Seg::to_host(0, 0, ACK);
        let packet = Ip::new(src, dst, Protocol::TCP, payload).build();
        conn.bench.lab.inject_ip(tester, host, link, &packet);
        assert!(conn.bench.lab.heard_ip(tester).is_empty());
    };
    for len in 0..20 {
        send(whole[..len].to_vec());
    }
    // Offsets below the fixed header and beyond the segment.
    for words in [0, 4, 6, 15] {
        let mut bytes = whole.clone();
        bytes[12] = words << 4;
        send(bytes);
    }
    assert_eq!(conn.snapshot().tcp.in_errs, 24);
    conn.expect(At::Established);
}

fn windows_are_kept_in_32_bits() {
    let setup = Setup { wscale: Some(14), ..Setup::full() }
        .options(|options| options.send_buffer = Some(2_000_000));
    let mut conn = setup.at(At::Established);
    let ack = conn.seg(ACK);
    conn.quietly(&ack);
    assert_eq!(conn.info().snd_wnd, 65_535 << 14);
    // More than 65,535 bytes in flight, once the congestion window allows.
    let una = conn.snd_nxt;
    conn.write(&vec![1; 1_000_000]);
    let mut most = 0;
    for round in 0..10 {
        conn.pass_ms(10);
        let ack = conn.seg(ACK);
        if round < 9 {
            conn.send(&ack);
            conn.pass_ms(1);
        }
        most = most.max(conn.info().unacked * 1448);
    }
    assert!(most > 65_535, "{most} bytes in flight");
    assert!(conn.snd_nxt.since(una) > 100_000);
}

fn full_segments_are_sent_where_possible() {
    let mut conn = Setup { mss: Some(1000), ..Setup::plain() }.at(At::Established);
    assert_eq!(conn.write(&stream(0, 100)).len(), 1);
    // Small writes gather while that is on its way.
    for piece in 1..10 {
        assert!(conn.write(&stream(100 * piece, 100)).is_empty(), "waits for the rest");
    }
    let full = conn.write(&stream(1000, 2150));
    let sizes: Vec<usize> = full.iter().map(|seg| seg.data.len()).collect();
    assert_eq!(sizes, [1000, 1000, 1000], "only full ones");
    let ack = conn.seg(ACK);
    assert_eq!(conn.one(&ack).data.len(), 50, "the rest");
}
