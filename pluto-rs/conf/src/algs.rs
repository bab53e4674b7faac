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

/// One proposal; `None` was not given.
#[derive(Default)]
struct Proposal {
    text: String,
    cipher: Option<EspCipher>,
    integ: Option<EspInteg>,
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
/// What integrity algorithms a proposal without one stands for.
const INTEGS: [EspInteg; 2] = [EspInteg::Sha1, EspInteg::Md5];
/// What ciphers a proposal that is only a group stands for.
const CIPHERS: [EspCipher; 2] = [EspCipher::Aes(128), EspCipher::TripleDes];
/// Ciphers that other programs know, or knew.
const NOT_OFFERED: [&str; 8] = ["blowfish", "cast", "idea", "rc5", "serpent", "twofish", "seed", "aes_gmac"];

/// Parses `ike=`.
///
/// # Errors
/// The text after `034 `, in Openswan's form.
pub fn ike(text: &str) -> Result<Suites<IkeSuite>, String> {
    let (proposals, mut warnings) = parse(text)?;
    let mut suites = Vec::new();
    for p in proposals {
        let ciphers: Vec<_> = choices(p.cipher, &CIPHERS).into_iter().filter_map(ike_cipher).collect();
        let hashes: Vec<_> = choices(p.integ, &INTEGS).into_iter().filter_map(ike_hash).collect();
        if ciphers.is_empty() || hashes.is_empty() {
            warnings.push(format!("\"{}\" left out: it is not for phase 1", p.text));
        }
        for cipher in ciphers {
            for group in choices(p.group, &GROUPS) {
                for hash in hashes.iter().copied() {
                    add(&mut suites, IkeSuite { cipher, hash, group })?;
                }
            }
        }
    }
    finish(Suites { suites, group: None, warnings })
}

/// Parses `esp=` and `phase2alg=`.
///
/// # Errors
/// The text after `034 `, in Openswan's form.
pub fn esp(text: &str) -> Result<Suites<EspSuite>, String> {
    let (proposals, mut warnings) = parse(text)?;
    let mut suites = Vec::new();
    // Phase 2 offers all transforms with one group: the first that is named.
    let group = proposals.iter().find_map(|p| p.group);
    for p in proposals {
        for cipher in choices(p.cipher, &CIPHERS) {
            let fitting: &[EspInteg] = if cipher.tag_len().is_some() { &[EspInteg::None] } else { &INTEGS };
            for integ in choices(p.integ, fitting) {
                let suite = EspSuite { cipher, integ };
                if suite.is_sound() {
                    add(&mut suites, suite)?;
                } else {
                    warnings.push(format!("\"{}\" left out: the integrity does not fit the cipher", p.text));
                }
            }
        }
    }
    finish(Suites { suites, group, warnings })
}

/// Parses `phase2alg=` of a conn with `phase2=ah`: `sha1`, `md5-96;modp1536`. The suites have no cipher.
///
/// # Errors
/// The text after `034 `, in Openswan's form.
pub fn ah(text: &str) -> Result<Suites<EspSuite>, String> {
    let with_cipher = |word: &str| format!("null-{}", word.trim());
    let all: Vec<String> = list(text).split(',').map(with_cipher).collect();
    esp(&all.join(","))
}

fn finish<S>(s: Suites<S>) -> Result<Suites<S>, String> {
    match s.suites.is_empty() {
        true => Err(format!("esp string error: {}", s.warnings.join(", "))),
        false => Ok(s),
    }
}

fn ike_cipher(c: EspCipher) -> Option<IkeCipher> {
    match c {
        EspCipher::Des => Some(IkeCipher::Des),
        EspCipher::TripleDes => Some(IkeCipher::TripleDes),
        EspCipher::Aes(bits) => Some(IkeCipher::Aes(bits)),
        EspCipher::Camellia(bits) => Some(IkeCipher::Camellia(bits)),
        _ => None,
    }
}

fn ike_hash(i: EspInteg) -> Option<HashAlg> {
    match i {
        EspInteg::Md5 => Some(HashAlg::Md5),
        EspInteg::Sha1 => Some(HashAlg::Sha1),
        EspInteg::Sha256 => Some(HashAlg::Sha256),
        EspInteg::Sha384 => Some(HashAlg::Sha384),
        EspInteg::Sha512 => Some(HashAlg::Sha512),
        EspInteg::None | EspInteg::Sha256Trunc96 | EspInteg::AesXcbc => None,
    }
}

/// A group by its name in `pfsgroup=` (`modp1024`, `dh14`).
pub fn group(name: &str) -> Option<DhGroup> {
    let name = name.to_ascii_lowercase();
    let name = match name.as_str() {
        "x25519" => "curve25519",
        "modp1024s160" => "dh22",
        "modp2048s224" => "dh23",
        "modp2048s256" => "dh24",
        other => other,
    };
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

/// The list without the mark of strictness.
fn list(text: &str) -> &str {
    text.trim().trim_end_matches('!').trim_end()
}

fn parse(text: &str) -> Result<(Vec<Proposal>, Vec<String>), String> {
    let list = list(text);
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
    let mut p = Proposal { text: text.into(), ..Proposal::default() };
    let mut refused = None;
    // From the end: group, PRF, hash with its bits; what is left is the cipher.
    let group_word = match words.last() {
        Some(w) if group(w).is_some() => words.pop(),
        _ => None,
    };
    p.group = group_word.and_then(group);
    let Some(cipher_word) = words.first().copied() else { return Ok(p) };
    let mut rest = words[1..].iter().copied().peekable();
    let sized = cipher_word.starts_with("aes") || cipher_word.starts_with("camellia");
    let bits = rest.next_if(|w| sized && w.parse::<u16>().is_ok_and(|b| b != 96));
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
        match (integ(plain), word.strip_prefix("prf").map(integ)) {
            (Some(i), _) if p.integ.is_none() => p.integ = Some(i),
            // IKEv1 has one hash for both; the only PRF that can be named is that one.
            (_, Some(Some(prf))) if p.integ.is_none_or(|i| i == prf) => {}
            (_, Some(_)) => refused = Some(word.to_string()),
            _ if is_bits && p.integ.is_some() => {}
            _ if matches!(plain, "ripemd" | "ripemd160" | "tiger") => refused = Some(word.to_string()),
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
fn cipher(word: &str, bits: Option<&str>) -> Option<Result<EspCipher, ()>> {
    match word {
        "des" | "des_cbc" => return Some(Ok(EspCipher::Des)),
        "3des" | "3des_cbc" => return Some(Ok(EspCipher::TripleDes)),
        "null" | "esp_null" => return Some(Ok(EspCipher::Null)),
        "chacha20poly1305" | "chacha20_poly1305" | "chacha20" => {
            return Some(Ok(EspCipher::ChaCha20Poly1305));
        }
        _ => {}
    }
    if NOT_OFFERED.iter().any(|n| word.starts_with(n)) {
        return Some(Err(()));
    }
    if let Some(rest) = word.strip_prefix("camellia") {
        let rest = rest.strip_prefix("_cbc").unwrap_or(rest);
        return key_bits(rest, bits, 0).map(|b| Ok(EspCipher::Camellia(b)));
    }
    // aes, aes256, aes_cbc, aes_ctr256, aes256ctr, aes_gcm_c-256, aes_gcm_16_256, aes_gcm256, aes256gcm16, aes256gcm128
    let rest = word.strip_prefix("aes")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (glued, mode) = rest.split_at(digits);
    let mode = mode.strip_prefix('_').unwrap_or(mode);
    let (name, tail) = mode.split_at(mode.len().min(3));
    let salt = match name {
        "ctr" | "gcm" => 32,
        "ccm" => 24,
        "" | "cbc" => 0,
        _ => return None,
    };
    let (tag, tail) =
        if matches!(name, "gcm" | "ccm") { tag_len(tail, !glued.is_empty()) } else { (16, tail) };
    let tail = tail.strip_prefix('_').unwrap_or(tail);
    let size = key_bits(if glued.is_empty() { tail } else { glued }, bits, salt)?;
    if !glued.is_empty() && !tail.is_empty() {
        return None;
    }
    Some(Ok(match name {
        "ctr" => EspCipher::AesCtr(size),
        "gcm" => EspCipher::AesGcm(size, tag),
        "ccm" => EspCipher::AesCcm(size, tag),
        _ => EspCipher::Aes(size),
    }))
}

/// Octets of the tag that begins `tail` (`_a`, `16`, `_12`, and where the key came first `128` in bits), 16 if none
/// does; and what follows.
fn tag_len(tail: &str, key_came_first: bool) -> (u8, &str) {
    let rest = tail.strip_prefix('_').unwrap_or(tail);
    let names = [("a", 8), ("b", 12), ("c", 16), ("16", 16), ("12", 12), ("8", 8)];
    let in_bits = [("128", 16), ("96", 12), ("64", 8)];
    let whole = |left: &str| left.is_empty() || left.starts_with('_');
    let found = names
        .into_iter()
        .chain(in_bits.into_iter().filter(|_| key_came_first))
        .find_map(|(name, tag)| rest.strip_prefix(name).filter(|l| whole(l)).map(|l| (tag, l)));
    found.unwrap_or((16, tail))
}

/// 128, 192 or 256, given with the name or apart, and with or without the salt.
fn key_bits(glued: &str, apart: Option<&str>, salt: u16) -> Option<u16> {
    let text = if glued.is_empty() { apart.unwrap_or("128") } else { glued };
    let n = text.parse::<u16>().ok()?;
    [128, 192, 256].into_iter().find(|b| n == *b || n == b + salt)
}

fn integ(word: &str) -> Option<EspInteg> {
    Some(match word {
        "null" | "none" => EspInteg::None,
        "md5" => EspInteg::Md5,
        "sha" | "sha1" => EspInteg::Sha1,
        "sha2" | "sha256" | "sha2_256" => EspInteg::Sha256,
        "sha256_96" | "sha2_256_96" => EspInteg::Sha256Trunc96,
        "sha384" | "sha2_384" => EspInteg::Sha384,
        "sha512" | "sha2_512" => EspInteg::Sha512,
        "aes_xcbc" | "aesxcbc" | "aes_xcbc_96" => EspInteg::AesXcbc,
        _ => return None,
    })
}

fn is_group_like(word: &str) -> bool {
    ["modp", "dh", "ecp", "curve"]
        .iter()
        .any(|p| word.strip_prefix(p).is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit())))
}
