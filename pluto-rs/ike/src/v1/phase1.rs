//! Phase 1 proposals (RFC 2409 appendix A): which transforms we offer, which of the peer's we take.

use ipsec_types::algo::{DhGroup, HashAlg, IkeCipher, IkeSuite};
use ipsec_types::conn::ConnSpec;

use super::auth_method::AuthMethod;
use crate::wire::attr;
use crate::wire::sa::{PROTO_ISAKMP, Proposal, SaPayload, SaWriter, Transform};

/// Transform ID of phase 1.
const KEY_IKE: u8 = 1;
const ATTR_CIPHER: u16 = 1;
const ATTR_HASH: u16 = 2;
const ATTR_AUTH: u16 = 3;
const ATTR_GROUP: u16 = 4;
const ATTR_LIFE_TYPE: u16 = 11;
const ATTR_LIFE: u16 = 12;
const ATTR_KEY_LEN: u16 = 14;
const LIFE_SECONDS: u64 = 1;
/// Longest lifetime of ours, in seconds; what a peer asks beyond that is cut to it.
pub(crate) const MAX_LIFE: u64 = 86_400;

/// How the reason ends that is a matter of policy alone.
pub(crate) const NOT_ALLOWED: &str = "is not in ike=, or not allowed by crypto-policy=";

/// What an initiator offers when `ike=` is not set.
pub(crate) fn default_suites() -> Vec<IkeSuite> {
    let ciphers = [
        (IkeCipher::Aes(256), HashAlg::Sha256),
        (IkeCipher::Aes(128), HashAlg::Sha256),
        (IkeCipher::Aes(256), HashAlg::Sha1),
        (IkeCipher::Aes(128), HashAlg::Sha1),
        (IkeCipher::TripleDes, HashAlg::Sha1),
    ];
    [DhGroup::Modp2048, DhGroup::Modp1536]
        .into_iter()
        .flat_map(|group| ciphers.map(|(cipher, hash)| IkeSuite { cipher, hash, group }))
        .collect()
}

/// `ike=`, or what of the default list the policy allows.
pub(crate) fn offered(spec: &ConnSpec) -> Vec<IkeSuite> {
    match spec.ike.is_empty() {
        true => default_suites().into_iter().filter(|s| allowed(spec, *s)).collect(),
        false => spec.ike.clone(),
    }
}

/// The SA payload an initiator sends: each method with each suite, the better method first.
pub(crate) fn offer(spec: &ConnSpec, methods: &[AuthMethod]) -> Vec<u8> {
    let suites = offered(spec);
    let transforms: Vec<(u8, u8, Vec<u8>)> = methods
        .iter()
        .flat_map(|m| suites.iter().map(move |s| (m, s)))
        .take(64)
        .enumerate()
        .map(|(i, (method, s))| {
            let mut a = Vec::new();
            attr::emit(ATTR_LIFE_TYPE, LIFE_SECONDS as u32, &mut a);
            attr::emit(ATTR_LIFE, spec.ike_lifetime, &mut a);
            attr::emit(ATTR_CIPHER, s.cipher.number().into(), &mut a);
            attr::emit(ATTR_HASH, s.hash.number().into(), &mut a);
            attr::emit(ATTR_AUTH, method.number().into(), &mut a);
            attr::emit(ATTR_GROUP, s.group.number().into(), &mut a);
            if let Some(bits) = s.cipher.key_len_attribute() {
                attr::emit(ATTR_KEY_LEN, bits.into(), &mut a);
            }
            (i as u8, KEY_IKE, a)
        })
        .collect();
    let mut w = SaWriter::new();
    w.proposal(0, PROTO_ISAKMP, &[], &transforms, true);
    w.finish()
}

/// A transform in our terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub suite: IkeSuite,
    pub auth: AuthMethod,
    /// Seconds; `None` if the peer names none.
    pub life: Option<u32>,
}

