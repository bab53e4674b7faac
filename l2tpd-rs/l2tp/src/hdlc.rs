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

/// FCS-16 of each octet, polynomial x^16 + x^12 + x^5 + 1 reflected.
const FCS16: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut i = 0;
    while i < 256 {
        let mut v = i as u16;
        let mut bit = 0;
        while bit < 8 {
            v = if v & 1 != 0 { (v >> 1) ^ 0x8408 } else { v >> 1 };
            bit += 1;
        }
        table[i] = v;
        i += 1;
    }
    table
};

/// Octets that are escaped on the way to pppd: the default ACCM, all of 00 to 1F.
const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut i = 0;
    while i < 0x20 {
        table[i] = true;
        i += 1;
    }
    table[ESCAPE as usize] = true;
    table[FLAG as usize] = true;
    table
};

fn fcs(mut fcs: u16, bytes: &[u8]) -> u16 {
    for &b in bytes {
        fcs = (fcs >> 8) ^ FCS16[usize::from((fcs as u8) ^ b)];
    }
    fcs
}

fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some(n) = bytes.iter().position(|&b| ESCAPED[usize::from(b)]) {
        out.extend_from_slice(&bytes[..n]);
        out.extend_from_slice(&[ESCAPE, bytes[n] ^ 0x20]);
        bytes = &bytes[n + 1..];
    }
    out.extend_from_slice(bytes);
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
        while let Some(&first) = input.first() {
            match first {
                FLAG => {
                    self.end(&mut sink);
                    input = &input[1..];
                }
                ESCAPE => {
                    self.escaped = true;
                    input = &input[1..];
                }
                b if self.escaped => {
                    self.escaped = false;
                    self.push(&[b ^ 0x20]);
                    input = &input[1..];
                }
                _ => {
                    let n = input.iter().position(|&b| b == FLAG || b == ESCAPE).unwrap_or(input.len());
                    self.push(&input[..n]);
                    input = &input[n..];
                }
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.skip {
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

    proptest! {
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
