//! The proofs of phase 1, alike in Main and Aggressive Mode (RFC 2409 §5): keys out of what both ends have said, our
//! proof, the peer's. Which messages carry them is not known here.

use ipsec_crypto::{CryptoError, keymat};
use ipsec_types::whack::rc;
use ipsec_types::{Id, SecretBytes};

use super::Fail;
use super::auth_method::Proof;
use super::message::same;
use crate::Endpoint;
use crate::conn::{ConnId, Connection, secrets_for};
use crate::io::ClientId;
use crate::sa::{Exchanged, IkeSa, Phase1Keys, Role, Serial};
use crate::wire::notify::NotifyType;
use crate::wire::payload::{Chain, Kind};

/// The other end.
pub(crate) fn other(role: Role) -> Role {
    match role {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    }
}

/// Derives SKEYID and what follows from it: of `psk` with pre-shared keys, without one as for signatures.
pub(crate) fn derive_keys(
    sa: &IkeSa,
    x: &Exchanged,
    psk: Option<&SecretBytes>,
) -> Result<Phase1Keys, CryptoError> {
    let Some(suite) = sa.suite else {
        return Err(CryptoError::Length { what: "agreed suite", got: 0, want: 1 });
    };
    let alg = suite.hash;
    let skeyid = match psk {
        Some(psk) => keymat::skeyid_psk(alg, psk, &x.ni, &x.nr)?,
        None => keymat::skeyid_signature(alg, &x.shared, &x.ni, &x.nr)?,
    };
    let keys = keymat::PhaseOneKeys::derive(alg, &skeyid, &x.shared, &sa.icookie, &sa.rcookie)?;
    let cipher_key = keymat::cipher_key(suite.cipher, alg, &keys.e)?;
    let iv = keymat::phase1_iv(alg, &x.g_xi, &x.g_xr, suite.cipher.block_len())?;
    Ok(Phase1Keys { skeyid, keys, cipher_key, iv })
}

/// HASH_I or HASH_R: what the end of role `of` computes, or signs, over its identity `id_b`.
pub(crate) fn auth_hash(
    sa: &IkeSa,
    of: Role,
    x: &Exchanged,
    skeyid: &SecretBytes,
    id_b: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let Some(alg) = sa.auth.hash().or(sa.suite.map(|s| s.hash)) else {
        return Err(CryptoError::Length { what: "agreed suite", got: 0, want: 1 });
    };
    let (i, r) = (&sa.icookie, &sa.rcookie);
    match of {
        Role::Initiator => keymat::hash_i(alg, skeyid, &x.g_xi, &x.g_xr, i, r, &x.sa_i, id_b),
        Role::Responder => keymat::hash_r(alg, skeyid, &x.g_xr, &x.g_xi, r, i, &x.sa_i, id_b),
    }
}

/// What is probably behind a message that cannot be read.
pub(crate) fn doubt(sa: &IkeSa) -> String {
    let why = match sa.auth.proof(sa.role) {
        Proof::Psk => "probable authentication failure (mismatch of preshared secrets?): ",
        Proof::Signature | Proof::Later => "",
    };
    format!("{why}malformed payload in packet")
}

/// No key for the two ends.
pub(crate) fn no_psk(c: &Connection, him: &Id) -> String {
    format!(
        "Can't authenticate: no preshared key found for `{}' and `{him}'.  Attribute OAKLEY_AUTHENTICATION_METHOD",
        c.our_id()
    )
}

impl Endpoint {
    /// We have no key for any method of a conn that is to be called. An offer of nothing would be repeated in vain
    /// (CVE-2024-2357 was an SA without a message).
    pub(crate) fn nothing_to_prove_with(
        &mut self,
        conn: ConnId,
        whack: Option<ClientId>,
        pending: Vec<ConnId>,
    ) {
        let Some(c) = self.conns.get(conn) else { return };
        let text = match c.spec.authby.psk {
            true => no_psk(c, &c.wanted_id()),
            false => format!("Can't authenticate: there is no private key of ours for `{}'", c.our_id()),
        };
        self.log_conn(conn, whack, rc::LOG_SERIOUS, &text);
        pending.into_iter().for_each(|c| self.negotiation_failed(c));
    }

    /// Whether the responder that has proved itself as `id` is the one that is called.
    ///
    /// # Errors
    /// It is not, or by a key that is none of the conn's.
    pub(crate) fn wants_peer(&self, c: &Connection, serial: Serial, id: &Id) -> Result<(), Fail> {
        let wanted = c.wanted_id();
        if !wanted.matches(id) {
            return Err(Fail::refuse(
                NotifyType::InvalidIdInformation,
                format!("we require peer to have ID '{wanted}', but peer declares '{id}'"),
            ));
        }
        if !self.takes_peer(c, serial, id) {
            let text = format!("the key of '{id}' is not one this connection takes");
            return Err(Fail::refuse(NotifyType::InvalidKeyInformation, text));
        }
        Ok(())
    }

    /// What SKEYID may be derived with, all that fit equally well: pre-shared keys for the methods that have one.
    pub(crate) fn psk_candidates(&self, sa: &IkeSa, c: &Connection) -> Vec<SecretBytes> {
        match sa.auth.proof(sa.role) {
            Proof::Psk => secrets_for(c, sa.remote.ip(), &*self.secrets),
            Proof::Signature | Proof::Later => Vec::new(),
        }
    }

    /// Checks the peer's proof over its identity `id_b`: whether the message's HASH is the one it must be.
    pub(crate) fn check_proof(
        &self,
        chain: &Chain<'_>,
        sa: &IkeSa,
        x: &Exchanged,
        skeyid: &SecretBytes,
        id_b: &[u8],
    ) -> Result<bool, Fail> {
        let want = auth_hash(sa, other(sa.role), x, skeyid, id_b)?;
        Ok(chain.first(Kind::Hash).is_some_and(|h| same(&want, h)))
    }
}
