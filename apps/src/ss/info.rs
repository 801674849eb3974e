//! What `ss -i`, `-m`, `-o` and `-e` add: words in ss's order.

use super::number::{general, millis, rate};
use crate::control::model::{Info, Socket, Timer};

/// `timer:(…)`, with the time left as ss rounds it.
pub fn timer(timer: &Timer) -> String {
    format!("timer:({},{},{})", timer.name, left(timer.expires / 1000), timer.retransmits)
}

/// The coarser the longer: ten minutes and more are told without seconds, ten seconds and more
/// without milliseconds.
fn left(millis: u64) -> String {
    let (mins, secs, msecs) = (millis / 60_000, millis / 1000 % 60, millis % 1000);
    match (mins, secs) {
        (10.., _) | (1.., 0) => format!("{mins}min"),
        (1.., _) => format!("{mins}min{secs}sec"),
        (0, 0) => format!("{msecs:03}ms"),
        (0, 1..10) if msecs > 0 => format!("{secs}.{msecs:03}ms"),
        (0, _) => format!("{secs}sec"),
    }
}

/// `skmem:(…)`; the stack has no memory in between, and counts drops for all sockets together.
pub fn memory(socket: &Socket) -> String {
    let ((r, rb), (w, tb)) = (socket.rmem, socket.wmem);
    format!("skmem:(r{r},rb{rb},t0,tb{tb},f0,w{w},o0,bl0,d0)")
}

/// `ino:… sk:… <->`.
pub fn extended(socket: &Socket) -> String {
    let mut text = format!("ino:{} sk:{:x}", socket.ino, socket.ino);
    if socket.mark != 0 {
        text += &format!(" fwmark:{:#x}", socket.mark);
    }
    if socket.ino != 0 {
        let (receive, send) = socket.shutdown;
        text += if receive { " -" } else { " <" };
        text += if send { "--" } else { "->" };
    }
    text
}

/// A word in front, and what comes after it unless that is nothing.
fn word(text: &mut String, name: &str, value: u64) {
    if value != 0 {
        *text += &format!(" {name}:{value}");
    }
}

/// The line of `ss -i`; begins with a space.
pub fn tcp(socket: &Socket, options: bool, numeric: bool) -> String {
    let Some(info) = socket.info.as_deref() else {
        // A listener has nothing but an algorithm and the window that connections begin with.
        return match &socket.congestion {
            Some(name) if socket.state == 10 => {
                let mut text = format!(" {name} cwnd:10");
                word(&mut text, "unacked", socket.recv_q);
                text
            }
            _ => String::new(),
        };
    };
    let mut text = String::new();
    if options {
        let flags = [
            (info.timestamps, " ts"),
            (info.sack, " sack"),
            (info.ecn, " ecn"),
            (info.ecn_seen, " ecnseen"),
        ];
        text.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word));
    }
    if let Some(name) = &socket.congestion {
        text += &format!(" {name}");
    }
    path(&mut text, info);
    traffic(&mut text, info);
    rates(&mut text, info, numeric);
    limits(&mut text, info);
    recovery(&mut text, info);
    receiver(&mut text, info);
    text
}

fn path(text: &mut String, info: &Info) {
    if let Some((peer, own)) = info.wscale {
        *text += &format!(" wscale:{peer},{own}");
    }
    if info.rto != 0 && info.rto != 3_000_000 {
        *text += &format!(" rto:{}", millis(info.rto / 1000 * 1000));
    }
    word(text, "backoff", info.backoff.into());
    if info.rtt != 0 {
        *text += &format!(" rtt:{}/{}", millis(info.rtt), millis(info.rttvar));
    }
    if info.ato != 0 {
        *text += &format!(" ato:{}", millis(info.ato / 1000 * 1000));
    }
    word(text, "mss", info.snd_mss.into());
    word(text, "pmtu", info.pmtu.into());
    word(text, "rcvmss", info.rcv_mss.into());
    word(text, "advmss", info.advmss.into());
    word(text, "cwnd", info.snd_cwnd.into());
    word(text, "ssthresh", info.snd_ssthresh.filter(|n| *n < 0xffff).unwrap_or(0).into());
}

