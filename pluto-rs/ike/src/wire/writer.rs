//! Builds messages: payloads are added in order, the chain of types is filled in at the end.

use super::header::{FLAG_ENCRYPTED, Header};
use super::payload::Kind;

/// A message under construction.
#[derive(Debug)]
pub struct MessageWriter {
    header: Header,
    kinds: Vec<(Kind, usize)>,
    body: Vec<u8>,
}

impl MessageWriter {
    /// Starts a message; `next` and the encryption flag of `header` are set later.
    pub fn new(header: Header) -> Self {
        MessageWriter { header, kinds: Vec::new(), body: Vec::new() }
    }

    /// Adds a payload.
    pub fn payload(&mut self, kind: Kind, body: &[u8]) -> &mut Self {
        self.kinds.push((kind, self.body.len()));
        self.body.extend_from_slice(&[0, 0]);
        self.body.extend_from_slice(&((body.len() + 4) as u16).to_be_bytes());
        self.body.extend_from_slice(body);
        self
    }

    /// The payload octets behind the first payload, which is what HASH(1) covers.
    pub fn behind_first(&mut self) -> &[u8] {
        self.link();
        let first_end = self.kinds.get(1).map_or(self.body.len(), |k| k.1);
        self.body.get(first_end..).unwrap_or_default()
    }

    /// Overwrites the contents of the first payload, which keeps its length: the hash of what follows it.
    pub fn set_first(&mut self, body: &[u8]) {
        if let Some(room) = self.body.get_mut(4..4 + body.len()) {
            room.copy_from_slice(body);
        }
    }

    fn link(&mut self) {
        for (i, (_, at)) in self.kinds.iter().enumerate() {
            let next = self.kinds.get(i + 1).map_or(0, |k| k.0.number());
            if let Some(b) = self.body.get_mut(*at) {
                *b = next;
            }
        }
        self.header.next = self.kinds.first().map_or(0, |k| k.0.number());
    }

    /// The message in clear.
    pub fn finish(mut self) -> Vec<u8> {
        self.link();
        self.header.flags &= !FLAG_ENCRYPTED;
        let mut out = Vec::with_capacity(super::header::HEADER_LEN + self.body.len());
        self.header.emit(self.body.len(), &mut out);
        out.extend_from_slice(&self.body);
        out
    }

    /// Header (with the encryption flag) and the body to encrypt, padded with zeros to a multiple of `block`.
    pub fn finish_for_encryption(mut self, block: usize) -> (Header, Vec<u8>) {
        self.link();
        self.header.flags |= FLAG_ENCRYPTED;
        let len = self.body.len().next_multiple_of(block.max(1));
        self.body.resize(len, 0);
        (self.header, self.body)
    }
}
