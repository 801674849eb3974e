//! The other ends of `benches/compare.sh`: the client that loads every server alike, and the servers
//! that ours is compared with. Each prints `ready` when it serves, or one figure at its end.
//!
//! ```text
//! compare send ADDRESS:PORT SECONDS FLOWS      bits per second that a discard server took
//! compare receive ADDRESS:PORT SECONDS FLOWS   bits per second that a chargen server sent
//! compare datagrams ADDRESS:PORT SECONDS SIZE  datagrams per second that a UDP echo server returned
//! compare pings ADDRESS COUNT PAUSE            median round trip in microseconds, with as many
//!                                              microseconds of pause before each
//! compare hold ADDRESS:PORT COUNT              opens HTTP connections, asks once on each, and holds
//!                                              them until its input ends
//! compare kernel ADDRESS                       discard, chargen and UDP echo by the kernel's TCP/IP
//! compare smoltcp TAP ADDRESS/LEN              the same by smoltcp on its own TAP device
//! compare bare TAP                             returns frames with their addresses swapped
//! ```
//! Ports of the servers: 9 (RFC 863), 19 (RFC 864, of any bytes), 7 (RFC 862).

mod bare;
mod client;
mod kernel;
mod smol;

use std::process::ExitCode;
use std::time::Duration;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const ECHO: u16 = 7;
const DISCARD: u16 = 9;
const CHARGEN: u16 = 19;
/// Bytes read and written at a time, as iperf3 does by default.
const BLOCK: usize = 128 << 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare {}: {error}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<(), Failure> {
    match *args {
        ["send", to, seconds, flows] => client::send(to.parse()?, seconds.parse()?, flows.parse()?),
        ["receive", from, seconds, flows] => {
            client::receive(from.parse()?, seconds.parse()?, flows.parse()?)
        }
        ["datagrams", to, seconds, size] => {
            client::datagrams(to.parse()?, seconds.parse()?, size.parse()?)
        }
        ["pings", to, count, pause] => {
            client::pings(to.parse()?, count.parse()?, Duration::from_micros(pause.parse()?))
        }
        ["hold", to, count] => client::hold(to.parse()?, count.parse()?),
        ["kernel", addr] => kernel::serve(addr.parse()?),
        ["smoltcp", tap, addr] => smol::serve(tap, addr),
        ["bare", tap] => bare::serve(tap),
        _ => Err("wrong arguments".into()),
    }
}
