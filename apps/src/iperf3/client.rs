//! The client: it says what is to be measured, and when that is over.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tapping_drivers::aio::{TcpSocket, TcpStream, UdpSocket};
use tapping_drivers::net::Net;

use super::control::Control;
use super::data::{Carrier, DataStream};
use super::datagram::{HELLO, OLD_REPLY, REPLY};
use super::fault::Fault;
use super::meter::{Role, StreamInfo};
use super::options;
use super::params::{Params, Protocol};
use super::protocol::{Cookie, ServerError, State};
use super::report::json::unix_time;
use super::report::{Opening, Report};
use super::session::{Connection, Interrupt, Session, heeding, read_results, step, unless};

/// What a client is to do.
#[derive(Debug, Clone)]
pub struct Client {
    /// The server, as the user named it.
    pub host: String,
    /// Its address.
    pub server: SocketAddr,
    /// The test. Of a UDP test without a length, that is chosen when there is a connection.
    pub params: Params,
    /// Whether the length of blocks was given.
    pub has_length: bool,
    /// How often to report.
    pub interval: Option<Duration>,
    /// How long to wait for the connection.
    pub connect_timeout: Option<Duration>,
    /// How long nothing may come while data flows.
    pub idle: Duration,
    /// The local port of the first stream; the others have those after it.
    pub first_port: Option<u16>,
    /// The name of the test.
    pub cookie: Cookie,
}

impl Client {
    /// Makes the test.
    ///
    /// # Errors
    /// It did not come to its end.
    pub async fn run(
        mut self,
        net: &Net,
        report: &mut dyn Report,
        mut interrupt: Interrupt,
    ) -> Result<(), Fault> {
        let control = self.connect(net, &mut interrupt).await?;
        let result = self.lead(net, &control, report, &mut interrupt).await;
        if let Err(Fault::Interrupted(_) | Fault::Late(_) | Fault::Stream { .. }) = &result {
            // Whether it still gets there does not matter.
            let _ = control.send_state(State::ClientTerminate).await;
        }
        result
    }

    /// Opens the control connection.
    async fn connect(&self, net: &Net, interrupt: &mut Interrupt) -> Result<Connection, Fault> {
        let connect = async {
            let stream = match self.connect_timeout {
                None => TcpStream::connect(net, self.server).await,
                Some(limit) => match net.timeout(limit, TcpStream::connect(net, self.server)).await
                {
                    Ok(connected) => connected,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                },
            };
            let stream = stream.map_err(Fault::Connect)?;
            stream.set_nodelay(true).map_err(Fault::Connect)?;
            Ok(Control::new(stream))
        };
        unless(interrupt, Role::Client, connect).await
    }

    async fn lead(
        &mut self,
        net: &Net,
        control: &Connection,
        report: &mut dyn Report,
        interrupt: &mut Interrupt,
    ) -> Result<(), Fault> {
        const ROLE: Role = Role::Client;
        control.write(&self.cookie.0).await?;
        let mss = control.wire().tcp_info().map_or(0, |info| info.snd_mss);
        if self.params.protocol == Protocol::Udp && !self.has_length {
            self.params.block = mss.clamp(super::params::MIN_DATAGRAM, 1 << 15);
        }
        let asked = expect(control, State::ParamExchange);
        step(net, interrupt, ROLE, "answer", asked).await?;
        let params = &self.params;
        control.send_message(&params.to_json().to_string()).await?;
        let asked = expect(control, State::CreateStreams);
        step(net, interrupt, ROLE, "ask for the streams", asked).await?;
        let opening = Opening {
            role: ROLE,
            params,
            host: self.host.clone(),
            port: self.server.port(),
            cookie: self.cookie,
            mss,
            unix: unix_time(),
        };
        report.opened(&opening).map_err(Fault::Output)?;
        let start = Some(State::TestStart);
        let streams = heeding(control, ROLE, start, self.streams(net));
        let (streams, started) = step(net, interrupt, ROLE, "open the streams", streams).await?;
        let infos: Vec<StreamInfo> = streams.iter().map(|stream| stream.info).collect();
        report.connected(&infos, options::buffers(params)).map_err(Fault::Output)?;
        let states = [State::TestStart, State::TestRunning];
        for state in states.into_iter().skip(started.into()) {
            step(net, interrupt, ROLE, "start the test", expect(control, state)).await?;
        }
        let (interval, idle) = (self.interval, self.idle);
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

        control.send_state(State::TestEnd).await?;
        let exchange = expect(control, State::ExchangeResults);
        step(net, interrupt, ROLE, "end the test", exchange).await?;
        let results = ran.results(params, ROLE);
        control.send_message(&results.to_json().to_string()).await?;
        let results = read_results(control);
        let remote = step(net, interrupt, ROLE, "send its results", results).await?;
        let display = expect(control, State::DisplayResults);
        step(net, interrupt, ROLE, "end the test", display).await?;
        report.summary(&ran.summary(params, ROLE, &remote)).map_err(Fault::Output)?;
        // The server may be gone already.
        let _ = control.send_state(State::IperfDone).await;
        report.done().map_err(Fault::Output)
    }

