//! The hand-over of work to a driver that sleeps, under every order of events: the very source of
//! the doorbell, with the model's atomics.

mod sync {
    pub use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

#[allow(dead_code)]
#[path = "../src/net/doorbell.rs"]
mod doorbell;

use std::collections::VecDeque;

use doorbell::Doorbell;
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::{check_dfs, check_random, thread};

/// What a driver and those who leave work for it share: two places with a lock each, and what the
/// driver sleeps on.
#[derive(Default)]
struct Shared {
    bell: Doorbell,
    places: [Mutex<VecDeque<u32>>; 2],
    /// How often it was rung, as an eventfd counts.
    rung: Mutex<u32>,
    ringing: Condvar,
}

impl Shared {
    fn leave(&self, place: usize, work: u32) {
        let mut queue = self.places[place].lock().unwrap();
        queue.push_back(work);
        // As the stack's users do it, and as those of the run queue.
        let asleep = place == 1 || self.bell.is_asleep();
        drop(queue);
        if asleep {
            self.bell.ring(|| {
                *self.rung.lock().unwrap() += 1;
                self.ringing.notify_one();
            });
        }
    }

    /// Takes what there is.
    fn take(&self, done: &mut u32) {
        for place in &self.places {
            let work = std::mem::take(&mut *place.lock().unwrap());
            *done += work.len() as u32;
        }
    }

    /// Works until `wanted` is done; returns how often it lay down.
    fn drive(&self, wanted: u32) -> u64 {
        let (mut done, mut rests) = (0, 0);
        loop {
            self.take(&mut done);
            if done == wanted {
                return rests;
            }
            rests += 1;
            self.bell.lie_down();
            let is_empty = self.places.iter().all(|place| place.lock().unwrap().is_empty());
            if is_empty {
                let mut rung = self.rung.lock().unwrap();
                while *rung == 0 {
                    // A lost wake-up is a deadlock, which the model tells of.
                    rung = self.ringing.wait(rung).unwrap();
                }
                *rung = 0;
            }
            self.bell.get_up();
        }
    }
}

fn hand_over(threads: usize, each: u32) {
    let shared: Arc<Shared> = Arc::default();
    let users: Vec<_> = (0..threads)
        .map(|user| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for work in 0..each {
                    shared.leave((user + work as usize) % 2, work);
                }
            })
        })
        .collect();
    let rests = shared.drive(threads as u32 * each);
    users.into_iter().for_each(|user| user.join().unwrap());
    // Once for each time it lay down, at most.
    assert!(shared.bell.rings() <= rests);
}

#[test]
fn no_work_is_left_lying_in_any_order() {
    check_dfs(|| hand_over(1, 2), Some(20_000));
}

#[test]
fn no_work_is_left_lying_by_many() {
    check_random(|| hand_over(3, 3), 2_000);
}
