//! Protection of messages: the CBC chain of a state, and HASH payloads of phase 2 (RFC 2409 §5.5, appendix B).

use ipsec_crypto::{cipher, hmac, keymat};
use ipsec_types::SecretBytes;
use ipsec_types::algo::IkeSuite;

use super::Fail;
use crate::Endpoint;
use crate::sa::{IkeSa, Serial};
use crate::wire::payload::Kind;
use crate::wire::{Exchange, Header, MessageWriter};

/// Octets of a nonce we make.
pub(crate) const NONCE_LEN: usize = 32;
/// Bounds of a nonce we take (RFC 2409 §5: 8 to 256 octets).
pub(crate) const NONCE_RANGE: std::ops::RangeInclusive<usize> = 8..=256;

pub(crate) fn header(sa: &IkeSa, exchange: Exchange, msgid: u32) -> Header {
    Header { icookie: sa.icookie, rcookie: sa.rcookie, next: 0, version: 0x10, exchange, flags: 0, msgid }
}

/// Encrypts a message and moves `iv` on to its last block.
pub(crate) fn seal(
    w: MessageWriter,
    suite: IkeSuite,
    key: &SecretBytes,
    iv: &mut Vec<u8>,
) -> Result<Vec<u8>, Fail> {
    let block = suite.cipher.block_len();
    let (header, plain) = w.finish_for_encryption(block);
    let body = cipher::encrypt(suite.cipher, key.expose(), iv, &plain)?;
    *iv = last_block(&body, block);
    let mut out = Vec::new();
    header.emit(body.len(), &mut out);
    out.extend_from_slice(&body);
    Ok(out)
}

/// Decrypts a body and moves `iv` on.
pub(crate) fn open(
    body: &[u8],
    suite: IkeSuite,
    key: &SecretBytes,
    iv: &mut Vec<u8>,
) -> Result<Vec<u8>, Fail> {
    let block = suite.cipher.block_len();
    if body.is_empty() || !body.len().is_multiple_of(block) {
        return Err(Fail::ignore(format!(
            "malformed message: not a multiple of encryption blocksize ({} octets)",
            body.len()
        )));
    }
    let plain = cipher::decrypt(suite.cipher, key.expose(), iv, body)?;
    *iv = last_block(body, block);
    Ok(plain)
}

fn last_block(body: &[u8], block: usize) -> Vec<u8> {
    body.get(body.len().saturating_sub(block)..).unwrap_or_default().to_vec()
}

/// A protected phase 2 message with HASH(1): `HASH(1) = prf(SKEYID_a, M-ID | extra | rest)`, where `extra` is the
/// initiator's nonce for HASH(2).
pub(crate) struct Phase2Message {
    writer: MessageWriter,
    msgid: u32,
}

impl Phase2Message {
    pub(crate) fn new(sa: &IkeSa, exchange: Exchange, msgid: u32, hash_len: usize) -> Self {
        let mut writer = MessageWriter::new(header(sa, exchange, msgid));
        writer.payload(Kind::Hash, &vec![0; hash_len]);
        Phase2Message { writer, msgid }
    }

    pub(crate) fn payload(&mut self, kind: Kind, body: &[u8]) -> &mut Self {
        self.writer.payload(kind, body);
        self
    }

    pub(crate) fn seal(mut self, sa: &IkeSa, extra: &[u8], iv: &mut Vec<u8>) -> Result<Vec<u8>, Fail> {
        let (Some(up), Some(suite)) = (sa.up(), sa.suite) else {
            return Err(Fail::ignore("ISAKMP SA not established"));
        };
        let id = self.msgid.to_be_bytes();
        let hash = hmac(suite.hash, up.keys.a.expose(), &[&id, extra, self.writer.behind_first()])?;
        self.writer.set_first(&hash);
        seal(self.writer, suite, &up.cipher_key, iv)
    }
}

/// The first IV of a phase 2 exchange.
pub(crate) fn first_iv(sa: &IkeSa, msgid: u32) -> Result<Vec<u8>, Fail> {
    let (Some(up), Some(suite)) = (sa.up(), sa.suite) else {
        return Err(Fail::ignore("ISAKMP SA not established"));
    };
    Ok(keymat::phase2_iv(suite.hash, &up.last_block, msgid, suite.cipher.block_len())?)
}

impl Endpoint {
    /// Sends a message of an IKE SA to where its peer is.
    pub(crate) fn transmit(&mut self, serial: Serial, message: &[u8]) {
        self.transmit_again(serial, message, 0);
    }

    /// Sends a phase 1 message and keeps it for repetitions.
    pub(crate) fn send_phase1(&mut self, serial: Serial, message: Vec<u8>) {
        self.transmit(serial, &message);
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.last_sent = message;
            sa.retransmits = 0;
            sa.answered_duplicates = 0;
        }
    }
}

/// Compares authenticators in constant time.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    SecretBytes::from(a) == SecretBytes::from(b)
}
