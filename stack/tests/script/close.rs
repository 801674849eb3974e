//! Connections ended.

use crate::harness::script;
use crate::start::after_accept;

/// RFC 9293 §3.6 case 1, §3.6.1: TIME-WAIT acknowledges a repeated FIN.
#[test]
fn active_close_ends_in_time_wait() {
    after_accept(
        "+0  close
         +0  > F. 1:1(0) ack 1
         +.1 < . 1:1(0) ack 2 win 65535
         +.1 < F. 1:1(0) ack 2 win 65535
         +0  > . 2:2(0) ack 2
         +1  < F. 1:1(0) ack 2 win 65535
         +0  > . 2:2(0) ack 2
         +62 < F. 1:1(0) ack 2 win 65535
         +0  > R 2:2(0) win 0",
    );
}

/// RFC 9293 §3.6 case 2. Whoever receives FIN is about to send: its ACK may wait (Linux tcp_fin).
#[test]
fn passive_close_reads_the_end_first() {
    after_accept(
        "+0  < FP. 1:101(100) ack 1 win 65535
         +0  state CLOSE-WAIT
         +0  read(4, ..., 1000) = 100
         +0  read(4, ..., 1000) = 0
         +.04 > . 1:1(0) ack 102
         +0  write 10
         +0  > P. 1:11(10) ack 102
         +0  close
         +0  > F. 11:11(0) ack 102
         +.1 < . 102:102(0) ack 12 win 65535
         +1  < . 102:102(0) ack 12 win 65535
         +0  > R 12:12(0) win 0",
    );
}

/// RFC 9293 §3.6 figure 13.
#[test]
fn simultaneous_close() {
    after_accept(
        "+0  shutdown wr
         +0  > F. 1:1(0) ack 1
         +.1 < F. 1:1(0) ack 1 win 65535
         +0  > . 2:2(0) ack 2
         +0  state CLOSING
         +.1 < . 2:2(0) ack 2 win 65535
         +1  < F. 1:1(0) ack 1 win 65535
         +0  > . 2:2(0) ack 2",
    );
}

/// RFC 9293 §3.6: half closed, the other half goes on.
#[test]
fn half_close_still_receives() {
    after_accept(
        "+0  shutdown wr
         +0  > F. 1:1(0) ack 1
         +.1 < . 1:1(0) ack 2 win 65535
         +0  state FIN-WAIT-2
         +0  < P. 1:101(100) ack 2 win 65535
         +0  > . 2:2(0) ack 101
         +0  read 100
         +0  write 1 = EPIPE",
    );
}

/// RFC 2525 §2.17, Linux tcp_close: unread data makes a reset of the close.
#[test]
fn close_with_unread_data_resets() {
    after_accept(
        "+0  < P. 1:101(100) ack 1 win 65535
         +0  > . 1:1(0) ack 101
         +0  close
         +0  > R. 1:1(0) ack 101",
    );
}

/// SO_LINGER with a time of zero.
#[test]
fn close_without_lingering_resets() {
    after_accept(
        "+0  setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0
         +0  close(4) = 0
         +0  > R. 1:1(0) ack 1",
    );
}

/// RFC 5961 §3.2: a RST at exactly the next number ends the connection, one elsewhere in the
/// window is challenged, one outside is ignored.
#[test]
fn resets_count_at_the_next_number_only() {
    after_accept(
        "+1  < R 70001:70001(0) win 0
         +1  < R 101:101(0) win 0
         +0  > . 1:1(0) ack 1
         +1  < R 1:1(0) win 0
         +0  read(4, ..., 10) = -1 ECONNRESET
         +0  write(4, ..., 10) = -1 EPIPE",
    );
}

/// RFC 5961 §4.2: a SYN in a connection is challenged.
#[test]
fn a_syn_in_a_connection_is_challenged() {
    after_accept(
        "+1  < S 101:101(0) win 1000 <mss 1000>
         +0  > . 1:1(0) ack 1
         +0  state ESTAB",
    );
}

