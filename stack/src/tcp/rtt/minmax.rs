//! The best value of a sliding window, kept in three samples (Kathleen Nichols' estimator).
//!
//! The three are the best of the whole window, the best of what came after it, and the best of
//! what came after that. When the first grows too old the second takes its place, so the estimate
//! forgets within one window and never needs more memory.

/// Which of two values a [`MinMax`] keeps.
pub trait Better {
    /// Whether `new` is at least as good as `old`.
    fn at_least(new: u32, old: u32) -> bool;
}

/// Smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Min {}

/// Larger is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Max {}

impl Better for Min {
    fn at_least(new: u32, old: u32) -> bool {
        new <= old
    }
}

impl Better for Max {
    fn at_least(new: u32, old: u32) -> bool {
        new >= old
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    at: u32,
    value: u32,
}

/// A windowed minimum or maximum. Time is in whatever unit the caller counts; it may wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinMax<B> {
    samples: [Sample; 3],
    better: core::marker::PhantomData<B>,
}

impl<B: Better> MinMax<B> {
    /// A filter that has seen `value` at `at` and nothing else.
    pub fn new(at: u32, value: u32) -> Self {
        MinMax { samples: [Sample { at, value }; 3], better: core::marker::PhantomData }
    }

    /// The best value of the window.
    pub fn get(&self) -> u32 {
        self.samples[0].value
    }

    /// Forgets everything but `value`, seen at `at`.
    pub fn reset(&mut self, at: u32, value: u32) -> u32 {
        self.samples = [Sample { at, value }; 3];
        value
    }

    /// Takes in `value`, seen at `at`, and returns the best of the last `window`.
    pub fn update(&mut self, window: u32, at: u32, value: u32) -> u32 {
        let new = Sample { at, value };
        let [first, second, third] = &mut self.samples;
        if B::at_least(value, first.value) || at.wrapping_sub(third.at) > window {
            return self.reset(at, value);
        }
        if B::at_least(value, second.value) {
            (*second, *third) = (new, new);
        } else if B::at_least(value, third.value) {
            *third = new;
        }
        let age = at.wrapping_sub(first.at);
        if age > window {
            // The best is out of the window: the runners-up move up, twice if the second is out
            // of it as well. The third is not, else all had been reset above.
            (*first, *second, *third) = (*second, *third, new);
            if at.wrapping_sub(first.at) > window {
                (*first, *second) = (*second, *third);
            }
        } else if second.at == first.at && age > window / 4 {
            // A quarter has gone by without a runner-up: take one from the second quarter.
            (*second, *third) = (new, new);
        } else if third.at == second.at && age > window / 2 {
            *third = new;
        }
        self.get()
    }
}
