//! Urgent data.

use tapping_stack::SocketError;
use tapping_stack::socket::Readiness;
use tapping_stack::tcp::SendFlags;

use crate::talk::*;

conformance! {
    "RFC 9293", "Urgent data (§3.8.5)";

    Must "RFC9293-MUST-30" "3.8.5" "Urgent segments are taken, and can be sent."
        => urgent_segments_are_taken;
    Must "RFC9293-MUST-31" "3.8.5" "Urgent data may have any length."
        => urgent_data_of_any_length;
    Must "RFC9293-MUST-32" "3.8.5" "The application learns of urgent data."
        => the_application_learns_of_urgent_data;
    Must "RFC9293-MUST-33" "3.8.5" "The application can ask how much urgent data there is."
        => what_is_left_before_the_mark_is_known;
    Must "RFC9293-MUST-62" "3.8.5" "The pointer names the byte behind the urgent data."
        => the_urgent_pointer_names_the_byte_behind;
    ShouldNot "RFC9293-SHLD-13" "3.8.5" "New applications use urgent data: none is sent that was not asked for."
        => urgent_data_is_not_sent_unasked;
}

fn urgent(t: &Talk, len: usize, pointer: u16) -> Seg {
    Seg { flags: ACK | PSH | URG, urg: pointer, ..t.data(len) }
}

fn urgent_segments_are_taken() {
    let mut t = Talk::passive(Setup::default());
    for len in [1, 10, 1000] {
        let seg = urgent(&t, len, len as u16);
        t.inject(seg);
        t.run(secs(1));
        let ack = t.heard().pop().expect("an ACK");
        assert_eq!((ack.is_ack(), ack.ack), (true, t.peer_nxt));
    }
    // The first was due, and the last is.
    assert_eq!(t.drain(), 1009);
    assert_eq!(t.try_write(5, SendFlags::URGENT), Ok(5));
    assert!(t.one().has(URG));
}

/// From one byte to more than a window field can name.
fn urgent_data_of_any_length() {
    let mut t = Talk::passive(Setup::modern());
    let mut total = 0;
    for len in [1usize, 2, 1000, 70_000, 200_000] {
        let end = t.peer_nxt + len as u32;
        while t.peer_nxt != end {
            let left = (end - t.peer_nxt) as usize;
            let seg = urgent(&t, left.min(1448), left.min(65_535) as u16);
            t.inject(seg);
            total += t.drain();
            t.run(millis(1));
        }
    }
    assert!((270_500..=271_003).contains(&total), "all but what was urgent: {total}");
    t.heard();
    assert_eq!(t.try_write(10_000, SendFlags::URGENT), Ok(10_000));
    let sent = t.heard();
    assert!(sent.iter().all(|seg| seg.has(URG)), "all before the end of what is urgent");
}

/// Linux `tcp_poll`, `SIOCATMARK`: when the pointer comes, when its byte does, and where it is in the
/// stream.
fn the_application_learns_of_urgent_data() {
    for inline in [false, true] {
        let mut t = Talk::passive(Setup::default());
        t.set(|options| options.oob_inline = inline);
        let before = t.data(100);
        t.inject(before);
        assert!(!t.ready().contains(Readiness::PRIORITY));
        // Announced 150 bytes ahead.
        let seg = urgent(&t, 100, 150);
        t.inject(seg);
        assert!(!t.ready().contains(Readiness::PRIORITY));
        let error = if inline { SocketError::InvalidArgument } else { SocketError::WouldBlock };
        assert_eq!(t.stack.receive_urgent(t.conn), Err(error));
        let after = t.data(100);
        t.inject(after);
        assert!(t.ready().contains(Readiness::PRIORITY));
        // Reading stops before it.
        assert_eq!(t.stack.is_at_mark(t.conn), Ok(false));
        assert_eq!(t.try_read(1000), Ok(249));
        assert_eq!(t.stack.is_at_mark(t.conn), Ok(true));
        let byte = bytes(250, 1)[0];
        if inline {
            assert_eq!(t.stack.receive_urgent(t.conn), Err(SocketError::InvalidArgument));
            assert_eq!(t.try_read(1000), Ok(51));
        } else {
            assert_eq!(t.stack.peek_urgent(t.conn), Ok(Some(byte)));
            assert_eq!(t.stack.receive_urgent(t.conn), Ok(Some(byte)));
            assert!(!t.ready().contains(Readiness::PRIORITY));
            assert_eq!(t.stack.receive_urgent(t.conn), Err(SocketError::InvalidArgument));
            assert_eq!(t.try_read(1000), Ok(50));
        }
        assert_eq!(t.stack.is_at_mark(t.conn), Ok(false));
        assert_eq!(t.error(), None);
    }
}

/// `SIOCINQ`: up to the mark, then behind it.
fn what_is_left_before_the_mark_is_known() {
    let mut t = Talk::passive(Setup::default());
    let seg = urgent(&t, 100, 30);
    t.inject(seg);
    assert_eq!(t.stack.unread(t.conn), Ok(29));
    assert_eq!(t.try_read(10), Ok(10));
    assert_eq!(t.stack.unread(t.conn), Ok(19));
    assert_eq!(t.try_read(100), Ok(19));
    assert_eq!((t.stack.unread(t.conn), t.stack.is_at_mark(t.conn)), (Ok(0), Ok(true)));
    // There is more behind it all the same.
    assert!(t.ready().contains(Readiness::READABLE));
    assert_eq!(t.try_read(10), Ok(10));
    assert_eq!(t.stack.unread(t.conn), Ok(60));
    t.set(|options| options.oob_inline = true);
    let seg = urgent(&t, 100, 30);
    t.inject(seg);
    assert_eq!(t.stack.unread(t.conn), Ok(160));
    assert_eq!(t.try_read(1000), Ok(89), "reading stops before it all the same");
}

fn the_urgent_pointer_names_the_byte_behind() {
    let mut t = Talk::passive(Setup { mss: Some(1000), ..Setup::default() });
    t.sent(20);
    let ack = t.seg();
    t.inject(ack);
    assert_eq!(t.try_write(10, SendFlags::URGENT), Ok(10));
    let seg = t.one();
    assert_eq!((seg.range(), seg.has(URG), seg.urg), ((21, 10), true, 10));
    // What follows it is not urgent, and the acknowledgment ends it.
    let ack = t.seg();
    t.inject(ack);
    let seg = &t.sent(10)[0];
    assert_eq!((seg.range(), seg.has(URG), seg.urg), ((31, 10), false, 0));
    // Segments before the urgent one name it, too.
    let ack = t.seg();
    t.inject(ack);
    assert_eq!(t.try_write(2500, SendFlags::URGENT), Ok(2500));
    let pointers: Vec<_> = t.heard().iter().map(|seg| (seg.len(), seg.urg)).collect();
    assert_eq!(pointers, [(1000, 2500), (1000, 1500), (500, 500)]);
}

fn urgent_data_is_not_sent_unasked() {
    let mut t = Talk::passive(Setup::modern());
    for n in 0..50 {
        let _ = t.try_write(2000, if n % 2 == 0 { SendFlags::MORE } else { SendFlags::empty() });
        let data = urgent(&t, 10, 3);
        t.inject(data);
        t.run(millis(10));
    }
    t.close();
    t.run(secs(100));
    let sent = t.heard();
    assert!(sent.len() > 50 && sent.iter().all(|seg| !seg.has(URG) && seg.urg == 0));
}
