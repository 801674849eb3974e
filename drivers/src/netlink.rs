//! A small client of the kernel's routing socket (rtnetlink(7)): links, addresses, routes and the
//! neighbour table, without any external program.
//!
//! A request is a `nlmsghdr`, a fixed structure for its family (`ifinfomsg`, `ifaddrmsg`, `rtmsg`,
//! `ndmsg`) and attributes, each a 4-byte header and a value padded to 4 bytes; all in host byte
//! order, addresses in network order. The kernel answers with `NLMSG_ERROR` (error 0 is success) or,
//! to a dump, with many messages and `NLMSG_DONE`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use tapping_stack::wire::cidr::IpCidr;
use tapping_stack::wire::ethernet::MacAddr;

use crate::error::{DeviceError, plain};

mod message;
#[cfg(test)]
mod tests;
mod watch;

pub use watch::LinkWatch;

use message::{Attributes, Request, find};

/// Bytes received at once. A dump's messages are at most this long: the kernel sizes them by what
/// the reader offers, up to 32 KiB.
const RECEIVE_BUFFER: usize = 32 * 1024;
/// How long an answer may take. The kernel answers at once; this only keeps a lost one from being
/// waited for without end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an interface may take to come up, and how often to look.
const OPERATIONAL_PATIENCE: Duration = Duration::from_secs(5);
const OPERATIONAL_INTERVAL: Duration = Duration::from_millis(1);
/// Dumps are asked for again this often when the table changed meanwhile (`NLM_F_DUMP_INTR`).
const DUMP_ATTEMPTS: usize = 5;

/// `struct nlmsgerr` attribute with the kernel's explanation (`linux/netlink.h`).
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The attribute that describes a veth's other end (`linux/veth.h`).
const VETH_INFO_PEER: u16 = 1;

/// A request that the kernel refused, or could not be put to it.
#[derive(Debug)]
pub struct NetlinkError {
    /// What was asked, as "create veth a".
    pub request: String,
    /// The error number the kernel gave.
    pub error: io::Error,
    /// The kernel's own words (extended acknowledgement), where it has any.
    pub explanation: Option<String>,
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.request, plain(&self.error))?;
        match &self.explanation {
            Some(explanation) => write!(f, " ({explanation})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NetlinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<NetlinkError> for io::Error {
    fn from(error: NetlinkError) -> Self {
        io::Error::new(error.error.kind(), error)
    }
}

/// A network interface of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What its frames are (`ARPHRD_*`): 1 is Ethernet, 772 the loopback.
    pub hardware_type: u16,
    /// `IFF_*` flags (netdevice(7)).
    pub flags: u32,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// RFC 2863 operational state (`IF_OPER_*`, `linux/if.h`).
    pub operational_state: u8,
    /// Its link-layer address, if that is an Ethernet one.
    pub mac: Option<MacAddr>,
    /// The driver's kind, as "veth", "tun"; none for hardware and `lo`.
    pub kind: Option<String>,
}

impl LinkInfo {
    /// Whether it is administratively up (`IFF_UP`).
    pub fn is_up(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0
    }

    /// Whether the kernel has acted on its coming up, so that frames pass (`IF_OPER_UP`,
    /// RFC 2863). An interface whose carrier never went, as that of a new TAP, does not say so.
    pub fn is_operational(&self) -> bool {
        const IF_OPER_UP: u8 = 6;
        self.operational_state == IF_OPER_UP
    }

    /// Whether it has carrier (`IFF_LOWER_UP`).
    pub fn has_carrier(&self) -> bool {
        self.flags & libc::IFF_LOWER_UP as u32 != 0
    }
}

/// An entry of the kernel's neighbour table (`ip neigh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighbourInfo {
    /// The interface's index.
    pub link: u32,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its link-layer address, once known.
    pub mac: Option<MacAddr>,
    /// What the kernel thinks of it.
    pub state: NeighbourState,
}

/// The kernel's state of a neighbour (`NUD_*`, `linux/neighbour.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum NeighbourState {
    None,
    Incomplete,
    Reachable,
    Stale,
    Delay,
    Probe,
    Failed,
    NoArp,
    Permanent,
    /// A value this list does not have.
    Other(u16),
}

impl From<u16> for NeighbourState {
    fn from(bits: u16) -> Self {
        match bits {
            0x00 => NeighbourState::None,
            0x01 => NeighbourState::Incomplete,
            0x02 => NeighbourState::Reachable,
            0x04 => NeighbourState::Stale,
            0x08 => NeighbourState::Delay,
            0x10 => NeighbourState::Probe,
            0x20 => NeighbourState::Failed,
            0x40 => NeighbourState::NoArp,
            0x80 => NeighbourState::Permanent,
            other => NeighbourState::Other(other),
        }
    }
}

