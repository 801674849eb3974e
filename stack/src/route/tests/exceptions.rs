use super::*;
use crate::rng::KeyedHash;
use crate::route::exceptions::*;
use crate::time::{Duration, Instant};
use crate::wire::cidr::Ipv4Cidr;

const DST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn exceptions(capacity: usize) -> RouteExceptions {
    let config = ExceptionsConfig { capacity, ..ExceptionsConfig::default() };
    RouteExceptions::new(config, KeyedHash::new((1, 2)))
}

fn pmtu(mtu: u16) -> Option<Pmtu> {
    Some(Pmtu { mtu, locked: false })
}

#[test]
fn a_path_mtu_is_lowered_never_raised_and_forgotten_after_ten_minutes() {
    let mut table = exceptions(8);
    let start = Instant::from_secs(100);
    assert_eq!(table.update_pmtu(start, DST, 1500, 1500), None, "the link says as much");
    assert_eq!(table.update_pmtu(start, DST, 9000, 1500), None);
    assert!(table.is_empty());
    assert_eq!(table.update_pmtu(start, DST, 1400, 1500), pmtu(1400));
    assert_eq!(table.update_pmtu(start, DST, 1450, 1500), None);
    assert_eq!(table.pmtu(start, DST), pmtu(1400));
    let later = start + Duration::from_secs(300);
    assert_eq!(table.update_pmtu(later, DST, 1300, 1500), pmtu(1300));
    let end = later + Duration::from_secs(600);
    assert_eq!(table.pmtu(end - Duration::from_nanos(1), DST), pmtu(1300));
    assert_eq!(table.pmtu(end, DST), None, "not used even before it is swept");
    assert_eq!((table.next_deadline(), table.len()), (Some(end), 1));
    assert_eq!((table.sweep(end), table.len(), table.next_deadline()), (1, 0, None));
    assert_eq!(table.update_pmtu(end, DST, 1450, 1500), pmtu(1450));
}

#[test]
fn an_mtu_below_the_least_one_gives_the_least_one_locked() {
    let mut table = exceptions(8);
    let now = Instant::ZERO;
    let locked = Some(Pmtu { mtu: 552, locked: true });
    assert_eq!(table.update_pmtu(now, DST, 68, 1500), locked);
    assert_eq!(table.update_pmtu(now, DST, 552, 1500), None, "locked until it expires");
    assert_eq!(table.pmtu(now, DST), locked);
    // Where the link itself takes less than that, the link's MTU is kept.
    let other = v4("192.0.2.2");
    let small = Some(Pmtu { mtu: 300, locked: true });
    assert_eq!(table.update_pmtu(now, other, 200, 300), small);
    assert_eq!(table.update_pmtu(now, v4("192.0.2.3"), 400, 300), None);
}

#[test]
fn a_redirect_and_a_path_mtu_live_side_by_side_each_for_its_own_time() {
    let mut table = exceptions(8);
    let start = Instant::ZERO;
    let (first, second) = (v4("10.0.0.1"), v4("10.0.0.9"));
    let at = |secs| start + Duration::from_secs(secs);
    table.update_gateway(start, DST, first);
    table.update_pmtu(start, DST, 1400, 1500);
    table.update_gateway(start, DST, second);
    assert_eq!((table.len(), table.next_deadline()), (1, Some(at(600))));
    assert_eq!((table.gateway(at(299), DST), table.pmtu(at(299), DST)), (Some(second), pmtu(1400)));
    assert_eq!((table.gateway(at(300), DST), table.pmtu(at(300), DST)), (None, pmtu(1400)));
    // A later change does not bring the expired gateway back.
    table.update_pmtu(at(400), DST, 1300, 1500);
    assert_eq!(table.gateway(at(400), DST), None);
    assert_eq!(table.gateway(at(400), v4("192.0.2.2")), None);
    table.remove(DST);
    assert_eq!((table.len(), table.pmtu(at(400), DST), table.next_deadline()), (0, None, None));
}

#[test]
fn when_full_the_first_to_expire_makes_room() {
    let mut table = exceptions(4);
    let host = |n: u8| Ipv4Addr::new(192, 0, 2, n);
    for n in 0..100 {
        let now = Instant::from_secs(n.into());
        table.update_pmtu(now, host(n), 1000, 1500);
        assert!(table.len() <= 4);
        assert_eq!(table.pmtu(now, host(n)), pmtu(1000));
    }
    let kept = |n| table.pmtu(Instant::from_secs(99), host(n)).is_some();
    assert!((96..100).all(kept) && !(0..96).any(kept));
    // Changing what is there evicts nobody.
    table.update_pmtu(Instant::from_secs(99), host(97), 900, 1500);
    assert_eq!(table.len(), 4);
    table.clear();
    assert_eq!((table.len(), table.next_deadline()), (0, None));

    let mut none = exceptions(0);
    none.update_gateway(Instant::ZERO, DST, host(1));
    assert_eq!((none.len(), none.gateway(Instant::ZERO, DST)), (0, None));
}

#[test]
fn what_is_known_within_a_prefix_can_be_forgotten() {
    let mut table = exceptions(8);
    let now = Instant::ZERO;
    let others = [Ipv4Addr::new(192, 0, 3, 1), Ipv4Addr::new(10, 0, 0, 1)];
    for destination in [DST, others[0], others[1]] {
        table.update_pmtu(now, destination, 1400, 1500);
    }
    table.remove_within(Ipv4Cidr::new(Ipv4Addr::new(192, 0, 2, 0), 24).unwrap());
    assert_eq!(table.pmtu(now, DST), None);
    assert_eq!(others.map(|other| table.pmtu(now, other)), [pmtu(1400); 2]);
    table.remove_within(Ipv4Cidr::new(Ipv4Addr::UNSPECIFIED, 0).unwrap());
    assert!(table.is_empty() && table.next_deadline().is_none());
}
