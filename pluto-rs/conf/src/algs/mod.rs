//! `ike=` and `esp=`: lists of algorithm names, in Openswan's, libreswan's and strongSwan's grammar.
//!
//! ```text
//! list := prop { "," prop }
//! prop := word { ("-" | ";" | "+") word } [ "!" ]
//! ```
//!
//! The words of a proposal are ciphers, integrity algorithms, PRFs and groups in any order; more than one of a kind stands for
//! every combination. Openswan writes `aes256-sha1;modp2048`, libreswan `aes256+aes128-sha2_256`, strongSwan
//! `aes256-aes128-sha256-modp2048!`.
//!
//! A proposal made of names we know but do not offer is left out with a warning as long as another one remains; a name nobody
//! knows is an error.

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite, HashAlg, IkeCipher, IkeSuite};

use crate::diag::did_you_mean;

mod proposal;
mod words;

use proposal::Proposal;
pub use words::group;

/// Most suites one list may expand to.
const MAX_SUITES: usize = 128;
/// Most words a list may have.
const MAX_WORDS: usize = 512;

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

/// Why a list cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlgError {
    /// The text after `034 `, in Openswan's form, which says "esp" of `ike=` too.
    pub message: String,
    /// What may have been meant.
    pub help: Option<String>,
    /// Nothing is wrong with it, but all of it is for IKEv2.
    pub needs_ikev2: bool,
}

impl From<AlgError> for String {
    fn from(e: AlgError) -> String {
        e.message
    }
}

/// Why one proposal cannot be used.
enum Refusal {
    /// Nobody knows a word.
    Unknown(AlgError),
    /// A word names a real algorithm that is not offered.
    NotOffered(String),
    /// A word names something that only IKEv2 can negotiate.
    Ikev2(String),
}

/// What groups an `ike=` proposal without one stands for.
const GROUPS: [DhGroup; 4] = [DhGroup::Modp2048, DhGroup::Modp1536, DhGroup::Modp3072, DhGroup::Modp1024];
/// What integrity algorithms a proposal without one stands for.
const INTEGS: [EspInteg; 4] = [EspInteg::Sha1, EspInteg::Sha256, EspInteg::Sha512, EspInteg::Md5];
/// What ciphers a proposal that is only a group stands for.
const CIPHERS: [EspCipher; 2] = [EspCipher::Aes(128), EspCipher::TripleDes];

/// Parses `ike=`.
///
/// # Errors
/// A word nobody knows, too many combinations, or nothing that can be offered.
pub fn ike(text: &str) -> Result<Suites<IkeSuite>, AlgError> {
    let mut found = Found::default();
    for p in parse(text, &mut found)? {
        let ciphers: Vec<_> = or(&p.ciphers, &CIPHERS).iter().filter_map(|c| ike_cipher(*c)).collect();
        // IKEv1 has one hash for both: a PRF without an integrity algorithm is it, one beside it must be the same.
        let hashes: Vec<_> = match (p.integs.as_slice(), p.prfs.as_slice()) {
            ([], []) => INTEGS.iter().filter_map(|i| ike_hash(*i)).collect(),
            ([], prfs) => prfs.iter().filter_map(|i| ike_hash(*i)).collect(),
            (integs, prfs) => integs
                .iter()
                .filter(|i| prfs.is_empty() || prfs.contains(i))
                .filter_map(|i| ike_hash(*i))
                .collect(),
        };
        if ciphers.is_empty() || hashes.is_empty() {
            found.left_out_for_ikev2(&p.text, "it is not for phase 1 of IKEv1");
        }
        for cipher in ciphers {
            for &group in or(&p.groups, &GROUPS) {
                for &hash in &hashes {
                    found.add(IkeSuite { cipher, hash, group })?;
                }
            }
        }
    }
    found.finish(None)
}

