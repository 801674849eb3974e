use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::block_on;

use super::*;

/// A directory with a directory to serve in it; gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tapping-files-{}-{n}", std::process::id()));
        fs::create_dir_all(dir.join("served/sub")).unwrap();
        fs::write(dir.join("secret"), "outside").unwrap();
        fs::write(dir.join("served/a.txt"), "inside").unwrap();
        Scratch(dir)
    }

    fn root(&self) -> Root {
        Root::open(&self.0.join("served")).unwrap()
    }

    fn link(&self, name: &str, to: &str) {
        symlink(to, self.0.join("served").join(name)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn find(root: &Root, path: &str) -> io::Result<Found> {
    block_on(root.find(Path::new(path)))
}

fn content(root: &Root, path: &str) -> String {
    let Ok(Found::File(mut file)) = find(root, path) else { panic!("{path} is no file") };
    let bytes = match file.try_read(0, 100) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => block_on(file.read(0, 100)),
        read => read,
    };
    String::from_utf8(bytes.unwrap()).unwrap()
}

#[test]
fn what_is_below_is_found() {
    let scratch = Scratch::new();
    scratch.link("sub/up", "../a.txt");
    scratch.link("here", ".");
    let root = scratch.root();
    for path in ["a.txt", "./a.txt", "sub/up", "here/here/a.txt"] {
        assert_eq!(content(&root, path), "inside", "{path}");
    }
    assert!(matches!(find(&root, "."), Ok(Found::Directory(_))));
    let Ok(Found::File(file)) = find(&root, "a.txt") else { panic!("it is a file") };
    assert_eq!(file.len, 6);
    assert_eq!(block_on(file.read(2, 3)).unwrap(), b"sid");
    assert_eq!(block_on(file.read(6, 3)).unwrap(), b"");
}

#[test]
fn links_that_leave_are_refused() {
    let scratch = Scratch::new();
    scratch.link("out", "../secret");
    scratch.link("absolute", scratch.0.join("secret").to_str().unwrap());
    // Even one that comes back.
    scratch.link("back", "../served/a.txt");
    scratch.link("dir", "/etc");
    scratch.link("proc", "/proc/self/root");
    scratch.link("loop", "loop");
    let root = scratch.root();
    for (path, errno) in [
        ("out", Errno::XDEV),
        ("absolute", Errno::XDEV),
        ("back", Errno::XDEV),
        ("dir/passwd", Errno::XDEV),
        ("proc/etc/passwd", Errno::XDEV),
        ("../secret", Errno::XDEV),
        ("/etc/passwd", Errno::XDEV),
        ("loop", Errno::LOOP),
        ("nothing", Errno::NOENT),
        ("a.txt/", Errno::NOTDIR),
    ] {
        let error = find(&root, path).expect_err(path);
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()), "{path}: {error}");
    }
}

#[test]
fn what_is_no_file_holds_nobody_up() {
    let scratch = Scratch::new();
    let fifo = scratch.0.join("served/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert!(matches!(find(&scratch.root(), "pipe"), Ok(Found::Other)));
    let _socket = UnixListener::bind(scratch.0.join("served/socket")).unwrap();
    assert!(find(&scratch.root(), "socket").is_err());
}

#[test]
fn a_listing_has_every_entry() {
    let scratch = Scratch::new();
    let Ok(Found::Directory(directory)) = find(&scratch.root(), ".") else { panic!("it is one") };
    let (mut entries, more) = block_on(list(directory)).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let expected =
        [("a.txt", false), ("sub", true)].map(|(name, is_dir)| Entry { name: name.into(), is_dir });
    assert_eq!((entries, more), (expected.to_vec(), false));
}

#[test]
fn a_directory_that_cannot_be_served() {
    assert!(Root::open(Path::new("/nosuchdirectory")).is_err());
    assert!(Root::open(Path::new("/etc/passwd")).is_err());
}

#[test]
fn types_by_name() {
    for (name, expected) in [
        ("index.html", "text/html"),
        ("a.CSS", "text/css"),
        ("x.js", "text/javascript"),
        ("x.json", "application/json"),
        ("x.png", "image/png"),
        ("x.svg", "image/svg+xml"),
        ("x.wasm", "application/wasm"),
        ("x.txt", "text/plain"),
        ("x.pdf", "application/pdf"),
        ("x", "application/octet-stream"),
        ("x.nosuch", "application/octet-stream"),
    ] {
        assert_eq!(media_type(Path::new(name)), expected, "{name}");
    }
}
