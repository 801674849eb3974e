use super::*;

const MS: Duration = Duration::from_millis(1);
const START: Instant = Instant::from_secs(100);

fn pacing() -> Pacing {
    Pacing {
        count: None,
        interval: Duration::from_secs(1),
        adaptive: false,
        preload: 1,
        linger: Some(Duration::from_secs(10)),
        deadline: None,
        outstanding: false,
        timeouts: false,
    }
}

/// A virtual network: every probe is answered `rtt` after it was sent, and the caller wakes up to
/// `jitter` late.
struct World {
    engine: Engine,
    now: Instant,
    rtt: Option<Duration>,
    jitter: Duration,
    answers: Vec<(Instant, u16)>,
    sent: Vec<(Instant, u16)>,
    told: Vec<(Duration, Action)>,
}

impl World {
    fn new(pacing: Pacing, rtt: Option<Duration>) -> Self {
        World {
            engine: Engine::new(pacing, START),
            now: START,
            rtt,
            jitter: Duration::ZERO,
            answers: Vec::new(),
            sent: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Runs until the engine finishes or `limit` probes went out.
    fn run(&mut self, limit: usize) {
        for _ in 0..1_000_000 {
            match self.engine.poll(self.now) {
                Action::Send(sequence) => {
                    if self.sent.len() == limit {
                        return;
                    }
                    self.engine.sent(self.now, Sent::Ok);
                    self.sent.push((self.now, sequence));
                    if let Some(rtt) = self.rtt {
                        self.answers.push((self.now + rtt, sequence));
                    }
                }
                Action::Wait(until) => {
                    let answer = self.answers.first().copied();
                    match (answer, until) {
                        (Some((at, sequence)), until) if until.is_none_or(|until| at <= until) => {
                            self.answers.remove(0);
                            self.now = self.now.max(at);
                            self.engine.received(at, sequence);
                        }
                        (_, Some(until)) => self.now = self.now.max(until) + self.jitter,
                        (_, None) => return,
                    }
                }
                Action::Finish => return,
                told => self.told.push((self.now - START, told)),
            }
        }
        panic!("the engine never came to an end");
    }

    fn sent_after(&self) -> Vec<Duration> {
        self.sent.iter().map(|&(at, _)| at - START).collect()
    }
}

#[test]
fn pace_is_absolute_however_late_each_wakeup_is() {
    let pacing = Pacing { count: Some(1000), interval: 10 * MS, ..pacing() };
    let mut world = World::new(pacing, Some(Duration::from_micros(80)));
    world.jitter = 3 * MS;
    world.run(usize::MAX);
    let last = *world.sent_after().last().unwrap();
    assert_eq!(world.sent.len(), 1000);
    assert!(last >= 9_990 * MS && last < 10_000 * MS, "the last probe went out after {last:?}");
    let end = world.now - START;
    assert!(end <= 10_010 * MS, "the run ended after {end:?}");
    assert_eq!(world.engine.counters().received, 1000);
}

#[test]
fn a_short_stall_is_caught_up_and_a_long_one_is_not() {
    let mut engine = Engine::new(Pacing { interval: 100 * MS, ..pacing() }, START);
    let burst_after = |engine: &mut Engine, now: Instant| {
        let mut sent = 0;
        while let Action::Send(_) = engine.poll(now) {
            engine.sent(now, Sent::Ok);
            sent += 1;
        }
        sent
    };
    assert_eq!(burst_after(&mut engine, START), 1);
    assert_eq!(burst_after(&mut engine, START + 500 * MS), 5);
    // Half a minute asleep: one probe, then the usual pace again.
    let woken = START + 30_000 * MS;
    assert_eq!(burst_after(&mut engine, woken), 1);
    assert_eq!(engine.poll(woken), Action::Wait(Some(woken + 100 * MS)));
}

#[test]
fn preload_goes_out_at_once() {
    let mut world = World::new(Pacing { preload: 3, ..pacing() }, None);
    world.run(5);
    let seconds: Vec<u64> = world.sent_after().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 0, 0, 1, 2]);
}

#[test]
fn preload_counts_as_pipe() {
    let pacing = Pacing { preload: 3, count: Some(3), ..pacing() };
    let mut world = World::new(pacing, Some(MS));
    world.run(usize::MAX);
    assert_eq!(world.engine.pipe(), 3);
}

