//! The command line: what may be written, and one line about what is wrong with it.

pub mod control;
pub mod ip;
pub mod iperf3;
pub mod ss;
pub mod stat;
pub mod tcping;
pub mod top;
pub mod values;

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use iperf3::Iperf3Args;
use tapping_stack::wire::{Ipv4Cidr, MacAddr};
use tcping::TcpingArgs;

/// Ping and debug networks from a TCP/IP stack that is not the kernel's.
#[derive(Debug, Parser)]
#[command(
    name = "tapping",
    version,
    propagate_version = true,
    disable_version_flag = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "tapping [OPTIONS] HOST...\n       tapping <COMMAND> [OPTIONS] HOST",
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    ping: PingArgs,
    /// Print the version and exit
    #[arg(short = 'V', long, action = ArgAction::Version, global = true, help_heading = None)]
    version: Option<bool>,
}

const AFTER_HELP: &str = "\
Without --tap and --packet, tapping enters a private network of its own: the stack at --addr and
the kernel at --host-addr are all there is in it, and nothing outside is touched. Where the system
allows no such network it uses the built-in peer (--peer): a second stack in the same process.

Examples:
  tapping 10.0.0.1                          ping the kernel from a stack in a private network
  tapping --peer --walk -c 1 10.0.0.1       the way of a packet through the layers of both ends
  tapping -f -c 100000 -q 10.0.0.1          flood, and show percentiles
  tapping --json -c 3 10.0.0.1 10.0.0.9     several hosts, one JSON object a line
  tapping trace 10.0.0.1                    the routers on the way
  tapping arping 10.0.0.1                   the link-layer address of a neighbour
  tapping tcping 10.0.0.1 22                how long a connection takes
  tapping iperf3 -c 10.0.0.1                how fast data goes to an iperf3 server

Exit status: 0 when every host answered, 1 when one did not, 2 when something was wrong here.";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ping hosts (the default: the word may be left out)
    Ping(PingArgs),
    /// Ping a neighbour by ARP
    Arping(ArpingArgs),
    /// Show the routers on the way to a host
    Trace(TraceArgs),
    /// List the sockets of a running stack, as ss does
    Ss(ss::SsArgs),
    /// Show the counters of a running stack, as netstat -s does
    Stat(stat::StatArgs),
    /// Show links, addresses, routes and neighbours of a running stack, as ip does
    Ip(ip::IpArgs),
    /// Watch the connections of a running stack
    Top(top::TopArgs),
    /// Time connections to a port
    Tcping(TcpingArgs),
    /// Measure throughput, with iperf3's protocol
    Iperf3(Iperf3Args),
}

