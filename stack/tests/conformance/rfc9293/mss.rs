//! The maximum segment size.

use tapping_stack::wire::Message;
use tapping_stack::wire::icmpv4::Unreachable;

use crate::segment::*;
use crate::states::*;

conformance! {
    "RFC 9293", "Maximum segment size (§3.7.1)";

    Must "RFC9293-MUST-14" "3.7.1" "The maximum segment size option is both sent and obeyed."
        => mss_is_sent_and_obeyed;
    Should "RFC9293-SHLD-5" "3.7.1" "The option is sent whenever the size that can be received is not 536."
        => mss_is_sent_unless_default;
    May "RFC9293-MAY-3" "3.7.1" "The option is sent always."
        => mss_is_sent_always;
    Must "RFC9293-MUST-15" "3.7.1" "A peer that sends no such option is sent at most 536 bytes a segment."
        => without_the_option_536_is_sent;
    Must "RFC9293-MUST-16" "3.7.1" "What a segment holds is bounded by the peer's size, the path MTU and the room that options take."
        => the_effective_size_counts_all_three;
    Should "RFC9293-SHLD-6" "3.7.1" "The size follows the path MTU when that changes."
        => the_size_follows_the_path_mtu;
    MustNot "RFC9293-MUST-65" "3.7.1" "The maximum segment size option is sent in SYN only, and elsewhere ignored."
        => mss_only_in_syn;
    Must "RFC9293-MUST-67" "3.7.1" "The size announced is what can be reassembled less the fixed headers, whatever the options."
        => the_announced_size_counts_fixed_headers;
    Must "RFC9293-3.7.1-small" "3.7.1" "A peer that announces an absurdly small size gets the smallest sensible one."
        => an_absurdly_small_size_is_raised;
}

/// The largest payload in what a connection sends of a long write.
fn largest(conn: &mut Conn) -> usize {
    let heard = conn.write(&stream(0, 10_000));
    heard.iter().map(|seg| seg.data.len()).max().expect("it sends")
}

/// A connection made by the host.
fn active(setup: Setup) -> Conn {
    let mut conn = setup.at(At::SynSent);
    let syn_ack = conn.syn().flags(SYN_ACK).ack(conn.snd_nxt);
    conn.rcv_nxt += 1;
    conn.challenged(&syn_ack);
    conn
}

fn mss_is_sent_and_obeyed() {
    for (setup, overhead) in [(Setup::plain(), 0), (Setup::full(), 12)] {
        for mss in [536, 1000, 1460] {
            let setup = Setup { mss: Some(mss), ..setup.clone() };
            let mut passive = Conn::listen(setup.clone());
            let syn = passive.syn();
            assert_eq!(passive.one(&syn).mss(), Some(1460));
            for mut conn in [setup.clone().at(At::Established), active(setup)] {
                assert_eq!(largest(&mut conn), usize::from(mss) - overhead);
            }
        }
    }
}

fn announced(setup: Setup) -> [Option<u16>; 2] {
    let mut passive = Conn::listen(setup.clone());
    let syn = passive.syn();
    let answer = passive.one(&syn).mss();
    let mut conn = setup.at(At::SynSent);
    let again = conn.pass_ms(1500).remove(0);
    assert_eq!(again.flags, SYN);
    [answer, again.mss()]
}

fn mss_is_sent_unless_default() {
    for mtu in [600, 1280, 1500, 9000] {
        let expected = Some(mtu as u16 - 40);
        assert_eq!(announced(Setup { mtu, ..Setup::plain() }), [expected; 2], "{mtu}");
    }
}

fn mss_is_sent_always() {
    assert_eq!(announced(Setup { mtu: 576, ..Setup::plain() }), [Some(536); 2]);
    // Also to a peer that sends none.
    let without = Setup { mss: None, ..Setup::plain() };
    assert_eq!(announced(without), [Some(1460); 2]);
}

fn without_the_option_536_is_sent() {
    let setup = Setup { mss: None, ..Setup::plain() };
    for mut conn in [setup.clone().at(At::Established), active(setup)] {
        assert_eq!(largest(&mut conn), 536);
    }
    let setup = Setup { mss: None, ..Setup::full() };
    assert_eq!(largest(&mut setup.at(At::Established)), 524, "timestamps take their room");
}

