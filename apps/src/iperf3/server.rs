//! The server: one test at a time, with whoever comes first.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tapping_drivers::aio::{TcpListener, TcpStream, UdpSocket};
use tapping_drivers::net::{JoinHandle, Net};

use super::control::Control;
use super::data::{Carrier, DataStream};
use super::datagram::{HELLO, OLD_HELLO, OLD_REPLY, REPLY};
use super::fault::Fault;
use super::meter::{Role, StreamInfo};
use super::options;
use super::params::{Params, Protocol};
use super::protocol::{Cookie, MAX_PARAMS, ServerError, State};
use super::report::json::unix_time;
use super::report::{Opening, Report};
use super::session::{
    Connection, Interrupt, PATIENCE, Session, heeding, read_results, step, unless,
};

/// How long a connection may take to say which test it belongs to.
const GREETING: Duration = Duration::from_secs(10);
/// The most connections that have not said so yet.
const MAX_GREETING: usize = 512;
/// How long to wait when no connection can be accepted.
const RETRY: Duration = Duration::from_millis(100);

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port.
    pub port: u16,
    /// How often to report.
    pub interval: Option<Duration>,
    /// Only one test.
    pub one_off: bool,
    /// How long nothing may come while data flows.
    pub idle: Duration,
}

/// Where a server shows what it does.
pub trait Console: Send {
    /// It waits for the test of this number.
    fn listening(&mut self, port: u16, test: u64) -> io::Result<()>;
    /// A report of the next test.
    fn report(&mut self) -> Box<dyn Report>;
    /// A test went wrong.
    fn failed(&mut self, fault: &Fault);
}

/// A server that listens.
pub struct Server {
    net: Net,
    options: Options,
    hall: Arc<Hall>,
    _doorman: Doorman,
}

/// Who accepts connections; gone with the server.
struct Doorman(JoinHandle<()>);

impl Drop for Doorman {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where connections wait to be led to a test.
#[derive(Default)]
struct Hall {
    guests: Mutex<Guests>,
    greeting: AtomicUsize,
}

#[derive(Default)]
struct Guests {
    /// A test that is to begin.
    next: Option<Guest>,
    /// The test that runs, or is about to.
    cookie: Option<Cookie>,
    /// Its streams so far, with the order in which they came; `None` while it wants none.
    streams: Option<Vec<(u64, TcpStream)>>,
    waker: Option<Waker>,
}

/// A client.
struct Guest {
    control: Connection,
    cookie: Cookie,
    peer: SocketAddr,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// Those of bind(2) and listen(2).
    pub fn bind(net: &Net, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(net, ([0, 0, 0, 0], options.port).into())?;
        let hall = Arc::<Hall>::default();
        let doorman = Doorman(net.spawn(open_door(net.clone(), listener, Arc::clone(&hall))));
        Ok(Server { net: net.clone(), options, hall, _doorman: doorman })
    }

    /// Makes one test after the other, until `interrupt`.
    ///
    /// # Errors
    /// Nothing can be shown any more. The fault of the test, of a server for one test only, or of
    /// one that was interrupted.
    pub async fn run(
        self,
        console: &mut dyn Console,
        mut interrupt: Interrupt,
    ) -> Result<(), Fault> {
        for number in 1.. {
            console.listening(self.options.port, number).map_err(Fault::Output)?;
            let arrival = async { Ok(self.hall.arrival().await) };
            let guest = match unless(&mut interrupt, Role::Server, arrival).await {
                Ok(guest) => guest,
                // Nobody is left in the middle of anything.
                Err(_) => return Ok(()),
            };
            let mut report = console.report();
            let result = self.attend(&guest, &mut *report, &mut interrupt).await;
            self.hall.leave();
            drop(guest);
            if let Err(fault) = &result
                && !matches!(fault, Fault::Output(_))
                && !report.failed(&fault.to_string()).map_err(Fault::Output)?
            {
                console.failed(fault);
            }
            match result {
                Err(fault @ (Fault::Output(_) | Fault::Interrupted(_))) => return Err(fault),
                result if self.options.one_off => return result,
                _ => {}
            }
        }
        Ok(())
    }

