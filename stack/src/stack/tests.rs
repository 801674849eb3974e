use core::net::Ipv4Addr;

use super::*;

#[test]
fn what_routers_said_is_forgotten_when_its_time_is_over() {
    let mut stack = Stack::new(Config::default(), 1);
    let (now, to) = (Instant::from_secs(5), Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(stack.poll_timeout(), None);
    stack.core.exceptions.update_gateway(now, to, LinkId(2), Ipv4Addr::new(10, 0, 0, 9));
    let over = now + stack.core.config.ipv4.exceptions.redirect_expires;
    assert_eq!(stack.poll_timeout(), Some(over));
    stack.handle_timeout(over - Duration::from_millis(1));
    assert_eq!(stack.core.exceptions.len(), 1);
    stack.handle_timeout(over);
    assert!(stack.core.exceptions.is_empty());
    assert_eq!(stack.poll_timeout(), None);
}
