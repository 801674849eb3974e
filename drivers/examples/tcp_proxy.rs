//! A TCP proxy between a stack and the host: who connects to a port of the stack talks to a server
//! of the host.
//!
//! ```sh
//! cargo run -p tapping-drivers --example tcp_proxy
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;

use tapping_drivers::blocking::{TcpListener, TcpStream};
use tapping_drivers::device::DeviceConfig;
use tapping_drivers::net::Net;
use tapping_drivers::veth;
use tapping_stack::wire::ethernet::MacAddr;

/// Joins each connection of a listener with one to a server of the host's.
fn proxy(listener: &TcpListener, host: SocketAddr) -> io::Result<()> {
    for near in listener.incoming() {
        let near = near?;
        let far = std::net::TcpStream::connect(host)?;
        let (mut near_reader, mut near_writer) = (near.try_clone()?, near);
        let (mut far_reader, mut far_writer) = (far.try_clone()?, far);
        thread::spawn(move || {
            io::copy(&mut near_reader, &mut far_writer)?;
            far_writer.shutdown(Shutdown::Write)
        });
        thread::spawn(move || {
            io::copy(&mut far_reader, &mut near_writer)?;
            near_writer.shutdown(Shutdown::Write)
        });
    }
    Ok(())
}

pub fn main() -> Result<(), Box<dyn Error>> {
    // The host's server shouts back.
    let host = std::net::TcpListener::bind("127.0.0.1:0")?;
    let host_addr = host.local_addr()?;
    thread::spawn(move || {
        let (mut stream, _) = host.accept()?;
        let mut words = String::new();
        stream.read_to_string(&mut words)?;
        stream.write_all(words.to_uppercase().as_bytes())
    });

    let end =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (a, b) = veth::channel_pair(end(1), end(2))?;
    let client = Net::builder().device(a).address("10.0.0.1/24".parse()?).start()?;
    let gateway = Net::builder().device(b).address("10.0.0.2/24".parse()?).start()?;
    let listener = TcpListener::bind(&gateway, "10.0.0.2:8080")?;
    thread::spawn(move || proxy(&listener, host_addr));

    let mut stream = TcpStream::connect(&client, "10.0.0.2:8080")?;
    stream.write_all(b"through two stacks")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer}");
    assert_eq!(answer, "THROUGH TWO STACKS");
    Ok(())
}