    /// One test.
    async fn attend(
        &self,
        guest: &Guest,
        report: &mut dyn Report,
        interrupt: &mut Interrupt,
    ) -> Result<(), Fault> {
        let result = self.lead(guest, report, interrupt).await;
        let Err(fault) = &result else { return result };
        // The client may be gone, or not listen; nobody waits for it long.
        let control = &guest.control;
        let farewell = async {
            if let Fault::Interrupted(_) = fault {
                return control.send_state(State::ServerTerminate).await;
            }
            let Some(error) = fault.server_error() else { return Ok(()) };
            control.send_state(State::ServerError).await?;
            control.write(&error.to_bytes()).await
        };
        let _ = self.net.timeout(Duration::from_secs(1), farewell).await;
        result
    }

    async fn lead(
        &self,
        guest: &Guest,
        report: &mut dyn Report,
        interrupt: &mut Interrupt,
    ) -> Result<(), Fault> {
        const ROLE: Role = Role::Server;
        let (net, control) = (&self.net, &guest.control);
        control.send_state(State::ParamExchange).await?;
        let message = control.message(MAX_PARAMS);
        let message = step(net, interrupt, ROLE, "send its parameters", message).await?;
        let params = Params::from_json(&message).map_err(Fault::Parameters)?;
        let mss = control.wire().tcp_info().map_or(0, |info| info.snd_mss);
        let (host, port) = (guest.peer.ip().to_string(), guest.peer.port());
        let (cookie, unix) = (guest.cookie, unix_time());
        let opening = Opening { role: ROLE, params: &params, host, port, cookie, mss, unix };
        report.opened(&opening).map_err(Fault::Output)?;

        let streams = self.streams(control, &params, guest.peer.ip());
        let streams = heeding(control, ROLE, None, streams);
        let (streams, _) = step(net, interrupt, ROLE, "open the streams", streams).await?;
        let infos: Vec<StreamInfo> = streams.iter().map(|stream| stream.info).collect();
        report.connected(&infos, options::buffers(&params)).map_err(Fault::Output)?;
        control.send_state(State::TestStart).await?;
        control.send_state(State::TestRunning).await?;
        let (interval, idle, params) = (self.options.interval, self.options.idle, &params);
        let session = Session {
            net,
            role: ROLE,
            params,
            control,
            streams,
            report,
            interval,
            idle,
            interrupt,
        };
        let ran = session.run().await?;

        control.send_state(State::ExchangeResults).await?;
        let results = read_results(control);
        let remote = step(net, interrupt, ROLE, "send its results", results).await?;
        report.summary(&ran.summary(params, ROLE, &remote)).map_err(Fault::Output)?;
        let mut results = ran.results(params, ROLE);
        results.server_output = report.output();
        control.send_message(&results.to_json().to_string()).await?;
        control.send_state(State::DisplayResults).await?;
        // It has all it wants; whether it still says so does not matter.
        let _ = net.timeout(PATIENCE, control.state()).await;
        report.done().map_err(Fault::Output)
    }

    async fn streams(
        &self,
        control: &Connection,
        params: &Params,
        client: IpAddr,
    ) -> Result<Vec<DataStream>, Fault> {
        let count = params.streams();
        let info = |index: usize, local, remote| StreamInfo {
            socket: 5 + 2 * index,
            sending: !params.client_sends(index),
            local,
            remote,
        };
        if params.protocol == Protocol::Tcp {
            self.hall.want_streams();
            control.send_state(State::CreateStreams).await?;
            let mut streams = Vec::with_capacity(count);
            for (index, stream) in self.hall.take_streams(count).await.into_iter().enumerate() {
                options::set_on_stream(&stream, params)?;
                let info = info(
                    index,
                    stream.local_addr().map_err(failed)?,
                    stream.peer_addr().map_err(failed)?,
                );
                streams.push(DataStream::new(info, Carrier::Tcp(Arc::new(stream))));
            }
            return Ok(streams);
        }
        let port = self.options.port;
        let socket = UdpSocket::bind(&self.net, ([0, 0, 0, 0], port).into()).map_err(failed)?;
        options::set_on_datagrams(&socket, params)?;
        control.send_state(State::CreateStreams).await?;
        let local = control.wire().local_addr().map_err(failed)?;
        let socket = Arc::new(socket);
        let flows = greet_flows(&socket, client, count).await?;
        let stream = |(index, remote)| {
            DataStream::new(info(index, local, remote), Carrier::Shared(Arc::clone(&socket)))
        };
        Ok(flows.into_iter().enumerate().map(stream).collect())
    }
}

/// Answers the datagrams that open streams. Returns where they came from, in order.
async fn greet_flows(
    socket: &UdpSocket,
    client: IpAddr,
    count: usize,
) -> Result<Vec<SocketAddr>, Fault> {
    let mut flows = Vec::with_capacity(count);
    let mut known = HashMap::new();
    let mut hello = [0; 64];
    while flows.len() < count {
        let (len, from) = match socket.recv_from(&mut hello).await {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(failed(error)),
        };
        let Some(reply) = reply_to(&hello[..len]).filter(|_| from.ip() == client) else { continue };
        // One that comes twice has not been answered, as far as its sender knows.
        if known.insert(from, ()).is_none() {
            flows.push(from);
        }
        socket.send_to(reply, from).await.map_err(failed)?;
    }
    Ok(flows)
}

/// The answer to a datagram that opens a stream.
pub fn reply_to(datagram: &[u8]) -> Option<&'static [u8; 4]> {
    if datagram == HELLO {
        Some(REPLY)
    } else if datagram == OLD_HELLO {
        Some(OLD_REPLY)
    } else {
        None
    }
}

