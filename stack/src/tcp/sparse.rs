//! Settings that are nearly always the default ones.

use alloc::boxed::Box;
use core::ops::Deref;

/// Settings that take no memory while they are the default ones, so that a hundred thousand
/// connections share one copy, which is always in the processor's cache.
#[derive(Debug, Clone)]
pub(crate) struct Sparse<T: 'static>(Option<Box<T>>);

/// What has a default that lives for ever.
pub(crate) trait SharedDefault: Clone + PartialEq + 'static {
    fn shared_default() -> &'static Self;
}

impl<T: SharedDefault> Sparse<T> {
    pub(crate) fn new(value: T) -> Self {
        Sparse((value != *T::shared_default()).then(|| Box::new(value)))
    }

    /// The settings, to be changed.
    pub(crate) fn to_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::shared_default().clone()))
    }
}

impl<T: SharedDefault> Deref for Sparse<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(own) => own,
            None => T::shared_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::SocketOptions;
    use crate::tcp::TcpOptions;

    #[test]
    fn defaults_take_no_memory_and_changes_are_kept() {
        assert!(Sparse::new(TcpOptions::default()).0.is_none());
        let mut options = Sparse::new(SocketOptions::default());
        assert!(options.0.is_none());
        assert_eq!(*options, SocketOptions::default());
        options.to_mut().tos = 4;
        assert_eq!(*options, SocketOptions { tos: 4, ..SocketOptions::default() });
        assert_eq!(Sparse::new((*options).clone()).tos, 4);
    }
}
