//! `tapping serve`, with the kernel's sockets as clients.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{BINARY, Said, Scratch, User, command, served, served_by, tapping, users};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

/// Against a test that would hang.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("10.0.0.2", port)).expect("connect");
    stream.set_read_timeout(PATIENCE).unwrap();
    stream.set_write_timeout(PATIENCE).unwrap();
    stream
}

/// Bytes that do not repeat soon.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn tcp_echo_gives_back_everything_and_then_the_end() {
    served("--tcp-echo 7", || {
        let data = noise(8 << 20);
        let mut stream = connect(7);
        let mut writer = stream.try_clone().unwrap();
        let sent = data.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).expect("send");
            writer.shutdown(Shutdown::Write).expect("half close");
        });
        let mut echoed = Vec::new();
        stream.read_to_end(&mut echoed).expect("receive");
        writing.join().unwrap();
        assert!(echoed == data, "{} of {} bytes came back", echoed.len(), data.len());
    });
}

#[test]
fn a_client_that_does_not_read_is_the_only_one_to_wait() {
    served("--tcp-echo 7", || {
        let mut stalled = connect(7);
        stalled.set_nonblocking(true).unwrap();
        let data = vec![7; 1 << 20];
        let mut taken = 0;
        // As much as there is room for in both directions, which has an end.
        let mut refusals = 0;
        while refusals < 20 {
            match stalled.write(&data) {
                Ok(len) => taken += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    refusals += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
        let mut other = connect(7);
        other.write_all(b"hello").unwrap();
        let mut echoed = [0; 5];
        other.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"hello");
        // It has lost nothing by waiting.
        stalled.set_nonblocking(false).unwrap();
        stalled.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stalled.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), taken);
    });
}

#[test]
fn udp_echo_gives_back_datagrams_of_every_size() {
    served("--udp-echo 7", || {
        let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
        socket.set_read_timeout(PATIENCE).unwrap();
        socket.connect("10.0.0.2:7").unwrap();
        for len in [0, 1, 64, 1472, 1473, 9000] {
            let data = noise(len);
            socket.send(&data).unwrap();
            let mut buffer = vec![0; 10_000];
            let received = socket.recv(&mut buffer).unwrap();
            assert!(buffer[..received] == data, "{len} bytes");
        }
        // Two services must not keep each other busy.
        let chargen = UdpSocket::bind("10.0.0.1:19").unwrap();
        chargen.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        chargen.send_to(b"x", "10.0.0.2:7").unwrap();
        assert!(chargen.recv(&mut [0; 1]).is_err());
    });
}

#[test]
fn discard_and_chargen() {
    served("--discard 9 --chargen 19", || {
        let mut stream = connect(9);
        stream.write_all(&noise(1 << 20)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);

        let mut stream = connect(19);
        let mut text = vec![0; 100 * 74];
        stream.read_exact(&mut text).unwrap();
        let first: String = (' '..='g').collect();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!((lines[0], lines[95]), (first.as_str(), first.as_str()));
        assert!(lines[1].starts_with("!\"#") && lines.iter().all(|line| line.len() == 72));
        // Whoever goes away while it talks breaks nothing.
        drop(stream);
        assert_eq!(connect(19).read(&mut [0; 1]).unwrap(), 1);
    });
}

/// One request, and the answer: its status, its head and its body.
fn ask(request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = connect(80);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    split(&answer)
}

fn split(answer: &[u8]) -> (u16, String, Vec<u8>) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, head, answer[end..].to_vec())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

