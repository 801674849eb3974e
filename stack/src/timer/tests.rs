use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::time::Duration;

const MS: u64 = NANOS_PER_TICK;

fn drain(wheel: &mut TimerWheel<u32>, now: Instant) -> Vec<u32> {
    core::iter::from_fn(|| wheel.expire(now)).collect()
}

#[test]
fn a_whole_millisecond_fires_exactly_then_and_others_are_rounded_up() {
    let mut wheel = TimerWheel::new();
    wheel.insert(Instant::from_millis(10), 1);
    wheel.insert(Instant::from_nanos(9 * MS + 1), 2);
    wheel.insert(Instant::from_nanos(10 * MS + 1), 3);
    assert_eq!(wheel.next_deadline(), Some(Instant::from_millis(10)));
    assert_eq!(drain(&mut wheel, Instant::from_nanos(10 * MS - 1)), []);
    assert_eq!(drain(&mut wheel, Instant::from_millis(10)), [1, 2]);
    assert_eq!(drain(&mut wheel, Instant::from_nanos(11 * MS - 1)), []);
    assert_eq!(drain(&mut wheel, Instant::from_millis(11)), [3]);
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
}

#[test]
fn what_fires_next_is_told_before_it_does() {
    let mut wheel = TimerWheel::new();
    assert_eq!(wheel.upcoming().count(), 0);
    for key in 0..40 {
        wheel.insert(Instant::from_millis(u64::from(key / 10)), key);
    }
    // In what is not near yet there is no order.
    wheel.insert(Instant::from_secs(9), 40);
    for now in 0..4 {
        let told: Vec<_> = wheel.upcoming().collect();
        assert_eq!(drain(&mut wheel, Instant::from_millis(now)), told);
        assert_eq!(told.len(), 10);
    }
    assert_eq!(wheel.upcoming().count(), 0);
}

#[test]
fn a_past_deadline_fires_at_the_next_call_even_at_the_same_moment() {
    let mut wheel = TimerWheel::new();
    let now = Instant::from_secs(5);
    assert_eq!(wheel.expire(now), None);
    wheel.insert(Instant::from_secs(1), 1);
    wheel.insert(now, 2);
    assert_eq!(wheel.next_deadline(), Some(now));
    assert_eq!(drain(&mut wheel, now), [1, 2]);
    wheel.insert(Instant::ZERO, 3);
    assert_eq!(drain(&mut wheel, now), [3]);
}

#[test]
fn a_clock_that_steps_back_fires_nothing_early() {
    let mut wheel = TimerWheel::new();
    assert_eq!(wheel.expire(Instant::from_secs(5)), None);
    wheel.insert(Instant::from_secs(6), 1);
    assert_eq!(wheel.expire(Instant::from_secs(1)), None);
    assert_eq!(wheel.expire(Instant::from_millis(5_999)), None);
    assert_eq!(wheel.expire(Instant::from_secs(6)), Some(1));
}

#[test]
fn an_id_names_one_timer_only_once() {
    let mut wheel = TimerWheel::new();
    let first = wheel.insert(Instant::from_secs(1), 1);
    assert_eq!(wheel.cancel(first), Some(1));
    assert_eq!(wheel.cancel(first), None);
    let second = wheel.insert(Instant::from_secs(1), 2);
    assert_eq!(wheel.cancel(first), None, "the entry is reused, the id is not");
    assert_eq!(wheel.expire(Instant::from_secs(1)), Some(2));
    assert_eq!(wheel.cancel(second), None);
    assert_eq!(wheel.entries.len(), 1);
}

#[test]
fn timers_of_one_tick_fire_in_the_order_of_insertion_whatever_level_they_came_from() {
    let mut wheel = TimerWheel::new();
    let at = Instant::from_millis(64 * 64 * 3 + 64 * 5 + 7);
    for (key, now) in [0, 64, 64 * 64, 64 * 64 * 3, 64 * 64 * 3 + 64 * 5].into_iter().enumerate() {
        assert_eq!(wheel.expire(Instant::from_millis(now)), None);
        wheel.insert(at, key as u32);
    }
    assert_eq!(drain(&mut wheel, at), [0, 1, 2, 3, 4]);
}

