use super::*;

const START: Instant = Instant::from_secs(100);
const SECOND: Duration = Duration::from_secs(1);
const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const THEM: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const TARGET: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn config() -> Config {
    Config {
        target: TARGET,
        source: SOURCE,
        mac: US,
        count: None,
        interval: SECOND,
        deadline: None,
        broadcast_only: false,
        first_only: false,
        mode: Mode::Ask,
    }
}

fn reply() -> Arp {
    Arp {
        operation: ArpOperation::Reply,
        sender_mac: THEM,
        sender_ip: TARGET,
        target_mac: US,
        target_ip: SOURCE,
    }
}

/// Runs to the end; each request is answered or not. Gives the addresses requests went to and the
/// time it took.
fn run(engine: &mut Engine, answer: Option<Arp>) -> (Vec<MacAddr>, Duration) {
    let mut now = START;
    let mut sent_to = Vec::new();
    for _ in 0..1000 {
        match engine.poll(now) {
            Action::Send(to, _) => {
                engine.sent(now);
                sent_to.push(to);
                if let Some(answer) = answer {
                    engine.received(now + Duration::from_micros(500), US, &answer);
                }
            }
            Action::Wait(until) => now = until,
            Action::Finish => return (sent_to, now - START),
        }
    }
    panic!("the run never ended");
}

#[test]
fn the_first_request_is_for_everybody_then_for_the_one_who_answered() {
    let mut engine = Engine::new(Config { count: Some(3), ..config() }, START);
    let (sent_to, took) = run(&mut engine, Some(reply()));
    assert_eq!(sent_to, [MacAddr::BROADCAST, THEM, THEM]);
    assert_eq!(took, 2 * SECOND);
    let Counters { sent, sent_broadcast, received, .. } = engine.counters();
    assert_eq!((sent, sent_broadcast, received, engine.exit_status()), (3, 1, 3, 0));

    let mut engine =
        Engine::new(Config { count: Some(2), broadcast_only: true, ..config() }, START);
    assert_eq!(run(&mut engine, Some(reply())).0, [MacAddr::BROADCAST; 2]);
}

#[test]
fn silence_ends_an_interval_after_the_last_request() {
    let mut engine = Engine::new(Config { count: Some(2), ..config() }, START);
    assert_eq!(run(&mut engine, None).1, 2 * SECOND);
    assert_eq!(engine.exit_status(), 1);
}

#[test]
fn first_answer_and_deadline_end_it() {
    let mut engine = Engine::new(Config { first_only: true, ..config() }, START);
    assert_eq!(run(&mut engine, Some(reply())).0.len(), 1);
    assert_eq!(engine.exit_status(), 0);

    let deadline = Some(Duration::from_millis(2500));
    let mut engine = Engine::new(Config { deadline, count: Some(5), ..config() }, START);
    let (sent_to, took) = run(&mut engine, Some(reply()));
    assert_eq!((sent_to.len(), took), (3, Duration::from_millis(2500)));
    let two = Config { deadline: Some(2 * SECOND), ..config() };
    let (sent_to, took) = run(&mut Engine::new(two, START), Some(reply()));
    assert_eq!((sent_to.len(), took), (3, 2 * SECOND), "one at the deadline itself");
    let at_once = Config { deadline: Some(SECOND), interval: Duration::ZERO, ..config() };
    let mut engine = Engine::new(at_once, START);
    engine.sent(START + SECOND);
    assert_eq!(engine.poll(START + SECOND), Action::Finish);
    assert_eq!(engine.exit_status(), 1, "three of five answers are not enough");
    let mut engine = Engine::new(Config { deadline, count: Some(2), ..config() }, START);
    assert_eq!(run(&mut engine, Some(reply())).0.len(), 2);
    assert_eq!(engine.exit_status(), 0);
}

#[test]
fn requests_and_announcements_look_as_they_should() {
    let message = |config| match Engine::new(config, START).poll(START) {
        Action::Send(to, arp) => (to, arp),
        other => panic!("unexpected {other:?}"),
    };
    let (to, ask) = message(config());
    assert_eq!((to, ask.target_mac, ask.target_ip), (MacAddr::BROADCAST, MacAddr::ZERO, TARGET));
    let probe = Config { mode: Mode::Detect, source: Ipv4Addr::UNSPECIFIED, ..config() };
    assert!(message(probe).1.is_probe());
    let own = Config { source: TARGET, ..config() };
    let (_, request) = message(Config { mode: Mode::AnnounceByRequest, ..own.clone() });
    assert!(request.is_announcement() && request.operation == ArpOperation::Request);
    let (to, answer) = message(Config { mode: Mode::AnnounceByReply, ..own });
    assert_eq!(
        (to, answer.operation, answer.target_mac),
        (MacAddr::BROADCAST, ArpOperation::Reply, US)
    );
}

#[test]
fn announcing_ends_with_the_last_message_and_succeeds() {
    let own = Config { source: TARGET, mode: Mode::AnnounceByRequest, count: Some(2), ..config() };
    let mut engine = Engine::new(own, START);
    assert_eq!(run(&mut engine, None).1, SECOND);
    assert_eq!(engine.exit_status(), 0);
}

#[test]
fn detection_finds_anybody_but_us() {
    let detect =
        Config { mode: Mode::Detect, source: Ipv4Addr::UNSPECIFIED, count: Some(2), ..config() };
    let mut free = Engine::new(detect.clone(), START);
    run(&mut free, Some(Arp { sender_mac: US, ..reply() }));
    assert_eq!((free.counters().received, free.exit_status()), (0, 0));
    let mut taken = Engine::new(detect, START);
    let other_probe = Arp {
        operation: ArpOperation::Request,
        target_ip: TARGET,
        target_mac: MacAddr::ZERO,
        ..reply()
    };
    assert_eq!(run(&mut taken, Some(other_probe)).0.len(), 1);
    assert_eq!((taken.counters().received_requests, taken.exit_status()), (1, 1));
}

#[test]
fn only_answers_count() {
    let mut engine = Engine::new(config(), START);
    assert_eq!(engine.received(START, US, &reply()), None, "nothing was asked yet");
    engine.poll(START);
    engine.sent(START);
    for other in [
        Arp { sender_ip: SOURCE, ..reply() },
        Arp { target_ip: TARGET, ..reply() },
        Arp { target_mac: THEM, ..reply() },
        Arp { operation: ArpOperation::Other(8), ..reply() },
    ] {
        assert_eq!(engine.received(START, US, &other), None);
    }
    let at = START + Duration::from_micros(123);
    let answer = engine.received(at, MacAddr::BROADCAST, &reply()).unwrap();
    assert!(!answer.unicast && answer.reply);
    assert_eq!((answer.rtt, answer.for_ip, answer.for_mac), (at - START, None, None));
    assert_eq!(engine.counters().received_broadcast, 1);
}
