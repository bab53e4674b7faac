//! What most SAs and conns never need, or not before they are established: held apart from its first change on, so that
//! a stranger's first message costs little.

use std::ops::{Deref, DerefMut};

/// What a [`Later`] shows before its first change.
pub(crate) trait Blank: Default + 'static {
    /// The same as `default()`, for all to look at.
    fn blank() -> &'static Self;
}

/// A `T` that takes the room of a pointer until it is changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Later<T>(Option<Box<T>>);

impl<T> Later<T> {
    /// What there is to take something from; `None` while nothing was ever put there.
    pub(crate) fn there(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T: Blank> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(it) => it,
            None => T::blank(),
        }
    }
}

impl<T: Blank> DerefMut for Later<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
