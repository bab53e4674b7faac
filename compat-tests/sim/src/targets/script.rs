//! The input of a target that plays: octets that say what is done, and where. When they are at an end, all are 0.

/// What is left of an input.
pub(super) struct Script<'a>(pub(super) &'a [u8]);

impl<'a> Script<'a> {
    /// The next octet.
    pub(super) fn octet(&mut self) -> u8 {
        self.octets(1).first().copied().unwrap_or(0)
    }

    /// As many of the next octets as there are.
    pub(super) fn octets(&mut self, n: usize) -> &'a [u8] {
        let piece;
        (piece, self.0) = self.0.split_at(n.min(self.0.len()));
        piece
    }

    /// Whether nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One of several, if there are any.
    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        let n = usize::from(self.octet()).checked_rem(among.len())?;
        among.get(n).copied()
    }
}
