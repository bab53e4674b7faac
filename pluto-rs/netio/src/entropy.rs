//! Random numbers of the operating system.

use std::io;

/// Octets that are fetched at once: a negotiation wants several small amounts, and each would be a system call.
const POOL: usize = 256;

/// `getrandom(2)`. Octets are used once and wiped. Must not be carried through a fork.
#[derive(Default)]
pub struct OsEntropy {
    pool: Vec<u8>,
}

impl OsEntropy {
    /// Fills `out` with bytes nobody can guess.
    ///
    /// # Errors
    /// When the system has none to give. Nothing secret may be made then: the caller must give up what it was about
    /// to do.
    pub fn fill(&mut self, out: &mut [u8]) -> io::Result<()> {
        let fetch = |out: &mut [u8]| getrandom::fill(out).map_err(|e| io::Error::other(e.to_string()));
        if out.len() > POOL / 4 {
            return fetch(out);
        }
        if self.pool.len() < out.len() {
            self.pool.clear();
            self.pool.resize(POOL, 0);
            fetch(&mut self.pool).inspect_err(|_| self.pool.clear())?;
        }
        let rest = self.pool.len() - out.len();
        if let Some(taken) = self.pool.get_mut(rest..) {
            out.copy_from_slice(taken);
            taken.fill(0);
        }
        self.pool.truncate(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let mut entropy = OsEntropy::default();
        let mut seen = std::collections::BTreeSet::new();
        for size in [8, 32, 64, 65, 300] {
            for _ in 0..40 {
                let mut out = vec![0; size];
                entropy.fill(&mut out).unwrap();
                assert!(seen.insert(out));
            }
        }
    }
}
