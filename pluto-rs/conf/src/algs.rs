//! `ike=` and `esp=`: lists of algorithm names.
//!
//! ```text
//! list := prop { "," prop } [ "!" ]
//! prop := cipher [ [-] bits ] [ "-" hash [ "-" hashbits ] [ "-" prfNAME ] [ ("-"|";") group ] ]
//! ```
//!
//! A proposal made of names we know but do not offer is left out with a warning as long as another one remains; a name nobody
//! knows is an error.

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite, HashAlg, IkeCipher, IkeSuite};

/// Most suites one list may expand to.
const MAX_SUITES: usize = 128;

/// A parsed list and what to say about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suites<S> {
    /// In the order of the text; never empty.
    pub suites: Vec<S>,
    /// Group named in a phase 2 list: the PFS group.
    pub group: Option<DhGroup>,
    /// What was left out.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cipher {
    TripleDes,
    Aes(u16),
}

/// One proposal; `None` was not given.
#[derive(Default)]
struct Proposal {
    cipher: Option<Cipher>,
    hash: Option<HashAlg>,
    group: Option<DhGroup>,
}

/// Why a proposal cannot be used.
enum Refusal {
    /// Nobody knows the name.
    Unknown(String),
    /// A real algorithm that is not offered.
    NotOffered(String),
}

/// What groups an `ike=` proposal without one stands for.
const GROUPS: [DhGroup; 4] = [DhGroup::Modp2048, DhGroup::Modp1536, DhGroup::Modp3072, DhGroup::Modp1024];
/// What hashes a proposal without one stands for.
const HASHES: [HashAlg; 2] = [HashAlg::Sha1, HashAlg::Md5];
/// What ciphers a proposal that is only a group stands for.
const CIPHERS: [Cipher; 2] = [Cipher::Aes(128), Cipher::TripleDes];

const NOT_OFFERED: [&str; 14] = [
    "des", "blowfish", "cast", "idea", "rc5", "null", "serpent", "twofish", "camellia", "aes_ctr", "aes_ccm",
    "aes_gcm", "aes_gmac", "chacha20",
];

/// Parses `ike=`.
///
/// # Errors
/// The text after `034 `, in Openswan's form.
pub fn ike(text: &str) -> Result<Suites<IkeSuite>, String> {
    let (proposals, warnings) = parse(text)?;
    let mut suites = Vec::new();
    for p in proposals {
        for cipher in choices(p.cipher, &CIPHERS) {
            for group in choices(p.group, &GROUPS) {
                for hash in choices(p.hash, &HASHES) {
                    let cipher = match cipher {
                        Cipher::TripleDes => IkeCipher::TripleDes,
                        Cipher::Aes(bits) => IkeCipher::Aes(bits),
                    };
                    add(&mut suites, IkeSuite { cipher, hash, group })?;
                }
            }
        }
    }
    Ok(Suites { suites, group: None, warnings })
}

/// Parses `esp=` and `phase2alg=`.
///
/// # Errors
/// The text after `034 `, in Openswan's form.
pub fn esp(text: &str) -> Result<Suites<EspSuite>, String> {
    let (proposals, warnings) = parse(text)?;
    let mut suites = Vec::new();
    // Phase 2 offers all transforms with one group: the first that is named.
    let group = proposals.iter().find_map(|p| p.group);
    for p in proposals {
        for cipher in choices(p.cipher, &CIPHERS) {
            for hash in choices(p.hash, &HASHES) {
                let cipher = match cipher {
                    Cipher::TripleDes => EspCipher::TripleDes,
                    Cipher::Aes(bits) => EspCipher::Aes(bits),
                };
                let integ = match hash {
                    HashAlg::Md5 => EspInteg::Md5,
                    HashAlg::Sha1 => EspInteg::Sha1,
                    HashAlg::Sha256 => EspInteg::Sha256,
                    HashAlg::Sha384 => EspInteg::Sha384,
                    HashAlg::Sha512 => EspInteg::Sha512,
                };
                add(&mut suites, EspSuite { cipher, integ })?;
            }
        }
    }
    Ok(Suites { suites, group, warnings })
}