/// An open routing socket, of the network namespace it was opened in.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a routing socket in the caller's network namespace.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open() -> io::Result<Self> {
        // Protocol 0 of AF_NETLINK is NETLINK_ROUTE.
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        crate::sys::netlink_extended_errors(&socket)?;
        Ok(Netlink { socket, sequence: 0, buffer: vec![0; RECEIVE_BUFFER] })
    }

    /// Creates a pair of virtual Ethernet interfaces joined to each other (veth(4)).
    pub fn create_veth(&mut self, name: &str, peer: &str) -> Result<(), NetlinkError> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut request = Request::new(libc::RTM_NEWLINK, flags as u16);
        request.link_header(0, 0, 0);
        request.attribute_string(libc::IFLA_IFNAME, name);
        request.nested(libc::IFLA_LINKINFO, |request| {
            request.attribute_string(libc::IFLA_INFO_KIND, "veth");
            request.nested(libc::IFLA_INFO_DATA, |request| {
                request.nested(VETH_INFO_PEER, |request| {
                    request.link_header(0, 0, 0);
                    request.attribute_string(libc::IFLA_IFNAME, peer);
                });
            });
        });
        self.acknowledged(request, || format!("create the veth pair {name} and {peer}"))
    }

    /// Deletes an interface; deleting one end of a veth pair deletes both.
    pub fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut request = Request::new(libc::RTM_DELLINK, 0);
        request.link_header(index, 0, 0);
        let name = self.name_of(index);
        self.acknowledged(request, || format!("delete {name}"))
    }

    /// Takes an interface up or down.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), NetlinkError> {
        let bit = libc::IFF_UP as u32;
        let (flags, what) = if up { (bit, "bring up") } else { (0, "take down") };
        self.set_flags(index, flags, bit, what)
    }

    /// Stops or lets the kernel do address resolution on an interface (`IFF_NOARP`).
    pub fn set_no_arp(&mut self, index: u32, no_arp: bool) -> Result<(), NetlinkError> {
        let bit = libc::IFF_NOARP as u32;
        let flags = if no_arp { bit } else { 0 };
        self.set_flags(index, flags, bit, "set the flags of")
    }

    /// Sets an interface's MTU in bytes.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        request.link_header(index, 0, 0);
        request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
        let name = self.name_of(index);
        self.acknowledged(request, || format!("set the MTU of {name} to {mtu}"))
    }

    /// Sets an interface's link-layer address.
    pub fn set_mac(&mut self, index: u32, mac: MacAddr) -> Result<(), NetlinkError> {
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        request.link_header(index, 0, 0);
        request.attribute(libc::IFLA_ADDRESS, &mac.0);
        let name = self.name_of(index);
        self.acknowledged(request, || format!("set the address of {name} to {mac}"))
    }

    /// Gives an interface an address. An IPv4 address gets its subnet's broadcast address too.
    pub fn add_address(&mut self, index: u32, cidr: IpCidr) -> Result<(), NetlinkError> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut request = Request::new(libc::RTM_NEWADDR, flags as u16);
        request.address_header(cidr, index);
        request.attribute_ip(libc::IFA_LOCAL, cidr.addr());
        request.attribute_ip(libc::IFA_ADDRESS, cidr.addr());
        if let Some(broadcast) = cidr.as_v4().and_then(|cidr| cidr.broadcast()) {
            request.attribute(libc::IFA_BROADCAST, &broadcast.octets());
        }
        let name = self.name_of(index);
        self.acknowledged(request, || format!("add {cidr} to {name}"))
    }

    /// Brings an interface up, with an address if one is given. That it has the address already is
    /// no error.
    pub fn configure(&mut self, index: u32, cidr: Option<IpCidr>) -> Result<(), NetlinkError> {
        match cidr.map(|cidr| self.add_address(index, cidr)) {
            Some(Err(failure)) if failure.error.raw_os_error() != Some(libc::EEXIST) => {
                return Err(failure);
            }
            _ => {}
        }
        self.set_up(index, true)
    }

    /// Takes an address off an interface.
    pub fn delete_address(&mut self, index: u32, cidr: IpCidr) -> Result<(), NetlinkError> {
        let mut request = Request::new(libc::RTM_DELADDR, 0);
        request.address_header(cidr, index);
        request.attribute_ip(libc::IFA_LOCAL, cidr.addr());
        let name = self.name_of(index);
        self.acknowledged(request, || format!("delete {cidr} from {name}"))
    }

    /// Adds a route to `destination` by a gateway, or straight onto the link without one.
    pub fn add_route(
        &mut self,
        destination: IpCidr,
        gateway: Option<IpAddr>,
        index: u32,
    ) -> Result<(), NetlinkError> {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut request = Request::new(libc::RTM_NEWROUTE, flags as u16);
        request.route_header(destination, gateway.is_some());
        request.attribute_ip(libc::RTA_DST, destination.addr());
        if let Some(gateway) = gateway {
            request.attribute_ip(libc::RTA_GATEWAY, gateway);
        }
        request.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        let name = self.name_of(index);
        self.acknowledged(request, || format!("add a route to {destination} by {name}"))
    }

    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<LinkInfo>, NetlinkError> {
        let mut links = Vec::new();
        let request = || {
            let mut request = Request::new(libc::RTM_GETLINK, libc::NLM_F_DUMP as u16);
            request.link_header(0, 0, 0);
            request
        };
        self.dump(request, "list interfaces", libc::RTM_NEWLINK, |body| match body {
            None => links.clear(),
            Some(body) => links.extend(parse_link(body)),
        })?;
        Ok(links)
    }

    /// The interface called `name`, if there is one.
    pub fn link(&mut self, name: &str) -> Result<Option<LinkInfo>, NetlinkError> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// Waits until frames pass on the interface called `name`. The kernel acts on carrier later,
    /// from a work queue (`linkwatch`), and drops what is sent before that.
    pub(crate) fn wait_operational(&mut self, name: &str) -> Result<(), DeviceError> {
        let deadline = Instant::now() + OPERATIONAL_PATIENCE;
        loop {
            let link = self
                .link(name)?
                .ok_or_else(|| DeviceError::NoSuchInterface { name: name.to_owned() })?;
            if link.is_operational() {
                // The work holds the lock that changes take, so after this one it is done.
                return Ok(self.set_up(link.index, true)?);
            }
            if Instant::now() > deadline {
                let error = io::ErrorKind::TimedOut;
                return Err(DeviceError::system(format!("see {name} come up"), error));
            }
            std::thread::sleep(OPERATIONAL_INTERVAL);
        }
    }

    /// All addresses: the interface's index and the address with its prefix length.
    pub fn addresses(&mut self) -> Result<Vec<(u32, IpCidr)>, NetlinkError> {
        let mut addresses = Vec::new();
        let request = || {
            let mut request = Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP as u16);
            request.body(&[0; 8]);
            request
        };
        self.dump(request, "list addresses", libc::RTM_NEWADDR, |body| match body {
            None => addresses.clear(),
            Some(body) => addresses.extend(parse_address(body)),
        })?;
        Ok(addresses)
    }

    /// The IPv4 and IPv6 neighbour tables.
    pub fn neighbours(&mut self) -> Result<Vec<NeighbourInfo>, NetlinkError> {
        let mut neighbours = Vec::new();
        let request = || {
            let mut request = Request::new(libc::RTM_GETNEIGH, libc::NLM_F_DUMP as u16);
            request.body(&[0; 12]);
            request
        };
        self.dump(request, "list neighbours", libc::RTM_NEWNEIGH, |body| match body {
            None => neighbours.clear(),
            Some(body) => neighbours.extend(parse_neighbour(body)),
        })?;
        Ok(neighbours)
    }

    fn set_flags(
        &mut self,
        index: u32,
        flags: u32,
        change: u32,
        what: &str,
    ) -> Result<(), NetlinkError> {
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        request.link_header(index, flags, change);
        let name = self.name_of(index);
        self.acknowledged(request, || format!("{what} {name}"))
    }

    /// The interface's name, for messages.
    fn name_of(&self, index: u32) -> String {
        rustix::net::netdevice::index_to_name(&self.socket, index)
            .unwrap_or_else(|_| format!("interface {index}"))
    }

    /// Sends a request and waits for the kernel's acknowledgement of it.
    fn acknowledged(
        &mut self,
        mut request: Request,
        what: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        request.add_flags(libc::NLM_F_ACK as u16);
        self.exchange(request, &what, |_, _| {}).map(|_| ())
    }

    /// Collects a dump. `each` gets every body of the wanted kind, and `None` when the table
    /// changed meanwhile and collecting begins anew.
    fn dump(
        &mut self,
        request: impl Fn() -> Request,
        what: &str,
        wanted: u16,
        mut each: impl FnMut(Option<&[u8]>),
    ) -> Result<(), NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            each(None);
            let whole = self.exchange(request(), &|| what.to_owned(), |kind, body| {
                if kind == wanted {
                    each(Some(body));
                }
            })?;
            if whole {
                return Ok(());
            }
        }
        Err(failure(what, io::ErrorKind::Interrupted.into()))
    }

    /// Sends a request and hands every message of the answer to `each`. Returns whether the
    /// answer is consistent.
    fn exchange(
        &mut self,
        request: Request,
        what: &dyn Fn() -> String,
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<bool, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.finish(self.sequence);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &bytes, SendFlags::empty(), &kernel)
            .map_err(|errno| failure(&what(), errno.into()))?;
        let mut consistent = true;
        loop {
            let received = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())
            });
            let (len, _) = received.map_err(|errno| failure(&what(), errno.into()))?;
            for message in message::iter(&self.buffer[..len]) {
                if message.sequence != self.sequence {
                    continue;
                }
                consistent &= message.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(consistent),
                    libc::NLMSG_ERROR => {
                        return answer(message.body, message.flags, what).map(|()| consistent);
                    }
                    _ => each(message.kind, message.body),
                }
            }
        }
    }
}

