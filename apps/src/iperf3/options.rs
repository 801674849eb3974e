//! What the parameters of a test ask of its sockets.

use std::io;

use tapping_drivers::aio::{TcpSocket, TcpStream, UdpSocket};
use tapping_stack::PmtuDiscovery;
use tapping_stack::socket::SocketOptions;
use tapping_stack::tcp::TcpOptions;
use tapping_stack::tcp::cc::CongestionAlgorithm;

use super::fault::Fault;
use super::params::{Params, Protocol};
use super::protocol::ServerError;

/// Sets them on a socket that is to be connected.
///
/// # Errors
/// What cannot be had.
pub fn set_on_socket(socket: &TcpSocket, params: &Params) -> Result<(), Fault> {
    set(params, |change| socket.set_tcp_options(change))?;
    socket.set_options(|options| options.tos = params.tos).map_err(tos)
}

/// Sets them on a connection that was accepted.
///
/// # Errors
/// What cannot be had.
pub fn set_on_stream(stream: &TcpStream, params: &Params) -> Result<(), Fault> {
    set(params, |change| stream.set_tcp_options(change))?;
    let set = stream.net().with_shard(stream.shard(), |stack, _| {
        stack.socket_options(stream.id()).map(|options| options.tos = params.tos)
    });
    set.map_err(|error| tos(io::Error::from_raw_os_error(error.errno())))
}

/// Sets them on the socket of datagrams.
///
/// # Errors
/// What cannot be had.
pub fn set_on_datagrams(socket: &UdpSocket, params: &Params) -> Result<(), Fault> {
    let change = |options: &mut SocketOptions| {
        options.tos = params.tos;
        if params.dont_fragment {
            options.pmtu_discovery = PmtuDiscovery::Do;
        }
        if let Some(window) = params.window {
            options.receive_buffer = window as usize;
        }
    };
    socket.set_options(change).map_err(tos)
}

/// Send and receive buffers at the start, as Linux has them: twice what was asked for.
pub fn buffers(params: &Params) -> (usize, usize) {
    match (params.window, params.protocol) {
        (Some(window), _) => (2 * window as usize, 2 * window as usize),
        (None, Protocol::Tcp) => (16_384, 131_072),
        (None, Protocol::Udp) => (212_992, 212_992),
    }
}

/// A change of options.
type Change = Box<dyn FnOnce(&mut TcpOptions)>;

fn set(params: &Params, apply: impl Fn(Change) -> io::Result<()>) -> Result<(), Fault> {
    let fault = |what, code| move |error| Fault::Stream { what, error, code };
    if params.nodelay {
        apply(Box::new(|options| options.nodelay = true)).map_err(fault("set TCP_NODELAY", 122))?;
    }
    if let Some(mss) = params.mss {
        apply(Box::new(move |options| options.maxseg = Some(mss as u16)))
            .map_err(fault("set the maximum segment size", ServerError::MSS))?;
    }
    if let Some(window) = params.window {
        let change = move |options: &mut TcpOptions| {
            options.send_buffer = Some(window as usize);
            options.receive_buffer = Some(window as usize);
        };
        apply(Box::new(change)).map_err(fault("set the buffer size", 124))?;
    }
    if let Some(name) = &params.congestion {
        let what = "set the congestion control algorithm";
        let fault = fault(what, ServerError::CONGESTION);
        let algorithm = algorithm(name)
            .ok_or_else(|| fault(io::Error::from_raw_os_error(NO_SUCH_ALGORITHM)))?;
        apply(Box::new(move |options| options.congestion = Some(algorithm))).map_err(fault)?;
    }
    Ok(())
}

/// The algorithm of this name.
pub fn algorithm(name: &str) -> Option<CongestionAlgorithm> {
    CongestionAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
}

/// `ENOENT`, as Linux says of an algorithm that it does not have.
const NO_SUCH_ALGORITHM: i32 = 2;

fn tos(error: io::Error) -> Fault {
    Fault::Stream { what: "set the type of service", error, code: 125 }
}
