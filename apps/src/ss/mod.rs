//! `tapping ss`: the sockets of a running stack, in the format of ss(8).

mod filter;
mod info;
mod number;
mod ports;
mod table;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::cli::ss::SsArgs;
use crate::control::model::{About, Counts, Query, Socket};
use crate::control::{Client, client};
use crate::failure::Stop;
pub use filter::{ALL, Filter};
pub use number::{general, rate};
pub use ports::Ports;
use table::{COLUMNS, Layout, Row};

/// The states' names, by Linux's numbers.
const STATES: [&str; 12] = [
    "UNKNOWN",
    "ESTAB",
    "SYN-SENT",
    "SYN-RECV",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "UNCONN",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
];

/// A state's name as ss has it.
pub fn state_name(number: u8) -> &'static str {
    STATES.get(usize::from(number)).unwrap_or(&STATES[0])
}

/// What is asked for, and how it is to be shown.
#[derive(Debug)]
struct Show<'a> {
    args: &'a SsArgs,
    ports: Ports,
    about: About,
}

/// Lists sockets.
pub fn run(args: &SsArgs) -> Result<u8, Stop> {
    let ports = Ports::of_system();
    let filter = parse_filter(&args.filter, &ports)?;
    let Some(mut client) = client::find(args.client.stack.as_deref())? else { return Ok(1) };
    let answered = list(args, ports, &filter, &mut client);
    client::answered(answered)
}

/// Reads the words of a filter.
pub fn parse_filter(words: &[String], ports: &Ports) -> Result<Filter, crate::failure::Failure> {
    filter::parse(words, ports)
}

fn list(args: &SsArgs, ports: Ports, filter: &Filter, client: &mut Client) -> Result<(), Stop> {
    if args.summary {
        return summary(args, client);
    }
    let about = client.about()?;
    let query = query(args, filter);
    let mut sockets = Vec::new();
    let fits = |socket: &Socket| filter.expression.as_ref().is_none_or(|it| it.fits(socket));
    client.sockets(query, |socket| {
        if fits(&socket) {
            sockets.push(socket);
        }
    })?;
    // Raw sockets first, TCP last.
    sockets.sort_by_key(|socket| match socket.netid.as_str() {
        "tcp" => 2,
        "udp" => 1,
        _ => 0,
    });
    let mut out = io::stdout().lock();
    if args.client.json {
        let list: Vec<Value> = sockets.iter().map(|socket| as_json(socket, args)).collect();
        writeln!(out, "{}", Value::Array(list))?;
        return Ok(());
    }
    let width = if io::stdout().is_terminal() { terminal_width() } else { None };
    let kinds = [query.tcp, query.udp, query.raw].into_iter().filter(|wanted| *wanted).count();
    let layout = Layout {
        netid: kinds != 1,
        state: query.states.count_ones() != 1,
        header: !args.no_header,
        width,
    };
    let show = Show { args, ports, about };
    let rows: Vec<Row> = sockets.iter().map(|socket| show.row(socket)).collect();
    out.write_all(layout.render(&rows).as_bytes())?;
    Ok(())
}

fn query(args: &SsArgs, filter: &Filter) -> Query {
    let any = args.tcp || args.udp || args.raw;
    let usual = match (args.all, args.listening) {
        (true, _) => filter::ALL,
        (false, true) => filter::LISTEN | filter::CLOSED,
        (false, false) => filter::USUAL,
    };
    Query {
        tcp: args.tcp || !any,
        udp: args.udp || !any,
        raw: args.raw || !any,
        states: filter.states.unwrap_or(usual),
        info: args.info,
    }
}

/// The terminal's width, if it tells one.
pub fn terminal_width() -> Option<usize> {
    let (width, _) = ratatui::crossterm::terminal::size().ok()?;
    Some(usize::from(width)).filter(|width| *width > 0)
}

impl Show<'_> {
    fn row(&self, socket: &Socket) -> Row {
        let mut row: Row = [const { String::new() }; COLUMNS];
        row[0] = socket.netid.clone();
        row[1] = state_name(socket.state).to_string();
        row[2] = socket.recv_q.to_string();
        row[3] = socket.send_q.to_string();
        row[4] = match &socket.dev {
            Some(dev) => format!("{}%{dev}:", socket.local.ip()),
            None => format!("{}:", socket.local.ip()),
        };
        row[5] = self.port(socket, socket.local.port());
        row[6] = format!("{}:", socket.peer.ip());
        row[7] = match socket.peer.port() {
            0 => "*".to_string(),
            port => self.port(socket, port),
        };
        row[8] = self.more(socket);
        row
    }

    fn port(&self, socket: &Socket, port: u16) -> String {
        let numeric = self.args.numeric;
        match socket.netid.as_str() {
            _ if port == 0 => "*".to_string(),
            "ping" => port.to_string(),
            "raw" => protocol_name(port).filter(|_| !numeric).map_or(port.to_string(), Into::into),
            netid => match self.ports.name(port, netid).filter(|_| !numeric) {
                Some(name) => name.to_string(),
                None => port.to_string(),
            },
        }
    }

    /// What stands behind the addresses, and below them.
    fn more(&self, socket: &Socket) -> String {
        let args = self.args;
        let mut text = String::new();
        if args.processes && socket.ino != 0 {
            text += &format!(" users:((\"{}\",pid={}))", self.about.name, self.about.pid);
        }
        if let Some(timer) = socket.timer.as_ref().filter(|_| args.options) {
            text += &format!(" {}", info::timer(timer));
        }
        if args.extended {
            text += &format!(" {}", info::extended(socket));
        }
        let of_tcp = socket.netid == "tcp";
        // As ss has it, the connections that nobody has tell no more.
        let memory = args.memory && !(of_tcp && is_record(socket));
        if !args.oneline && (memory || args.info && of_tcp) {
            text += "\n\t";
        }
        if memory {
            text += &format!(" {}", info::memory(socket));
        }
        if args.info && of_tcp {
            text += &info::tcp(socket, args.options, args.numeric);
        }
        text
    }
}

