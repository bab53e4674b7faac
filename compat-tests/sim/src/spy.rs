//! Somebody on the path who has the keys of both ends: reads their messages, changes them, and seals them again.
//!
//! The exponents are secret, but the simulated workers tell the shared secrets they have computed. As a change makes the
//! two ends see different messages, each end has a view of its own of every IKE SA: a message is opened as its sender
//! sealed it, and sealed as its receiver expects it. A phase 2 message that was changed gets a hash that is right again,
//! so that the change is what the receiver has to judge. One whose encryption flag is taken away goes on in clear.

use std::collections::HashMap;

use ipsec_crypto::keymat::{self, PhaseOneKeys};
use ipsec_crypto::{cipher, hmac};
use ipsec_types::SecretBytes;
use ipsec_types::algo::{HashAlg, IkeCipher};

use crate::message::{HASH, KE, Message, NONCE};

/// The shared secrets that workers have computed, with the peer's public values they were computed from.
pub type Secrets = Vec<(Vec<u8>, SecretBytes)>;

/// The algorithms of every IKE SA that is spied on.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Cipher.
    pub cipher: IkeCipher,
    /// Hash.
    pub hash: HashAlg,
    /// The pre-shared key; without one `SKEYID` is made of the nonces and the shared secret (signatures).
    pub psk: Option<Vec<u8>>,
}

struct Exchange {
    iv: Vec<u8>,
    count: usize,
    ni: Vec<u8>,
    nr: Vec<u8>,
}

/// One end's view of an IKE SA.
#[derive(Default)]
struct View {
    cookies: [[u8; 8]; 2],
    /// Public values and nonces, the initiator's first.
    ke: [Vec<u8>; 2],
    nonce: [Vec<u8>; 2],
    keys: Option<(PhaseOneKeys, SecretBytes)>,
    phase1_iv: Vec<u8>,
    exchanges: HashMap<u32, Exchange>,
}

impl View {
    fn note(&mut self, m: &Message) {
        let who = usize::from(!m.from_initiator);
        self.cookies = [m.icookie, m.rcookie];
        for p in &m.payloads {
            match p.kind {
                KE => self.ke[who] = p.body.clone(),
                NONCE => self.nonce[who] = p.body.clone(),
                _ => {}
            }
        }
    }

    fn derive(&mut self, suite: &Suite, secrets: &Secrets) -> Option<()> {
        if self.keys.is_some() {
            return Some(());
        }
        let shared = secrets.iter().rev().find(|(peer, _)| self.ke.contains(peer)).map(|(_, s)| s)?;
        let [ni, nr] = &self.nonce;
        let skeyid = match &suite.psk {
            Some(psk) => keymat::skeyid_psk(suite.hash, &SecretBytes::from(&psk[..]), ni, nr).ok()?,
            None => SecretBytes::new(hmac(suite.hash, &[&ni[..], nr].concat(), &[shared.expose()]).ok()?),
        };
        let [i, r] = &self.cookies;
        let keys = PhaseOneKeys::derive(suite.hash, &skeyid, shared, i, r).ok()?;
        let key = keymat::cipher_key(suite.cipher, suite.hash, &keys.e).ok()?;
        self.phase1_iv =
            keymat::phase1_iv(suite.hash, &self.ke[0], &self.ke[1], suite.cipher.block_len()).ok()?;
        self.keys = Some((keys, key));
        Some(())
    }

    fn iv(&mut self, suite: &Suite, msgid: u32) -> Option<&mut Vec<u8>> {
        if msgid == 0 {
            return Some(&mut self.phase1_iv);
        }
        let seed = &self.phase1_iv;
        let iv = keymat::phase2_iv(suite.hash, seed, msgid, suite.cipher.block_len()).ok()?;
        let new = Exchange { iv, count: 0, ni: Vec::new(), nr: Vec::new() };
        Some(&mut self.exchanges.entry(msgid).or_insert(new).iv)
    }

    /// Opens or seals: the IV moves on to the last block of the ciphertext.
    fn crypt(&mut self, suite: &Suite, msgid: u32, data: &[u8], open: bool) -> Option<Vec<u8>> {
        let key = self.keys.as_ref()?.1.clone();
        let iv = self.iv(suite, msgid)?;
        let out = match open {
            true => cipher::decrypt(suite.cipher, key.expose(), iv, data).ok()?,
            false => cipher::encrypt(suite.cipher, key.expose(), iv, data).ok()?,
        };
        let sealed = if open { data } else { &out };
        *iv = sealed[sealed.len().checked_sub(suite.cipher.block_len())?..].to_vec();
        Some(out)
    }