/// Reads a transform; the error says in Openswan's words what we cannot do.
pub(crate) fn read(t: &Transform<'_>) -> Result<Offered, String> {
    let refused = |what: &str, attr: &str| Err(format!("{what}.  Attribute {attr}"));
    let mut life_type = LIFE_SECONDS;
    let (mut cipher, mut hash, mut auth, mut group, mut bits, mut life) = (0, 0, 0, 0, None, None);
    for a in &t.attrs {
        let Some(n) = a.number() else {
            // Group parameters of private groups may be longer; nothing we accept has them.
            return refused("unsupported long attribute", &a.kind.to_string());
        };
        match a.kind {
            ATTR_CIPHER => cipher = n,
            ATTR_HASH => hash = n,
            ATTR_AUTH => auth = n,
            ATTR_GROUP => group = n,
            ATTR_KEY_LEN => bits = Some(n),
            ATTR_LIFE_TYPE => life_type = n,
            ATTR_LIFE if life_type == LIFE_SECONDS => life = Some(n),
            // Lifetimes in kilobytes, and attributes like the PRF that only repeat the hash.
            _ => {}
        }
    }
    let Some(auth) = AuthMethod::from_number(auth) else {
        return refused(
            &format!("authentication method {auth} not supported"),
            "OAKLEY_AUTHENTICATION_METHOD",
        );
    };
    let Some(cipher) = IkeCipher::from_wire(cipher, bits) else {
        let name = cipher_name(cipher);
        return match (IkeCipher::from_wire(cipher, None), bits) {
            (Some(c), Some(b)) if c.key_len_attribute().is_some() => {
                refused(&format!("{name} with key length {b} not supported"), "OAKLEY_KEY_LENGTH")
            }
            (Some(_), _) => refused(&format!("{name} does not take a key length"), "OAKLEY_KEY_LENGTH"),
            (None, _) => refused(&format!("{name} not supported"), "OAKLEY_ENCRYPTION_ALGORITHM"),
        };
    };
    let Some(hash) = u16::try_from(hash).ok().and_then(HashAlg::from_number) else {
        return refused(&format!("OAKLEY_HASH {hash} not supported"), "OAKLEY_HASH_ALGORITHM");
    };
    let Some(group) = u16::try_from(group).ok().and_then(DhGroup::from_number) else {
        return refused(&format!("OAKLEY_GROUP {group} not supported"), "OAKLEY_GROUP_DESCRIPTION");
    };
    let life = match life {
        // Openswan refused these; Cisco's clients and vpnc ask for 24 days.
        Some(n) if n > MAX_LIFE => Some(MAX_LIFE as u32),
        // Zero is what some peers send for "not set".
        Some(0) | None => None,
        Some(n) => u32::try_from(n).ok(),
    };
    Ok(Offered { suite: IkeSuite { cipher, hash, group }, auth, life })
}

fn cipher_name(n: u64) -> String {
    let name = match n {
        1 => "OAKLEY_DES_CBC",
        3 => "OAKLEY_BLOWFISH_CBC",
        5 => "OAKLEY_3DES_CBC",
        6 => "OAKLEY_CAST_CBC",
        7 => "OAKLEY_AES_CBC",
        8 => "OAKLEY_CAMELLIA_CBC",
        _ => return format!("OAKLEY encryption algorithm {n}"),
    };
    name.into()
}

/// The authentication methods of an offer, each once.
pub(crate) fn methods_of(sa: &SaPayload<'_>) -> Vec<AuthMethod> {
    let mut found = Vec::new();
    let transforms = sa.proposals.iter().filter(|p| p.protocol == PROTO_ISAKMP).flat_map(|p| &p.transforms);
    for attr in transforms.flat_map(|t| &t.attrs).filter(|a| a.kind == ATTR_AUTH) {
        if let Some(m) = attr.number().and_then(AuthMethod::from_number)
            && !found.contains(&m)
        {
            found.push(m);
        }
    }
    found
}

/// The conn with what Aggressive Mode can offer of its `ike=`: that of the first one's group.
pub(crate) fn one_group(spec: &ConnSpec) -> ConnSpec {
    let group = spec.ike.first().map(|s| s.group);
    let ike = spec.ike.iter().copied().filter(|s| Some(s.group) == group).collect();
    ConnSpec { ike, ..spec.clone() }
}

/// The responder's choice: the first transform, in the initiator's order, that `spec` and `methods` allow.
///
/// # Errors
/// What was wrong with each transform, for the log.
pub(crate) fn choose<'p, 'a>(
    sa: &'p SaPayload<'a>,
    spec: &ConnSpec,
    methods: &[AuthMethod],
) -> Result<(&'p Proposal<'a>, &'p Transform<'a>, Offered), Vec<String>> {
    choose_where(sa, spec, methods, |_| true)
}

/// As [`choose`], of those suites that `fits`.
pub(crate) fn choose_where<'p, 'a>(
    sa: &'p SaPayload<'a>,
    spec: &ConnSpec,
    methods: &[AuthMethod],
    fits: impl Fn(IkeSuite) -> bool,
) -> Result<(&'p Proposal<'a>, &'p Transform<'a>, Offered), Vec<String>> {
    let mut why = Vec::new();
    for p in sa.proposals.iter().filter(|p| p.protocol == PROTO_ISAKMP) {
        for t in p.transforms.iter().filter(|t| t.id == KEY_IKE) {
            match read(t) {
                Ok(o) if !methods.contains(&o.auth) => why.push(format!(
                    "policy does not allow {} authentication.  Attribute OAKLEY_AUTHENTICATION_METHOD",
                    o.auth.name()
                )),
                Ok(o) if allowed(spec, o.suite) && fits(o.suite) => return Ok((p, t, o)),
                Ok(o) if allowed(spec, o.suite) => {
                    why.push(format!("the KE payload is not of {}", o.suite.group.name()));
                }
                Ok(o) => why.push(format!("{} {NOT_ALLOWED}", suite_name(o.suite))),
                Err(e) => why.push(e),
            }
        }
    }
    why.dedup();
    why.truncate(8);
    Err(why)
}

