//! A stack behind a lock, its control socket, and clients of all kinds.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tapping_stack::time::Instant;
use tapping_stack::wire::MacAddr;
use tapping_stack::{Config, LinkConfig, Stack};

use super::client::Client;
use super::model::Query;
use super::server::{MAX_REQUEST, Server};
use super::*;

const ALL: Query = Query { tcp: true, udp: true, raw: true, states: u32::MAX, info: true };

/// Stacks that stand still.
#[derive(Clone)]
struct Still(Arc<Mutex<Vec<Stack>>>);

impl Source for Still {
    fn shards(&self) -> usize {
        self.0.lock().expect("nobody panics").len()
    }

    fn look(&self, shard: usize, look: &mut dyn FnMut(&Stack, Instant)) -> std::io::Result<()> {
        look(&self.0.lock().expect("nobody panics")[shard], Instant::from_secs(7));
        Ok(())
    }
}

fn stack(seed: u64) -> Stack {
    let mut stack = Stack::new(Config::default(), seed);
    let link = stack.add_link(LinkConfig::new("tap0", MacAddr([2, 0, 0, 0, 0, 1]))).expect("new");
    stack.add_address(Instant::ZERO, link, "10.0.0.2/24".parse().expect("right")).expect("new");
    stack
}

/// A stack with so many listeners.
fn busy(listeners: usize) -> Still {
    let mut stack = stack(1);
    for n in 0..listeners {
        let socket = stack.open_tcp().expect("there is room");
        let addr: SocketAddr = format!("10.0.0.2:{}", 1000 + n).parse().expect("right");
        stack.bind(socket, addr).expect("it is free");
        stack.listen(Instant::ZERO, socket, 5).expect("it is bound");
    }
    Still(Arc::new(Mutex::new(vec![stack])))
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("tapping-control-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("it can be made");
        Scratch(dir)
    }

    fn serve(&self, source: Still) -> Server {
        Server::at(&self.0.join("s"), "test", Box::new(source)).expect("it can be served")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn raw(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("it can be set");
    stream
}

fn line_of(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    line
}

#[test]
fn what_there_is_comes_in_pages() {
    let scratch = Scratch::new("pages");
    let server = scratch.serve(busy(2500));
    let mut client = Client::connect(server.path()).expect("it listens");
    let about = client.about().expect("it answers");
    assert_eq!((about.name.as_str(), about.pid, about.shards), ("test", std::process::id(), 1));
    let mut ports = Vec::new();
    client.sockets(ALL, |socket| ports.push(socket.local.port())).expect("it answers");
    ports.sort();
    assert_eq!(ports, (1000..3500).collect::<Vec<_>>());
    let mut none = 0;
    client.sockets(Query { tcp: false, ..ALL }, |_| none += 1).expect("it answers");
    assert_eq!(none, 0);
    let links = client.links().expect("it answers");
    assert_eq!(links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["lo", "tap0"]);
    assert_eq!(client.routes().expect("it answers").len(), 6);
    assert_eq!(client.neighbours().expect("it answers"), []);
    assert!(client.counters().expect("it answers").groups.iter().any(|group| group.name == "Ip"));
}

#[test]
fn stacks_that_share_the_work_are_one() {
    let source = Still(Arc::new(Mutex::new((0..3).map(stack).collect())));
    for (n, stack) in source.0.lock().expect("nobody panics").iter_mut().enumerate() {
        for _ in 0..=n {
            let socket = stack.open_udp().expect("there is room");
            stack.bind(socket, "10.0.0.2:0".parse().expect("right")).expect("it is free");
        }
        let socket = stack.open_ping(None).expect("there is room");
        let echo = [8, 0, 0, 0, 0, 0, 0, 1];
        let peer = "10.0.0.9:0".parse().expect("right");
        stack.send_to(Instant::from_secs(1), socket, peer, &echo).expect("it can be sent");
        stack.handle_timeout(Instant::from_secs(2));
    }
    let scratch = Scratch::new("shards");
    let server = scratch.serve(source);
    let mut client = Client::connect(server.path()).expect("it listens");
    let mut inodes = std::collections::HashSet::new();
    client.sockets(ALL, |socket| assert!(inodes.insert(socket.ino))).expect("it answers");
    assert_eq!(inodes.len(), 1 + 2 + 3 + 3);
    let links = client.links().expect("it answers");
    // Each has asked for the neighbour, and asked again.
    let sent = links[1].counters.iter().find(|(name, _)| name == "tx_packets");
    assert_eq!((links.len(), sent.map(|(_, n)| *n)), (2, Some(6)));
    // All three ask for the same neighbour.
    assert_eq!(client.neighbours().expect("it answers").len(), 1);
    assert_eq!(client.routes().expect("it answers").len(), 6);
}

#[test]
fn nobody_else_can_connect() {
    let scratch = Scratch::new("mode");
    let server = scratch.serve(busy(0));
    assert_eq!(fs::metadata(server.path()).expect("it is there").mode() & 0o777, 0o600);
    let path = server.path().to_path_buf();
    drop(server);
    assert!(!path.exists());
}

#[test]
fn nonsense_is_answered_and_too_much_of_it_ends() {
    let scratch = Scratch::new("nonsense");
    let server = scratch.serve(busy(1));
    let mut stream = raw(server.path());
    for nonsense in [
        "",
        "x",
        "{}",
        "[1,2]",
        "{\"v\":1}",
        "{\"v\":1,\"get\":\"nothing\"}",
        "\u{1}\u{0}",
        "{\"v\":1,\"get\":\"sockets\"}",
        "{\"v\":-1,\"get\":\"about\"}",
        "{\"v\":1,\"get\":\"about\"",
        "{\"v\":1,\"get\":\"sockets\",\"from\":\"x\",\"tcp\":true}",
    ] {
        stream.write_all(format!("{nonsense}\n").as_bytes()).expect("it is read");
        let reply = line_of(&stream);
        assert!(reply.starts_with("{\"v\":1,\"error\":\"not a request"), "{nonsense:?}: {reply}");
    }
    stream.write_all(b"{\"v\":2,\"get\":\"about\"}\n").expect("it is read");
    assert!(line_of(&stream).contains("version 2 is not spoken here"));
    for from in [u64::MAX, 1 << 48, (1 << 48) - 1, 1 << 33] {
        for get in ["sockets", "routes", "neighbours"] {
            let query = "\"tcp\":true,\"udp\":true,\"raw\":true,\"states\":4095,\"info\":true";
            let ask = format!("{{\"v\":1,\"get\":\"{get}\",\"from\":{from},{query}}}\n");
            stream.write_all(ask.as_bytes()).expect("it is read");
            let reply = line_of(&stream);
            assert!(reply.starts_with("{\"v\":1,\"ok\":{\"items\":["), "{ask}: {reply}");
        }
    }
    stream.write_all(&[b'['; MAX_REQUEST]).expect("it is read");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it ends");
    assert!(said.contains("at most 4096 bytes"), "{said}");
    // Others are none the worse.
    Client::connect(server.path()).expect("it listens").about().expect("it answers");
}

#[test]
fn deep_nesting_does_no_harm() {
    let scratch = Scratch::new("nesting");
    let server = scratch.serve(busy(0));
    let mut stream = raw(server.path());
    let mut deep = vec![b'['; MAX_REQUEST - 1];
    deep.push(b'\n');
    stream.write_all(&deep).expect("it is read");
    assert!(line_of(&stream).contains("not a request"));
}

#[test]
fn clients_that_stall_hold_up_nobody() {
    let scratch = Scratch::new("stall");
    let server = scratch.serve(busy(3000));
    let query = "{\"v\":1,\"get\":\"sockets\",\"tcp\":true,\"udp\":true,\"raw\":true,\
                 \"states\":4095,\"info\":true}\n";
    let mut stalled = Vec::new();
    for n in 0..40 {
        let mut stream = raw(server.path());
        match n % 3 {
            // Says half a request.
            0 => stream.write_all(b"{\"v\":1,").expect("it is read"),
            // Asks for much and reads nothing.
            1 => (0..8).for_each(|_| {
                let _ = stream.write_all(query.as_bytes());
            }),
            // Says nothing.
            _ => {}
        }
        stalled.push(stream);
        let mut client = Client::connect(server.path()).expect("it listens");
        assert_eq!(client.about().expect("it answers").name, "test");
    }
    // The last ones are still served.
    let stream = stalled.last_mut().expect("there are some");
    let _ = stream.write_all(b"\"get\":\"about\"}\n");
    assert!(line_of(stream).contains("test"));
}

#[test]
fn requests_may_come_together_and_in_pieces() {
    let scratch = Scratch::new("pieces");
    let server = scratch.serve(busy(1));
    let mut stream = raw(server.path());
    let about = "{\"v\":1,\"get\":\"about\"}\n";
    stream.write_all(about.repeat(3).as_bytes()).expect("it is read");
    for byte in about.bytes() {
        stream.write_all(&[byte]).expect("it is read");
    }
    stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    let replies = BufReader::new(&stream).lines().collect::<Result<Vec<_>, _>>().expect("text");
    assert_eq!(replies.len(), 4);
    assert!(replies.iter().all(|reply| reply.contains("\"name\":\"test\"")));
}

#[test]
fn stale_sockets_give_way_and_living_ones_do_not() {
    let scratch = Scratch::new("stale");
    let path = scratch.0.join("s");
    drop(UnixListener::bind(&path).expect("it can be made"));
    assert!(path.exists());
    let server = scratch.serve(busy(0));
    let again = Server::at(&path, "test", Box::new(busy(0))).expect_err("it is taken");
    assert!(again.0.contains("somebody serves there already"), "{again}");
    drop(server);
    fs::write(&path, "precious").expect("it can be written");
    let file = Server::at(&path, "test", Box::new(busy(0))).expect_err("it is no socket");
    assert!(file.0.contains("no socket"), "{file}");
    assert_eq!(fs::read(&path).expect("it is there"), b"precious");
    let long = scratch.0.join("x".repeat(120));
    let long = Server::at(&long, "test", Box::new(busy(0))).expect_err("it is too long");
    assert!(long.0.starts_with("cannot serve at "), "{long}");
}

#[test]
fn an_end_is_told() {
    let scratch = Scratch::new("end");
    let server = scratch.serve(busy(0));
    let mut client = Client::connect(server.path()).expect("it listens");
    client.about().expect("it answers");
    let path = server.path().to_path_buf();
    drop(server);
    let failure = client.about().expect_err("it has ended");
    assert!(failure.0.starts_with("cannot ask the stack at "), "{failure}");
    assert!(Client::connect(&path).expect_err("it has ended").0.contains("No such file"));
}

#[test]
fn a_stack_that_has_ended_says_so() {
    struct Ended;
    impl Source for Ended {
        fn shards(&self) -> usize {
            1
        }
        fn look(&self, _: usize, _: &mut dyn FnMut(&Stack, Instant)) -> std::io::Result<()> {
            Err(std::io::ErrorKind::NotConnected.into())
        }
    }
    let scratch = Scratch::new("ended");
    let server = Server::at(&scratch.0.join("s"), "x", Box::new(Ended)).expect("it can be served");
    let mut client = Client::connect(server.path()).expect("it listens");
    let failure = client.links().expect_err("there is no stack");
    assert!(failure.0.contains("the stack does not answer"), "{failure}");
    client.about().expect("that is known without");
}

#[test]
fn modes_of_files_stay_whatever_the_directory_allows() {
    let scratch = Scratch::new("public");
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let server = scratch.serve(busy(0));
    assert_eq!(fs::metadata(server.path()).expect("it is there").mode() & 0o777, 0o600);
}
