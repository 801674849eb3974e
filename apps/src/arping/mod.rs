//! `tapping arping`: who has an address, asked by ARP, as iputils' `arping` asks.

mod engine;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tapping_stack::event::{Event, Observer};
use tapping_stack::packet::LinkId;
use tapping_stack::time::Instant;
use tapping_stack::wire::{Arp, EtherType, Ethernet, EthernetRepr, MacAddr, arp, ethernet};

use crate::cli::ArpingArgs;
use crate::failure::{Failure, Stop};
use crate::names::{self, Target};
use crate::network::{Network, Signals};
use crate::ping::Millis;
use crate::plan::Plan;
use crate::walk::Who;
use engine::{Action, Answer, Config, Counters, Engine, Mode};

/// Messages that may wait to be looked at; more than that are not answers to us.
const MAX_WAITING: usize = 1024;

/// Runs `tapping arping`; gives the exit status.
pub fn run(args: &ArpingArgs) -> Result<u8, Stop> {
    let plan = Plan::new(&args.network)?;
    let mode = mode(args)?;
    let target = names::resolve(&args.host)?;
    let mut network = Network::open(&plan, args.link.as_deref())?;
    let heard = Heard::default();
    network.watch(Who::Here, Box::new(heard.clone()));
    let config = config(args, &plan, &target, mode, network.mac());
    let mut engine = Engine::new(config.clone(), network.now());
    let mut out = io::stdout();
    if !args.quiet {
        writeln!(out, "ARPING {} from {} {}", target.addr, config.source, network.link_name())?;
    }
    let end = ask(args, &target, &mut network, &heard, &mut engine, &mut out);
    if !args.quiet && !matches!(end, Err(Stop::ReaderGone)) {
        write!(out, "{}", summary(&engine.counters()))?;
    }
    end?;
    Ok(engine.exit_status())
}

/// Asks until the engine has had enough.
fn ask(
    args: &ArpingArgs,
    target: &Target,
    network: &mut Network,
    heard: &Heard,
    engine: &mut Engine,
    out: &mut impl Write,
) -> Result<(), Stop> {
    loop {
        let mut signals = Signals::default();
        match engine.poll(network.now()) {
            Action::Finish => return Ok(()),
            Action::Send(to, message) => {
                let now = network.now();
                send(network, now, to, &message);
                engine.sent(now);
                // What it brings is heard before the next request, which depends on it.
                network.flush()?;
            }
            Action::Wait(until) => signals = network.wait(Some(until))?,
        }
        while let Some(HeardMessage { at, frame_dst, message, .. }) = heard.next(network.link()) {
            let answer = engine.received(at, frame_dst, &message);
            if let Some(answer) = answer.filter(|_| !args.quiet) {
                writeln!(out, "{}", answer_line(target.addr, &answer))?;
            }
        }
        if signals.stop {
            engine.stop();
        }
    }
}

fn mode(args: &ArpingArgs) -> Result<Mode, Failure> {
    match (args.detect, args.answer, args.unsolicited) {
        (true, false, false) => Ok(Mode::Detect),
        // -A is -U by replies, so both together are -A.
        (false, true, _) => Ok(Mode::AnnounceByReply),
        (false, false, true) => Ok(Mode::AnnounceByRequest),
        (false, false, false) => Ok(Mode::Ask),
        _ => Err(Failure("-D looks for others, -A and -U announce; choose one".into())),
    }
}

fn config(args: &ArpingArgs, plan: &Plan, target: &Target, mode: Mode, mac: MacAddr) -> Config {
    let source = args.source.unwrap_or(match mode {
        Mode::Ask => plan.addr.addr(),
        Mode::Detect => Ipv4Addr::UNSPECIFIED,
        Mode::AnnounceByRequest | Mode::AnnounceByReply => target.addr,
    });
    Config {
        target: target.addr,
        source,
        mac,
        count: args.count,
        interval: args.interval,
        deadline: args.deadline.filter(|limit| !limit.is_zero()),
        broadcast_only: args.broadcast,
        first_only: args.first,
        mode,
    }
}

