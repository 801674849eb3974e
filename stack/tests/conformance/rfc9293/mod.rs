//! RFC 9293, Transmission Control Protocol. The labels are those of its Appendix B.

pub mod acceptable;
pub mod acks;
pub mod header;
pub mod options;
pub mod reset;
pub mod sequence;
