//! How the sender of a rejected packet is told (Linux `nf_reject_ipv4`).

use super::Ipv4Layer;
use crate::core::Core;
use crate::filter::hook::RejectReason;
use crate::flow::{Flow, PmtuDiscovery};
use crate::packet::{ChecksumState, Packet};
use crate::route::RouteKind;
use crate::wire::icmpv4::Message;
use crate::wire::ipv4::{Ipv4, Protocol, pseudo_header_sum};
use crate::wire::seq::SeqNumber;
use crate::wire::tcp::{self, Tcp, TcpFlags, TcpRepr};
use crate::wire::tcp_options::TcpOptionsRepr;

impl Ipv4Layer {
    /// Tells the sender of `packet`, as far as it may be told.
    pub(super) fn reject(&mut self, core: &mut Core, packet: &Packet, reason: RejectReason) {
        match reason {
            RejectReason::Icmp(code) => {
                self.send_error(core, packet, Message::DestinationUnreachable(code));
            }
            RejectReason::TcpReset => self.send_reset(core, packet),
        }
    }

    /// RFC 9293 §3.5.2, group 1: a reset that the sender of `packet` will accept.
    fn send_reset(&mut self, core: &mut Core, packet: &Packet) {
        let Ok(header) = Ipv4::parse(packet.network()) else { return };
        if header.protocol() != Protocol::TCP || header.fragment_offset() != 0 {
            return;
        }
        let pseudo = pseudo_header_sum(
            header.src(),
            header.dst(),
            Protocol::TCP,
            header.payload().len() as u16,
        );
        let Ok(segment) = Tcp::parse(header.payload()) else { return };
        let to_many = core.routes.lookup_kind(header.dst()) == Some(RouteKind::Broadcast);
        if segment.flags().contains(TcpFlags::RST) || to_many || header.dst().is_multicast() {
            return;
        }
        if packet.meta.checksum == ChecksumState::None && !segment.verify_checksum(pseudo) {
            return;
        }
        let (seq, ack, flags) = match segment.flags().contains(TcpFlags::ACK) {
            true => (segment.ack(), SeqNumber(0), TcpFlags::RST),
            false => {
                let ack = segment.seq() + segment.segment_len();
                (SeqNumber(0), ack, TcpFlags::RST | TcpFlags::ACK)
            }
        };
        let reset = TcpRepr {
            src_port: segment.dst_port(),
            dst_port: segment.src_port(),
            seq,
            ack,
            flags,
            window: 0,
            urgent: 0,
            options: TcpOptionsRepr::default(),
        };
        let (src, dst) = (header.dst(), header.src());
        let mut packet = core.pool.take(reset.header_len());
        reset.emit(packet.put(reset.header_len()));
        let pseudo = pseudo_header_sum(src, dst, Protocol::TCP, reset.header_len() as u16);
        tcp::fill_checksum(packet.bytes_mut(), pseudo);
        let pmtu = PmtuDiscovery::Do;
        let flow = Flow { src: Some(src), pmtu, ..Flow::new(dst, Protocol::TCP) };
        // There is nobody to tell when it cannot be sent.
        let _ = self.send(core, packet, &flow);
    }
}
