//! RFC 1122 §4.1, what hosts make of UDP.

use tapping_stack::stats::DropReason;
use tapping_stack::wire::{Ipv4, Message, Unreachable};
use tapping_stack::{Config, LinkId};

use crate::lab::*;

conformance! {
    "RFC 1122", "UDP in hosts (§4.1)";

    Should "RFC1122-4.1.3.1-unreachable" "4.1.3.1" "A datagram to a port where nobody listens is answered with ICMP port unreachable."
        => nobody_listens_is_port_unreachable;
    Must "RFC1122-4.1.3.4-bad" "4.1.3.4" "A datagram whose checksum is wrong is discarded in silence."
        => a_wrong_checksum_is_discarded_in_silence;
    May "RFC1122-4.1.3.4-zero" "4.1.3.4" "A datagram without a checksum is taken."
        => no_checksum_is_taken;
    MustNot "RFC1122-4.1.3.6-source" "4.1.3.6" "A datagram from a broadcast or multicast address gets no further than IP or UDP."
        => a_source_that_is_many_is_discarded;
    Rule "RFC1122-4.1.1-truncated" "4.1.1" "A datagram that its IP packet does not hold in full is discarded in silence."
        => a_cut_datagram_is_discarded_in_silence;
}

const US: &str = "10.0.0.1";
const PEER: &str = "10.0.0.2";

/// A host, and a tester that is its neighbour.
struct Bench {
    lab: Lab,
    host: Host,
    link: LinkId,
    tester: Tester,
}

impl Bench {
    fn new() -> Self {
        let (mut lab, host, link, tester) =
            Lab::with_tester_and(&format!("{US}/24"), Config::default());
        lab.know(host, link, ip(PEER), tester.mac);
        Bench { lab, host, link, tester }
    }

    fn inject(&mut self, packet: &Ip) -> Vec<Vec<u8>> {
        self.lab.inject_ip(self.tester, self.host, self.link, &packet.build());
        self.lab.heard_ip(self.tester)
    }
}

fn to_closed_port(src: &str) -> Ip {
    Ip::udp(ip(src), ip(US), 4000, 9, b"anybody?")
}

fn is_port_unreachable(answer: &[u8], about: &Ip) -> bool {
    let icmp = icmp_in(answer);
    let quoted = Ipv4::parse(icmp.payload()).is_ok() && icmp.payload() == about.build();
    quoted && icmp.message() == Message::DestinationUnreachable(Unreachable::Port)
}

fn nobody_listens_is_port_unreachable() {
    let mut bench = Bench::new();
    let packet = to_closed_port(PEER);
    let answers = bench.inject(&packet);
    assert!(matches!(&answers[..], [answer] if is_port_unreachable(answer, &packet)));
    assert_eq!(bench.lab.snapshot(bench.host).udp.no_ports, 1);
}

fn a_wrong_checksum_is_discarded_in_silence() {
    let mut bench = Bench::new();
    for byte in [6, 7, 8, 15] {
        let mut packet = to_closed_port(PEER);
        packet.payload[byte] ^= 0x10;
        assert_eq!(bench.inject(&packet), Vec::<Vec<u8>>::new(), "byte {byte} is damaged");
    }
    let udp = bench.lab.snapshot(bench.host).udp;
    assert_eq!((udp.in_csum_errors, udp.in_errors, udp.no_ports), (4, 4, 0));
    assert_eq!(bench.lab.drops(bench.host), [DropReason::UdpChecksum; 4]);
}

fn no_checksum_is_taken() {
    let mut bench = Bench::new();
    let mut packet = to_closed_port(PEER);
    packet.payload[6..8].fill(0);
    let answers = bench.inject(&packet);
    assert!(matches!(&answers[..], [answer] if is_port_unreachable(answer, &packet)));
}

fn a_source_that_is_many_is_discarded() {
    let mut bench = Bench::new();
    for src in ["255.255.255.255", "10.0.0.255", "224.0.0.1", "239.1.2.3"] {
        assert_eq!(bench.inject(&to_closed_port(src)), Vec::<Vec<u8>>::new(), "from {src}");
    }
    assert_eq!(bench.lab.snapshot(bench.host).udp.no_ports, 0);
}

fn a_cut_datagram_is_discarded_in_silence() {
    let mut bench = Bench::new();
    for len in 0..16 {
        let mut packet = to_closed_port(PEER);
        packet.payload.truncate(len);
        assert_eq!(bench.inject(&packet), Vec::<Vec<u8>>::new(), "{len} of 16 bytes");
    }
    assert_eq!(bench.lab.drops(bench.host), [DropReason::UdpMalformed; 16]);
}
