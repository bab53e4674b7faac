//! Every row of the keyword table: its default and a good value are accepted, a bad one is told; and the manual page
//! lists them all. `CONF_UPDATE_MAN=1` rewrites the page's lists.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write;
use std::path::Path;

use ipsec_conf::keywords::{Effect, Keyword, Kind, Scope, all};
use ipsec_conf::{Config, Severity, load_str};

/// A file with one conn or setup section that sets `name=value`.
fn with(keyword: &Keyword, name: &str, value: &str) -> Config {
    let line = match keyword.scope {
        Scope::Setup => format!("config setup\n {name}={value}\nconn a\n left=192.0.2.1\n right=%any\n"),
        Scope::End if name.is_empty() => format!("conn a\n left={value}\n right=%any\n"),
        Scope::End => format!("conn a\n left=192.0.2.1\n right=%any\n left{name}={value}\n"),
        Scope::Ca => format!("ca x\n {name}={value}\nconn a\n left=192.0.2.1\n right=%any\n"),
        Scope::Conn => format!("conn a\n left=192.0.2.1\n right=%any\n {name}={value}\n"),
    };
    load_str(Path::new("t"), &line).unwrap()
}

/// Whether something worse than a note was said, but for what a word says of its whole file.
fn complains(config: &Config) -> bool {
    let notes =
        config.conns.iter().flat_map(|c| &c.notes).chain(&config.warnings).chain(&config.setup_errors);
    let of_file = |text: &str| text.starts_with("the file has ");
    !config.conn_errors.is_empty()
        || notes.into_iter().any(|d| d.severity > Severity::Note && !of_file(&d.message))
}

fn good(keyword: &Keyword) -> Vec<&'static str> {
    match keyword.kind {
        Kind::Bool => vec!["yes", "no", "YES", "0"],
        Kind::Number => vec!["1", "\"7\""],
        Kind::Time => vec!["90", "30s", "2m", "1h"],
        Kind::Percent => vec!["0%", "50%", "20"],
        Kind::Word(words) => words.iter().map(|w| w.0).collect(),
        Kind::List | Kind::Text | Kind::Append => vec![],
    }
}

fn bad(keyword: &Keyword) -> Option<&'static str> {
    match keyword.kind {
        Kind::Bool | Kind::Number | Kind::Time | Kind::Percent | Kind::Word(_) => Some("rubbish!"),
        _ => None,
    }
}

#[test]
fn every_row_takes_its_default_and_good_values_and_tells_bad_ones() {
    for keyword in all() {
        for name in std::iter::once(&keyword.name).chain(keyword.aliases) {
            // `leftmodecfg=` and the conn's word of the same name are two rows; both take anything.
            if !keyword.default.is_empty() && keyword.name != "phase2" {
                let config = with(keyword, name, keyword.default);
                assert!(!complains(&config), "{name}={}: {config:#?}", keyword.default);
            }
            if keyword.effect != Effect::Used {
                continue;
            }
            for value in good(keyword) {
                // IKEv2 is not served, and a duration of one IKE SA is told apart from its margin.
                if matches!(
                    keyword.name,
                    "ikev2"
                        | "keyexchange"
                        | "ikev1"
                        | "salifetime"
                        | "dpddelay"
                        | "dpdtimeout"
                        | "rekeymargin"
                ) {
                    continue;
                }
                let config = with(keyword, name, value);
                assert!(!complains(&config), "{name}={value}: {config:#?}");
            }
            if let Some(value) = bad(keyword) {
                assert!(complains(&with(keyword, name, value)), "{name}={value} was accepted");
            }
        }
    }
}

#[test]
fn an_empty_value_is_the_default_of_every_row() {
    let plain = load_str(Path::new("t"), "conn a\n left=192.0.2.1\n right=%any\n").unwrap();
    for keyword in all().filter(|k| !k.name.is_empty() && k.scope != Scope::Ca) {
        let config = with(keyword, keyword.name, "");
        assert_eq!(config.conns, plain.conns, "{}", keyword.name);
        assert_eq!(config.setup, plain.setup, "{}", keyword.name);
    }
}

const MAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../man/ipsec.conf.5");

/// The lists of keywords as the manual page has them.
fn manual() -> String {
    let mut s = String::new();
    let sections = [
        (Scope::Setup, "CONFIG SETUP", ""),
        (
            Scope::End,
            "ENDS OF A CONNECTION",
            "Each with\n.B left\nor\n.B right\nin front; without, it means right.\n",
        ),
        (Scope::Conn, "CONNECTIONS", ""),
        (Scope::Ca, "CERTIFICATION AUTHORITIES", "In sections\n.BR \"ca \" NAME .\n"),
    ];
    for (scope, title, lead) in sections {
        write!(s, ".SH \"{title}\"\n{lead}").unwrap();
        let prefix = if scope == Scope::End { "left" } else { "" };
        let rows = || all().filter(move |k| k.scope == scope);
        for k in rows().filter(|k| k.effect == Effect::Used) {
            write!(s, ".TP\n.B {prefix}{}\n{}", k.name, kind(k.kind)).unwrap();
            if !k.default.is_empty() {
                write!(s, "; default {}", k.default).unwrap();
            }
            s.push_str(".\n");
            if !k.aliases.is_empty() {
                let names: Vec<String> = k.aliases.iter().map(|a| format!("{prefix}{a}")).collect();
                writeln!(s, "Also written {}.", names.join(", ")).unwrap();
            }
        }
        type Is = fn(&Effect) -> bool;
        let kinds: [(&str, Is); 3] = [
            ("Accepted without effect, with a note:", |e| matches!(e, Effect::Ignored(_))),
            ("Accepted with a warning, as the connection means something else without:", |e| {
                matches!(e, Effect::Differs(_))
            }),
            ("A connection that sets one of these is refused, as it would be less safe without:", |e| {
                matches!(e, Effect::Refused(_))
            }),
        ];
        for (lead, is) in kinds {
            let names: Vec<String> = rows()
                .filter(|k| is(&k.effect))
                .flat_map(|k| std::iter::once(&k.name).chain(k.aliases))
                .map(|n| format!("{prefix}{n}"))
                .collect();
            if !names.is_empty() {
                write!(s, ".PP\n{lead}\n{}.\n", names.join(", ")).unwrap();
            }
        }
    }
    s.replace('-', "\\-")
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Bool => "yes or no".into(),
        Kind::Number => "a number".into(),
        Kind::Time => "a time: seconds, or with a suffix s, m, h, d, w".into(),
        Kind::Percent => "a percentage".into(),
        Kind::Word(words) => format!("one of {}", words.iter().map(|w| w.0).collect::<Vec<_>>().join(", ")),
        Kind::List => "a list of words".into(),
        Kind::Text => "text".into(),
        Kind::Append => "names; may be repeated".into(),
    }
}

#[test]
fn the_manual_page_lists_the_table() {
    let page = std::fs::read_to_string(MAN).unwrap();
    let start = page.find(".SH \"CONFIG SETUP\"").unwrap();
    let end = page.find(".SH \"SEE ALSO\"").unwrap();
    let want = manual();
    if std::env::var_os("CONF_UPDATE_MAN").is_some() {
        std::fs::write(MAN, format!("{}{want}{}", &page[..start], &page[end..])).unwrap();
        return;
    }
    assert_eq!(&page[start..end], want);
}
