//! What tests in simulated networks share.

mod recorder;

pub use recorder::Recorder;
