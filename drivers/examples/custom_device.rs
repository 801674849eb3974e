//! A device of one's own: here a wire that loses every tenth frame, made of two queues and two
//! eventfds. TCP does not mind.
//!
//! ```sh
//! cargo run -p tapping-drivers --example custom_device
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use tapping_drivers::blocking::{TcpListener, TcpStream};
use tapping_drivers::device::{Device, TransmitError};
use tapping_drivers::net::Net;
use tapping_stack::packet::{Packet, PacketPool};
use tapping_stack::wire::ethernet::MacAddr;

/// One end of the wire.
struct LossyWire {
    mac: MacAddr,
    from_peer: Receiver<Packet>,
    to_peer: Sender<Packet>,
    own_bell: Arc<OwnedFd>,
    peer_bell: Arc<OwnedFd>,
    sent: usize,
}

impl Device for LossyWire {
    fn name(&self) -> &str {
        "lossy0"
    }

    fn mac(&self) -> MacAddr {
        self.mac
    }

    fn mtu(&self) -> usize {
        1500
    }

    fn receive(&mut self, _: &mut PacketPool) -> io::Result<Option<Packet>> {
        if let Ok(frame) = self.from_peer.try_recv() {
            return Ok(Some(frame));
        }
        // Silence the bell, and look again for what came before that.
        let _ = rustix::io::read(&*self.own_bell, &mut [0; 8]);
        Ok(self.from_peer.try_recv().ok())
    }

    fn transmit(&mut self, frame: Packet) -> Result<Option<Packet>, TransmitError> {
        self.sent += 1;
        if self.sent.is_multiple_of(10) {
            return Ok(Some(frame));
        }
        if self.to_peer.send(frame).is_ok() {
            let _ = rustix::io::write(&*self.peer_bell, &1u64.to_ne_bytes());
        }
        Ok(None)
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.own_bell.as_raw_fd())
    }

    fn is_open(&self) -> bool {
        true
    }
}

fn wire() -> io::Result<[LossyWire; 2]> {
    let bell = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map(Arc::new);
    let (bells, (to_b, from_a), (to_a, from_b)) = ([bell()?, bell()?], channel(), channel());
    let end = |n: usize, from_peer, to_peer| LossyWire {
        mac: MacAddr([2, 0, 0, 0, 0, n as u8]),
        from_peer,
        to_peer,
        own_bell: Arc::clone(&bells[n]),
        peer_bell: Arc::clone(&bells[1 - n]),
        sent: 0,
    };
    Ok([end(0, from_b, to_b), end(1, from_a, to_a)])
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let [a, b] = wire()?;
    let client = Net::builder().device(a).address("10.0.0.1/24".parse()?).start()?;
    let server = Net::builder().device(b).address("10.0.0.2/24".parse()?).start()?;
    let listener = TcpListener::bind(&server, "10.0.0.2:9")?;
    let receiving = thread::spawn(move || {
        let mut received = Vec::new();
        listener.accept()?.0.read_to_end(&mut received).map(|_| received)
    });

    let sent: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
    let mut stream = TcpStream::connect(&client, "10.0.0.2:9")?;
    stream.write_all(&sent)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let received = receiving.join().expect("it does not panic")?;
    assert!(received == sent);
    let resent = stream.tcp_info()?.total_retrans;
    println!("{} bytes arrived, {resent} segments were sent again", received.len());
    Ok(())
}