#[test]
fn linger_without_answers_is_as_given_and_else_two_round_trips() {
    let silent = Pacing { count: Some(2), ..pacing() };
    let mut world = World::new(silent, None);
    world.run(usize::MAX);
    assert_eq!(world.now - START, Duration::from_secs(11));

    // One answer took 700 ms; the second never comes: 1.4 s after the last probe is enough.
    let mut engine = Engine::new(Pacing { count: Some(2), ..pacing() }, START);
    assert_eq!(engine.poll(START), Action::Send(1));
    engine.sent(START, Sent::Ok);
    engine.received(START + 700 * MS, 1);
    let second = START + 1000 * MS;
    assert_eq!(engine.poll(second), Action::Send(2));
    engine.sent(second, Sent::Ok);
    assert_eq!(engine.poll(second), Action::Wait(Some(second + 1400 * MS)));
    assert_eq!(engine.poll(second + 1400 * MS), Action::Finish);
}

#[test]
fn zero_linger_waits_for_ever() {
    let mut engine = Engine::new(Pacing { count: Some(1), linger: None, ..pacing() }, START);
    assert_eq!(engine.poll(START), Action::Send(1));
    engine.sent(START, Sent::Ok);
    assert_eq!(engine.poll(START + Duration::from_secs(1_000_000)), Action::Wait(None));
}

#[test]
fn flood_follows_answers_or_ten_milliseconds_of_silence() {
    let flood = Pacing { interval: Duration::ZERO, ..pacing() };
    let mut silent = World::new(flood.clone(), None);
    silent.run(4);
    let gaps: Vec<u128> = silent.sent_after().iter().map(Duration::as_millis).collect();
    assert_eq!(gaps, [0, 10, 20, 30]);
    let mut answered = World::new(flood.clone(), Some(MS));
    answered.run(4);
    let gaps: Vec<u128> = answered.sent_after().iter().map(Duration::as_millis).collect();
    assert_eq!(gaps, [0, 1, 2, 3]);
    let mut piped = World::new(Pacing { preload: 2, ..flood }, Some(2 * MS));
    piped.run(4);
    let gaps: Vec<u128> = piped.sent_after().iter().map(Duration::as_millis).collect();
    assert_eq!(gaps, [0, 0, 2, 2]);
}

#[test]
fn adaptive_settles_near_the_round_trip() {
    let pacing = Pacing { adaptive: true, interval: Duration::from_secs(1), ..pacing() };
    let mut slow = World::new(pacing.clone(), Some(20 * MS));
    slow.run(50);
    let sent = slow.sent_after();
    let gap = sent[49] - sent[48];
    assert!(gap >= 19 * MS && gap <= 21 * MS, "the gap settled at {gap:?}");
    // Below half a millisecond the answers set the pace.
    let mut fast = World::new(pacing, Some(Duration::from_micros(50)));
    fast.run(50);
    let sent = fast.sent_after();
    assert_eq!(sent[49] - sent[48], Duration::from_micros(50));
}

#[test]
fn adaptive_slows_down_when_queues_are_full() {
    let pacing = Pacing { adaptive: true, ..pacing() };
    let mut engine = Engine::new(pacing, START);
    assert_eq!(engine.poll(START), Action::Send(1));
    engine.sent(START, Sent::Ok);
    engine.received(START + 10 * MS, 1);
    let now = START + 10 * MS;
    assert_eq!(engine.poll(now), Action::Send(2));
    engine.sent(now, Sent::Busy);
    assert_eq!(engine.poll(now), Action::Wait(Some(now + RETRY)));
    assert_eq!(engine.poll(now + RETRY), Action::Send(2));
    engine.sent(now + RETRY, Sent::Ok);
    assert_eq!(engine.counters().transmitted, 2);
    assert_eq!(engine.poll(now + RETRY), Action::Wait(Some(now + RETRY + 20 * MS)));
}

