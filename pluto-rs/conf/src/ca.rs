//! `ca` sections, which strongSwan has: a certification authority and where to ask it.
//!
//! Every certificate in `/etc/ipsec.d/cacerts` is trusted anyway. A section with `auto=add` adds one that lies elsewhere, and
//! addresses of CRLs and OCSP responders to those that its certificates name. Nothing is read or fetched here.

use ipsec_types::auth::Authority;

use crate::diag::{Diagnostic, Severity, tell};
use crate::keywords::{self, Effect, Kind};
use crate::parse::{Param, Section, SectionKind};

/// A `ca` section, after `also=` and `ca %default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// Its name.
    pub name: String,
    /// `cacert=`: a file, below `/etc/ipsec.d/cacerts` unless the path begins with a slash.
    pub cacert: Option<String>,
    /// `crluri=`, `crluri2=`.
    pub crl_uris: Vec<String>,
    /// `ocspuri=`, `ocspuri2=`.
    pub ocsp_uris: Vec<String>,
    /// `auto=add`.
    pub add: bool,
}

impl Ca {
    /// What the daemon is told of it; nothing without a certificate or without `auto=add`.
    pub(crate) fn authority(&self) -> Option<Authority> {
        let cert = self.cacert.as_ref().filter(|_| self.add)?;
        Some(Authority {
            name: self.name.clone(),
            cert: cert.clone(),
            crl_uris: self.crl_uris.clone(),
            ocsp_uris: self.ocsp_uris.clone(),
        })
    }
}

/// Keywords for addresses, by what is there.
const CRL_URIS: [&[&str]; 2] = [&["crluri", "crluri1"], &["crluri2"]];
const OCSP_URIS: [&[&str]; 2] = [&["ocspuri", "ocspuri1"], &["ocspuri2"]];

/// The `ca` sections among `sections`; none of their mistakes costs anything else.
pub(crate) fn build(sections: &[Section], notes: &mut Vec<Diagnostic>) -> Vec<Ca> {
    let named = |section: &Section| match &section.kind {
        SectionKind::Ca(name) => Some(name.clone()),
        _ => None,
    };
    let all: Vec<(String, &Section)> = sections.iter().filter_map(|s| Some((named(s)?, s))).collect();
    for (name, section) in &all {
        let soft = |d: &Diagnostic| Diagnostic { severity: Severity::Warning, ..d.clone() };
        section.errors.iter().for_each(|d| tell(notes, soft(d)));
        section.params.iter().for_each(|p| check(name, p, notes));
    }
    let wanted = all.iter().filter(|(name, _)| name != "%default");
    wanted.map(|(name, section)| resolve(name, section, &all, notes)).collect()
}

/// Says what a parameter does not do.
fn check(section: &str, p: &Param, notes: &mut Vec<Diagnostic>) {
    let mut say = |severity, message| tell(notes, Diagnostic::new(severity, p.place(), message));
    let Some(keyword) = keywords::find_ca(&p.key) else {
        return say(Severity::Warning, format!("keyword '{}' is not valid in a ca ({section})", p.key));
    };
    match (keyword.effect, keyword.kind) {
        (Effect::Ignored(why), _) => say(Severity::Note, format!("{}= has no effect: {why}", p.key)),
        (_, Kind::Word(words)) if !words.iter().any(|w| w.0.eq_ignore_ascii_case(&p.value)) => {
            say(Severity::Warning, format!("keyword {}, invalid value: {}", p.key, p.value));
        }
        _ if CRL_URIS.iter().chain(&OCSP_URIS).any(|names| names.contains(&keyword.name)) => {
            let http = p.value.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("http://"));
            if !http && !p.value.is_empty() {
                let why = "nothing is fetched from there: only http is spoken; put other CRLs into /etc/ipsec.d/crls";
                say(Severity::Warning, format!("{}={}: {why}", p.key, p.value));
            }
        }
        _ => {}
    }
}

