use super::*;

#[test]
fn the_example_of_rfc_1071() {
    // RFC 1071 §3: the sum of these words is ddf2.
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Checksum::ZERO.add(&bytes).fold(), 0xddf2);
    assert_eq!(checksum(&bytes), !0xddf2);
}

#[test]
fn the_example_of_rfc_1624() {
    // RFC 1624 §4: HC = dd2f, m = 5555, m' = 3285; equation 3 gives 0000 where 2 gave ffff.
    assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    // Zero on both sides: ffff, as which UDP sends a zero, stays ffff.
    assert_eq!(update16(0xffff, 0xffff, 0x0000), 0xffff);
    assert_eq!(update32(0xffff, 0xffff_ffff, 0x0000_0000), 0xffff);
}

#[test]
fn an_odd_last_byte_is_the_high_half_of_a_word() {
    assert_eq!(checksum(&[0xab]), !0xab00);
    assert_eq!(checksum(&[1, 2, 3]), checksum(&[1, 2, 3, 0]));
    assert_eq!(checksum(&[]), 0xffff);
}

#[test]
fn words_and_pieces_sum_as_their_bytes() {
    let bytes = [0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0xff, 0xff];
    let whole = Checksum::ZERO.add(&bytes);
    let words = Checksum::ZERO.add_u32(0xfedcba98).add_u16(0x7654).add_u16(0xffff);
    let pieces = Checksum::ZERO.add(&bytes[..2]).combine(Checksum::ZERO.add(&bytes[2..]));
    assert_eq!((whole.fold(), whole.fold()), (words.fold(), pieces.fold()));
    assert_eq!(Checksum::ZERO.add_array(&bytes).fold(), whole.fold());
    let odd = [0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0xff];
    assert_eq!(Checksum::ZERO.add_array(&odd).finish(), checksum(&odd));
}

#[test]
fn sums_at_the_limits_keep_their_carries() {
    let ones = [0xff; 65536];
    assert_eq!(Checksum::ZERO.add(&ones).fold(), 0xffff);
    // A sum that has reached the top of its 64 bits goes round.
    let full = Checksum(u64::MAX);
    assert_eq!(full.fold(), 0xffff);
    assert_eq!(full.add(&[0, 1]).fold(), 1);
    assert_eq!(full.combine(full).fold(), 0xffff);
}
