//! The header of a UDP test's datagrams, and what a receiver learns from it.

/// What opens a stream, and the answer: four bytes each, as iperf3 on a little-endian machine sends
/// them.
pub const HELLO: &[u8; 4] = b"9876";
/// The answer to [`HELLO`].
pub const REPLY: &[u8; 4] = b"6789";
/// How older versions say the same: 123456789 and 987654321, little-endian.
pub const OLD_HELLO: &[u8; 4] = &123_456_789u32.to_le_bytes();
/// The answer to [`OLD_HELLO`].
pub const OLD_REPLY: &[u8; 4] = &987_654_321u32.to_le_bytes();

/// What a datagram begins with: when it was sent, on the sender's clock, and its number from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Microseconds of the sender's clock.
    pub sent_us: u64,
    /// Its number.
    pub number: u64,
}

impl Header {
    /// Writes it to the start of a datagram, with a counter of 64 bits if `wide`.
    pub fn write(self, datagram: &mut [u8], wide: bool) {
        let seconds = (self.sent_us / 1_000_000) as u32;
        let micros = (self.sent_us % 1_000_000) as u32;
        datagram[..4].copy_from_slice(&seconds.to_be_bytes());
        datagram[4..8].copy_from_slice(&micros.to_be_bytes());
        if wide {
            datagram[8..16].copy_from_slice(&self.number.to_be_bytes());
        } else {
            datagram[8..12].copy_from_slice(&(self.number as u32).to_be_bytes());
        }
    }

    /// Reads it; `None` from a datagram that is too short.
    pub fn read(datagram: &[u8], wide: bool) -> Option<Header> {
        let word = |at: usize| {
            let bytes = datagram.get(at..at + 4)?;
            Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?)))
        };
        let sent_us = word(0)? * 1_000_000 + word(4)?;
        let number = if wide { word(8)? << 32 | word(12)? } else { word(8)? };
        Some(Header { sent_us, number })
    }
}

/// What has come of a stream of datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reception {
    /// Payload that came.
    pub bytes: u64,
    /// The highest number that came: how many were sent, as far as one knows here.
    pub packets: u64,
    /// Numbers that have not come so far.
    pub lost: u64,
    /// Datagrams that came after one with a higher number.
    pub out_of_order: u64,
    /// The mean deviation of transit times, in seconds (RFC 1889 §6.3.1).
    pub jitter: f64,
    transit_us: Option<i64>,
}

impl Reception {
    /// A datagram of `len` bytes has come at `now_us`.
    pub fn receive(&mut self, header: Header, len: usize, now_us: u64) {
        self.bytes += len as u64;
        if header.number > self.packets {
            self.lost += header.number - self.packets - 1;
            self.packets = header.number;
        } else {
            // It was taken for lost when a later one came; or it is a duplicate of one that was not.
            self.out_of_order += 1;
            self.lost = self.lost.saturating_sub(1);
        }
        // The clocks differ by a constant that drops out of the difference (RFC 1889 §A.8).
        let transit = (now_us as i64).wrapping_sub(header.sent_us as i64);
        if let Some(before) = self.transit_us.replace(transit) {
            let difference = transit.wrapping_sub(before).unsigned_abs() as f64 / 1e6;
            self.jitter += (difference - self.jitter) / 16.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        let mut datagram = [0xaa; 20];
        let header = Header { sent_us: 1_795_275_738_123_456, number: 0x1_0000_0007 };
        header.write(&mut datagram, true);
        assert_eq!(Header::read(&datagram, true), Some(header));
        assert_eq!(datagram[..4], 1_795_275_738u32.to_be_bytes());
        assert_eq!(datagram[16..], [0xaa; 4]);
        header.write(&mut datagram, false);
        assert_eq!(Header::read(&datagram, false).unwrap().number, 7);
        for (wide, len) in [(false, 12), (true, 16)] {
            assert!(Header::read(&datagram[..len], wide).is_some());
            assert!((0..len).all(|len| Header::read(&datagram[..len], wide).is_none()));
        }
    }

    #[test]
    fn loss_and_reordering() {
        let mut reception = Reception::default();
        for number in [1, 2, 5, 4, 6, 9] {
            reception.receive(Header { sent_us: 0, number }, 100, 0);
        }
        assert_eq!((reception.packets, reception.lost, reception.out_of_order), (9, 3, 1));
        assert_eq!(reception.bytes, 600);
        for _ in 0..9 {
            reception.receive(Header { sent_us: 0, number: 1 }, 1, 0);
        }
        assert_eq!((reception.lost, reception.out_of_order), (0, 10));
    }

    #[test]
    fn jitter_is_smoothed_over_sixteen() {
        let mut reception = Reception::default();
        // The receiver's clock is far behind the sender's.
        let base = 1_000_000_000_000;
        reception.receive(Header { sent_us: base, number: 1 }, 1, 50);
        assert_eq!(reception.jitter, 0.0, "one datagram says nothing about the difference");
        reception.receive(Header { sent_us: base + 1_000, number: 2 }, 1, 1_050 + 1_600);
        assert!((reception.jitter - 1.6e-3 / 16.0).abs() < 1e-12, "{}", reception.jitter);
        let before = reception.jitter;
        reception.receive(Header { sent_us: base + 2_000, number: 3 }, 1, 2_050 + 1_600);
        assert!((reception.jitter - before * 15.0 / 16.0).abs() < 1e-12);
        reception.receive(Header { sent_us: u64::MAX, number: u64::MAX }, 1, 0);
        reception.receive(Header { sent_us: 0, number: 0 }, 1, u64::MAX);
        assert!(reception.jitter.is_finite());
    }
}
