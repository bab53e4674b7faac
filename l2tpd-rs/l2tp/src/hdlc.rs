//! Asynchronous HDLC framing (RFC 1662 §4) as pppd speaks it on a tty: flags, escapes, 16-bit FCS.
//!
//! Pure functions over byte slices; nothing here reads or writes a tty.
//!
//! ```text
//!   7E | FF 03 ... frame ... | FCS low, FCS high | 7E
//!        every octet < 20, 7D and 7E is sent as 7D, octet xor 20
//! ```

/// Frame delimiter.
pub const FLAG: u8 = 0x7e;
const ESCAPE: u8 = 0x7d;
/// The FCS of a good frame together with its FCS field (RFC 1662 appendix C.2).
const GOOD_FCS: u16 = 0xf0b8;
/// The longest frame without FCS that is taken from a tty.
pub const MAX_FRAME: usize = 4096;

/// Octets the FCS takes at once.
const STRIDE: usize = 16;
/// FCS-16, polynomial x^16 + x^12 + x^5 + 1 reflected: `FCS16[n]` of each octet that has `n` octets of 0 behind it.
static FCS16: [[u16; 256]; STRIDE] = {
    let mut table = [[0u16; 256]; STRIDE];
    let mut i = 0;
    while i < 256 {
        let mut v = i as u16;
        let mut bit = 0;
        while bit < 8 {
            v = if v & 1 != 0 { (v >> 1) ^ 0x8408 } else { v >> 1 };
            bit += 1;
        }
        table[0][i] = v;
        i += 1;
    }
    let mut n = 1;
    while n < STRIDE {
        let mut i = 0;
        while i < 256 {
            let v = table[n - 1][i];
            table[n][i] = (v >> 8) ^ table[0][(v & 0xff) as usize];
            i += 1;
        }
        n += 1;
    }
    table
};

/// Each octet on its way to pppd, low 16 bits, and how many octets that is: the default ACCM, all of 00 to 1F, and the
/// two of HDLC itself are escaped.
static ESCAPED: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = if i < 0x20 || i == ESCAPE as usize || i == FLAG as usize {
            2 << 16 | (i as u32 ^ 0x20) << 8 | ESCAPE as u32
        } else {
            1 << 16 | i as u32
        };
        i += 1;
    }
    table
};

fn fcs(mut fcs: u16, bytes: &[u8]) -> u16 {
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    for s in strides {
        let [low, high] = fcs.to_le_bytes();
        let at = |n: usize, b: u8| FCS16[n][usize::from(b)];
        let known = at(13, s[2])
            ^ at(12, s[3])
            ^ at(11, s[4])
            ^ at(10, s[5])
            ^ at(9, s[6])
            ^ at(8, s[7])
            ^ at(7, s[8])
            ^ at(6, s[9])
            ^ at(5, s[10])
            ^ at(4, s[11])
            ^ at(3, s[12])
            ^ at(2, s[13])
            ^ at(1, s[14])
            ^ at(0, s[15]);
        fcs = known ^ at(15, s[0] ^ low) ^ at(14, s[1] ^ high);
    }
    for &b in rest {
        fcs = (fcs >> 8) ^ FCS16[0][usize::from((fcs as u8) ^ b)];
    }
    fcs
}

/// Octets looked at together.
const BLOCK: usize = 32;

/// Whether any of them `wanted`. No branch for each: the compiler takes many at once.
fn some_are(block: &[u8; BLOCK], wanted: impl Fn(u8) -> bool) -> bool {
    block.iter().fold(false, |found, &b| found | wanted(b))
}

/// Writes `bytes` with their escapes to the beginning of `out`, which has room for twice as many; returns how many.
fn escape(out: &mut [u8], bytes: &[u8]) -> usize {
    let mut n = 0usize;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        let Some(space) = out.get_mut(n..).and_then(|o| o.first_chunk_mut::<{ 2 * BLOCK }>()) else {
            return n;
        };
        // Text has hardly any; what is compressed or encrypted has some in every block, at places nobody can guess.
        if some_are(block, |b| b < 0x20 || b == ESCAPE || b == FLAG) {
            n += escape_all(space, block);
        } else {
            space[..BLOCK].copy_from_slice(block);
            n += BLOCK;
        }
    }
    let mut space = [0; 2 * BLOCK];
    let used = escape_all(&mut space, rest);
    out[n..n + used].copy_from_slice(&space[..used]);
    n + used
}

