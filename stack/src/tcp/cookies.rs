//! SYN cookies: a handshake without memory (RFC 4987 §3.6, Linux `syncookies.c`).
//!
//! ```text
//! ISN = F(addresses, ports) + peer's ISN + minutes << 24 + (G(addresses, ports, minutes) + MSS index) mod 2²⁴
//! low bits of TSval: | ECN | SACK | window scale, 4 bits, 15 for none |
//! ```

use core::hash::BuildHasher;

use super::isn::Secrets;
use super::segment::FourTuple;
use crate::time::Instant;
use crate::wire::seq::SeqNumber;

/// The sizes that a cookie can tell of.
const MSS_TABLE: [u16; 4] = [536, 1300, 1440, 1460];
/// How many minutes a cookie is good for.
const MAX_AGE: u32 = 2;
const COUNT_BITS: u32 = 24;
const LOW: u32 = (1 << COUNT_BITS) - 1;
/// Bits of TSval that carry options.
const TS_BITS: u32 = 6;
const TS_NO_WSCALE: u32 = 0xf;

/// What the peer's SYN had said, as far as it fits into a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CookieOptions {
    pub(crate) wscale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) ecn: bool,
}

fn minutes(now: Instant) -> u32 {
    (now.as_nanos() / 60_000_000_000) as u32
}

impl Secrets {
    fn cookie_base(&self, tuple: &FourTuple) -> u32 {
        self.cookies.hash_one((tuple, 0u8)) as u32
    }

    fn cookie_mask(&self, tuple: &FourTuple, minutes: u32) -> u32 {
        self.cookies.hash_one((tuple, minutes)) as u32
    }

    /// The ISN that remembers a SYN, and the MSS that it remembers.
    pub(crate) fn make_cookie(
        &self,
        now: Instant,
        tuple: &FourTuple,
        irs: SeqNumber,
        mss: u16,
    ) -> (SeqNumber, u16) {
        let index = MSS_TABLE.iter().rposition(|known| *known <= mss).unwrap_or(0);
        let count = minutes(now);
        let low = self.cookie_mask(tuple, count).wrapping_add(index as u32) & LOW;
        let isn = self
            .cookie_base(tuple)
            .wrapping_add(irs.0)
            .wrapping_add(count << COUNT_BITS)
            .wrapping_add(low);
        (SeqNumber(isn), MSS_TABLE[index])
    }

    /// The MSS that a cookie tells of; `None` when it is none of ours, or too old.
    pub(crate) fn check_cookie(
        &self,
        now: Instant,
        tuple: &FourTuple,
        irs: SeqNumber,
        cookie: SeqNumber,
    ) -> Option<u16> {
        let rest = cookie.0.wrapping_sub(self.cookie_base(tuple)).wrapping_sub(irs.0);
        let age = minutes(now).wrapping_sub(rest >> COUNT_BITS) & (u32::MAX >> COUNT_BITS);
        if age >= MAX_AGE {
            return None;
        }
        let mask = self.cookie_mask(tuple, minutes(now).wrapping_sub(age));
        let index = (rest & LOW).wrapping_sub(mask) & LOW;
        MSS_TABLE.get(index as usize).copied()
    }
}

/// A timestamp of at most `now` that carries the options.
pub(crate) fn encode_timestamp(now: u32, options: CookieOptions) -> u32 {
    let bits = options.wscale.map_or(TS_NO_WSCALE, u32::from)
        | u32::from(options.sack) << 4
        | u32::from(options.ecn) << 5;
    let encoded = now >> TS_BITS << TS_BITS | bits;
    match encoded > now {
        true => encoded.wrapping_sub(1 << TS_BITS),
        false => encoded,
    }
}

/// The options in a timestamp that came back.
pub(crate) fn decode_timestamp(echo: u32) -> CookieOptions {
    let wscale = echo & TS_NO_WSCALE;
    CookieOptions {
        wscale: (wscale != TS_NO_WSCALE).then_some(wscale as u8),
        sack: echo & 1 << 4 != 0,
        ecn: echo & 1 << 5 != 0,
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::rng::Rng;

    const TUPLE: FourTuple = FourTuple {
        local: Ipv4Addr::new(10, 0, 0, 1),
        remote: Ipv4Addr::new(10, 0, 0, 2),
        local_port: 80,
        remote_port: 40_000,
    };

    #[test]
    fn a_cookie_keeps_the_mss_for_up_to_two_minutes() {
        let secrets = Secrets::new(&mut Rng::new(1));
        for (mss, kept) in
            [(0, 536), (536, 536), (1299, 536), (1460, 1460), (9000, 1460), (1400, 1300)]
        {
            for irs in [0, 1, u32::MAX, 1 << 31] {
                let at = Instant::from_secs(59);
                let (isn, told) = secrets.make_cookie(at, &TUPLE, SeqNumber(irs), mss);
                assert_eq!(told, kept);
                let check = |secs, irs, isn| {
                    secrets.check_cookie(Instant::from_secs(secs), &TUPLE, SeqNumber(irs), isn)
                };
                assert_eq!(check(59, irs, isn), Some(kept));
                assert_eq!(check(119, irs, isn), Some(kept));
                assert_eq!(check(120, irs, isn), None);
                assert_eq!(check(60, irs.wrapping_add(100), isn), None);
                assert_eq!(check(60, irs, isn + 4), None);
            }
        }
    }

    #[test]
    fn options_survive_in_a_timestamp() {
        for wscale in [None, Some(0), Some(7), Some(14)] {
            for (sack, ecn) in [(false, false), (true, false), (false, true), (true, true)] {
                let options = CookieOptions { wscale, sack, ecn };
                for now in [64, 1000, 1 << 20, u32::MAX] {
                    let encoded = encode_timestamp(now, options);
                    assert!(encoded <= now && now - encoded < 128);
                    assert_eq!(decode_timestamp(encoded), options);
                }
            }
        }
    }
}
