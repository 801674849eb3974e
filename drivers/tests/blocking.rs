//! Blocking sockets do what those of the standard library do: the same scenarios, over the kernel's
//! loopback and over that of a stack.

mod common;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use common::{PATIENCE, pattern};
use tapping_drivers::net::Net;

/// The standard library over the kernel.
mod kernel {
    use super::*;

    pub use std::net::{TcpListener, TcpStream, UdpSocket};

    pub fn listen(addr: impl Into<SocketAddr>) -> io::Result<TcpListener> {
        TcpListener::bind(addr.into())
    }
    pub fn connect(addr: impl Into<SocketAddr>) -> io::Result<TcpStream> {
        TcpStream::connect(addr.into())
    }
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(addr, timeout)
    }
    pub fn udp(addr: impl Into<SocketAddr>) -> io::Result<UdpSocket> {
        UdpSocket::bind(addr.into())
    }
    /// Dropping the socket resets the connection.
    pub fn reset(stream: TcpStream) {
        rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
    }
}

/// Ours.
mod ours {
    use super::*;

    pub use tapping_drivers::blocking::{TcpListener, TcpStream, UdpSocket};

    pub fn net() -> &'static Net {
        static NET: OnceLock<Net> = OnceLock::new();
        NET.get_or_init(|| Net::builder().start().unwrap())
    }

    pub fn listen(addr: impl Into<SocketAddr>) -> io::Result<TcpListener> {
        TcpListener::bind(net(), addr.into())
    }
    pub fn connect(addr: impl Into<SocketAddr>) -> io::Result<TcpStream> {
        TcpStream::connect(net(), addr.into())
    }
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(net(), addr, timeout)
    }
    pub fn udp(addr: impl Into<SocketAddr>) -> io::Result<UdpSocket> {
        UdpSocket::bind(net(), addr.into())
    }
    pub fn reset(stream: TcpStream) {
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const SHORT: Duration = Duration::from_millis(20);

/// What an error is to whoever handles it.
fn what<T: std::fmt::Debug>(result: io::Result<T>) -> (ErrorKind, Option<i32>) {
    let error = result.expect_err("an error");
    (error.kind(), error.raw_os_error())
}

fn errno(errno: i32) -> (ErrorKind, Option<i32>) {
    (io::Error::from_raw_os_error(errno).kind(), Some(errno))
}

macro_rules! scenarios {
    ($($name:ident $body:block)*) => {
        mod on_the_kernel {
            use super::*;
            use super::kernel as env;
            $(#[test] fn $name() $body)*
        }
        mod on_ours {
            use super::*;
            use super::ours as env;
            $(#[test] fn $name() $body)*
        }
    };
}

scenarios! {
    a_conversation {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer);
            assert_eq!(stream.local_addr().unwrap(), addr);
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            stream.write_all(&received).unwrap();
            received.len()
        });
        let mut stream = env::connect(addr).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
        let mut reader = stream.try_clone().unwrap();
        let receiving = thread::spawn(move || {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            received
        });
        let sent = pattern(3 << 20);
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(receiving.join().unwrap() == sent);
        assert_eq!(server.join().unwrap(), sent.len());
    }

    pieces {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let mut client = env::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let data = [IoSlice::new(b"he"), IoSlice::new(b""), IoSlice::new(b"llo, "), IoSlice::new(b"world")];
        assert_eq!(client.write_vectored(&data).unwrap(), 12);
        let mut peeked = [0; 5];
        assert_eq!(server.peek(&mut peeked).unwrap(), 5);
        assert_eq!(&peeked, b"hello");
        let (mut a, mut b) = ([0; 3], [0; 20]);
        // What was written together comes together, over a loopback.
        let mut total = 0;
        while total < 12 {
            let mut buffers = [IoSliceMut::new(&mut a[total.min(3)..]), IoSliceMut::new(&mut b[total.saturating_sub(3)..])];
            total += server.read_vectored(&mut buffers).unwrap();
        }
        assert_eq!((&a, &b[..9]), (b"hel", &b"lo, world"[..]));
        assert_eq!((&client).write(b"").unwrap(), 0);
        client.flush().unwrap();
    }

    settings_are_kept {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let client = env::connect(listener.local_addr().unwrap()).unwrap();
        let clone = client.try_clone().unwrap();
        assert!(!client.nodelay().unwrap());
        client.set_nodelay(true).unwrap();
        assert!(clone.nodelay().unwrap());
        assert_eq!(client.ttl().unwrap(), 64);
        client.set_ttl(7).unwrap();
        assert_eq!(clone.ttl().unwrap(), 7);
        assert_eq!(what(client.set_ttl(0)), errno(22));
        assert_eq!(client.read_timeout().unwrap(), None);
        client.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(Duration::from_secs(3)));
        assert_eq!(what(client.set_read_timeout(Some(Duration::ZERO))), (ErrorKind::InvalidInput, None));
        client.set_write_timeout(Some(Duration::from_secs(4))).unwrap();
        assert_eq!(client.write_timeout().unwrap(), Some(Duration::from_secs(4)));
        assert!(client.take_error().unwrap().is_none());
        assert!(listener.take_error().unwrap().is_none());
        listener.set_ttl(9).unwrap();
        assert_eq!(listener.ttl().unwrap(), 9);

        let udp = env::udp((LOCALHOST, 0)).unwrap();
        assert!(!udp.broadcast().unwrap());
        udp.set_broadcast(true).unwrap();
        assert!(udp.broadcast().unwrap());
        assert!(udp.multicast_loop_v4().unwrap());
        udp.set_multicast_loop_v4(false).unwrap();
        assert!(!udp.multicast_loop_v4().unwrap());
        assert_eq!(udp.multicast_ttl_v4().unwrap(), 1);
        udp.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(udp.multicast_ttl_v4().unwrap(), 3);
        udp.set_ttl(5).unwrap();
        assert_eq!(udp.ttl().unwrap(), 5);
    }

    limits_of_time {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let mut client = env::connect(listener.local_addr().unwrap()).unwrap();
        let (_server, _) = listener.accept().unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(what(client.read(&mut [0; 8])), errno(11));
        client.set_write_timeout(Some(SHORT)).unwrap();
        let chunk = vec![0; 1 << 20];
        let full = (0..100).find_map(|_| client.write(&chunk).err());
        assert_eq!(what::<()>(Err(full.expect("buffers are bounded"))), errno(11));

        let udp = env::udp((LOCALHOST, 0)).unwrap();
        udp.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(what(udp.recv(&mut [0; 8])), errno(11));
    }

    not_waiting_at_all {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(what(listener.accept().map(drop)), errno(11));
        let mut client = env::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        assert_eq!(what(client.read(&mut [0; 8])), errno(11));
        let chunk = vec![0; 1 << 20];
        let full = (0..100).find_map(|_| client.write(&chunk).err());
        assert_eq!(what::<()>(Err(full.expect("buffers are bounded"))), errno(11));
        let udp = env::udp((LOCALHOST, 0)).unwrap();
        udp.set_nonblocking(true).unwrap();
        assert_eq!(what(udp.recv_from(&mut [0; 8])), errno(11));
    }

    incoming_connections_come_one_after_the_other {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let clients = thread::spawn(move || {
            for n in 0..20u8 {
                env::connect(addr).unwrap().write_all(&[n]).unwrap();
            }
        });
        for (n, stream) in listener.incoming().take(20).enumerate() {
            let mut byte = [0];
            stream.unwrap().read_exact(&mut byte).unwrap();
            assert_eq!(usize::from(byte[0]), n);
        }
        clients.join().unwrap();
    }

    halves_end_by_themselves {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let mut client = env::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(what(client.write(b"x")), errno(32));
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
        server.write_all(b"still").unwrap();
        server.shutdown(Shutdown::Both).unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "still");
    }

    resets {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let mut client = env::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        env::reset(server);
        assert_eq!(what(client.read(&mut [0; 8])), errno(104));
        // It is told once.
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(what(client.write(b"x")), errno(32));
        assert_eq!(what(client.peer_addr()), errno(107));
    }

    refusals {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(what(env::listen(addr)), errno(98));
        drop(listener);
        assert_eq!(what(env::connect(addr)), errno(111));
        assert_eq!(what(env::connect_timeout(&addr, PATIENCE)), errno(111));
        assert_eq!(what(env::connect_timeout(&addr, Duration::ZERO)), (ErrorKind::InvalidInput, None));
        let not_ours = Ipv4Addr::new(192, 0, 2, 77);
        assert_eq!(what(env::listen((not_ours, 0))), errno(99));
        assert_eq!(what(env::udp((not_ours, 0))), errno(99));

        let udp = env::udp((LOCALHOST, 0)).unwrap();
        let taken = udp.local_addr().unwrap();
        assert_eq!(what(env::udp(taken)), errno(98));
        assert_eq!(what(udp.send(b"x")), errno(89));
        assert_eq!(what(udp.peer_addr()), errno(107));
        assert_eq!(what(udp.send_to(&vec![0; 65_508], addr)), errno(90));
        assert_eq!(what(udp.send_to(b"x", (LOCALHOST, 0))), errno(22));
        udp.connect(addr).unwrap();
        udp.send(b"x").unwrap();
        assert_eq!(what(udp.recv(&mut [0; 8])), errno(111));
    }

    an_accepted_connection_outlives_its_listener {
        let listener = env::listen((LOCALHOST, 0)).unwrap();
        let mut client = env::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        drop(listener);
        server.write_all(b"there").unwrap();
        let mut there = [0; 5];
        client.read_exact(&mut there).unwrap();
        assert_eq!(&there, b"there");
    }

    datagrams {
        let a = env::udp((LOCALHOST, 0)).unwrap();
        let b = env::udp((LOCALHOST, 0)).unwrap();
        let (a_addr, b_addr) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        assert_eq!(a.send_to(b"hello", b_addr).unwrap(), 5);
        let mut buffer = [0; 16];
        assert_eq!(b.peek_from(&mut buffer).unwrap(), (5, a_addr));
        assert_eq!(b.peek(&mut buffer[..2]).unwrap(), 2);
        assert_eq!(b.recv_from(&mut buffer).unwrap(), (5, a_addr));
        assert_eq!(&buffer[..5], b"hello");
        // What there is no room for is lost, and nothing is something.
        a.send_to(b"truncated", b_addr).unwrap();
        a.send_to(b"", b_addr).unwrap();
        assert_eq!(b.recv(&mut buffer[..5]).unwrap(), 5);
        assert_eq!(b.recv_from(&mut buffer).unwrap(), (0, a_addr));
        // A connected one hears only its peer.
        b.connect(a_addr).unwrap();
        assert_eq!(b.peer_addr().unwrap(), a_addr);
        let stranger = env::udp((LOCALHOST, 0)).unwrap();
        stranger.send_to(b"stranger", b_addr).unwrap();
        a.send_to(b"friend", b_addr).unwrap();
        assert_eq!(b.recv(&mut buffer).unwrap(), 6);
        let clone = b.try_clone().unwrap();
        clone.send(b"back").unwrap();
        assert_eq!(a.recv_from(&mut buffer).unwrap(), (4, b_addr));
    }
}

