//! Data in both directions.

use crate::harness::script;
use crate::start::{ACCEPTED, WITH_SACK, after};

/// RFC 9293 §3.9.1.2: PSH on the last segment of a write; RFC 6928: ten segments at first.
#[test]
fn a_write_goes_out_in_full_segments_as_far_as_the_window() {
    let mut text = String::from("+0 write 12500\n");
    for n in 0..10 {
        let (from, to) = (n * 1000 + 1, n * 1000 + 1001);
        // Linux __tcp_transmit_skb: what ends a large segment, two at this pace, is pushed.
        let flags = if n % 2 == 1 { "P." } else { "." };
        text += &format!("+0 > {flags} {from}:{to}(1000) ack 1\n");
    }
    text += "+.1 < . 1:1(0) ack 10001 win 65535
             +0  > . 10001:11001(1000) ack 1
             +0  > P. 11001:12001(1000) ack 1
             +0  > P. 12001:12501(500) ack 1
             +.1 < . 1:1(0) ack 12501 win 65535
             +0  assert tcpi_unacked == 0 and tcpi_snd_cwnd == 20";
    after(ACCEPTED, &text);
}

/// RFC 5681 §4.2 and Linux's quick ACKs: at the start every segment is acknowledged at once.
#[test]
fn first_segments_are_acknowledged_at_once() {
    after(
        ACCEPTED,
        "+.1  < P. 1:1001(1000) ack 1 win 65535
         +0   > . 1:1(0) ack 1001
         +.01 < P. 1001:2001(1000) ack 1 win 65535
         +0   > . 1:1(0) ack 2001
         +0   read 1500
         +0   read 500
         +0   nonblocking
         +0   read 500 = EAGAIN",
    );
}

/// RFC 1122 §4.2.3.2: a reply carries the ACK.
#[test]
fn a_blocked_reader_gets_the_data_and_its_answer_carries_the_ack() {
    after(
        ACCEPTED,
        "+0...0.05 read(4, ..., 100) = 100
         +.05 < P. 1:101(100) ack 1 win 65535
         +0   > . 1:1(0) ack 101
         +.01 write 50
         +0   > P. 1:51(50) ack 101",
    );
}

/// Minshall's variant of Nagle's algorithm: one small segment at a time, RFC 9293 §3.7.4.
#[test]
fn small_writes_wait_for_the_small_one_before() {
    after(
        ACCEPTED,
        "+0  write 10
         +0  > P. 1:11(10) ack 1
         +0  write 10
         +0  write 10
         +.1 < . 1:1(0) ack 11 win 65535
         +0  > P. 11:31(20) ack 1",
    );
    after(
        ACCEPTED,
        "+0  set TCP_NODELAY 1
         +0  write 10
         +0  > P. 1:11(10) ack 1
         +0  write 10
         +0  > P. 11:21(10) ack 1",
    );
}

/// Linux TCP_CORK: a partial segment waits for the rest, 200 ms at most.
#[test]
fn a_cork_holds_what_is_less_than_a_segment() {
    after(
        ACCEPTED,
        "+0  set TCP_CORK 1
         +0  write 10
         +.1 write 995
         +0  > . 1:1001(1000) ack 1
         +.05 set TCP_CORK 0
         +0  > P. 1001:1006(5) ack 1",
    );
    after(
        ACCEPTED,
        "+0  send(4, ..., 10, MSG_MORE) = 10
         +0  write 10
         +0  > P. 1:21(20) ack 1",
    );
}

/// RFC 2018 §4, RFC 2883 §4: the most recent block first, a duplicate before it.
#[test]
fn what_is_out_of_order_is_acknowledged_selectively() {
    after(
        WITH_SACK,
        "+.1 < . 1001:2001(1000) ack 1 win 65535
         +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
         +0  < . 3001:4001(1000) ack 1 win 65535
         +0  > . 1:1(0) ack 1 <nop,nop,sack 3001:4001 1001:2001>
         +0  < . 3001:4001(1000) ack 1 win 65535
         +0  > . 1:1(0) ack 1 <nop,nop,sack 3001:4001 3001:4001 1001:2001>
         +0  < . 1:1001(1000) ack 1 win 65535
         +0  > . 1:1(0) ack 2001 <nop,nop,sack 3001:4001>
         +0  < . 2001:3001(1000) ack 1 win 65535
         +0  > . 1:1(0) ack 4001
         +0  < . 1:1001(1000) ack 1 win 65535
         +0  > . 1:1(0) ack 4001 <nop,nop,sack 1:1001>
         +0  read 4000",
    );
}

