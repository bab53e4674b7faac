//! `ipsec auto --listall` and its parts, in Openswan's form; dates are UTC and say so.

use std::collections::{HashMap, HashSet, VecDeque};

use ipsec_crypto::trust::date;
use ipsec_crypto::{Certificate, PublicKey};
use ipsec_types::auth::{CaSpec, PublicKeySpec};
use ipsec_types::conn::EndSpec;
use ipsec_types::whack::{List, rc};
use ipsec_types::{Id, dn};

use crate::Endpoint;
use crate::conn::Connection;
use crate::io::{ClientId, SecretLine};
use crate::v1::signature::written_keys;

/// A peer that has proved itself with a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Learned {
    pub id: Id,
    pub cert: Certificate,
    /// Second since 1970.
    pub at: u64,
}

/// Most that are remembered.
const MAX_LEARNED: usize = 1000;

/// The peers that have proved themselves with a certificate, each identity once, the latest last.
#[derive(Debug, Default)]
pub(crate) struct LearnedPeers(VecDeque<Learned>);

impl LearnedPeers {
    /// Remembers one; the one that was seen longest ago goes when there are too many.
    fn add(&mut self, learned: Learned) {
        self.0.retain(|l| l.id != learned.id);
        if self.0.len() >= MAX_LEARNED {
            self.0.pop_front();
        }
        self.0.push_back(learned);
    }
}
/// Days before the end of a certificate or a list from which on there is a warning.
const WARN_DAYS: i64 = 30;

