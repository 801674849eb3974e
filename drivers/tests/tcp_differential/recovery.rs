//! Loss: what is sent again, when, and what the congestion window does.

use super::compare::{Scenario, accepted, accepted_with, plain};

/// What is read of the congestion state.
const INFO: &str = "+0 assert tcpi_ca_state >= 0 and tcpi_snd_cwnd >= 0 and tcpi_snd_ssthresh >= 0 and tcpi_unacked >= 0 and tcpi_sacked >= 0 and tcpi_lost >= 0 and tcpi_retrans >= 0";

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    timeouts(&mut all);
    probes(&mut all);
    selective(&mut all);
    duplicates(&mut all);
    undone(&mut all);
    all
}

fn add(all: &mut Vec<Scenario>, name: &str, script: &str) {
    let script = script.replace('I', INFO);
    all.push(Scenario::new(format!("recovery: {name}"), plain(&script)));
    all.push(Scenario::new(
        format!("recovery, cubic: {name}"),
        plain(&format!("+0 set TCP_CONGESTION cubic\n{script}")),
    ));
}

fn timeouts(all: &mut Vec<Scenario>) {
    add(
        all,
        "one segment, no answer",
        "+.01 write 1000\n+.1 use 3\n+.4 use 3\n+.35 use 3\nI\n+.01 < . 1:1(0) ack 1001 win 512\nI",
    );
    add(
        all,
        "timeout, then ACKs",
        "+.01 write 8760\n+.15 use 3\n+.4 use 3\nI\n+0 < . 1:1(0) ack 1461 win 512\nI\n+.01 < . 1:1(0) ack 4381 win 512\nI\n+.01 < . 1:1(0) ack 8761 win 512\nI",
    );
    // The second SACK comes before the reordering timer, which is coarser in the kernel.
    add(
        all,
        "timeout of a SACKed tail",
        "+.01 write 8760\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:2921>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:8761>\nI\n+.6 use 3\nI\n+0 < . 1:1(0) ack 8761 win 512\nI",
    );
    add(
        all,
        "reneging",
        "+.01 write 5840\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:5841>\nI\n+.02 < . 1:1(0) ack 1461 win 512\nI\n+.1 use 3\n+0 < . 1:1(0) ack 5841 win 512\nI",
    );
}

fn probes(all: &mut Vec<Scenario>) {
    add(
        all,
        "tail loss probe of two",
        "+.01 write 2920\n+.02 use 3\n+.08 use 3\nI\n+0 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:2921>\nI\n+.01 < . 1:1(0) ack 2921 win 512\nI",
    );
    add(
        all,
        "tail loss probe of new data",
        "+.01 write 1460\n+0 write 100\n+.15 use 3\n+.3 use 3\nI",
    );
    add(
        all,
        "tail loss probe, the tail was lost",
        "+.01 write 7300\n+.02 < . 1:1(0) ack 5841 win 512\n+.02 use 3\n+.08 use 3\n+0 < . 1:1(0) ack 7301 win 512\nI\n+.01 write 100\nI",
    );
    add(
        all,
        "tail loss probe, nothing was lost",
        "+.01 write 7300\n+.02 < . 1:1(0) ack 5841 win 512\n+.1 < . 1:1(0) ack 7301 win 512\nI\n+.001 < . 1:1(0) ack 7301 win 512 <nop,nop,sack 5841:7301>\nI",
    );
}