/// RFC 6298 §5.4 to §5.6 with Linux's bounds: 200 ms above the smoothed time, doubled each time,
/// and back only once a round-trip time is measured (§3, Karn's algorithm).
#[test]
fn silence_is_answered_with_retransmissions_that_back_off() {
    after(
        ACCEPTED,
        "sysctl tcp_early_retrans=0
         +0    write 1000
         +0    > P. 1:1001(1000) ack 1
         +.3   > P. 1:1001(1000) ack 1
         +.6   > P. 1:1001(1000) ack 1
         +1.2  > P. 1:1001(1000) ack 1
         +.1   assert tcpi_backoff == 3 and tcpi_snd_cwnd == 1 and tcpi_total_retrans == 3
         +0    < . 1:1(0) ack 1001 win 65535
         +0    assert tcpi_unacked == 0 and tcpi_backoff == 3
         +0    write 1000
         +0    > P. 1001:2001(1000) ack 1
         +.1   < . 1:1(0) ack 2001 win 65535
         +0    assert tcpi_backoff == 0",
    );
}

/// RFC 8985 §6: the segment before three that were selectively acknowledged is sent again.
#[test]
fn a_hole_in_what_was_selectively_acknowledged_is_filled() {
    after(
        WITH_SACK,
        "+0  write 5000
         +0  > . 1:1001(1000) ack 1
         +0  > P. 1001:2001(1000) ack 1
         +0  > . 2001:3001(1000) ack 1
         +0  > P. 3001:4001(1000) ack 1
         +0  > P. 4001:5001(1000) ack 1
         +.1 < . 1:1(0) ack 1 win 65535 <nop,nop,sack 1001:2001>
         +0  < . 1:1(0) ack 1 win 65535 <nop,nop,sack 1001:3001>
         +0  < . 1:1(0) ack 1 win 65535 <nop,nop,sack 1001:4001>
         +0  > . 1:1001(1000) ack 1
         +0  assert tcpi_ca_state == TCP_CA_Recovery and tcpi_sacked == 3
         +.1 < . 1:1(0) ack 5001 win 65535
         +0  assert tcpi_ca_state == TCP_CA_Open and tcpi_unacked == 0",
    );
}

/// RFC 8985 §7: two round trips of silence, and the last segment is sent again.
#[test]
fn a_tail_loss_probe_comes_before_the_timeout() {
    after(
        WITH_SACK,
        "+0  write 2000
         +0  > . 1:1001(1000) ack 1
         +0  > P. 1001:2001(1000) ack 1
         +.2 > P. 1001:2001(1000) ack 1
         +.1 < . 1:1(0) ack 2001 win 65535
         +0  assert tcpi_ca_state == TCP_CA_Open",
    );
}

/// RFC 9293 §3.8.6.1: a window of zero is probed, one number before what is next; each time later,
/// counted from the last answer (Linux tcp_ack_probe).
#[test]
fn a_closed_window_is_probed() {
    after(
        ACCEPTED,
        "+0   write 1000
         +0   > P. 1:1001(1000) ack 1
         +.1  < . 1:1(0) ack 1001 win 0
         +0   write 1000
         +.3  > . 1000:1000(0) ack 1
         +.1  < . 1:1(0) ack 1001 win 0
         +.6  > . 1000:1000(0) ack 1
         +.1  < . 1:1(0) ack 1001 win 65535
         +0   > P. 1001:2001(1000) ack 1",
    );
}

/// RFC 5681 §3.1 and RFC 1191 §6: a smaller path MTU makes smaller segments at once.
#[test]
fn a_smaller_path_mtu_is_heeded() {
    after(
        ACCEPTED,
        "+0  write 1000
         +0  > [df] P. 1:1001(1000) ack 1
         +.1 < icmp unreachable frag_needed mtu 640 [1:1001(1000)]
         +0  > [df] . 1:601(600) ack 1
         +0  > [df] P. 601:1001(400) ack 1",
    );
}

/// RFC 5681 §4.2, Linux TCP_ATO_MIN: once data has been answered with data, an ACK waits 40 ms for
/// the next answer.
#[test]
fn acks_wait_for_an_answer_in_a_conversation() {
    after(
        ACCEPTED,
        "+.1   < P. 1:101(100) ack 1 win 65535
         +0    > . 1:1(0) ack 101
         +0    write 50
         +0    > P. 1:51(50) ack 101
         +.1   < P. 101:201(100) ack 51 win 65535
         +.04  > . 51:51(0) ack 201",
    );
}

/// Linux __tcp_sock_set_quickack: switched off, ACKs wait from the start.
#[test]
fn quick_acks_can_be_refused() {
    after(
        ACCEPTED,
        "+0    set TCP_QUICKACK 0
         +.1   < P. 1:101(100) ack 1 win 65535
         +.04  > . 1:1(0) ack 101",
    );
}

/// RFC 5681 §3.2 and RFC 6582: three duplicate ACKs from a peer without SACK.
#[test]
fn three_duplicate_acks_mean_a_loss() {
    after(
        ACCEPTED,
        "+0  write 5000
         +0  > . 1:1001(1000) ack 1
         +0  > P. 1001:2001(1000) ack 1
         +0  > . 2001:3001(1000) ack 1
         +0  > P. 3001:4001(1000) ack 1
         +0  > P. 4001:5001(1000) ack 1
         +.1 < . 1:1(0) ack 1 win 65535
         +0  < . 1:1(0) ack 1 win 65535
         +0  < . 1:1(0) ack 1 win 65535
         +0  > . 1:1001(1000) ack 1
         +0  assert tcpi_ca_state == TCP_CA_Recovery
         +.1 < . 1:1(0) ack 5001 win 65535
         +0  assert tcpi_unacked == 0 and tcpi_total_retrans == 1",
    );
}

