//! What is answered to a request: a page, a file or a part of one, a listing, or why not.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, HeaderMap,
    HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER, SERVER,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use rustix::io::Errno;

use super::body::{Answer, Part};
use super::conditions::{Validators, Verdict};
use super::files::{self, Found, OpenFile, Root};
use super::listing;
use super::range::{self, Wanted};
use super::target::{Bad, Name};

/// The page of a service without a directory.
const PAGE: &str = "This page comes from tapping, a TCP/IP stack in userspace.\n";
/// What answers call the server.
const NAME: &str = concat!("tapping/", env!("CARGO_PKG_VERSION"));
/// The file that stands for its directory.
const INDEX: &str = "index.html";
/// Separates the parts of an answer with several ranges; no file can be told by it, as its parts
/// have the lengths that they say.
const BOUNDARY: &str = "tapping-part-of-a-file";

/// What a service has to show.
#[derive(Debug, Clone)]
pub enum Site {
    /// One small page.
    Page,
    /// The files below a directory.
    Files(Root),
}

impl Site {
    /// Answers a request.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Answer> {
        let mut response = match self.respond(request).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        };
        let length = response.body().length();
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static(NAME));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if has_body(response.status()) {
            // A HEAD is told what a GET would bring; its body is left out on the way.
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        response
    }

    async fn respond<B>(&self, request: &Request<B>) -> Result<Response<Answer>, Refusal> {
        // RFC 9112 §3.2.
        let hosts = request.headers().get_all(HOST).iter().count();
        if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "one Host is needed"));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"));
        }
        let Site::Files(root) = self else {
            return Ok(text(StatusCode::OK, "text/plain; charset=utf-8", PAGE));
        };
        let name = Name::parse(request.uri().path())?;
        match root.find(&name.path).await? {
            Found::File(_) if name.is_dir => Err(Errno::NOTDIR.into()),
            Found::File(file) => {
                Ok(file_answer(file, &files::media_type(&name.path), request.headers()))
            }
            Found::Directory(_) if !name.is_dir => Ok(moved(&name, request.uri().query())),
            Found::Directory(directory) => match root.find(&name.join(INDEX)).await {
                Ok(Found::File(file)) => Ok(file_answer(file, "text/html", request.headers())),
                Err(error) if is_scarcity(&error) => Err(error.into()),
                _ => listing(&name, directory).await,
            },
            Found::Other => Err(Refusal::new(StatusCode::FORBIDDEN, "not a file")),
        }
    }
}

/// Whether answers of this status have a body, and so a length.
fn has_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT)
}

async fn listing(name: &Name, directory: OwnedFd) -> Result<Response<Answer>, Refusal> {
    let (entries, more) = files::list(directory).await?;
    Ok(text(StatusCode::OK, "text/html; charset=utf-8", listing::page(name, entries, more)))
}

/// A directory is named with a slash at the end, so that what its page names is below it.
fn moved(name: &Name, query: Option<&str>) -> Response<Answer> {
    let mut place = Name { is_dir: true, ..name.clone() }.encoded();
    if let Some(query) = query {
        place = format!("{place}?{query}");
    }
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "text/plain; charset=utf-8", "");
    if let Ok(place) = HeaderValue::try_from(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

fn file_answer(file: OpenFile, media_type: &str, request: &HeaderMap) -> Response<Answer> {
    let len = file.len;
    let validators = Validators::new(len, file.modified);
    let mut response = match validators.check(request) {
        Verdict::NotModified => empty(StatusCode::NOT_MODIFIED),
        Verdict::Failed => {
            Refusal::new(StatusCode::PRECONDITION_FAILED, "it has changed").response()
        }
        Verdict::Go => {
            let range = request.get(RANGE).and_then(|value| value.to_str().ok());
            let wanted = range
                .filter(|_| validators.allow_range(request))
                .map_or(Wanted::Whole, |value| range::parse(value, len));
            ranged(file, media_type, wanted)
        }
    };
    let headers = response.headers_mut();
    set(headers, ETAG, &validators.etag);
    // RFC 9110 §8.8.2.1: no time that has yet to come.
    if let Some(modified) = validators.modified.filter(|at| *at <= SystemTime::now()) {
        set(headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn ranged(file: OpenFile, media_type: &str, wanted: Wanted) -> Response<Answer> {
    let len = file.len;
    match wanted {
        Wanted::Whole => {
            let mut response = Response::new(Answer::parts(file, [Part::File(0..len)]));
            set(response.headers_mut(), CONTENT_TYPE, media_type);
            response
        }
        Wanted::Unsatisfiable => {
            let why = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such part");
            let mut response = why.response();
            set(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{len}"));
            response
        }
        Wanted::Parts(parts) => match parts.as_slice() {
            [part] => {
                let mut response = Response::new(Answer::parts(file, [Part::File(part.clone())]));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let headers = response.headers_mut();
                set(headers, CONTENT_TYPE, media_type);
                set(headers, CONTENT_RANGE, &content_range(part, len));
                response
            }
            parts => {
                let mut response = Response::new(multipart(file, media_type, parts));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let kind = format!("multipart/byteranges; boundary={BOUNDARY}");
                set(response.headers_mut(), CONTENT_TYPE, &kind);
                response
            }
        },
    }
}

/// Several ranges, each with what it is (RFC 9110 §14.6).
fn multipart(file: OpenFile, media_type: &str, ranges: &[Range<u64>]) -> Answer {
    let len = file.len;
    let bytes = |text: String| Part::Bytes(Bytes::from(text));
    let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let content_range = content_range(range, len);
        parts.push(bytes(format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: {media_type}\r\nContent-Range: {content_range}\r\n\r\n"
        )));
        parts.push(Part::File(range.clone()));
    }
    parts.push(bytes(format!("\r\n--{BOUNDARY}--\r\n")));
    Answer::parts(file, parts)
}

fn content_range(range: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end - 1)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn text(status: StatusCode, media_type: &str, text: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::bytes(text));
    *response.status_mut() = status;
    set(response.headers_mut(), CONTENT_TYPE, media_type);
    response
}

fn empty(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::default());
    *response.status_mut() = status;
    response
}

/// Why a request gets nothing.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: &str) -> Self {
        Refusal { status, why: why.to_string() }
    }

    fn response(self) -> Response<Answer> {
        let line = format!("{}: {}\n", self.status, self.why);
        let mut response = text(self.status, "text/plain; charset=utf-8", line);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => set(headers, ALLOW, "GET, HEAD"),
            StatusCode::SERVICE_UNAVAILABLE => set(headers, RETRY_AFTER, "1"),
            _ => {}
        }
        response
    }
}

impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Malformed => Refusal::new(StatusCode::BAD_REQUEST, "this is no path"),
            Bad::Hidden => Refusal::new(StatusCode::NOT_FOUND, "no such file"),
        }
    }
}

/// Whether the process or the system has run out of something, which may be there again soon.
fn is_scarcity(error: &io::Error) -> bool {
    let scarce = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN];
    scarce.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let is = |errnos: &[Errno]| {
            errnos.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
        };
        if is_scarcity(&error) {
            return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "try again");
        }
        if is(&[Errno::NOENT, Errno::NOTDIR, Errno::NAMETOOLONG, Errno::LOOP, Errno::NXIO]) {
            return Refusal::new(StatusCode::NOT_FOUND, "no such file");
        }
        if is(&[Errno::ACCESS, Errno::PERM, Errno::XDEV]) {
            return Refusal::new(StatusCode::FORBIDDEN, "it may not be read");
        }
        tracing::warn!("cannot answer a request: {error}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "it cannot be read")
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

#[cfg(test)]
mod tests;
