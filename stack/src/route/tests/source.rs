use super::*;
use crate::wire::cidr::Ipv4Cidr;

const LO: LinkId = LinkId::LOOPBACK;
const ETH0: LinkId = LinkId(2);
const ETH1: LinkId = LinkId(3);

fn address(link: LinkId, text: &str, scope: Scope) -> LinkAddress {
    let address: Ipv4Cidr = text.parse().unwrap();
    LinkAddress { link, address, scope, secondary: false }
}

fn addresses() -> [LinkAddress; 6] {
    let secondary =
        LinkAddress { secondary: true, ..address(ETH0, "10.0.0.1/24", Scope::Universe) };
    [
        address(LO, "127.0.0.1/8", Scope::Host),
        secondary,
        address(ETH0, "10.0.0.2/24", Scope::Universe),
        address(ETH0, "192.0.2.2/24", Scope::Universe),
        address(ETH1, "169.254.7.7/16", Scope::Link),
        address(ETH1, "10.0.1.2/24", Scope::Universe),
    ]
}

#[test]
fn the_subnet_of_the_next_hop_comes_first_then_the_first_primary_address() {
    let pick = |link, toward: Option<&str>, scope| {
        select_source(addresses(), Some(link), toward.map(v4), scope)
    };
    assert_eq!(pick(ETH0, Some("192.0.2.9"), Scope::Universe), Some(v4("192.0.2.2")));
    assert_eq!(pick(ETH0, Some("10.0.0.1"), Scope::Universe), Some(v4("10.0.0.2")));
    assert_eq!(pick(ETH0, Some("8.8.8.8"), Scope::Universe), Some(v4("10.0.0.2")));
    assert_eq!(pick(ETH0, None, Scope::Link), Some(v4("10.0.0.2")));
    // An address for the link only serves destinations on the link only.
    assert_eq!(pick(ETH1, Some("8.8.8.8"), Scope::Universe), Some(v4("10.0.1.2")));
    assert_eq!(pick(ETH1, None, Scope::Link), Some(v4("169.254.7.7")));
}

#[test]
fn a_link_without_a_fitting_address_borrows_one_but_never_the_loopback_s() {
    let pick = |link, scope| select_source(addresses(), link, Some(v4("8.8.8.8")), scope);
    assert_eq!(pick(Some(LinkId(9)), Scope::Universe), Some(v4("10.0.0.2")));
    assert_eq!(pick(Some(LO), Scope::Universe), Some(v4("10.0.0.2")));
    assert_eq!(pick(None, Scope::Link), Some(v4("10.0.0.2")));
    assert_eq!(pick(Some(LO), Scope::Host), Some(v4("127.0.0.1")));
    // 169.254.7.7 is not borrowed.
    let own_only = [addresses()[0], addresses()[4]];
    assert_eq!(select_source(own_only, Some(ETH0), None, Scope::Link), None);
    assert_eq!(select_source([], Some(ETH0), None, Scope::Host), None);
}