/// RFC 3168 §6.1.3, §6.1.2: CE is echoed until CWR; ECE halves the window once and CWR says so.
#[test]
fn congestion_marks_are_echoed_and_obeyed() {
    script(
        "sysctl tcp_ecn=1
         0    socket tcp
         +0...0.1 connect(3, ..., ...) = 0
         +0   > SEW 0:0(0) win 64240 <...>
         +.1  < SE. 0:0(0) ack 1 win 65535 <mss 1000>
         +0   > . 1:1(0) ack 1
         +0   < [ce] P. 1:101(100) ack 1 win 65535
         +0   > E. 1:1(0) ack 101
         +0   < [ect0] PW. 101:201(100) ack 1 win 65535
         +0   > . 1:1(0) ack 201
         +0   write 1000
         +0   > [ect0] P. 1:1001(1000) ack 201
         +.1  < E. 201:201(0) ack 1001 win 65535
         +0   assert tcpi_ca_state == TCP_CA_CWR
         +0   write 1000
         +0   > [ect0] PW. 1001:2001(1000) ack 201",
    );
}

/// RFC 7323 §5.3: a segment with an old timestamp is acknowledged and dropped.
#[test]
fn old_timestamps_are_refused() {
    script(
        "0    socket tcp ; bind 8080 ; listen 1
         +0   < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 5000 ecr 0,nop,wscale 7>
         +0   > S. 0:0(0) ack 1 win 65160 <mss 1460,sackOK,TS val 100 ecr 5000,nop,wscale 7>
         +.1  < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 5100 ecr 100>
         +0   accept(3, ..., ...) = 4
         +.1  < P. 1:101(100) ack 1 win 65535 <nop,nop,TS val 4000 ecr 100>
         +0   > . 1:1(0) ack 1 <nop,nop,TS val 300 ecr 5100>
         +.1  < P. 1:101(100) ack 1 win 65535 <nop,nop,TS val 5300 ecr 300>
         +0   > . 1:1(0) ack 101 <nop,nop,TS val 400 ecr 5300>
         +0   read 100",
    );
}

/// RFC 9293 §3.8.4: keepalives, one number before what is next.
#[test]
fn a_silent_connection_is_probed_and_given_up() {
    after(
        ACCEPTED,
        "+0   set TCP_KEEPIDLE 10 ; set TCP_KEEPINTVL 2 ; set TCP_KEEPCNT 2 ; set SO_KEEPALIVE 1
         +10  > . 0:0(0) ack 1
         +1   < . 1:1(0) ack 1 win 65535
         +10  > . 0:0(0) ack 1
         +2   > . 0:0(0) ack 1
         +2   > R. 1:1(0) ack 1
         +0   read 10 = ETIMEDOUT",
    );
}

/// RFC 9293 §3.10.7.4: an ACK of what was never sent is answered.
#[test]
fn an_ack_of_what_was_not_sent_is_answered() {
    after(
        ACCEPTED,
        "+1  < . 1:1(0) ack 5 win 65535
         +0  > . 1:1(0) ack 1
         +0  state ESTAB",
    );
}

/// Linux: TCP_NODELAY sends what a cork or MSG_MORE holds, each time that it is set.
#[test]
fn hurry_is_stronger_than_a_cork() {
    after(
        ACCEPTED,
        "+0   set TCP_CORK 1
         +0   write 30
         +.05 write 30
         +0   set TCP_NODELAY 1
         +0   > P. 1:61(60) ack 1
         +.01 < . 1:1(0) ack 61 win 65535
         +0   set TCP_CORK 0
         +0   write 50 more
         +.05 set TCP_NODELAY 1
         +0   > . 61:111(50) ack 1",
    );
}

/// RFC 5961 §5.2: what acknowledges data never sent is discarded, its timestamp with it.
#[test]
fn a_forged_ack_does_not_change_what_is_echoed() {
    script(
        "0     socket tcp ; bind 8080 ; listen 1
         +0    < S 0:0(0) win 65535 <mss 1000,sackOK,TS val 700 ecr 0>
         +0    > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 0 ecr 700>
         +.1   < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 800 ecr 0>
         +0    accept(3, ..., ...) = 4
         +.1   < . 1:501(500) ack 5000 win 65535 <nop,nop,TS val 90000 ecr 0>
         +0    > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 800>
         +.1   < . 1:501(500) ack 1 win 65535 <nop,nop,TS val 1000 ecr 0>
         +0    > . 1:1(0) ack 501 <nop,nop,TS val 300 ecr 1000>",
    );
}
