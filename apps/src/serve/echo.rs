//! Echo (RFC 862).

use std::io;
use std::net::SocketAddr;

use tapping_drivers::aio::{TcpStream, UdpSocket};
use tapping_drivers::net::Net;
use tapping_stack::socket::{Interest, PacketInfo};
use tapping_stack::time::Instant;
use tapping_stack::{SocketError, SocketId, Stack};

/// Bytes that are moved at a time.
const PIECE: usize = 16 << 10;
/// Bytes of one connection that are moved before others have their turn.
const BURST: usize = 256 << 10;
/// Datagrams that are answered before others have their turn.
const DATAGRAMS: usize = 64;
/// Ports of services that answer whatever they get: two of them would answer each other for ever.
/// Echo, discard, daytime, qotd, chargen and time, as inetd has it.
const RESTLESS: [u16; 6] = [7, 9, 13, 17, 19, 37];

/// Sends back what comes, until its end.
pub async fn tcp(stream: TcpStream) -> io::Result<()> {
    let (net, shard, id) = (stream.net().clone(), stream.shard(), stream.id());
    let mut waits_for = Interest::Read;
    loop {
        match waits_for {
            Interest::Read | Interest::Priority => stream.readable().await?,
            Interest::Write => stream.writable().await?,
        }
        match net.with_shard(shard, |stack, now| relay(stack, now, id)).map_err(error)? {
            Relayed::End => return stream.shutdown(std::net::Shutdown::Write),
            Relayed::WaitsFor(interest) => waits_for = interest,
        }
        futures_lite::future::yield_now().await;
    }
}

/// Where a connection stands.
enum Relayed {
    /// The peer sends no more, and has all of it back.
    End,
    /// Something is to come, or there is to be room.
    WaitsFor(Interest),
}

/// Moves what was received into the send buffer, as much as that takes: what it does not take stays
/// where it is, and so the peer's window closes.
fn relay(stack: &mut Stack, now: Instant, id: SocketId) -> Result<Relayed, SocketError> {
    let mut piece = [0; PIECE];
    let mut moved = 0;
    while moved < BURST {
        let len = match stack.peek(id, &mut piece) {
            Ok(0) => return Ok(Relayed::End),
            Ok(len) => len,
            Err(SocketError::WouldBlock) => break,
            Err(error) => return Err(error),
        };
        let sent = match stack.send(now, id, &piece[..len]) {
            Ok(sent) => sent,
            Err(SocketError::WouldBlock) => return Ok(Relayed::WaitsFor(Interest::Write)),
            Err(error) => return Err(error),
        };
        let mut left = sent;
        while left > 0 {
            left -= stack.receive_with(now, id, |bytes| bytes.len().min(left))?;
        }
        moved += sent;
    }
    Ok(Relayed::WaitsFor(Interest::Read))
}

/// Sends back every datagram, one shard's.
pub async fn udp(net: Net, socket: &UdpSocket, shard: usize) -> io::Result<()> {
    let Some(id) = socket.ids().nth(shard) else { return Ok(()) };
    loop {
        socket.readable().await?;
        net.with_shard(shard, |stack, now| answer(stack, now, id)).map_err(error)?;
        futures_lite::future::yield_now().await;
    }
}

fn answer(stack: &mut Stack, now: Instant, id: SocketId) -> Result<(), SocketError> {
    for _ in 0..DATAGRAMS {
        let packet = match stack.try_recv(id) {
            Ok(packet) => packet,
            Err(SocketError::WouldBlock) => break,
            // What an ICMP message told of an answer; the others go on.
            Err(error) if error.errno() != SocketError::BadSocket.errno() => continue,
            Err(error) => return Err(error),
        };
        if let Some(to) = PacketInfo::of(&packet).and_then(|info| answerable(&info)) {
            // An answer that there is no room for is lost, as any datagram may be.
            let _ = stack.send_to(now, id, to, packet.bytes());
        }
        stack.recycle(packet);
    }
    Ok(())
}

/// Where to send an answer; nowhere, if it would go round or to many.
fn answerable(info: &PacketInfo) -> Option<SocketAddr> {
    let restless = RESTLESS.contains(&info.source.port()) || info.source.port() == 0;
    let own = info.source.port() == info.destination.port();
    let ip = info.source.ip();
    (!restless && !own && !ip.is_multicast() && !ip.is_unspecified()).then_some(info.source)
}

pub(super) fn error(error: SocketError) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_do_not_answer_each_other() {
        let info = |from: &str| PacketInfo {
            source: from.parse().unwrap(),
            destination: "10.0.0.2:1007".parse().unwrap(),
            link: None,
            ttl: 64,
            tos: 0,
        };
        for from in ["10.0.0.1:40000", "10.0.0.1:53"] {
            assert_eq!(answerable(&info(from)), Some(from.parse().unwrap()), "{from}");
        }
        for from in ["10.0.0.1:7", "10.0.0.1:19", "10.0.0.1:0", "10.0.0.1:1007", "224.0.0.1:4000"] {
            assert_eq!(answerable(&info(from)), None, "{from}");
        }
    }
}
