//! Both ends on two stacks of this process, and peers that break the protocol.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tapping_drivers::aio::{TcpListener, TcpStream, UdpSocket};
use tapping_drivers::device::DeviceConfig;
use tapping_drivers::net::{JoinHandle, Net, block_on};
use tapping_drivers::veth;
use tapping_stack::wire::MacAddr;

use super::client::Client;
use super::fault::Fault;
use super::meter::Role;
use super::params::{Direction, Params, Protocol, Until};
use super::protocol::{COOKIE_LEN, Cookie, DEFAULT_PORT};
use super::report::Report;
use super::report::json::Json;
use super::server::{Console, Options, Server};
use super::session::Interrupt;
use super::{Journal, protocol};

/// Two hosts, 10.1.0.1 and 10.1.0.2.
fn hosts() -> [Net; 2] {
    let config =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 1, n]), mtu: 1500 };
    let (a, b) = veth::channel_pair(config(1), config(2)).unwrap();
    [(1, a), (2, b)].map(|(n, device)| {
        let address = format!("10.1.0.{n}/24").parse().unwrap();
        Net::builder().device(device).address(address).start().unwrap()
    })
}

fn server_addr() -> SocketAddr {
    ([10, 1, 0, 2], DEFAULT_PORT).into()
}

/// What a server had to say about tests that went wrong.
#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Vec<String>>>);

impl Faults {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Console for Faults {
    fn listening(&mut self, _: u16, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn report(&mut self) -> Box<dyn Report> {
        Journal.report()
    }

    fn failed(&mut self, fault: &Fault) {
        self.0.lock().unwrap().push(fault.to_string());
    }
}

fn never() -> Interrupt {
    Box::pin(std::future::pending())
}

fn serve(net: &Net, one_off: bool) -> (Faults, JoinHandle<Result<(), Fault>>) {
    let idle = Duration::from_secs(60);
    let options = Options { port: DEFAULT_PORT, interval: None, one_off, idle };
    let server = Server::bind(net, options).unwrap();
    let faults = Faults::default();
    let mut console = faults.clone();
    let serving = net.spawn(async move { server.run(&mut console, never()).await });
    (faults, serving)
}

/// Memory that a report is written to.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(params: Params) -> Client {
    Client {
        host: "server".into(),
        server: server_addr(),
        params,
        has_length: false,
        interval: None,
        connect_timeout: None,
        idle: Duration::from_secs(60),
        first_port: None,
        cookie: Cookie::new([7; COOKIE_LEN - 1]),
    }
}

/// Makes a test; its report.
fn test(net: &Net, params: Params) -> Result<Value, Fault> {
    let out = Sink::default();
    let mut report = Json::new(out.clone());
    block_on(client(params).run(net, &mut report, never()))?;
    Ok(serde_json::from_slice(&out.0.lock().unwrap()).expect("it is JSON"))
}

fn small() -> Params {
    Params { until: Until::Bytes(1_000_000), ..Params::default() }
}

#[test]
fn every_mode_between_two_stacks() {
    let [a, b] = hosts();
    let (faults, _serving) = serve(&b, false);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for direction in [Direction::Forward, Direction::Reverse, Direction::Both] {
            for parallel in [1, 3] {
                let until = match protocol {
                    Protocol::Tcp => Until::Bytes(3_000_000),
                    Protocol::Udp => Until::Blocks(60),
                };
                let rate = if protocol == Protocol::Udp { 10_000_000 } else { 0 };
                let base = Params::default();
                let params = Params { protocol, direction, parallel, until, rate, ..base };
                let streams = params.streams();
                let what = format!("{protocol:?} {direction:?} {parallel}");
                let report = test(&a, params).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                let end = &report["end"];
                assert_eq!(end["streams"].as_array().unwrap().len(), streams, "{what}");
                let sent = &end["sum_sent"];
                match protocol {
                    Protocol::Tcp => {
                        assert!(sent["bytes"].as_u64().unwrap() >= 3_000_000, "{what}: {end}");
                        assert_eq!(end["sender_tcp_congestion"], "cubic", "{what}");
                    }
                    Protocol::Udp => {
                        assert_eq!(sent["packets"], 60, "{what}: {end}");
                        assert_eq!(end["sum_received"]["lost_packets"], 0, "{what}: {end}");
                    }
                }
                let both = direction == Direction::Both;
                assert_eq!(end.get("sum_sent_bidir_reverse").is_some(), both, "{what}");
                let sends = direction != Direction::Reverse;
                assert_eq!(sent["sender"].as_bool(), Some(sends), "{what}");
            }
        }
    }
    assert_eq!(faults.all(), [""; 0]);
}

