use std::net::Ipv4Addr;

use super::*;

const START: Instant = Instant::from_secs(100);
const MS: Duration = Duration::from_millis(1);

fn config() -> Config {
    let wait = Wait { max: Duration::from_secs(5), here: 3.0, near: 10.0 };
    Config { first: 1, max_hops: 30, queries: 3, parallel: 16, wait }
}

fn router(ttl: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, ttl, 1).into()
}

/// A way of `hops` routers, the last being the destination; those in `silent` say nothing.
struct Way {
    engine: Engine,
    now: Instant,
    hops: u8,
    silent: Vec<u8>,
    most_waiting: usize,
    lines: Vec<String>,
}

impl Way {
    fn new(config: Config, hops: u8, silent: &[u8]) -> Self {
        let engine = Engine::new(config);
        let silent = silent.to_vec();
        Way { engine, now: START, hops, silent, most_waiting: 0, lines: Vec::new() }
    }

    fn run(&mut self) {
        let mut answers: Vec<(Instant, usize, u8)> = Vec::new();
        for _ in 0..10_000 {
            self.most_waiting = self.most_waiting.max(self.engine.waiting().count());
            let action = self.engine.poll(self.now);
            while let Some(next) = self.engine.next_outcome() {
                if let Some(hop) = next.new_hop {
                    self.lines.push(format!("{hop}"));
                }
                let line = self.lines.last_mut().unwrap();
                match next.outcome {
                    Outcome::Answer { from, .. } => *line += &format!(" {from}"),
                    Outcome::Silence => *line += " *",
                    Outcome::Unsent(note) => *line += &format!(" {note}"),
                }
            }
            match action {
                Action::Send { index, ttl } => {
                    self.engine.sent(self.now, index, Ok(()));
                    let by = ttl.min(self.hops);
                    if !self.silent.contains(&by) {
                        answers.push((self.now + u32::from(by) * MS, index, by));
                    }
                }
                Action::Wait(until) => {
                    answers.sort_unstable();
                    match answers.first().copied() {
                        Some((at, index, by)) if at <= until => {
                            answers.remove(0);
                            self.now = self.now.max(at);
                            let last = if by == self.hops { Last::Reached } else { Last::No };
                            self.engine.answered(self.now, index, router(by), String::new(), last);
                        }
                        _ => self.now = self.now.max(until),
                    }
                }
                Action::Finish => return,
            }
        }
        panic!("the trace never ended");
    }
}

#[test]
fn hops_come_in_order_and_end_at_the_destination() {
    let mut way = Way::new(Config { queries: 2, ..config() }, 3, &[]);
    way.run();
    let expected =
        ["1 10.0.1.1 10.0.1.1", "2 10.0.2.1 10.0.2.1", "3 10.0.3.1 10.0.3.1"].map(String::from);
    assert_eq!(way.lines, expected);
    assert!(way.engine.is_reached());
    assert_eq!(way.most_waiting, 16);
}

#[test]
fn a_silent_router_costs_ten_times_a_later_answer_not_the_whole_wait() {
    let mut way = Way::new(config(), 3, &[2]);
    way.run();
    assert_eq!(way.lines[1], "2 * * *");
    assert_eq!(way.now - START, 10 * (3 * MS + PRECISION));
    let patient = Wait { near: 0.0, ..config().wait };
    let mut way = Way::new(Config { wait: patient, ..config() }, 3, &[2]);
    way.run();
    assert_eq!(way.now - START, Duration::from_secs(5));
}

#[test]
fn silence_ends_at_the_last_hop() {
    let mut way = Way::new(Config { max_hops: 4, queries: 1, ..config() }, 9, &[1, 2, 3, 4]);
    way.run();
    assert_eq!(way.lines, ["1 *", "2 *", "3 *", "4 *"]);
    assert!(!way.engine.is_reached());
}

#[test]
fn first_and_parallel_are_kept() {
    let mut way = Way::new(Config { first: 3, parallel: 1, queries: 1, ..config() }, 4, &[]);
    way.run();
    assert_eq!(way.lines, ["3 10.0.3.1", "4 10.0.4.1"]);
    assert_eq!(way.most_waiting, 1);
    let mut last = Way::new(Config { first: 255, max_hops: 255, ..config() }, 255, &[]);
    last.run();
    assert_eq!(last.lines.len(), 1);
}

#[test]
fn unreachable_ends_the_way_without_reaching_it() {
    let mut engine = Engine::new(Config { queries: 1, ..config() });
    while let Action::Send { index, .. } = engine.poll(START) {
        engine.sent(START, index, Ok(()));
    }
    engine.answered(START + MS, 0, router(1), "!H".into(), Last::Unreachable);
    assert!(engine.next_outcome().is_some());
    assert_eq!(engine.poll(START + MS), Action::Finish);
    assert!(!engine.is_reached());
}

#[test]
fn late_and_doubled_answers_are_left_out() {
    let mut engine = Engine::new(Config { queries: 1, max_hops: 1, ..config() });
    engine.poll(START);
    engine.sent(START, 0, Ok(()));
    engine.answered(START + MS, 7, router(1), String::new(), Last::No);
    engine.answered(START + MS, 0, router(1), String::new(), Last::No);
    engine.answered(START + 2 * MS, 0, router(9), String::new(), Last::Reached);
    let Some(Next { outcome: Outcome::Answer { from, rtt, .. }, .. }) = engine.next_outcome()
    else {
        panic!("there was an answer");
    };
    assert_eq!((from, rtt), (router(1), MS));
    assert!(!engine.is_reached());
}

#[test]
fn notes_are_those_of_traceroute() {
    let notes: Vec<String> = (0..=16).map(|code| unreachable_note(code, 1400)).collect();
    let expected = [
        "!N", "!H", "!P", "", "!F-1400", "!S", "!N", "!H", "!I", "!X", "!X", "!N", "!H", "!X",
        "!V", "!C", "!16",
    ];
    assert_eq!(notes, expected);
}
