//! A reader of DER (X.690 §8, §10) for the few things that are looked at without a library: names and extensions.
//!
//! It borrows, allocates nothing, and every step makes its input shorter, so no input makes it run for long. Lengths must be
//! definite, minimal and inside their parent.

/// Tags used here.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// UTF8String.
    pub const UTF8: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE: u8 = 0x13;
    /// TeletexString, read as Latin-1.
    pub const TELETEX: u8 = 0x14;
    /// IA5String.
    pub const IA5: u8 = 0x16;
    /// VisibleString.
    pub const VISIBLE: u8 = 0x1a;
    /// UniversalString, UTF-32.
    pub const UNIVERSAL: u8 = 0x1c;
    /// BMPString, UTF-16.
    pub const BMP: u8 = 0x1e;
    /// SEQUENCE.
    pub const SEQUENCE: u8 = 0x30;
    /// SET.
    pub const SET: u8 = 0x31;
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element: its tag and contents. `None` at the end, and for what is not DER.
    pub fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        // Tags above 30 take several octets; nothing read here has them.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(*first) {
            n if n < 0x80 => (n, rest),
            // An indefinite length is not DER, and more than 2^32 octets are nobody's.
            0x80 | 0x85.. => return None,
            n => {
                let (octets, rest) = rest.split_at_checked(n & 0x7f)?;
                let length = octets.iter().fold(0usize, |l, b| l << 8 | usize::from(*b));
                if length < 0x80 || octets.first() == Some(&0) {
                    return None;
                }
                (length, rest)
            }
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, contents))
    }

    /// The next element, which must have this tag; otherwise nothing is read.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.peek()? != tag {
            return None;
        }
        self.element().map(|e| e.1)
    }

    /// The contents of the next element, which must have this tag, as a reader.
    pub fn inside(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.expect(tag).map(Reader)
    }

    /// The next element with its tag and length.
    pub fn whole(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        self.element()?;
        before.get(..before.len() - self.0.len())
    }
}

/// An element with this tag.
pub fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match contents.len() {
        n if n < 0x80 => out.push(n as u8),
        n => {
            let octets = n.to_be_bytes();
            let octets = &octets[octets.iter().take_while(|b| **b == 0).count()..];
            out.push(0x80 | octets.len() as u8);
            out.extend_from_slice(octets);
        }
    }
    out.extend_from_slice(contents);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_back() {
        for n in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            let contents = vec![7; n];
            let der = element(tag::OCTET_STRING, &contents);
            let mut r = Reader::new(&der);
            assert_eq!(r.element(), Some((tag::OCTET_STRING, &contents[..])));
            assert!(r.is_empty());
            assert_eq!(Reader::new(&der).whole(), Some(&der[..]));
            assert_eq!(Reader::new(&der).expect(tag::SET), None);
        }
    }

    #[test]
    fn what_is_not_der_is_refused() {
        for bad in [
            &[0x30][..],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x01, 0],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x02, 0],
            &[0x30, 0x85, 1, 0, 0, 0, 0],
            &[0x30, 0xff],
            &[0x1f, 0x01, 0],
        ] {
            assert_eq!(Reader::new(bad).element(), None, "{bad:02x?}");
        }
    }
}
