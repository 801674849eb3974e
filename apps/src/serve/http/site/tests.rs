use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::{block_on, poll_fn};
use hyper::body::Body;

use super::*;

/// A site with a few files; gone when dropped.
struct Scratch(PathBuf, Site);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tapping-site-{}-{n}", std::process::id()));
        fs::create_dir_all(dir.join("with index")).unwrap();
        fs::create_dir_all(dir.join("sub/.git")).unwrap();
        fs::write(dir.join("a.txt"), "0123456789").unwrap();
        fs::write(dir.join("sub/b&c.html"), "<p>").unwrap();
        fs::write(dir.join("with index/index.html"), "index").unwrap();
        fs::write(dir.join("large"), vec![7; 200_000]).unwrap();
        fs::write(dir.join("empty"), "").unwrap();
        let site = Site::Files(Root::open(&dir).unwrap());
        Scratch(dir, site)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An answer, read to its end.
struct Read {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Read {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn ask(site: &Site, method: &str, target: &str, fields: &[(&str, &str)]) -> Read {
    let mut request = Request::builder().method(method).uri(target).header("host", "h");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    read(site, &request.body(()).unwrap())
}

fn read(site: &Site, request: &Request<()>) -> Read {
    block_on(async {
        let (head, body) = site.answer(request).await.into_parts();
        let mut body = pin!(body);
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        Read { status: head.status.as_u16(), headers: head.headers, body: bytes }
    })
}

fn get(site: &Site, target: &str) -> Read {
    ask(site, "GET", target, &[])
}

#[test]
fn files_with_their_types() {
    let Scratch(_, site) = &Scratch::new();
    let file = get(site, "/a.txt");
    assert_eq!((file.status, file.text()), (200, "0123456789"));
    assert_eq!(file.header("content-type"), "text/plain");
    assert_eq!(file.header("content-length"), "10");
    assert_eq!(file.header("accept-ranges"), "bytes");
    assert!(file.header("etag").starts_with('"') && !file.header("last-modified").is_empty());
    let large = get(site, "/large?query");
    assert_eq!((large.body.len(), large.header("content-length")), (200_000, "200000"));
    let empty = get(site, "/empty");
    assert_eq!((empty.status, empty.body.len(), empty.header("content-length")), (200, 0, "0"));
    let head = ask(site, "HEAD", "/large", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, "200000"));
}

#[test]
fn parts_of_files() {
    let Scratch(_, site) = &Scratch::new();
    let ranged = |range| ask(site, "GET", "/a.txt", &[("range", range)]);
    for (range, text, content_range) in
        [("bytes=0-3", "0123", "bytes 0-3/10"), ("bytes=-2", "89", "bytes 8-9/10")]
    {
        let part = ranged(range);
        assert_eq!((part.status, part.text()), (206, text));
        assert_eq!(part.header("content-range"), content_range);
        assert_eq!(part.header("content-length"), text.len().to_string());
    }
    let none = ranged("bytes=10-");
    assert_eq!((none.status, none.header("content-range")), (416, "bytes */10"));
    assert_eq!(ranged("lines=1-2").status, 200);

    let several = ranged("bytes=0-1,8-");
    assert_eq!(several.status, 206);
    let kind = several.header("content-type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect(kind);
    let part = |range, text| {
        let kind = "Content-Type: text/plain\r\nContent-Range: bytes ";
        format!("\r\n--{boundary}\r\n{kind}{range}/10\r\n\r\n{text}")
    };
    let expected = format!("{}{}\r\n--{boundary}--\r\n", part("0-1", "01"), part("8-9", "89"));
    assert_eq!(several.text(), expected);
    assert_eq!(several.header("content-length"), expected.len().to_string());
}

#[test]
fn conditions_are_looked_at() {
    let Scratch(_, site) = &Scratch::new();
    let whole = get(site, "/a.txt");
    let (tag, date) = (whole.header("etag"), whole.header("last-modified"));
    for fields in [[("if-none-match", tag)], [("if-modified-since", date)]] {
        let same = ask(site, "GET", "/a.txt", &fields);
        assert_eq!((same.status, same.body.len()), (304, 0));
        assert_eq!((same.header("etag"), same.header("content-length")), (tag, ""));
    }
    assert_eq!(ask(site, "GET", "/a.txt", &[("if-match", "\"x\"")]).status, 412);
    let range = ("range", "bytes=0-1");
    assert_eq!(ask(site, "GET", "/a.txt", &[range, ("if-range", tag)]).status, 206);
    assert_eq!(ask(site, "GET", "/a.txt", &[range, ("if-range", "\"x\"")]).status, 200);
}

#[test]
fn directories() {
    let Scratch(_, site) = &Scratch::new();
    let root = get(site, "/");
    assert_eq!(root.status, 200);
    assert_eq!(root.header("content-type"), "text/html; charset=utf-8");
    for link in ["href=\"a.txt\"", "href=\"sub/\"", "href=\"with%20index/\""] {
        assert!(root.text().contains(link), "no {link} in {}", root.text());
    }
    let sub = get(site, "/sub/");
    assert!(sub.text().contains("b&amp;c.html") && !sub.text().contains(".git"));
    let moved = get(site, "/sub?x=1");
    assert_eq!((moved.status, moved.header("location")), (301, "/sub/?x=1"));
    let index = get(site, "/with%20index/");
    assert_eq!((index.text(), index.header("content-type")), ("index", "text/html"));
}

#[test]
fn what_is_not_served() {
    let Scratch(dir, site) = &Scratch::new();
    std::os::unix::fs::symlink("/etc/passwd", dir.join("out")).unwrap();
    for (target, status) in [
        ("/nothing", 404),
        ("/a.txt/", 404),
        ("/a.txt/b", 404),
        ("/sub/.git/", 404),
        ("/out", 403),
        ("/../a.txt", 400),
        ("/%2e%2e/%2e%2e/etc/passwd", 400),
        ("/a%00.txt", 400),
    ] {
        let refused = get(site, target);
        assert_eq!(refused.status, status, "{target}");
        assert_eq!(refused.header("content-type"), "text/plain; charset=utf-8");
        assert!(!refused.text().contains("root:"));
    }
    let long = format!("/{}", "x".repeat(5000));
    assert_eq!(get(site, &long).status, 404);
}

#[test]
fn requests_that_are_not_taken() {
    let Scratch(_, site) = &Scratch::new();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let refused = ask(site, method, "/a.txt", &[]);
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    let without_host = Request::builder().uri("/a.txt").body(()).unwrap();
    assert_eq!(read(site, &without_host).status, 400);
    let old = Request::builder().uri("/a.txt").version(Version::HTTP_10).body(()).unwrap();
    assert_eq!(read(site, &old).status, 200);
    let two = Request::builder().uri("/").header(HOST, "a").header(HOST, "b").body(()).unwrap();
    assert_eq!(read(site, &two).status, 400);
}

#[test]
fn one_page_is_for_every_path() {
    for path in ["/", "/any/thing"] {
        let page = get(&Site::Page, path);
        assert_eq!((page.status, page.text()), (200, PAGE));
        assert_eq!(page.header("content-length"), PAGE.len().to_string());
    }
}

#[test]
fn running_out_is_told_as_such() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        let refused = Refusal::from(errno).response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
    }
}
