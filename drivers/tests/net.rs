//! Stacks that run by themselves, and sockets on them.

mod common;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{HOST_ADDR, OUR_ADDR, OUR_MAC, net_pair, over_both_devices, pattern};
use tapping_drivers::aio::{TcpListener, TcpStream, UdpSocket};
use tapping_drivers::error::DeviceError;
use tapping_drivers::net::{Finished, Net, Shutdown, block_on};
use tapping_drivers::netlink::Netlink;
use tapping_drivers::sandbox::Sandbox;
use tapping_drivers::tap::TapConfig;
use tapping_drivers::testing::{in_namespace, skip};

/// The kernel forgets after three seconds which queue a flow was sent by (`TUN_FLOW_EXPIRE`).
const FORGETTING: Duration = Duration::from_millis(3300);

fn addr(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, n], port))
}

/// Sends back what comes, until the end.
async fn echo(stream: TcpStream) -> std::io::Result<usize> {
    let (mut buffer, mut total) = (vec![0; 16 << 10], 0);
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            len => {
                stream.write_all(&buffer[..len]).await?;
                total += len;
            }
        }
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(total)
}

#[test]
fn streams_between_two_stacks() {
    let [client, server] = net_pair();
    let listener = TcpListener::bind(&server, addr(2, 7)).unwrap();
    let serving = server.spawn(async move {
        let (stream, _) = listener.accept().await?;
        echo(stream).await
    });
    let sent = pattern(1 << 20);
    let expected = sent.clone();
    let received = block_on(async move {
        let stream = TcpStream::connect(&client, addr(2, 7)).await?;
        assert_eq!(stream.peer_addr()?, addr(2, 7));
        let (mut reader, mut writer) = stream.into_split();
        let writing = client.spawn(async move { writer.write_all(&sent).await });
        let mut received = vec![0; 1 << 20];
        reader.read_exact(&mut received).await?;
        assert_eq!(reader.read(&mut [0; 8]).await?, 0);
        writing.await.unwrap()?;
        std::io::Result::Ok(received)
    });
    assert!(received.unwrap() == expected);
    assert_eq!(serving.join().unwrap().unwrap(), 1 << 20);
}

#[test]
fn datagrams_between_two_stacks() {
    let [client, server] = net_pair();
    let serving = UdpSocket::bind(&server, addr(2, 7)).unwrap();
    let _serving = server.spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (len, from) = serving.recv_from(&mut buffer).await?;
            serving.send_to(&buffer[..len], from).await?;
        }
        #[allow(unreachable_code)]
        std::io::Result::Ok(())
    });
    block_on(async {
        let socket = UdpSocket::bind(&client, addr(1, 0)).unwrap();
        socket.connect(addr(2, 7)).unwrap();
        for n in 0..100u8 {
            socket.send(&[n; 100]).await.unwrap();
            let mut buffer = [0; 200];
            assert_eq!(socket.recv(&mut buffer).await.unwrap(), 100);
            assert_eq!(buffer[..100], [n; 100]);
        }
    });
}

#[test]
fn a_driver_runs_a_future_on_the_calling_thread() {
    let (net, mut driver) = Net::builder().build().unwrap();
    let answer = driver.block_on(async {
        let timed = net.timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        assert!(timed.is_err());
        net.sleep(Duration::from_millis(1)).await;
        net.spawn(async { 6 * 7 }).await.unwrap()
    });
    assert_eq!(answer.unwrap(), Finished::Done(42));
    net.spawn({
        let net = net.clone();
        async move { net.shutdown(Shutdown::Abort) }
    });
    driver.run().unwrap();
    net.join().unwrap();
}

over_both_devices! { the_kernel_talks_to_us_and_we_to_it }

