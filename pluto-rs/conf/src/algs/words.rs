//! The words of an algorithm list: names of ciphers, integrity algorithms, PRFs and groups in every dialect's spelling.

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg};

/// What one word stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Cipher(EspCipher),
    Integ(EspInteg),
    Prf(EspInteg),
    Group(DhGroup),
    /// Bits of a key or of a tag, given apart.
    Bits,
    /// `null`, `none`: what it is not depends on the place.
    Nothing,
    /// Says nothing here: extended sequence numbers, `default`.
    Idle,
    /// Something IKEv2 alone can negotiate.
    Ikev2,
    /// A real algorithm that is not offered.
    NotOffered,
    /// Nobody knows it.
    Unknown,
}

/// Algorithms that other programs know, or knew; a word that begins with one is that.
const NOT_OFFERED: [&str; 15] = [
    "blowfish", "cast", "idea", "rc5", "serpent", "twofish", "seed", "ripemd", "tiger", "kpdk", "modpnull",
    "curve448", "x448", "ecp192", "ecp224",
];

/// The usual spellings, for "did you mean".
pub(super) const SPELLINGS: [&str; 43] = [
    "aes",
    "aes128",
    "aes192",
    "aes256",
    "aes_ctr",
    "aes_gcm",
    "aes_gcm128",
    "aes_gcm256",
    "aes_ccm",
    "aes_gmac",
    "aes128gcm16",
    "aes256gcm16",
    "3des",
    "des",
    "null",
    "camellia",
    "camellia128",
    "camellia256",
    "chacha20poly1305",
    "md5",
    "sha1",
    "sha2",
    "sha2_256",
    "sha2_384",
    "sha2_512",
    "sha256",
    "sha384",
    "sha512",
    "aes_xcbc",
    "aesxcbc",
    "aes_cmac",
    "modp768",
    "modp1024",
    "modp1536",
    "modp2048",
    "modp3072",
    "modp4096",
    "modp6144",
    "modp8192",
    "ecp256",
    "ecp384",
    "ecp521",
    "curve25519",
];

/// What `word` (lower case) stands for; `bits` is the number that follows it, if one does. True if the number belongs to it.
pub(super) fn read(word: &str, bits: Option<&str>) -> (Word, bool) {
    let whole = |w| (w, false);
    if matches!(word, "null" | "none" | "esp_null" | "modpnone") {
        return whole(Word::Nothing);
    }
    if matches!(word, "esn" | "noesn" | "default" | "hmac") {
        return whole(Word::Idle);
    }
    if let Some(group) = group(word) {
        return whole(Word::Group(group));
    }
    let plain = word.strip_prefix("hmac_").unwrap_or(word);
    if let Some(integ) = integ(plain) {
        return whole(Word::Integ(integ));
    }
    if let Some(prf) = word.strip_prefix("prf") {
        let prf = prf.trim_start_matches('_');
        let prf = prf.strip_prefix("hmac_").unwrap_or(prf);
        return whole(integ(prf).map_or(Word::NotOffered, Word::Prf));
    }
    if word.parse::<u16>().is_ok() {
        return whole(Word::Bits);
    }
    let further = |p: &str| word.strip_prefix(p).is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    if further("addke") || further("ke") || word.starts_with("ke=") || word.starts_with("ml") {
        return whole(Word::Ikev2);
    }
    let of_group = ["ecp256bp", "ecp384bp", "ecp512bp", "newhope", "ntru"];
    if NOT_OFFERED.iter().chain(&of_group).any(|n| word.starts_with(n)) {
        return whole(Word::NotOffered);
    }
    match (cipher(word, None), bits.and_then(|b| cipher(word, Some(b)))) {
        // The number is the cipher's only if the name has none of its own.
        (Some(with), Some(apart)) if with != apart || has_no_size(word) => (Word::Cipher(apart), true),
        (Some(cipher), _) => whole(Word::Cipher(cipher)),
        (None, _) => whole(Word::Unknown),
    }
}

fn has_no_size(word: &str) -> bool {
    !["128", "192", "256"].iter().any(|size| word.contains(size))
        && (word.starts_with("aes") || word.starts_with("camellia"))
}

/// A group by its name in `pfsgroup=` (`modp1024`, `dh14`).
pub fn group(name: &str) -> Option<DhGroup> {
    let name = name.to_ascii_lowercase().replace('_', "");
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

/// The cipher of a word like `aes256`, with key bits given apart.
fn cipher(word: &str, bits: Option<&str>) -> Option<EspCipher> {
    match word {
        "des" | "des_cbc" => return Some(EspCipher::Des),
        "3des" | "3des_cbc" | "3des168" => return Some(EspCipher::TripleDes),
        "chacha20poly1305" | "chacha20_poly1305" | "chacha20" => {
            return Some(EspCipher::ChaCha20Poly1305);
        }
        _ => {}
    }
    if let Some(rest) = word.strip_prefix("camellia") {
        let rest = rest.strip_prefix("_cbc").unwrap_or(rest).trim_start_matches('_');
        return key_bits(rest, bits, 0).map(EspCipher::Camellia);
    }
    // aes, aes256, aes_cbc, aes_ctr256, aes256ctr, aes_gcm_c-256, aes_gcm_16_256, aes_gcm256, aes256gcm16, aes256gcm128,
    // null_auth_aes_gmac_256, aes256gmac
    let word = word.strip_prefix("null_auth_").filter(|w| w.contains("gmac")).unwrap_or(word);
    let rest = word.strip_prefix("aes")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (glued, mode) = rest.split_at(digits);
    let mode = mode.strip_prefix('_').unwrap_or(mode);
    let (name, tail) = mode.split_at(mode.len().min(if mode.starts_with("gmac") { 4 } else { 3 }));
    let salt = match name {
        "ctr" | "gcm" | "gmac" => 32,
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
    Some(match name {
        "ctr" => EspCipher::AesCtr(size),
        "gcm" => EspCipher::AesGcm(size, tag),
        "ccm" => EspCipher::AesCcm(size, tag),
        "gmac" => EspCipher::AesGmac(size),
        _ => EspCipher::Aes(size),
    })
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
        "md5" | "md5_96" => EspInteg::Md5,
        "sha" | "sha1" | "sha1_96" => EspInteg::Sha1,
        "sha2" | "sha256" | "sha2_256" | "sha256_128" | "sha2_256_128" => EspInteg::Sha256,
        "sha256_96" | "sha2_256_96" | "sha2_256_truncbug" => EspInteg::Sha256Trunc96,
        "sha384" | "sha2_384" | "sha384_192" | "sha2_384_192" => EspInteg::Sha384,
        "sha512" | "sha2_512" | "sha512_256" | "sha2_512_256" => EspInteg::Sha512,
        "aes_xcbc" | "aesxcbc" | "aes_xcbc_96" | "aes_xcbc_mac" | "aes128_xcbc" | "aes128_xcbc_96" => {
            EspInteg::AesXcbc
        }
        "aes_cmac" | "aescmac" | "aes_cmac_96" => EspInteg::AesCmac,
        _ => return None,
    })
}
