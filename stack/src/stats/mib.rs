//! Counter groups.

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident = $mib:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: u64,)*
        }

        impl $name {
            /// Every counter with its MIB name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($mib, self.$field),)*].into_iter()
            }
        }
    };
}

counters! {
    /// IPv4 (`Ip` and `IpExt`; RFC 4293 `ipSystemStats`).
    IpMib {
        /// Packets received, those in error included.
        in_receives = "InReceives",
        /// Discarded for an error in the header.
        in_hdr_errors = "InHdrErrors",
        /// Discarded for an address not valid here.
        in_addr_errors = "InAddrErrors",
        /// Forwarded.
        forw_datagrams = "ForwDatagrams",
        /// For a protocol that nothing here speaks.
        in_unknown_protos = "InUnknownProtos",
        /// Discarded though nothing was wrong with them.
        in_discards = "InDiscards",
        /// Delivered to a protocol.
        in_delivers = "InDelivers",
        /// Made here and given to IPv4 to send.
        out_requests = "OutRequests",
        /// Given to a link.
        out_transmits = "OutTransmits",
        /// Outgoing, discarded though nothing was wrong with them.
        out_discards = "OutDiscards",
        /// Outgoing, without a route.
        out_no_routes = "OutNoRoutes",
        /// Datagrams given up because fragments were missing in time.
        reasm_timeout = "ReasmTimeout",
        /// Fragments received.
        reasm_reqds = "ReasmReqds",
        /// Datagrams put together.
        reasm_oks = "ReasmOKs",
        /// Failures to put one together.
        reasm_fails = "ReasmFails",
        /// Overlaps found.
        reasm_overlaps = "ReasmOverlaps",
        /// Packets fragmented.
        frag_oks = "FragOKs",
        /// Packets that DF kept from being fragmented.
        frag_fails = "FragFails",
        /// Fragments made.
        frag_creates = "FragCreates",
        /// Received for which there was no route.
        in_no_routes = "InNoRoutes",
        /// Received shorter than their total length.
        in_truncated_pkts = "InTruncatedPkts",
        /// Received with a wrong header checksum.
        in_csum_errors = "InCsumErrors",
        /// Multicasts received.
        in_mcast_pkts = "InMcastPkts",
        /// Multicasts sent.
        out_mcast_pkts = "OutMcastPkts",
        /// Broadcasts received.
        in_bcast_pkts = "InBcastPkts",
        /// Broadcasts sent.
        out_bcast_pkts = "OutBcastPkts",
        /// Bytes received.
        in_octets = "InOctets",
        /// Bytes sent.
        out_octets = "OutOctets",
    }
}

counters! {
    /// ICMP (`Icmp`; RFC 4293 `icmpStats` and `icmpMsgStats`).
    IcmpMib {
        /// Messages received.
        in_msgs = "InMsgs",
        /// Received with an error in them.
        in_errors = "InErrors",
        /// Received with a wrong checksum.
        in_csum_errors = "InCsumErrors",
        /// Destination unreachable received.
        in_dest_unreachs = "InDestUnreachs",
        /// Time exceeded received.
        in_time_excds = "InTimeExcds",
        /// Parameter problem received.
        in_parm_probs = "InParmProbs",
        /// Source quench received.
        in_src_quenchs = "InSrcQuenchs",
        /// Redirect received.
        in_redirects = "InRedirects",
        /// Echo received.
        in_echos = "InEchos",
        /// Echo reply received.
        in_echo_reps = "InEchoReps",
        /// Timestamp received.
        in_timestamps = "InTimestamps",
        /// Timestamp reply received.
        in_timestamp_reps = "InTimestampReps",
        /// Address mask request received.
        in_addr_masks = "InAddrMasks",
        /// Address mask reply received.
        in_addr_mask_reps = "InAddrMaskReps",
        /// Messages sent.
        out_msgs = "OutMsgs",
        /// Not sent for a problem found here.
        out_errors = "OutErrors",
        /// Not sent because of the limit for all destinations.
        out_rate_limit_global = "OutRateLimitGlobal",
        /// Not sent because of the limit for one destination.
        out_rate_limit_host = "OutRateLimitHost",
        /// Destination unreachable sent.
        out_dest_unreachs = "OutDestUnreachs",
        /// Time exceeded sent.
        out_time_excds = "OutTimeExcds",
        /// Parameter problem sent.
        out_parm_probs = "OutParmProbs",
        /// Source quench sent.
        out_src_quenchs = "OutSrcQuenchs",
        /// Redirect sent.
        out_redirects = "OutRedirects",
        /// Echo sent.
        out_echos = "OutEchos",
        /// Echo reply sent.
        out_echo_reps = "OutEchoReps",
        /// Timestamp sent.
        out_timestamps = "OutTimestamps",
        /// Timestamp reply sent.
        out_timestamp_reps = "OutTimestampReps",
        /// Address mask request sent.
        out_addr_masks = "OutAddrMasks",
        /// Address mask reply sent.
        out_addr_mask_reps = "OutAddrMaskReps",
    }
}

