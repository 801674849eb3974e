//! RFC 8899, the path MTU for datagrams.

conformance! {
    "RFC 8899", "Datagram probing";

    Rule "RFC8899-5-tcp" "1" "Datagram probing is for transports above UDP."
        not_applicable "TCP has RFC 4821; programs above UDP probe by themselves with IP_PMTUDISC_PROBE.";
}
