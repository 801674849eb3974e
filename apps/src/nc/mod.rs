//! `tapping nc`: standard input and output over TCP or UDP, as OpenBSD's netcat.

mod ports;
mod session;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tapping_drivers::aio::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tapping_drivers::net::Net;

use crate::cli::nc::NcArgs;
use crate::control;
use crate::failure::{Failure, Stop, say};
use crate::names::{self, Names};
use crate::network::Online;
use crate::pipes::{Input, Output};
use crate::plan::Plan;
use crate::serve;
use ports::Ports;
use session::{Session, tcp, udp};

/// Bytes that are read from standard input at once, which with UDP is a datagram (nc's buffer).
const PIECE: usize = 16 << 10;
/// How often a port is asked by UDP whether it is closed, and how long an answer may take.
const UDP_PROBES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// Runs `tapping nc`; gives the exit status.
pub fn run(args: &NcArgs) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let (host, ports) = match args.words.as_slice() {
        [port] if args.listen => (None, port),
        [host, port] => (Some(host), port),
        _ => return Err(Failure("name a host and a port".into()).into()),
    };
    let ports = Ports::parse(ports, args.udp)?;
    if !args.scan && ports.is_range() {
        return Err(Failure("a range of ports is for -z".into()).into());
    }
    let target = host.map(|host| names::resolve(host)).transpose()?;
    let mut names = if args.numeric { Names::numeric() } else { Names::system() };
    if let Some(target) = &target {
        if !args.listen {
            plan.check_route(target).map_err(Stop::Refused)?;
        }
        if !target.numeric {
            names.get(target.addr.into());
        }
    }
    let mut online = Online::open(&plan)?;
    if let Some(peer) = online.peer() {
        serve::serve_defaults(peer)?;
    }
    let addr = target.as_ref().map_or(Ipv4Addr::UNSPECIFIED, |target| target.addr);
    let net = online.net().clone();
    // Who only connects is soon gone.
    let control = args.listen.then_some(args.control.control.as_ref());
    let _control = control.map(|control| control::serve(control, "nc", &net)).transpose()?;
    let cat = Cat { args, net: net.clone(), addr, verbose: args.network.verbose > 0 };
    online.block_on(async {
        let end = match (args.listen, args.scan) {
            (true, _) => cat.listen(ports.first()).await,
            (false, true) => cat.scan(&ports).await,
            (false, false) => cat.connect(ports.first()).await,
        };
        // What was written is still to arrive.
        net.shutdown(tapping_drivers::net::Shutdown::Drain(session::LAST_WORDS));
        let _ = net.ended().await;
        end
    })?
}

/// A run.
struct Cat<'a> {
    args: &'a NcArgs,
    net: Net,
    addr: Ipv4Addr,
    /// Connections are told of.
    verbose: bool,
}

