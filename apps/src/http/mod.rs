//! `tapping http`: one request, and what the server answers.

pub mod io;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs::File;
use std::io as stdio;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_lite::future::{or, poll_fn};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use tapping_drivers::aio::TcpStream;
use tapping_drivers::net::{Net, Shutdown};

use crate::cli::http::{HttpArgs, Method};
use crate::failure::{Failure, Stop, say};
use crate::names;
use crate::network::Online;
use crate::pipes::Output;
use crate::plan::Plan;
use crate::serve;
use io::Io;

/// What requests call the client.
const NAME: &str = concat!("tapping/", env!("CARGO_PKG_VERSION"));
/// The port of `http` (RFC 9110 §4.2.1).
const PORT: u16 = 80;
/// How long the last words of a connection may take.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(200);

/// Runs `tapping http`; gives the exit status.
pub fn run(args: &HttpArgs) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let place = Place::parse(&args.url)?;
    let request = request(args, &place)?;
    let target = names::resolve(&place.host)?;
    plan.check_route(&target).map_err(Stop::Refused)?;
    let mut online = Online::open(&plan)?;
    if let Some(peer) = online.peer() {
        serve::serve_defaults(peer)?;
    }
    let to = SocketAddr::from((target.addr, place.port));
    let net = online.net().clone();
    online.block_on(async {
        let status = fetch(args, &net, to, request).await;
        net.shutdown(Shutdown::Drain(LAST_WORDS));
        let _ = net.ended().await;
        status
    })?
}

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    /// As the `Host` field has it.
    authority: String,
    /// Path and query.
    target: String,
}

impl Place {
    fn parse(url: &str) -> Result<Self, Failure> {
        let bad = |why: &str| Failure(format!("{url}: {why}"));
        let uri: Uri = match url.contains("://") {
            true => url.parse(),
            // As curl has it.
            false => format!("http://{url}").parse(),
        }
        .map_err(|_| bad("this is no URL such as http://10.0.0.1/"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("only http is spoken here"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("it names no host"))?.to_string();
        if authority.as_str().contains('@') {
            return Err(bad("names and passwords are not sent over an open line"));
        }
        let port = match authority.port() {
            None if authority.as_str().ends_with(':') => PORT,
            None if authority.as_str().len() > host.len() => return Err(bad("this is no port")),
            None => PORT,
            Some(port) => match port.as_u16() {
                0 => return Err(bad("the port is 1 to 65535")),
                port => port,
            },
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
        let authority = authority.as_str().trim_end_matches(':').to_string();
        Ok(Place { host, port, authority, target })
    }
}

fn request(args: &HttpArgs, place: &Place) -> Result<Request<Nothing>, Failure> {
    let method = match args.method {
        Method::Get => hyper::Method::GET,
        Method::Head => hyper::Method::HEAD,
    };
    let mut request = Request::new(Nothing);
    *request.method_mut() = method;
    *request.uri_mut() = place
        .target
        .parse()
        .map_err(|_| Failure(format!("{}: this cannot be asked for", place.target)))?;
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(&place.authority)
        .map_err(|_| Failure(format!("{}: this is no host", place.authority)))?;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(NAME));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &args.headers {
        let bad = || Failure(format!("-H '{name}: {value}': this is no header field"));
        let field = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|_| bad())?;
        headers.insert(field, value);
    }
    Ok(request)
}

/// Asks and writes down the answer; gives the exit status.
async fn fetch(
    args: &HttpArgs,
    net: &Net,
    to: SocketAddr,
    request: Request<Nothing>,
) -> Result<u8, Stop> {
    let refused = |error: &dyn std::fmt::Display| {
        let (ip, port) = (to.ip(), to.port());
        Stop::Refused(Failure::new(format_args!("{ip} port {port}: {error}")))
    };
    let connected = net.timeout(args.patience, TcpStream::connect(net, to)).await;
    let stream = connected
        .unwrap_or_else(|_| Err(rustix::io::Errno::TIMEDOUT.into()))
        .map_err(|error| refused(&error))?;
    let io = Io::client(stream, args.patience);
    let (mut sender, connection) =
        http1::handshake(io).await.map_err(|error| refused(&plain(&error)))?;
    // It carries the answer until all of that is there, and after an error too.
    let connection = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    let exchange = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| refused(&plain(&error)))?;
        let status = response.status();
        let output = output(args)?;
        let shown = show(args, response, &output).await;
        let written = output.finish().await;
        shown.map_err(|error| match error {
            Lost::Net(error) => refused(&plain(&error)),
            Lost::Output(error) => error.into(),
        })?;
        written?;
        if status.is_success() {
            return Ok(0);
        }
        say(format_args!("tapping: {}: {status}", args.url));
        Ok(1)
    };
    or(exchange, async { match connection.await {} }).await
}