/// Linux: data for a connection whose socket is closed is reset (RFC 2525 §2.17).
#[test]
fn data_after_close_is_reset() {
    after_accept(
        "+0  close
         +0  > F. 1:1(0) ack 1
         +.1 < . 1:1(0) ack 2 win 65535
         +.1 < P. 1:101(100) ack 2 win 65535
         +0  > R 2:2(0) win 0",
    );
}

/// tcp_fin_timeout = 60: an orphan leaves FIN-WAIT-2 after it.
#[test]
fn an_orphan_in_fin_wait_2_is_given_up() {
    after_accept(
        "+0  close
         +0  > F. 1:1(0) ack 1
         +.1 < . 1:1(0) ack 2 win 65535
         +61 < F. 1:1(0) ack 2 win 65535
         +0  > R 2:2(0) win 0",
    );
}

/// A listener that closes resets what nobody accepted (Linux inet_csk_listen_stop).
#[test]
fn a_closing_listener_resets_what_waits() {
    script(
        "0     socket tcp ; bind 8080 ; listen 1
         +0    < S 0:0(0) win 65535 <mss 1000>
         +0    > S. 0:0(0) ack 1 win 64240 <mss 1460>
         +.1   < . 1:1(0) ack 1 win 65535
         +.1   close
         +0    > R. 1:1(0) ack 1",
    );
}

/// FIN takes no room: it is taken though the window is closed, and acknowledged.
#[test]
fn a_fin_is_taken_at_a_closed_window() {
    script(
        "0     socket tcp ; bind 8080 ; set SO_RCVBUF 6000 ; listen 1
         +0    < S 0:0(0) win 65535 <mss 1000>
         +0    > S. 0:0(0) ack 1 win 5840 <mss 1460>
         +.1   < . 1:1(0) ack 1 win 65535
         +0    accept(3, ..., ...) = 4
         +0    < . 1:5841(5840) ack 1 win 65535
         +0~+.04 > . 1:1(0) ack 5841 win 4380
         +0    < . 5841:10221(4380) ack 1 win 65535
         +0~+.04 > . 1:1(0) ack 10221 win 0
         +.01  < F. 10221:10221(0) ack 1 win 65535
         +0    > . 1:1(0) ack 10222 win 0
         +0    state CLOSE-WAIT
         +0    read 10220
         +0    read 100 = 0",
    );
}

/// Data that came twice goes unmentioned when FIN comes with it (Linux `tcp_sack_reset`), and the
/// ACK waits for an answer.
#[test]
fn a_fin_with_old_data_is_answered_without_dsack() {
    script(
        "0       socket tcp ; bind 8080 ; listen 1
         +0      < S 0:0(0) win 65535 <mss 1000,sackOK,nop,nop>
         +0      > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK>
         +.1     < . 1:1(0) ack 1 win 65535
         +0      accept(3, ..., ...) = 4
         +0      < . 1:701(700) ack 1 win 65535
         +0      > . 1:1(0) ack 701
         +0      read 700
         +.01    < F. 1:701(700) ack 1 win 65535
         +.02~+.04 > . 1:1(0) ack 702
         +0      close
         +0      > F. 1:1(0) ack 702",
    );
}

/// FIN before any data is acknowledged at once, or nearly so: there is no delay yet to wait for.
#[test]
fn a_fin_before_any_data_is_acknowledged_quickly() {
    script(
        "0       socket tcp ; bind 8080 ; listen 1
         +0      < S 0:0(0) win 65535 <mss 1000>
         +0      > S. 0:0(0) ack 1 <mss 1460>
         +.1     < . 1:1(0) ack 1 win 65535
         +0      accept(3, ..., ...) = 4
         +.05    < F. 1:1(0) ack 1 win 65535
         +0      > . 1:1(0) ack 2
         +0      read 10 = 0",
    );
}
