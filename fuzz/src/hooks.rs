//! A hook that does one of the things hooks do.

use tapping_stack::filter::hook::{Hook, HookContext, RejectReason, Verdict};
use tapping_stack::packet::Packet;
use tapping_stack::wire::{Unreachable, ipv4};

use crate::check::CRAFTED;
use crate::frames::OWN;

/// Acts on every `every`th packet and accepts the others.
#[derive(Debug)]
pub struct FuzzHook {
    /// What it does.
    pub kind: u8,
    /// How often.
    pub every: u8,
    /// Whether it wants whole datagrams.
    pub defragment: bool,
    /// Packets seen.
    pub seen: u32,
}

impl Hook for FuzzHook {
    fn process(&mut self, context: &HookContext<'_>, packet: &mut Packet) -> Verdict {
        self.seen += 1;
        if !self.seen.is_multiple_of(u32::from(self.every) + 1) {
            return Verdict::Accept;
        }
        let header = packet.bytes_mut();
        match self.kind % 8 {
            0 => {}
            1 => return Verdict::Drop,
            2 => {
                drop(std::mem::take(packet));
                return Verdict::Stolen;
            }
            3 => return Verdict::Reject(RejectReason::Icmp(Unreachable::CommunicationProhibited)),
            4 => return Verdict::Reject(RejectReason::TcpReset),
            5 => {
                // The transport checksum of a protocol that sums addresses is wrong after this.
                ipv4::set_dst(header, OWN[context.point as usize % 2]);
                packet.meta.mark = CRAFTED;
            }
            6 => ipv4::set_tos(header, self.kind),
            _ => ipv4::set_ttl(header, 1 | self.kind),
        }
        Verdict::Accept
    }

    fn needs_defragmentation(&self) -> bool {
        self.defragment
    }
}
