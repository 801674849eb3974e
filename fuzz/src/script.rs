//! Inputs of the target `frame`: two bytes of [`Setup`], then actions, each a byte that names it
//! (modulo [`action::COUNT`]) and its arguments. Numbers are little-endian; what is missing at the
//! end reads as zero, so that every input is a valid script.

use std::net::Ipv4Addr;

use crate::frames;

/// The names of actions, and the arguments of those that [`Script`] writes.
pub mod action {
    /// A frame arrives as it is: link, length (2 bytes), bytes.
    pub const FRAME: u8 = 0;
    /// The same with its destination address and checksums made right.
    pub const MENDED_FRAME: u8 = 1;
    /// An IPv4 packet arrives, made from fields.
    pub const PACKET: u8 = 2;
    /// An ARP message arrives, made from fields.
    pub const ARP: u8 = 3;
    /// The last frame that was sent is answered as its receiver would.
    pub const ANSWER: u8 = 4;
    /// An ICMP error about the last packet that was sent arrives.
    pub const ERROR: u8 = 5;
    /// Time passes: milliseconds (1 byte), and by how many bits to shift them left (1 byte).
    pub const WAIT: u8 = 6;
    /// Many frames arrive: fragments, each of a datagram of its own, or ARP requests, each of a host
    /// of its own.
    pub const FLOOD: u8 = 7;
    /// A datagram arrives in pieces.
    pub const FRAGMENTS: u8 = 8;
    /// A socket is opened.
    pub const OPEN: u8 = 9;
    /// A socket sends.
    pub const SEND: u8 = 10;
    /// A socket's queues are emptied.
    pub const RECEIVE: u8 = 11;
    /// A socket's options change.
    pub const OPTIONS: u8 = 12;
    /// A socket is bound, connected or closed.
    pub const NAME: u8 = 13;
    /// A link changes.
    pub const LINK: u8 = 14;
    /// A link's settings change.
    pub const INTERFACE: u8 = 15;
    /// A link gets or loses an address.
    pub const ADDRESS: u8 = 16;
    /// A route is added or deleted.
    pub const ROUTE: u8 = 17;
    /// A neighbour is set, deleted or confirmed.
    pub const NEIGHBOUR: u8 = 18;
    /// A hook is registered or taken out.
    pub const HOOK: u8 = 19;
    /// A device takes no more frames, or takes them again; or the whole stack is left alone, or
    /// served again.
    pub const HOLD: u8 = 20;
    /// The stack's own settings change.
    pub const STACK: u8 = 21;
    /// A frame is sent as it is.
    pub const SEND_FRAME: u8 = 22;
    /// Frames for a link gather, or arrive as one batch.
    pub const BATCH: u8 = 23;
    /// A socket joins or leaves a group, or chooses sources.
    pub const GROUPS: u8 = 24;
    /// How many there are.
    pub const COUNT: u8 = 25;
}

/// What a stack is like before the first action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup(pub [u8; 2]);

impl Setup {
    /// Forwarding is on.
    pub const FORWARD: u8 = 1 << 0;
    /// Limits are those of Linux, not small ones.
    pub const LARGE: u8 = 1 << 1;
    /// The script runs twice and must end the same.
    pub const TWICE: u8 = 1 << 2;
    /// The two links are joined by a cable.
    pub const CABLE: u8 = 1 << 3;
    /// ICMP errors are not limited.
    pub const NO_RATE_LIMIT: u8 = 1 << 4;
    /// Neighbours are known from the start.
    pub const NEIGHBOURS: u8 = 1 << 5;
    /// Addresses are probed for.
    pub const CONFLICT_DETECTION: u8 = 1 << 6;
    /// Echo requests to many are answered.
    pub const BROADCAST_ECHO: u8 = 1 << 7;

    /// Whether a flag is set.
    pub fn has(self, flag: u8) -> bool {
        self.0[0] & flag != 0
    }

    /// The MTUs of the two links.
    pub fn mtus(self) -> [usize; 2] {
        const MTUS: [usize; 8] = [1500, 68, 576, 1280, 9000, 65_535, 100, 552];
        [self.0[1] & 7, self.0[1] >> 3 & 7].map(|n| MTUS[usize::from(n)])
    }
}

/// A script being read.
#[derive(Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The setup and what follows it.
    pub fn new(bytes: &'a [u8]) -> (Setup, Self) {
        let mut input = Input(bytes);
        (Setup([input.u8(), input.u8()]), input)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `len` bytes.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of bytes in front of so many bytes.
    pub fn counted(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16());
        self.bytes(len)
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// One byte as a choice.
    pub fn bool(&mut self) -> bool {
        self.u8() & 1 != 0
    }
}

/// A script being written.
#[derive(Debug)]
pub struct Script(Vec<u8>);

impl Script {
    /// Only the setup.
    pub fn new(setup: Setup) -> Self {
        Script(setup.0.to_vec())
    }

    /// A frame arrives on a link, 0 or 1.
    pub fn frame(&mut self, link: u8, frame: &[u8]) {
        self.arrival(action::FRAME, link, frame);
    }

    /// The same, addressed to the link and with right checksums.
    pub fn mended_frame(&mut self, link: u8, frame: &[u8]) {
        self.arrival(action::MENDED_FRAME, link, frame);
    }

    /// A ping socket is opened, with an identifier below 64.
    pub fn open_ping(&mut self, ident: u8) {
        self.0.extend([action::OPEN, ident % 64 * 4 + 1]);
    }

    /// A ping socket, counted from 0, sends an echo request with so many zero bytes of data.
    pub fn send_echo(&mut self, socket: u8, to: Ipv4Addr, sequence: u8, len: u16) {
        self.0.extend([action::SEND, socket]);
        frames::put_address(to, &mut self.0);
        self.0.push(sequence);
        self.0.extend(len.to_le_bytes());
    }

    /// `millis << shift` milliseconds pass.
    pub fn wait(&mut self, millis: u8, shift: u8) {
        self.0.extend([action::WAIT, millis, shift]);
    }

    /// The script's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn arrival(&mut self, action: u8, link: u8, frame: &[u8]) {
        let len = frame.len().min(usize::from(u16::MAX));
        self.0.extend([action, link]);
        self.0.extend((len as u16).to_le_bytes());
        self.0.extend(&frame[..len]);
    }
}
