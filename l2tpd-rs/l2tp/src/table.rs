//! Tables by our own ids.
//!
//! The ids are random and ours, so nobody can choose them to collide, and a hash without a secret does: what happens
//! is the same in every run.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Spreads an id over the whole word (the multiplier is 2^64 divided by the golden ratio).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let n = bytes.iter().fold(self.0, |n, &b| n << 8 | u64::from(b));
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Values by tunnel or session id.
pub(crate) type IdTable<T> = HashMap<u16, Box<T>, BuildHasherDefault<IdHasher>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_its_own_place() {
        let mut t: IdTable<u16> = IdTable::default();
        for id in 0..=u16::MAX {
            t.insert(id, Box::new(id));
        }
        assert!((0..=u16::MAX).all(|id| t.get(&id).is_some_and(|v| **v == id)));
    }
}
