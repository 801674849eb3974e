//! The kernel as server, with a thread a connection.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use crate::{BLOCK, CHARGEN, DISCARD, ECHO, Failure};

pub fn serve(addr: IpAddr) -> Result<(), Failure> {
    for (port, service) in
        [(DISCARD, discard as fn(TcpStream) -> io::Result<()>), (CHARGEN, chargen)]
    {
        let listener = TcpListener::bind((addr, port))?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away ends its own connection only.
                thread::spawn(move || service(stream));
            }
        });
    }
    let socket = UdpSocket::bind((addr, ECHO))?;
    println!("ready");
    let mut buffer = vec![0; 65_536];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..len], from)?;
    }
}

fn discard(mut stream: TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    while stream.read(&mut block)? > 0 {}
    Ok(())
}

fn chargen(mut stream: TcpStream) -> io::Result<()> {
    let block = vec![7; BLOCK];
    loop {
        stream.write_all(&block)?;
    }
}
