//! The other end of the control socket: what ss, ip, stat and top ask by.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::model::{
    About, Counters, Get, Link, Neighbour, Page, Query, Reply, Request, Route, Socket, VERSION,
};
use super::place;
use crate::failure::{Failure, Stop, say};

/// Bytes of a reply, several times what a page takes.
const MAX_REPLY: u64 = 16 << 20;
/// How long a stack may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a running stack.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NoStack {
    /// None runs, or it does not answer.
    Missing(Failure),
    /// The command does not say which one.
    Unclear(Failure),
}

impl From<NoStack> for Failure {
    fn from(why: NoStack) -> Self {
        match why {
            NoStack::Missing(failure) | NoStack::Unclear(failure) => failure,
        }
    }
}

/// Connects to the stack that is meant. `None` when none runs, which has been said.
pub fn find(which: Option<&str>) -> Result<Option<Client>, Failure> {
    match Client::find(which) {
        Ok(client) => Ok(Some(client)),
        Err(NoStack::Missing(failure)) => {
            say(format_args!("tapping: {failure}"));
            Ok(None)
        }
        Err(NoStack::Unclear(failure)) => Err(failure),
    }
}

/// The exit status after asking: 1, said why, where the stack did not answer.
pub fn answered(result: Result<(), Stop>) -> Result<u8, Stop> {
    match result {
        Ok(()) => Ok(0),
        Err(Stop::Failure(failure)) => {
            say(format_args!("tapping: {failure}"));
            Ok(1)
        }
        Err(stop) => Err(stop),
    }
}

impl Client {
    /// Connects to the stack that is meant by a name, a process number or a path; without one to
    /// the only one that runs.
    pub fn find(which: Option<&str>) -> Result<Self, NoStack> {
        if let Some(path) = which.filter(|which| which.contains('/')) {
            return Client::connect(Path::new(path)).map_err(NoStack::Missing);
        }
        let mut running = place::running().map_err(NoStack::Missing)?;
        if let Some(which) = which {
            running.retain(|stack| stack.name == which || stack.pid.to_string() == which);
        }
        match running.as_slice() {
            [only] => Client::connect(&only.path).map_err(NoStack::Missing),
            [] => Err(NoStack::Missing(Failure::new(match which {
                Some(which) => format!(
                    "no running stack is called {which} (looked in {})",
                    place::directory().display()
                ),
                None => format!(
                    "no stack is running (looked in {}); `tapping serve` starts one",
                    place::directory().display()
                ),
            }))),
            several => {
                let listed = several.iter().map(|stack| format!("{} {}", stack.name, stack.pid));
                let listed = listed.collect::<Vec<_>>().join(", ");
                let what = format!("several stacks run: {listed}; choose one with --stack");
                Err(NoStack::Unclear(Failure::new(what)))
            }
        }
    }

    /// Connects to a socket.
    pub fn connect(path: &Path) -> Result<Self, Failure> {
        let failure = |error: io::Error| {
            let what = format_args!("cannot ask the stack at {}: {error}", path.display());
            Failure::new(what)
        };
        let stream = UnixStream::connect(path).map_err(failure)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failure)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failure)?;
        Ok(Client { path: path.to_path_buf(), stream: BufReader::new(stream) })
    }

    /// Connects anew, after the connection was lost.
    pub fn reconnect(&mut self) -> Result<(), Failure> {
        *self = Client::connect(&self.path)?;
        Ok(())
    }

    pub fn about(&mut self) -> Result<About, Failure> {
        self.ask(Get::About)
    }

    pub fn counters(&mut self) -> Result<Counters, Failure> {
        self.ask(Get::Counters)
    }

    pub fn links(&mut self) -> Result<Vec<Link>, Failure> {
        self.ask(Get::Links)
    }

    /// Gives each socket to `take`.
    pub fn sockets(&mut self, query: Query, take: impl FnMut(Socket)) -> Result<(), Failure> {
        self.pages(|from| Get::Sockets { from: from.unwrap_or(0), query }, take)
    }

    /// All routes, in the order of `ip route`.
    pub fn routes(&mut self) -> Result<Vec<Route>, Failure> {
        let mut routes = Vec::new();
        self.pages(|from| Get::Routes { from }, |route: Route| routes.push(route))?;
        // Stable: routes to one destination are in the order of their metric.
        let longest_first = |route: &Route| u8::MAX - route.prefix_len;
        routes
            .sort_by_key(|route| (route.table != "local", route.destination, longest_first(route)));
        Ok(routes)
    }

    /// All neighbours, each once, though several stacks may know it.
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, Failure> {
        let mut neighbours: Vec<Neighbour> = Vec::new();
        self.pages(
            |from| Get::Neighbours { from: from.unwrap_or(0) },
            |neighbour| neighbours.push(neighbour),
        )?;
        let mut known = std::collections::HashSet::new();
        neighbours.retain(|one| known.insert((one.address, one.dev.clone())));
        Ok(neighbours)
    }

    fn pages<T: DeserializeOwned>(
        &mut self,
        get: impl Fn(Option<u64>) -> Get,
        mut take: impl FnMut(T),
    ) -> Result<(), Failure> {
        let mut from = None;
        loop {
            let page: Page<T> = self.ask(get(from))?;
            page.items.into_iter().for_each(&mut take);
            match page.next {
                None => return Ok(()),
                // A list that does not go on has no end.
                Some(next) if from.is_some_and(|from| next <= from) => {
                    return Err(self.failure("its list leads back"));
                }
                next => from = next,
            }
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, get: Get) -> Result<T, Failure> {
        let reply = self.exchange(&Request { v: VERSION, get });
        let line = reply.map_err(|error| self.failure(error))?;
        let reply: Reply<T> = serde_json::from_slice(&line)
            .map_err(|error| self.failure(format_args!("strange reply: {error}")))?;
        match (reply.ok, reply.error) {
            (_, Some(error)) => Err(self.failure(error)),
            (Some(answer), None) => Ok(answer),
            (None, None) => Err(self.failure("empty reply")),
        }
    }

    fn exchange(&mut self, request: &impl Serialize) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut reply = Vec::new();
        (&mut self.stream).take(MAX_REPLY).read_until(b'\n', &mut reply)?;
        match reply.last() {
            Some(b'\n') => Ok(reply),
            _ if reply.len() as u64 == MAX_REPLY => Err(io::Error::other("reply too long")),
            _ => Err(io::Error::other("it ended")),
        }
    }

    fn failure(&self, what: impl std::fmt::Display) -> Failure {
        let path = self.path.display();
        Failure::new(format_args!("cannot ask the stack at {path}: {what}"))
    }
}