/// Both environments in a namespace where nothing leads anywhere but the loopback.
#[test]
fn errors_of_routing_and_of_silence() {
    use tapping_drivers::netlink::Netlink;
    tapping_drivers::testing::in_namespace(|| {
        Netlink::open().unwrap().set_up(1, true).unwrap();
        let nowhere = SocketAddr::from(([192, 0, 2, 1], 9));
        assert_eq!(what(kernel::connect(nowhere)), errno(101));
        assert_eq!(what(ours::connect(nowhere)), errno(101));
        let (kernels, our) =
            (kernel::udp((LOCALHOST, 0)).unwrap(), ours::udp((LOCALHOST, 0)).unwrap());
        assert_eq!(what(our.send_to(b"x", nowhere)), what(kernels.send_to(b"x", nowhere)));
        let everybody = SocketAddr::from(([127, 255, 255, 255], 9));
        assert_eq!(what(our.send_to(b"x", everybody)), what(kernels.send_to(b"x", everybody)));
        assert_eq!(what(our.send_to(b"x", everybody)), errno(13));
    });
}

#[test]
fn a_thread_that_drives_does_not_wait_for_itself() {
    let net = ours::net();
    let error = net.spawn(async {
        let socket = ours::udp((LOCALHOST, 0)).unwrap();
        what(socket.recv(&mut [0; 8]))
    });
    assert_eq!(error.join().unwrap(), errno(35));
    let panic = net.spawn(async {
        tapping_drivers::net::block_on(async {});
    });
    assert!(panic.join().unwrap_err().is_panic());
}