/// A list in the conn is exclusive; without one the named policy decides.
fn allowed(spec: &ConnSpec, suite: IkeSuite) -> bool {
    match spec.ike.is_empty() {
        true => suite.class().allowed_by(spec.crypto_policy.unwrap_or_default()),
        false => spec.ike.contains(&suite),
    }
}

/// `AES_CBC_128-SHA1-MODP2048`.
pub(crate) fn suite_name(s: IkeSuite) -> String {
    let cipher = match s.cipher {
        IkeCipher::Des => "DES_CBC_64".into(),
        IkeCipher::TripleDes => "3DES_CBC_192".into(),
        IkeCipher::Camellia(bits) => format!("CAMELLIA_CBC_{bits}"),
        IkeCipher::Aes(bits) => format!("AES_CBC_{bits}"),
    };
    format!("{cipher}-{}-{}", hash_name(s.hash), s.group.name().to_uppercase())
}

/// `SHA2_256`, as the status and the log write a hash.
pub(crate) fn hash_name(hash: HashAlg) -> &'static str {
    match hash {
        HashAlg::Md5 => "MD5",
        HashAlg::Sha1 => "SHA1",
        HashAlg::Sha256 => "SHA2_256",
        HashAlg::Sha384 => "SHA2_384",
        HashAlg::Sha512 => "SHA2_512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_offer_is_what_we_accept_in_order() {
        let spec = ConnSpec::default();
        let body = offer(&spec, &[AuthMethod::Psk]);
        let sa = SaPayload::parse(&body).unwrap();
        let (p, t, o) = choose(&sa, &spec, &[AuthMethod::Psk]).unwrap();
        assert_eq!((p.transforms.len(), t.number), (default_suites().len(), 0));
        assert_eq!((o.suite, o.life), (default_suites()[0], Some(3600)));
    }

    #[test]
    fn a_list_in_the_conn_is_exclusive_and_the_initiators_order_wins() {
        let suite = |cipher| IkeSuite { cipher, hash: HashAlg::Sha1, group: DhGroup::Modp2048 };
        let theirs = ConnSpec {
            ike: vec![suite(IkeCipher::Aes(256)), suite(IkeCipher::TripleDes), suite(IkeCipher::Aes(128))],
            ..ConnSpec::default()
        };
        let ours = ConnSpec {
            ike: vec![suite(IkeCipher::Aes(128)), suite(IkeCipher::TripleDes)],
            ..ConnSpec::default()
        };
        let body = offer(&theirs, &[AuthMethod::Psk]);
        let sa = SaPayload::parse(&body).unwrap();
        assert_eq!(choose(&sa, &ours, &[AuthMethod::Psk]).unwrap().2.suite, suite(IkeCipher::TripleDes));
        let none = ConnSpec { ike: vec![suite(IkeCipher::Aes(192))], ..ConnSpec::default() };
        let why = choose(&sa, &none, &[AuthMethod::Psk]).unwrap_err();
        assert!(why[0].contains("AES_CBC_256-SHA1-MODP2048"), "{why:?}");
    }

    #[test]
    fn a_life_of_weeks_is_cut_to_a_day() {
        let spec = ConnSpec { ike_lifetime: 2_147_483, ..ConnSpec::default() };
        let body = offer(&spec, &[AuthMethod::Psk]);
        let sa = SaPayload::parse(&body).unwrap();
        assert_eq!(choose(&sa, &ConnSpec::default(), &[AuthMethod::Psk]).unwrap().2.life, Some(86_400));
    }

    /// CVE-2005-3671, CVE-2011-3380: key lengths where none belongs, or of no use, are refused without harm.
    #[test]
    fn cve_2005_3671_cve_2011_3380_odd_key_lengths_are_refused() {
        let with = |cipher: u32, bits: u32| {
            let mut a = Vec::new();
            for (k, v) in [
                (ATTR_CIPHER, cipher),
                (ATTR_HASH, 2),
                (ATTR_AUTH, 1),
                (ATTR_GROUP, 14),
                (ATTR_KEY_LEN, bits),
            ] {
                attr::emit(k, v, &mut a);
            }
            let mut w = SaWriter::new();
            w.proposal(0, PROTO_ISAKMP, &[], &[(0, KEY_IKE, a)], true);
            w.finish()
        };
        for (cipher, bits) in [(5, 192), (7, 0), (7, 1), (7, 65535), (99, 128)] {
            let body = with(cipher, bits);
            let sa = SaPayload::parse(&body).unwrap();
            assert!(choose(&sa, &ConnSpec::default(), &[AuthMethod::Psk]).is_err(), "{cipher} {bits}");
        }
    }
}