#[test]
fn the_far_future_is_held_and_never_comes() {
    let mut wheel = TimerWheel::new();
    let id = wheel.insert(Instant::FAR_FUTURE, 1);
    wheel.insert(Instant::FAR_FUTURE - Duration::from_secs(1), 2);
    assert_eq!(drain(&mut wheel, Instant::FAR_FUTURE), [2]);
    assert_eq!(wheel.next_deadline(), Some(Instant::FAR_FUTURE));
    assert_eq!(wheel.cancel(id), Some(1));
}

#[derive(Debug, Clone)]
enum Step {
    Insert { delay: u64 },
    Past { by: u64 },
    Cancel { pick: prop::sample::Index },
    Advance { by: u64 },
    ToDeadline,
}

fn step() -> impl Strategy<Value = Step> {
    // Spans of every size, so that every level and the borders between them are met.
    let span = (0..40u32, any::<u64>()).prop_map(|(bits, value)| value % (1u64 << bits) * 1_000);
    prop_oneof![
        4 => span.clone().prop_map(|delay| Step::Insert { delay }),
        1 => span.clone().prop_map(|by| Step::Past { by }),
        2 => any::<prop::sample::Index>().prop_map(|pick| Step::Cancel { pick }),
        2 => span.prop_map(|by| Step::Advance { by }),
        2 => Just(Step::ToDeadline),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The wheel does what a map ordered by (tick, insertion) does.
    #[test]
    fn it_behaves_like_an_ordered_map(steps in prop::collection::vec(step(), 1..200)) {
        let mut wheel = TimerWheel::new();
        let mut model: BTreeMap<(u64, u32), TimerId> = BTreeMap::new();
        let mut stale = Vec::new();
        let mut now = Instant::ZERO;
        let mut next_key = 0;
        for step in steps {
            match step {
                Step::Insert { delay } => {
                    let at = now + Duration::from_nanos(delay);
                    let tick = at.as_nanos().div_ceil(MS);
                    model.insert((tick, next_key), wheel.insert(at, next_key));
                    next_key += 1;
                }
                Step::Past { by } => {
                    let at = now - Duration::from_nanos(by);
                    let tick = at.as_nanos().div_ceil(MS).max(now.as_millis());
                    model.insert((tick, next_key), wheel.insert(at, next_key));
                    next_key += 1;
                }
                Step::Cancel { pick } if !model.is_empty() => {
                    let at = *model.keys().nth(pick.index(model.len())).unwrap();
                    let id = model.remove(&at).unwrap();
                    prop_assert_eq!(wheel.cancel(id), Some(at.1));
                    stale.push(id);
                }
                Step::Cancel { .. } => {}
                Step::Advance { by } => now += Duration::from_nanos(by),
                Step::ToDeadline => {
                    now = now.max(wheel.next_deadline().unwrap_or(now));
                }
            }
            while let Some(entry) = model.first_entry() {
                let (tick, key) = *entry.key();
                if tick > now.as_millis() {
                    break;
                }
                stale.push(entry.remove());
                prop_assert_eq!(wheel.expire(now), Some(key));
            }
            prop_assert_eq!(wheel.expire(now), None);
            prop_assert_eq!(wheel.len(), model.len());
            let earliest = model.keys().next().map(|(tick, _)| Instant::from_millis(*tick));
            prop_assert_eq!(wheel.next_deadline().is_some(), earliest.is_some());
            prop_assert!(wheel.next_deadline() <= earliest);
            if let Some(deadline) = wheel.next_deadline() {
                prop_assert!(deadline >= now || deadline.as_millis() >= now.as_millis());
                // Within the current window of 64 ticks it is exact.
                if earliest.unwrap().as_millis() / 64 == now.as_millis() / 64 {
                    prop_assert_eq!(Some(deadline), earliest);
                }
            }
            if let Some(id) = stale.last() {
                prop_assert_eq!(wheel.cancel(*id), None);
            }
        }
        // Following the deadlines alone fires everything that is left, each at its own tick, in
        // a number of wake-ups bounded by the levels.
        let mut wakeups = 0;
        let bound = model.len() * LEVELS;
        while let Some(deadline) = wheel.next_deadline() {
            wakeups += 1;
            while let Some(key) = wheel.expire(deadline) {
                let ((tick, expected), _) = model.pop_first().unwrap();
                prop_assert_eq!((tick, expected), (deadline.as_millis(), key));
            }
        }
        prop_assert!(model.is_empty());
        prop_assert!(wakeups <= bound, "{} wake-ups", wakeups);
    }
}
