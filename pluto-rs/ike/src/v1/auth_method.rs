//! Authentication methods of phase 1: attribute 3 of a transform (RFC 2409 appendix A, RFC 4754,
//! draft-beaulieu-ike-xauth, draft-zegman-ike-hybrid-auth). Which end proves itself how; nothing is computed here.

use ipsec_crypto::PublicKey;
use ipsec_crypto::ecdsa::Curve;
use ipsec_types::algo::HashAlg;

use super::authenticate::other;
use crate::conn::{Connection, End};
use crate::sa::Role;

/// What both ends agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AuthMethod {
    Psk,
    RsaSig,
    Ecdsa256,
    Ecdsa384,
    Ecdsa521,
    /// A pre-shared key, then XAUTH asks the initiator of phase 1.
    XauthInitPsk,
    /// A pre-shared key, then XAUTH asks the responder.
    XauthRespPsk,
    XauthInitRsa,
    XauthRespRsa,
    /// The responder signs; the initiator proves itself by XAUTH only.
    HybridInitRsa,
    /// The initiator signs; the responder proves itself by XAUTH only.
    HybridRespRsa,
}

/// How one end proves in phase 1 who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Proof {
    /// HASH_I or HASH_R under a SKEYID that only who has the pre-shared key can derive.
    Psk,
    /// A signature of the hash.
    Signature,
    /// The hash alone: XAUTH follows (Hybrid).
    Later,
}

impl AuthMethod {
    pub(crate) const ALL: [AuthMethod; 11] = [
        AuthMethod::Psk,
        AuthMethod::RsaSig,
        AuthMethod::Ecdsa256,
        AuthMethod::Ecdsa384,
        AuthMethod::Ecdsa521,
        AuthMethod::XauthInitPsk,
        AuthMethod::XauthRespPsk,
        AuthMethod::XauthInitRsa,
        AuthMethod::XauthRespRsa,
        AuthMethod::HybridInitRsa,
        AuthMethod::HybridRespRsa,
    ];

    /// The value of the attribute.
    pub(crate) fn number(self) -> u16 {
        match self {
            AuthMethod::Psk => 1,
            AuthMethod::RsaSig => 3,
            AuthMethod::Ecdsa256 => 9,
            AuthMethod::Ecdsa384 => 10,
            AuthMethod::Ecdsa521 => 11,
            AuthMethod::HybridInitRsa => 64221,
            AuthMethod::HybridRespRsa => 64222,
            AuthMethod::XauthInitPsk => 65001,
            AuthMethod::XauthRespPsk => 65002,
            AuthMethod::XauthInitRsa => 65005,
            AuthMethod::XauthRespRsa => 65006,
        }
    }

