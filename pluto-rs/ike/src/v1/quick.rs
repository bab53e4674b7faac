//! What both roles of Quick Mode share: where a message belongs, HASH payloads, keys.

use std::net::SocketAddr;

use ipsec_crypto::keymat;
use ipsec_types::SecretBytes;
use ipsec_types::whack::rc;

use super::Fail;
use super::message::same;
use super::phase2;
use crate::Endpoint;
use crate::sa::{Digest, EspKeys, Phase2, Serial};
use crate::wire::Header;
use crate::wire::payload::{Chain, Kind};

impl Endpoint {
    /// A Quick Mode message for an IKE SA we know.
    pub(crate) fn on_quick(
        &mut self,
        ike: Serial,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        digest: Digest,
    ) {
        if h.commits() {
            let text =
                "IKE message has the Commit Flag set but Pluto doesn't implement this feature; ignoring flag";
            self.log_packet(remote, text);
        }
        let Some(sa) = self.ikes.get(&ike) else { return };
        if sa.up().is_none() {
            let text = "Quick Mode message is unacceptable because it is for an incomplete ISAKMP SA";
            return self.log_packet(remote, text);
        }
        if !h.encrypted() || h.msgid == 0 {
            return self.log_packet(
                remote,
                "Quick Mode message is invalid because it is in clear or has a Message ID of 0",
            );
        }
        if sa.later.cfg.stage.blocks_quick() {
            return self.log_packet(remote, "Cannot do Quick Mode until XAUTH done.");
        }
        let child = self.by_msgid.get(&(ike, h.msgid)).copied();
        let outcome = match child.and_then(|c| self.children.get(&c).map(|x| (c, x))) {
            None if sa.later.used_msgids.contains(&h.msgid) => Err(Fail::ignore(format!(
                "Quick Mode I1 message is unacceptable because it uses a previously used Message ID 0x{:08x} (perhaps \
                 this is a duplicated packet)",
                h.msgid
            ))),
            None if sa.later.open_children.len() >= self.setup.limits.exchanges => {
                self.refused.exchanges += 1;
                Err(Fail::ignore("too many Quick Modes under way in one ISAKMP SA; message dropped"))
            }
            None => match self.quick_in_i1(ike, h, body) {
                Ok(child) => {
                    self.follow_peer(ike, local, remote);
                    if let Some(c) = self.children.get_mut(&child) {
                        c.last_received = Some(digest);
                    }
                    Ok(())
                }
                Err(e) => Err(e),
            },
            Some((child, c)) if c.last_received.as_ref() == Some(&digest) => {
                // QI1 or QR1 again. An initiator that is up answers with QI2, a responder that waits with QR1.
                let (again, n) = (c.last_sent.clone(), c.answered_duplicates);
                let waits = !again.is_empty() && !matches!(c.state, Phase2::Suspended(_));
                let name = c.name().label();
                if waits && self.answers_duplicate(n) {
                    let text = format!("retransmitting in response to duplicate packet; already {name}");
                    self.transmit(ike, &again);
                    self.switch_later(child);
                    if let Some(c) = self.children.get_mut(&child) {
                        c.answered_duplicates += 1;
                    }
                    self.log_sa(child, rc::RETRANSMISSION, &text);
                }
                return;
            }
            Some((child, c)) => {
                let outcome = match c.state {
                    Phase2::QuickI1(_) => self.quick_in_r1(child, h, body),
                    Phase2::QuickR1(_) => self.quick_in_i2(child, h, body),
                    Phase2::Suspended(_) | Phase2::Up => Err(Fail::ignore(format!(
                        "discarding duplicate packet; already {}",
                        c.name().label()
                    ))),
                };
                return match outcome {
                    Ok(()) => {
                        self.follow_peer(ike, local, remote);
                        if let Some(c) = self.children.get_mut(&child) {
                            c.last_received = Some(digest);
                        }
                    }
                    Err(fail) => self.failed(child, fail),
                };
            }
        };
        if let Err(mut fail) = outcome {
            // There is no Child SA yet; the IKE SA stays whatever a proposal was.
            fail.fatal = false;
            self.failed(ike, fail);
        }
    }
}

/// Keys of one direction (RFC 2409 §5.5: KEYMAT, encryption key first).
pub(crate) fn esp_keys(
    alg: ipsec_types::algo::HashAlg,
    skeyid_d: &SecretBytes,
    shared: Option<&SecretBytes>,
    c: &crate::sa::ChildSa,
    spi: u32,
    ni: &[u8],
    nr: &[u8],
) -> Result<EspKeys, Fail> {
    let suite = c.suite.ok_or_else(|| Fail::fatal("no ESP suite chosen"))?;
    let protocol = phase2::number(c.layers.proto);
    let (cipher_len, integ_len) = (suite.cipher.key_len(), suite.integ.key_len());
    let all = keymat::keymat(alg, skeyid_d, shared, protocol, spi, ni, nr, cipher_len + integ_len)?;
    let (cipher, integ) =
        all.expose().split_at_checked(cipher_len).ok_or_else(|| Fail::fatal("KEYMAT is too short"))?;
    Ok(EspKeys { cipher: cipher.into(), integ: integ.into() })
}

/// The first payload must be the HASH, with this value.
pub(crate) fn check_hash(chain: &Chain<'_>, want: &[u8]) -> Result<(), Fail> {
    let ok = chain.payloads.first().is_some_and(|p| p.kind == Kind::Hash && same(p.body, want));
    if ok {
        return Ok(());
    }
    // Openswan's words; nothing else of the message is looked at (CVE-2019-10155, CVE-2004-0164).
    Err(Fail::ignore("received Hash Payload does not match computed value"))
}