fn the_kernel_talks_to_us_and_we_to_it(sandbox: Sandbox) {
    let builder = Net::builder().device(sandbox.device);
    let net = builder.address("10.0.0.2/24".parse().unwrap()).start().unwrap();
    let listener = TcpListener::bind(&net, (OUR_ADDR, 7).into()).unwrap();
    let serving = net.spawn(async move { echo(listener.accept().await?.0).await });

    let mut stream = std::net::TcpStream::connect((OUR_ADDR, 7)).unwrap();
    let sent = pattern(1 << 20);
    let mut sender = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        sender.write_all(&pattern(1 << 20)).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sending.join().unwrap();
    assert!(received == sent);
    assert_eq!(serving.join().unwrap().unwrap(), 1 << 20);

    let listener = std::net::TcpListener::bind((HOST_ADDR, 8)).unwrap();
    let host = thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        peer.ip()
    });
    let greeting = block_on(async {
        let stream = TcpStream::connect(&net, (HOST_ADDR, 8).into()).await.unwrap();
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).await.unwrap();
        greeting
    });
    assert_eq!(&greeting, b"hello");
    assert_eq!(host.join().unwrap(), OUR_ADDR);
}

/// Connections both ways over a TAP with several queues, each with a stack of its own, that answer
/// after the kernel has forgotten which queue they were begun by.
#[test]
fn several_stacks_over_the_queues_of_one_tap() {
    in_namespace(|| {
        let queues = match TapConfig::new("tap0", OUR_MAC).open_queues(3) {
            Ok(queues) => queues,
            Err(error @ (DeviceError::NoTun(_) | DeviceError::TunAccess(_))) => {
                return skip(&error.to_string());
            }
            Err(error) => panic!("{error}"),
        };
        let index = queues[0].link().index;
        let host = format!("{HOST_ADDR}/24").parse().unwrap();
        Netlink::open().unwrap().configure(index, Some(host)).unwrap();
        let queues = queues.into_iter().map(|queue| Box::new(queue) as _).collect();
        let address = format!("{OUR_ADDR}/24").parse().unwrap();
        let net = Net::builder().queues(queues).address(address).start().unwrap();
        assert_eq!(net.shards(), 3);

        let listener = TcpListener::bind(&net, (OUR_ADDR, 7).into()).unwrap();
        let (accepting, shards) = (net.clone(), Arc::new(Mutex::new(HashSet::new())));
        let seen = Arc::clone(&shards);
        drop(net.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.lock().unwrap().insert(stream.shard());
                drop(accepting.spawn_on(stream.shard(), echo(stream)));
            }
        }));
        let mut ours: Vec<_> =
            (0..40).map(|_| std::net::TcpStream::connect((OUR_ADDR, 7)).unwrap()).collect();

        let host = std::net::TcpListener::bind((HOST_ADDR, 8)).unwrap();
        let theirs: Vec<_> = (0..12)
            .map(|_| {
                let stream = TcpStream::connect(&net, (HOST_ADDR, 8).into());
                (block_on(stream).unwrap(), host.accept().unwrap().0)
            })
            .collect();
        let used: HashSet<_> = theirs.iter().map(|(stream, _)| stream.shard()).collect();
        assert_eq!(used.len(), 3, "connections are begun on each in turn");
        thread::sleep(FORGETTING);

        for (n, stream) in ours.iter_mut().enumerate() {
            stream.write_all(&[n as u8; 100]).unwrap();
            let mut back = [0; 100];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, [n as u8; 100]);
        }
        for (n, (stream, mut peer)) in theirs.into_iter().enumerate() {
            peer.write_all(&[n as u8; 100]).unwrap();
            let mut received = [0; 100];
            block_on(stream.read_exact(&mut received)).unwrap();
            assert_eq!(received, [n as u8; 100]);
        }
        assert!(shards.lock().unwrap().len() > 1, "forty connections came by one queue");
        let resets: u64 = (0..3)
            .map(|shard| net.with_shard(shard, |stack, _| stack.snapshot().tcp.out_rsts))
            .sum();
        assert_eq!(resets, 0, "a stack did not know a connection of another");
    });
}