/// Where the body goes.
fn output(args: &HttpArgs) -> Result<Output, Stop> {
    let output = match &args.output {
        None => Output::stdout(),
        Some(path) => Output::to(create(path)?),
    };
    Ok(output.map_err(|error| Failure::new(format_args!("cannot start a thread: {error}")))?)
}

fn create(path: &PathBuf) -> Result<File, Failure> {
    File::create(path)
        .map_err(|error| Failure::new(format_args!("cannot write {}: {error}", path.display())))
}

/// What ended an answer.
enum Lost {
    Net(hyper::Error),
    Output(stdio::Error),
}

async fn show(args: &HttpArgs, response: Response<Incoming>, output: &Output) -> Result<(), Lost> {
    // Of a HEAD the head is all there is.
    if args.include || args.method == Method::Head {
        output.write(head(&response)).await.map_err(Lost::Output)?;
    }
    let mut body = pin!(response.into_body());
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(Lost::Net)?.into_data() {
            output.write(data.into()).await.map_err(Lost::Output)?;
        }
    }
    Ok(())
}

/// The status line and the fields, as they came.
fn head(response: &Response<Incoming>) -> Vec<u8> {
    let mut head = String::new();
    // Writing to a string does not fail.
    let _ = write!(head, "{:?} {}\r\n", response.version(), response.status());
    let mut head = head.into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

const ENDED_EARLY: &str = "the answer ended before its end";

/// What an error comes from, which says more than what hyper was doing.
fn plain(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<stdio::Error>() {
        Some(error) if error.kind() == stdio::ErrorKind::TimedOut => {
            stdio::Error::from(rustix::io::Errno::TIMEDOUT).to_string()
        }
        Some(error) if error.kind() == stdio::ErrorKind::UnexpectedEof => ENDED_EARLY.into(),
        _ if error.is_incomplete_message() => ENDED_EARLY.into(),
        _ if error.is_parse() => format!("this is no answer by HTTP: {cause}"),
        _ => cause.to_string(),
    }
}

/// The body of a request that has none.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, host, port, target) in [
            ("http://10.0.0.1/", "10.0.0.1", 80, "/"),
            ("http://h:8080/a/b?c=d", "h", 8080, "/a/b?c=d"),
            ("http://h", "h", 80, "/"),
            ("http://h?x", "h", 80, "/?x"),
            ("10.0.0.1/x", "10.0.0.1", 80, "/x"),
            ("10.0.0.1:81", "10.0.0.1", 81, "/"),
        ] {
            let place = Place::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            let told = (place.host.as_str(), place.port, place.target.as_str());
            assert_eq!(told, (host, port, target), "{url}");
        }
        assert_eq!(Place::parse("http://h:8080/").unwrap().authority, "h:8080");
        for url in [
            "https://h/",
            "ftp://h/",
            "http:///x",
            "http://",
            "",
            "http://h:0/",
            "http://h:65536/",
            "http://h:x/",
            "http://a b/",
            "http://me:secret@h/",
        ] {
            let Failure(why) = Place::parse(url).expect_err(url);
            assert!(why.starts_with(url), "{why}");
        }
    }
}