fn traffic(text: &mut String, info: &Info) {
    word(text, "bytes_sent", info.bytes_sent);
    word(text, "bytes_retrans", info.bytes_retrans);
    word(text, "bytes_acked", info.bytes_acked);
    word(text, "bytes_received", info.bytes_received);
    word(text, "segs_out", info.segs_out.into());
    word(text, "segs_in", info.segs_in.into());
    word(text, "data_segs_out", info.data_segs_out.into());
    word(text, "data_segs_in", info.data_segs_in.into());
}

fn rates(text: &mut String, info: &Info, numeric: bool) {
    if info.rtt != 0 && info.snd_mss != 0 && info.snd_cwnd != 0 {
        let window = f64::from(info.snd_cwnd) * f64::from(info.snd_mss);
        let bits = window * 8_000_000.0 / info.rtt as f64;
        *text += &format!(" send {}bps", rate(bits, numeric));
    }
    word(text, "lastsnd", info.last_data_sent / 1000);
    word(text, "lastrcv", info.last_data_recv / 1000);
    word(text, "lastack", info.last_ack_recv / 1000);
    if let Some(pacing) = info.pacing_rate.filter(|rate| *rate != 0) {
        *text += &format!(" pacing_rate {}bps", rate(pacing as f64 * 8.0, numeric));
        if let Some(most) = info.max_pacing_rate.filter(|rate| *rate != 0) {
            *text += &format!("/{}bps", rate(most as f64 * 8.0, numeric));
        }
    }
    if info.delivery_rate != 0 {
        *text += &format!(" delivery_rate {}bps", rate(info.delivery_rate as f64 * 8.0, numeric));
    }
    word(text, "delivered", info.delivered.into());
    word(text, "delivered_ce", info.delivered_ce.into());
    if info.delivery_rate_app_limited {
        *text += " app_limited";
    }
}

fn limits(text: &mut String, info: &Info) {
    if info.busy_time == 0 {
        return;
    }
    *text += &format!(" busy:{}ms", info.busy_time / 1000);
    for (name, time) in [("rwnd", info.rwnd_limited), ("sndbuf", info.sndbuf_limited)] {
        if time != 0 {
            let share = 100.0 * time as f64 / info.busy_time as f64;
            *text += &format!(" {name}_limited:{}ms({share:.1}%)", time / 1000);
        }
    }
}

fn recovery(text: &mut String, info: &Info) {
    word(text, "unacked", info.unacked.into());
    if info.retrans != 0 || info.total_retrans != 0 {
        *text += &format!(" retrans:{}/{}", info.retrans, info.total_retrans);
    }
    word(text, "lost", info.lost.into());
    word(text, "sacked", info.sacked.into());
    word(text, "dsack_dups", info.dsack_dups.into());
    if info.reordering != 3 {
        *text += &format!(" reordering:{}", info.reordering);
    }
    word(text, "reord_seen", info.reord_seen.into());
}

fn receiver(text: &mut String, info: &Info) {
    if info.rcv_rtt != 0 {
        *text += &format!(" rcv_rtt:{}", general(info.rcv_rtt as f64 / 1000.0, 6));
    }
    word(text, "rcv_space", info.rcv_space.into());
    word(text, "rcv_ssthresh", info.rcv_ssthresh.into());
    word(text, "notsent", info.notsent_bytes.into());
    if let Some(min) = info.min_rtt.filter(|min| *min != 0) {
        *text += &format!(" minrtt:{}", millis(min));
    }
    word(text, "rcv_ooopack", info.rcv_ooopack.into());
    word(text, "snd_wnd", info.snd_wnd.into());
}
