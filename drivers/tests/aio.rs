//! Awaited sockets: cancelled at every point, dropped in every state, read slowly, by tasks that
//! panic, in executors that are gone.

mod common;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, pattern};
use tapping_drivers::aio::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tapping_drivers::net::{Net, Shutdown, block_on};
use tapping_stack::{Config, TcpState};

const SECOND: Duration = Duration::from_secs(1);

fn net() -> Net {
    Net::builder().start().unwrap()
}

fn localhost(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A connection of a stack with itself.
async fn connection(net: &Net) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(net, localhost(0)).unwrap();
    let client = TcpStream::connect(net, listener.local_addr().unwrap()).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(client.local_addr().unwrap(), peer);
    (client, server)
}

/// Wakers that count.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn new() -> (Arc<Self>, Waker) {
        let count: Arc<Count> = Arc::default();
        (Arc::clone(&count), Waker::from(count))
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn wait_for(&self, wanted: usize) {
        let end = Instant::now() + PATIENCE;
        while self.get() < wanted {
            assert!(Instant::now() < end, "woken {} times, not {wanted}", self.get());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Polls a few times, so the future is dropped wherever it has come to by then.
async fn some_polls<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A generator of numbers that are random enough.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

#[test]
fn content_is_whole_whatever_is_cancelled() {
    for seed in 0..6 {
        let net = net();
        let sent = pattern(600_000);
        let expected = sent.clone();
        let (client, server) = block_on(connection(&net));
        let client = Arc::new(client);
        let writing = net.spawn({
            let (net, mut random) = (net.clone(), Random(seed));
            async move {
                let mut at = 0;
                while at < sent.len() {
                    let len = (1 + random.below(40_000) as usize).min(sent.len() - at);
                    let data = &sent[at..at + len];
                    let write = client.write(data);
                    if let Some(len) = some_polls(random.below(2) as usize, write).await {
                        at += len.unwrap();
                    }
                    // Waiting for room, given up for the time being.
                    let _ = some_polls(0, client.writable()).await;
                    if random.below(8) == 0 {
                        let _ = net.timeout(Duration::from_micros(50), client.writable()).await;
                    }
                }
                client.shutdown(std::net::Shutdown::Write).unwrap();
            }
        });
        let received = block_on(async {
            let mut random = Random(seed + 100);
            let (mut received, mut buffer) = (Vec::new(), vec![0; 30_000]);
            loop {
                let len = 1 + random.below(buffer.len() as u64) as usize;
                let _ = some_polls(0, server.peek(&mut [0; 3])).await;
                let read = server.read(&mut buffer[..len]);
                let limit = Duration::from_micros(random.below(300));
                match net.timeout(limit, some_polls(random.below(3) as usize, read)).await {
                    Ok(Some(Ok(0))) => break received,
                    Ok(Some(len)) => received.extend_from_slice(&buffer[..len.unwrap()]),
                    Ok(None) | Err(_) => {}
                }
            }
        });
        assert!(received == expected, "seed {seed}");
        writing.join().unwrap();
        assert_nobody_waits(&net);
    }
}

/// Who gave up has left nothing behind.
#[track_caller]
fn assert_nobody_waits(net: &Net) {
    assert_eq!(net.with(|stack, _| stack.waiters()), 0);
}

#[test]
fn futures_that_are_dropped_leave_no_waker() {
    let net = net();
    let (client, server) = block_on(connection(&net));
    let listener = TcpListener::bind(&net, localhost(0)).unwrap();
    let udp = UdpSocket::bind(&net, localhost(0)).unwrap();
    let (count, waker) = Count::new();
    {
        let mut buffer = [0; 8];
        let mut read = pin!(client.read(&mut buffer));
        let mut readable = pin!(server.readable());
        let mut accept = pin!(listener.accept());
        let mut buffer = [0; 8];
        let mut receive = pin!(udp.recv_from(&mut buffer));
        for _ in 0..3 {
            assert!(poll_with(read.as_mut(), &waker).is_pending());
            assert!(poll_with(readable.as_mut(), &waker).is_pending());
            assert!(poll_with(accept.as_mut(), &waker).is_pending());
            assert!(poll_with(receive.as_mut(), &waker).is_pending());
        }
        // This test's two, and one for each of the four.
        assert_eq!(Arc::strong_count(&count), 2 + 4);
    }
    assert_eq!(Arc::strong_count(&count), 2);
    assert_eq!(count.get(), 0);
    assert_nobody_waits(&net);
}

#[test]
fn who_polls_last_is_woken() {
    let net = net();
    let (client, server) = block_on(connection(&net));
    let ((first, first_waker), (second, second_waker)) = (Count::new(), Count::new());
    let mut buffer = [0; 8];
    let mut read = pin!(client.read(&mut buffer));
    assert!(poll_with(read.as_mut(), &first_waker).is_pending());
    assert!(poll_with(read.as_mut(), &second_waker).is_pending());
    assert_eq!(Arc::strong_count(&first), 2, "the old waker is dropped");
    block_on(server.write_all(b"x")).unwrap();
    second.wait_for(1);
    assert_eq!(first.get(), 0);
    assert!(matches!(poll_with(read.as_mut(), &second_waker), Poll::Ready(Ok(1))));

    // The same of the place for who polls.
    let mut byte = [0];
    for waker in [&first_waker, &second_waker] {
        let polled = client.poll_read(&mut Context::from_waker(waker), &mut byte);
        assert!(polled.is_pending());
    }
    block_on(server.write_all(b"y")).unwrap();
    second.wait_for(2);
    assert_eq!(first.get(), 0);
}

#[test]
fn one_connection_wakes_one_of_many() {
    let net = net();
    let listener = TcpListener::bind(&net, localhost(0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let waiting: Vec<_> = (0..10).map(|_| Count::new()).collect();
    let mut accepts: Vec<_> = waiting.iter().map(|_| Box::pin(listener.accept())).collect();
    for (accept, (_, waker)) in accepts.iter_mut().zip(&waiting) {
        assert!(poll_with(accept.as_mut(), waker).is_pending());
    }
    let _client = block_on(TcpStream::connect(&net, addr)).unwrap();
    waiting[0].0.wait_for(1);
    assert!(waiting[1..].iter().all(|(count, _)| count.get() == 0));
    // One that is woken and gives up passes it on.
    drop(accepts.remove(0));
    waiting[1].0.wait_for(1);
    assert!(waiting[2..].iter().all(|(count, _)| count.get() == 0));
    assert!(poll_with(accepts[0].as_mut(), &waiting[1].1).is_ready());
    assert!(waiting[2..].iter().all(|(count, _)| count.get() == 0));
}

#[test]
fn every_acceptor_gets_some() {
    let net = net();
    let listener = Arc::new(TcpListener::bind(&net, localhost(0)).unwrap());
    let addr = listener.local_addr().unwrap();
    let accepting: Vec<_> = (0..8)
        .map(|_| {
            let listener = Arc::clone(&listener);
            net.spawn(async move { listener.accept().await.map(|(stream, _)| stream) })
        })
        .collect();
    let clients: Vec<_> =
        (0..8).map(|_| block_on(TcpStream::connect(&net, addr)).unwrap()).collect();
    for accepting in accepting {
        accepting.join().unwrap().unwrap();
    }
    drop(clients);
}

#[test]
fn sockets_dropped_in_every_state() {
    let net = net();
    let drops: [fn(&Net); 6] = [
        |net| drop(TcpSocket::new(net).unwrap()),
        |net| {
            // On the way to be connected: nobody answers for that address.
            let nowhere = SocketAddr::from(([127, 0, 0, 9], 9));
            let mut connect = pin!(TcpStream::connect(net, nowhere));
            let _ = poll_with(connect.as_mut(), Waker::noop());
        },
        |net| {
            let listener = TcpListener::bind(net, localhost(0)).unwrap();
            // One that waits to be accepted is reset.
            let client = block_on(TcpStream::connect(net, listener.local_addr().unwrap())).unwrap();
            drop(listener);
            let error = block_on(client.read(&mut [0; 8])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        },
        |net| {
            let (client, server) = block_on(connection(net));
            drop(client);
            assert_eq!(block_on(server.read(&mut [0; 8])).unwrap(), 0);
        },
        |net| {
            // What was not read resets the connection.
            let (client, server) = block_on(connection(net));
            block_on(server.write_all(b"unread")).unwrap();
            block_on(client.readable()).unwrap();
            drop(client);
            let error = block_on(server.read(&mut [0; 8])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        },
        |net| {
            let (client, server) = block_on(connection(net));
            let (reader, writer) = client.into_split();
            drop(writer);
            assert_eq!(block_on(server.read(&mut [0; 8])).unwrap(), 0);
            block_on(server.write_all(b"x")).unwrap();
            drop(reader);
        },
    ];
    for drop_one in drops {
        drop_one(&net);
        drop_one(&net);
    }
    assert_nobody_waits(&net);
}

#[test]
fn a_slow_reader_makes_the_writer_wait() {
    let net = net();
    let (client, server) = block_on(connection(&net));
    let (done, _) = Count::new();
    let written = Arc::new(AtomicUsize::new(0));
    let writing = net.spawn({
        let (written, done) = (Arc::clone(&written), Arc::clone(&done));
        async move {
            let chunk = pattern(10_000);
            for _ in 0..2000 {
                client.write_all(&chunk).await.unwrap();
                written.fetch_add(chunk.len(), Ordering::SeqCst);
            }
            Waker::from(done).wake();
        }
    });
    // Until it does not move any more.
    let mut before = usize::MAX;
    while written.load(Ordering::SeqCst) != before || before == 0 {
        before = written.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
    }
    let tcp = Config::default().tcp;
    assert!(before < tcp.wmem.max + tcp.rmem.max, "{before} bytes are in buffers");
    assert_eq!(done.get(), 0);
    let total = block_on(async {
        let (mut total, mut buffer) = (0, vec![0; 64 << 10]);
        while let len @ 1.. = server.read(&mut buffer).await.unwrap() {
            total += len;
        }
        total
    });
    assert_eq!(total, 20_000_000);
    writing.join().unwrap();
}

#[test]
fn datagrams_wait_for_room_instead_of_being_lost() {
    let [sender, receiver] = common::net_pair();
    let to = UdpSocket::bind(&receiver, SocketAddr::from(([10, 1, 0, 2], 7))).unwrap();
    let sending = sender.spawn({
        let sender = sender.clone();
        async move {
            let socket = UdpSocket::bind(&sender, SocketAddr::from(([10, 1, 0, 1], 0))).unwrap();
            socket.connect(SocketAddr::from(([10, 1, 0, 2], 7))).unwrap();
            for n in 0..20_000u32 {
                socket.send(&n.to_be_bytes()).await.unwrap();
            }
        }
    });
    sending.join().unwrap();
    let drops = sender
        .with(|stack, _| stack.snapshot().dropped(tapping_stack::stats::DropReason::TxQueueFull));
    assert_eq!(drops, 0);
    drop(to);
}

#[test]
fn a_panic_is_its_tasks_own() {
    let net = net();
    let (client, server) = block_on(connection(&net));
    let panicking = net.spawn(async move {
        client.write_all(b"before").await.unwrap();
        panic!("in a task");
    });
    let error = panicking.join().unwrap_err();
    assert!(error.is_panic());
    assert_eq!(*error.into_panic().unwrap().downcast::<&str>().unwrap(), "in a task");
    // Its socket was closed, and everything goes on.
    let mut received = [0; 6];
    block_on(server.read_exact(&mut received)).unwrap();
    assert_eq!(block_on(server.read(&mut received)).unwrap(), 0);

    // One in a drop, too, and in what runs with the stack in its hands.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    let bomb = Bomb;
    let mut dropped = net.spawn(async move {
        let _bomb = bomb;
        std::future::pending::<()>().await;
    });
    dropped.abort();
    let (client, server) = block_on(connection(&net));
    block_on(server.write_all(b"data")).unwrap();
    let client = Arc::new(client);
    let reading = net.spawn({
        let client = Arc::clone(&client);
        async move { client.read_with(|_| panic!("with the lock")).await }
    });
    assert!(reading.join().unwrap_err().is_panic());
    let with = AssertUnwindSafe(|| net.with(|_, _| -> () { panic!("with the stack") }));
    let caught = std::panic::catch_unwind(with);
    assert!(caught.is_err());
    let mut data = [0; 4];
    block_on(client.read_exact(&mut data)).unwrap();
    assert_eq!(&data, b"data");
}

#[test]
fn a_task_that_never_waits_lets_others_run() {
    let net = net();
    let socket = UdpSocket::bind(&net, localhost(0)).unwrap();
    let to = socket.local_addr().unwrap();
    let mut greedy = net.spawn(async move {
        loop {
            // Never has to wait: the loopback takes everything.
            socket.send_to(b"x", to).await.unwrap();
        }
    });
    let (client, server) = block_on(connection(&net));
    block_on(async {
        client.write_all(b"through").await.unwrap();
        let mut through = [0; 7];
        server.read_exact(&mut through).await.unwrap();
    });
    greedy.abort();
}

#[test]
fn a_reset_wakes_both_halves() {
    let net = net();
    let (client, server) = block_on(connection(&net));
    let (mut reader, mut writer) = client.into_split();
    let reading = net.spawn(async move { reader.read(&mut [0; 8]).await });
    let writing = net.spawn(async move {
        loop {
            writer.write(&[0; 10_000]).await?;
        }
        #[allow(unreachable_code)]
        io::Result::Ok(())
    });
    block_on(net.sleep(Duration::from_millis(10)));
    server.abort().unwrap();
    let errors = [reading.join().unwrap().map(drop), writing.join().unwrap()];
    for error in errors {
        let kind = error.map_or_else(|error| error.kind(), |()| ErrorKind::ConnectionReset);
        assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&kind), "{kind:?}");
    }
}

#[test]
fn halves_are_reunited_with_their_own() {
    let net = net();
    let (a, b) = block_on(connection(&net));
    let ((a_reader, a_writer), (b_reader, b_writer)) = (a.into_split(), b.into_split());
    let error = a_reader.reunite(b_writer).unwrap_err();
    let (a_reader, b_writer) = (error.0, error.1);
    let a = a_reader.reunite(a_writer).unwrap();
    let b = b_writer.reunite(b_reader).unwrap();
    block_on(async {
        a.write_all(b"whole").await.unwrap();
        let mut whole = [0; 5];
        b.read_exact(&mut whole).await.unwrap();
        assert_eq!(&whole, b"whole");
    });
}

#[test]
fn bytes_are_read_and_written_in_place() {
    let net = net();
    let (client, server) = block_on(connection(&net));
    let sent = pattern(300_000);
    let writing = net.spawn({
        let sent = sent.clone();
        async move {
            let mut at = 0;
            while at < sent.len() {
                at += client
                    .write_with(sent.len() - at, |room| {
                        let len = room.len().min(sent.len() - at);
                        room[..len].copy_from_slice(&sent[at..at + len]);
                        len
                    })
                    .await
                    .unwrap();
            }
        }
    });
    let mut received = Vec::new();
    let read = async {
        while server
            .read_with(|bytes| {
                received.extend_from_slice(bytes);
                bytes.len()
            })
            .await
            .unwrap()
            > 0
        {}
    };
    block_on(read);
    writing.join().unwrap();
    assert!(received == sent);
}

#[test]
fn after_the_end_everything_fails_the_same_way() {
    let net = net();
    let (client, server) = block_on(connection(&net));
    let listener = TcpListener::bind(&net, localhost(0)).unwrap();
    let udp = UdpSocket::bind(&net, localhost(0)).unwrap();
    let forever = net.spawn(std::future::pending::<()>());
    let waiting = thread::spawn({
        let listener = Arc::new(listener);
        let other = Arc::clone(&listener);
        move || [block_on(listener.accept()).map(drop), block_on(other.accept()).map(drop)]
    });
    net.shutdown(Shutdown::Abort);
    net.join().unwrap();
    let mut results = vec![
        block_on(client.read(&mut [0; 8])).map(drop),
        block_on(server.write(b"x")).map(drop),
        client.try_read(&mut [0; 8]).map(drop),
        block_on(udp.recv_from(&mut [0; 8])).map(drop),
        block_on(udp.send_to(b"x", localhost(9))).map(drop),
        TcpListener::bind(&net, localhost(0)).map(drop),
        block_on(TcpStream::connect(&net, localhost(9))).map(drop),
        client.shutdown(std::net::Shutdown::Both),
        client.peer_addr().map(drop),
    ];
    results.extend(waiting.join().unwrap());
    for result in results {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::NetworkDown, Some(100)));
    }
    assert!(!forever.join().unwrap_err().is_panic());
    assert!(!net.spawn(async {}).join().unwrap_err().is_panic());
    block_on(net.sleep(SECOND * 1000));
    // What is dropped now closes nothing, and does no harm.
    drop((client, server, udp));
}

#[test]
fn a_drain_lets_what_was_written_arrive() {
    let [a, b] = common::net_pair();
    let listener = TcpListener::bind(&b, SocketAddr::from(([10, 1, 0, 2], 7))).unwrap();
    let receiving = b.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut received, mut buffer) = (Vec::new(), vec![0; 10_000]);
        while let len @ 1.. = stream.read(&mut buffer).await.unwrap() {
            received.extend_from_slice(&buffer[..len]);
        }
        received
    });
    let to = SocketAddr::from(([10, 1, 0, 2], 7));
    let stream = block_on(TcpStream::connect(&a, to)).unwrap();
    let waiting = TcpListener::bind(&a, SocketAddr::from(([10, 1, 0, 1], 8))).unwrap();
    let sent = pattern(200_000);
    // As much as the buffer takes at once.
    let len = stream.try_write(&sent).unwrap();
    a.shutdown(Shutdown::Drain(PATIENCE));
    a.join().unwrap();
    assert!(receiving.join().unwrap() == sent[..len]);
    assert!(block_on(waiting.accept()).is_err());
    let error = stream.try_write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
}