impl IcmpMib {
    /// Counts a received message by its type.
    pub(crate) fn count_in(&mut self, icmp_type: u8) {
        let counter = match icmp_type {
            0 => &mut self.in_echo_reps,
            3 => &mut self.in_dest_unreachs,
            4 => &mut self.in_src_quenchs,
            5 => &mut self.in_redirects,
            8 => &mut self.in_echos,
            11 => &mut self.in_time_excds,
            12 => &mut self.in_parm_probs,
            13 => &mut self.in_timestamps,
            14 => &mut self.in_timestamp_reps,
            17 => &mut self.in_addr_masks,
            18 => &mut self.in_addr_mask_reps,
            _ => return,
        };
        *counter += 1;
    }

    /// Counts a sent message by its type.
    pub(crate) fn count_out(&mut self, icmp_type: u8) {
        self.out_msgs += 1;
        let counter = match icmp_type {
            0 => &mut self.out_echo_reps,
            3 => &mut self.out_dest_unreachs,
            4 => &mut self.out_src_quenchs,
            5 => &mut self.out_redirects,
            8 => &mut self.out_echos,
            11 => &mut self.out_time_excds,
            12 => &mut self.out_parm_probs,
            13 => &mut self.out_timestamps,
            14 => &mut self.out_timestamp_reps,
            17 => &mut self.out_addr_masks,
            18 => &mut self.out_addr_mask_reps,
            _ => return,
        };
        *counter += 1;
    }
}

counters! {
    /// Address resolution (Linux `struct neigh_statistics`).
    ArpMib {
        /// Requests received.
        in_requests = "InRequests",
        /// Replies received.
        in_replies = "InReplies",
        /// Requests sent.
        out_requests = "OutRequests",
        /// Replies sent.
        out_replies = "OutReplies",
        /// Resolutions that failed.
        res_failed = "ResFailed",
        /// Packets discarded because too many waited.
        unres_discards = "UnresDiscards",
        /// Entries refused because the table was full.
        table_fulls = "TableFulls",
        /// Address conflicts seen.
        conflicts = "Conflicts",
    }
}

counters! {
    /// IGMP, named as its IPv6 sibling in `Icmp6` (RFC 2466): Linux has no counters for IGMP.
    IgmpMib {
        /// Messages received.
        in_msgs = "InMsgs",
        /// Received with an error in them.
        in_errors = "InErrors",
        /// Received with a wrong checksum.
        in_csum_errors = "InCsumErrors",
        /// Queries received.
        in_group_memb_queries = "InGroupMembQueries",
        /// Reports of versions 1 and 2 received.
        in_group_memb_responses = "InGroupMembResponses",
        /// Leaves received.
        in_group_memb_reductions = "InGroupMembReductions",
        /// Reports of version 3 received.
        in_v3_reports = "InIGMPv3Reports",
        /// Messages sent.
        out_msgs = "OutMsgs",
        /// Not sent for a problem found here.
        out_errors = "OutErrors",
        /// Reports of versions 1 and 2 made.
        out_group_memb_responses = "OutGroupMembResponses",
        /// Leaves made.
        out_group_memb_reductions = "OutGroupMembReductions",
        /// Reports of version 3 made.
        out_v3_reports = "OutIGMPv3Reports",
    }
}

counters! {
    /// UDP (`Udp`; RFC 4113).
    UdpMib {
        /// Datagrams that were received from a socket.
        in_datagrams = "InDatagrams",
        /// Datagrams for a port without a socket.
        no_ports = "NoPorts",
        /// Datagrams with an error in them.
        in_errors = "InErrors",
        /// Datagrams with a wrong checksum.
        in_csum_errors = "InCsumErrors",
        /// Datagrams sent.
        out_datagrams = "OutDatagrams",
        /// Datagrams for a socket whose receive queue was full.
        rcvbuf_errors = "RcvbufErrors",
        /// Datagrams not sent for want of room.
        sndbuf_errors = "SndbufErrors",
        /// Datagrams for which there was no memory.
        mem_errors = "MemErrors",
        /// Datagrams to many that no socket wanted.
        ignored_multi = "IgnoredMulti",
    }
}

