//! What the fuzz target `frame` does, and how its inputs are written down.

pub mod check;
pub mod frames;
pub mod hooks;
pub mod script;
pub mod world;
