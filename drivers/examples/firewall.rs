//! A firewall: a hook that lets connections to one port in, and nothing else.
//!
//! ```sh
//! cargo run -p tapping-drivers --example firewall
//! ```

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use tapping_drivers::blocking::{TcpListener, TcpStream};
use tapping_drivers::device::DeviceConfig;
use tapping_drivers::net::Net;
use tapping_drivers::veth;
use tapping_stack::filter::hook::{Hook, HookContext, HookPoint, Verdict, priority};
use tapping_stack::packet::Packet;
use tapping_stack::stats::DropReason;
use tapping_stack::wire::ethernet::MacAddr;
use tapping_stack::wire::ipv4::{Ipv4, Protocol};

/// Accepts TCP to a port, and drops the rest.
struct OnlyPort(u16);

impl Hook for OnlyPort {
    fn name(&self) -> &str {
        "only-port"
    }

    fn process(&mut self, _: &HookContext<'_>, packet: &mut Packet) -> Verdict {
        let port = Ipv4::parse(packet.network()).ok().and_then(|ipv4| match ipv4.protocol() {
            Protocol::TCP => ipv4.payload().get(2..4).map(|port| [port[0], port[1]]),
            _ => None,
        });
        match port.map(u16::from_be_bytes) == Some(self.0) {
            true => Verdict::Accept,
            false => Verdict::Drop,
        }
    }
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let end =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (a, b) = veth::channel_pair(end(1), end(2))?;
    let client = Net::builder().device(a).address("10.0.0.1/24".parse()?).start()?;
    let server = Net::builder()
        .device(b)
        .address("10.0.0.2/24".parse()?)
        .setup(|stack, _| {
            let points = [(HookPoint::Input, priority::FILTER)];
            stack.register_hook(&points, Box::new(OnlyPort(80)));
        })
        .start()?;

    let _open = TcpListener::bind(&server, "10.0.0.2:80")?;
    let _closed = TcpListener::bind(&server, "10.0.0.2:81")?;
    TcpStream::connect(&client, "10.0.0.2:80")?;
    println!("port 80 is open");
    let patience = Duration::from_millis(300);
    let refused = TcpStream::connect_timeout(&client, &"10.0.0.2:81".parse()?, patience);
    assert_eq!(refused.expect_err("nobody answers").kind(), ErrorKind::TimedOut);
    let dropped = server.with(|stack, _| stack.snapshot().dropped(DropReason::HookDrop));
    println!("port 81 does not answer; the hook has dropped {dropped} packets");
    assert!(dropped > 0);
    Ok(())
}