fn resolve(name: &str, section: &Section, all: &[(String, &Section)], notes: &mut Vec<Diagnostic>) -> Ca {
    // Each section once, however they refer to each other; `%default` last.
    let mut layers = vec![section];
    let mut next = 0;
    while let Some(layer) = layers.get(next).copied() {
        next += 1;
        for also in layer.params.iter().filter(|p| p.key.eq_ignore_ascii_case("also")) {
            let found = all.iter().find(|(n, _)| n.eq_ignore_ascii_case(&also.value)).map(|a| a.1);
            layers.extend(found.filter(|f| !layers.iter().any(|l| std::ptr::eq(*l, *f))));
        }
    }
    layers.extend(all.iter().filter(|(n, _)| n == "%default").map(|a| a.1));
    let get = |keys: &[&str]| {
        let is = |p: &&&Param| keys.iter().any(|k| p.key.eq_ignore_ascii_case(k)) && !p.value.is_empty();
        layers.iter().find_map(|l| l.params.iter().rev().find(|p| is(&p)))
    };
    let uris = |names: &[&[&str]]| names.iter().filter_map(|n| Some(get(n)?.value.clone())).collect();
    let ca = Ca {
        name: name.to_string(),
        cacert: get(&["cacert"]).map(|p| p.value.clone()),
        crl_uris: uris(&CRL_URIS),
        ocsp_uris: uris(&OCSP_URIS),
        add: get(&["auto"]).is_some_and(|p| p.value.eq_ignore_ascii_case("add")),
    };
    let addresses = [CRL_URIS, OCSP_URIS].into_iter().flatten().find_map(get);
    if let (Some(p), None) = (addresses, ca.authority()) {
        let lacks = if ca.add { "cacert=" } else { "auto=add" };
        let message = format!("{}= has no effect: ca {name} has no {lacks}", p.key);
        tell(notes, Diagnostic::new(Severity::Warning, p.place(), message));
    }
    ca
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn sections_inherit_and_their_mistakes_are_warnings() {
        let text = "ca %default\n auto=add\nca a\n also=b\n crluri=http://x/y.crl\n left=1\nca b\n also=a\n\
\tcacert=/root/b.pem\n crluri1=HTTP://b/\n crluri2=ldap://b/\n ocspuri=http://o/\nca c\n cacert=c.pem\n auto=maybe\n ocspuri2=http://c/\n\
ca d\n crluri2=http://d/\n certuribase=http://d/\nca e\n cacert=e.pem\nconn x\n left=192.0.2.1\n right=%any\n";
        let config = crate::load_str(Path::new("t"), text).unwrap();
        let ca = |name: &str, cacert: Option<&str>, crl: &[&str], ocsp: &[&str], add| Ca {
            name: name.into(),
            cacert: cacert.map(Into::into),
            crl_uris: crl.iter().map(|u| u.to_string()).collect(),
            ocsp_uris: ocsp.iter().map(|u| u.to_string()).collect(),
            add,
        };
        let b = Some("/root/b.pem");
        assert_eq!(
            config.cas,
            [
                ca("a", b, &["http://x/y.crl", "ldap://b/"], &["http://o/"], true),
                ca("b", b, &["HTTP://b/", "ldap://b/"], &["http://o/"], true),
                ca("c", Some("c.pem"), &[], &["http://c/"], false),
                ca("d", None, &["http://d/"], &[], true),
                ca("e", Some("e.pem"), &[], &[], true),
            ]
        );
        // The daemon is told of those that have both a certificate and auto=add.
        let told: Vec<_> = config.setup.engine.authorities.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(told, ["a", "b", "e"]);
        assert_eq!(config.setup.engine.authorities.first(), config.cas[0].authority().as_ref());
        let said: Vec<_> = config.warnings.iter().map(|d| (d.severity, d.message.as_str())).collect();
        let want = [
            (Severity::Warning, "keyword 'left' is not valid in a ca (a)"),
            (
                Severity::Warning,
                "crluri2=ldap://b/: nothing is fetched from there: only http is spoken; put other CRLs into /etc/ipsec.d/crls",
            ),
            (Severity::Warning, "keyword auto, invalid value: maybe"),
            (
                Severity::Note,
                "certuribase= has no effect: CRLs and OCSP answers are fetched over http from the addresses in certificates and ca sections; put other CRLs into /etc/ipsec.d/crls",
            ),
            (Severity::Warning, "ocspuri2= has no effect: ca c has no auto=add"),
            (Severity::Warning, "crluri2= has no effect: ca d has no cacert="),
        ];
        assert_eq!(said, want);
        assert_eq!((config.conns.len(), config.conn_errors.len()), (1, 0));
    }

    #[test]
    fn many_sections_that_name_each_other_are_read_in_time() {
        let text: String =
            (0..300).map(|i| format!("ca n{i}\n also=n{}\n also=n{}\n", (i + 1) % 300, i / 2)).collect();
        assert_eq!(crate::load_str(Path::new("t"), &text).unwrap().cas.len(), 300);
    }
}
