//! Word of what happens to one interface.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

use super::{LinkInfo, Netlink, message, parse_link};

/// Bytes of one notification; the kernel's are some 2 KiB.
const RECEIVE_BUFFER: usize = 8 * 1024;

/// A routing socket that hears of changes of one interface (`RTNLGRP_LINK`). It never blocks.
#[derive(Debug)]
pub struct LinkWatch {
    socket: OwnedFd,
    index: u32,
}

impl LinkWatch {
    /// Watches the interface with this index in the caller's network namespace, from now on.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open(index: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::RAW;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, None)?;
        let group = libc::RTMGRP_LINK as u32;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, group))?;
        Ok(LinkWatch { socket, index })
    }

    /// The interface as it is now, if there was any word of it since it was last asked. Of one that
    /// is gone there is none.
    pub fn poll(&mut self) -> Option<LinkInfo> {
        let mut buffer = [0; RECEIVE_BUFFER];
        let mut latest = None;
        loop {
            let received = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())
            });
            match received {
                Ok((len, _)) => {
                    let links = message::iter(&buffer[..len.min(RECEIVE_BUFFER)])
                        .filter(|message| message.kind == libc::RTM_NEWLINK)
                        .filter_map(|message| parse_link(message.body));
                    latest = links.filter(|link| link.index == self.index).last().or(latest);
                }
                // More has happened than was kept: look.
                Err(Errno::NOBUFS) => latest = self.look().or(latest),
                Err(_) => return latest,
            }
        }
    }

    fn look(&self) -> Option<LinkInfo> {
        let links = Netlink::open().ok()?.links().ok()?;
        links.into_iter().find(|link| link.index == self.index)
    }
}

impl AsRawFd for LinkWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
