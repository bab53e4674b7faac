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
const STRIDE: usize = 8;
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

/// 1 for octets that are escaped on the way to pppd: the default ACCM, all of 00 to 1F, and the two of HDLC itself.
static ESCAPED: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 0x20 {
        table[i] = 1;
        i += 1;
    }
    table[ESCAPE as usize] = 1;
    table[FLAG as usize] = 1;
    table
};

fn fcs(mut fcs: u16, bytes: &[u8]) -> u16 {
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    for s in strides {
        let [low, high] = fcs.to_le_bytes();
        let at = |n: usize, b: u8| FCS16[n][usize::from(b)];
        fcs = at(7, s[0] ^ low)
            ^ at(6, s[1] ^ high)
            ^ at(5, s[2])
            ^ at(4, s[3])
            ^ at(3, s[4])
            ^ at(2, s[5])
            ^ at(1, s[6])
            ^ at(0, s[7]);
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

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for block in blocks {
        // Text has hardly any; what is compressed or encrypted has some in every block, at places nobody can guess.
        if some_are(block, |b| b < 0x20 || b == ESCAPE || b == FLAG) {
            escape_all(out, block);
        } else {
            out.extend_from_slice(block);
        }
    }
    escape_all(out, rest);
}

/// At most [`BLOCK`] octets, without a branch that depends on them.
fn escape_all(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut space = [0u8; 4 * BLOCK];
    let mut n = 0usize;
    for &b in bytes {
        let escaped = ESCAPED[usize::from(b)];
        // Two octets are written, the second counts for one that is escaped. The mask is never needed, and tells the
        // compiler so.
        space[n % (4 * BLOCK)] = if escaped == 0 { b } else { ESCAPE };
        space[(n + 1) % (4 * BLOCK)] = b ^ 0x20;
        n += 1 + usize::from(escaped);
    }
    out.extend_from_slice(&space[..n.min(4 * BLOCK)]);
}

/// Appends `frame` to `out` as it goes to pppd.
pub fn encode(frame: &[u8], out: &mut Vec<u8>) {
    out.reserve(frame.len() + frame.len() / 8 + 8);
    out.push(FLAG);
    escape(out, frame);
    escape(out, &(!fcs(0xffff, frame)).to_le_bytes());
    out.push(FLAG);
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

impl Decoder {
    /// Feeds `input` and calls `sink` with every whole frame, without its FCS. Holds at most one frame of
    /// [`MAX_FRAME`] octets.
    pub fn feed(&mut self, mut input: &[u8], mut sink: impl FnMut(&[u8])) {
        while !input.is_empty() {
            match input.first_chunk::<BLOCK>() {
                Some(block) if !self.escaped && !some_are(block, |b| b == FLAG || b == ESCAPE) => {
                    self.push(block);
                    input = &input[BLOCK..];
                }
                _ => {
                    let (some, rest) = input.split_at(input.len().min(BLOCK));
                    let taken = self.unescape(some);
                    input = match some.get(taken) {
                        // A flag.
                        Some(_) => {
                            self.end(&mut sink);
                            &input[taken + 1..]
                        }
                        None => rest,
                    };
                }
            }
        }
    }

    /// Takes at most [`BLOCK`] octets up to a flag, and says how many. Only the flag is branched on.
    fn unescape(&mut self, bytes: &[u8]) -> usize {
        let mut space = [0u8; BLOCK];
        let (mut n, mut escaped, mut taken) = (0usize, u8::from(self.escaped), 0);
        for &b in bytes {
            if b == FLAG {
                break;
            }
            let escape = u8::from(b == ESCAPE);
            // An escape is written, too, and then written over.
            space[n % BLOCK] = b ^ (escaped << 5);
            n += usize::from(1 - escape);
            escaped = escape;
            taken += 1;
        }
        self.escaped = escaped != 0;
        self.push(&space[..n.min(BLOCK)]);
        taken
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.skip || bytes.is_empty() {
            return;
        }
        if self.frame.len() + bytes.len() > MAX_FRAME + 2 {
            self.discarded.long += 1;
            self.skip = true;
            return;
        }
        self.frame.extend_from_slice(bytes);
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