/// Parses `esp=` and `phase2alg=`.
///
/// # Errors
/// As [`ike`].
pub fn esp(text: &str) -> Result<Suites<EspSuite>, AlgError> {
    let mut found = Found::default();
    let proposals = parse(text, &mut found)?;
    // Phase 2 offers all transforms with one group: the first that is named.
    let group = proposals.iter().find_map(|p| p.groups.first().copied());
    for p in proposals {
        let before = found.suites.len();
        for &cipher in or(&p.ciphers, &CIPHERS) {
            if cipher.tag_len().is_some() {
                if p.integs.iter().any(|i| *i != EspInteg::None) {
                    found.say(format!("\"{}\": the cipher needs no integrity algorithm beside it", p.text));
                }
                found.add(EspSuite { cipher, integ: EspInteg::None })?;
                continue;
            }
            for &integ in or(&p.integs, &INTEGS) {
                let suite = EspSuite { cipher, integ };
                if suite.is_sound() {
                    found.add(suite)?;
                }
            }
        }
        if found.suites.len() == before && !found.repeated {
            found.say(format!("\"{}\" left out: the integrity does not fit the cipher", p.text));
        }
    }
    found.finish(group)
}

/// Parses `phase2alg=` of a conn with `phase2=ah`: `sha1`, `hmac-md5`, `md5-96;modp1536`. The suites have no cipher.
///
/// # Errors
/// As [`ike`], and a cipher.
pub fn ah(text: &str) -> Result<Suites<EspSuite>, AlgError> {
    let mut found = Found::default();
    let proposals = proposal::list(text, &mut found, true)?;
    let group = proposals.iter().find_map(|p| p.groups.first().copied());
    for p in proposals {
        for &integ in or(&p.integs, &INTEGS) {
            if integ == EspInteg::None {
                found.say(format!("\"{}\" left out: AH is nothing but integrity", p.text));
                continue;
            }
            found.add(EspSuite { cipher: EspCipher::Null, integ })?;
        }
    }
    found.finish(group)
}

fn parse<S>(text: &str, found: &mut Found<S>) -> Result<Vec<Proposal>, AlgError> {
    proposal::list(text, found, false)
}

/// What a list has come to so far.
struct Found<S> {
    suites: Vec<S>,
    warnings: Vec<String>,
    /// Something was left out, and whether all of that is for IKEv2.
    for_ikev2: Option<bool>,
    /// A suite came up twice.
    repeated: bool,
}

impl<S> Default for Found<S> {
    fn default() -> Self {
        Found { suites: Vec::new(), warnings: Vec::new(), for_ikev2: None, repeated: false }
    }
}

impl<S> Found<S> {
    fn say(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn left_out(&mut self, proposal: &str, why: &str) {
        self.for_ikev2 = Some(false);
        self.say(format!("\"{proposal}\" left out: {why}"));
    }

    fn left_out_for_ikev2(&mut self, proposal: &str, why: &str) {
        self.for_ikev2.get_or_insert(true);
        self.say(format!("\"{proposal}\" left out: {why}"));
    }

    fn finish(self, group: Option<DhGroup>) -> Result<Suites<S>, AlgError> {
        match self.suites.is_empty() {
            true => Err(AlgError {
                message: format!("esp string error: {}", self.warnings.join(", ")),
                help: None,
                needs_ikev2: self.for_ikev2 == Some(true),
            }),
            false => Ok(Suites { suites: self.suites, group, warnings: self.warnings }),
        }
    }
}

impl<S: PartialEq> Found<S> {
    fn add(&mut self, suite: S) -> Result<(), AlgError> {
        if self.suites.contains(&suite) {
            self.repeated = true;
            return Ok(());
        }
        if self.suites.len() >= MAX_SUITES {
            let message = format!("esp string error: more than {MAX_SUITES} combinations");
            return Err(AlgError { message, ..AlgError::default() });
        }
        self.suites.push(suite);
        Ok(())
    }
}

fn or<'a, T>(given: &'a [T], default: &'a [T]) -> &'a [T] {
    if given.is_empty() { default } else { given }
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
        EspInteg::None | EspInteg::Sha256Trunc96 | EspInteg::AesXcbc | EspInteg::AesCmac => None,
    }
}

/// "did you mean" for a word of a list.
fn suggestion(word: &str) -> Option<String> {
    did_you_mean(word, words::SPELLINGS)
        .filter(|near| *near != word)
        .map(|near| format!("did you mean `{near}'?"))
}
