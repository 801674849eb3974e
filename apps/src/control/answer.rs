//! Answers to requests, out of a running stack.

use std::io;

use serde::Serialize;
use tapping_drivers::net::Net;
use tapping_stack::route::RoutePosition;
use tapping_stack::time::Instant;
use tapping_stack::{SocketCursor, Stack};

use super::convert::{self, Names};
use super::model::{
    About, Counters, Counts, Get, Group, Link, PAGE, Page, Reply, Request, VERSION,
};

/// What is asked about: one stack, or several that share the work.
pub trait Source: Send {
    /// How many stacks there are.
    fn shards(&self) -> usize;

    /// Lets `look` look at one of them. It is kept waiting meanwhile.
    ///
    /// # Errors
    /// It has ended.
    fn look(&self, shard: usize, look: &mut dyn FnMut(&Stack, Instant)) -> io::Result<()>;
}

/// A handle to the stacks keeps them running; let go of the control socket first.
impl Source for Net {
    fn shards(&self) -> usize {
        Net::shards(self)
    }

    fn look(&self, shard: usize, look: &mut dyn FnMut(&Stack, Instant)) -> io::Result<()> {
        self.with_shard(shard, |stack, now| look(stack, now));
        Ok(())
    }
}

/// Above the numbers of places, a cursor has the number of the stack.
const SHARD_SHIFT: u32 = 48;

/// The line that answers a request, its end included.
pub fn answer(request: &[u8], about: &About, source: &dyn Source) -> Vec<u8> {
    let request: Request = match serde_json::from_slice(request) {
        Ok(request) => request,
        Err(error) => return refusal(&format!("not a request: {error}")),
    };
    if request.v != VERSION {
        let what = format!("version {} is not spoken here, but {VERSION}", request.v);
        return refusal(&what);
    }
    let answered = match request.get {
        Get::About => Ok(line(about)),
        Get::Sockets { from, query } => sockets(source, from, &convert::query(&query)),
        Get::Counters => counters(source),
        Get::Links => links(source),
        Get::Routes { from } => routes(source, from),
        Get::Neighbours { from } => neighbours(source, from),
    };
    answered.unwrap_or_else(|error| refusal(&format!("the stack does not answer: {error}")))
}

/// A line that says why there is no answer.
pub fn refusal(why: &str) -> Vec<u8> {
    write(&Reply::<()> { v: VERSION, ok: None, error: Some(why.to_string()) })
}

fn line<T: Serialize>(answer: T) -> Vec<u8> {
    write(&Reply { v: VERSION, ok: Some(answer), error: None })
}

fn write<T: Serialize>(reply: &Reply<T>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(reply).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Looks at one stack and returns what was found.
fn look<T>(
    source: &dyn Source,
    shard: usize,
    mut take: impl FnMut(&Stack, Instant) -> T,
) -> io::Result<T> {
    let mut found = None;
    source.look(shard, &mut |stack, now| found = Some(take(stack, now)))?;
    found.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
}

/// The stack of a cursor and the place in it; a stack that there is not is the list's end.
fn place(from: u64) -> (usize, u64) {
    (usize::from((from >> SHARD_SHIFT) as u16), from & ((1 << SHARD_SHIFT) - 1))
}

/// Where the list goes on: in this stack, or in the next one.
fn next(source: &dyn Source, shard: usize, next: Option<u64>) -> Option<u64> {
    match next {
        Some(next) => Some((shard as u64) << SHARD_SHIFT | next),
        None if shard + 1 < source.shards() => Some((shard as u64 + 1) << SHARD_SHIFT),
        None => None,
    }
}

fn sockets(
    source: &dyn Source,
    from: u64,
    query: &tapping_stack::SocketQuery,
) -> io::Result<Vec<u8>> {
    let (shard, from) = place(from);
    if shard >= source.shards() {
        return Ok(line(Page::<()> { items: Vec::new(), next: None }));
    }
    let (page, names) = look(source, shard, |stack, now| {
        let page = stack.socket_page(now, SocketCursor::from_bits(from), PAGE, query);
        (page, Names::of(stack.interfaces()))
    })?;
    let base = (shard as u64) << SHARD_SHIFT;
    let sockets = page.sockets.into_iter();
    let items: Vec<_> = sockets.map(|shown| convert::socket(shown, &names, base)).collect();
    let next = next(source, shard, page.next.map(SocketCursor::to_bits));
    Ok(line(Page { items, next }))
}

fn neighbours(source: &dyn Source, from: u64) -> io::Result<Vec<u8>> {
    let (shard, from) = place(from);
    if shard >= source.shards() {
        return Ok(line(Page::<()> { items: Vec::new(), next: None }));
    }
    let ((found, end), names) = look(source, shard, |stack, now| {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        (stack.neighbour_page(now, from, PAGE), Names::of(stack.interfaces()))
    })?;
    let items: Vec<_> = found.iter().map(|shown| convert::neighbour(shown, &names)).collect();
    let next = next(source, shard, end.map(|at| at as u64));
    Ok(line(Page { items, next }))
}

/// The routes of the first stack; all have the same.
fn routes(source: &dyn Source, from: Option<u64>) -> io::Result<Vec<u8>> {
    let (page, names) = look(source, 0, |stack, _| {
        let page = stack.route_page(from.map(RoutePosition::from_bits), PAGE);
        (page, Names::of(stack.interfaces()))
    })?;
    let items: Vec<_> = page.routes.iter().map(|route| convert::route(route, &names)).collect();
    Ok(line(Page { items, next: page.next.map(RoutePosition::to_bits) }))
}

/// The links of the first stack with the counters of all.
fn links(source: &dyn Source) -> io::Result<Vec<u8>> {
    let mut links: Vec<Link> = Vec::new();
    for shard in 0..source.shards() {
        for shown in look(source, shard, |stack, _| stack.link_snapshots())? {
            let link = convert::link(shown);
            match links.iter_mut().find(|known| known.name == link.name) {
                Some(known) => {
                    convert::add(&mut known.counters, &link.counters);
                    known.backlog += link.backlog;
                }
                None => links.push(link),
            }
        }
    }
    Ok(line(links))
}

fn counters(source: &dyn Source) -> io::Result<Vec<u8>> {
    let mut total = Counters::default();
    for shard in 0..source.shards() {
        let (shown, forwarding, ttl, counts) = look(source, shard, |stack, _| {
            let ipv4 = &stack.config().ipv4;
            let (tcp, time_wait, requests) = stack.tcp_counts();
            let counts = Counts { tcp, time_wait, requests, orphans: stack.tcp_orphans() };
            (stack.snapshot(), ipv4.forward, ipv4.default_ttl, counts)
        })?;
        (total.forwarding, total.default_ttl) = (forwarding, ttl);
        total.sockets.tcp += counts.tcp;
        total.sockets.time_wait += counts.time_wait;
        total.sockets.requests += counts.requests;
        total.sockets.orphans += counts.orphans;
        for Group { name, counters } in convert::groups(&shown) {
            match total.groups.iter_mut().find(|group| group.name == name) {
                Some(group) => convert::add(&mut group.counters, &counters),
                None => total.groups.push(Group { name, counters }),
            }
        }
        let drops = shown.drops.iter().map(|(reason, n)| (format!("{reason:?}"), *n));
        convert::add(&mut total.drops, &drops.collect::<Vec<_>>());
    }
    Ok(line(total))
}