fn failure(request: &str, error: io::Error) -> NetlinkError {
    NetlinkError { request: request.to_owned(), error, explanation: None }
}

/// What an `NLMSG_ERROR` says: a negative error number, the request's header and, with
/// `NLM_F_ACK_TLVS`, attributes (the request itself is left out, `NETLINK_CAP_ACK`).
fn answer(body: &[u8], flags: u16, what: &dyn Fn() -> String) -> Result<(), NetlinkError> {
    let number = body.first_chunk().map_or(-libc::EIO, |bytes| i32::from_ne_bytes(*bytes));
    if number == 0 {
        return Ok(());
    }
    let explanation = (flags & libc::NLM_F_ACK_TLVS as u16 != 0)
        .then(|| find(body.get(4 + message::HEADER_LEN..)?, NLMSGERR_ATTR_MSG))
        .flatten()
        .map(message::string);
    Err(NetlinkError { request: what(), error: io::Error::from_raw_os_error(-number), explanation })
}

/// `struct ifinfomsg`: family, type, index, flags, change.
fn parse_link(body: &[u8]) -> Option<LinkInfo> {
    let (header, attributes) = body.split_at_checked(16)?;
    let word = |at: usize| Some(u32::from_ne_bytes(*header.get(at..)?.first_chunk()?));
    let mut link = LinkInfo {
        index: word(4)?,
        name: String::new(),
        hardware_type: u16::from_ne_bytes([header[2], header[3]]),
        flags: word(8)?,
        mtu: 0,
        operational_state: 0,
        mac: None,
        kind: None,
    };
    for (kind, value) in Attributes::new(attributes) {
        match kind {
            libc::IFLA_IFNAME => link.name = message::string(value),
            libc::IFLA_MTU => link.mtu = u32::from_ne_bytes(*value.first_chunk()?),
            libc::IFLA_OPERSTATE => link.operational_state = *value.first()?,
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddr),
            libc::IFLA_LINKINFO => {
                link.kind = find(value, libc::IFLA_INFO_KIND).map(message::string);
            }
            _ => {}
        }
    }
    Some(link)
}

