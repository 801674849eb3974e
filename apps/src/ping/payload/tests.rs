use super::*;

const NOON: Duration = Duration::new(1_700_000_000, 123_456_789);

#[test]
fn header_stamp_and_counting_bytes() {
    let mut request = Request::new(20, None);
    let message = request.message(0x1234, NOON);
    assert_eq!(message.len(), 28);
    assert_eq!(message[..8], [8, 0, 0, 0, 0, 0, 0x12, 0x34]);
    assert_eq!(message[8..16], 1_700_000_000i64.to_ne_bytes());
    assert_eq!(message[16..24], 123_456i64.to_ne_bytes());
    assert_eq!(message[24..], [16, 17, 18, 19]);
}

#[test]
fn no_stamp_without_room_for_it() {
    let mut request = Request::new(15, None);
    assert!(!request.has_stamp());
    let expected: Vec<u8> = (0..15).collect();
    assert_eq!(request.message(1, NOON)[8..], expected);
    assert_eq!(Request::new(0, None).message(1, NOON).len(), 8);
}

#[test]
fn pattern_repeats_over_all_data() {
    let mut request = Request::new(21, Some(&[0xab, 0xcd]));
    let message = request.message(1, NOON);
    assert_eq!(message[24..], [0xab, 0xcd, 0xab, 0xcd, 0xab]);
}

#[test]
fn a_changed_byte_is_found_behind_the_stamp_only() {
    let mut request = Request::new(32, None);
    let mut data = request.message(1, NOON)[8..].to_vec();
    assert_eq!(request.first_difference(&data), None);
    data[3] ^= 0xff;
    assert_eq!(request.first_difference(&data), None);
    data[20] = 0x99;
    assert_eq!(request.first_difference(&data), Some((20, 20, 0x99)));
    assert_eq!(request.first_difference(&data[..18]), None);
}
