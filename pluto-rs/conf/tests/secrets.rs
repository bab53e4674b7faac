//! `ipsec.secrets`: forms of records, and which of them a pair of identities gets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use ipsec_conf::secrets::{load, lookup, parse};
use ipsec_types::Id;

fn keys(text: &str, me: &str, him: &str) -> Vec<String> {
    let resolver = |name: &str| (name == "known.example").then(|| "192.0.2.1".parse().unwrap());
    let (records, _) = parse(Path::new("/nonexistent/s"), text.as_bytes(), &resolver);
    let found = lookup(&records, &me.parse().unwrap(), &him.parse().unwrap());
    found.iter().map(|s| String::from_utf8(s.expose().to_vec()).unwrap()).collect()
}

fn said(text: &str) -> Vec<String> {
    let (_, said) = parse(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    said.iter().map(|d| d.log_form()).collect()
}

const A: &str = "192.0.2.1";
const B: &str = "198.51.100.7";

#[test]
fn scores_decide() {
    let all = format!(
        "{A} {B} : PSK \"pair\"\n{A} %any : PSK \"mine\"\n{A} : PSK \"alone\"\n{B} %any : PSK \"his\"\n: PSK \"all\"\n"
    );
    assert_eq!(keys(&all, A, B), ["pair"]);
    assert_eq!(keys(&all, A, "203.0.113.1"), ["mine"]);
    assert_eq!(keys(&all, "10.0.0.1", B), ["his"]);
    // A wildcard alone is enough, whoever else is named.
    assert_eq!(keys(&all, "10.0.0.1", "10.0.0.2"), ["mine", "his", "all"]);
    assert_eq!(keys(&format!("{A} : PSK \"x\""), A, B), ["x"]);
    assert!(keys(&format!("{B} : PSK \"x\""), A, B).is_empty());
    assert!(keys(&format!("{A} 10.0.0.1 : PSK \"x\""), A, B).is_empty());
    // A wildcard beside both names does no harm.
    assert_eq!(keys(&format!("{A} {B} %any : PSK \"x\""), A, B), ["x"]);
}

#[test]
fn several_wildcard_keys_are_all_found_once_each() {
    let text = ": PSK \"none\"\n%any : PSK \"one\"\n%any %any: PSK \"two\"\n0.0.0.0 : PSK \"one\"\n";
    assert_eq!(keys(text, A, "@someone"), ["one", "two", "none"]);
}

#[test]
fn every_form_of_a_psk() {
    for (value, want) in [
        ("PSK \"a # b\"", "a # b"),
        ("psk 'a \"b'", "a \"b"),
        ("PSK 0x61_62", "ab"),
        ("PSK 0saGVsbG8=", "hello"),
        ("PSK 0tto the # end", "to the # end"),
        ("\"bare\"", "bare"),
        ("PSK\n\t# comment\n\n  \"below\"", "below"),
        ("PSK \"x\" # comment", "x"),
        ("PSK \"crlf\"\r", "crlf"),
    ] {
        assert_eq!(keys(&format!("{A} {B} : {value}\n"), A, B), [want], "{value}");
        assert_eq!(keys(&format!("{A} {B}: {value}\n"), A, B), [want], "{value}");
    }
    assert_eq!(keys(&format!("{A} {B} \"old\"\n"), A, B), ["old"]);
    assert_eq!(keys(&format!("known.example {B} : PSK \"x\"\n"), A, B), ["x"]);
}

#[test]
fn bad_records_are_dropped_alone() {
    let text = "bogus.invalid : PSK \"leak\"\n1.2.3.4 : PSK plain\n: FOO x\n%any : PSK \"open\n: PSK \"a\" \"b\"\n: RSA {\n\tModulus: 0x1\n\t}\n\
@joe : XAUTH \"pw\"\n: PIN %smartcard1 %prompt\n%any : PSK \"good\"\n";
    assert_eq!(keys(text, A, B), ["good"]);
    let said = said(text);
    for want in [
        "\"/nonexistent/s\" line 1: index \"bogus.invalid\" does not look numeric and name lookup failed; record dropped",
        "\"/nonexistent/s\" line 2: PSK data malformed: PSK must start with a double-quote or a zero.",
        "\"/nonexistent/s\" line 4: unterminated string",
        "\"/nonexistent/s\" line 5: expected record boundary in key",
        "\"/nonexistent/s\" line 9: XAUTH password skipped: only pre-shared keys are used",
    ] {
        assert!(said.iter().any(|s| s == want), "{want}\n{said:#?}");
    }
    assert_eq!(said.len(), 8, "{said:#?}");
}

#[test]
fn includes_are_relative_to_their_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("s"), "include d/*.secrets\ninclude none.inc\n: PSK \"last\"\n").unwrap();
    fs::write(dir.path().join("d/a.secrets"), "%any : PSK \"first\"\ninclude ../s\n").unwrap();
    let (records, said) = load(&dir.path().join("s"));
    assert_eq!(records[0].psk.expose(), b"first");
    assert_eq!(records[0].ids, [Id::None]);
    let text: Vec<String> = said.iter().map(|d| d.log_form()).collect();
    assert!(text.iter().any(|t| t == "no secrets filename matched \"none.inc\""), "{text:#?}");
    assert!(text.iter().any(|t| t.ends_with("nested too deeply")), "{text:#?}");
}
