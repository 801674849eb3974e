//! `tapping nc` and `tapping http`, with the kernel's sockets at the other end, and without any.

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{BINARY, Said, Scratch, beside_the_kernel, tapping};
use tapping_drivers::testing::in_namespace;

/// Against a test that would hang.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// The command with this input; the words are separated by spaces.
fn with_input(line: &str, input: &str) -> Said {
    let mut command = Command::new(&*BINARY);
    command.args(line.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start it");
    // It may have ended without reading.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    Said::from_output(line.into(), &child.wait_with_output().expect("wait for it"))
}

#[test]
fn nc_is_a_client_of_the_kernel() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let listener = TcpListener::bind("10.0.0.1:9000").unwrap();
        let upper = thread::spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            let mut text = String::new();
            // The end comes only because nc tells it at the end of its input.
            stream.read_to_string(&mut text).unwrap();
            stream.write_all(text.to_uppercase().as_bytes()).unwrap();
            peer
        });
        let text = "hello\n".repeat(100_000);
        let said = with_input(&format!("nc {options} -s 10.0.0.2 -p 4000 10.0.0.1 9000"), &text);
        assert!(said.status == 0 && said.err.is_empty(), "{}", said.err);
        assert!(said.out == text.to_uppercase(), "{} bytes came back", said.out.len());
        assert_eq!(upper.join().unwrap().to_string(), "10.0.0.2:4000");

        let refused = with_input(&format!("nc {options} 10.0.0.1 9001"), "").status(1);
        let why = "tapping: connect to 10.0.0.1 port 9001 (tcp) failed: Connection refused\n";
        assert_eq!((refused.err.as_str(), refused.out.as_str()), (why, ""));
    });
}

#[test]
fn nc_tells_of_a_reset() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let listener = TcpListener::bind("10.0.0.1:9000").unwrap();
        let resetting = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.peek(&mut [0; 1]).unwrap();
            // Closing with something unread resets the connection (RFC 2525 §2.17).
        });
        let said = with_input(&format!("nc {options} -w 30 10.0.0.1 9000"), "x").status(1);
        resetting.join().unwrap();
        assert_eq!(said.err, "tapping: 10.0.0.1 port 9000: Connection reset by peer\n");
    });
}

/// A listening `tapping nc`, once it listens.
fn listening(line: &str, input: Stdio) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut command = Command::new(&*BINARY);
    command.args(line.split_whitespace()).stdin(input);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    err.read_line(&mut first).unwrap();
    assert!(first.contains(" on 0.0.0.0 9000"), "{first}");
    (child, err)
}

#[test]
fn nc_listens_for_one_or_for_many() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let scratch = Scratch::new("nc");
        fs::write(scratch.path("input"), "from nc").unwrap();
        let input = File::open(scratch.path("input")).unwrap();
        let (child, mut err) = listening(&format!("nc {options} -l -v 9000"), input.into());
        let mut stream = TcpStream::connect("10.0.0.2:9000").unwrap();
        stream.set_read_timeout(PATIENCE).unwrap();
        let port = stream.local_addr().unwrap().port();
        stream.write_all(b"to nc").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from nc");
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"to nc"[..]));
        let mut told = String::new();
        err.read_line(&mut told).unwrap();
        assert_eq!(told, format!("Connection received on 10.0.0.1 {port}\n"));

        let (mut child, _err) = listening(&format!("nc {options} -l -k -v 9000"), Stdio::null());
        let mut out = child.stdout.take().unwrap();
        for text in ["one", "two"] {
            let mut stream = TcpStream::connect("10.0.0.2:9000").unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            drop(stream);
            let mut heard = [0; 3];
            out.read_exact(&mut heard).unwrap();
            assert_eq!(heard, text.as_bytes());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn nc_speaks_udp() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let socket = UdpSocket::bind("10.0.0.1:9000").unwrap();
        socket.set_read_timeout(PATIENCE).unwrap();
        let answering = thread::spawn(move || {
            let mut buffer = [0; 100];
            let (len, peer) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..len].to_ascii_uppercase(), peer).unwrap();
        });
        let said = with_input(&format!("nc {options} -u -w 1 10.0.0.1 9000"), "hello").good();
        answering.join().unwrap();
        assert_eq!(said.out, "HELLO");

        let said = with_input(&format!("nc {options} -u -w 5 10.0.0.1 9001"), "hello").status(1);
        assert_eq!(said.err, "tapping: 10.0.0.1 port 9001: Connection refused\n");

        let line = format!("nc {options} -l -u -v -w 1 9000");
        let (child, _err) = listening(&line, Stdio::null());
        let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
        socket.send_to(b"one ", "10.0.0.2:9000").unwrap();
        socket.send_to(b"two", "10.0.0.2:9000").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"one two"[..]));
    });
}