counters! {
    /// One link (Linux `struct rtnl_link_stats64`).
    LinkCounters {
        /// Frames received.
        rx_packets = "rx_packets",
        /// Bytes received.
        rx_bytes = "rx_bytes",
        /// Malformed frames received.
        rx_errors = "rx_errors",
        /// Frames received and discarded at the link.
        rx_dropped = "rx_dropped",
        /// Frames for other hosts, discarded.
        rx_otherhost_dropped = "rx_otherhost_dropped",
        /// Frames of a protocol that nothing here speaks.
        rx_nohandler = "rx_nohandler",
        /// Multicast frames received.
        multicast = "multicast",
        /// Frames sent.
        tx_packets = "tx_packets",
        /// Bytes sent.
        tx_bytes = "tx_bytes",
        /// Frames that could not be sent.
        tx_dropped = "tx_dropped",
    }
}

counters! {
    /// TCP (`Tcp`; RFC 4022).
    TcpMib {
        /// Connections asked for.
        active_opens = "ActiveOpens",
        /// Connections accepted.
        passive_opens = "PassiveOpens",
        /// Handshakes that failed.
        attempt_fails = "AttemptFails",
        /// Connections that were reset.
        estab_resets = "EstabResets",
        /// Connections in ESTABLISHED or CLOSE-WAIT now.
        curr_estab = "CurrEstab",
        /// Segments received.
        in_segs = "InSegs",
        /// Segments sent.
        out_segs = "OutSegs",
        /// Segments sent again.
        retrans_segs = "RetransSegs",
        /// Segments received with an error in them.
        in_errs = "InErrs",
        /// Segments sent with RST.
        out_rsts = "OutRsts",
        /// Segments received with a wrong checksum.
        in_csum_errors = "InCsumErrors",
    }
}

