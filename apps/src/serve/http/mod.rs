//! HTTP/1.1 (RFC 9110, RFC 9112): hyper reads requests and writes answers, a [`Site`] says what
//! they are.

mod body;
mod conditions;
mod files;
mod listing;
mod range;
mod site;
mod target;

pub use files::Root;
pub use site::Site;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;

use async_channel::Receiver;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tapping_drivers::aio::TcpStream;

use crate::http::io::Io;

/// Bytes of a request's head, and of an answer that wait to be taken.
const MAX_BUFFER: usize = 64 << 10;
/// Header fields of a request (nginx and Apache take 100).
const MAX_HEADERS: usize = 100;

/// Answers the requests of a connection, until either side has had enough; when `stop` is closed,
/// after the request that is under way.
pub async fn connection(
    stream: TcpStream,
    site: Site,
    stop: Receiver<Infallible>,
) -> std::io::Result<()> {
    // Answers are written whole; their ends are not to wait for more.
    stream.set_nodelay(true)?;
    let answer = service_fn(|request| {
        let site = &site;
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let mut http = http1::Builder::new();
    // Not pipeline_flush: with it hyper keeps the answer to a malformed request to itself.
    http.max_buf_size(MAX_BUFFER).max_headers(MAX_HEADERS).half_close(true);
    let mut connection = pin!(http.serve_connection(Io::server(stream), answer));
    let mut stopping = pin!(stop.recv());
    let mut told = false;
    let served = poll_fn(|cx| {
        if !told && stopping.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    // What clients do wrong is told to them, and nobody else's business.
    served.await.map_err(std::io::Error::other)
}
