//! A sans-IO TCP/IP stack: frames in, frames out, time as an argument.
//!
//! A [`Stack`] is one network namespace. Devices give it frames with [`Stack::handle_frame`] and
//! take frames from it with [`Stack::poll_transmit`]; [`Stack::poll_timeout`] says when to call
//! [`Stack::handle_timeout`]. The stack has no clock, no thread, no file and no global: with the
//! same seed and the same calls it makes the same bytes.
//!
//! ```text
//!               socket          TCP, UDP, ping, raw sockets     Stack::connect, Stack::receive,
//!                 │                                             Stack::send_to, Stack::recv
//!       icmp  igmp  udp  tcp    what the host itself answers
//!                 │
//!                ipv4           validate, route, reassemble, forward, fragment; five hook points
//!               ╱    ╲
//!            arp      neigh     who is the next hop
//!               ╲    ╱
//!                link           Ethernet, IP, loopback; queues     Stack::handle_frame,
//!                                                                  Stack::poll_transmit
//! ```
//!
//! Two stacks, each pinging over a wire that is a loop here:
//!
//! ```
//! use tapping_stack::{Config, LinkConfig, Stack, time::Instant, wire::MacAddr};
//!
//! let mut hosts = [1, 2].map(|n| {
//!     let mut stack = Stack::new(Config::default(), n);
//!     let mac = MacAddr([2, 0, 0, 0, 0, n as u8]);
//!     let link = stack.add_link(LinkConfig::new("eth0", mac)).unwrap();
//!     let addr = format!("10.0.0.{n}/24").parse().unwrap();
//!     stack.add_address(Instant::ZERO, link, addr).unwrap();
//!     (stack, link)
//! });
//! let now = Instant::from_millis(1);
//! let socket = hosts[0].0.open_ping(None).unwrap();
//! let echo = [8, 0, 0, 0, 0, 0, 0, 1, b'h', b'i'];
//! hosts[0].0.send_to(now, socket, "10.0.0.2:0".parse().unwrap(), &echo).unwrap();
//! for turn in 0..8 {
//!     let (from, to) = (turn % 2, 1 - turn % 2);
//!     let link = hosts[from].1;
//!     while let Some(frame) = hosts[from].0.poll_transmit(now, link) {
//!         let link = hosts[to].1;
//!         hosts[to].0.handle_frame(now, link, frame);
//!     }
//! }
//! let reply = hosts[0].0.recv(socket).unwrap();
//! assert_eq!(&reply.bytes()[8..], b"hi");
//! ```
//! # Connections
//!
//! TCP is that of Linux: see [`tcp`] for how it is made. Nothing blocks: what would have to wait
//! fails with [`WouldBlock`](SocketError::WouldBlock), and [`Stack::register_waker`] says when to
//! try again. [`sim::Lab`] runs stacks over simulated wires on one virtual clock:
//!
//! ```
//! use tapping_stack::Config;
//! use tapping_stack::sim::{Conditions, Lab, Link};
//! use tapping_stack::time::Duration;
//!
//! let mut lab = Lab::new(1);
//! let client = lab.add_host("client", Config::default());
//! let server = lab.add_host("server", Config::default());
//! let (near, far) = ("10.0.0.1/24".parse().unwrap(), "10.0.0.2/24".parse().unwrap());
//! let wire = Link::new(Conditions { delay: Duration::from_millis(20), ..Conditions::default() });
//! lab.connect((client, near), (server, far), wire).unwrap();
//!
//! let now = lab.now();
//! let listener = lab.stack(server).open_tcp()?;
//! lab.stack(server).bind(listener, "10.0.0.2:80".parse().unwrap())?;
//! lab.stack(server).listen(now, listener, 16)?;
//! let socket = lab.stack(client).open_tcp()?;
//! lab.stack(client).connect(now, socket, "10.0.0.2:80".parse().unwrap())?;
//! lab.run_for(Duration::from_millis(200));
//!
//! let now = lab.now();
//! lab.stack(client).send(now, socket, b"hello")?;
//! lab.run_for(Duration::from_millis(200));
//! let now = lab.now();
//! let (connection, _peer) = lab.stack(server).accept(now, listener)?;
//! let mut buffer = [0; 16];
//! let n = lab.stack(server).receive(now, connection, &mut buffer)?;
//! assert_eq!(&buffer[..n], b"hello");
//! assert_eq!(lab.stack(client).tcp_info(socket)?.min_rtt, Some(Duration::from_millis(40)));
//! # Ok::<(), tapping_stack::SocketError>(())
//! ```
//! # Without Ethernet
//!
//! A link may carry IP packets as they are ([`LinkConfig::ip`]), for devices that have nothing else:
//! TUN devices, tunnels, or what an embedder captures and injects. What [`Stack::handle_frame`] takes
//! and [`Stack::poll_transmit`] gives then begins with the IP header, and nobody is resolved.
//!
//! ```
//! use tapping_stack::{Config, LinkConfig, Packet, Stack, time::Instant};
//!
//! let mut stack = Stack::new(Config::default(), 1);
//! let tun = stack.add_link(LinkConfig::ip("tun0")).unwrap();
//! stack.add_address(Instant::ZERO, tun, "10.0.0.1/24".parse().unwrap()).unwrap();
//! // An echo request from 10.0.0.2.
//! let request = [
//!     0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 1, 0x26, 0xdf, 10, 0, 0, 2, 10, 0, 0, 1, 8, 0, 0xf7, 0xfe,
//!     0, 0, 0, 1,
//! ];
//! let now = Instant::from_millis(1);
//! stack.handle_frame(now, tun, Packet::from_slice(&request));
//! let reply = stack.poll_transmit(now, tun).unwrap();
//! assert_eq!(reply.bytes()[12..21], [10, 0, 0, 1, 10, 0, 0, 2, 0]);
//! ```
//! # Large segments
//!
//! TCP segments travel in pieces as large as 64 KiB ([`packet::Gso`]), cut and summed only where a
//! link's device cannot do it ([`Capabilities`]). Those that arrive together, given to
//! [`Stack::handle_frames`], are put together first. Cut again they are the very bytes that came.
//!
//! # Where it differs from Linux
//!
//! Linux is the reference where the RFCs leave a choice. These differ on purpose:
//!
//! - Routes over a link that goes down are kept, and count again once it is up; Linux deletes them.
//! - When a primary address is removed, the next one of its subnet becomes primary, as with
//!   `promote_secondaries`.
//! - Redirects are believed only for a gateway in a subnet of the link (RFC 1122 §3.2.2.2); Linux
//!   takes others too while `shared_media` is on.
//! - A redirect is followed at once; Linux resolves the gateway first and follows the next one.
//! - Proxy ARP answers at once; Linux waits up to 0.8 s, so that the host itself comes first.
//! - Errors about our own packets are not rate-limited: nobody else hears them.
//! - Packets with martian addresses count as `InAddrErrors` (RFC 4293); Linux keeps a counter of
//!   its own for them.
//! - A fragment that is not the last and no multiple of 8 bytes long is dropped; Linux cuts it.
//! - Addresses in 0.0.0.0/8 are no host's (RFC 1122 §3.2.1.3); to Linux only 0.0.0.0 is not.
//! - Packets from a subnet's broadcast address are dropped (RFC 1122 §3.2.1.3), and no error is
//!   sent to class E (RFC 1122 §3.2.2); Linux drops the former only with a filter.
//! - ARP messages whose sender has no unicast link-layer address are ignored (RFC 1812 §3.3.2).
//! - Options are looked at only in packets that this host takes or forwards; Linux tells of
//!   malformed ones in any packet to it.
//! - An error about malformed options quotes them as they came. Linux has by then filled in those
//!   before the fault, and has cleared what is behind their end.
//! - Nothing travels back along a source route; Linux sends errors about malformed ones so.
//! - Commercial security options are passed over; Linux with NetLabel looks into them.
//! - An error about a UDP datagram quotes what is behind it in the IP packet, too.
//! - Timestamp requests shorter than RFC 792 has them are malformed; Linux answers from 12 bytes on.
//! - An echo reply of nothing but zeros has the checksum 0xffff; that of Linux, 0, does not verify.
//! - A large segment is cut before it waits for its device, not after; it needs the room of one
//!   frame in the queue all the same.
//! - Arriving segments with different urgent pointers, or with a checksum of zero spelled the other
//!   way, are not put together: they could not be cut again to what they were.
//! - No redirects are sent on links without Ethernet, unless asked for.
//! - TCP answers an acknowledgment of what was never sent with an ACK (RFC 9293 §3.10.7.4, RFC 5961
//!   §5.2), at most two a second for each connection; Linux discards it silently.
//! - What fits into the peer's window leaves without the FIN behind it when that does not fit; Linux
//!   keeps both back.
//! - A SYN-ACK has only options that the SYN had, in a simultaneous open, too (RFC 7323 §3.2, RFC 2018
//!   §2).
//! - A segment whose acknowledgment is out of range is discarded whole (RFC 5961 §5.2); Linux takes
//!   the data of one that it predicted.
//! - A timestamp before the last one is old, by a tick, too (RFC 7323 §5.3).
//! - What is beyond the window is cut off (RFC 9293 §3.10.7.4); Linux may keep it.
//! - Urgent data stays in the stream, and reading does not stop before it (RFC 6093 §6).
//! - SACK blocks tell of all that waits, however many holes there are; Linux forgets the fifth.
//! - An ICMP error must quote what is in flight (RFC 5927 §4.1); to Linux the next number is as good.
//! - Slow start ends by HyStart++ (RFC 9406); Linux has its predecessor.
//! - Nothing about a peer outlives its connections (Linux `tcp_metrics`).
//! - Path MTU discovery by probing goes as far as detecting black holes (`tcp_mtu_probing` = 1).
//! - A send buffer counts the bytes in it; Linux counts the memory that they take.
//! - Ephemeral ports are never shared; Linux shares those of UDP among sockets with `SO_REUSEADDR`.
//! - Ports below 1024 are for everybody.
//! - IGMP general queries to any group but all-hosts are ignored (RFC 3376 §9.1), and queries about
//!   sources are answered with the sources asked about that are wanted (RFC 3376 §5.2); Linux
//!   obeys the former, and answers the latter with its whole list while it excludes sources.
//! - A report of a group's change leaves at once, and alone; Linux waits for two ticks and sends
//!   everything that is pending on the link with it. Nothing is reported on the loopback.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod arp;
pub mod config;
mod core;
pub mod event;
pub mod filter;
mod flow;
pub mod icmp;
pub mod igmp;
pub mod interface;
pub mod ipv4;
mod link;
pub mod neigh;
pub mod packet;
mod recent;
pub mod rng;
pub mod route;
pub mod sim;
pub mod socket;
mod stack;
pub mod stats;
pub mod tcp;
pub mod time;
pub mod timer;
mod udp;
pub mod wire;

pub use crate::config::Config;
pub use crate::flow::PmtuDiscovery;
pub use crate::link::{Capabilities, LinkConfig};
pub use crate::packet::{LinkId, Packet, PacketPool};
pub use crate::socket::{SocketError, SocketId};
pub use crate::stack::{
    ConfigError, LinkSnapshot, NeighbourSnapshot, RoutePage, Shutdown, SocketCursor, SocketPage,
    SocketQuery, SocketSnapshot, SocketTimer, SocketTimerKind, Stack,
};
pub use crate::tcp::{TcpOptions, TcpState};