fn selective(all: &mut Vec<Scenario>) {
    add(
        all,
        "three SACKed",
        "+.01 write 14600\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:2921>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:4381>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:5841>\nI\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:7301>\nI\n+.02 < . 1:1(0) ack 7301 win 512\nI\n+.001 < . 1:1(0) ack 14601 win 512\nI",
    );
    add(
        all,
        "one SACKed, and time",
        "+.01 write 4380\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 2921:4381>\nI\n+.015 use 3\nI\n+.01 < . 1:1(0) ack 4381 win 512\nI",
    );
    add(
        all,
        "two holes",
        "+.01 write 14600\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:4381>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 5841:7301 1461:4381>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 5841:8761 1461:4381>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 5841:10221 1461:4381>\nI\n+.02 < . 1:1(0) ack 4381 win 512 <nop,nop,sack 5841:10221>\nI\n+.005 < . 1:1(0) ack 10221 win 512\nI\n+.001 < . 1:1(0) ack 14601 win 512\nI",
    );
    add(
        all,
        "with more to send",
        "+.01 write 40000\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:2921>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:4381>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:5841>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:7301>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:8761>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:10221>\nI\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:11681>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:13141>\n+.001 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:14601>\nI\n+.01 < . 1:1(0) ack 14601 win 512\nI\n+.01 < . 1:1(0) ack 20441 win 512\nI",
    );
    add(
        all,
        "a retransmission lost",
        "+.01 write 14600\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:5841>\nI\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:8761>\nI\n+.01 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:14601>\nI\n+.03 use 3\nI",
    );
    add(
        all,
        "many lost at once",
        "+.01 write 14600\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 13141:14601>\nI\n+.015 use 3\nI\n+.02 < . 1:1(0) ack 1461 win 512 <nop,nop,sack 13141:14601>\nI\n+.001 < . 1:1(0) ack 4381 win 512 <nop,nop,sack 13141:14601>\nI",
    );
}

fn duplicates(all: &mut Vec<Scenario>) {
    let acks = |count: usize| "+.001 < . 1:1(0) ack 1 win 512\n".repeat(count);
    let scripts = [
        ("three duplicates", format!("+.01 write 14600\n+.02 use 3\n{}I\n{}I\n+.02 < . 1:1(0) ack 14601 win 512\nI", acks(3), acks(2))),
        ("two duplicates and new data", format!("+.01 write 40000\n+.02 use 3\n{}I\n+.02 < . 1:1(0) ack 2921 win 512\nI", acks(2))),
        ("a partial ACK", format!("+.01 write 14600\n+.02 use 3\n{}I\n+.02 < . 1:1(0) ack 4381 win 512\nI\n+.02 < . 1:1(0) ack 14601 win 512\nI", acks(4))),
        ("window updates are no duplicates", "+.01 write 14600\n+.02 < . 1:1(0) ack 1 win 513\n+.001 < . 1:1(0) ack 1 win 514\n+.001 < . 1:1(0) ack 1 win 515\n+.001 < . 1:1(0) ack 1 win 516\nI".to_string()),
        ("data is no duplicate", "+.01 write 14600\n+.02 < P. 1:11(10) ack 1 win 512\n+.001 < P. 11:21(10) ack 1 win 512\n+.001 < P. 21:31(10) ack 1 win 512\n+.001 < P. 31:41(10) ack 1 win 512\nI".to_string()),
    ];
    for (name, script) in scripts {
        all.push(Scenario::new(
            format!("recovery without SACK: {name}"),
            accepted_with("mss 1460,nop,wscale 7", 512, &script.replace('I', INFO)),
        ));
    }
}

fn undone(all: &mut Vec<Scenario>) {
    add(
        all,
        "fast retransmission undone by D-SACK",
        "+.01 write 14600\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,sack 1461:5841>\nI\n+.005 < . 1:1(0) ack 5841 win 512\nI\n+.005 < . 1:1(0) ack 5841 win 512 <nop,nop,sack 1:1461>\nI\n+.005 < . 1:1(0) ack 14601 win 512\nI",
    );
    add(
        all,
        "a spurious timeout found by F-RTO",
        "+.01 write 8760\n+.2 use 3\n+.2 use 3\nI\n+0 < . 1:1(0) ack 1461 win 512\nI\n+.001 < . 1:1(0) ack 4381 win 512\nI\n+.001 < . 1:1(0) ack 8761 win 512\nI",
    );
    let timed = "+.01 write 14480\n+.02 < . 1:1(0) ack 1 win 512 <nop,nop,TS val 160 ecr 1030,nop,nop,sack 1449:5793>\nI\n+.005 < . 1:1(0) ack 5793 win 512 <nop,nop,TS val 165 ecr 1030>\nI\n+.005 < . 1:1(0) ack 14481 win 512 <nop,nop,TS val 170 ecr 1030>\nI";
    all.push(Scenario::new("recovery: undone by timestamps", accepted(&timed.replace('I', INFO))));
}