/// `aa:bb:cc`.
fn colons(octets: &[u8]) -> String {
    octets.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// What is to be said of a date until which something is good.
fn expiry(until: i64, now: u64) -> String {
    let left = until - i64::try_from(now).unwrap_or(i64::MAX);
    let days = left / 86_400;
    match left {
        ..0 => "fatal (expired)".into(),
        _ if days >= WARN_DAYS => "ok".into(),
        _ if days > 0 => format!("warning (expires in {days} days)"),
        _ => format!("warning (expires in {} hours)", left / 3600),
    }
}

/// ` myup=C; hisup=C; mycert=F; hiscert=F;` of the status, empty without scripts and certificates.
pub(crate) fn end_words(c: &Connection) -> String {
    let (mine, his) = (c.this(), c.that());
    let word =
        |key: &str, name: &Option<String>| name.as_ref().map_or_else(String::new, |n| format!(" {key}={n};"));
    word("myup", &mine.updown)
        + &word("hisup", &his.updown)
        + &word("mycert", &mine.cert)
        + &word("hiscert", &his.cert)
}

/// `12: PSK @me %any`, of more than two indices the first two.
fn secret_line(s: &SecretLine) -> String {
    let name = |n: usize| match s.ids.get(n) {
        None | Some(Id::None) => "%any".to_string(),
        Some(id) => id.to_string(),
    };
    let more = if s.ids.len() > 2 { "more" } else { "" };
    format!("    {}: {} {} {}{more}", s.line, s.kind, name(0), name(1))
}

impl Endpoint {
    /// `'DN'...'DN'` of the status: the CAs of both ends, `%any` for none; nothing if there are none.
    pub(crate) fn authorities(&self, c: &Connection) -> Option<String> {
        let issuer = |end: &EndSpec| self.cert_of(end).map(|cert| dn::text(cert.issuer()));
        let name = |end: &EndSpec, other: &EndSpec| match &end.ca {
            CaSpec::Dn(name) => Some(dn::text(name)),
            CaSpec::Same => issuer(end).or_else(|| issuer(other)),
            CaSpec::Any => issuer(end),
        };
        let (ours, theirs) = (name(c.this(), c.that()), name(c.that(), c.this()));
        let text = |name: &Option<String>| name.as_deref().unwrap_or("%any").to_string();
        (ours.is_some() || theirs.is_some()).then(|| format!("'{}'...'{}'", text(&ours), text(&theirs)))
    }

    /// Remembers a peer's certificate for the list.
    pub(crate) fn learn(&mut self, id: &Id, cert: Certificate) {
        self.learned.add(Learned { id: id.clone(), cert, at: self.now.wall });
    }

    pub(crate) fn list(&mut self, client: ClientId, what: List) {
        let (heading, lines) = match what {
            List::All => {
                let all = [
                    List::PublicKeys,
                    List::Certs,
                    List::CaCerts,
                    List::AaCerts,
                    List::OcspCerts,
                    List::Crls,
                    List::Ocsp,
                    List::Psks,
                ];
                return all.into_iter().for_each(|part| self.list(client, part));
            }
            List::Events => {
                let next = self.timers.next();
                let text = next.map_or("no event is pending".to_string(), |(at, kind)| {
                    format!("next event {} in {} seconds", kind.event(), at.since(self.now.mono).as_secs())
                });
                return self.reply(client, rc::COMMENT, &text);
            }
            List::PublicKeys | List::CheckPublicKeys => ("List of Public Keys:", self.public_keys()),
            List::Certs => {
                let own = self.keyring.own.iter().filter_map(|k| k.cert.clone());
                let certs: Vec<_> = self.certs.values().flatten().cloned().chain(own).collect();
                ("List of X.509 End Certificates:", self.certificates(&certs))
            }
            List::CaCerts => {
                let certs = self.keyring.trust.authorities.clone();
                ("List of X.509 CA Certificates:", self.certificates(&certs))
            }
            List::AaCerts => {
                let certs = self.keyring.attribute_authorities.clone();
                ("List of X.509 AA Certificates:", self.certificates(&certs))
            }
            List::OcspCerts => {
                let certs = self.keyring.trust.ocsp_signers.clone();
                ("List of X.509 OCSP Certificates:", self.certificates(&certs))
            }
            List::Crls => ("List of X.509 CRLs:", self.crls()),
            List::Ocsp => ("List of OCSP responses:", self.ocsp_answers()),
            List::ACerts => ("List of X.509 Attribute Certificates:", Vec::new()),
            List::Groups => ("List of User Groups:", Vec::new()),
            List::Psks => return self.list_secrets(client),
            List::Pairs => ("List of host pairs:", Vec::new()),
        };
        if what == List::CheckPublicKeys {
            let bad = lines.iter().filter(|l| l.contains("warning (") || l.contains("fatal ("));
            let bad: Vec<String> = bad.cloned().collect();
            return self.reply_lines(client, &bad);
        }
        self.reply_lines(client, &[" ".into(), heading.into(), " ".into()]);
        self.reply_lines(client, &lines);
    }

    /// `--listpsks`: whom each record of `ipsec.secrets` serves, file by file.
    fn list_secrets(&mut self, client: ClientId) {
        let all = self.secrets.list();
        let mut files: Vec<&str> = Vec::new();
        for s in &all {
            if !files.contains(&s.file.as_str()) {
                files.push(&s.file);
            }
        }
        if files.is_empty() {
            files.push("/etc/ipsec.secrets");
        }
        let mut lines = Vec::new();
        for file in files {
            let heading = format!("List of Pre-shared secrets (from {file})");
            lines.extend([" ".to_string(), heading, " ".into()]);
            lines.extend(all.iter().filter(|s| s.file == file).map(secret_line));
        }
        self.reply_lines(client, &lines);
    }

    fn public_keys(&self) -> Vec<String> {
        let mut out = Vec::new();
        // By identity, as each has a few keys at most.
        let mut seen: HashMap<Id, Vec<PublicKey>> = HashMap::new();
        let mut add = |id: &Id, key: &PublicKey, at: u64, cert: Option<&Certificate>| {
            let keys = seen.entry(id.clone()).or_default();
            if keys.contains(key) {
                return;
            }
            keys.push(key.clone());
            let private = if self.keyring.has_private(key) { "has" } else { "no" };
            let until = match cert {
                Some(c) => format!("{} {}", date(c.not_after()), expiry(c.not_after(), self.now.wall)),
                None => "--- -- --:--:-- UTC ---- ok (expires never)".into(),
            };
            let at = date(i64::try_from(at).unwrap_or(0));
            out.push(format!("{at}, {} ({private} private key), until {until}", key.describe()));
            out.push(format!("       {} '{id}'", id.type_name()));
            if let Some(c) = cert {
                out.push(format!("       Issuer '{}'", dn::text(c.issuer())));
            }
        };
        for l in self.learned.0.iter().rev() {
            if let Ok(key) = l.cert.key() {
                add(&l.id, key, l.at, Some(&l.cert));
            }
        }
        self.given.iter().for_each(|g| add(&g.id, &g.key, g.at, None));
        for (_, c) in self.conns.iter() {
            for (end, id) in [(c.this(), c.our_id()), (c.that(), c.wanted_id())] {
                let raw = end.public_keys.iter().any(|k| matches!(k, PublicKeySpec::Rsa(_)));
                if raw && id != Id::None {
                    written_keys(end).iter().for_each(|k| add(&id, k, self.keyring.made, None));
                }
                if let Some((cert, key)) = self.cert_of(end).and_then(|c| Some((c, c.key().ok()?))) {
                    add(&id, key, self.keyring.made, Some(cert));
                }
            }
        }
        out
    }

    fn certificates(&self, certs: &[Certificate]) -> Vec<String> {
        let now = self.now.wall;
        let mut out = Vec::new();
        let mut users: HashMap<&[u8], usize> = HashMap::new();
        for (_, c) in self.conns.iter() {
            let ends = [c.this(), c.that()].into_iter().filter_map(|end| Some(self.cert_of(end)?.der()));
            ends.collect::<HashSet<_>>().into_iter().for_each(|der| *users.entry(der).or_default() += 1);
        }
        for c in certs {
            let count = users.get(c.der()).copied().unwrap_or(0);
            let made = date(i64::try_from(self.keyring.made).unwrap_or(0));
            out.push(format!("{made}, count: {count}"));
            out.push(format!("       subject: '{}'", dn::text(c.subject())));
            out.push(format!("       issuer:  '{}'", dn::text(c.issuer())));
            out.push(format!("       serial:   {}", colons(&c.serial())));
            let key = c.key().map_or_else(|e| e.to_string(), PublicKey::describe);
            let private = if self.keyring.has_private_of(c) { ", has private key" } else { "" };
            out.push(format!("       pubkey:   {key}{private}"));
            let early = i64::try_from(now).unwrap_or(i64::MAX) < c.not_before();
            let begins = if early { "fatal (not valid yet)" } else { "ok" };
            out.push(format!("       validity: not before {} {begins}", date(c.not_before())));
            out.push(format!(
                "                 not after  {} {}",
                date(c.not_after()),
                expiry(c.not_after(), now)
            ));
            if let Some(id) = c.subject_key_id() {
                out.push(format!("       subjkey:  {}", colons(id)));
            }
            if let Some(id) = c.authority_key_id() {
                out.push(format!("       authkey:  {}", colons(id)));
            }
        }
        out
    }

    fn crls(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (crl, from) in &self.keyring.trust.crls {
            let made = date(i64::try_from(self.keyring.made).unwrap_or(0));
            out.push(format!("{made}, revoked certs: {}", crl.revoked()));
            out.push(format!("       issuer:   '{}'", dn::text(crl.issuer())));
            out.push(format!("       distPts:  '{from}'"));
            out.push(format!("       updates:  this {}", date(crl.this_update())));
            let next = match crl.next_update() {
                Some(t) => format!("{} {}", date(t), expiry(t, self.now.wall)),
                None => "--- -- --:--:-- UTC ---- ok (expires never)".into(),
            };
            out.push(format!("                 next {next}"));
        }
        out
    }

    fn ocsp_answers(&self) -> Vec<String> {
        let mut out = Vec::new();
        for answer in &self.keyring.trust.ocsp {
            let (this, next) = answer.dates();
            out.push(format!("       issuer:   '{}'", answer.issuer_text()));
            let serial = colons(&answer.cert().serial());
            out.push(format!("       serial:   {serial}, {}", answer.word()));
            out.push(format!("       updates:  this {}", date(this)));
            out.push(format!("                 next {} {}", date(next), expiry(next, self.now.wall)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_peers_are_remembered_at_most() {
        let pem = include_bytes!("../../../compat-tests/sim/tests/pki/client.pem");
        let cert = Certificate::from_file(pem).unwrap().remove(0);
        let peer = |n: u64| Learned { id: Id::Fqdn(format!("p{n}")), cert: cert.clone(), at: n };
        for n in [999, 1000, 1001] {
            let mut peers = LearnedPeers::default();
            // Who comes again does not count twice.
            (0..n).for_each(|i| peers.add(peer(i)));
            peers.add(peer(n - 1));
            assert_eq!(peers.0.len() as u64, n.min(1000));
            let first = peers.0.front().map(|l| l.at);
            assert_eq!(first, Some(n.saturating_sub(1000)), "the one seen longest ago goes");
            assert_eq!(peers.0.back().map(|l| l.at), Some(n - 1));
        }
    }
}
