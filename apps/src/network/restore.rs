//! What was changed on an interface that may outlive this process, and is put back.

use tapping_drivers::netlink::{LinkInfo, Netlink, NetlinkError};
use tapping_stack::wire::{IpCidr, Ipv4Cidr};

use crate::failure::{Failure, say};

/// What was changed on an interface that may outlive this process.
#[derive(Debug)]
pub struct Restore {
    link: LinkInfo,
    address: Option<IpCidr>,
}

impl Restore {
    /// Nothing yet.
    pub fn new(link: &LinkInfo) -> Self {
        Restore { link: link.clone(), address: None }
    }

    /// Brings the kernel's side up, with this address.
    pub fn bring_up(&mut self, address: Option<Ipv4Cidr>) -> Result<(), Failure> {
        let mut netlink = Netlink::open()
            .map_err(|error| Failure::new(format_args!("cannot open a routing socket: {error}")))?;
        let address = address.map(IpCidr::from);
        let index = self.link.index;
        let present = netlink.addresses().map_err(Failure::new)?;
        let has_address = |&(of, cidr): &(u32, IpCidr)| of == index && cidr.addr().is_ipv4();
        let mute = address.is_none() && !self.link.is_up() && !present.iter().any(has_address);
        if let Some(address) = address.filter(|address| !present.contains(&(index, *address))) {
            netlink
                .add_address(index, address)
                .map_err(|error| self.advise(error, &format!("addr add {address} dev")))?;
            self.address = Some(address);
        }
        if !self.link.is_up() {
            netlink.set_up(index, true).map_err(|error| self.advise(error, "link set up dev"))?;
        }
        if mute {
            let name = &self.link.name;
            say(format_args!(
                "tapping: {name} has no address on the kernel's side; --host-addr gives it one"
            ));
        }
        Ok(())
    }

    /// What is wrong, and for a user who may not do it the ip(8) command for those who may.
    fn advise(&self, error: NetlinkError, command: &str) -> Failure {
        let name = &self.link.name;
        if error.error.kind() != std::io::ErrorKind::PermissionDenied {
            return Failure::new(error);
        }
        Failure(format!(
            "cannot {}: it takes CAP_NET_ADMIN, so first run `sudo ip {command} {name}`",
            error.request
        ))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // An interface that was made for this run is gone by now, and its address with it.
        let Ok(mut netlink) = Netlink::open() else { return };
        if let Ok(Some(link)) = netlink.link(&self.link.name)
            && link.index == self.link.index
        {
            if let Some(address) = self.address {
                let _ = netlink.delete_address(link.index, address);
            }
            if link.mtu != self.link.mtu {
                let _ = netlink.set_mtu(link.index, self.link.mtu);
            }
            if !self.link.is_up() {
                let _ = netlink.set_up(link.index, false);
            }
        }
    }
}
