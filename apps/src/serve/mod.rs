//! `tapping serve`: small services, as tasks on the thread that moves the packets.
//!
//! A connection is a task. It never waits for anything but the stack, so all of them share one
//! thread, and nothing is handed over; what would wait for a disk is done by others. Each service has
//! a limit of connections and refuses more by RST.

mod chargen;
mod discard;
mod echo;
mod exec;
mod http;
mod limit;

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use tapping_drivers::aio::{TcpListener, TcpStream, UdpSocket};
use tapping_drivers::net::{Net, Shutdown};

use crate::cli::serve::{HttpService, ServeArgs};
use crate::control;
use crate::failure::{Failure, Stop, say};
use crate::iperf3;
use crate::network::Online;
use crate::plan::Plan;
use exec::Program;
use http::{Root, Site};
use limit::{Limit, Place};

/// How long what is under way may take to come to its end.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait when a connection cannot be accepted for want of memory.
const RETRY: Duration = Duration::from_millis(100);

/// Runs `tapping serve`; gives the exit status.
pub fn run(args: &ServeArgs) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let services = Service::all(args)?;
    if services.is_empty() && args.iperf3.is_none() {
        let what = "there is nothing to serve; name a service, such as --http 80";
        return Err(Failure(what.into()).into());
    }
    let mut online = Online::open(&plan)?;
    if !args.exec.is_empty() && online.peer().is_some() {
        let what = "--exec takes a private network, which this system does not allow";
        return Err(Failure(what.into()).into());
    }
    if let Some(peer) = online.peer() {
        serve_defaults(peer)?;
    }
    let net = online.net().clone();
    let server = Server::start(&net, &services, args.max_connections)?;
    if let Some(port) = args.iperf3 {
        server.start_iperf3(&net, port)?;
    }
    let control = control::serve(args.control.control.as_ref(), "serve", &net)?;
    let program = Program::start(&args.exec, control.as_ref().map(|control| control.path()))?;
    if program.is_none() {
        let mut out = io::stdout().lock();
        writeln!(out, "ready {}", plan.addr.addr())?;
        out.flush()?;
        tell_entrance(&online);
    }
    let status = online.block_on(async {
        let status = exec::run(program, &net).await;
        drop(control);
        server.stop(&net).await;
        status
    })?;
    Ok(status?)
}

/// What the built-in peer of a tool serves, so that there is somebody to talk to.
pub fn serve_defaults(peer: &Net) -> Result<(), Stop> {
    let services = [
        Service::TcpEcho(7),
        Service::UdpEcho(7),
        Service::Discard(9),
        Service::Chargen(19),
        Service::Http(80, Site::Page),
    ];
    Server::start(peer, &services, PEER_CONNECTIONS)?.leave();
    Ok(())
}

/// Connections that each service of the built-in peer has at once.
const PEER_CONNECTIONS: usize = 1024;

fn tell_entrance(online: &Online) {
    if let Some(entrance) = online.entrance() {
        if io::stderr().is_terminal() {
            say(format_args!("tapping: run commands in this private network by: {entrance}"));
        } else {
            tracing::info!("run commands in this private network by: {entrance}");
        }
    }
}

/// What is served on a port.
#[derive(Debug, Clone)]
enum Service {
    TcpEcho(u16),
    UdpEcho(u16),
    Discard(u16),
    Chargen(u16),
    Http(u16, Site),
}

impl Service {
    /// All that the options ask for.
    fn all(args: &ServeArgs) -> Result<Vec<Self>, Failure> {
        let ports = [
            (&args.tcp_echo, Service::TcpEcho as fn(u16) -> Service),
            (&args.udp_echo, Service::UdpEcho),
            (&args.discard, Service::Discard),
            (&args.chargen, Service::Chargen),
        ];
        let mut all = Vec::new();
        for (ports, service) in ports {
            all.extend(ports.iter().map(|port| service(*port)));
        }
        for HttpService { port, dir } in &args.http {
            let site = match dir {
                None => Site::Page,
                Some(dir) => Site::Files(Root::open(dir).map_err(|error| {
                    Failure::new(format_args!("cannot serve {}: {error}", dir.display()))
                })?),
            };
            all.push(Service::Http(*port, site));
        }
        Ok(all)
    }

    fn port(&self) -> u16 {
        match self {
            Service::TcpEcho(port)
            | Service::UdpEcho(port)
            | Service::Discard(port)
            | Service::Chargen(port)
            | Service::Http(port, _) => *port,
        }
    }

    fn protocol(&self) -> &'static str {
        if matches!(self, Service::UdpEcho(_)) { "UDP" } else { "TCP" }
    }

    /// Serves one connection.
    async fn serve(self, stream: TcpStream, stop: Receiver<Infallible>) -> io::Result<()> {
        match self {
            Service::TcpEcho(_) => echo::tcp(stream).await,
            Service::Discard(_) => discard::tcp(stream).await,
            Service::Chargen(_) => chargen::tcp(stream).await,
            Service::Http(_, site) => http::connection(stream, site, stop).await,
            Service::UdpEcho(_) => Ok(()),
        }
    }
}