#[test]
fn one_small_page() {
    served("--http 80", || {
        let (status, head, body) = ask(&get("/"));
        assert_eq!((status, body.is_empty()), (200, false), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        let (status, head, body) = ask("HEAD / HTTP/1.0\r\n\r\n");
        assert_eq!((status, body.len()), (200, 0), "{head}");
        // Several requests at once are answered in their order.
        let several = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: x\r\n\r\n";
        let (_, _, rest) = ask(&format!("{several}{}", get("/3")));
        assert_eq!(rest.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count(), 2);
        // And so is one that is followed by the end of the stream.
        let mut stream = connect(80);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    });
}

#[test]
fn requests_that_are_none() {
    served("--http 80", || {
        for (request, status) in [
            ("\0\0\0\0\r\n\r\n".to_string(), 400),
            ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n".into(), 400),
            ("POST / HTTP/1.0\r\nHost: x\r\n\r\n".into(), 405),
            (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
        ] {
            let (got, head, _) = ask(&request);
            assert_eq!(got, status, "{head}");
        }
        // One that is never finished holds nobody up.
        let mut slow = connect(80);
        slow.write_all(b"GET / HT").unwrap();
        assert_eq!(ask(&get("/")).0, 200);
        slow.write_all(b"TP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    });
}

/// What is served in the tests below, where the server and its clients find it.
fn site(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let served = scratch.path("www");
    fs::create_dir_all(served.join("sub")).unwrap();
    fs::write(served.join("a.txt"), "0123456789").unwrap();
    fs::write(served.join("sub/page.html"), "<p>").unwrap();
    fs::write(served.join("large"), noise(4 << 20)).unwrap();
    fs::write(scratch.path("secret"), "secret").unwrap();
    symlink("../secret", served.join("out")).unwrap();
    scratch
}

#[test]
fn files_and_nothing_else() {
    let scratch = site("files");
    served(&format!("--http 80={}", scratch.path("www").display()), || {
        let (status, head, body) = ask(&get("/a.txt"));
        assert_eq!((status, body.as_slice()), (200, &b"0123456789"[..]));
        assert!(head.contains("content-type: text/plain\r\n"), "{head}");
        assert!(ask(&get("/large")).2 == noise(4 << 20));
        let range = "GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=1000000-1999999\r\n\
                     Connection: close\r\n\r\n";
        let (status, head, body) = ask(range);
        assert!(status == 206 && body == noise(4 << 20)[1_000_000..2_000_000], "{head}");
        let (status, _, listing) = ask(&get("/"));
        let listing = String::from_utf8(listing).unwrap();
        assert!(status == 200 && listing.contains("href=\"sub/\""), "{listing}");
        let (status, head, _) = ask(&get("/sub"));
        assert!(status == 301 && head.contains("location: /sub/\r\n"), "{head}");
        for (path, status) in [
            ("/nothing", 404),
            ("/out", 403),
            ("/../secret", 400),
            ("/sub/../../secret", 400),
            ("/%2e%2e/secret", 400),
            ("/..%2fsecret", 400),
        ] {
            let (got, _, body) = ask(&get(path));
            let body = String::from_utf8(body).unwrap();
            assert_eq!(got, status, "{path}");
            assert!(!body.starts_with("secret"), "{path}: {body}");
        }
    });
}

#[test]
fn a_thousand_connections_at_once() {
    let scratch = site("thousand");
    served(&format!("--http 80={}", scratch.path("www").display()), || {
        let most = getrlimit(Resource::Nofile).maximum;
        assert!(most.is_none_or(|most| most > 1100), "too few descriptors for this test: {most:?}");
        setrlimit(Resource::Nofile, Rlimit { current: Some(1100), maximum: most }).unwrap();
        let mut streams: Vec<TcpStream> = (0..1000).map(|_| connect(80)).collect();
        for round in 0..2 {
            for stream in &mut streams {
                stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            }
            for stream in &mut streams {
                let mut answer = Vec::new();
                while !answer.ends_with(b"0123456789") {
                    let mut buffer = [0; 1024];
                    let len = stream.read(&mut buffer).unwrap();
                    assert!(len > 0, "closed in round {round}");
                    answer.extend_from_slice(&buffer[..len]);
                }
                assert_eq!(split(&answer).0, 200);
            }
        }
    });
}

#[test]
fn more_connections_than_there_are_places() {
    served("--http 80 --tcp-echo 7 --max-connections 3", || {
        let mut held: Vec<TcpStream> = (0..3).map(|_| connect(80)).collect();
        for stream in &mut held {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert!(stream.read(&mut [0; 1]).unwrap() > 0);
        }
        // The reset may be there before connect has returned.
        let refused = TcpStream::connect("10.0.0.2:80");
        let error = refused.and_then(|mut stream| stream.read(&mut [0; 1])).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // Other services have places of their own, and one that is free is given away again.
        let mut echo = connect(7);
        echo.write_all(b"x").unwrap();
        echo.read_exact(&mut [0; 1]).unwrap();
        drop(held.pop());
        let mut answered = false;
        while !answered {
            let next = TcpStream::connect("10.0.0.2:80").and_then(|mut stream| {
                stream.write_all(get("/").as_bytes())?;
                stream.read(&mut [0; 1])
            });
            answered = next.is_ok_and(|len| len > 0);
        }
    });
}

#[test]
fn without_descriptors_new_requests_are_refused_and_old_ones_unharmed() {
    let scratch = site("descriptors");
    let options = format!("--http 80={}", scratch.path("www").display());
    // More than the buffers of a connection hold, of a file that takes no room.
    const LEN: u64 = 16 << 20;
    fs::File::create(scratch.path("www/sparse")).unwrap().set_len(LEN).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -Sn 32; exec \"$@\"", "sh"]).arg(&*BINARY);
    served_by(&mut shell, &options, || {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum: most }).unwrap();
        // Each holds the file for as long as it does not read on.
        let mut old = Vec::new();
        let refused = loop {
            let mut stream = connect(80);
            stream.write_all(get("/sparse").as_bytes()).unwrap();
            let mut start = vec![0; 13];
            stream.read_exact(&mut start).unwrap();
            if start.starts_with(b"HTTP/1.1 200 ") {
                old.push((stream, start));
                assert!(old.len() < 100, "descriptors without end");
            } else {
                break start;
            }
        };
        assert_eq!(refused, b"HTTP/1.1 503 ");
        for (mut stream, mut answer) in old {
            stream.read_to_end(&mut answer).unwrap();
            let body = split(&answer).2;
            assert!(body.len() as u64 == LEN && body.iter().all(|byte| *byte == 0));
        }
        assert_eq!(ask(&get("/a.txt")).0, 200);
    });
}

#[test]
fn ready_is_one_line_and_a_signal_is_a_good_end() {
    for user in users() {
        for (signal, options) in [(Signal::TERM, ""), (Signal::INT, "--peer ")] {
            let line = format!("serve {options}--control off --tcp-echo 7 --udp-echo 7 --http 80");
            let mut child = command(user, line.split(' '))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            let mut ready = String::new();
            out.read_line(&mut ready).unwrap();
            assert_eq!(ready, "ready 10.0.0.2\n");
            kill_process(Pid::from_child(&child), signal).unwrap();
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = Said::from_output(line, &output);
            assert_eq!((rest.as_str(), said.status, said.err.as_str()), ("", 0, ""), "{said:?}");
        }
    }
}

#[test]
fn a_command_beside_the_services() {
    let mut line: Vec<&str> = "serve --control off --http 80 --exec sh -c".split(' ').collect();
    line.push("exit 7");
    let said = Said::by(&mut command(User::Own, &line));
    if said.built_in_peer {
        said.refused(&["--exec"]);
        return;
    }
    assert_eq!(said.status, 7, "{said:?}");
    line.pop();
    line.push("kill -9 $$");
    assert_eq!(Said::by(&mut command(User::Own, &line)).status, 137);
    tapping("serve --control off --http 80 --exec /nosuchprogram").refused(&["/nosuchprogram"]);
}

#[test]
fn what_is_wrong() {
    for (line, words) in [
        ("serve", &["nothing to serve", "--http 80"][..]),
        ("serve --http 80=/nosuchdirectory", &["/nosuchdirectory", "No such file"]),
        ("serve --http 80=/etc/passwd", &["/etc/passwd", "Not a directory"]),
        ("serve --tcp-echo 0", &["1 to 65535"]),
        ("serve --tcp-echo 65536", &["1 to 65535"]),
        ("serve --peer --http 80 --exec true", &["--exec", "--peer"]),
        ("serve --tap a/b --http 80", &["'/'"]),
    ] {
        tapping(line).refused(words);
    }
    let said = tapping("serve --peer --control off --tcp-echo 7 --discard 7").status(1);
    assert_eq!(said.err, "tapping: TCP port 7: Address already in use\n");
    assert_eq!(said.out, "");
}
