//! The load: plain sockets of the kernel.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{ipproto, recv, sendto, socket_with};

use crate::{BLOCK, Failure};

/// Datagrams under way at once.
const WINDOW: u64 = 32;
/// A datagram that is not back by then is lost.
const PATIENCE: Duration = Duration::from_millis(200);

pub fn send(to: SocketAddr, seconds: f64, flows: usize) -> Result<(), Failure> {
    rate(flows, move || {
        let mut stream = TcpStream::connect(to)?;
        let block = vec![7; BLOCK];
        let (mut sent, start) = (0, Instant::now());
        while start.elapsed().as_secs_f64() < seconds {
            sent += stream.write(&block)?;
        }
        // The server closes when it has had everything.
        stream.shutdown(Shutdown::Write)?;
        while stream.read(&mut [0])? > 0 {}
        Ok(sent)
    })
}

pub fn receive(from: SocketAddr, seconds: f64, flows: usize) -> Result<(), Failure> {
    rate(flows, move || {
        let mut stream = TcpStream::connect(from)?;
        let mut block = vec![0; BLOCK];
        let (mut received, start) = (0, Instant::now());
        while start.elapsed().as_secs_f64() < seconds {
            match stream.read(&mut block)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => received += n,
            }
        }
        Ok(received)
    })
}

/// Runs the flows beside each other and prints the bits per second of all.
fn rate(
    flows: usize,
    run: impl Fn() -> io::Result<usize> + Copy + Send + 'static,
) -> Result<(), Failure> {
    let start = Instant::now();
    let threads: Vec<_> = (0..flows).map(|_| thread::spawn(run)).collect();
    let mut bytes = 0;
    for thread in threads {
        bytes += thread.join().expect("no flow panics")?;
    }
    println!("{:.0}", 8.0 * bytes as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

pub fn datagrams(to: SocketAddr, seconds: f64, size: usize) -> Result<(), Failure> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (message, mut buffer) = (vec![7; size], vec![0; size]);
    let (mut sent, mut received, start) = (0, 0, Instant::now());
    while start.elapsed().as_secs_f64() < seconds {
        while sent - received < WINDOW {
            socket.send(&message)?;
            sent += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(_) => received += 1,
            // What is missing is lost.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sent = received,
            Err(error) => return Err(error.into()),
        }
    }
    println!("{:.0}", received as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// Prints the median round trip in microseconds of echo requests as long as those of ping(8).
pub fn pings(to: Ipv4Addr, count: usize, pause: Duration) -> Result<(), Failure> {
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(ipproto::ICMP))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    let to = SocketAddrV4::new(to, 0);
    let mut message = [0; 64];
    message[0] = 8;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let start = Instant::now();
        sendto(&socket, &message, SendFlags::empty(), &to)?;
        recv(&socket, &mut [0; 64][..], RecvFlags::empty())?;
        times.push(start.elapsed());
    }
    times.sort();
    println!("{:.2}", times[count / 2].as_secs_f64() * 1e6);
    Ok(())
}

pub fn hold(to: SocketAddr, count: usize) -> Result<(), Failure> {
    let mut held = Vec::with_capacity(count);
    let mut buffer = vec![0; 4096];
    for _ in 0..count {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: compare\r\n\r\n")?;
        if stream.read(&mut buffer)? == 0 {
            return Err("a connection was closed".into());
        }
        held.push(stream);
    }
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