#[test]
fn nc_and_the_services_of_the_built_in_peer() {
    let said = with_input("nc --peer 10.0.0.1 7", "hello").good();
    assert_eq!(said.out, "hello");
    let said = tapping("nc --peer -z -v -n 10.0.0.1 7-9").status(0);
    let lines: Vec<&str> = said.err.lines().collect();
    assert_eq!(lines.len(), 3, "{said:#?}");
    assert!(lines[0].starts_with("Connection to 10.0.0.1 7 port [tcp/"), "{said:#?}");
    assert!(lines[1].ends_with("port 8 (tcp) failed: Connection refused"), "{said:#?}");
    assert!(lines[2].ends_with(" succeeded!"), "{said:#?}");
    tapping("nc --peer -z 10.0.0.1 8").status(1);
    assert_eq!(tapping("nc --peer -z -u 10.0.0.1 8").status(1).out, "");
    // Nothing is said, so the connection is idle.
    let said = with_input("nc --peer -w 0.2 10.0.0.1 9", "hello").good();
    assert_eq!(said.out, "");
}

#[test]
fn nobody_answers() {
    for (line, why) in [
        ("nc --peer 10.0.0.9 80", "connect to 10.0.0.9 port 80 (tcp) failed: No route to host"),
        (
            "nc --peer -w 0.1 10.0.0.9 80",
            "connect to 10.0.0.9 port 80 (tcp) failed: Connection timed out",
        ),
        (
            "nc --peer -s 10.0.0.3 10.0.0.1 7",
            "connect to 10.0.0.1 port 7 (tcp) failed: Cannot assign requested address",
        ),
        (
            "nc --peer -l 10.0.0.3 80",
            "cannot listen on 10.0.0.3 port 80: Cannot assign requested address",
        ),
        ("http --peer GET http://10.0.0.1:81/", "10.0.0.1 port 81: Connection refused"),
        ("http --peer GET http://10.0.0.9/", "10.0.0.9 port 80: No route to host"),
        ("http --peer -w 0.1 GET http://10.0.0.9/", "10.0.0.9 port 80: Connection timed out"),
        ("http --peer -w 0.1 GET http://10.0.0.1:9/", "10.0.0.1 port 9: Connection timed out"),
    ] {
        let said = tapping(line).status(1);
        assert_eq!((said.err, said.out.as_str()), (format!("tapping: {why}\n"), ""));
    }
    for line in ["nc --peer 192.0.2.1 80", "http --peer GET http://192.0.2.1/"] {
        let said = tapping(line).status(1);
        assert!(said.err.contains("Network is unreachable") && said.err.contains("--gateway"));
        assert_eq!(said.err.lines().count(), 1, "{said:#?}");
    }
}