fn the_effective_size_counts_all_three() {
    let huge = |setup: Setup| Setup { mss: Some(9000), ..setup };
    assert_eq!(largest(&mut huge(Setup::plain()).at(At::Established)), 1460);
    assert_eq!(largest(&mut huge(Setup::full()).at(At::Established)), 1448);
    // A path MTU that was learnt.
    let mut conn = huge(Setup::full()).at(At::Established);
    let una = conn.snd_nxt;
    conn.write(&[1; 1448]);
    let needed = Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu: 1400 });
    conn.icmp(needed, una);
    conn.pass_ms(1);
    let ack = conn.seg(ACK).ack(una + 1448);
    conn.send(&ack);
    assert_eq!(largest(&mut conn), 1348);
    // SACK blocks in the same segment: one takes 12 bytes, two 20.
    let mut conn = huge(Setup::full()).at(At::Established);
    for (block, room) in [(1, 12), (2, 20), (3, 28)] {
        let seg = conn.seg(ACK).seq(conn.rcv_nxt + 100 * block).data(&[1; 10]);
        conn.send(&seg);
        let sent = conn.write(&[1; 3000]);
        assert_eq!(sent[0].sack_blocks().len(), block as usize);
        assert_eq!(sent[0].data.len(), 1448 - room);
        assert!(sent[0].bytes().len() <= 1480, "the packet fits the MTU");
        let ack = conn.seg(ACK);
        conn.send(&ack);
    }
}

fn the_size_follows_the_path_mtu() {
    for (setup, size) in [(Setup::plain(), 1160), (Setup::full(), 1148)] {
        let mut conn = setup.at(At::Established);
        let una = conn.snd_nxt;
        assert_eq!(conn.write(&stream(0, 1400)).len(), 1);
        conn.pass_ms(1);
        let needed =
            Message::DestinationUnreachable(Unreachable::FragmentationNeeded { mtu: 1200 });
        let again = conn.icmp(needed, una);
        let pieces: Vec<(u32, usize)> =
            again.iter().map(|seg| (seg.seq.since(una), seg.data.len())).collect();
        assert_eq!(pieces[0], (0, size), "{pieces:?}");
        let rest = conn.pass_ms(1);
        let ack = conn.seg(ACK);
        conn.send(&ack);
        assert!(rest.iter().all(|seg| seg.data.len() <= size));
        assert_eq!(largest(&mut conn), size, "later data, too");
    }
}

fn mss_only_in_syn() {
    let mut conn = Setup::full().at(At::Established);
    let mut heard = conn.write(&stream(0, 10_000));
    let ack = conn.seg(ACK);
    heard.extend(conn.send(&ack));
    heard.extend(conn.feed(&[1; 100]));
    let reset = conn.seg(RST).seq(conn.rcv_nxt + 1);
    heard.extend(conn.send(&reset));
    heard.extend(conn.close());
    assert!(heard.len() > 8 && heard.iter().all(|seg| seg.mss().is_none()));
    let mut conn = Setup::plain().at(At::Established);
    let data = conn.seg(ACK).options(&mss_option(100)).data(&[1; 10]);
    conn.send(&data);
    assert_eq!(conn.read(), [1; 10]);
    conn.rcv_nxt += 10;
    assert_eq!((conn.info().snd_mss, largest(&mut conn)), (1460, 1460));
}

fn the_announced_size_counts_fixed_headers() {
    // Timestamps and SACK take room in every segment, and yet it is the same size.
    for setup in [Setup::plain(), Setup::full()] {
        assert_eq!(announced(setup), [Some(1460); 2]);
    }
    let change = |config: &mut tapping_stack::Config| config.tcp.timestamps = false;
    assert_eq!(announced(Setup::full().config(change)), [Some(1460); 2]);
}

fn an_absurdly_small_size_is_raised() {
    // 0 counts as absent (Linux tcp_parse_options).
    let setup = Setup { mss: Some(0), ..Setup::plain() };
    assert_eq!(largest(&mut setup.at(At::Established)), 536);
    // Others below tcp_min_snd_mss are raised to it.
    for mss in [1, 8, 47, 48] {
        for (setup, size) in [(Setup::plain(), 48), (Setup::full(), 36)] {
            let setup = Setup { mss: Some(mss), ..setup };
            let mut conn = setup.at(At::Established);
            assert_eq!(largest(&mut conn), size, "{mss}");
            assert!(conn.info().unacked <= 10, "a window of segments as ever");
        }
    }
}
