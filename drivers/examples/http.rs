//! An HTTP server and a client with `hyper`, each a task of its stack.
//!
//! ```sh
//! cargo run -p tapping-drivers --example http
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use tapping_drivers::aio::{TcpListener, TcpStream};
use tapping_drivers::device::DeviceConfig;
use tapping_drivers::net::Net;
use tapping_drivers::veth;
use tapping_stack::wire::ethernet::MacAddr;

type BoxError = Box<dyn Error + Send + Sync>;

/// A stream as hyper wants it. `hyper_util::rt::TokioIo` does the same for the traits of tokio.
struct Io(TcpStream);

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = [0; 8192];
        let len = buffer.len().min(room.remaining());
        let len = ready!(self.0.poll_read(cx, &mut buffer[..len]))?;
        room.put_slice(&buffer[..len]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::from(format!("hello, {}", request.uri().path())));
    if request.uri().path() != "/world" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

/// Each connection is a task; all run on the stack's own thread.
async fn serve(net: Net, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        drop(net.spawn_on(stream.shard(), async move {
            let connection = server::conn::http1::Builder::new();
            connection.serve_connection(Io(stream), service_fn(answer)).await
        }));
    }
}

async fn get(net: Net, paths: [&str; 2]) -> Result<Vec<(StatusCode, String)>, BoxError> {
    let stream = TcpStream::connect(&net, "10.0.0.2:80".parse()?).await?;
    let (mut sender, connection) = client::conn::http1::handshake(Io(stream)).await?;
    drop(net.spawn(connection));
    let mut answers = Vec::new();
    for path in paths {
        let request = Request::get(path).header("host", "10.0.0.2").body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        answers.push((status, String::from_utf8(body.to_vec())?));
    }
    Ok(answers)
}

pub fn main() -> Result<(), BoxError> {
    let end =
        |n| DeviceConfig { name: format!("veth{n}"), mac: MacAddr([2, 0, 0, 0, 0, n]), mtu: 1500 };
    let (a, b) = veth::channel_pair(end(1), end(2))?;
    let client = Net::builder().device(a).address("10.0.0.1/24".parse()?).start()?;
    let server = Net::builder().device(b).address("10.0.0.2/24".parse()?).start()?;

    let listener = TcpListener::bind(&server, "10.0.0.2:80".parse()?)?;
    drop(server.spawn(serve(server.clone(), listener)));
    let answers = client.spawn(get(client.clone(), ["/world", "/nobody"])).join()??;
    for (status, body) in &answers {
        println!("{status}: {body}");
    }
    assert_eq!(answers[0], (StatusCode::OK, "hello, /world".to_owned()));
    assert_eq!(answers[1].0, StatusCode::NOT_FOUND);
    Ok(())
}