fn failed(error: io::Error) -> Fault {
    Fault::Stream { what: "open a stream", error, code: ServerError::STREAM }
}

/// Accepts connections, and has each greeted by a task of its own: one that says nothing holds up
/// nobody.
async fn open_door(net: Net, listener: TcpListener, hall: Arc<Hall>) {
    for number in 0u64.. {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => return,
            Err(_) => {
                net.sleep(RETRY).await;
                continue;
            }
        };
        if hall.greeting.fetch_add(1, Ordering::Relaxed) >= MAX_GREETING {
            hall.greeting.fetch_sub(1, Ordering::Relaxed);
            let _ = stream.abort();
            continue;
        }
        let shard = stream.shard();
        let greeting = greet(net.clone(), stream, peer, number, Arc::clone(&hall));
        drop(net.spawn_on(shard, greeting));
    }
}

/// Asks a connection which test it belongs to.
async fn greet(net: Net, stream: TcpStream, peer: SocketAddr, number: u64, hall: Arc<Hall>) {
    let control = Control::new(stream);
    let cookie = net.timeout(GREETING, control.cookie()).await;
    hall.greeting.fetch_sub(1, Ordering::Relaxed);
    if let Ok(Ok(cookie)) = cookie
        && let Some(denied) = hall.admit(control, cookie, peer, number)
    {
        let _ = net.timeout(GREETING, denied.send_state(State::AccessDenied)).await;
    }
}

impl Hall {
    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads a connection to its test. Returns it when there is none for it.
    fn admit(
        &self,
        control: Connection,
        cookie: Cookie,
        peer: SocketAddr,
        number: u64,
    ) -> Option<Connection> {
        let mut guests = self.lock();
        let guests_now = &mut *guests;
        match (&guests_now.cookie, &mut guests_now.streams) {
            (None, _) => {
                let _ = control.wire().set_nodelay(true);
                guests_now.cookie = Some(cookie);
                guests_now.next = Some(Guest { control, cookie, peer });
            }
            (Some(running), Some(streams)) if *running == cookie => {
                streams.push((number, control.into_wire()));
            }
            _ => return Some(control),
        }
        let waker = guests.waker.take();
        drop(guests);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// The next client.
    fn arrival(&self) -> impl Future<Output = Guest> {
        self.wait(|guests| guests.next.take())
    }

    /// From now on connections with the cookie of the test are its streams.
    fn want_streams(&self) {
        self.lock().streams = Some(Vec::new());
    }

    /// So many streams, in the order in which they were opened. More are not wanted.
    async fn take_streams(&self, count: usize) -> Vec<TcpStream> {
        let all = |guests: &mut Guests| {
            let enough = guests.streams.as_ref().is_some_and(|streams| streams.len() >= count);
            enough.then(|| guests.streams.take()).flatten()
        };
        let mut streams = self.wait(all).await;
        streams.sort_by_key(|(number, _)| *number);
        streams.into_iter().take(count).map(|(_, stream)| stream).collect()
    }

    /// The test is over.
    fn leave(&self) {
        let mut guests = self.lock();
        guests.cookie = None;
        let streams = guests.streams.take();
        drop(guests);
        drop(streams);
    }

    async fn wait<T>(&self, mut take: impl FnMut(&mut Guests) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut guests = self.lock();
            match take(&mut guests) {
                Some(taken) => Poll::Ready(taken),
                None => {
                    guests.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
