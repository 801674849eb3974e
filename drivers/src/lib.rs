//! Everything that touches file descriptors, clocks, threads and files.
#![deny(missing_docs)]
