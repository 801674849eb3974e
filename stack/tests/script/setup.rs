//! Connections set up.

use crate::harness::script;

/// RFC 9293 §3.5, RFC 7323, RFC 2018; the layout of options is Linux's.
#[test]
fn passive_open_answers_each_option_that_was_offered() {
    for (offered, window, answered) in [
        ("mss 1460,sackOK,nop,nop,nop,wscale 7", 64240, "mss 1460,nop,nop,sackOK,nop,wscale 7"),
        ("mss 1460", 64240, "mss 1460"),
        ("mss 1460,nop,wscale 2", 64240, "mss 1460,nop,wscale 7"),
        (
            "mss 1460,sackOK,TS val 5 ecr 0,nop,wscale 7",
            65160,
            "mss 1460,sackOK,TS val 100 ecr 5,nop,wscale 7",
        ),
        ("mss 1460,nop,nop,TS val 5 ecr 0", 65160, "mss 1460,nop,nop,TS val 100 ecr 5"),
    ] {
        script(&format!(
            "+0  socket tcp ; bind 8080 ; listen 1
             +0  < S 0:0(0) win 32792 <{offered}>
             +0  > [noecn, ttl 64, df] S. 0:0(0) ack 1 win {window} <{answered}>"
        ));
    }
}

#[test]
fn active_open_offers_everything() {
    script(
        "+0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
         +0    fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
         +0    connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
         +0    > S 0:0(0) win 64240 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
         +0.1  < S. 0:0(0) ack 1 win 5792 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7>
         +0    > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>
         +0    getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
         +0    assert tcpi_snd_cwnd == 10, x
         +0    state ESTAB",
    );
}

#[test]
fn a_blocking_connect_returns_with_the_handshake() {
    script(
        "+0    socket tcp
         +0...0.1 connect(3, ..., ...) = 0
         +0    > S 0:0(0) win 64240 <...>
         +0.1  < S. 0:0(0) ack 1 win 5792 <mss 1460>
         +0    > . 1:1(0) ack 1",
    );
}

/// RFC 9293 §3.10.7.3.
#[test]
fn a_refused_connect_says_so() {
    script(
        "+0    socket tcp
         +0...0.1 connect(3, ..., ...) = -1 ECONNREFUSED
         +0    > S 0:0(0) win 64240 <...>
         +0.1  < R. 0:0(0) ack 1 win 0",
    );
}

/// tcp_syn_linear_timeouts = 4 and tcp_syn_retries = 6 (Linux tcp_write_timeout): ten more SYNs, the
/// last after 67 s, and 64 s later it is over.
#[test]
fn a_silent_peer_gets_eleven_syns() {
    script(
        "+0    socket tcp
         0...131 connect(3, ..., ...) = -1 ETIMEDOUT
         0     > S 0:0(0) win 64240 <...>
         1     > S 0:0(0) win 64240 <...>
         2     > S 0:0(0) win 64240 <...>
         3     > S 0:0(0) win 64240 <...>
         4     > S 0:0(0) win 64240 <...>
         5     > S 0:0(0) win 64240 <...>
         7     > S 0:0(0) win 64240 <...>
         11    > S 0:0(0) win 64240 <...>
         19    > S 0:0(0) win 64240 <...>
         35    > S 0:0(0) win 64240 <...>
         67    > S 0:0(0) win 64240 <...>",
    );
}

/// tcp_synack_retries = 5.
#[test]
fn a_syn_ack_is_sent_again_and_given_up() {
    script(
        "0     socket tcp ; bind 8080 ; listen 1 ; nonblocking
         +0    < S 0:0(0) win 1000 <mss 1000>
         0     > S. 0:0(0) ack 1 win 64240 <mss 1460>
         1     > S. 0:0(0) ack 1 win 64240 <mss 1460>
         3     > S. 0:0(0) ack 1 win 64240 <mss 1460>
         7     > S. 0:0(0) ack 1 win 64240 <mss 1460>
         15    > S. 0:0(0) ack 1 win 64240 <mss 1460>
         31    > S. 0:0(0) ack 1 win 64240 <mss 1460>
         70    < . 1:1(0) ack 1 win 1000
         +0    > R 1:1(0) win 0
         +0    accept = EAGAIN",
    );
}

/// A retransmitted SYN is answered again (RFC 9293 §3.10.7.4, Linux tcp_check_req).
#[test]
fn a_repeated_syn_gets_the_same_answer() {
    script(
        "0     socket tcp ; bind 8080 ; listen 1
         +0    < S 0:0(0) win 1000 <mss 1000>
         0     > S. 0:0(0) ack 1 win 64240 <mss 1460>
         .6    < S 0:0(0) win 1000 <mss 1000>
         +0    > S. 0:0(0) ack 1 win 64240 <mss 1460>",
    );
}