/// How the stack is joined to a network; every subcommand takes these.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network options")]
pub struct NetworkArgs {
    /// Attach to this TAP interface, made if there is none (needs CAP_NET_ADMIN)
    #[arg(long, value_name = "NAME", value_parser = values::interface)]
    pub tap: Option<String>,
    /// Send and receive by a packet socket on this interface (needs CAP_NET_RAW)
    #[arg(long, value_name = "IFACE", value_parser = values::interface, conflicts_with = "tap")]
    pub packet: Option<String>,
    /// Use the built-in peer: a second stack in this process, at --host-addr
    #[arg(long, conflicts_with_all = ["tap", "packet"])]
    pub peer: bool,
    /// The stack's own address [default: 10.0.0.2/24]
    #[arg(long, value_name = "CIDR", value_parser = values::cidr)]
    pub addr: Option<Ipv4Cidr>,
    /// Give the kernel's side this address [default in the private network: 10.0.0.1/24]
    #[arg(long, value_name = "CIDR", value_parser = values::cidr, conflicts_with = "packet")]
    pub host_addr: Option<Ipv4Cidr>,
    /// Router for addresses outside --addr's subnet
    #[arg(long, value_name = "IP", value_parser = values::address)]
    pub gateway: Option<Ipv4Addr>,
    /// The stack's link-layer address [default: 02:74 and the four bytes of --addr]
    #[arg(long, value_name = "MAC", value_parser = values::mac)]
    pub mac: Option<MacAddr>,
    /// Longest IP packet on the link, 68 to 65521 [default: 1500, or the interface's own]
    #[arg(long, value_name = "BYTES", value_parser = values::mtu, allow_negative_numbers = true)]
    pub mtu: Option<u32>,
    /// Let a TAP carry only whole frames of the MTU with their checksums, as without offload
    #[arg(long, conflicts_with_all = ["packet", "peer"])]
    pub no_offload: bool,
    /// Look for packets so many microseconds before sleeping [default: 0, or 50 without a number]
    #[arg(long, value_name = "MICROSECONDS", value_parser = values::spin, num_args = 0..=1, require_equals = true, default_missing_value = "50")]
    pub busy_poll: Option<Duration>,
    /// Write every frame to this pcapng file
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Seed of the stack's random choices, for runs that repeat
    #[arg(long, value_name = "NUMBER", value_parser = values::seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Say what goes on; twice says more. Also tells the duplicates of a group
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// `tapping ping`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Ping options")]
pub struct PingArgs {
    /// Names or addresses to ping, all at once
    #[arg(required = true, value_name = "HOST", help_heading = "Arguments")]
    pub hosts: Vec<String>,
    /// Adapt the interval to the round-trip time
    #[arg(short = 'A')]
    pub adaptive: bool,
    /// Ring the terminal's bell at each reply
    #[arg(short = 'a')]
    pub audible: bool,
    /// Allow pinging a broadcast address
    #[arg(short = 'b')]
    pub broadcast: bool,
    /// Keep the source address chosen at the start
    #[arg(short = 'B')]
    pub sticky_source: bool,
    /// Stop after so many replies
    #[arg(short = 'c', value_name = "COUNT", value_parser = values::count, allow_negative_numbers = true)]
    pub count: Option<u64>,
    /// Print the time before each line
    #[arg(short = 'D')]
    pub stamps: bool,
    /// Identifier of the echo requests, 0 to 65535 [default: chosen by the stack]
    #[arg(short = 'e', value_name = "ID", value_parser = values::number::<u16>, allow_negative_numbers = true)]
    pub ident: Option<u16>,
    /// Flood: a request after each reply or 10 ms; a dot a request, a backspace a reply
    #[arg(short = 'f')]
    pub flood: bool,
    /// Seconds between requests, such as 0.01 [default: 1, or 0 with -f]
    #[arg(short = 'i', value_name = "SECONDS", value_parser = values::duration, allow_negative_numbers = true)]
    pub interval: Option<Duration>,
    /// Source: an address of the stack, or a link name
    #[arg(short = 'I', value_name = "SOURCE")]
    pub source: Option<String>,
    /// Send so many requests before waiting, 1 to 65536
    #[arg(short = 'l', value_name = "COUNT", value_parser = values::preload, default_value = "1", allow_negative_numbers = true)]
    pub preload: u32,
    /// Do not loop multicast requests back
    #[arg(short = 'L')]
    pub no_loop: bool,
    /// Firewall mark of the requests
    #[arg(short = 'm', value_name = "MARK", value_parser = values::number::<u32>, allow_negative_numbers = true)]
    pub mark: Option<u32>,
    /// Path MTU discovery: do (never fragment), want (fragment here), dont (clear DF), probe (set
    /// DF and ignore what is known of the path)
    #[arg(short = 'M', value_name = "HOW", value_parser = values::discovery)]
    pub discovery: Option<values::Discovery>,
    /// Show addresses, not names
    #[arg(short = 'n')]
    pub numeric: bool,
    /// Report a missing reply before sending the next request
    #[arg(short = 'O')]
    pub outstanding: bool,
    /// Fill the data with these up to 16 bytes, in hex
    #[arg(short = 'p', value_name = "HEX", value_parser = values::pattern)]
    pub pattern: Option<values::Pattern>,
    /// Only the first and the last lines
    #[arg(short = 'q')]
    pub quiet: bool,
    /// Type of service byte, decimal or 0x hex
    #[arg(short = 'Q', value_name = "TOS", value_parser = values::tos, allow_negative_numbers = true)]
    pub tos: Option<u8>,
    /// Record the route in the IP header (up to nine hops)
    #[arg(short = 'R')]
    pub record_route: bool,
    /// Bytes of data, 0 to 65507
    #[arg(short = 's', value_name = "BYTES", value_parser = values::size, default_value = "56", allow_negative_numbers = true)]
    pub size: usize,
    /// Time to live, 1 to 255
    #[arg(short = 't', value_name = "TTL", value_parser = values::ttl, allow_negative_numbers = true)]
    pub ttl: Option<u8>,
    /// Full user-to-user latency: take the time when the reply is read, not when it arrived
    #[arg(short = 'U')]
    pub user_latency: bool,
    /// Stop after so many seconds, whatever came; 0 sets no limit
    #[arg(short = 'w', value_name = "SECONDS", value_parser = values::duration, allow_negative_numbers = true)]
    pub deadline: Option<Duration>,
    /// Seconds to wait for a reply, 0 for ever; after any reply came, twice the longest round trip
    #[arg(short = 'W', value_name = "SECONDS", value_parser = values::linger, default_value = "10", allow_negative_numbers = true)]
    pub linger: values::Linger,
    /// IPv4 only; the stack speaks nothing else yet
    #[arg(short = '4')]
    pub ipv4: bool,

