//! Wire formats: bytes only.
