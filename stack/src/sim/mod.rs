//! Networks that exist only in memory: stacks on emulated wires under one virtual clock.
//!
//! A [`Link`] is a wire between two ends that delays, loses, reorders, duplicates, damages and
//! queues what it carries, each direction under its own [`Conditions`]. A [`Lab`] joins stacks by
//! such wires and moves its clock from one event to the next, so that an idle hour takes no longer
//! than its timers. All chance comes from the one seed that a lab is made with: the same seed and
//! the same calls give the same frames at the same moments.
//!
//! ```
//! use tapping_stack::Config;
//! use tapping_stack::sim::{Conditions, Lab, Link, Probability};
//! use tapping_stack::time::Duration;
//!
//! let mut lab = Lab::new(1);
//! let (a, b) = (lab.add_host("a", Config::default()), lab.add_host("b", Config::default()));
//! let conditions = Conditions {
//!     delay: Duration::from_millis(10),
//!     loss: Probability::new(0.01),
//!     ..Conditions::default()
//! };
//! let ends = ((a, "10.0.0.1/24".parse().unwrap()), (b, "10.0.0.2/24".parse().unwrap()));
//! lab.connect(ends.0, ends.1, Link::new(conditions)).unwrap();
//!
//! let (start, socket) = (lab.now(), lab.stack(a).open_ping(None).unwrap());
//! let echo = [8, 0, 0, 0, 0, 0, 0, 1, b'h', b'i'];
//! lab.stack(a).send_to(start, socket, "10.0.0.2:0".parse().unwrap(), &echo).unwrap();
//! lab.run_for(Duration::from_secs(1));
//! let reply = lab.stack(a).recv(socket).unwrap();
//! assert_eq!(&reply.bytes()[8..], b"hi");
//! // Resolving the address took one round trip, the echo another.
//! assert_eq!(reply.meta.timestamp - start, Duration::from_millis(40));
//! ```

mod conditions;
mod lab;
mod link;
mod queue;

pub use conditions::{Conditions, GilbertElliott, Jitter, Probability, Queue, Reorder};
pub use lab::{HostId, Lab, Passage, Sighting, Tap, WireId};
pub use link::{DropCause, End, Fate, Link, LinkCounters, Script, Verdict};

#[cfg(test)]
mod tests;
