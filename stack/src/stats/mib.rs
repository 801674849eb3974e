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
