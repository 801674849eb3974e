//! Tasks that run on a driver's thread, between two batches of frames.

use std::any::Any;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use async_task::{FallibleTask, Runnable};
use parking_lot::Mutex;

use super::{Shared, block_on, next_key};

/// Tasks that run before frames are looked at again.
const RUN_BUDGET: usize = 64;
/// What a task on a driver may do with sockets before it has to let others.
const TASK_BUDGET: u32 = 128;

thread_local! {
    /// What the running task may still do; none outside of tasks on drivers.
    static BUDGET: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The tasks of a shard.
#[derive(Default)]
pub(crate) struct Executor {
    queue: Mutex<Queue>,
    /// A waker for every task there is, to end them.
    active: Mutex<HashMap<u64, Waker>>,
}

/// Tasks that have been woken. Each is in it once, so it is no longer than there are tasks.
#[derive(Default)]
struct Queue {
    tasks: VecDeque<Runnable>,
    /// The future of [`Driver::block_on`](super::Driver::block_on) has been woken.
    main: bool,
    closed: bool,
}

impl Executor {
    /// Whether somebody is to run.
    pub(crate) fn has_work(&self) -> bool {
        let queue = self.queue.lock();
        queue.main || !queue.tasks.is_empty()
    }

    /// Whether the main future has been woken since the last time.
    pub(crate) fn take_main(&self) -> bool {
        std::mem::take(&mut self.queue.lock().main)
    }

    /// Runs tasks that have been woken, each once, and no more than have their turn. Tells whether
    /// there were any.
    pub(crate) fn run(&self, batch: &mut VecDeque<Runnable>) -> bool {
        let mut queue = self.queue.lock();
        let count = queue.tasks.len().min(RUN_BUDGET);
        batch.extend(queue.tasks.drain(..count));
        drop(queue);
        while let Some(task) = batch.pop_front() {
            with_budget(|| task.run());
        }
        count > 0
    }

    /// Ends all tasks, and those that are spawned from now on.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        let tasks = std::mem::take(&mut queue.tasks);
        drop(queue);
        drop(tasks);
        // Woken, those that wait are scheduled, and dropped by that. They may drop others.
        loop {
            let active = std::mem::take(&mut *self.active.lock());
            if active.is_empty() {
                break;
            }
            active.into_values().for_each(Waker::wake);
        }
    }

    fn push(&self, task: Runnable) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            // The task ends with it, outside the lock.
            drop(task);
        } else {
            queue.tasks.push_back(task);
        }
    }
}

/// Runs part of a task with what it may do until the next.
pub(super) fn with_budget<R>(run: impl FnOnce() -> R) -> R {
    BUDGET.set(Some(TASK_BUDGET));
    let result = run();
    BUDGET.set(None);
    result
}

/// Whether the running task may do more; if not, it comes back after others have had their turn.
pub(crate) fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    if BUDGET.get() == Some(0) {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(())
}

/// The running task did something.
pub(crate) fn spend_budget() {
    BUDGET.set(BUDGET.get().map(|left| left.saturating_sub(1)));
}

/// Starts a task on a shard.
pub(super) fn spawn<F>(shared: &Arc<Shared>, index: usize, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let key = next_key();
    let contained = Contained {
        future: Some(Box::pin(future)),
        place: Some(Place { shared: Arc::clone(shared), index, key }),
    };
    let scheduler = Arc::clone(shared);
    let schedule = move |task: Runnable| {
        let shard = &scheduler.shards[index];
        shard.executor.push(task);
        shard.ring();
    };
    let (task, handle) = async_task::spawn(contained, schedule);
    let executor = &shared.shards[index].executor;
    executor.active.lock().insert(key, task.waker());
    task.schedule();
    JoinHandle(Some(handle.fallible()))
}

/// A waker for the future of [`Driver::block_on`](super::Driver::block_on).
pub(super) fn main_waker(shared: &Arc<Shared>) -> Waker {
    struct Main(Arc<Shared>);
    impl Wake for Main {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            let shard = &self.0.shards[0];
            shard.executor.queue.lock().main = true;
            shard.ring();
        }
    }
    Waker::from(Arc::new(Main(Arc::clone(shared))))
}

/// Takes a task off the list when it has ended.
struct Place {
    shared: Arc<Shared>,
    index: usize,
    key: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let executor = &self.shared.shards[self.index].executor;
        let waker = executor.active.lock().remove(&self.key);
        drop(waker);
    }
}

/// A future whose panics stay within it, those while it is dropped included.
struct Contained<F> {
    future: Option<Pin<Box<F>>>,
    place: Option<Place>,
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.future.as_mut() else {
            return Poll::Ready(Err(JoinError(None)));
        };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(JoinError(Some(Mutex::new(panic))))),
        }
    }
}

impl<F> Drop for Contained<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        // Whoever waits for the task learns of its result, not of this.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        self.place = None;
    }
}

/// A task's end, to be awaited. Dropped, the task goes on.
pub struct JoinHandle<T>(Option<FallibleTask<Result<T, JoinError>>>);

impl<T> JoinHandle<T> {
    /// Ends the task where it is, as soon as it does not run.
    pub fn abort(&mut self) {
        self.0 = None;
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(FallibleTask::is_finished)
    }

    /// Blocks the calling thread, which must not be a driver's, until the task has ended.
    ///
    /// # Errors
    /// It panicked, or was ended.
    pub fn join(self) -> Result<T, JoinError> {
        block_on(self)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.0 else { return Poll::Ready(Err(JoinError(None))) };
        Pin::new(task).poll(cx).map(|result| result.unwrap_or(Err(JoinError(None))))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

/// Why a task has no result.
#[derive(thiserror::Error)]
#[error("{}", if .0.is_some() { "the task panicked" } else { "the task was ended" })]
pub struct JoinError(Option<Mutex<Box<dyn Any + Send>>>);

impl JoinError {
    /// Whether it panicked, instead of being ended.
    pub fn is_panic(&self) -> bool {
        self.0.is_some()
    }

    /// What it panicked with.
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        self.0.map(Mutex::into_inner)
    }
}

// What a task panicked with need not be Debug.
impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinError").field("panic", &self.is_panic()).finish()
    }
}