#[test]
fn the_servers_report_comes_to_the_client() {
    let [a, b] = hosts();
    let (_, _serving) = serve(&b, false);
    let params = Params { get_server_output: true, ..small() };
    let report = test(&a, params).unwrap();
    let text = report["server_output_text"].as_str().unwrap();
    assert!(text.starts_with("Accepted connection from 10.1.0.1, port "), "{text}");
    assert!(text.contains("receiver"), "{text}");
}

#[test]
fn options_that_the_other_end_does_not_have() {
    let [a, b] = hosts();
    let (faults, _serving) = serve(&b, false);
    let message = Params { congestion: Some("bogus".into()), ..small() }.to_json().to_string();
    let said = block_on(async {
        let stream = TcpStream::connect(&a, server_addr()).await.unwrap();
        send_params(&stream, &message).await;
        let data = TcpStream::connect(&a, server_addr()).await.unwrap();
        data.write_all(&[b'c'; COOKIE_LEN]).await.unwrap();
        rest(&stream).await
    });
    // SERVER_ERROR, IESETCONGESTION and ENOENT.
    assert_eq!(said, [0xfe, 0, 0, 0, 134, 0, 0, 0, 2]);
    assert!(faults.all()[0].contains("congestion control"), "{:?}", faults.all());
}

/// A client up to CREATE_STREAMS.
async fn send_params(stream: &TcpStream, message: &str) {
    stream.write_all(&[b'c'; COOKIE_LEN]).await.unwrap();
    let mut state = [0];
    stream.read_exact(&mut state).await.unwrap();
    assert_eq!(state, [9]);
    stream.write_all(&(message.len() as u32).to_be_bytes()).await.unwrap();
    stream.write_all(message.as_bytes()).await.unwrap();
    stream.read_exact(&mut state).await.unwrap();
    assert_eq!(state, [10]);
}

/// All that comes until the end.
async fn rest(stream: &TcpStream) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = stream.read(&mut buf).await {
        all.extend_from_slice(&buf[..read]);
    }
    all
}

#[test]
fn one_test_at_a_time() {
    let [a, b] = hosts();
    let (faults, _serving) = serve(&b, false);
    let (first, mute) = block_on(async {
        // Somebody who says nothing is in nobody's way.
        let mute = TcpStream::connect(&a, server_addr()).await.unwrap();
        let first = TcpStream::connect(&a, server_addr()).await.unwrap();
        first.write_all(&[b'1'; COOKIE_LEN]).await.unwrap();
        first.read_exact(&mut [0]).await.unwrap();
        (first, mute)
    });
    let denied = test(&a, small()).unwrap_err();
    assert!(matches!(denied, Fault::Denied), "{denied}");
    drop(first);
    // The server learns of it a little later.
    let report = loop {
        match test(&a, small()) {
            Err(Fault::Denied) => std::thread::yield_now(),
            result => break result.unwrap(),
        }
    };
    assert!(report["end"]["sum_received"]["bytes"].as_u64().unwrap() > 0);
    drop(mute);
    assert_eq!(faults.all().len(), 1, "{:?}", faults.all());
}

