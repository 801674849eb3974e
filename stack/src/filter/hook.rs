//! The five hook points on a packet's way (Linux netfilter, `enum nf_inet_hooks`).
//!
//! ```text
//!  link in → PREROUTING → route ─→ INPUT → socket → OUTPUT → route ─┐
//!                           └────→ FORWARD ─────────────────────────┴→ POSTROUTING → link out
//! ```
//! Hooks run in order of priority, lowest first; equal priorities in order of registration. The
//! first verdict other than [`Verdict::Accept`] ends the packet's way. With nothing registered a
//! point costs one branch.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::interface::Interfaces;
use crate::packet::Packet;
use crate::route::RouteTable;
use crate::time::Instant;
use crate::wire::icmpv4::Unreachable;

/// Where on its way a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookPoint {
    /// Arrived, before the route decision.
    Prerouting,
    /// For this host, before delivery.
    Input,
    /// For another host, being forwarded.
    Forward,
    /// Made by this host.
    Output,
    /// About to leave.
    Postrouting,
}

impl HookPoint {
    /// All five, in the order of the Linux numbering.
    pub const ALL: [HookPoint; 5] = [
        HookPoint::Prerouting,
        HookPoint::Input,
        HookPoint::Forward,
        HookPoint::Output,
        HookPoint::Postrouting,
    ];
}

impl core::fmt::Display for HookPoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            HookPoint::Prerouting => "PREROUTING",
            HookPoint::Input => "INPUT",
            HookPoint::Forward => "FORWARD",
            HookPoint::Output => "OUTPUT",
            HookPoint::Postrouting => "POSTROUTING",
        })
    }
}

/// Conventional priorities (Linux `enum nf_ip_hook_priorities`).
pub mod priority {
    /// Reassembly before connection tracking.
    pub const DEFRAG: i32 = -400;
    /// The raw table.
    pub const RAW: i32 = -300;
    /// Connection tracking.
    pub const CONNTRACK: i32 = -200;
    /// The mangle table.
    pub const MANGLE: i32 = -150;
    /// Destination NAT.
    pub const NAT_DST: i32 = -100;
    /// The filter table.
    pub const FILTER: i32 = 0;
    /// The security table.
    pub const SECURITY: i32 = 50;
    /// Source NAT.
    pub const NAT_SRC: i32 = 100;
    /// Confirmation of a tracked connection, after everything else.
    pub const CONNTRACK_CONFIRM: i32 = i32::MAX;
}

/// What becomes of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on.
    Accept,
    /// Is discarded.
    Drop,
    /// Was taken out with [`core::mem::take`]; the stack forgets it.
    Stolen,
    /// Is discarded and its sender told.
    Reject(RejectReason),
}

/// How the sender of a rejected packet is told (iptables `--reject-with`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// By an ICMP destination unreachable of this code.
    Icmp(Unreachable),
    /// By a TCP reset; a packet that is not TCP is only discarded.
    TcpReset,
}

/// What a hook may look at beside the packet.
#[derive(Debug)]
pub struct HookContext<'a> {
    /// The time.
    pub now: Instant,
    /// Where the packet is.
    pub point: HookPoint,
    /// The links by name, and their addresses.
    pub interfaces: &'a Interfaces,
    /// The routes.
    pub routes: &'a RouteTable,
}

/// Code that sees every IPv4 packet at the points it is registered for.
pub trait Hook {
    /// Judges a packet. Its [`bytes`](crate::packet::PacketBuffer::bytes) begin with a valid IPv4 header;
    /// `meta.link_in` and `meta.link_out` are set where they are known. The packet may be changed,
    /// as long as its header and checksums stay right; a changed source, destination, TOS or mark
    /// makes OUTPUT route it again.
    fn process(&mut self, context: &HookContext<'_>, packet: &mut Packet) -> Verdict;

    /// What it is called in events.
    fn name(&self) -> &str {
        "hook"
    }

    /// Whether it must see whole datagrams: with any such hook registered, fragments are
    /// reassembled before PREROUTING and OUTPUT instead of at local delivery only.
    fn needs_defragmentation(&self) -> bool {
        false
    }
}

/// Names a registered hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HookId(u64);

type BoxedHook = Box<dyn Hook + Send>;

/// The registered hooks of one stack.
#[derive(Default)]
pub(crate) struct Hooks {
    /// Indices into `hooks`, sorted by priority, for each point.
    points: [Vec<(i32, usize)>; 5],
    hooks: Vec<Option<(HookId, BoxedHook)>>,
    next_id: u64,
    defragment: bool,
}

impl Hooks {
    /// Registers one hook at several points.
    pub(crate) fn register(&mut self, points: &[(HookPoint, i32)], hook: BoxedHook) -> HookId {
        let id = HookId(self.next_id);
        self.next_id += 1;
        let index = self.hooks.iter().position(Option::is_none).unwrap_or(self.hooks.len());
        if index == self.hooks.len() {
            self.hooks.push(None);
        }
        self.hooks[index] = Some((id, hook));
        for (point, priority) in points {
            let list = &mut self.points[*point as usize];
            let at = list.partition_point(|(other, _)| other <= priority);
            list.insert(at, (*priority, index));
        }
        self.note_defragmentation();
        id
    }

    /// Takes a hook out again.
    pub(crate) fn unregister(&mut self, id: HookId) -> Option<BoxedHook> {
        let index = self.hooks.iter().position(|slot| matches!(slot, Some((i, _)) if *i == id))?;
        for list in &mut self.points {
            list.retain(|(_, hook)| *hook != index);
        }
        let (_, hook) = self.hooks[index].take()?;
        self.note_defragmentation();
        Some(hook)
    }

    /// Whether anything is registered at `point`.
    pub(crate) fn any(&self, point: HookPoint) -> bool {
        !self.points[point as usize].is_empty()
    }

    /// Whether fragments must be reassembled before the first hook.
    pub(crate) fn defragment(&self) -> bool {
        self.defragment
    }

    /// Runs the hooks of the context's point until one does not accept. `seen` is told each
    /// hook's name and verdict.
    pub(crate) fn run(
        &mut self,
        context: &HookContext<'_>,
        packet: &mut Packet,
        mut seen: impl FnMut(&str, Verdict, &Packet),
    ) -> Verdict {
        for (_, index) in &self.points[context.point as usize] {
            let Some((_, hook)) = &mut self.hooks[*index] else { continue };
            let verdict = hook.process(context, packet);
            seen(hook.name(), verdict, packet);
            if verdict != Verdict::Accept {
                return verdict;
            }
        }
        Verdict::Accept
    }

    fn note_defragmentation(&mut self) {
        self.defragment = self.hooks.iter().flatten().any(|(_, hook)| hook.needs_defragmentation());
    }
}

impl core::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Hooks").field("points", &self.points).finish_non_exhaustive()
    }
}
