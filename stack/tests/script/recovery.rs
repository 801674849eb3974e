//! Losses that are repaired, and what looks like one.

use crate::harness::script;
use crate::start::after;

/// A connection whose peer takes 1000 bytes in a segment and acknowledges selectively; large
/// segments may be named whole or in parts.
const SACK: &str = "
    --strict_segments=0
    0     socket tcp ; bind 8080 ; listen 1
    +0    < S 0:0(0) win 65535 <mss 1000,nop,nop,sackOK>
    +0    > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK>
    +.04  < . 1:1(0) ack 1 win 65535
    +0    accept(3, ..., ...) = 4
";

/// The same without SACK.
const PLAIN: &str = "
    --strict_segments=0
    0     socket tcp ; bind 8080 ; listen 1
    +0    < S 0:0(0) win 65535 <mss 1000>
    +0    > S. 0:0(0) ack 1 <mss 1460>
    +.04  < . 1:1(0) ack 1 win 65535
    +0    accept(3, ..., ...) = 4
";

/// RFC 3042: two duplicates let two new segments out; what they stood for does not count again
/// when it is acknowledged (Linux `tcp_remove_reno_sacks`), so the window grows by one.
#[test]
fn duplicates_count_once_without_sack() {
    after(
        PLAIN,
        "+0   write 20000
         +0   > . 1:10001(10000) ack 1
         +.05 < . 1:1(0) ack 1 win 65535
         +0   > . 10001:11001(1000) ack 1
         +.01 < . 1:1(0) ack 1 win 65535
         +0   > . 11001:12001(1000) ack 1
         +0   assert tcpi_snd_cwnd == 10 and tcpi_ca_state == TCP_CA_Disorder
         +.01 < . 1:1(0) ack 3001 win 65535
         +0   assert tcpi_snd_cwnd == 11 and tcpi_ca_state == TCP_CA_Open
         +0   > . 12001:14001(2000) ack 1",
    );
}

/// RFC 6937 §3: without SACK each duplicate tells of a segment that has left, too; seven leave
/// for ten of them.
#[test]
fn duplicates_keep_recovery_going_without_sack() {
    after(
        PLAIN,
        "+0   write 18000
         +0   > . 1:10001(10000) ack 1
         +.05 < . 1:1(0) ack 1 win 65535
         +0   > . 10001:11001(1000) ack 1
         +.01 < . 1:1(0) ack 1 win 65535
         +0   > . 11001:12001(1000) ack 1
         +.01 < . 1:1(0) ack 1 win 65535
         +0   > . 1:1001(1000) ack 1
         +0   assert tcpi_ca_state == TCP_CA_Recovery and tcpi_snd_ssthresh == 7
         +.01 < . 1:1(0) ack 1 win 65535
         +0   > . 12001:13001(1000) ack 1
         +.01 < . 1:1(0) ack 1 win 65535
         +0   > . 13001:14001(1000) ack 1
         +.01 < . 1:1(0) ack 1 win 65535
         +.01 < . 1:1(0) ack 1 win 65535
         +.01 < . 1:1(0) ack 1 win 65535
         +0   > . 14001:15001(1000) ack 1",
    );
}

/// How far segments were reordered is counted from the end of the newest that had come (Linux
/// `tcp_check_sack_reordering`).
#[test]
fn the_extent_of_reordering_is_learnt() {
    after(
        SACK,
        "+0   write 9000
         +0   > P. 1:9001(9000) ack 1
         +.04 < . 1:1(0) ack 1 win 65535 <nop,nop,sack 6001:7001>
         +0   assert tcpi_sacked == 1 and tcpi_reordering == 3
         +0   < . 1:1(0) ack 1 win 65535 <nop,nop,sack 2001:3001 6001:7001>
         +0   assert tcpi_sacked == 2 and tcpi_reordering == 5 and tcpi_reord_seen == 1
         +0   < . 1:1(0) ack 9001 win 65535
         +0   assert tcpi_reordering == 9 and tcpi_reord_seen == 2
         +0   assert tcpi_ca_state == TCP_CA_Open and tcpi_total_retrans == 0",
    );
}

