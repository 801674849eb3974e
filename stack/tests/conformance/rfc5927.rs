//! RFC 5927, ICMP attacks.

use tapping_stack::SocketError;
use tapping_stack::time::Duration;
use tapping_stack::wire::Message;
use tapping_stack::wire::icmpv4::Unreachable;

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 5927", "ICMP attacks";

    Should "RFC5927-4.1-window" "4.1" "An ICMP error whose quoted number is not in flight is ignored."
        => icmp_about_no_segment_in_flight_is_ignored;
    Should "RFC5927-5.2-hard" "5.2" "Hard errors do not abort a connection that is established."
        => hard_errors_do_not_abort_established;
    Rule "RFC5927-5.2-syn" "5.2" "Hard errors abort an attempt to connect."
        => hard_errors_abort_connecting;
    Should "RFC5927-6-quench" "6.2" "Source quench is ignored."
        => source_quench_is_ignored;
    Should "RFC5927-7.2-mtu" "7.2" "A path MTU below the least that IPv4 has is not believed."
        => an_absurd_path_mtu_is_not_believed;
    Should "RFC5927-7.2-progress" "7.2" "A path MTU larger than what is in use is ignored."
        => a_larger_path_mtu_is_ignored;
    Rule "RFC5927-4.2-unknown" "4.1" "An ICMP error about a connection that is not ours is dropped."
        => icmp_about_no_connection_is_dropped;
}

fn unreachable(code: Unreachable) -> Message {
    Message::DestinationUnreachable(code)
}

fn needed(mtu: u16) -> Message {
    unreachable(Unreachable::FragmentationNeeded { mtu })
}

fn icmp_about_no_segment_in_flight_is_ignored() {
    for (offset, believed) in
        [(-3000i32, false), (-1, false), (0, true), (1459, true), (2920, false), (100_000, false)]
    {
        let mut conn = Setup::plain().at(At::Established);
        conn.write(&[1; 3000]);
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        let una = conn.snd_nxt;
        assert_eq!(conn.write(&[2; 2920]).len(), 2);
        conn.icmp(needed(1200), una + offset as u32);
        let ignored = conn.ext().out_of_window_icmps;
        let mss = conn.info().snd_mss;
        assert_eq!((mss, ignored), if believed { (1160, 0) } else { (1460, 1) }, "{offset}");
    }
    // Before there is a connection only the SYN is in flight.
    for (offset, believed) in [(0, true), (1, false), (u32::MAX, false)] {
        let mut conn = Setup::plain().at(At::SynSent);
        conn.icmp(unreachable(Unreachable::Port), conn.iss + offset);
        match believed {
            true => conn.expect_gone(),
            false => conn.expect(At::SynSent),
        }
        let mut conn = Setup::plain().at(At::SynReceived);
        conn.icmp(unreachable(Unreachable::Port), conn.iss + offset);
        assert_eq!(conn.ext().out_of_window_icmps, u64::from(!believed));
        match believed {
            true => conn.expect_gone(),
            false => conn.expect(At::SynReceived),
        }
    }
}

fn hard_errors_do_not_abort_established() {
    for code in [Unreachable::Port, Unreachable::Protocol, Unreachable::HostProhibited] {
        let mut conn = Setup::plain().at(At::Established);
        let una = conn.snd_nxt;
        conn.write(&[1; 10]);
        conn.icmp(unreachable(code), una);
        conn.expect(At::Established);
        let ack = conn.seg(ACK);
        conn.quietly(&ack);
        conn.feed(&[3; 10]);
        assert_eq!(conn.read(), [3; 10]);
    }
    // It is the reason given when nothing gets through any more.
    let mut conn = Setup::plain().at(At::Established);
    let una = conn.snd_nxt;
    conn.write(&[1; 10]);
    conn.icmp(unreachable(Unreachable::HostProhibited), una);
    conn.pass(Duration::from_secs(3600));
    conn.expect_gone();
    assert_eq!(conn.try_read(), Err(SocketError::HostUnreachable));
}

fn hard_errors_abort_connecting() {
    for (code, error) in [
        (Unreachable::Port, SocketError::ConnectionRefused),
        (Unreachable::Protocol, SocketError::ProtocolUnavailable),
        (Unreachable::HostProhibited, SocketError::HostUnreachable),
    ] {
        for at in [At::SynSent, At::SynCrossed] {
            let mut conn = Setup::plain().at(at);
            conn.icmp(unreachable(code), conn.iss);
            conn.expect_gone();
            assert_eq!(conn.error(), Some(error));
            assert!(conn.pass(Duration::from_secs(200)).is_empty(), "no more SYNs");
        }
    }
}

fn source_quench_is_ignored() {
    let mut conn = Setup::plain().at(At::Established);
    let una = conn.snd_nxt;
    assert_eq!(conn.write(&[1; 14_600]).len(), 10);
    let before = conn.info();
    assert!(conn.icmp(Message::SourceQuench, una).is_empty());
    let after = conn.info();
    assert_eq!((before.snd_cwnd, before.snd_ssthresh), (after.snd_cwnd, after.snd_ssthresh));
    assert_eq!(conn.error(), None);
}

fn an_absurd_path_mtu_is_not_believed() {
    for mtu in [1, 68, 300, 551] {
        let mut conn = Setup::plain().at(At::Established);
        let una = conn.snd_nxt;
        conn.write(&[1; 1460]);
        let again = conn.icmp(needed(mtu), una);
        // Linux: never below min_pmtu, 552.
        assert_eq!(conn.info().snd_mss, 512, "{mtu}");
        assert!(again.iter().all(|seg| seg.data.len() <= 512));
    }
}

fn a_larger_path_mtu_is_ignored() {
    let mut conn = Setup::plain().at(At::Established);
    let una = conn.snd_nxt;
    conn.write(&[1; 1460]);
    conn.icmp(needed(1200), una);
    assert_eq!(conn.info().snd_mss, 1160);
    for mtu in [1201, 1400, 1500, 9000] {
        conn.icmp(needed(mtu), una);
        assert_eq!(conn.info().snd_mss, 1160, "{mtu}");
    }
}

fn icmp_about_no_connection_is_dropped() {
    let mut conn = Setup::plain().at(At::Established);
    let seq = conn.snd_nxt;
    let before = conn.snapshot().icmp.in_errors;
    conn.remote = 4001;
    assert!(conn.icmp(unreachable(Unreachable::Port), seq).is_empty());
    assert_eq!(conn.snapshot().icmp.in_errors, before + 1);
    conn.expect(At::Established);
    // TIME-WAIT has nothing in flight.
    let mut conn = Setup::plain().at(At::TimeWait);
    for code in [Unreachable::Port, Unreachable::Host] {
        assert!(conn.icmp(unreachable(code), conn.snd_nxt - 1).is_empty());
        conn.expect(At::TimeWait);
    }
}