/// Services that run.
struct Server {
    /// Closed when they are to stop.
    stop: Sender<Infallible>,
    stopped: Receiver<Infallible>,
    /// Closed when the last task is over that others should wait for.
    over: Receiver<Infallible>,
}

/// What a task of a service has of it.
#[derive(Clone)]
struct Share {
    service: Service,
    limit: Limit,
    stop: Receiver<Infallible>,
    over: Sender<Infallible>,
}

impl Server {
    /// Listens on every port, and serves from now on. Each shard has its own tasks.
    fn start(net: &Net, services: &[Service], max_connections: usize) -> Result<Self, Stop> {
        let (stop, stopped) = async_channel::bounded(1);
        let (still, over) = async_channel::bounded(1);
        for service in services {
            let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, service.port()));
            let share = Share {
                service: service.clone(),
                limit: Limit::new(max_connections),
                stop: stopped.clone(),
                over: still.clone(),
            };
            let started = match service {
                Service::UdpEcho(_) => start_udp(net, addr),
                _ => start_tcp(net, addr, &share),
            };
            started.map_err(|error| refused(service.protocol(), service.port(), error))?;
        }
        Ok(Server { stop, stopped, over })
    }

    /// Makes tests with clients of iperf3. One that runs in the end is told so.
    fn start_iperf3(&self, net: &Net, port: u16) -> Result<(), Stop> {
        let stopped = self.stopped.clone();
        let interrupt = Box::pin(async move {
            let _ = stopped.recv().await;
        });
        iperf3::serve(net, port, interrupt).map_err(|error| refused("TCP", port, error))
    }

    /// Lets them run until their stack ends.
    fn leave(self) {
        std::mem::forget(self.stop);
    }

    /// Comes to an end: what is under way is finished, for a while.
    async fn stop(self, net: &Net) {
        let before = net.clock().now();
        drop(self.stop);
        // Nothing is ever sent: this is the end of all who could.
        let _ = net.timeout(DRAIN, self.over.recv()).await;
        let left = DRAIN.saturating_sub(net.clock().now().saturating_since(before));
        net.shutdown(Shutdown::Drain(left));
        let _ = net.ended().await;
    }
}

fn refused(protocol: &str, port: u16, error: io::Error) -> Stop {
    Stop::Refused(Failure::new(format_args!("{protocol} port {port}: {error}")))
}

fn start_tcp(net: &Net, addr: SocketAddr, share: &Share) -> io::Result<()> {
    let listener = std::sync::Arc::new(TcpListener::bind(net, addr)?);
    for shard in 0..net.shards() {
        let (listener, share) = (listener.clone(), share.clone());
        drop(net.spawn_on(shard, async move { accept(&listener, shard, share).await }));
    }
    Ok(())
}

fn start_udp(net: &Net, addr: SocketAddr) -> io::Result<()> {
    let socket = std::sync::Arc::new(UdpSocket::bind(net, addr)?);
    for shard in 0..net.shards() {
        let (own, socket) = (net.clone(), socket.clone());
        drop(net.spawn_on(shard, async move { echo::udp(own, &socket, shard).await }));
    }
    Ok(())
}

/// Takes connections of a shard, until the service is to stop.
async fn accept(listener: &TcpListener, shard: usize, share: Share) {
    let net = listener.net().clone();
    let stopped = async {
        let _ = share.stop.recv().await;
        None
    };
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let accepted = async { Some(listener.accept_on(shard).await) };
        match futures_lite::future::or(stopped.as_mut(), accepted).await {
            None => return,
            Some(Ok((stream, peer))) => match share.limit.take() {
                Some(place) => start(&net, shard, &share, stream, peer, place),
                None => {
                    tracing::debug!(%peer, port = share.service.port(), "too many connections");
                    let _ = stream.abort();
                }
            },
            Some(Err(error)) if error.kind() == io::ErrorKind::NetworkDown => return,
            Some(Err(error)) => {
                tracing::warn!(port = share.service.port(), "cannot accept: {error}");
                net.sleep(RETRY).await;
            }
        }
    }
}

fn start(
    net: &Net,
    shard: usize,
    share: &Share,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) {
    // A peer that is gone without a word is found out some time.
    let _ = stream.set_tcp_options(|options| options.keepalive = true);
    let (service, stop) = (share.service.clone(), share.stop.clone());
    // Only an answer to a request has an end to wait for.
    let over = matches!(service, Service::Http(..)).then(|| share.over.clone());
    drop(net.spawn_on(shard, async move {
        let port = service.port();
        if let Err(error) = service.serve(stream, stop).await {
            tracing::debug!(%peer, port, "{error}");
        }
        drop((place, over));
    }));
}
