//! Lines of requests from a stream, read ahead in a buffer that is wiped: passphrases come this way. Nothing of a line is
//! left in it once the next one was asked for.

use std::ops::Range;

use ipsec_types::whack::MAX_REQUEST;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::{Zeroize, Zeroizing};

/// Octets that are read ahead.
const CHUNK: usize = 64 << 10;

/// A stream of lines of at most [`MAX_REQUEST`] octets, the newline included.
pub(crate) struct Lines<R> {
    from: R,
    /// Room; what is not in use of it is zero.
    buffer: Zeroizing<Vec<u8>>,
    /// Where the line is that was given out last.
    given: Range<usize>,
    /// The end of what has come.
    end: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(from: R) -> Self {
        Lines { from, buffer: Zeroizing::new(vec![0; CHUNK]), given: 0..0, end: 0 }
    }

    /// The next line with its newline; `None` at the end of the stream and for a line that is too long.
    pub(crate) async fn next(&mut self) -> Option<&[u8]> {
        if let Some(old) = self.buffer.get_mut(self.given.clone()) {
            old.zeroize();
        }
        self.given = self.given.end..self.given.end;
        let mut looked_at = 0;
        loop {
            let come = self.come();
            if let Some(at) = come.get(looked_at..).and_then(|new| new.iter().position(|b| *b == b'\n')) {
                self.given.end += looked_at + at + 1;
                return self.buffer.get(self.given.clone()).filter(|line| line.len() <= MAX_REQUEST);
            }
            looked_at = come.len();
            if looked_at >= MAX_REQUEST {
                return None;
            }
            self.make_room();
            let room = self.buffer.get_mut(self.end..)?;
            match self.from.read(room).await {
                Ok(n) if n > 0 => self.end += n,
                _ => return None,
            }
        }
    }

    /// What has come and was not given out.
    fn come(&self) -> &[u8] {
        self.buffer.get(self.given.end..self.end).unwrap_or_default()
    }

    /// Sees to it that there is room for an octet. Nothing is given out while this happens.
    fn make_room(&mut self) {
        if self.end < self.buffer.len() {
            return;
        }
        let come = self.come();
        let (n, full) = (come.len(), come.len() == self.buffer.len());
        let mut fresh = Zeroizing::new(vec![0; if full { 2 * n } else { self.buffer.len() }]);
        fresh.iter_mut().zip(come).for_each(|(to, from)| *to = *from);
        (self.buffer, self.given, self.end) = (fresh, 0..0, n);
    }

    /// Whether the next line has come completely.
    pub(crate) fn has_one(&self) -> bool {
        self.come().contains(&b'\n')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn lines_are_given_out_one_by_one_and_wiped() {
        run(async {
            let mut lines = Lines::new(&b"secret\nother\n\nlast\nrest"[..]);
            assert!(!lines.has_one());
            assert_eq!(lines.next().await, Some(&b"secret\n"[..]));
            assert!(lines.has_one());
            for want in [&b"other\n"[..], b"\n", b"last\n"] {
                assert_eq!(lines.next().await, Some(want));
                assert!(!lines.buffer.windows(3).any(|w| w == b"sec"), "the line before is wiped");
            }
            assert!(!lines.has_one());
            assert_eq!(lines.next().await, None, "no newline, no line");
        });
    }

    #[test]
    fn cve_2018_5388_a_line_of_the_greatest_length_is_the_longest() {
        for n in [MAX_REQUEST - 1, MAX_REQUEST, MAX_REQUEST + 1] {
            run(async {
                let text = [vec![b'x'; n - 1], b"\n".to_vec()].concat();
                let mut lines = Lines::new(&text[..]);
                assert_eq!(lines.next().await.map(<[u8]>::len), (n <= MAX_REQUEST).then_some(n));
                assert!(lines.buffer.len() <= MAX_REQUEST);
            });
        }
    }

    proptest! {
        /// However a stream is cut into pieces, its lines are the same.
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,300}", pieces in 1usize..50) {
            let want: Vec<Vec<u8>> =
                text.split_inclusive('\n').filter(|l| l.ends_with('\n')).map(|l| l.as_bytes().to_vec()).collect();
            let got = run(async {
                let (near, mut far) = tokio::io::duplex(pieces);
                let mut lines = Lines::new(near);
                let write = async {
                    far.write_all(text.as_bytes()).await.unwrap();
                    drop(far);
                };
                let read = async {
                    let mut got = Vec::new();
                    while let Some(line) = lines.next().await {
                        got.push(line.to_vec());
                    }
                    got
                };
                tokio::join!(write, read).1
            });
            prop_assert_eq!(got, want);
        }
    }
}
