//! The socket of a running stack: one thread, few clients, nothing that a client can hold up.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rustix::process::geteuid;

use super::answer::{Source, answer, refusal};
use super::model::About;
use super::place;
use crate::failure::Failure;

/// Clients at the same time; one more takes the place of the one that was silent longest.
const MAX_CLIENTS: usize = 16;
/// Bytes of a request.
pub const MAX_REQUEST: usize = 4096;
/// A client that neither asks nor reads for so long is let go.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// How long to wait with accepting when that fails, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A control socket being served. Dropping it ends that and removes the file.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `source` at the socket `NAME-PID.sock` in the user's directory.
    pub fn named(name: &str, source: Box<dyn Source>) -> Result<Self, Failure> {
        place::make_directory(&place::directory())?;
        let pid = std::process::id();
        let path = place::file(name, pid);
        // A process before us with our number left it behind.
        let _ = std::fs::remove_file(&path);
        Server::start(path, name, source)
    }

    /// Serves `source` at a socket somewhere else.
    pub fn at(path: &Path, name: &str, source: Box<dyn Source>) -> Result<Self, Failure> {
        if let Ok(found) = std::fs::symlink_metadata(path) {
            let taken =
                |why: &str| Failure::new(format_args!("cannot serve at {}: {why}", path.display()));
            if !found.file_type().is_socket() {
                return Err(taken("it exists and is no socket"));
            }
            match UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(|error| taken(&error.to_string()))?;
                }
                _ => return Err(taken("somebody serves there already")),
            }
        }
        Server::start(path.to_path_buf(), name, source)
    }

    fn start(path: PathBuf, name: &str, source: Box<dyn Source>) -> Result<Self, Failure> {
        let failure = |error: io::Error| {
            Failure::new(format_args!("cannot serve at {}: {error}", path.display()))
        };
        let listener = listen(&path).map_err(failure)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| failure(errno.into()))?;
        let stop = Arc::new(stop);
        let about = About {
            name: name.to_string(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            shards: source.shards(),
        };
        let told = stop.clone();
        let served = move || Serving { listener, about, source, clients: Vec::new() }.run(&told);
        let thread = thread::Builder::new().name("control".into()).spawn(served);
        let thread = thread.map_err(|error| {
            let _ = std::fs::remove_file(&path);
            failure(error)
        })?;
        Ok(Server { path, stop, thread: Some(thread) })
    }

    /// The socket's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A listening socket that nobody but its owner can connect to.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file gets the mode of the socket (Linux unix_bind): it is never open to others.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// What the thread has.
struct Serving {
    listener: UnixListener,
    about: About,
    source: Box<dyn Source>,
    clients: Vec<Client>,
}

/// Somebody who asks.
struct Client {
    stream: UnixStream,
    /// Of requests, what has come and was not answered yet; at most [`MAX_REQUEST`] bytes.
    asked: Vec<u8>,
    /// The reply that is being written, and how much of it was. While there is one, nothing is read.
    reply: Vec<u8>,
    written: usize,
    /// Everything is said once the reply is written.
    last: bool,
    /// When it last asked or read.
    active: Instant,
}

