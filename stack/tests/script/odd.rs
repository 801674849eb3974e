//! What well-behaved peers do not send.

use crate::harness::script;
use crate::start::after_accept;

/// Linux `inet_shutdown`: the attempt is over, and the socket may try again.
#[test]
fn shutdown_ends_an_attempt_to_connect() {
    script(
        "+0   socket tcp ; nonblocking ; connect = EINPROGRESS
         +0   > S 0:0(0) win 64240 <...>
         +0   shutdown wr
         +0   read 10 = ECONNRESET
         +.1  < S. 0:0(0) ack 1 win 5792 <mss 1460>
         +0   > R 1:1(0) win 0",
    );
}

/// RFC 9293 §3.10.7.4: step 5 takes the acknowledgment and the window, whatever step 7 says of the
/// text.
#[test]
fn what_comes_after_fin_still_acknowledges() {
    after_accept(
        "+0   < F. 1:1(0) ack 1 win 0
         * > . 1:1(0) ack 2
         +0   write 100
         +.1  < . 2:42(40) ack 1 win 1000
         +0   > P. 1:101(100) ack 2",
    );
}

/// RFC 9293 §3.10.7.4 step 7, CLOSE-WAIT: the text is ignored, that which begins before FIN too.
#[test]
fn nothing_is_received_beyond_fin() {
    after_accept(
        "+0   < FP. 1:11(10) ack 1 win 65535
         +.04 > . 1:1(0) ack 12
         +0   < . 11:51(40) ack 1 win 65535
         +0   read(4, ..., 1000) = 10
         +0   read(4, ..., 1000) = 0",
    );
}

/// The SYN that comes again with the ACK takes a number, and no byte of the data behind it.
#[test]
fn data_on_a_repeated_syn_is_whole() {
    script(
        "0     socket tcp ; bind 8080 ; listen 1
         +0    < S 0:0(0) win 65535 <mss 1000>
         +0    > S. 0:0(0) ack 1 win 64240 <mss 1460>
         +.1   < S. 0:10(10) ack 1 win 65535
         +0    > . 1:1(0) ack 11
         +0    accept(3, ..., ...) = 4
         +0    read(4, ..., 1000) = 10",
    );
}

/// RFC 9293 §3.10.4: FIN leaves from SYN-RECEIVED; the connection is set up all the same.
#[test]
fn a_connection_closed_in_syn_received_is_set_up() {
    script(
        "+0    socket tcp ; nonblocking ; connect = EINPROGRESS
         +0    > S 0:0(0) win 64240 <...>
         +.1   < S 0:0(0) win 65535 <mss 1000>
         +0    > S. 0:0(0) ack 1 win 64240 <...>
         +0    shutdown wr
         +0    > F. 1:1(0) ack 1
         +.1   < . 1:1(0) ack 2 win 65535
         +0    state FIN-WAIT-2
         +0    < P. 1:1001(1000) ack 2 win 65535
         +0    > . 2:2(0) ack 1001
         +.5   read 1000
         +0    assert tcpi_rcv_space > 0",
    );
}
