//! Memberships of sockets (ip(7), RFC 3376 §2, §3).

use tapping_stack::SocketError;
use tapping_stack::igmp::{FilterMode, SourceFilter};

use super::*;

const SOURCES: [&str; 3] = ["10.0.0.11", "10.0.0.12", "10.0.0.13"];

impl Bench {
    fn another_socket(&mut self) -> SocketId {
        self.stack().open_raw(Protocol(200)).unwrap()
    }

    /// Which of [`SOURCES`] each socket hears on the group.
    fn hears(&mut self, sockets: &[SocketId]) -> Vec<Vec<usize>> {
        let mut heard = vec![Vec::new(); sockets.len()];
        for (n, source) in SOURCES.iter().enumerate() {
            let packet = Ip::new(ip(source), ip(GROUP), Protocol(200), b"data".to_vec()).build();
            let mac = MacAddr::from_ipv4_multicast(ip(GROUP));
            self.lab.inject(self.tester, ip_frame(self.tester.mac, mac, &packet));
            for (heard, socket) in heard.iter_mut().zip(sockets) {
                heard.extend(self.lab.received(self.host, *socket).iter().map(|_| n));
            }
        }
        heard
    }

    fn strict(&mut self, socket: SocketId) {
        self.stack().socket_options(socket).unwrap().multicast_all = false;
    }
}

fn filter(mode: FilterMode, sources: &[&str]) -> SourceFilter {
    SourceFilter { mode, sources: sources.iter().map(|source| ip(source)).collect() }
}

/// RFC 3376 §3.2: each socket hears what it asked for, and the link takes in what any asked for.
#[test]
fn each_socket_hears_what_it_asked_for() {
    let mut bench = Bench::new();
    let (first, second) = (bench.socket, bench.another_socket());
    let sockets = [first, second];
    assert_eq!(bench.hears(&sockets), [[], []] as [[usize; 0]; 2]);
    bench.include(GROUP, SOURCES[0]);
    bench.lab.events(bench.host);
    assert_eq!(bench.hears(&sockets), [[0], [0]], "IP_MULTICAST_ALL");
    assert_eq!(bench.lab.drops(bench.host), [DropReason::NotMember; 2]);
    bench.strict(second);
    assert_eq!(bench.hears(&sockets), [vec![0], vec![]]);
    let (now, link) = (bench.lab.now(), bench.link);
    bench.stack().join_multicast(now, second, addr(GROUP), Some(link)).unwrap();
    let stack = bench.stack();
    let source = addr(SOURCES[0]);
    stack.block_multicast_source(now, second, addr(GROUP), source, Some(link)).unwrap();
    assert_eq!(bench.hears(&sockets), [vec![0], vec![1, 2]]);
    let everything = filter(FilterMode::Exclude, &[]);
    bench.stack().set_multicast_filter(now, first, addr(GROUP), Some(link), everything).unwrap();
    assert_eq!(bench.hears(&sockets), [vec![0, 1, 2], vec![1, 2]]);
    bench.stack().close(now, first).unwrap();
    assert_eq!(bench.hears(&[second]), [[1, 2]]);
}

/// ip(7): the errors of IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP.
#[test]
fn joining_and_leaving_fail_as_on_linux() {
    let mut bench = Bench::new();
    let (now, socket, link) = (bench.lab.now(), bench.socket, Some(bench.link));
    let stack = bench.stack();
    let group = addr(GROUP);
    assert_eq!(
        stack.join_multicast(now, socket, addr(US), link),
        Err(SocketError::InvalidArgument)
    );
    assert_eq!(
        stack.join_multicast(now, socket, group, Some(LinkId(77))),
        Err(SocketError::NoSuchDevice)
    );
    // Without a link the route decides, and there is none.
    assert_eq!(stack.join_multicast(now, socket, group, None), Err(SocketError::NoSuchDevice));
    let six = "ff02::1".parse().unwrap();
    assert_eq!(
        stack.join_multicast(now, socket, six, link),
        Err(SocketError::AddressFamilyNotSupported)
    );
    assert_eq!(
        stack.leave_multicast(now, socket, group, link),
        Err(SocketError::AddressNotAvailable)
    );
    assert_eq!(stack.join_multicast(now, socket, group, link), Ok(()));
    assert_eq!(stack.join_multicast(now, socket, group, link), Err(SocketError::AddressInUse));
    assert_eq!(stack.leave_multicast(now, socket, group, link), Ok(()));
    stack.close(now, socket).unwrap();
    assert_eq!(stack.join_multicast(now, socket, group, link), Err(SocketError::BadSocket));
}

/// ip(7): a default route says which link is meant.
#[test]
fn without_a_link_the_route_decides() {
    use tapping_stack::route::Route;
    let mut bench = Bench::new();
    let (now, socket, link) = (bench.lab.now(), bench.socket, bench.link);
    let stack = bench.stack();
    stack.add_route(Route::direct("224.0.0.0/4".parse().unwrap(), link)).unwrap();
    stack.join_multicast(now, socket, addr(GROUP), None).unwrap();
    let held: Vec<_> = stack.multicast_memberships(socket).unwrap().collect();
    assert_eq!(held, [(addr(GROUP), link, &SourceFilter::EVERYTHING)]);
    stack.leave_multicast(now, socket, addr(GROUP), None).unwrap();
    assert_eq!(stack.multicast_memberships(socket).unwrap().count(), 0);
}

