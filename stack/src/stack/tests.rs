mod cutting;

use core::net::Ipv4Addr;

use super::*;

#[test]
fn what_routers_said_is_forgotten_when_its_time_is_over() {
    let mut stack = Stack::new(Config::default(), 1);
    let (now, to) = (Instant::from_secs(5), Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(stack.poll_timeout(), None);
    stack.core.exceptions.update_gateway(now, to, LinkId(2), Ipv4Addr::new(10, 0, 0, 9));
    let over = now + stack.core.config.ipv4.exceptions.redirect_expires;
    assert_eq!(stack.poll_timeout(), Some(over));
    stack.handle_timeout(over - Duration::from_millis(1));
    assert_eq!(stack.core.exceptions.len(), 1);
    stack.handle_timeout(over);
    assert!(stack.core.exceptions.is_empty());
    assert_eq!(stack.poll_timeout(), None);
}

mod large {
    use core::net::IpAddr;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::flow::{Flow, PmtuDiscovery};
    use crate::link::{Capabilities, LinkConfig};
    use crate::packet::{Gso, GsoKind};
    use crate::socket::{SocketError, SocketId};
    use crate::wire::ethernet::MacAddr;
    use crate::wire::ipv4::{Ipv4, Protocol, pseudo_header_sum};
    use crate::wire::tcp::{Tcp, TcpFlags, TcpRepr};
    use crate::wire::{SeqNumber, TcpOptionsRepr};

    const NOW: Instant = Instant::from_secs(1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn stack() -> (Stack, LinkId) {
        let mut stack = Stack::new(Config::default(), 1);
        let link = stack.add_link(LinkConfig::new("eth0", MacAddr([2, 0, 0, 0, 0, 1]))).unwrap();
        stack.add_address(NOW, link, "10.0.0.1/24".parse().unwrap()).unwrap();
        let mac = MacAddr([2, 0, 0, 0, 0, 2]);
        stack.add_neighbour(NOW, link, IpAddr::V4(PEER), mac).unwrap();
        (stack, link)
    }

    /// As TCP hands it down: header, payload, and how to cut it.
    fn segment(len: usize, size: u16) -> Packet {
        let tcp = TcpRepr {
            src_port: 1,
            dst_port: 2,
            seq: SeqNumber(5),
            ack: SeqNumber(6),
            flags: TcpFlags::ACK,
            window: 7,
            urgent: 0,
            options: TcpOptionsRepr::default(),
        };
        let mut packet = Packet::with_capacity(tcp.header_len() + len);
        tcp.emit(packet.put(tcp.header_len()));
        packet.put_slice(&vec![3; len]);
        packet.meta.checksum = ChecksumState::Partial { start: 0, offset: 16 };
        let segments = len.div_ceil(size.into()) as u16;
        let kind = GsoKind::TcpV4 { ecn: false };
        packet.meta.gso = Some(Gso { kind, size, segments, fixed_id: false });
        packet
    }

    fn flow(ident: Option<u16>, pmtu: PmtuDiscovery) -> Flow<'static> {
        Flow { ident, pmtu, ..Flow::new(PEER, Protocol::TCP) }
    }

    /// Sends and returns identification, DF and length of what leaves.
    fn sent(
        stack: &mut Stack,
        link: LinkId,
        packet: Packet,
        flow: &Flow<'_>,
    ) -> Result<Vec<(u16, bool, usize)>, SocketError> {
        stack.advance(NOW);
        let result = stack.ipv4.send(&mut stack.core, packet, flow);
        stack.flush();
        let mut headers = Vec::new();
        while let Some(frame) = stack.poll_transmit(NOW, link) {
            let ip = Ipv4::parse(frame.network()).unwrap();
            let len = ip.payload().len() as u16;
            let pseudo = pseudo_header_sum(ip.src(), ip.dst(), ip.protocol(), len);
            assert!(Tcp::parse(ip.payload()).unwrap().verify_checksum(pseudo));
            headers.push((ip.id(), ip.dont_fragment(), ip.total_len()));
        }
        result.map(|()| headers).map_err(|refused| refused.error)
    }

    #[test]
    fn identifications_go_on_by_one_for_each_segment() {
        let (mut stack, link) = stack();
        let own = flow(Some(0xffff), PmtuDiscovery::Want);
        let headers = sent(&mut stack, link, segment(2930, 1460), &own);
        let expected = vec![(0xffff, true, 1500), (0, true, 1500), (1, true, 50)];
        assert_eq!(headers, Ok(expected));

        let shared = flow(None, PmtuDiscovery::Want);
        let first = sent(&mut stack, link, segment(14_600, 1460), &shared).unwrap();
        let next = sent(&mut stack, link, segment(10, 1460), &shared).unwrap();
        assert_eq!(first.len(), 10);
        assert_eq!(next[0].0, first[0].0.wrapping_add(10));
    }

    #[test]
    fn what_counts_is_the_length_on_the_wire() {
        let (mut stack, link) = stack();
        let fits = flow(None, PmtuDiscovery::Do);
        assert_eq!(sent(&mut stack, link, segment(60_000, 1460), &fits).unwrap().len(), 42);
        let refused = Err(SocketError::MessageTooLong);
        assert_eq!(sent(&mut stack, link, segment(60_000, 1461), &fits), refused);
        // RFC 791 §3.1: no packet is longer than 65535 bytes, not even for a moment.
        let longest = 65_535 - 40;
        for pmtu in [PmtuDiscovery::Do, PmtuDiscovery::Want, PmtuDiscovery::Dont] {
            assert!(sent(&mut stack, link, segment(longest, 1460), &flow(None, pmtu)).is_ok());
            let beyond = segment(longest + 1, 1460);
            assert_eq!(sent(&mut stack, link, beyond, &flow(None, pmtu)), refused);
        }
    }

    /// What a raw socket of the stack got: length, what is left to do, and how to cut it.
    fn heard(stack: &mut Stack, socket: SocketId) -> (usize, ChecksumState, Option<Gso>) {
        let packet = stack.recv(socket).unwrap();
        (packet.len(), packet.meta.checksum, packet.meta.gso)
    }

    #[test]
    fn over_the_loopback_they_pass_whole_and_unfinished() {
        let mut stack = Stack::new(Config::default(), 1);
        assert_eq!(stack.interfaces().get(LinkId::LOOPBACK).unwrap().mtu, 65_536);
        let localhost = Ipv4Addr::LOCALHOST;
        assert_eq!(stack.path_mtu(NOW, IpAddr::V4(localhost)), Ok(65_535));
        let socket = stack.open_raw(Protocol::TCP).unwrap();
        let packet = segment(65_000, 1460);
        let gso = packet.meta.gso;
        let flow = Flow { dst: localhost, ..flow(None, PmtuDiscovery::Do) };
        assert_eq!(stack.ipv4.send(&mut stack.core, packet, &flow), Ok(()));
        stack.flush();
        stack.handle_timeout(NOW);
        let partial = ChecksumState::Partial { start: 20, offset: 16 };
        assert_eq!(heard(&mut stack, socket), (65_040, partial, gso));
    }

    #[test]
    fn a_link_may_be_given_no_more_than_it_can_have() {
        let (mut stack, link) = stack();
        assert_eq!(stack.set_mtu(LinkId::LOOPBACK, 65_536), Ok(()));
        assert_eq!(stack.set_mtu(LinkId::LOOPBACK, 65_537), Err(ConfigError::BadMtu(65_537)));
        assert_eq!(stack.set_mtu(link, 65_536), Err(ConfigError::BadMtu(65_536)));
        assert_eq!(stack.set_mtu(LinkId(9), 1500), Err(ConfigError::NoSuchLink));
    }

    /// As over a veth pair: what the other stack need not know stays behind, what it must know
    /// does not.
    #[test]
    fn between_two_stacks_they_pass_whole_and_unfinished() {
        let (mut to, link_in) = stack();
        let mut from = Stack::new(Config::default(), 2);
        let mac = MacAddr([2, 0, 0, 0, 0, 2]);
        let capabilities = Capabilities { tx_checksum: true, max_gso_size: 65_536 };
        let config = LinkConfig { capabilities, ..LinkConfig::new("eth0", mac) };
        let link = from.add_link(config).unwrap();
        from.add_address(NOW, link, "10.0.0.2/24".parse().unwrap()).unwrap();
        let (peer, mac) = (Ipv4Addr::new(10, 0, 0, 1), MacAddr([2, 0, 0, 0, 0, 1]));
        from.add_neighbour(NOW, link, IpAddr::V4(peer), mac).unwrap();
        let socket = to.open_raw(Protocol::TCP).unwrap();

        let packet = segment(60_000, 1460);
        let gso = packet.meta.gso;
        let flow = Flow { dst: peer, ..flow(None, PmtuDiscovery::Do) };
        assert_eq!(from.ipv4.send(&mut from.core, packet, &flow), Ok(()));
        from.flush();
        let frame = from.poll_transmit(NOW, link).unwrap();
        assert!(from.poll_transmit(NOW, link).is_none());
        to.handle_frame(NOW, link_in, frame);
        let partial = ChecksumState::Partial { start: 20, offset: 16 };
        assert_eq!(heard(&mut to, socket), (60_040, partial, gso));
    }
}
