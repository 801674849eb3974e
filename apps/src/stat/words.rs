//! `netstat -s`: counters in the words of net-tools.

use crate::control::model::Counters;

/// Which groups to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub ip: bool,
    pub tcp: bool,
    pub udp: bool,
    /// ARP, IGMP and discarded packets, of which net-tools knows nothing.
    pub more: bool,
}

/// How a counter is told: the number stands for `{}`; `always` even when it is zero.
struct Words {
    name: &'static str,
    text: &'static str,
    always: bool,
}

const fn rarely(name: &'static str, text: &'static str) -> Words {
    Words { name, text, always: false }
}

const fn always(name: &'static str, text: &'static str) -> Words {
    Words { name, text, always: true }
}

const IP: [Words; 17] = [
    always("InReceives", "{} total packets received"),
    rarely("InHdrErrors", "{} with invalid headers"),
    rarely("InAddrErrors", "{} with invalid addresses"),
    always("ForwDatagrams", "{} forwarded"),
    rarely("InUnknownProtos", "{} with unknown protocol"),
    always("InDiscards", "{} incoming packets discarded"),
    always("InDelivers", "{} incoming packets delivered"),
    always("OutRequests", "{} requests sent out"),
    rarely("OutDiscards", "{} outgoing packets dropped"),
    rarely("OutNoRoutes", "{} dropped because of missing route"),
    rarely("ReasmTimeout", "{} fragments dropped after timeout"),
    rarely("ReasmReqds", "{} reassemblies required"),
    rarely("ReasmOKs", "{} packets reassembled ok"),
    rarely("ReasmFails", "{} packet reassemblies failed"),
    rarely("FragOKs", "{} outgoing packets fragmented ok"),
    rarely("FragFails", "{} outgoing packets failed fragmentation"),
    rarely("FragCreates", "{} fragments created"),
];

const ICMP: [Words; 26] = [
    always("InMsgs", "{} ICMP messages received"),
    always("InErrors", "{} input ICMP message failed"),
    rarely("InDestUnreachs", "    destination unreachable: {}"),
    rarely("InTimeExcds", "    timeout in transit: {}"),
    rarely("InParmProbs", "    wrong parameters: {}"),
    rarely("InSrcQuenchs", "    source quenches: {}"),
    rarely("InRedirects", "    redirects: {}"),
    rarely("InEchos", "    echo requests: {}"),
    rarely("InEchoReps", "    echo replies: {}"),
    rarely("InTimestamps", "    timestamp request: {}"),
    rarely("InTimestampReps", "    timestamp reply: {}"),
    rarely("InAddrMasks", "    address mask request: {}"),
    rarely("InAddrMaskReps", "    address mask replies: {}"),
    always("OutMsgs", "{} ICMP messages sent"),
    always("OutErrors", "{} ICMP messages failed"),
    rarely("OutDestUnreachs", "    destination unreachable: {}"),
    rarely("OutTimeExcds", "    time exceeded: {}"),
    rarely("OutParmProbs", "    wrong parameters: {}"),
    rarely("OutSrcQuenchs", "    source quench: {}"),
    rarely("OutRedirects", "    redirect: {}"),
    rarely("OutEchos", "    echo requests: {}"),
    rarely("OutEchoReps", "    echo replies: {}"),
    rarely("OutTimestamps", "    timestamp requests: {}"),
    rarely("OutTimestampReps", "    timestamp replies: {}"),
    rarely("OutAddrMasks", "    address mask requests: {}"),
    rarely("OutAddrMaskReps", "    address mask replies: {}"),
];

const TCP: [Words; 10] = [
    always("ActiveOpens", "{} active connection openings"),
    always("PassiveOpens", "{} passive connection openings"),
    always("AttemptFails", "{} failed connection attempts"),
    always("EstabResets", "{} connection resets received"),
    always("CurrEstab", "{} connections established"),
    always("InSegs", "{} segments received"),
    always("OutSegs", "{} segments sent out"),
    always("RetransSegs", "{} segments retransmitted"),
    always("InErrs", "{} bad segments received"),
    always("OutRsts", "{} resets sent"),
];

const UDP: [Words; 6] = [
    always("InDatagrams", "{} packets received"),
    always("NoPorts", "{} packets to unknown port received"),
    always("InErrors", "{} packet receive errors"),
    always("OutDatagrams", "{} packets sent"),
    always("RcvbufErrors", "{} receive buffer errors"),
    always("SndbufErrors", "{} send buffer errors"),
];

