use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::socket::SocketClass;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn id(index: u32) -> SocketId {
    SocketId { class: SocketClass::Datagram, index, generation: 0 }
}

fn table(max: usize) -> WakerTable {
    WakerTable::new(max, &mut Rng::new(1))
}

#[test]
fn everybody_who_waits_is_woken_once() {
    let mut table = table(100);
    let counts: Vec<Arc<Count>> = (0..5).map(|_| Arc::default()).collect();
    for count in &counts {
        let waker = Waker::from(Arc::clone(count));
        table.register(id(1), Interest::Read, &waker).unwrap();
        table.register(id(1), Interest::Read, &waker).unwrap();
    }
    table.wake(id(1), Interest::Write);
    table.wake(id(2), Interest::Read);
    assert!(counts.iter().all(|count| count.get() == 0), "another socket, another direction");
    table.wake(id(1), Interest::Read);
    table.wake(id(1), Interest::Read);
    assert!(counts.iter().all(|count| count.get() == 1));
    assert!(table.waiting.is_empty() && table.len == 0);
}

#[test]
fn closing_wakes_both_directions() {
    let mut table = table(100);
    let count: Arc<Count> = Arc::default();
    let waker = Waker::from(Arc::clone(&count));
    table.register(id(1), Interest::Read, &waker).unwrap();
    table.register(id(1), Interest::Write, &waker).unwrap();
    table.wake_all(id(1));
    assert_eq!(count.get(), 2);
    assert!(table.waiting.is_empty() && table.len == 0);
}

#[test]
fn wakers_are_bounded_and_those_there_may_come_again() {
    let mut table = table(2);
    let wakers: Vec<Waker> = (0..3).map(|_| Waker::from(Arc::<Count>::default())).collect();
    assert_eq!(table.register(id(1), Interest::Read, &wakers[0]), Ok(()));
    assert_eq!(table.register(id(2), Interest::Read, &wakers[1]), Ok(()));
    let refused = table.register(id(1), Interest::Read, &wakers[2]);
    assert_eq!(refused, Err(SocketError::OutOfMemory));
    assert_eq!(table.register(id(1), Interest::Read, &wakers[0]), Ok(()));
    table.wake(id(2), Interest::Read);
    assert_eq!(table.register(id(1), Interest::Read, &wakers[2]), Ok(()));
}

#[test]
fn an_end_or_an_error_ends_waiting_too() {
    for (readiness, read, write) in [
        (Readiness::empty(), false, false),
        (Readiness::READABLE, true, false),
        (Readiness::WRITABLE, false, true),
        (Readiness::READ_CLOSED, true, false),
        (Readiness::WRITE_CLOSED, false, true),
        (Readiness::ERROR, true, true),
    ] {
        assert_eq!(readiness.satisfies(Interest::Read), read, "{readiness:?}");
        assert_eq!(readiness.satisfies(Interest::Write), write, "{readiness:?}");
    }
}