    /// The method with this number.
    pub(crate) fn from_number(n: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|m| u64::from(m.number()) == n)
    }

    /// Openswan's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            AuthMethod::Psk => "OAKLEY_PRESHARED_KEY",
            AuthMethod::RsaSig => "OAKLEY_RSA_SIG",
            AuthMethod::Ecdsa256 => "OAKLEY_ECDSA_P256",
            AuthMethod::Ecdsa384 => "OAKLEY_ECDSA_P384",
            AuthMethod::Ecdsa521 => "OAKLEY_ECDSA_P521",
            AuthMethod::XauthInitPsk => "XAUTHInitPreShared",
            AuthMethod::XauthRespPsk => "XAUTHRespPreShared",
            AuthMethod::XauthInitRsa => "XAUTHInitRSA",
            AuthMethod::XauthRespRsa => "XAUTHRespRSA",
            AuthMethod::HybridInitRsa => "HybridInitRSA",
            AuthMethod::HybridRespRsa => "HybridRespRSA",
        }
    }

    /// The end that is asked with XAUTH after phase 1.
    pub(crate) fn asked(self) -> Option<Role> {
        match self {
            AuthMethod::XauthInitPsk | AuthMethod::XauthInitRsa | AuthMethod::HybridInitRsa => {
                Some(Role::Initiator)
            }
            AuthMethod::XauthRespPsk | AuthMethod::XauthRespRsa | AuthMethod::HybridRespRsa => {
                Some(Role::Responder)
            }
            _ => None,
        }
    }

    /// The word of a conn's policy that allows it.
    pub(crate) fn policy(self) -> &'static str {
        match (self.curve(), self.proof(Role::Initiator), self.proof(Role::Responder)) {
            (Some(_), _, _) => "ECDSA",
            (None, Proof::Psk, Proof::Psk) => "PSK",
            _ => "RSASIG",
        }
    }

    /// The curve of keys that sign with this method; `None` for RSA.
    pub(crate) fn curve(self) -> Option<Curve> {
        match self {
            AuthMethod::Ecdsa256 => Some(Curve::P256),
            AuthMethod::Ecdsa384 => Some(Curve::P384),
            AuthMethod::Ecdsa521 => Some(Curve::P521),
            _ => None,
        }
    }

    /// Whether signatures of this method are made with such a key.
    pub(crate) fn takes(self, key: &PublicKey) -> bool {
        match (self.curve(), key) {
            (None, PublicKey::Rsa(_)) => true,
            (Some(curve), PublicKey::Ec(k)) => k.curve() == curve,
            _ => false,
        }
    }

    /// The hash that HASH_I and HASH_R are made with, if it is not the negotiated one (RFC 4754 §2).
    pub(crate) fn hash(self) -> Option<HashAlg> {
        self.curve().map(Curve::hash)
    }

    /// How the end of this role proves itself in phase 1.
    pub(crate) fn proof(self, of: Role) -> Proof {
        match (self, of) {
            (AuthMethod::Psk | AuthMethod::XauthInitPsk | AuthMethod::XauthRespPsk, _) => Proof::Psk,
            (AuthMethod::HybridInitRsa, Role::Initiator) | (AuthMethod::HybridRespRsa, Role::Responder) => {
                Proof::Later
            }
            _ => Proof::Signature,
        }
    }
}

/// The methods `conn` allows, best first, while we are `role`.
pub(crate) fn methods(conn: &Connection, role: Role) -> Vec<AuthMethod> {
    let asked = conn.asked_with_xauth().map(|end| if end == End::Us { role } else { other(role) });
    let [hybrid, rsa, psk] = match asked {
        None => [AuthMethod::RsaSig, AuthMethod::RsaSig, AuthMethod::Psk],
        Some(Role::Initiator) => {
            [AuthMethod::HybridInitRsa, AuthMethod::XauthInitRsa, AuthMethod::XauthInitPsk]
        }
        Some(Role::Responder) => {
            [AuthMethod::HybridRespRsa, AuthMethod::XauthRespRsa, AuthMethod::XauthRespPsk]
        }
    };
    let by = conn.spec.authby;
    // Who is asked only has no key: that is not to be held against him, and nobody is let in who is not asked.
    if by.hybrid {
        return if asked.is_some() { vec![hybrid] } else { Vec::new() };
    }
    let mut list = Vec::new();
    if by.ecdsa && asked.is_none() {
        list.extend([AuthMethod::Ecdsa256, AuthMethod::Ecdsa384, AuthMethod::Ecdsa521]);
    }
    if by.rsasig {
        list.push(rsa);
    }
    if by.psk {
        list.push(psk);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_found_by_its_number_and_says_how_each_end_proves_itself() {
        for m in AuthMethod::ALL {
            assert_eq!(AuthMethod::from_number(m.number().into()), Some(m));
            let keyed = [Role::Initiator, Role::Responder].map(|r| m.proof(r) == Proof::Psk);
            assert_eq!(keyed[0], keyed[1], "a key is shared: {}", m.name());
        }
        assert_eq!(AuthMethod::from_number(2), None);
        assert_eq!(AuthMethod::HybridInitRsa.proof(Role::Initiator), Proof::Later);
        assert_eq!(AuthMethod::HybridInitRsa.proof(Role::Responder), Proof::Signature);
        assert_eq!(AuthMethod::XauthRespRsa.asked(), Some(Role::Responder));
        assert_eq!(AuthMethod::Psk.asked(), None);
    }
}