/// RFC 9293 §3.5.2: a segment to nobody gets a RST that the sender believes.
#[test]
fn segments_to_a_closed_port_are_reset() {
    script(
        "0   < S 0:0(0) win 1000 <mss 1000>
         +0  > R. 0:0(0) ack 1 win 0
         +1  < . 1:1(0) ack 77 win 1000
         +0  > R 77:77(0) win 0
         +1  < P. 1:11(10) ack 99 win 1000
         +0  > R 99:99(0) win 0
         +1  < F 5:5(0) win 1000
         +0  > R. 0:0(0) ack 6 win 0
         +1  < R 5:5(0) win 1000
         +1  < R. 5:5(0) ack 9 win 1000
         +1  socket tcp",
    );
}

/// RFC 9293 §3.10.7.2: an ACK to a listener is reset, anything without SYN is dropped.
#[test]
fn a_listener_resets_acks() {
    script(
        "0   socket tcp ; bind 8080 ; listen 1
         +0  < . 1:1(0) ack 5 win 1000
         +0  > R 5:5(0) win 0
         +1  < SF 1:1(0) win 1000
         +1  < R 1:1(0) win 1000
         +1  state LISTEN",
    );
}

/// RFC 9293 §3.5 figure 8.
#[test]
fn simultaneous_open() {
    script(
        "0    socket tcp
         +0...0.2 connect(3, ..., ...) = 0
         +0   > S 0:0(0) win 64240 <...>
         +.1  < S 0:0(0) win 5792 <mss 1000>
         +0   > S. 0:0(0) ack 1 win 64240 <mss 1460>
         +.1  < S. 0:0(0) ack 1 win 5792 <mss 1000>
         +0   > . 1:1(0) ack 1
         +0   state ESTAB",
    );
}

/// RFC 3168 §6.1.1.
#[test]
fn ecn_is_agreed_upon() {
    script(
        "sysctl tcp_ecn=1
         0    socket tcp
         +0...0.1 connect(3, ..., ...) = 0
         +0   > [noecn] SEW 0:0(0) win 64240 <...>
         +.1  < SE. 0:0(0) ack 1 win 5792 <mss 1000>
         +0   > [noecn] . 1:1(0) ack 1
         +0   write 100
         +0   > [ect0] P. 1:101(100) ack 1",
    );
    script(
        "0    socket tcp ; bind 8080 ; listen 1
         +0   < SEW 0:0(0) win 5792 <mss 1000>
         +0   > [noecn] SE. 0:0(0) ack 1 win 64240 <mss 1460>",
    );
}

/// Linux tcp_v4_syn_recv_sock: with the accept queue full, the last ACK of a handshake is ignored,
/// and SYN-ACK is sent again until there is room.
#[test]
fn a_full_accept_queue_delays_the_last_ack() {
    script(
        "0     socket tcp ; bind 8080 ; listen 0
         +0    < @5001 S 0:0(0) win 1000 <mss 1000>
         +0    > @5001 S. 0:0(0) ack 1 win 64240 <mss 1460>
         +0    < @5001 . 1:1(0) ack 1 win 1000
         +0    < @5002 S 0:0(0) win 1000 <mss 1000>
         +1    accept
         +0    state ESTAB",
    );
}

/// poll(2) on a connection that comes about.
#[test]
fn a_socket_is_writable_once_it_is_connected() {
    script(
        "0     socket tcp ; nonblocking ; connect = EINPROGRESS
         +0    > S 0:0(0) win 64240 <...>
         +0    ready ; connect = EALREADY
         +.1   < S. 0:0(0) ack 1 win 1000 <mss 1000>
         +0    > . 1:1(0) ack 1
         +0    ready POLLOUT
         +0    < P. 1:11(10) ack 1 win 1000
         +0    > . 1:1(0) ack 11
         +0    poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLIN|POLLOUT}], 1, 0) = 1",
    );
}

/// Datagrams have a peer, too.
#[test]
fn udp_answers_and_refuses() {
    script(
        "0     socket udp ; bind 9000
         +0...0.1 read(3, ..., 100) = 50
         +.1   < udp (50)
         +0    sendto 20
         +0    > udp (20)
         +0    close
         +.1   < udp (50)
         +0    > icmp unreachable port_unreachable",
    );
}