/// At most [`BLOCK`] octets, without a branch that depends on them.
fn escape_all(space: &mut [u8; 2 * BLOCK], bytes: &[u8]) -> usize {
    let mut n = 0usize;
    for &b in bytes {
        let e = ESCAPED[usize::from(b)];
        // Two octets are written, the second counts for one that is escaped.
        if let Some(s) = space.get_mut(n..).and_then(|s| s.first_chunk_mut::<2>()) {
            *s = (e as u16).to_le_bytes();
        }
        n = n.wrapping_add((e >> 16) as usize);
    }
    n
}

/// Appends `frame` to `out` as it goes to pppd.
pub fn encode(frame: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * frame.len() + 6, FLAG);
    let space = &mut out[start + 1..];
    let mut n = escape(space, frame);
    n += escape(&mut space[n..], &(!fcs(0xffff, frame)).to_le_bytes());
    space[n] = FLAG;
    out.truncate(start + n + 2);
}

/// What the decoder saw that was not a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Frames with a wrong FCS, too short or aborted by an escaped flag. Text pppd prints on its tty lands here.
    pub bad: u64,
    /// Frames longer than [`MAX_FRAME`].
    pub long: u64,
}

/// Takes frames out of the byte stream of a tty; a frame may come in any number of pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    frame: Vec<u8>,
    escaped: bool,
    /// Too long or aborted: skip to the next flag.
    skip: bool,
    /// Counts of what was thrown away.
    pub discarded: Discarded,
}

/// Octets before the first flag.
fn to_flag(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let clean = blocks.iter().take_while(|b| !some_are(b, |b| b == FLAG)).count() * BLOCK;
    let rest = &bytes[clean..];
    clean + rest.iter().position(|b| *b == FLAG).unwrap_or(rest.len())
}

impl Decoder {
    /// Feeds `input` and calls `sink` with every whole frame, without its FCS. Holds at most one frame of
    /// [`MAX_FRAME`] octets.
    pub fn feed(&mut self, mut input: &[u8], mut sink: impl FnMut(&[u8])) {
        while !input.is_empty() {
            let (some, rest) = input.split_at(to_flag(input));
            self.push(some);
            input = match rest.split_first() {
                Some((_, rest)) => {
                    self.end(&mut sink);
                    rest
                }
                None => rest,
            };
        }
    }

    /// Takes octets without a flag among them.
    fn push(&mut self, bytes: &[u8]) {
        if self.skip {
            return;
        }
        if self.frame.is_empty() {
            self.frame.reserve(MAX_FRAME + 2);
        }
        for piece in bytes.chunks(BLOCK) {
            let mut space = [0u8; BLOCK];
            let n = match piece.first_chunk::<BLOCK>() {
                Some(block) if !self.escaped && !some_are(block, |b| b == ESCAPE) => {
                    space = *block;
                    BLOCK
                }
                Some(block) => unescape(block, &mut self.escaped, &mut space),
                None => unescape(piece, &mut self.escaped, &mut space),
            };
            if self.frame.len() + n > MAX_FRAME + 2 {
                self.discarded.long += 1;
                self.skip = true;
                return;
            }
            // All of it, whose length the compiler knows, and then less.
            let len = self.frame.len() + n;
            self.frame.extend_from_slice(&space);
            self.frame.truncate(len);
        }
    }

    fn end(&mut self, sink: &mut impl FnMut(&[u8])) {
        // RFC 1662 §4.3: an escape before the flag aborts the frame.
        if std::mem::take(&mut self.escaped) {
            self.discarded.bad += u64::from(!self.skip);
        } else if !self.skip && !self.frame.is_empty() {
            match self.frame.len().checked_sub(2) {
                Some(n) if n > 0 && fcs(0xffff, &self.frame) == GOOD_FCS => sink(&self.frame[..n]),
                _ => self.discarded.bad += 1,
            }
        }
        self.skip = false;
        self.frame.clear();
    }
}