#[test]
fn a_server_goes_on_after_hostile_clients() {
    let [a, b] = hosts();
    let (faults, _serving) = serve(&b, false);
    let message = small().to_json().to_string();
    let framed = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let hostile: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "closed"),
        (vec![0xff; 4], "4294967295 bytes"),
        (vec![0, 0, 0x20, 1], "8193 bytes"),
        (framed(""), "JSON"),
        (framed("[]"), "object"),
        (framed(&"[".repeat(8192)), "JSON"),
        (framed(r#"{"parallel":1e9}"#), "parallel"),
        (framed(&message), "closed"),
        (framed(&message)[..20].to_vec(), "closed"),
    ];
    for (n, (bytes, word)) in hostile.iter().enumerate() {
        block_on(async {
            let stream = TcpStream::connect(&a, server_addr()).await.unwrap();
            stream.write_all(&[b'x'; COOKIE_LEN]).await.unwrap();
            let mut state = [0];
            stream.read_exact(&mut state).await.unwrap();
            assert_eq!(state, [9], "before {word}");
            stream.write_all(bytes).await.unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            rest(&stream).await;
        });
        while faults.all().len() <= n {
            std::thread::yield_now();
        }
        let fault = &faults.all()[n];
        assert!(fault.contains(word) && !fault.contains('\n'), "{word}: {fault}");
    }
    // Shorter than a cookie, or not what it is for.
    for garbage in [&b"GET / HTTP/1.1\r\nHost: x\r\n"[..], b""] {
        block_on(async {
            let stream = TcpStream::connect(&a, server_addr()).await.unwrap();
            stream.write_all(garbage).await.unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(rest(&stream).await.is_empty());
        });
    }
    test(&a, small()).unwrap();
    assert_eq!(faults.all().len(), hostile.len());
}

#[test]
fn states_out_of_turn_and_clients_that_leave() {
    let [a, b] = hosts();
    let (faults, _serving) = serve(&b, false);
    let message = Params { until: Until::Time(60), ..small() }.to_json().to_string();
    // While data flows: the client leaves, by a word, by an unknown word, by a wrong one, without.
    let endings: [(&[u8], &str); 4] = [
        (&[12], "the client has terminated"),
        (&[99], "0x63"),
        (&[13], "ExchangeResults came out of turn"),
        (&[], "closed"),
    ];
    for (n, (ending, word)) in endings.into_iter().enumerate() {
        block_on(async {
            let stream = TcpStream::connect(&a, server_addr()).await.unwrap();
            send_params(&stream, &message).await;
            // A stranger's stream is not the test's.
            let stranger = TcpStream::connect(&a, server_addr()).await.unwrap();
            stranger.write_all(&[b's'; COOKIE_LEN]).await.unwrap();
            assert_eq!(rest(&stranger).await, [0xff]);
            let data = TcpStream::connect(&a, server_addr()).await.unwrap();
            data.write_all(&[b'c'; COOKIE_LEN]).await.unwrap();
            let mut states = [0; 2];
            stream.read_exact(&mut states).await.unwrap();
            assert_eq!(states, [1, 2]);
            stream.write_all(ending).await.unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            rest(&stream).await;
        });
        while faults.all().len() <= n {
            std::thread::yield_now();
        }
        assert!(faults.all()[n].contains(word), "{word}: {:?}", faults.all());
    }
    test(&a, small()).unwrap();
}

/// A server that says these bytes in turn, each after so many bytes from the client.
fn script(net: &Net, says: Vec<(usize, Vec<u8>)>) -> JoinHandle<()> {
    let listener = TcpListener::bind(net, server_addr()).unwrap();
    net.spawn(async move {
        let (control, _) = listener.accept().await.unwrap();
        let mut streams = Vec::new();
        for (heard, words) in says {
            let mut buf = vec![0; heard];
            control.read_exact(&mut buf).await.unwrap();
            control.write_all(&words).await.unwrap();
            if words.first() == Some(&10) {
                streams.push(listener.accept().await.unwrap());
                control.write_all(&[1, 2]).await.unwrap();
            }
        }
        let _ = control.shutdown(std::net::Shutdown::Write);
        rest(&control).await;
    })
}

