//! Wire formats: bytes only, nothing above them imported.
//!
//! Each format has a *view* over received bytes and a *representation* to send. Parsing a view
//! checks everything its accessors rely on, so the accessors cannot fail; what a format's rules
//! leave to policy (checksums, source addresses, flag combinations) is readable but not judged.
//! A parser looks at no more bytes than it is given, allocates nothing and loops at most once per
//! byte. `emit` writes a header into a buffer that the caller has sized; as with slice indexing, a
//! buffer too short for it is a bug of the caller and panics.

pub mod arp;
pub mod checksum;
pub mod cidr;
pub mod error;
pub mod ethernet;
pub mod icmpv4;
mod icmpv4_message;
pub mod igmp;
pub mod ipv4;
pub mod ipv4_options;
pub mod seq;
pub mod tcp;
pub mod tcp_options;
pub mod udp;
pub mod vlan;

pub use arp::{Arp, ArpOperation};
pub use checksum::Checksum;
pub use cidr::{CidrError, IpCidr, Ipv4Cidr};
pub use error::{Layer, WireError, WireErrorKind};
pub use ethernet::{EtherType, Ethernet, EthernetRepr, MacAddr, MacAddrError};
pub use icmpv4::{Icmpv4, Message, RedirectCode, TimeExceeded, Unreachable};
pub use igmp::{
    GroupRecord, GroupRecordRepr, GroupRecords, Igmp, IgmpMessage, IgmpQuery, IgmpQueryRepr,
    IgmpVersion, RecordType,
};
pub use ipv4::{Ipv4, Ipv4Repr, Protocol};
pub use ipv4_options::{Ipv4Option, Ipv4Options, OptionError};
pub use seq::SeqNumber;
pub use tcp::{Tcp, TcpFlags, TcpRepr};
pub use tcp_options::{SackBlock, TcpOption, TcpOptions, TcpOptionsRepr};
pub use udp::{Udp, UdpRepr};
pub use vlan::{Vlan, VlanRepr};