    /// Notes the nonces of a phase 2 message, and which it is of its exchange.
    fn count(&mut self, m: &Message) -> usize {
        let Some(e) = self.exchanges.get_mut(&m.msgid) else { return 0 };
        e.count += 1;
        let nonce = m.payloads.iter().find(|p| p.kind == NONCE).map(|p| p.body.clone());
        match (e.count, nonce) {
            (1, Some(n)) => e.ni = n,
            (2, Some(n)) => e.nr = n,
            _ => {}
        }
        e.count
    }

    /// Makes the hash of a phase 2 message right.
    fn rehash(&self, suite: &Suite, m: &mut Message, nth: usize) {
        let (Some((keys, _)), Some(e)) = (&self.keys, self.exchanges.get(&m.msgid)) else { return };
        let Some(first) = m.payloads.first().filter(|p| p.kind == HASH && !p.body.is_empty()) else { return };
        let rest = m.behind_first();
        let (id, a, old) = (m.msgid.to_be_bytes(), keys.a.expose(), first.body.clone());
        let hash = match (m.exchange, nth) {
            (32, 2) => hmac(suite.hash, a, &[&id, &e.ni, &rest]),
            (32, 3) => hmac(suite.hash, a, &[&[0], &id, &e.ni, &e.nr]),
            _ => hmac(suite.hash, a, &[&id, &rest]),
        };
        if let Some(first) = m.payloads.first_mut() {
            first.body = hash.unwrap_or(old);
        }
    }
}

/// What is done to a message.
pub type Change<'a> = &'a mut dyn FnMut(&mut Message);

/// An IKE SA as the client and as the server see it.
struct Sa {
    begun_by_client: bool,
    counts: HashMap<u32, usize>,
    views: [View; 2],
}

/// The one on the path.
pub struct Spy {
    suite: Suite,
    sas: HashMap<[u8; 8], Sa>,
    /// What a message became: the same again is changed in the same way.
    became: HashMap<Vec<u8>, Vec<u8>>,
}

impl Spy {
    /// One who knows the suite.
    pub fn new(suite: Suite) -> Self {
        Spy { suite, sas: HashMap::new(), became: HashMap::new() }
    }

    /// What the receiver of `data` gets. `change` is shown every message once, opened; `secrets` are those of the client
    /// and of the server. What cannot be opened passes as it is.
    pub fn pass(
        &mut self,
        secrets: [&Secrets; 2],
        from_client: bool,
        data: &[u8],
        change: Change<'_>,
    ) -> Vec<u8> {
        if let Some(known) = self.became.get(data) {
            return known.clone();
        }
        let out = self.translate(secrets, from_client, data, change).unwrap_or_else(|| data.to_vec());
        self.became.insert(data.to_vec(), out.clone());
        out
    }

    fn translate(
        &mut self,
        secrets: [&Secrets; 2],
        from_client: bool,
        data: &[u8],
        change: Change<'_>,
    ) -> Option<Vec<u8>> {
        let (marker, data) = match data {
            [0, 0, 0, 0, rest @ ..] => (4, rest),
            data => (0, data),
        };
        let (mut m, suite) = (Message::header(data)?, &self.suite);
        let begun_by_client = (m.rcookie == [0; 8]) == from_client;
        let sa = self.sas.entry(m.icookie).or_insert_with(|| Sa {
            begun_by_client,
            counts: HashMap::new(),
            views: <[View; 2]>::default(),
        });
        let nth = sa.counts.entry(m.msgid).or_default();
        *nth += 1;
        (m.nth, m.from_client, m.from_initiator) = (*nth, from_client, from_client == sa.begun_by_client);
        let [client, server] = &mut sa.views;
        let [clients, servers] = secrets;
        let (mine, his, my_secrets, his_secrets) = match from_client {
            true => (client, server, clients, servers),
            false => (server, client, servers, clients),
        };
        let body = data.get(28..)?;
        let encrypted = m.encrypted();
        if encrypted {
            mine.derive(suite, my_secrets)?;
            his.derive(suite, his_secrets)?;
            let plain = mine.crypt(suite, m.msgid, body, true)?;
            m.read(&plain)?;
            mine.count(&m);
        } else {
            m.read(body)?;
            mine.note(&m);
        }
        let before = m.clone();
        change(&mut m);
        let body = if encrypted {
            his.iv(suite, before.msgid)?;
            let nth = his.count(&m);
            if m != before && m.msgid != 0 && m.repair {
                his.rehash(suite, &mut m, nth);
            }
            match m.encrypted() {
                true => his.crypt(suite, before.msgid, &m.plain(suite.cipher.block_len()), false)?,
                false => m.plain(1),
            }
        } else {
            his.note(&m);
            m.plain(1)
        };
        Some([vec![0; marker], m.emit(&body)].concat())
    }
}