impl Cat<'_> {
    fn input(&self) -> Result<Input, Stop> {
        if self.args.deaf {
            return Ok(Input::nothing());
        }
        Ok(Input::stdin(PIECE).map_err(no_thread)?)
    }

    fn session(&self) -> Session<'_> {
        Session {
            net: &self.net,
            idle: self.args.patience,
            quit: self.args.quit,
            ends_with_peer: self.args.listen,
        }
    }

    /// `nc HOST PORT`.
    async fn connect(&self, port: u16) -> Result<u8, Stop> {
        let to = SocketAddr::from((self.addr, port));
        let session = self.session();
        let ended = if self.args.udp {
            let socket = self.udp_to(to).map_err(|error| self.refused(port, &error))?;
            self.tell_success(port);
            let output = Output::stdout().map_err(no_thread)?;
            let ended = udp(&session, &socket, None, &self.input()?, &output).await;
            settle(ended, output).await
        } else {
            let stream = self.tcp_to(to).await.map_err(|error| self.refused(port, &error))?;
            self.tell_success(port);
            let output = Output::stdout().map_err(no_thread)?;
            let ended = tcp(&session, &stream, &self.input()?, &output).await;
            settle(ended, output).await
        };
        ended.map_err(|error| self.broken(to, error))?;
        Ok(0)
    }

    async fn tcp_to(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let mut socket = TcpSocket::new(&self.net)?;
        if self.args.source.is_some() || self.args.source_port.is_some() {
            socket.set_reuseaddr(true)?;
            socket.bind(self.source())?;
        }
        match self.args.patience {
            Some(patience) => match self.net.timeout(patience, socket.connect(to)).await {
                Ok(connected) => connected,
                Err(_) => Err(timed_out()),
            },
            None => socket.connect(to).await,
        }
    }

    fn udp_to(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(&self.net, self.source())?;
        socket.connect(to)?;
        Ok(socket)
    }

    fn source(&self) -> SocketAddr {
        let addr = self.args.source.unwrap_or(Ipv4Addr::UNSPECIFIED);
        (addr, self.args.source_port.unwrap_or(0)).into()
    }

    /// `nc -z HOST PORTS`: whether any is open.
    async fn scan(&self, ports: &Ports) -> Result<u8, Stop> {
        let mut status = 1;
        for port in ports.iter() {
            let to = SocketAddr::from((self.addr, port));
            let open = match self.args.udp {
                true => self.is_open_by_udp(to).await,
                false => self.tcp_to(to).await.map(drop),
            };
            match open {
                Ok(()) => {
                    self.tell_success(port);
                    status = 0;
                }
                Err(error) if self.verbose || !ports.is_range() => {
                    say(format_args!("tapping: {}", self.failure(port, &error)));
                }
                Err(_) => {}
            }
        }
        Ok(status)
    }

    /// A port that says nothing counts as open: a datagram need not be answered.
    async fn is_open_by_udp(&self, to: SocketAddr) -> io::Result<()> {
        let socket = self.udp_to(to)?;
        for patience in UDP_PROBES {
            socket.send(b"X").await?;
            if let Ok(answer) = self.net.timeout(patience, socket.recv(&mut [0; 1])).await {
                answer?;
            }
        }
        Ok(())
    }

    /// `nc -l [ADDRESS] PORT`.
    async fn listen(&self, port: u16) -> Result<u8, Stop> {
        let at = SocketAddr::from((self.addr, port));
        let input = self.input()?;
        let mut failure = None;
        if self.args.udp {
            let socket = UdpSocket::bind(&self.net, at).map_err(|error| not_bound(at, &error))?;
            self.tell_listening(at);
            let output = Output::stdout().map_err(no_thread)?;
            let ended = self.hear(&socket, &input, &output).await;
            settle(ended, output).await.map_err(|error| self.broken(at, error))?;
            return Ok(0);
        }
        let listener = TcpListener::bind(&self.net, at).map_err(|error| not_bound(at, &error))?;
        self.tell_listening(at);
        let output = Output::stdout().map_err(no_thread)?;
        let mut listener = Some(listener);
        while let Some(listening) = listener.take() {
            let accepted = listening.accept().await;
            let (stream, peer) = accepted.map_err(|error| not_bound(at, &error))?;
            self.tell_peer(peer);
            if self.args.keep {
                listener = Some(listening);
            }
            match tcp(&self.session(), &stream, &input, &output).await {
                Ok(()) => failure = None,
                // The next one may fare better.
                Err(session::Error::Net(error)) => {
                    failure = Some(self.broken(peer, session::Error::Net(error)));
                    if let (Some(Stop::Refused(why)), true) = (&failure, self.args.keep) {
                        say(format_args!("tapping: {why}"));
                    }
                }
                Err(local) => return Err(self.broken(peer, local)),
            }
        }
        output.finish().await?;
        failure.map_or(Ok(0), Err)
    }

    /// Datagrams: of whoever comes first, who then gets the input, or with `-k` of everybody.
    async fn hear(
        &self,
        socket: &UdpSocket,
        input: &Input,
        output: &Output,
    ) -> Result<(), session::Error> {
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let (len, peer) = socket.recv_from(&mut buffer).await.map_err(session::Error::Net)?;
            let first = buffer[..len].to_vec();
            if !self.args.keep {
                self.tell_peer(peer);
                socket.connect(peer).map_err(session::Error::Net)?;
                return udp(&self.session(), socket, Some(first), input, output).await;
            }
            output.write(first).await.map_err(session::Error::Output)?;
        }
    }

    fn tell_success(&self, port: u16) {
        if self.verbose {
            let (addr, protocol) = (self.addr, self.protocol());
            let name = ports::service_name(port, self.args.udp);
            let name = name.as_deref().unwrap_or("*");
            say(format_args!("Connection to {addr} {port} port [{protocol}/{name}] succeeded!"));
        }
    }

    fn tell_listening(&self, at: SocketAddr) {
        if self.verbose {
            let what = if self.args.udp { "Bound" } else { "Listening" };
            say(format_args!("{what} on {} {}", at.ip(), at.port()));
        }
    }

    fn tell_peer(&self, peer: SocketAddr) {
        if self.verbose {
            say(format_args!("Connection received on {} {}", peer.ip(), peer.port()));
        }
    }

    fn protocol(&self) -> &'static str {
        if self.args.udp { "udp" } else { "tcp" }
    }

    fn failure(&self, port: u16, error: &io::Error) -> Failure {
        let (addr, protocol) = (self.addr, self.protocol());
        Failure::new(format_args!("connect to {addr} port {port} ({protocol}) failed: {error}"))
    }

    fn refused(&self, port: u16, error: &io::Error) -> Stop {
        Stop::Refused(self.failure(port, error))
    }

    /// What a session that failed comes to.
    fn broken(&self, peer: SocketAddr, error: session::Error) -> Stop {
        match error {
            session::Error::Net(error) => {
                let (ip, port): (IpAddr, u16) = (peer.ip(), peer.port());
                Stop::Refused(Failure::new(format_args!("{ip} port {port}: {error}")))
            }
            session::Error::Input(error) => {
                Stop::Failure(Failure::new(format_args!("cannot read the input: {error}")))
            }
            session::Error::Output(error) => error.into(),
        }
    }
}

/// Waits until all that came is written.
async fn settle(ended: Result<(), session::Error>, output: Output) -> Result<(), session::Error> {
    let written = output.finish().await.map_err(session::Error::Output);
    ended.and(written)
}

fn not_bound(at: SocketAddr, error: &io::Error) -> Stop {
    let (ip, port) = (at.ip(), at.port());
    Stop::Refused(Failure::new(format_args!("cannot listen on {ip} port {port}: {error}")))
}

fn no_thread(error: io::Error) -> Failure {
    Failure::new(format_args!("cannot start a thread: {error}"))
}

/// What connect(2) says in the end.
fn timed_out() -> io::Error {
    rustix::io::Errno::TIMEDOUT.into()
}