/// A group by its name in `pfsgroup=` (`modp1024`, `dh14`).
pub fn group(name: &str) -> Option<DhGroup> {
    let name = name.to_ascii_lowercase();
    DhGroup::ALL
        .into_iter()
        .find(|g| g.name() == name || name.strip_prefix("dh").is_some_and(|n| n.parse() == Ok(g.number())))
}

fn choices<T: Copy>(given: Option<T>, default: &[T]) -> Vec<T> {
    given.map_or_else(|| default.to_vec(), |g| vec![g])
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) -> Result<(), String> {
    if list.contains(&item) {
        return Ok(());
    }
    if list.len() >= MAX_SUITES {
        return Err(format!("esp string error: more than {MAX_SUITES} combinations"));
    }
    list.push(item);
    Ok(())
}

fn parse(text: &str) -> Result<(Vec<Proposal>, Vec<String>), String> {
    let list = text.trim().trim_end_matches('!').trim_end();
    let mut proposals = Vec::new();
    let mut warnings = Vec::new();
    for word in list.split(',').map(str::trim) {
        match proposal(&word.to_ascii_lowercase()) {
            Ok(p) => proposals.push(p),
            Err(Refusal::NotOffered(why)) => {
                warnings.push(format!("\"{word}\" left out: {why} is not offered"))
            }
            Err(Refusal::Unknown(message)) => return Err(format!("esp string error: {message}")),
        }
    }
    match proposals.is_empty() {
        true => Err(format!("esp string error: {}", warnings.join(", "))),
        false => Ok((proposals, warnings)),
    }
}

fn proposal(text: &str) -> Result<Proposal, Refusal> {
    let mut words: Vec<&str> = text.split(['-', ';']).map(str::trim).collect();
    let unknown = |kind: &str, enc: &str, auth: &str, modp: &str| {
        Refusal::Unknown(format!("{kind} not found, enc_alg=\"{enc}\", auth_alg=\"{auth}\", modp=\"{modp}\""))
    };
    let mut p = Proposal::default();
    let mut refused = None;
    // From the end: group, PRF, hash with its bits; what is left is the cipher.
    let group_word = match words.last() {
        Some(w) if is_group(w) => words.pop(),
        _ => None,
    };
    if let Some(w) = group_word {
        p.group = group(w);
        if p.group.is_none() {
            refused = Some(w.to_string());
        }
    }
    let Some(cipher_word) = words.first().copied() else { return Ok(p) };
    let mut rest = words[1..].iter().copied().peekable();
    let bits = rest.next_if(|w| cipher_word.starts_with("aes") && w.parse::<u16>().is_ok_and(|b| b != 96));
    match cipher(cipher_word, bits) {
        Some(Ok(c)) => p.cipher = Some(c),
        Some(Err(())) => refused = Some(cipher_word.to_string()),
        None => {
            let auth = words.get(1).copied().unwrap_or_default();
            return Err(unknown("enc_alg", cipher_word, auth, group_word.unwrap_or_default()));
        }
    }
    for word in rest {
        let is_bits = word.parse::<u16>().is_ok();
        let plain = word.strip_prefix("hmac_").unwrap_or(word);
        match (hash(plain), word.strip_prefix("prf").map(hash)) {
            (Some(h), _) if p.hash.is_none() => p.hash = Some(h),
            // IKEv1 has one hash for both; the only PRF that can be named is that one.
            (_, Some(Some(prf))) if p.hash.is_none_or(|h| h == prf) => {}
            (_, Some(_)) => refused = Some(word.to_string()),
            _ if is_bits && p.hash.is_some() => {}
            _ if NOT_OFFERED.contains(&word)
                || matches!(plain, "aes_xcbc" | "aesxcbc" | "ripemd" | "tiger") =>
            {
                refused = Some(word.to_string());
            }
            _ if is_group_like(word) => {
                return Err(unknown("modp group", cipher_word, "", word));
            }
            _ => return Err(unknown("hash_alg", cipher_word, word, group_word.unwrap_or_default())),
        }
    }
    match refused {
        Some(name) => Err(Refusal::NotOffered(name)),
        None => Ok(p),
    }
}

