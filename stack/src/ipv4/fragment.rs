//! Fragmentation (RFC 791 §3.2, Linux `ip_do_fragment`).
//!
//! A packet that is too long for a link is cut at multiples of 8 bytes. Every piece gets a copy of
//! the header with its own length, offset, MF flag and checksum. In all but the first, options
//! without the copied flag become NOPs, so that the headers stay equally long.

use crate::packet::{Packet, PacketPool};
use crate::wire::error::WireError;
use crate::wire::ipv4::{Ipv4, Ipv4Repr, MAX_HEADER_LEN, MAX_LEN};
use crate::wire::ipv4_options::{Ipv4Options, NOP};

#[cfg(test)]
mod tests;

/// Why a packet was not fragmented; it has gone back to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// The packet has no sound header.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// The MTU leaves no room for 8 bytes behind the header.
    #[error("MTU too small for a fragment")]
    MtuTooSmall,
    /// The packet is a fragment that ends beyond the longest datagram.
    #[error("fragment ends beyond 65535 bytes")]
    TooLong,
}

/// Cuts `packet`, whose bytes start at the IP header, into fragments of at most `mtu` bytes and
/// hands them to `sink` in order, each marked at its headers and with the packet's metadata. One
/// that fits is handed on as it is. The last fragment takes over the packet's buffer: the bytes
/// of all others are copied before their place is written over.
///
/// A transport checksum still to be finished is finished before. Whether DF allows this is for
/// the caller to decide; the fragments keep the flag. Returns how many there were.
///
/// # Errors
/// See [`FragmentError`].
pub fn fragment(
    mut packet: Packet,
    mtu: usize,
    pool: &mut PacketPool,
    mut sink: impl FnMut(Packet),
) -> Result<usize, FragmentError> {
    let (repr, room) = match plan(&packet, mtu) {
        Ok(plan) => plan,
        Err(error) => {
            pool.put(packet);
            return Err(error);
        }
    };
    if usize::from(repr.total_len) <= mtu {
        sink(packet);
        return Ok(1);
    }
    packet.truncate(repr.total_len.into());
    packet.mark_network();
    // No device could finish it on a fragment.
    packet.finish_checksum();

    let header_len = repr.header_len();
    let payload_len = packet.len() - header_len;
    let mut header = [0; MAX_HEADER_LEN];
    let header = &mut header[..header_len];
    header.copy_from_slice(&packet.bytes()[..header_len]);

    let mut count = 0;
    let mut at = 0;
    while payload_len - at > mtu - header_len {
        let mut piece = pool.take(header_len + room);
        piece.put_slice(header);
        piece.put_slice(&packet.bytes()[header_len + at..][..room]);
        piece.meta = packet.meta;
        finish(&mut piece, &repr, at, true);
        sink(piece);
        if at == 0 {
            blank_uncopied_options(header);
        }
        at += room;
        count += 1;
    }
    packet.pull(header_len + at);
    packet.push(header_len).copy_from_slice(header);
    finish(&mut packet, &repr, at, repr.more_fragments);
    sink(packet);
    Ok(count + 1)
}

/// The packet's header and how many payload bytes every fragment but the last carries.
fn plan(packet: &Packet, mtu: usize) -> Result<(Ipv4Repr, usize), FragmentError> {
    let view = Ipv4::parse(packet.bytes())?;
    let repr = Ipv4Repr::from_view(&view);
    let room = mtu.saturating_sub(repr.header_len()) & !7;
    if view.total_len() > mtu {
        if room == 0 {
            return Err(FragmentError::MtuTooSmall);
        }
        if repr.fragment_offset + view.total_len() > MAX_LEN {
            return Err(FragmentError::TooLong);
        }
    }
    Ok((repr, room))
}

/// Writes the header of a fragment that starts `at` bytes into the payload, and marks it.
fn finish(piece: &mut Packet, whole: &Ipv4Repr, at: usize, more_fragments: bool) {
    let repr = Ipv4Repr {
        more_fragments,
        fragment_offset: whole.fragment_offset + at,
        // At most the whole packet's.
        total_len: piece.len() as u16,
        ..*whole
    };
    repr.emit(piece.bytes_mut());
    piece.mark_mac();
    piece.mark_network();
    piece.mark_transport(repr.header_len());
}

/// RFC 791 §3.1: options without the copied flag appear in the first fragment only. Linux puts
/// NOPs in their place (`ip_options_fragment`). What cannot be parsed is blanked to the end.
fn blank_uncopied_options(header: &mut [u8]) {
    let options = &mut header[crate::wire::ipv4::HEADER_LEN..];
    let mut original = [0; MAX_HEADER_LEN];
    let original = &mut original[..options.len()];
    original.copy_from_slice(options);
    for option in Ipv4Options::new(original) {
        match option {
            Ok(option) if option.copied() => {}
            Ok(option) => options[option.offset()..][..option.data().len()].fill(NOP),
            Err(error) => options[error.offset..].fill(NOP),
        }
    }
}