/// A handshake, or a connection in TIME-WAIT: too small to tell much.
fn is_record(socket: &Socket) -> bool {
    socket.congestion.is_none()
}

/// Names of the protocols that there are raw sockets for.
fn protocol_name(number: u16) -> Option<&'static str> {
    Some(match number {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        _ => return None,
    })
}

fn summary(args: &SsArgs, client: &mut Client) -> Result<(), Stop> {
    let counters = client.counters()?;
    let query = Query { tcp: true, udp: true, raw: true, states: ALL, info: false };
    let (mut raw, mut udp, mut unbound) = (0, 0, 0);
    let mut inuse = 0;
    client.sockets(query, |socket| match socket.netid.as_str() {
        "udp" => udp += 1,
        "tcp" if socket.state == 7 => unbound += 1,
        "tcp" if is_record(&socket) => {}
        "tcp" => inuse += 1,
        _ => raw += 1,
    })?;
    let Counts { tcp: tcp_sockets, time_wait, requests, orphans } = counters.sockets;
    let estab = counters.value("Tcp", "CurrEstab");
    let total = tcp_sockets + time_wait;
    let closed = total.saturating_sub(inuse);
    let mut out = io::stdout().lock();
    if args.client.json {
        let tcp = json!({
            "total": total, "estab": estab, "closed": closed, "orphaned": orphans,
            "timewait": time_wait, "synrecv": requests, "bound": unbound,
        });
        let transport = json!({ "raw": raw, "udp": udp, "tcp": inuse });
        let all = tcp_sockets + raw + udp;
        writeln!(out, "{}", json!({ "total": all, "tcp": tcp, "transport": transport }))?;
        return Ok(());
    }
    writeln!(out, "Total: {}", tcp_sockets + raw + udp)?;
    writeln!(
        out,
        "TCP:   {total} (estab {estab}, closed {closed}, orphaned {orphans}, timewait {time_wait})"
    )?;
    writeln!(out, "\nTransport Total     IP        IPv6")?;
    for (name, n) in [("RAW", raw), ("UDP", udp), ("TCP", inuse), ("INET", raw + udp + inuse)] {
        writeln!(out, "{name}\t  {n:<9} {n:<9} {:<9}", 0)?;
    }
    writeln!(out, "FRAG\t  {:<9} {:<9} {:<9}\n", 0, 0, 0)?;
    Ok(())
}

/// A socket with everything that was asked for; times are in microseconds.
fn as_json(socket: &Socket, args: &SsArgs) -> Value {
    let end = |end: std::net::SocketAddr| json!({ "addr": end.ip(), "port": end.port() });
    let mut value = json!({
        "netid": socket.netid,
        "state": state_name(socket.state),
        "recv-q": socket.recv_q,
        "send-q": socket.send_q,
        "local": end(socket.local),
        "peer": end(socket.peer),
    });
    let mut add = |name: &str, part: Value| value[name] = part;
    if let Some(dev) = &socket.dev {
        add("dev", json!(dev));
    }
    if let Some(timer) = socket.timer.as_ref().filter(|_| args.options) {
        let (name, expires, retrans) = (&timer.name, timer.expires, timer.retransmits);
        add("timer", json!({ "name": name, "expires_us": expires, "retrans": retrans }));
    }
    if args.extended {
        add("ino", json!(socket.ino));
        add("shutdown", json!({ "read": socket.shutdown.0, "write": socket.shutdown.1 }));
    }
    if args.memory {
        let ((r, rb), (w, tb)) = (socket.rmem, socket.wmem);
        add("skmem", json!({ "r": r, "rb": rb, "w": w, "tb": tb }));
    }
    if args.info && socket.netid == "tcp" {
        if let Some(name) = &socket.congestion {
            add("cong", json!(name));
        }
        if let Some(info) = &socket.info {
            add("tcp_info", json!(info));
        }
    }
    value
}
