//! Records (`MSG_EOR`): what is written after one shares no segment with it.

use crate::start::{WITH_SACK, after};

fn after_accept(rest: &str) {
    after(WITH_SACK, rest);
}

/// Linux `tcp_skb_can_collapse_to`: and what cannot grow has nothing to wait for (Nagle).
#[test]
fn nothing_joins_a_record_that_is_complete() {
    after_accept(
        "+0   write 10
         +0   > P. 1:11(10) ack 1
         +0   write 20
         +0   write 30 eor
         +0   write 40
         +0   > P. 11:61(50) ack 1
         +.1  < . 1:1(0) ack 61 win 65535
         +0   > P. 61:101(40) ack 1",
    );
}

/// The last segment of a record is as short as the record makes it, the window open or not.
#[test]
fn a_large_record_ends_in_a_segment_of_its_own() {
    after_accept(
        "+0   write 12500 eor
         +0   write 1500 eor
         +0   write 700
         +0   > . 1:1001(1000) ack 1
         +0   > P. 1001:2001(1000) ack 1
         +0   > . 2001:3001(1000) ack 1
         +0   > P. 3001:4001(1000) ack 1
         +0   > . 4001:5001(1000) ack 1
         +0   > P. 5001:6001(1000) ack 1
         +0   > . 6001:7001(1000) ack 1
         +0   > P. 7001:8001(1000) ack 1
         +0   > . 8001:9001(1000) ack 1
         +0   > P. 9001:10001(1000) ack 1
         +.1  < . 1:1(0) ack 10001 win 65535
         +0   > . 10001:11001(1000) ack 1
         +0   > P. 11001:12001(1000) ack 1
         +0   > P. 12001:12501(500) ack 1
         +0   > . 12501:13501(1000) ack 1
         +0   > P. 13501:14001(500) ack 1
         +.1  < . 1:1(0) ack 14001 win 65535
         +0   > P. 14001:14701(700) ack 1",
    );
}

/// `MSG_MORE` waits for more, but not in the same segment.
#[test]
fn a_record_is_complete_though_more_is_promised() {
    after_accept(
        "+0   write 10 more eor
         +0   write 20
         +0   > . 1:11(10) ack 1
         +.1  < . 1:1(0) ack 11 win 65535
         +0   > P. 11:31(20) ack 1",
    );
}

/// Linux `tcp_retrans_try_collapse`: small segments are joined when they are sent again, up to the
/// end of a record.
#[test]
fn what_is_sent_again_is_joined_within_a_record() {
    let lost = "sysctl tcp_early_retrans=0
         +0   set TCP_NODELAY 1
         +0   write 100
         +0   > P. 1:101(100) ack 1
         +0   write 200 eor
         +0   > P. 101:301(200) ack 1
         +0   write 300
         +0   > P. 301:601(300) ack 1
         +0   write 400
         +0   > P. 601:1001(400) ack 1
         +0   write 500
         +0   > P. 1001:1501(500) ack 1";
    after_accept(&format!(
        "{lost}
         +.3  > P. 1:301(300) ack 1
         +.1  < . 1:1(0) ack 301 win 65535
         +0   > P. 301:1001(700) ack 1
         +0   > P. 1001:1501(500) ack 1
         +0   assert tcpi_unacked == 2
         +.1  < . 1:1(0) ack 1501 win 65535
         +0   assert tcpi_unacked == 0 and tcpi_lost == 0 and tcpi_retrans == 0"
    ));
    after_accept(&format!(
        "sysctl tcp_retrans_collapse=0
         {lost}
         +.3  > P. 1:101(100) ack 1"
    ));
}

/// The record's bytes count in the send buffer, and it for itself.
#[test]
fn records_are_bounded_by_the_send_buffer() {
    let mut text = String::from("+0 set SO_SNDBUF 4096 ; nonblocking\n");
    text += "+0 < . 1:1(0) ack 1 win 0\n";
    for _ in 0..32 {
        text += "+0 write 1 eor\n";
    }
    text += "+0   write 1 = EAGAIN
             +0   get SIOCOUTQ = 32 ; get SIOCOUTQNSD = 32
             +.01 < . 1:1(0) ack 1 win 5
             +0   > P. 1:2(1) ack 1
             +0   > P. 2:3(1) ack 1
             +0   > P. 3:4(1) ack 1
             +0   > P. 4:5(1) ack 1
             +0   > P. 5:6(1) ack 1
             +0   get SIOCOUTQ = 32 ; get SIOCOUTQNSD = 27
             +0   write 1";
    after_accept(&text);
}