#[test]
fn a_drain_that_takes_too_long_resets() {
    let [a, b] = common::net_pair();
    let to = SocketAddr::from(([10, 1, 0, 2], 7));
    let listener = TcpListener::bind(&b, to).unwrap();
    let _stream = block_on(TcpStream::connect(&a, to)).unwrap();
    let (held, _) = block_on(listener.accept()).unwrap();
    a.shutdown(Shutdown::Drain(Duration::from_millis(20)));
    a.join().unwrap();
    // The other end, which never closes, is told in the end.
    let end = Instant::now() + PATIENCE;
    while held.tcp_info().unwrap().state != TcpState::Closed {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(1));
    }
    assert!(held.try_write(b"x").is_err());
}

#[test]
fn the_last_handle_ends_the_driver() {
    let (net, driver) = Net::builder().build().unwrap();
    let running = thread::spawn(move || driver.run());
    let (client, server) = block_on(connection(&net));
    drop(net);
    block_on(client.write_all(b"x")).unwrap();
    assert!(!running.is_finished());
    drop((client, server));
    running.join().unwrap().unwrap();
}

#[test]
fn tasks_that_wake_each_other_are_dropped_with_the_driver() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let net = net();
    let dropped = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind(&net, localhost(0)).unwrap();
    let addr = listener.local_addr().unwrap();
    for n in 0..10 {
        let (guard, inner, net) = (Guard(Arc::clone(&dropped)), net.clone(), net.clone());
        drop(net.spawn(async move {
            let _guard = guard;
            let stream = TcpStream::connect(&inner, addr).await.unwrap();
            if n % 2 == 0 {
                stream.read(&mut [0; 8]).await.unwrap();
            } else {
                inner.sleep(SECOND * 1000).await;
            }
        }));
    }
    let mut accepted = Vec::new();
    for _ in 0..10 {
        accepted.push(block_on(listener.accept()).unwrap());
    }
    net.shutdown(Shutdown::Abort);
    net.join().unwrap();
    let end = Instant::now() + PATIENCE;
    while dropped.load(Ordering::SeqCst) < 10 {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_sleeping_driver_is_rung_once() {
    let net = net();
    let socket = UdpSocket::bind(&net, localhost(0)).unwrap();
    let to = socket.local_addr().unwrap();
    // Asleep, and nothing to get up for.
    let settle = || thread::sleep(Duration::from_millis(30));
    settle();
    let before = net.rings();
    for _ in 0..10 {
        net.with(|stack, _| stack.snapshot());
    }
    assert_eq!(net.rings(), before, "nothing was left for the driver");
    let id = socket.ids().next().unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        settle();
        let before = net.rings();
        net.with(|stack, now| {
            for _ in 0..50 {
                stack.send_to(now, id, to, b"x").unwrap();
            }
        });
        settle();
        let rings = net.rings() - before;
        assert!(rings <= 1, "{rings} for one piece of work");
        // On a machine that is busy the driver may not have fallen asleep yet.
        if rings == 1 {
            break;
        }
        assert!(Instant::now() < end, "it never sleeps, or is never rung");
    }
}