/// Takes the escapes out of at most [`BLOCK`] octets, without a branch that depends on them; returns how many are left.
/// `state` is whether the last one before was an escape.
#[inline]
fn unescape(bytes: &[u8], state: &mut bool, space: &mut [u8; BLOCK]) -> usize {
    let (mut n, mut flip) = (0usize, if *state { 0x20u8 } else { 0 });
    for &b in bytes {
        // An escape is written, too, and then written over.
        space[n % BLOCK] = b ^ flip;
        let escape = b == ESCAPE;
        flip = u8::from(escape) << 5;
        n = n.wrapping_add(usize::from(!escape));
    }
    *state = flip != 0;
    n.min(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> (Vec<Vec<u8>>, Discarded) {
        let mut d = Decoder::default();
        let mut got = Vec::new();
        d.feed(bytes, |f| got.push(f.to_vec()));
        (got, d.discarded)
    }

    #[test]
    fn a_configure_request_is_framed_as_pppd_frames_it() {
        // LCP Configure-Request, id 1, no options.
        let mut out = Vec::new();
        encode(&[0xff, 3, 0xc0, 0x21, 1, 1, 0, 4], &mut out);
        let want = [
            0x7e, 0xff, 0x7d, 0x23, 0xc0, 0x21, 0x7d, 0x21, 0x7d, 0x21, 0x7d, 0x20, 0x7d, 0x24, 0xd1, 0xb5,
            0x7e,
        ];
        assert_eq!(out, want);
    }

    #[test]
    fn text_on_the_tty_is_dropped_and_counted() {
        let mut b = b"Using interface ppp0\r\n".to_vec();
        encode(b"\xff\x03\xc0\x21", &mut b);
        let (frames, d) = decode(&b);
        assert_eq!((frames, d.bad), (vec![b"\xff\x03\xc0\x21".to_vec()], 1));
    }

    #[test]
    fn an_overlong_frame_is_skipped_to_its_flag() {
        let mut b = vec![0x41; 3 * MAX_FRAME];
        encode(b"next", &mut b);
        let (frames, d) = decode(&b);
        assert_eq!((frames, d.long), (vec![b"next".to_vec()], 1));
    }

    #[test]
    fn an_escaped_flag_aborts() {
        let (frames, d) = decode(&[0x7e, 0xff, 3, 0x7d, 0x7e]);
        assert!(frames.is_empty());
        assert_eq!(d.bad, 1);
    }

    /// The same, octet by octet as RFC 1662 has it.
    fn plainly(frame: &[u8]) -> Vec<u8> {
        let mut sum = 0xffffu16;
        for &b in frame {
            sum ^= u16::from(b);
            for _ in 0..8 {
                sum = if sum & 1 != 0 { (sum >> 1) ^ 0x8408 } else { sum >> 1 };
            }
        }
        let mut out = vec![FLAG];
        for b in frame.iter().copied().chain((!sum).to_le_bytes()) {
            match b {
                0..0x20 | ESCAPE | FLAG => out.extend_from_slice(&[ESCAPE, b ^ 0x20]),
                _ => out.push(b),
            }
        }
        out.push(FLAG);
        out
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_the_rfc_says(
            random in proptest::collection::vec(any::<u8>(), 0..300),
            text in proptest::collection::vec(b' '..=b'z', 0..300),
        ) {
            for f in [&random[..], &text, &[&text[..], &random].concat(), &[&random[..], &text].concat()] {
                let mut b = Vec::new();
                encode(f, &mut b);
                prop_assert_eq!(b, plainly(f));
            }
        }

        #[test]
        fn frames_come_back_in_any_pieces(frames in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 1..200), 0..6), cut in 1usize..40) {
            let mut b = Vec::new();
            for f in &frames { encode(f, &mut b); }
            let mut d = Decoder::default();
            let mut got = Vec::new();
            for piece in b.chunks(cut) { d.feed(piece, |f| got.push(f.to_vec())); }
            prop_assert_eq!(got, frames);
            prop_assert_eq!(d.discarded, Discarded::default());
        }

        #[test]
        fn nothing_below_20_is_sent_bare(f in proptest::collection::vec(any::<u8>(), 1..300)) {
            let mut b = Vec::new();
            encode(&f, &mut b);
            prop_assert!(b.iter().all(|&c| c >= 0x20));
            prop_assert_eq!(b.iter().filter(|&&c| c == FLAG).count(), 2);
        }

        #[test]
        fn one_flipped_bit_is_noticed(f in proptest::collection::vec(any::<u8>(), 1..100), at: usize, bit in 0u8..8) {
            let mut b = Vec::new();
            encode(&f, &mut b);
            let n = b.len();
            b[1 + at % (n - 2)] ^= 1 << bit;
            prop_assert!(decode(&b).0.iter().all(|g| *g != f));
        }

        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(&b);
        }
    }
}