counters! {
    /// More of TCP (Linux `TcpExt`, `/proc/net/netstat`).
    TcpExtMib {
        /// SYN cookies sent.
        syncookies_sent = "SyncookiesSent",
        /// SYN cookies that came back.
        syncookies_recv = "SyncookiesRecv",
        /// ACKs that were no cookie of ours.
        syncookies_failed = "SyncookiesFailed",
        /// Handshakes ended by a reset.
        embryonic_rsts = "EmbryonicRsts",
        /// Times that buffers were pruned.
        prune_called = "PruneCalled",
        /// Times that pruning did not make enough room.
        rcv_pruned = "RcvPruned",
        /// Times that out-of-order data was pruned.
        ofo_pruned = "OfoPruned",
        /// ICMP errors about segments not in flight.
        out_of_window_icmps = "OutOfWindowIcmps",
        /// Connections whose TIME-WAIT is over.
        tw = "TW",
        /// SYN-ACKs refused for their timestamp.
        paws_active_rejected = "PAWSActive",
        /// Segments refused for their timestamp.
        paws_estab_rejected = "PAWSEstab",
        /// Segments that complete a handshake refused for the timestamp that they echo.
        tsecr_rejected = "TSEcrRejected",
        /// ACKs delayed.
        delayed_acks = "DelayedACKs",
        /// Data that came again after it was acknowledged.
        delayed_ack_lost = "DelayedACKLost",
        /// Accept queue overflows.
        listen_overflows = "ListenOverflows",
        /// SYNs and ACKs dropped by listeners.
        listen_drops = "ListenDrops",
        /// Times that reordering was seen without SACK.
        tcp_reno_reorder = "TCPRenoReorder",
        /// Times that reordering was seen by SACK.
        tcp_sack_reorder = "TCPSACKReorder",
        /// Reductions undone in recovery by full ACKs.
        tcp_full_undo = "TCPFullUndo",
        /// Reductions undone in recovery by partial ACKs.
        tcp_partial_undo = "TCPPartialUndo",
        /// Reductions undone by D-SACK.
        tcp_dsack_undo = "TCPDSACKUndo",
        /// Reductions undone after a timeout.
        tcp_loss_undo = "TCPLossUndo",
        /// Retransmissions found lost.
        tcp_lost_retransmit = "TCPLostRetransmit",
        /// Timeouts in recovery without SACK.
        tcp_reno_failures = "TCPRenoFailures",
        /// Timeouts in disorder with SACK.
        tcp_sack_failures = "TCPSackFailures",
        /// Timeouts after a timeout.
        tcp_loss_failures = "TCPLossFailures",
        /// Recoveries without SACK.
        tcp_reno_recovery = "TCPRenoRecovery",
        /// Recoveries with SACK.
        tcp_sack_recovery = "TCPSackRecovery",
        /// Times that a peer took SACKs back.
        tcp_sack_reneging = "TCPSACKReneging",
        /// Segments retransmitted in recovery.
        tcp_fast_retrans = "TCPFastRetrans",
        /// Segments retransmitted in slow start.
        tcp_slow_start_retrans = "TCPSlowStartRetrans",
        /// Timeouts.
        tcp_timeouts = "TCPTimeouts",
        /// Tail loss probes.
        tcp_loss_probes = "TCPLossProbes",
        /// Losses that a probe repaired.
        tcp_loss_probe_recovery = "TCPLossProbeRecovery",
        /// Timeouts in recovery without SACK.
        tcp_reno_recovery_fail = "TCPRenoRecoveryFail",
        /// Timeouts in recovery with SACK.
        tcp_sack_recovery_fail = "TCPSackRecoveryFail",
        /// Times that received segments were copied together.
        tcp_rcv_collapsed = "TCPRcvCollapsed",
        /// D-SACKs sent for old data.
        tcp_dsack_old_sent = "TCPDSACKOldSent",
        /// D-SACKs sent for out-of-order data.
        tcp_dsack_ofo_sent = "TCPDSACKOfoSent",
        /// D-SACKs received for old data.
        tcp_dsack_recv = "TCPDSACKRecv",
        /// D-SACKs received for out-of-order data.
        tcp_dsack_ofo_recv = "TCPDSACKOfoRecv",
        /// Connections reset because data came after close.
        tcp_abort_on_data = "TCPAbortOnData",
        /// Connections reset because data was unread at close.
        tcp_abort_on_close = "TCPAbortOnClose",
        /// Orphans reset because there were too many.
        tcp_abort_on_memory = "TCPAbortOnMemory",
        /// Connections given up after timeouts.
        tcp_abort_on_timeout = "TCPAbortOnTimeout",
        /// Connections that did not linger in FIN-WAIT-2.
        tcp_abort_on_linger = "TCPAbortOnLinger",
        /// SACK blocks discarded.
        tcp_sack_discard = "TCPSACKDiscard",
        /// D-SACK blocks too old to mean anything.
        tcp_dsack_ignored_old = "TCPDSACKIgnoredOld",
        /// D-SACK blocks with nothing to undo.
        tcp_dsack_ignored_no_undo = "TCPDSACKIgnoredNoUndo",
        /// D-SACK blocks for more than was ever sent again.
        tcp_dsack_ignored_dubious = "TCPDSACKIgnoredDubious",
        /// Timeouts found spurious by F-RTO.
        tcp_spurious_rtos = "TCPSpuriousRTOs",
        /// Connections that found no room in TIME-WAIT.
        tcp_time_wait_overflow = "TCPTimeWaitOverflow",
        /// ACKs without data that TCP_DEFER_ACCEPT does not count.
        tcp_defer_accept_drop = "TCPDeferAcceptDrop",
        /// SYNs answered with a cookie because the queue was full.
        tcp_req_q_full_do_cookies = "TCPReqQFullDoCookies",
        /// SYNs dropped because the queue was full.
        tcp_req_q_full_drop = "TCPReqQFullDrop",
        /// Segments queued out of order.
        tcp_ofo_queue = "TCPOFOQueue",
        /// Challenge ACKs sent.
        tcp_challenge_ack = "TCPChallengeACK",
        /// Challenge ACKs for a SYN.
        tcp_syn_challenge = "TCPSYNChallenge",
        /// Windows opened again.
        tcp_from_zero_window_adv = "TCPFromZeroWindowAdv",
        /// Windows closed.
        tcp_to_zero_window_adv = "TCPToZeroWindowAdv",
        /// Windows that would have been closed, had they not been offered before.
        tcp_want_zero_window_adv = "TCPWantZeroWindowAdv",
        /// SYNs and SYN-ACKs sent again.
        tcp_syn_retrans = "TCPSynRetrans",
        /// ACKs not sent in a handshake for their number.
        tcp_ack_skipped_syn_recv = "TCPACKSkippedSynRecv",
        /// ACKs not sent for segments out of the window.
        tcp_ack_skipped_seq = "TCPACKSkippedSeq",
        /// ACKs not sent in TIME-WAIT.
        tcp_ack_skipped_time_wait = "TCPACKSkippedTimeWait",
        /// Challenge ACKs not sent.
        tcp_ack_skipped_challenge = "TCPACKSkippedChallenge",
        /// Window probes sent.
        tcp_win_probe = "TCPWinProbe",
        /// Keepalive probes sent.
        tcp_keep_alive = "TCPKeepAlive",
        /// Longer segments, tried to find the path MTU, that did not arrive.
        tcp_mtup_fail = "TCPMTUPFail",
        /// Longer segments that arrived.
        tcp_mtup_success = "TCPMTUPSuccess",
        /// ACKs that one stood for.
        tcp_ack_compressed = "TCPAckCompressed",
        /// Segments dropped because the window was closed.
        tcp_zero_window_drop = "TCPZeroWindowDrop",
        /// Segments dropped because the buffer was full.
        tcp_rcv_q_drop = "TCPRcvQDrop",
    }
}
