//! What a link cuts out of the send buffer is what it would have cut out of a large segment.

use core::net::{IpAddr, Ipv4Addr};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::event::Event;
use crate::link::{Capabilities, LinkConfig};
use crate::socket::SocketError;
use crate::wire::ethernet::MacAddr;

/// Sees everything, so that large segments stay whole until they meet their link.
struct Watcher;

impl Observer for Watcher {
    fn event(&mut self, _: Instant, _: &Event<'_>) {}
}

/// What is done between two rounds: bytes written, bytes read, milliseconds that pass.
type Step = (usize, usize, u64);

fn pair(mtu: usize, tx_checksum: bool, ethernet: bool) -> [(Stack, LinkId); 2] {
    [1u8, 2].map(|n| {
        let (mac, now) = (MacAddr([2, 0, 0, 0, 0, n]), Instant::from_secs(1));
        let mut stack = Stack::new(Config::default(), u64::from(n));
        let mut link = match ethernet {
            true => LinkConfig::new("eth0", mac),
            false => LinkConfig::ip("tun0"),
        };
        (link.mtu, link.capabilities) = (mtu, Capabilities { tx_checksum, max_gso_size: 0 });
        let link = stack.add_link(link).unwrap();
        let cidr = std::format!("10.0.0.{n}/24").parse().unwrap();
        stack.add_address(now, link, cidr).unwrap();
        if ethernet {
            let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3 - n));
            stack.add_neighbour(now, link, peer, MacAddr([2, 0, 0, 0, 0, 3 - n])).unwrap();
        }
        (stack, link)
    })
}

/// Every frame that either stack sends, with its checksum state, and what they counted.
fn frames(steps: &[Step], mut ends: [(Stack, LinkId); 2]) -> (Vec<Vec<u8>>, [Snapshot; 2]) {
    let mut now = Instant::from_secs(1);
    let peer = Ipv4Addr::new(10, 0, 0, 2);
    let listener = ends[1].0.open_tcp().unwrap();
    ends[1].0.bind(listener, (peer, 7).into()).unwrap();
    ends[1].0.listen(now, listener, 1).unwrap();
    let client = ends[0].0.open_tcp().unwrap();
    ends[0].0.connect(now, client, (peer, 7).into()).unwrap();
    let (mut sent, mut server) = (Vec::new(), None);
    let mut data = (0..).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    let mut buffer = std::vec![0; 100_000];
    for (write, read, millis) in steps {
        now += Duration::from_millis(*millis);
        for (stack, _) in &mut ends {
            stack.handle_timeout(now);
        }
        buffer[..*write].iter_mut().zip(&mut data).for_each(|(to, byte)| *to = byte);
        let result = ends[0].0.send(now, client, &buffer[..*write]);
        assert!(matches!(result, Ok(_) | Err(SocketError::WouldBlock)), "{result:?}");
        let mut idle = 0;
        for side in [0, 1].into_iter().cycle() {
            let (from, link) = &mut ends[side];
            let batch: Vec<_> = core::iter::from_fn(|| from.poll_transmit(now, *link)).collect();
            idle = if batch.is_empty() { idle + 1 } else { 0 };
            if idle == 2 {
                break;
            }
            sent.extend(batch.iter().map(|frame| {
                let mut bytes = std::format!("{:?}", frame.meta.checksum).into_bytes();
                bytes.extend_from_slice(frame.bytes());
                bytes
            }));
            let (to, link) = &mut ends[1 - side];
            to.handle_frames(now, *link, batch);
        }
        server = server.or_else(|| Some(ends[1].0.accept(now, listener).ok()?.0));
        if let Some(server) = server {
            let _ = ends[1].0.receive(now, server, &mut buffer[..*read]);
        }
    }
    (sent, ends.map(|(stack, _)| stack.snapshot()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn who_watches_changes_nothing(
        steps in proptest::collection::vec((0..100_000_usize, 0..100_000_usize, 0..50_u64), 1..40),
        mtu in prop_oneof![Just(1500_usize), 576..9000_usize],
        tx_checksum in any::<bool>(),
        ethernet in any::<bool>(),
    ) {
        let direct = frames(&steps, pair(mtu, tx_checksum, ethernet));
        let mut watched = pair(mtu, tx_checksum, ethernet);
        for (stack, _) in &mut watched {
            stack.set_observer(Some(Box::new(Watcher)));
        }
        let watched = frames(&steps, watched);
        prop_assert_eq!(direct.0.len(), watched.0.len());
        prop_assert!(direct.0 == watched.0);
        prop_assert_eq!(std::format!("{:?}", direct.1), std::format!("{:?}", watched.1));
    }
}
