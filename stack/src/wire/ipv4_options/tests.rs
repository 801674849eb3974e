use std::vec;
use std::vec::Vec;

use super::*;

fn collect(bytes: &[u8]) -> Vec<Result<(usize, Vec<u8>), usize>> {
    let options = Ipv4Options::new(bytes);
    options
        .map(|option| match option {
            Ok(option) => Ok((option.offset(), option.data().to_vec())),
            Err(error) => Err(error.offset),
        })
        .collect()
}

fn only(bytes: &[u8]) -> Ipv4Option<'_> {
    Ipv4Options::new(bytes).next().unwrap().unwrap()
}

#[test]
fn options_come_one_by_one_until_the_end() {
    let bytes = [NOP, RR, 7, 4, 0, 0, 0, 0, RA, 4, 0, 0, END, 99, 99];
    let expected =
        vec![Ok((0, vec![NOP])), Ok((1, vec![RR, 7, 4, 0, 0, 0, 0])), Ok((8, vec![RA, 4, 0, 0]))];
    assert_eq!(collect(&bytes), expected);
    assert!(collect(&[]).is_empty() && collect(&[END, RR]).is_empty());
}

#[test]
fn a_broken_length_ends_the_list_with_its_offset() {
    assert_eq!(collect(&[NOP, RR]), [Ok((0, vec![NOP])), Err(1)]);
    assert_eq!(collect(&[RR, 0, NOP]), [Err(0)]);
    assert_eq!(collect(&[RR, 1, NOP]), [Err(0)]);
    assert_eq!(collect(&[RR, 4, 0]), [Err(0)]);
    assert_eq!(collect(&[99, 2, 98, 255]), [Ok((0, vec![99, 2])), Err(2)]);
}

#[test]
fn the_copied_flag_is_the_top_bit() {
    let copied = [SEC, LSRR, SSRR, RA, CIPSO, SID];
    assert!(copied.into_iter().all(is_copied));
    assert!(![END, NOP, RR, TS].into_iter().any(is_copied));
    assert!(only(&[RA, 4, 0, 0]).copied());
}