/// The cipher of a word like `aes256`, with key bits given apart; `Some(Err)` is a known one that is not offered.
fn cipher(word: &str, bits: Option<&str>) -> Option<Result<Cipher, ()>> {
    if matches!(word, "3des" | "3des_cbc") {
        return Some(Ok(Cipher::TripleDes));
    }
    let base = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let glued = &word[base.len()..];
    if matches!(base, "aes" | "aes_cbc") {
        return match if glued.is_empty() { bits.unwrap_or("128") } else { glued } {
            "128" => Some(Ok(Cipher::Aes(128))),
            "192" => Some(Ok(Cipher::Aes(192))),
            "256" => Some(Ok(Cipher::Aes(256))),
            _ => None,
        };
    }
    NOT_OFFERED.iter().any(|n| base == *n || word.starts_with(&format!("{n}_"))).then_some(Err(()))
}

fn hash(word: &str) -> Option<HashAlg> {
    Some(match word {
        "md5" => HashAlg::Md5,
        "sha" | "sha1" => HashAlg::Sha1,
        "sha2" | "sha256" | "sha2_256" => HashAlg::Sha256,
        "sha384" | "sha2_384" => HashAlg::Sha384,
        "sha512" | "sha2_512" => HashAlg::Sha512,
        _ => return None,
    })
}

/// Whether a word names a Diffie-Hellman group, offered or not.
fn is_group(word: &str) -> bool {
    group(word).is_some()
        || matches!(
            word,
            "modp768" | "modp6144" | "modp8192" | "dh22" | "dh23" | "dh24" | "dh17" | "dh18" | "dh1"
        )
        || matches!(word, "ecp521" | "dh21" | "dh31" | "curve25519")
}

fn is_group_like(word: &str) -> bool {
    ["modp", "dh", "ecp"]
        .iter()
        .any(|p| word.strip_prefix(p).is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let s = ike(text).unwrap();
        let one = |s: &IkeSuite| format!("{}-{}-{}", s.cipher.name(), s.hash.name(), s.group.name());
        s.suites.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn separators_strict_mark_and_case() {
        let want = "aes_256-oakley_sha-modp1536";
        for text in [
            "aes256-sha1;modp1536",
            "AES256-SHA1-MODP1536!",
            "aes-256-sha1-modp1536",
            "aes256-sha-prfsha1-dh5",
        ] {
            assert_eq!(show(text), want, "{text}");
        }
        assert_eq!(
            show("aes256-sha1-modp2048, 3des-sha1-modp1024!"),
            "aes_256-oakley_sha-modp2048 oakley_3des_cbc_192-oakley_sha-modp1024"
        );
    }

    #[test]
    fn what_is_left_out_stands_for_the_defaults() {
        assert_eq!(ike("3des").unwrap().suites.len(), 8);
        assert_eq!(ike("aes128-sha1").unwrap().suites.len(), 4);
        assert_eq!(ike("modp1536").unwrap().suites.len(), 4);
    }

    #[test]
    fn phase_2_lists() {
        let s = esp("3des-md5-96").unwrap();
        assert_eq!(s.suites, [EspSuite { cipher: EspCipher::TripleDes, integ: EspInteg::Md5 }]);
        let s = esp("aes256-sha1;modp1536,aes-sha2_256").unwrap();
        assert_eq!((s.suites.len(), s.group), (2, Some(DhGroup::Modp1536)));
        assert_eq!(esp("aes128-sha1-96").unwrap().suites.len(), 1);
    }

    #[test]
    fn unknown_names_are_errors_in_the_old_form() {
        assert_eq!(
            ike("bogus").unwrap_err(),
            "esp string error: enc_alg not found, enc_alg=\"bogus\", auth_alg=\"\", modp=\"\""
        );
        assert_eq!(
            esp("aes-hmac").unwrap_err(),
            "esp string error: hash_alg not found, enc_alg=\"aes\", auth_alg=\"hmac\", modp=\"\""
        );
        assert!(ike("aes-sha1-modp99").unwrap_err().starts_with("esp string error: modp group not found"));
        assert!(ike("").is_err() && ike(",").is_err() && ike("aes129-sha1").is_err());
    }

    #[test]
    fn known_but_not_offered_is_left_out() {
        let s = ike("serpent256-sha1-modp2048,aes128-sha1-modp2048,aes128-sha1-modp8192").unwrap();
        assert_eq!((s.suites.len(), s.warnings.len()), (1, 2));
        assert!(esp("aes_gcm_c-128-null").is_err());
        assert!(ike("aes128-sha1-prfmd5-modp2048").is_err());
    }
}