/// RFC 8985 §6.2: with a single selective acknowledgment nothing is lost before the reordering
/// window is over, a quarter of a round trip.
#[test]
fn one_late_segment_is_waited_for() {
    after(
        SACK,
        "+0        write 6000
         +0        > P. 1:6001(6000) ack 1
         +.04      < . 1:1(0) ack 1 win 65535 <nop,nop,sack 4001:5001>
         +0        assert tcpi_ca_state == TCP_CA_Disorder and tcpi_lost == 0
         +.01~+.014 > . 1:1001(1000) ack 1
         +0        assert tcpi_ca_state == TCP_CA_Recovery and tcpi_lost == 4",
    );
}

/// RFC 6675 §5: what is missing between acknowledged parts is sent again, no faster than segments
/// leave; when all is acknowledged the window is the new threshold.
#[test]
fn holes_are_filled_one_by_one() {
    after(
        SACK,
        "+0   write 9000
         +0   > P. 1:9001(9000) ack 1
         +.04 < . 1:1(0) ack 1 win 65535 <nop,nop,sack 3001:4001>
         +0   < . 1:1(0) ack 1 win 65535 <nop,nop,sack 5001:6001 3001:4001>
         +0   < . 1:1(0) ack 1 win 65535 <nop,nop,sack 7001:8001 5001:6001 3001:4001>
         +0   > . 1:1001(1000) ack 1
         +0   assert tcpi_lost == 5 and tcpi_sacked == 3 and tcpi_snd_ssthresh == 7
         +.02 < . 1:1(0) ack 1 win 65535 <nop,nop,sack 7001:9001 5001:6001 3001:4001>
         +0   > . 1001:2001(1000) ack 1
         +.02 < . 1:1(0) ack 1001 win 65535 <nop,nop,sack 7001:9001 5001:6001 3001:4001>
         +0   > . 2001:3001(1000) ack 1
         +0   > . 4001:5001(1000) ack 1
         +.04 < . 1:1(0) ack 9001 win 65535
         +0   assert tcpi_ca_state == TCP_CA_Open and tcpi_snd_cwnd == 7 and tcpi_retrans == 0",
    );
}

/// RFC 3522: the answer to a retransmission echoes a time before it, so that the first copy had
/// arrived: the window is given back.
#[test]
fn a_needless_timeout_is_undone() {
    script(
        "--strict_segments=0
         0    socket tcp ; bind 8080 ; listen 1
         +0   < S 0:0(0) win 65535 <mss 1000,nop,nop,TS val 500 ecr 0>
         +0   > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 0 ecr 500>
         +.03 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 530 ecr 0>
         +0   accept(3, ..., ...) = 4
         +0   write 800
         +0   > P. 1:801(800) ack 1 <nop,nop,TS val 30 ecr 530>
         +.23 > P. 1:801(800) ack 1 <nop,nop,TS val 260 ecr 530>
         +0   assert tcpi_snd_cwnd == 1 and tcpi_ca_state == TCP_CA_Loss
         +.01 < . 1:1(0) ack 801 win 65535 <nop,nop,TS val 560 ecr 30>
         +0   assert tcpi_snd_cwnd == 10",
    );
}

/// A window that was taken back is probed with what it had allowed (RFC 9293 §3.8.6.1), ever less
/// often, as long as the peer answers.
#[test]
fn a_window_taken_back_is_probed_with_the_oldest_segment() {
    after(
        SACK,
        "+0         write 3000
         +0         > P. 1:3001(3000) ack 1
         +.01       < . 1:1(0) ack 1 win 0
         +.2~+.32   > . 1:1001(1000) ack 1
         +.1        < . 1:1(0) ack 1 win 0
         +.3~+.4    > . 1:1001(1000) ack 1
         +.1        < . 1:1(0) ack 1 win 0
         +.8~+.9    > . 1:1001(1000) ack 1
         +.1        < . 1:1(0) ack 3001 win 65535
         +0         assert tcpi_unacked == 0 and tcpi_retransmits == 0",
    );
}