#[test]
fn a_route_is_recorded_until_it_is_full() {
    let mut option = [RR, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    let addr = |n| Ipv4Addr::new(10, 0, 0, n);
    let state = |option: &[u8]| {
        let route = only(option).route().unwrap();
        (route.pointer(), route.room(), route.is_full(), route.recorded().collect::<Vec<_>>())
    };
    assert_eq!(state(&option), (4, 2, false, vec![]));
    assert_eq!(record_route(&mut option, addr(1)), Ok(true));
    assert_eq!(state(&option), (8, 1, false, vec![addr(1)]));
    assert_eq!(record_route(&mut option, addr(2)), Ok(true));
    assert_eq!(state(&option), (12, 0, true, vec![addr(1), addr(2)]));
    let kept = option;
    assert_eq!(record_route(&mut option, addr(3)), Ok(false));
    assert_eq!(option, kept);
}

#[test]
fn a_source_route_names_the_next_hop() {
    let option = [LSRR, 11, 8, 10, 0, 0, 1, 10, 0, 0, 2];
    let route = only(&option).route().unwrap();
    assert_eq!(route.next_address(), Some(Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(route.addresses().count(), 2);
    let travelled = [SSRR, 7, 8, 10, 0, 0, 1];
    let route = only(&travelled).route().unwrap();
    assert!(route.is_full());
    assert_eq!(route.next_address(), None);
}

#[test]
fn a_broken_route_names_the_byte_at_fault() {
    let fault = |bytes: &[u8]| {
        let option = Ipv4Options::new(bytes).find(|option| option.unwrap().kind() != NOP);
        option.unwrap().unwrap().route().map(|_| ()).unwrap_err().offset
    };
    assert_eq!(fault(&[NOP, NOP, RR, 2]), 3, "no pointer");
    assert_eq!(fault(&[NOP, RR, 7, 3, 0, 0, 0, 0]), 3, "pointer into the option's own header");
    assert_eq!(fault(&[RR, 7, 5, 0, 0, 0, 0]), 2, "less than a slot behind the pointer");
    assert_eq!(fault(&[TS, 4, 5, 0]), 0, "not a route");
    // A pointer past the end by whatever distance means full (Linux compares with the length).
    assert!(only(&[RR, 3, 4]).route().unwrap().is_full());
    assert!(only(&[RR, 7, 255, 0, 0, 0, 0]).route().unwrap().is_full());
    assert_eq!(
        record_route(&mut [RR, 7, 5, 0, 0, 0, 0], Ipv4Addr::LOCALHOST).unwrap_err().offset,
        2
    );
    assert_eq!(record_route(&mut [], Ipv4Addr::LOCALHOST).unwrap_err().offset, 0);
}

#[test]
fn timestamps_alone() {
    let mut option = [TS, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let here = Ipv4Addr::new(10, 0, 0, 1);
    let unasked = |_: Ipv4Addr| panic!("nobody's address is asked for");
    assert_eq!(record_timestamp(&mut option, here, 7, unasked), Ok(true));
    assert_eq!(record_timestamp(&mut option, here, 8, unasked), Ok(true));
    let read = only(&option).timestamp().unwrap();
    assert_eq!(read.recorded().collect::<Vec<_>>(), [(None, 7), (None, 8)]);
    assert!(read.is_full());
    for count in 1..=15 {
        assert_eq!(record_timestamp(&mut option, here, 9, unasked), Ok(true));
        assert_eq!(only(&option).timestamp().unwrap().overflow(), count);
    }
    let kept = option;
    assert_eq!(record_timestamp(&mut option, here, 9, unasked), Err(OptionError { offset: 3 }));
    assert_eq!(option, kept);
}

#[test]
fn timestamps_with_addresses() {
    let mut option = [TS, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let here = Ipv4Addr::new(10, 0, 0, 1);
    assert_eq!(record_timestamp(&mut option, here, 7, |_| false), Ok(true));
    let read = only(&option).timestamp().unwrap();
    assert_eq!(read.recorded().collect::<Vec<_>>(), [(Some(here), 7)]);
    assert_eq!((read.pointer(), read.flag()), (13, TimestampFlag::WithAddress));
}

#[test]
fn prespecified_timestamps_wait_for_their_host() {
    let mut option = [TS, 12, 5, 3, 10, 0, 0, 2, 0, 0, 0, 0];
    let wanted = Ipv4Addr::new(10, 0, 0, 2);
    let here = Ipv4Addr::new(10, 0, 0, 1);
    assert_eq!(only(&option).timestamp().unwrap().next_address(), Some(wanted));
    let kept = option;
    assert_eq!(record_timestamp(&mut option, here, 7, |addr| addr == here), Ok(false));
    assert_eq!(option, kept);
    assert_eq!(record_timestamp(&mut option, here, 7, |addr| addr == wanted), Ok(true));
    let read = only(&option).timestamp().unwrap();
    assert_eq!(read.recorded().collect::<Vec<_>>(), [(Some(wanted), 7)]);
}

#[test]
fn a_broken_timestamp_names_the_byte_at_fault() {
    let fault = |bytes: &[u8]| only(bytes).timestamp().map(|_| ()).unwrap_err().offset;
    assert_eq!(fault(&[TS, 3, 5]), 1, "no flags");
    assert_eq!(fault(&[TS, 8, 4, 0, 0, 0, 0, 0]), 2, "pointer into the option's own header");
    assert_eq!(fault(&[TS, 8, 6, 0, 0, 0, 0, 0]), 2, "less than a time behind the pointer");
    assert_eq!(fault(&[TS, 8, 5, 1, 0, 0, 0, 0]), 2, "no room for address and time");
    assert_eq!(fault(&[RR, 3, 4]), 0, "not a timestamp");
}

#[test]
fn into_timestamps_of_an_unknown_kind_nothing_is_entered() {
    let here = Ipv4Addr::new(10, 0, 0, 1);
    let mut option = [TS, 8, 5, 2, 0, 0, 0, 0];
    let kept = option;
    assert_eq!(record_timestamp(&mut option, here, 7, |_| true), Ok(false));
    assert_eq!(option, kept);
    let mut full = [TS, 4, 5, 0xe2];
    assert_eq!(record_timestamp(&mut full, here, 7, |_| true), Ok(true));
    assert_eq!(full, [TS, 4, 5, 0xf2]);
    assert_eq!(record_timestamp(&mut full, here, 7, |_| true), Err(OptionError { offset: 3 }));
}

#[test]
fn router_alert() {
    assert_eq!(only(&[RA, 4, 0, 0]).router_alert(), Ok(0));
    assert_eq!(only(&[RA, 3, 0]).router_alert(), Err(OptionError { offset: 1 }));
    assert_eq!(only(&[RR, 3, 4]).router_alert(), Err(OptionError { offset: 0 }));
}

#[test]
fn padding_is_end_of_list() {
    assert_eq!([0, 1, 3, 4, 5, 39].map(padded_len), [0, 4, 4, 4, 8, 40]);
    let mut options = [0xff; 8];
    pad(&mut options, 5);
    assert_eq!(options, [0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]);
    pad(&mut options, 9);
}

#[test]
fn chosen_addresses_do_not_overflow() {
    let unasked = |_: Ipv4Addr| panic!("nobody is chosen any more");
    let mut full = [TS, 12, 13, 0xf3, 10, 0, 0, 9, 1, 2, 3, 4];
    let kept = full;
    assert!(!only(&full).timestamp().unwrap().overflows());
    assert_eq!(record_timestamp(&mut full, Ipv4Addr::LOCALHOST, 7, unasked), Ok(false));
    assert_eq!(full, kept);
    assert!(only(&[TS, 4, 5, 0]).timestamp().unwrap().overflows());
}
