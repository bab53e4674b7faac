//! A list split into proposals, and a proposal into what its words name. What they are good for is not known here.

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg};

use super::words::{self, Word};
use super::{AlgError, Found, MAX_WORDS, Refusal, suggestion};

/// One proposal: what it names of each kind, in order.
#[derive(Default)]
pub(super) struct Proposal {
    pub(super) text: String,
    pub(super) ciphers: Vec<EspCipher>,
    pub(super) integs: Vec<EspInteg>,
    pub(super) prfs: Vec<EspInteg>,
    pub(super) groups: Vec<DhGroup>,
}

/// The proposals of a list. With `ah`, there are no ciphers.
pub(super) fn list<S>(text: &str, found: &mut Found<S>, ah: bool) -> Result<Vec<Proposal>, AlgError> {
    let mut proposals = Vec::new();
    if text.split([',', '-', ';', '+']).count() > MAX_WORDS {
        let message = format!("esp string error: more than {MAX_WORDS} words");
        return Err(AlgError { message, ..AlgError::default() });
    }
    // `!` asks that nothing else be accepted, which is so anyway.
    let word = |w: &'_ str| w.trim().trim_end_matches('!').trim_end().to_ascii_lowercase();
    for word in text.split(',').map(word).filter(|w| !w.is_empty()) {
        match one(&word, ah) {
            Ok(p) => proposals.push(p),
            Err(Refusal::NotOffered(why)) => found.left_out(&word, &format!("{why} is not offered")),
            Err(Refusal::Ikev2(why)) => found.left_out_for_ikev2(&word, &format!("{why} needs IKEv2")),
            Err(Refusal::Unknown(error)) => return Err(error),
        }
    }
    if proposals.is_empty() && found.warnings.is_empty() {
        return Err(unknown("enc_alg", "", "", "", ""));
    }
    Ok(proposals)
}

/// The error for a word nobody knows, in Openswan's form.
fn unknown(kind: &str, word: &str, enc: &str, auth: &str, modp: &str) -> AlgError {
    AlgError {
        message: format!(
            "esp string error: {kind} not found, enc_alg=\"{enc}\", auth_alg=\"{auth}\", modp=\"{modp}\""
        ),
        help: suggestion(word),
        needs_ikev2: false,
    }
}

fn one(text: &str, ah: bool) -> Result<Proposal, Refusal> {
    let mut p = Proposal { text: text.into(), ..Proposal::default() };
    let words: Vec<(char, &str)> = split(text);
    let first = words.first().map_or("", |w| w.1);
    let group = words.iter().map(|w| w.1).find(|w| words::group(w).is_some()).unwrap_or_default();
    let mut refused = None;
    let mut skip = false;
    for (i, &(separator, word)) in words.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        let next = words.get(i + 1).map(|w| w.1).filter(|w| w.parse::<u16>().is_ok());
        let (meaning, with_next) = words::read(word, next);
        skip = with_next;
        match meaning {
            Word::Cipher(_) if ah => {
                return Err(Refusal::Unknown(unknown("hash_alg", word, "", word, group)));
            }
            Word::Cipher(c) => push(&mut p.ciphers, c),
            Word::Integ(integ) => push(&mut p.integs, integ),
            Word::Prf(prf) => push(&mut p.prfs, prf),
            Word::Group(g) => push(&mut p.groups, g),
            Word::Nothing => p.nothing(word, separator, ah),
            Word::Bits if !p.integs.is_empty() => {}
            Word::Idle if word != "hmac" || i + 1 < words.len() => {}
            Word::Ikev2 => return Err(Refusal::Ikev2(word.to_string())),
            Word::NotOffered => refused = Some(word),
            Word::Unknown | Word::Bits | Word::Idle => {
                let like_group = ["modp", "dh", "ecp", "curve", "x"].iter().any(|p| {
                    word.strip_prefix(p).is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()))
                });
                return Err(Refusal::Unknown(match i {
                    _ if like_group => unknown("modp group", word, first, "", word),
                    0 if ah => unknown("hash_alg", word, "", word, group),
                    0 => {
                        let second = words.get(1).map(|w| w.1).filter(|w| words::group(w).is_none());
                        unknown("enc_alg", word, word, second.unwrap_or_default(), group)
                    }
                    _ => unknown("hash_alg", word, first, word, group),
                }));
            }
        }
    }
    if let Some(name) = refused {
        return Err(Refusal::NotOffered(name.to_string()));
    }
    if !ah && p.ciphers.is_empty() && !(p.integs.is_empty() && p.prfs.is_empty()) {
        return Err(Refusal::Unknown(unknown("enc_alg", "", first, "", group)));
    }
    Ok(p)
}

impl Proposal {
    /// `null` or `none`: no cipher in front, no group behind `;` or a second time, else no integrity algorithm.
    fn nothing(&mut self, word: &str, separator: char, ah: bool) {
        if self.ciphers.is_empty() && !ah && word != "modpnone" {
            self.ciphers.push(EspCipher::Null);
        } else if separator != ';' && self.integs.is_empty() && word != "modpnone" {
            self.integs.push(EspInteg::None);
        }
    }
}

/// The words of a proposal, each with the character in front of it.
fn split(text: &str) -> Vec<(char, &str)> {
    let mut separator = '-';
    let mut words = Vec::new();
    for piece in text.split_inclusive(['-', ';', '+']) {
        let word = piece.strip_suffix(['-', ';', '+']);
        words.push((separator, word.unwrap_or(piece).trim()));
        separator = if word.is_some() { piece.chars().next_back().unwrap_or('-') } else { '-' };
    }
    words
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
