//! `ca` sections, which strongSwan has: a certification authority and where to ask it.
//!
//! Every certificate in `/etc/ipsec.d/cacerts` is trusted anyway and what is fetched is named in certificates, so a section matters
//! only if its certificate lies elsewhere.

use std::path::Path;

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
    /// `auto=add`.
    pub add: bool,
}

/// Where certificates are trusted without being named.
const TRUSTED: &str = "/etc/ipsec.d/cacerts";

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
    match keywords::find_ca(&p.key) {
        None => say(Severity::Warning, format!("keyword '{}' is not valid in a ca ({section})", p.key)),
        Some(keyword) => match (keyword.effect, keyword.kind) {
            (Effect::Ignored(why), _) => say(Severity::Note, format!("{}= has no effect: {why}", p.key)),
            (_, Kind::Word(words)) if !words.iter().any(|w| w.0.eq_ignore_ascii_case(&p.value)) => {
                say(Severity::Warning, format!("keyword {}, invalid value: {}", p.key, p.value));
            }
            _ => {}
        },
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
    let get = |key: &str| {
        let is = |p: &&&Param| p.key.eq_ignore_ascii_case(key) && !p.value.is_empty();
        layers.iter().find_map(|l| l.params.iter().rev().find(|p| is(&p)))
    };
    let cacert = get("cacert");
    if let Some(p) = cacert.filter(|p| p.value.starts_with('/') && !Path::new(&p.value).starts_with(TRUSTED))
    {
        let message = format!("cacert={} is not read from there", p.value);
        let help = format!("put it into {TRUSTED}");
        tell(notes, Diagnostic::new(Severity::Warning, p.place(), message).with_help(help));
    }
    Ca {
        name: name.to_string(),
        cacert: cacert.map(|p| p.value.clone()),
        add: get("auto").is_some_and(|p| p.value.eq_ignore_ascii_case("add")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_inherit_and_their_mistakes_are_warnings() {
        let text = "ca %default\n auto=add\nca a\n also=b\n crluri=http://x/y.crl\n left=1\nca b\n also=a\n\
\tcacert=/root/b.pem\nca c\n cacert=c.pem\n auto=maybe\nconn x\n left=192.0.2.1\n right=%any\n";
        let config = crate::load_str(Path::new("t"), text).unwrap();
        let ca = |name: &str, cacert: &str, add| Ca { name: name.into(), cacert: Some(cacert.into()), add };
        assert_eq!(
            config.cas,
            [ca("a", "/root/b.pem", true), ca("b", "/root/b.pem", true), ca("c", "c.pem", false)]
        );
        let said: Vec<_> = config.warnings.iter().map(|d| (d.severity, d.message.as_str())).collect();
        let (dialect, said) = said.split_first().unwrap();
        assert!(dialect.1.starts_with("read as strongSwan's"));
        let want = [
            (
                Severity::Note,
                "crluri= has no effect: CRLs and OCSP answers are fetched from the addresses in certificates; put other CRLs into /etc/ipsec.d/crls",
            ),
            (Severity::Warning, "keyword 'left' is not valid in a ca (a)"),
            (Severity::Warning, "keyword auto, invalid value: maybe"),
            (Severity::Warning, "cacert=/root/b.pem is not read from there"),
            (Severity::Warning, "cacert=/root/b.pem is not read from there"),
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
