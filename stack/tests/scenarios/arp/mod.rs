//! ARP and the neighbour cache (RFC 826, RFC 1122 §2.3.2, Linux `net/core/neighbour.c` and
//! `net/ipv4/arp.c`).

mod learning;
mod proxy;
mod resolution;
mod states;
mod table;

use core::net::{IpAddr, Ipv4Addr};

use tapping_stack::neigh::NudState::{self, *};
use tapping_stack::route::Route;
use tapping_stack::socket::{ErrorOrigin, SocketId};
use tapping_stack::stats::DropReason;
use tapping_stack::time::{Duration, Instant};
use tapping_stack::wire::{Arp, ArpOperation, EtherType, MacAddr, Message, Unreachable};
use tapping_stack::{Config, LinkId, SocketError};

use crate::lab::*;

const SECOND: Duration = Duration::from_secs(1);
const US: &str = "10.0.0.1";
const PEER: &str = "10.0.0.2";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A host, its link, and a tester that plays its neighbours.
struct Bench {
    lab: Lab,
    host: Host,
    link: LinkId,
    tester: Tester,
    socket: SocketId,
}

impl Bench {
    fn new() -> Self {
        Bench::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let (mut lab, host, link, tester) = Lab::with_tester_and("10.0.0.1/16", config);
        let socket = lab.stack(host).open_ping(Some(7)).unwrap();
        lab.stack(host).socket_options(socket).unwrap().receive_errors = true;
        Bench { lab, host, link, tester, socket }
    }

    fn ping(&mut self, to: &str) {
        self.lab.send(self.host, self.socket, ip(to), &echo(0, 1, b"")).unwrap();
    }

    fn state(&mut self, addr: &str) -> Option<NudState> {
        let stack = self.lab.stack(self.host);
        stack.neighbour(self.link, IpAddr::V4(ip(addr))).map(|neighbour| neighbour.state)
    }

    fn known_mac(&mut self, addr: &str) -> Option<MacAddr> {
        let stack = self.lab.stack(self.host);
        stack.neighbour(self.link, IpAddr::V4(ip(addr))).and_then(|neighbour| neighbour.mac)
    }

    fn our_mac(&self) -> MacAddr {
        self.lab.mac(self.host, self.link)
    }

    /// The tester answers, as `from`, to us alone.
    fn answer(&mut self, from: &str, mac: MacAddr) {
        let ours = self.our_mac();
        let reply = arp_reply(mac, ip(from), ours, ip(US));
        self.lab.inject(self.tester, arp_frame(ours, &reply));
    }

    /// A ping to the tester as `addr`, and its answer to the question for it.
    fn resolve(&mut self, addr: &str) {
        self.ping(addr);
        self.answer(addr, self.tester.mac);
        assert_eq!(self.state(addr), Some(Reachable));
        self.lab.heard(self.tester);
        self.lab.events(self.host);
    }

    /// Lets the entry become stale by disuse.
    fn let_go_stale(&mut self, addr: &str) {
        self.lab.run_for(secs(46));
        assert_eq!(self.state(addr), Some(Stale));
        self.lab.heard(self.tester);
        self.lab.events(self.host);
    }

    fn states(&mut self, addr: &str) -> Vec<(Instant, NudState)> {
        neighbour_states(&self.lab.events(self.host), ip(addr))
    }
}

fn other_mac(n: u8) -> MacAddr {
    MacAddr([0x02, 0xaa, 0, 0, 0, n])
}
