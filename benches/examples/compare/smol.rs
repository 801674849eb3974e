//! smoltcp as server, on the TAP device that comes with it, in the loop of its own examples.

use std::os::fd::AsRawFd;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Medium, TunTapInterface, wait};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr};

use crate::{CHARGEN, DISCARD, ECHO, Failure};

/// Bytes of each of a socket's two buffers: the most that is used without delay on such a link.
const BUFFER: usize = 1 << 20;
/// Connections at once to each port; smoltcp has a listening socket for each.
const FLOWS: usize = 8;

pub fn serve(tap: &str, addr: &str) -> Result<(), Failure> {
    let mut device = TunTapInterface::new(tap, Medium::Ethernet)?;
    let fd = device.as_raw_fd();
    let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
    let mut interface = Interface::new(config, &mut device, Instant::now());
    let cidr: IpCidr = addr.parse().map_err(|()| "not an address with its prefix length")?;
    interface.update_ip_addrs(|addrs| addrs.push(cidr).expect("room for an address"));
    let mut sockets = SocketSet::new(Vec::new());
    let mut streams: Vec<(SocketHandle, u16)> = Vec::new();
    for port in [DISCARD, CHARGEN] {
        for _ in 0..FLOWS {
            let ring = || tcp::SocketBuffer::new(vec![7; BUFFER]);
            streams.push((sockets.add(tcp::Socket::new(ring(), ring())), port));
        }
    }
    let ring = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 1024], vec![0; BUFFER]);
    let mut echo = udp::Socket::new(ring(), ring());
    echo.bind(ECHO)?;
    let echo = sockets.add(echo);
    println!("ready");
    loop {
        interface.poll(Instant::now(), &mut device, &mut sockets);
        for &(handle, port) in &streams {
            stream(sockets.get_mut(handle), port)?;
        }
        let socket = sockets.get_mut::<udp::Socket<'_>>(echo);
        while socket.can_recv() && socket.can_send() {
            let (data, from) = socket.recv()?;
            let data = data.to_vec();
            socket.send_slice(&data, from)?;
        }
        let now = Instant::now();
        wait(fd, interface.poll_delay(now, &sockets))?;
    }
}

fn stream(socket: &mut tcp::Socket<'_>, port: u16) -> Result<(), Failure> {
    if !socket.is_open() {
        socket.listen(port)?;
    }
    if port == DISCARD {
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), ()))?;
        }
    } else {
        while socket.can_send() {
            socket.send(|room| (room.len(), ()))?;
        }
    }
    if socket.may_send() && !socket.may_recv() && socket.state() == tcp::State::CloseWait {
        socket.close();
    }
    Ok(())
}