#[test]
fn deadline_keeps_sending_past_count_and_ends_on_time() {
    let pacing = Pacing { count: Some(2), deadline: Some(Duration::from_secs(5)), ..pacing() };
    let mut world = World::new(pacing.clone(), None);
    world.run(usize::MAX);
    assert_eq!(world.sent.len(), 5);
    assert_eq!(world.now - START, Duration::from_secs(5));
    assert!(!world.engine.is_success());

    let mut world = World::new(pacing, Some(MS));
    world.run(usize::MAX);
    assert_eq!(world.sent.len(), 2);
    assert!(world.engine.is_success());
}

#[test]
fn deadline_ends_at_the_first_error() {
    let pacing = Pacing { deadline: Some(Duration::from_secs(5)), ..pacing() };
    let mut engine = Engine::new(pacing, START);
    assert_eq!(engine.poll(START), Action::Send(1));
    engine.sent(START, Sent::Ok);
    engine.refused(1);
    assert_eq!(engine.poll(START + MS), Action::Finish);
    assert_eq!(engine.counters().errors, 1);
}

#[test]
fn some_of_count_is_success_only_without_deadline() {
    let mut engine = Engine::new(Pacing { count: Some(2), ..pacing() }, START);
    engine.poll(START);
    engine.sent(START, Sent::Ok);
    assert!(!engine.is_success());
    engine.received(START + MS, 1);
    assert!(engine.is_success());
}

#[test]
fn duplicates_are_told_by_sequence_even_after_it_wraps() {
    let mut world =
        World::new(Pacing { interval: MS, ..pacing() }, Some(Duration::from_micros(10)));
    world.run(65_537);
    let sequences: Vec<u16> = world.sent[65_533..].iter().map(|&(_, s)| s).collect();
    assert_eq!(sequences, [65_534, 65_535, 0, 1]);
    assert_eq!(world.engine.counters().received, 65_537);
    assert_eq!(world.engine.counters().duplicates, 0);
    let again = world.engine.received(world.now, 0);
    assert!(again.duplicate);
    assert_eq!(world.engine.counters().duplicates, 1);
    assert_eq!(world.engine.counters().received, 65_537);
    assert_eq!(world.engine.round_trips().count(), 65_538);
}

#[test]
fn an_answer_to_nothing_has_no_time() {
    let mut engine = Engine::new(pacing(), START);
    assert_eq!(engine.received(START, 77).rtt, None);
}

#[test]
fn outstanding_is_told_once_before_the_next_probe() {
    let pacing = Pacing { outstanding: true, ..pacing() };
    let mut world = World::new(pacing, None);
    world.run(3);
    let second = Duration::from_secs(1);
    let told = [
        (second, Action::Outstanding(1)),
        (2 * second, Action::Outstanding(2)),
        (3 * second, Action::Outstanding(3)),
    ];
    assert_eq!(world.told, told);
}

#[test]
fn timeouts_name_each_unanswered_probe_once() {
    let pacing = Pacing { timeouts: true, count: Some(3), linger: Some(1500 * MS), ..pacing() };
    let mut engine = Engine::new(pacing, START);
    let mut now = START;
    let mut told = Vec::new();
    loop {
        match engine.poll(now) {
            Action::Send(sequence) => {
                engine.sent(now, Sent::Ok);
                if sequence == 2 {
                    engine.received(now + MS, 2);
                }
            }
            Action::Timeout(sequence) => told.push((now - START, sequence)),
            Action::Wait(until) => now = until.expect("there is always a next event"),
            Action::Finish => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    // The first after its own 1.5 s; the third when the run ends, one interval after it was sent.
    assert_eq!(told, [(1500 * MS, 1), (3000 * MS, 3)]);
}

#[test]
fn probes_that_fail_here_end_the_run_without_waiting() {
    let mut engine = Engine::new(Pacing { count: Some(2), ..pacing() }, START);
    engine.poll(START);
    engine.sent(START, Sent::Failed);
    let next = START + 1000 * MS;
    assert_eq!(engine.poll(next), Action::Send(2));
    engine.sent(next, Sent::Refused);
    assert_eq!(engine.poll(next), Action::Finish);
    let counters = engine.counters();
    assert_eq!((counters.transmitted, counters.errors, counters.failed), (2, 1, 1));
}

#[test]
fn interrupt_ends_it() {
    let mut engine = Engine::new(pacing(), START);
    engine.poll(START);
    engine.sent(START, Sent::Ok);
    engine.stop();
    assert_eq!(engine.poll(START), Action::Finish);
}
