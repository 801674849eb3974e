//! Where the stack and the kernel do not do the same, and why.

/// Why both differ, and in which scenarios. They must: what has become the same is to be taken out.
pub const DIFFERENCES: &[(&str, &[&str])] = &[
    (
        "RFC 7323 §3.2 and RFC 2018 §2 have options in a SYN-ACK only where the SYN had them; Linux \
         answers a SYN that meets its own with all that its own had",
        &[
            "connect, answered by SYN",
            "connect, answered by SYN with ECN bits",
            "connect, answered by SYN with data",
            "connect, answered by SYN with FIN",
            "connect: simultaneously, and a reset",
        ],
    ),
    (
        "RFC 3168 §6.1.1: a SYN-ACK with both ECE and CWR agrees to nothing; Linux 6.18 takes it as \
         one of accurate ECN",
        &["ECN: the host asks and is mirrored"],
    ),
    (
        "RFC 5961 §5.2: a segment whose ACK is out of range is discarded; Linux takes the data \
         first when the segment is the one that it predicted",
        &[
            "established, data in flight: P. 1:101(100) ack 0 win 512",
            "established, data in flight: P. 1:101(100) ack 4294900000 win 512",
            "established, data in flight: P. 1:101(100) ack 4294000000 win 512",
        ],
    ),
    (
        "RFC 7323 §5.3 R1: a timestamp before the last one is old; Linux lets one tick pass",
        &["timestamps: a timestamp one tick old"],
    ),
    (
        "RFC 2883 §4: a block below the acknowledgment number is about a duplicate; Linux leaves \
         there what it has not cleared away yet",
        &["active: FIN out of order in FIN-WAIT-2"],
    ),
    (
        "RFC 9293 §3.10.7.4 has what is beyond the window trimmed off; Linux keeps it",
        &["window: data beyond the window"],
    ),
    (
        "RFC 2018 §4: the first block is all that is contiguous with what came last; Linux knows of \
         four blocks only, and has forgotten the fifth",
        &["out of order: five holes", "out of order, with timestamps: five holes"],
    ),
    (
        "RFC 5927 §4.1: the number that an ICMP error quotes must be in flight; to Linux the next one \
         is as good",
        &["ICMP: fragmentation needed with nothing in flight"],
    ),
    (
        "small segments are merged, so more of them fit into the same buffer than into Linux's",
        &["window: filled up"],
    ),
];

/// The kernel's segments end where its buffers do, which writes have filled, and it may move bytes
/// from one to the other; the stack decides when it sends. So PSH within a write is elsewhere.
pub const LOOSE_PUSH: &[&str] = &[
    "connect, answered by SYN-ACK with a small MSS",
    "size: write 10000 ; write 10000 ; write 10000",
    "size: write 1000 ; write 20000 ; write 1 ; write 8999",
    "the peer's window: less than a write",
    "the peer's window: smaller than a segment",
    "urgent, sent: far ahead",
];

/// How far windows may differ, in percent, in scenarios whose name begins so. Received data is
/// accounted for by the memory that it takes, which is not the same.
pub const WINDOWS: &[(&str, u32)] = &[("ACKs", 50), ("out of order", 20), ("window", 50), ("", 2)];