impl Serving {
    /// Serves until `stop` is readable.
    fn run(mut self, stop: &OwnedFd) {
        let mut accept_after = None;
        loop {
            let now = Instant::now();
            let paused = accept_after.is_some_and(|at| at > now);
            let listening = if paused { PollFlags::empty() } else { PollFlags::IN };
            let mut fds = vec![
                PollFd::new(stop, PollFlags::IN),
                PollFd::from_borrowed_fd(self.listener.as_fd(), listening),
            ];
            for client in &self.clients {
                let wanted = if client.is_writing() { PollFlags::OUT } else { PollFlags::IN };
                fds.push(PollFd::from_borrowed_fd(client.stream.as_fd(), wanted));
            }
            let wait = self.wait(now, accept_after.filter(|_| paused));
            let polled = poll(&mut fds, wait.as_ref());
            if !matches!(polled, Ok(_) | Err(rustix::io::Errno::INTR)) {
                return;
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            if ready[0] {
                return;
            }
            let now = Instant::now();
            let (about, source) = (&self.about, &*self.source);
            let mut at = 2;
            self.clients.retain_mut(|client| {
                at += 1;
                let due = ready[at - 1] || client.has_request();
                let alive = !due || client.go_on(now, about, source);
                alive && now.saturating_duration_since(client.active) < PATIENCE
            });
            if ready[1] && self.accept(now).is_err() {
                accept_after = Some(now + ACCEPT_PAUSE);
            }
        }
    }

    /// How long to wait for anything to happen.
    fn wait(&self, now: Instant, accept_after: Option<Instant>) -> Option<Timespec> {
        if self.clients.iter().any(Client::has_request) {
            return Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let patience = self.clients.iter().map(|client| client.active + PATIENCE).min();
        let until = [patience, accept_after].into_iter().flatten().min()?;
        let wait = until.saturating_duration_since(now) + Duration::from_millis(1);
        Some(Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() })
    }

    /// Takes a client who is the same user, or the superuser.
    fn accept(&mut self, now: Instant) -> io::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        let peer = sockopt::socket_peercred(&stream)?.uid;
        let mut client = Client {
            stream,
            asked: Vec::new(),
            reply: Vec::new(),
            written: 0,
            last: false,
            active: now,
        };
        if peer != geteuid() && !peer.is_root() {
            client.refuse("this stack is another user's");
            let _ = client.write();
            return Ok(());
        }
        if self.clients.len() >= MAX_CLIENTS {
            let silent = (0..self.clients.len()).min_by_key(|at| self.clients[*at].active);
            if let Some(at) = silent {
                self.clients.swap_remove(at);
            }
        }
        self.clients.push(client);
        Ok(())
    }
}

impl Client {
    fn is_writing(&self) -> bool {
        self.written < self.reply.len()
    }

    /// Whether a request waits for its turn.
    fn has_request(&self) -> bool {
        !self.is_writing() && self.asked.contains(&b'\n')
    }

    fn refuse(&mut self, why: &str) {
        self.reply = refusal(why);
        self.written = 0;
        self.last = true;
    }

    /// Reads or writes what can be; `false` at the end.
    fn go_on(&mut self, now: Instant, about: &About, source: &dyn Source) -> bool {
        if self.is_writing() {
            match self.write() {
                Ok(0) => {}
                Ok(_) => self.active = now,
                Err(_) => return false,
            }
        } else if !self.has_request() {
            match self.read() {
                Ok(true) => self.active = now,
                Ok(false) => return false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        // One reply at a time, so that others have their turn.
        if !self.is_writing() {
            if self.last {
                return false;
            }
            self.take_request(about, source);
            if self.is_writing() && self.write().is_err() {
                return false;
            }
        }
        self.is_writing() || !self.last
    }

    /// Reads once; `false` when nothing more will come.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; MAX_REQUEST];
        let n = self.stream.read(&mut buffer[..MAX_REQUEST - self.asked.len()])?;
        self.asked.extend_from_slice(&buffer[..n]);
        Ok(n > 0)
    }

    /// Writes what can be written now; returns how much.
    fn write(&mut self) -> io::Result<usize> {
        let before = self.written;
        while self.is_writing() {
            match self.stream.write(&self.reply[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let written = self.written - before;
        if !self.is_writing() {
            (self.reply, self.written) = (Vec::new(), 0);
        }
        Ok(written)
    }

    /// Answers the first whole line that has come.
    fn take_request(&mut self, about: &About, source: &dyn Source) {
        match self.asked.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line: Vec<u8> = self.asked.drain(..=end).collect();
                self.reply = answer(&line[..end], about, source);
                self.written = 0;
            }
            None if self.asked.len() >= MAX_REQUEST => {
                self.refuse(&format!("a request has at most {MAX_REQUEST} bytes"));
            }
            None => {}
        }
    }
}