    /// One JSON object a line, and a summary object a host
    #[arg(long)]
    pub json: bool,
    /// Show the way of the first request and its reply through the layers
    #[arg(long, conflicts_with_all = ["json", "flood"])]
    pub walk: bool,

    #[command(flatten)]
    pub network: NetworkArgs,
}

/// `tapping arping`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "ARP ping options")]
pub struct ArpingArgs {
    /// The neighbour's name or address
    #[arg(value_name = "HOST", help_heading = "Arguments")]
    pub host: String,
    /// Announce HOST's address as our own, by ARP replies
    #[arg(short = 'A')]
    pub answer: bool,
    /// Keep on broadcasting; do not turn to unicast after a reply
    #[arg(short = 'b')]
    pub broadcast: bool,
    /// Stop after so many requests; with -w, after so many replies
    #[arg(short = 'c', value_name = "COUNT", value_parser = values::count, allow_negative_numbers = true)]
    pub count: Option<u64>,
    /// Duplicate address detection: exit status 1 when somebody has the address
    #[arg(short = 'D')]
    pub detect: bool,
    /// Stop at the first reply
    #[arg(short = 'f')]
    pub first: bool,
    /// Seconds between requests
    #[arg(short = 'i', value_name = "SECONDS", value_parser = values::duration, default_value = "1", allow_negative_numbers = true)]
    pub interval: Duration,
    /// Link to send on; the stack has one beside its loopback
    #[arg(short = 'I', value_name = "LINK")]
    pub link: Option<String>,
    /// Say nothing
    #[arg(short = 'q')]
    pub quiet: bool,
    /// Sender address of the requests
    #[arg(short = 's', value_name = "IP", value_parser = values::address)]
    pub source: Option<Ipv4Addr>,
    /// Announce HOST's address as our own, by ARP requests
    #[arg(short = 'U')]
    pub unsolicited: bool,
    /// Stop after so many seconds, whatever came; 0 sets no limit
    #[arg(short = 'w', value_name = "SECONDS", value_parser = values::duration, allow_negative_numbers = true)]
    pub deadline: Option<Duration>,

