//! ICMP errors, to connections and to those that are to be.

use super::compare::{Scenario, connected, plain};

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    let kinds = [
        "unreachable net_unreachable",
        "unreachable host_unreachable",
        "unreachable protocol_unreachable",
        "unreachable port_unreachable",
        "unreachable net_unknown",
        "unreachable host_unknown",
        "unreachable net_prohibited",
        "unreachable host_prohibited",
        "unreachable packet_filtered",
        "unreachable source_route_failed",
        "source_quench",
        "time_exceeded exceeded_in_transit",
        "parameter_problem pointer",
    ];
    for kind in kinds {
        all.push(Scenario::new(
            format!("ICMP to a connect: {kind}"),
            format!("0 socket ; connect\n+.02 < icmp {kind} [0:0(0)]\n+.01 assert tcpi_state >= 0\n+0 get SO_ERROR = 0\n+.01 < S. 0:0(0) ack 1 win 1000 <mss 1460>"),
        ));
        all.push(Scenario::new(
            format!("ICMP to a connection: {kind}"),
            plain(&format!("+.01 write 1000\n+.02 < icmp {kind} [1:1001(1000)]\n+.01 assert tcpi_state >= 0\n+0 get SO_ERROR = 0\n+.1 use 3\n+.35 use 3")),
        ));
    }
    all.push(Scenario::new(
        "ICMP to a connect: of another number",
        "0 socket ; connect\n+.02 < icmp unreachable port_unreachable [5:5(0)]\n+.01 assert tcpi_state >= 0\n+0 get SO_ERROR = 0",
    ));
    let mtu = [
        ("1400", "[1:1461(1460)]"),
        ("1400", "[1461:2921(1460)]"),
        ("1400", "[100000:101460(1460)]"),
        ("1400", "[4294960000:4294961460(1460)]"),
        ("600", "[1:1461(1460)]"),
        ("552", "[1:1461(1460)]"),
        ("400", "[1:1461(1460)]"),
        ("68", "[1:1461(1460)]"),
        ("0", "[1:1461(1460)]"),
        ("1500", "[1:1461(1460)]"),
        ("9000", "[1:1461(1460)]"),
    ];
    for (mtu, quoted) in mtu {
        all.push(Scenario::new(
            format!("ICMP: fragmentation needed, MTU {mtu} {quoted}"),
            plain(&format!("+.01 write 4380\n+.02 < icmp unreachable frag_needed mtu {mtu} {quoted}\n+.01 < . 1:1(0) ack 4381 win 512\n+0 assert tcpi_snd_mss >= 0 and tcpi_pmtu >= 0 and tcpi_snd_cwnd >= 0\n+0 write 3000")),
        ));
    }
    all.push(Scenario::new(
        "ICMP: fragmentation needed to a connection of ours",
        connected("+.01 write 4344\n+.02 < icmp unreachable frag_needed mtu 1000 [1:1449(1448)]\n+.01 < . 1:1(0) ack 4345 win 512 <nop,nop,TS val 200 ecr 1000>\n+0 write 3000"),
    ));
    all.push(Scenario::new(
        "ICMP: fragmentation needed with nothing in flight",
        plain("+.01 < icmp unreachable frag_needed mtu 1000 [1:1461(1460)]\n+.01 write 3000"),
    ));
    all
}