/// ip(7), Linux `ip_mc_source`: the errors of the options about sources.
#[test]
fn source_options_fail_as_on_linux() {
    let mut bench = Bench::new();
    let (now, socket, link) = (bench.lab.now(), bench.socket, Some(bench.link));
    let stack = bench.stack();
    let (group, a, b) = (addr(GROUP), addr(SOURCES[0]), addr(SOURCES[1]));
    let invalid = Err(SocketError::InvalidArgument);
    let unavailable = Err(SocketError::AddressNotAvailable);
    assert_eq!(stack.block_multicast_source(now, socket, group, a, link), invalid, "no member");
    assert_eq!(stack.leave_multicast_source(now, socket, group, a, link), invalid);
    stack.join_multicast(now, socket, group, link).unwrap();
    assert_eq!(stack.unblock_multicast_source(now, socket, group, a, link), unavailable);
    stack.block_multicast_source(now, socket, group, a, link).unwrap();
    assert_eq!(stack.block_multicast_source(now, socket, group, a, link), unavailable, "again");
    assert_eq!(stack.join_multicast_source(now, socket, group, b, link), invalid, "other mode");
    stack.unblock_multicast_source(now, socket, group, a, link).unwrap();
    // An empty list may change its meaning.
    stack.join_multicast_source(now, socket, group, b, link).unwrap();
    assert_eq!(stack.join_multicast_source(now, socket, group, b, link), unavailable);
    assert_eq!(stack.block_multicast_source(now, socket, group, a, link), invalid);
    stack.leave_multicast_source(now, socket, group, b, link).unwrap();
    assert_eq!(stack.multicast_memberships(socket).unwrap().count(), 0, "the last source");
}

/// Linux `ip_mc_msfilter`: a filter as a whole.
#[test]
fn a_filter_is_set_as_a_whole() {
    use RecordType::{Allow, Block, ToInclude};
    let mut bench = Bench::new();
    let (now, socket, link) = (bench.lab.now(), bench.socket, Some(bench.link));
    let group = addr(GROUP);
    let include = |sources: &[&str]| filter(FilterMode::Include, sources);
    let stack = bench.stack();
    let refused = stack.set_multicast_filter(now, socket, group, link, include(&SOURCES));
    assert_eq!(refused, Err(SocketError::InvalidArgument), "not a member");
    bench.joined(GROUP);
    let mut set = |filter| {
        let now = bench.lab.now();
        bench.stack().set_multicast_filter(now, socket, group, link, filter).unwrap();
        let said = bench.said_within(secs(5));
        assert_eq!(said[0], said[1]);
        said[0].clone()
    };
    assert_eq!(set(include(&SOURCES[..2])), one(ToInclude, GROUP, &SOURCES[..2]));
    let both = vec![record(Allow, GROUP, &SOURCES[2..]), record(Block, GROUP, &SOURCES[..1])];
    assert_eq!(set(include(&SOURCES[1..])), Said::V3(both));
    assert_eq!(set(include(&[])), one(Block, GROUP, &SOURCES[1..]));
    assert_eq!(bench.stack().multicast_memberships(socket).unwrap().count(), 0);
}

/// RFC 3376 §3.2: routers are told of the first member and of the last, not of those between.
#[test]
fn only_the_first_and_the_last_member_count() {
    let mut bench = Bench::new();
    bench.joined(GROUP);
    let (socket, link) = (bench.another_socket(), Some(bench.link));
    let now = bench.lab.now();
    bench.stack().join_multicast(now, socket, addr(GROUP), link).unwrap();
    assert_eq!(bench.said_within(secs(5)), []);
    bench.leave(GROUP);
    assert_eq!(bench.said_within(secs(5)), []);
    // Linux ip_mc_drop_socket.
    let now = bench.lab.now();
    bench.stack().close(now, socket).unwrap();
    let leave = one(RecordType::ToInclude, GROUP, &[]);
    assert_eq!(bench.said_within(secs(5)), [leave.clone(), leave]);
}

/// A group of the link's own is independent of its sockets.
#[test]
fn the_links_own_groups_are_independent() {
    let mut bench = Bench::new();
    let link = bench.link;
    bench.lab.join(bench.host, link, ip(GROUP));
    bench.join(GROUP);
    bench.leave(GROUP);
    assert_eq!(bench.said_within(secs(5)), []);
    assert!(bench.stack().interfaces().get(link).unwrap().is_member(ip(GROUP)));
    let now = bench.lab.now();
    bench.stack().leave_group(now, link, ip(GROUP)).unwrap();
    bench.stack().leave_group(now, link, ip(GROUP)).unwrap();
    assert_eq!(bench.said_within(secs(5)).len(), 2);
    assert!(!bench.stack().interfaces().get(link).unwrap().is_member(ip(GROUP)));
}