#[test]
fn what_is_wrong_here_is_status_2() {
    for (line, words) in [
        ("nc", &["HOST"][..]),
        ("nc 10.0.0.1", &["host and a port"]),
        ("nc 10.0.0.1 0", &["1 to 65535"]),
        ("nc 10.0.0.1 70000", &["1 to 65535"]),
        ("nc 10.0.0.1 no-such-service", &["no-such-service"]),
        ("nc 10.0.0.1 1-9", &["-z"]),
        ("nc -k 10.0.0.1 80", &["-l"]),
        ("nc -w x 10.0.0.1 80", &["-w"]),
        ("nc nosuchhost.invalid 80", &["nosuchhost.invalid"]),
        ("http", &["METHOD", "URL"]),
        ("http GET", &["URL"]),
        ("http PUT http://10.0.0.1/", &["PUT", "GET"]),
        ("http GET https://10.0.0.1/", &["https://10.0.0.1/", "only http"]),
        ("http GET http://10.0.0.1:0/", &["1 to 65535"]),
        ("http GET http://nosuchhost.invalid/", &["nosuchhost.invalid"]),
        ("http --peer -o /nosuchdirectory/x GET http://10.0.0.1/", &["/nosuchdirectory/x"]),
    ] {
        tapping(line).refused(words);
    }
}

#[test]
fn http_of_the_built_in_peer() {
    let page = tapping("http --peer GET http://10.0.0.1/").good().out;
    assert!(page.contains("tapping"), "{page}");
    let whole = tapping("http --peer -i get 10.0.0.1/any").good().out;
    assert!(whole.starts_with("HTTP/1.1 200 OK\r\n"), "{whole}");
    assert!(whole.ends_with(&format!("\r\n\r\n{page}")), "{whole}");
    let head = tapping("http --peer HEAD http://10.0.0.1/").good().out;
    assert!(head.contains(&format!("content-length: {}\r\n", page.len())), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let scratch = Scratch::new("http");
    let file = scratch.path("page");
    tapping(&format!("http --peer -o {} GET http://10.0.0.1/", file.display())).good();
    assert_eq!(fs::read_to_string(file).unwrap(), page);
}

/// Answers one request with this, and closes the connection.
fn answering(answer: &'static [u8]) -> thread::JoinHandle<String> {
    let listener = TcpListener::bind("10.0.0.1:80").unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut request).unwrap() > 0, "{request}");
        }
        let mut stream = reader.into_inner();
        stream.write_all(answer).unwrap();
        request
    })
}

#[test]
fn http_of_other_servers() {
    in_namespace(|| {
        let options = beside_the_kernel();
        let server = answering(b"HTTP/1.0 200 OK\r\n\r\nuntil the end");
        let mut command = Command::new(&*BINARY);
        command.args(["http"]).args(options.split(' ')).args(["-H", "X-Test: some words"]);
        let said = Said::by(command.args(["GET", "http://10.0.0.1/a?b"])).good();
        assert_eq!(said.out, "until the end");
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /a?b HTTP/1.1\r\n"), "{request}");
        for field in ["host: 10.0.0.1", "x-test: some words", "connection: close"] {
            assert!(request.contains(&format!("{field}\r\n")), "{request}");
        }

        for (answer, status, out, err) in [
            (
                &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"[..],
                0,
                "abcde",
                "",
            ),
            (
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n",
                1,
                "no\n",
                "tapping: http://10.0.0.1/: 404 Not Found\n",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
                1,
                "abc",
                "tapping: 10.0.0.1 port 80: the answer ended before its end\n",
            ),
            (b"", 1, "", "tapping: 10.0.0.1 port 80: the answer ended before its end\n"),
        ] {
            let server = answering(answer);
            let said = tapping(&format!("http {options} GET http://10.0.0.1/"));
            server.join().unwrap();
            let told = (said.status, said.out.as_str(), said.err.as_str());
            assert_eq!(told, (status, out, err));
        }
        let server = answering(b"SSH-2.0-something\r\n");
        let said = tapping(&format!("http {options} GET http://10.0.0.1/")).status(1);
        server.join().unwrap();
        assert!(said.err.contains("this is no answer by HTTP"), "{said:#?}");
    });
}