fn send(network: &mut Network, now: Instant, to: MacAddr, message: &Arp) {
    let (link, mac) = (network.link(), network.mac());
    let stack = network.stack();
    let mut frame = stack.take_buffer(ethernet::HEADER_LEN + arp::LEN);
    EthernetRepr { dst: to, src: mac, ethertype: EtherType::ARP }
        .emit(frame.put(ethernet::HEADER_LEN));
    message.emit(frame.put(arp::LEN));
    stack.send_frame(now, link, frame);
}

/// The line for an answer, as iputils writes it.
fn answer_line(target: Ipv4Addr, answer: &Answer) -> String {
    let cast = if answer.unicast { "Unicast" } else { "Broadcast" };
    let kind = if answer.reply { "reply" } else { "request" };
    let mut line = format!("{cast} {kind} from {target} [{}] ", upper(answer.mac));
    if let Some(ip) = answer.for_ip {
        line += &format!("for {ip} ");
    }
    if let Some(mac) = answer.for_mac {
        if answer.for_ip.is_none() {
            line += "for ";
        }
        line += &format!("[{}]", upper(mac));
    }
    line + &format!(" {}ms", Millis(answer.rtt.as_micros() as u64))
}

/// iputils writes link-layer addresses in capitals.
fn upper(mac: MacAddr) -> String {
    mac.to_string().to_uppercase()
}

fn summary(counters: &Counters) -> String {
    let Counters { sent, sent_broadcast, received, received_broadcast, received_requests } =
        counters;
    let mut text = format!("Sent {sent} probes ({sent_broadcast} broadcast(s))\n");
    text += &format!("Received {received} response(s)");
    let mut of = Vec::new();
    if *received_requests > 0 {
        of.push(format!("{received_requests} request(s)"));
    }
    if *received_broadcast > 0 {
        of.push(format!("{received_broadcast} broadcast(s)"));
    }
    if !of.is_empty() {
        text += &format!(" ({})", of.join(", "));
    }
    text + "\n"
}

/// The ARP messages that a stack was shown.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<VecDeque<HeardMessage>>>);

#[derive(Debug)]
struct HeardMessage {
    link: LinkId,
    at: Instant,
    frame_dst: MacAddr,
    message: Arp,
}

impl Heard {
    /// The next message that arrived on `link`.
    fn next(&self, link: LinkId) -> Option<HeardMessage> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let heard = waiting.pop_front()?;
            if heard.link == link {
                return Some(heard);
            }
        }
    }
}

impl Observer for Heard {
    fn event(&mut self, now: Instant, event: &Event<'_>) {
        let Event::LinkIn { link, packet } = event else { return };
        let Ok(frame) = Ethernet::parse(packet.bytes()) else { return };
        if frame.ethertype() != EtherType::ARP {
            return;
        }
        let Ok(message) = Arp::parse(frame.payload()) else { return };
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            let frame_dst = frame.dst();
            waiting.push_back(HeardMessage { link: *link, at: now, frame_dst, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_are_those_of_iputils() {
        let mac = MacAddr([0x7e, 0xa4, 0xa9, 0x7b, 0x95, 0x4a]);
        let target = Ipv4Addr::new(10, 0, 0, 1);
        let rtt = Duration::from_micros(1529);
        let answer = Answer { unicast: true, reply: true, mac, for_ip: None, for_mac: None, rtt };
        assert_eq!(
            answer_line(target, &answer),
            "Unicast reply from 10.0.0.1 [7E:A4:A9:7B:95:4A]  1.529ms"
        );
        let other = Answer {
            unicast: false,
            reply: false,
            for_ip: Some(target),
            for_mac: Some(MacAddr::ZERO),
            ..answer
        };
        assert_eq!(
            answer_line(target, &other),
            "Broadcast request from 10.0.0.1 [7E:A4:A9:7B:95:4A] for 10.0.0.1 [00:00:00:00:00:00] 1.529ms"
        );
    }

    #[test]
    fn the_summary_counts_what_there_was() {
        let counters = Counters { sent: 3, sent_broadcast: 1, received: 2, ..Counters::default() };
        let expected = "Sent 3 probes (1 broadcast(s))\nReceived 2 response(s)\n";
        assert_eq!(summary(&counters), expected);
        let counters = Counters { received_broadcast: 1, received_requests: 2, ..counters };
        assert!(summary(&counters).ends_with("(2 request(s), 1 broadcast(s))\n"));
    }
}
