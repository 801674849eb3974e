//! What is shown: the connections of the last look, with what the looks before it tell.

use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cli::top::Sort;
use crate::control::model::{About, Socket};
use crate::ss::{Filter, Ports, parse_filter};

/// Looks that are remembered, one bar of a sparkline each.
pub const HISTORY: usize = 120;
/// Connections whose past is remembered; of more the last look is all that is known.
const MAX_REMEMBERED: usize = 10_000;
/// Longest filter that can be typed.
const MAX_INPUT: usize = 200;

/// One look.
#[derive(Debug, Clone)]
pub struct Look {
    pub at: Instant,
    pub about: About,
    pub sockets: Vec<Socket>,
}

/// A connection as it is shown; rates are in bytes a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub state: u8,
    pub sent: f64,
    pub received: f64,
    /// In microseconds.
    pub rtt: u64,
    pub cwnd: u32,
    pub retrans: u32,
    /// Of both ways together, the oldest first.
    pub history: Vec<f64>,
}

/// What is known of a connection from the looks before.
#[derive(Debug, Default)]
struct Past {
    at: Option<Instant>,
    sent: u64,
    received: u64,
    rates: VecDeque<f64>,
}

type Key = (SocketAddr, SocketAddr, u64);

/// Everything that the screen shows.
#[derive(Debug)]
pub struct State {
    pub about: Option<About>,
    pub rows: Vec<Row>,
    /// Connections, whether shown or not.
    pub connections: usize,
    /// Sums of the rows' rates, the oldest first.
    pub sent: VecDeque<f64>,
    pub received: VecDeque<f64>,
    pub sort: Sort,
    pub reverse: bool,
    pub paused: bool,
    pub help: bool,
    /// Where the list begins on the screen.
    pub top: usize,
    /// What is being typed.
    pub input: Option<String>,
    /// The filter in force, as it was typed.
    pub filter_text: String,
    /// What went wrong.
    pub problem: Option<String>,
    filter: Filter,
    ports: Ports,
    past: HashMap<Key, Past>,
}

impl State {
    pub fn new(sort: Sort, filter: Filter, filter_text: String, ports: Ports) -> Self {
        State {
            about: None,
            rows: Vec::new(),
            connections: 0,
            sent: VecDeque::new(),
            received: VecDeque::new(),
            sort,
            reverse: false,
            paused: false,
            help: false,
            top: 0,
            input: None,
            filter_text,
            problem: None,
            filter,
            ports,
            past: HashMap::new(),
        }
    }

    /// Takes in a look, unless the display is paused.
    pub fn take(&mut self, look: Look) {
        if self.paused {
            return;
        }
        self.problem = None;
        self.about = Some(look.about);
        let mut past = HashMap::new();
        self.rows.clear();
        self.connections = 0;
        let (mut sent, mut received) = (0.0, 0.0);
        for socket in &look.sockets {
            let listens = socket.state == 10 || socket.netid != "tcp";
            if listens {
                continue;
            }
            self.connections += 1;
            let key = (socket.local, socket.peer, socket.ino);
            let mut known = self.past.remove(&key).unwrap_or_default();
            let row = known.update(look.at, socket);
            if past.len() < MAX_REMEMBERED {
                past.insert(key, known);
            }
            let wanted = self.filter.states.is_none_or(|states| states & 1 << socket.state != 0)
                && self.filter.expression.as_ref().is_none_or(|it| it.fits(socket));
            if wanted {
                sent += row.sent;
                received += row.received;
                self.rows.push(row);
            }
        }
        self.past = past;
        push(&mut self.sent, sent);
        push(&mut self.received, received);
        self.arrange();
    }

    /// Sorts the rows, the largest first; equal ones stay where they are by their peers.
    pub fn arrange(&mut self) {
        let by = |a: f64, b: f64| b.partial_cmp(&a).unwrap_or(Ordering::Equal);
        let (sort, reverse) = (self.sort, self.reverse);
        self.rows.sort_by(|a, b| {
            let order = match sort {
                Sort::Rate => by(a.sent + a.received, b.sent + b.received),
                Sort::Out => by(a.sent, b.sent),
                Sort::In => by(a.received, b.received),
                Sort::Rtt => b.rtt.cmp(&a.rtt),
                Sort::Cwnd => b.cwnd.cmp(&a.cwnd),
                Sort::Retrans => Reverse(a.retrans).cmp(&Reverse(b.retrans)),
                Sort::Peer => a.peer.cmp(&b.peer),
            };
            let order = if reverse { order.reverse() } else { order };
            order.then_with(|| (a.peer, a.local).cmp(&(b.peer, b.local)))
        });
        self.scroll(0, 0);
    }

    /// Sorts by the next of the sort keys, or by the one before.
    pub fn next_sort(&mut self, back: bool) {
        use clap::ValueEnum;
        let all = Sort::value_variants();
        let at = all.iter().position(|sort| *sort == self.sort).unwrap_or(0);
        let step = if back { all.len() - 1 } else { 1 };
        self.sort = all[(at + step) % all.len()];
        self.arrange();
    }

    /// Moves the list by so many rows, on a screen with room for so many.
    pub fn scroll(&mut self, by: isize, room: usize) {
        let last = self.rows.len().saturating_sub(room.max(1));
        self.top = self.top.saturating_add_signed(by).min(last);
    }

    /// Puts what was typed into force; what makes no sense is told and changes nothing.
    pub fn set_filter(&mut self, text: &str) {
        match parse_filter(&[text.to_string()], &self.ports) {
            Ok(filter) => {
                self.filter = filter;
                self.filter_text = text.trim().to_string();
                self.problem = None;
            }
            Err(failure) => self.problem = Some(failure.0),
        }
    }

    /// Adds a character to what is being typed.
    pub fn type_char(&mut self, c: char) {
        if let Some(input) = self.input.as_mut().filter(|input| input.len() < MAX_INPUT) {
            input.push(c);
        }
    }
}

impl Past {
    fn update(&mut self, now: Instant, socket: &Socket) -> Row {
        let info = socket.info.as_deref();
        let (sent, received) = info.map_or((0, 0), |info| (info.bytes_acked, info.bytes_received));
        let elapsed = self.at.map(|at| now.saturating_duration_since(at));
        let rate = |new: u64, old: u64| match elapsed {
            Some(elapsed) if elapsed > Duration::ZERO => {
                new.saturating_sub(old) as f64 / elapsed.as_secs_f64()
            }
            _ => 0.0,
        };
        let (out, into) = (rate(sent, self.sent), rate(received, self.received));
        (self.at, self.sent, self.received) = (Some(now), sent, received);
        push(&mut self.rates, out + into);
        Row {
            local: socket.local,
            peer: socket.peer,
            state: socket.state,
            sent: out,
            received: into,
            rtt: info.map_or(0, |info| info.rtt),
            cwnd: info.map_or(0, |info| info.snd_cwnd),
            retrans: info.map_or(0, |info| info.total_retrans),
            history: self.rates.iter().copied().collect(),
        }
    }
}

fn push(history: &mut VecDeque<f64>, value: f64) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}