    async fn streams(&self, net: &Net) -> Result<Vec<DataStream>, Fault> {
        let mut streams = Vec::new();
        for index in 0..self.params.streams() {
            // As iperf3 numbers them, by file descriptors.
            let socket = 5 + 2 * index;
            let sending = self.params.client_sends(index);
            let port = self.first_port.map(|port| port.wrapping_add(index as u16));
            let (carrier, local) = match self.params.protocol {
                Protocol::Tcp => self.tcp_stream(net, port).await?,
                Protocol::Udp => self.udp_stream(net, port).await?,
            };
            let info = StreamInfo { socket, sending, local, remote: self.server };
            streams.push(DataStream::new(info, carrier));
        }
        Ok(streams)
    }

    async fn tcp_stream(
        &self,
        net: &Net,
        port: Option<u16>,
    ) -> Result<(Carrier, SocketAddr), Fault> {
        let mut socket = TcpSocket::new(net).map_err(failed)?;
        if let Some(port) = port {
            socket.bind(local(port)).map_err(failed)?;
        }
        options::set_on_socket(&socket, &self.params)?;
        let stream = socket.connect(self.server).await.map_err(failed)?;
        let stream = Control::new(stream);
        stream.write(&self.cookie.0).await?;
        let stream = stream.into_wire();
        let local = stream.local_addr().map_err(failed)?;
        Ok((Carrier::Tcp(Arc::new(stream)), local))
    }

    async fn udp_stream(
        &self,
        net: &Net,
        port: Option<u16>,
    ) -> Result<(Carrier, SocketAddr), Fault> {
        let socket = UdpSocket::bind(net, local(port.unwrap_or(0))).map_err(failed)?;
        options::set_on_datagrams(&socket, &self.params)?;
        socket.connect(self.server).map_err(failed)?;
        socket.send(HELLO).await.map_err(failed)?;
        let mut reply = [0; 64];
        loop {
            let len = socket.recv(&mut reply).await.map_err(failed)?;
            if [REPLY, OLD_REPLY].iter().any(|word| reply[..len] == **word) {
                break;
            }
        }
        let local = socket.local_addr().map_err(failed)?;
        Ok((Carrier::Udp(Arc::new(socket)), local))
    }
}

fn local(port: u16) -> SocketAddr {
    ([0, 0, 0, 0], port).into()
}

fn failed(error: io::Error) -> Fault {
    Fault::Stream { what: "open a stream", error, code: ServerError::STREAM }
}

/// Waits for a state, and takes no other.
async fn expect(control: &Connection, expected: State) -> Result<(), Fault> {
    match control.state().await? {
        state if state == expected => Ok(()),
        State::AccessDenied => Err(Fault::Denied),
        State::ServerTerminate => Err(Fault::PeerLeft(Role::Server)),
        State::ServerError => Err(Fault::Server(control.server_error().await?)),
        state => Err(Fault::Unexpected(state)),
    }
}