const TCP_EXT: [Words; 32] = [
    rarely("SyncookiesSent", "{} SYN cookies sent"),
    rarely("SyncookiesRecv", "{} SYN cookies received"),
    rarely("SyncookiesFailed", "{} invalid SYN cookies received"),
    rarely("EmbryonicRsts", "{} resets received for embryonic SYN_RECV sockets"),
    rarely("PruneCalled", "{} packets pruned from receive queue because of socket buffer overrun"),
    rarely("RcvPruned", "{} packets pruned from receive queue"),
    rarely(
        "OfoPruned",
        "{} packets dropped from out-of-order queue because of socket buffer overrun",
    ),
    rarely("OutOfWindowIcmps", "{} ICMP packets dropped because they were out-of-window"),
    rarely("TW", "{} TCP sockets finished time wait in fast timer"),
    rarely("PAWSActive", "{} active connections rejected because of time stamp"),
    rarely("PAWSEstab", "{} packets rejected in established connections because of timestamp"),
    rarely("DelayedACKs", "{} delayed acks sent"),
    rarely("DelayedACKLost", "Quick ack mode was activated {} times"),
    rarely("ListenOverflows", "{} times the listen queue of a socket overflowed"),
    rarely("ListenDrops", "{} SYNs to LISTEN sockets dropped"),
    rarely("TCPRenoRecovery", "{} times recovered from packet loss due to fast retransmit"),
    rarely("TCPSACKReorder", "Detected reordering {} times using SACK"),
    rarely("TCPRenoReorder", "Detected reordering {} times using reno fast retransmit"),
    rarely("TCPFullUndo", "{} congestion windows fully recovered without slow start"),
    rarely("TCPPartialUndo", "{} congestion windows partially recovered using Hoe heuristic"),
    rarely("TCPLossUndo", "{} congestion windows recovered without slow start after partial ack"),
    rarely("TCPRenoFailures", "{} timeouts after reno fast retransmit"),
    rarely("TCPLossFailures", "{} timeouts in loss state"),
    rarely("TCPFastRetrans", "{} fast retransmits"),
    rarely("TCPSlowStartRetrans", "{} retransmits in slow start"),
    rarely("TCPRcvCollapsed", "{} packets collapsed in receive queue due to low socket buffer"),
    rarely("TCPAbortOnData", "{} connections reset due to unexpected data"),
    rarely("TCPAbortOnClose", "{} connections reset due to early user close"),
    rarely("TCPAbortOnMemory", "{} connections aborted due to memory pressure"),
    rarely("TCPAbortOnTimeout", "{} connections aborted due to timeout"),
    rarely("TCPAbortOnLinger", "{} connections aborted after user close in linger timeout"),
    rarely("TCPAbortFailed", "{} times unable to send RST due to no memory"),
];

/// The groups, each under its name.
pub fn text(counters: &Counters, wanted: &Wanted) -> String {
    let mut text = String::new();
    for group in &counters.groups {
        let (words, shown): (&[Words], bool) = match group.name.as_str() {
            "Ip" => (&IP, wanted.ip),
            "Icmp" => (&ICMP, wanted.ip),
            "Tcp" => (&TCP, wanted.tcp),
            "Udp" => (&UDP, wanted.udp),
            "TcpExt" => (&TCP_EXT, wanted.tcp),
            "IpExt" => (&[], wanted.ip),
            _ => (&[], wanted.more),
        };
        if !shown {
            continue;
        }
        text += &format!("{}:\n", group.name);
        if group.name == "Ip" {
            // As the MIB has it: 1 forwards, 2 does not.
            text += &format!("    Forwarding: {}\n", if counters.forwarding { 1 } else { 2 });
        }
        for (name, value) in &group.counters {
            text += heading(&group.name, name);
            match words.iter().find(|words| words.name == name) {
                Some(words) if *value > 0 || words.always => {
                    text += &format!("    {}\n", words.text.replace("{}", &value.to_string()));
                }
                None if *value > 0 => text += &format!("    {name}: {value}\n"),
                _ => {}
            }
        }
    }
    if wanted.more && !counters.drops.is_empty() {
        text += "Drops:\n";
        for (reason, count) in &counters.drops {
            text += &format!("    {reason}: {count}\n");
        }
    }
    text
}

/// What stands above the first message of each direction.
fn heading(group: &str, name: &str) -> &'static str {
    match (group, name) {
        ("Icmp", "InDestUnreachs") => "    ICMP input histogram:\n",
        ("Icmp", "OutDestUnreachs") => "    ICMP output histogram:\n",
        _ => "",
    }
}