#[test]
fn a_client_and_hostile_servers() {
    let message = 4 + small().to_json().to_string().len();
    let cookie = COOKIE_LEN;
    // The client's TEST_END comes after its data connection is full; it needs no reading of that.
    let tiny = Params { until: Until::Bytes(1), block: 1, ..Params::default() };
    let tiny_message = 4 + tiny.to_json().to_string().len();
    let begun = vec![(cookie, vec![9]), (tiny_message, vec![10])];
    let then = |last: (usize, Vec<u8>)| [begun.clone(), vec![last]].concat();
    type Steps = Vec<(usize, Vec<u8>)>;
    let cases: Vec<(Params, Steps, &str)> = vec![
        (small(), vec![(cookie, vec![0xff])], "busy running a test"),
        (small(), vec![(cookie, b"HTTP".to_vec())], "0x48"),
        (small(), vec![(cookie, vec![14])], "DisplayResults came out of turn"),
        (small(), vec![(cookie, vec![])], "closed"),
        (small(), vec![(cookie, vec![11])], "the server has terminated"),
        (
            small(),
            vec![(cookie, vec![9]), (message, vec![0xfe, 0, 0, 0, 134, 0, 0, 0, 2])],
            "congestion control",
        ),
        (small(), vec![(cookie, vec![9]), (message, vec![0xfe, 0])], "closed"),
        (tiny.clone(), then((1, vec![2])), "TestRunning came out of turn"),
        (tiny.clone(), then((1, vec![13, 0xff, 0, 0, 0])), "bytes; 4194304 are taken"),
        (tiny.clone(), then((1, vec![13, 0, 0, 0, 1, b'{'])), "results"),
        (tiny.clone(), then((1, [&[13, 0, 0, 0, 2][..], b"{}"].concat())), "no streams"),
    ];
    for (params, says, word) in cases {
        let [a, b] = hosts();
        let _server = script(&b, says);
        let fault = test(&a, params).expect_err(word).to_string();
        assert!(fault.contains(word) && !fault.contains('\n'), "{word}: {fault}");
    }
}

#[test]
fn a_client_that_is_interrupted_says_so() {
    let [a, b] = hosts();
    let (faults, serving) = serve(&b, true);
    let client = client(Params { until: Until::Time(60), ..Params::default() });
    let net = a.clone();
    let interrupt = Box::pin(async move { net.sleep(Duration::from_millis(100)).await });
    let mut report = Journal.report();
    let fault = block_on(client.run(&a, &mut *report, interrupt)).unwrap_err();
    assert!(matches!(fault, Fault::Interrupted(Role::Client)), "{fault}");
    let fault = block_on(serving).unwrap().unwrap_err();
    assert!(matches!(fault, Fault::PeerLeft(Role::Client)), "{fault}");
    assert_eq!(faults.all().len(), 1);
}

#[test]
fn datagrams_that_are_lost_are_not_waited_for() {
    let [a, b] = hosts();
    let udp = UdpSocket::bind(&b, server_addr()).unwrap();
    let listener = TcpListener::bind(&b, server_addr()).unwrap();
    let params = Params {
        protocol: Protocol::Udp,
        direction: Direction::Reverse,
        until: Until::Blocks(10),
        block: 1448,
        ..Params::default()
    };
    let message = 4 + params.to_json().to_string().len();
    let server = b.spawn(async move {
        let (control, _) = listener.accept().await.unwrap();
        control.read_exact(&mut [0; COOKIE_LEN]).await.unwrap();
        control.write_all(&[9]).await.unwrap();
        control.read_exact(&mut vec![0; message]).await.unwrap();
        control.write_all(&[10]).await.unwrap();
        let (_, from) = udp.recv_from(&mut [0; 64]).await.unwrap();
        udp.send_to(super::datagram::REPLY, from).await.unwrap();
        control.write_all(&[1, 2]).await.unwrap();
        // The third is missing, and all after the fifth.
        for number in [1, 2, 4, 5] {
            let mut datagram = [0; 100];
            super::datagram::Header { sent_us: 0, number }.write(&mut datagram, false);
            udp.send_to(&datagram, from).await.unwrap();
        }
        let mut state = [0];
        control.read_exact(&mut state).await.unwrap();
        control.write_all(&[13]).await.unwrap();
        let mut length = [0; 4];
        control.read_exact(&mut length).await.unwrap();
        let mut results = vec![0; u32::from_be_bytes(length) as usize];
        control.read_exact(&mut results).await.unwrap();
        (state[0], serde_json::from_slice::<Value>(&results).unwrap())
    });
    // The server leaves with the results.
    let fault = test(&a, params).unwrap_err();
    assert!(matches!(fault, Fault::Closed), "{fault}");
    let (state, results) = block_on(server).unwrap();
    let stream = &results["streams"][0];
    assert_eq!(state, protocol::State::TestEnd.byte());
    assert_eq!((stream["packets"].as_u64(), stream["errors"].as_u64()), (Some(5), Some(1)));
}