/// `struct ifaddrmsg`: family, prefix length, flags, scope (1 byte each), index. On a
/// point-to-point link `IFA_ADDRESS` is the other end's, so `IFA_LOCAL` counts where present.
fn parse_address(body: &[u8]) -> Option<(u32, IpCidr)> {
    let (header, attributes) = body.split_at_checked(8)?;
    let index = u32::from_ne_bytes(*header[4..].first_chunk()?);
    let value =
        find(attributes, libc::IFA_LOCAL).or_else(|| find(attributes, libc::IFA_ADDRESS))?;
    Some((index, IpCidr::new(ip(value)?, header[1])?))
}

/// `struct ndmsg`: family, 3 bytes of padding, index, state (2 bytes), flags, type.
fn parse_neighbour(body: &[u8]) -> Option<NeighbourInfo> {
    let (header, attributes) = body.split_at_checked(12)?;
    Some(NeighbourInfo {
        link: u32::from_ne_bytes(*header[4..].first_chunk()?),
        address: ip(find(attributes, libc::NDA_DST)?)?,
        mac: find(attributes, libc::NDA_LLADDR)
            .and_then(|value| value.try_into().ok())
            .map(MacAddr),
        state: u16::from_ne_bytes(*header[8..].first_chunk()?).into(),
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(Ipv4Addr::from(*value.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*value.first_chunk::<16>()?).into()),
        _ => None,
    }
}