    #[command(flatten)]
    pub network: NetworkArgs,
}

/// `tapping trace`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Trace options")]
pub struct TraceArgs {
    /// The name or address to trace the way to
    #[arg(value_name = "HOST", help_heading = "Arguments")]
    pub host: String,
    /// Bytes in each probe, IP header included
    #[arg(value_name = "BYTES", help_heading = "Arguments", value_parser = values::packet_len, default_value = "60", allow_negative_numbers = true)]
    pub length: usize,
    /// Time to live of the first probes
    #[arg(short = 'f', value_name = "TTL", value_parser = values::ttl, default_value = "1", allow_negative_numbers = true)]
    pub first: u8,
    /// Do not fragment the probes; a router that would have to says so
    #[arg(short = 'F')]
    pub dont_fragment: bool,
    /// Probe by ICMP echo instead of UDP
    #[arg(short = 'I', long = "icmp")]
    pub icmp: bool,
    /// Probe by TCP SYN instead of UDP; an open and a closed port both end the way
    #[arg(short = 'T', long = "tcp", conflicts_with = "icmp")]
    pub tcp: bool,
    /// Longest way to try, in hops
    #[arg(short = 'm', value_name = "HOPS", value_parser = values::ttl, default_value = "30", allow_negative_numbers = true)]
    pub max_hops: u8,
    /// Show addresses, not names
    #[arg(short = 'n')]
    pub numeric: bool,
    /// Probes on their way at the same time
    #[arg(short = 'N', value_name = "COUNT", value_parser = values::parallel, default_value = "16", allow_negative_numbers = true)]
    pub parallel: usize,
    /// UDP port of the first probe, one more for each; with -I the first sequence number; with -T
    /// the TCP port [default: 33434, or 1 with -I, or 80 with -T]
    #[arg(short = 'p', value_name = "PORT", value_parser = values::number::<u16>, allow_negative_numbers = true)]
    pub port: Option<u16>,
    /// Probes for each hop, 1 to 10
    #[arg(short = 'q', value_name = "COUNT", value_parser = values::queries, default_value = "3", allow_negative_numbers = true)]
    pub queries: usize,
    /// Type of service byte, decimal or 0x hex
    #[arg(short = 't', value_name = "TOS", value_parser = values::tos, allow_negative_numbers = true)]
    pub tos: Option<u8>,
    /// Seconds to wait for an answer; then how many times longer than another answer from the
    /// same hop, and than one from a later hop
    #[arg(short = 'w', value_name = "MAX,HERE,NEAR", value_parser = values::wait, default_value = "5,3,10", allow_negative_numbers = true)]
    pub wait: values::Wait,

    #[command(flatten)]
    pub network: NetworkArgs,
}

/// What the command line asks for, or the status to exit with after saying why.
pub enum Parsed {
    /// Do this.
    Run(Box<Command>),
    /// Text that was asked for (`--help`, `--version`).
    Print(String),
    /// One line about what is wrong.
    Wrong(String),
}

/// Reads the command line, program name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Parsed {
    use clap::error::ErrorKind;
    match Cli::try_parse_from(subcommand_first(args.into_iter().collect())) {
        Ok(cli) => Parsed::Run(Box::new(cli.command.unwrap_or(Command::Ping(cli.ping)))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Parsed::Print(error.render().to_string())
            }
            _ => Parsed::Wrong(one_line(&error.render().to_string())),
        },
    }
}

/// Every subcommand takes the network options, so they may stand before its name; the parser wants
/// them behind it. After any other option a word is a host.
fn subcommand_first(mut words: Vec<OsString>) -> Vec<OsString> {
    let commands = Cli::command();
    let network = NetworkArgs::augment_args(clap::Command::new("network"));
    let mut at = 1;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        if commands.find_subcommand(word).is_some() {
            let command = words.remove(at);
            words.insert(1, command);
            break;
        }
        let Some(length) = option_length(&network, word) else { break };
        at += length;
    }
    words
}

/// How many words the option that begins with `word` takes, if `command` has it.
fn option_length(command: &clap::Command, word: &str) -> Option<usize> {
    let takes_value = |arg: &clap::Arg| arg.get_action().takes_values();
    // A value that may be left out stands in the same word.
    let takes_word = |arg: &clap::Arg| takes_value(arg) && !arg.is_require_equals_set();
    if let Some(long) = word.strip_prefix("--") {
        let name = long.split_once('=').map_or(long, |(name, _)| name);
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name))?;
        return Some(if takes_word(arg) && name == long { 2 } else { 1 });
    }
    let shorts = word.strip_prefix('-').filter(|shorts| !shorts.is_empty())?;
    let is_flag = |short| {
        let mut args = command.get_arguments();
        args.any(|arg| arg.get_short() == Some(short) && !takes_value(arg))
    };
    shorts.chars().all(is_flag).then_some(1)
}

/// The first paragraph of clap's message as one line, and where to read more.
fn one_line(message: &str) -> String {
    let first = message.split("\n\n").next().unwrap_or(message);
    let words: Vec<&str> = first.split_whitespace().collect();
    let text = words.join(" ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    format!("{text}; try 'tapping --help'")
}

#[cfg(test)]
mod tests;
