//! What `readwriteconf` writes loads again to what was read, whatever was read.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use ipsec_conf::{Config, canonical, load_str};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c-1", "\"d e\"", "A", "%default", "x#y"])
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "%any",
            "%defaultroute",
            "192.0.2.1",
            "10.0.0.0/8",
            "yes",
            "No",
            "secret|rsasig",
            "17/%any",
            "8h",
            "aes256-sha1;modp1536",
            "add",
            "start",
            "{10.1.0.0/16 10.2.0.0/16}",
            "\"10.1.0.0/16,10.3.0.0/16\"",
            "vhost:%priv,%no",
            "@[Group Name]",
            "\"C=US, O=x, CN=*\"",
            "\"\"",
            "",
            "pubkey",
            "%config",
            "a # b",
            "psk",
            "\"# x\"",
            "1000",
            "\\",
            "ike2",
            "a b"
        ])
        .prop_map(str::to_string),
        "[ -!#-z|~äß]{0,12}",
    ]
}

fn key() -> impl Strategy<Value = String> {
    let known: Vec<String> = ipsec_conf::keywords::all()
        .flat_map(|k| std::iter::once(&k.name).chain(k.aliases))
        .flat_map(|n| [format!("left{n}"), format!("RIGHT{n}"), n.to_string()])
        .filter(|n| !n.is_empty())
        .collect();
    prop_oneof![
        6 => prop::sample::select(vec![
            "left", "right", "also", "alsoflip", "leftsubnets", "rightsubnet", "authby", "ike", "auto", "margintime",
            "leftsourceip", "oe", "virtual_private", "forceencaps", "dpdaction", "salifetime", "type", "leftid"
        ])
        .prop_map(str::to_string),
        2 => prop::sample::select(known),
    ]
}

fn file() -> impl Strategy<Value = String> {
    let header = prop_oneof![
        1 => Just("config setup".to_string()),
        6 => name().prop_map(|n| format!("conn {n}")),
        1 => name().prop_map(|n| format!("ca {n}")),
    ];
    let lines = prop::collection::vec((key(), value()).prop_map(|(k, v)| format!("\t{k}={v}\n")), 0..8);
    let section = (header, lines).prop_map(|(h, l)| format!("{h}\n{}", l.concat()));
    prop::collection::vec(section, 0..8).prop_map(|s| s.concat())
}

/// All that a configuration says, without where it says so.
fn meaning(config: Config) -> String {
    let conns: Vec<_> = config.conns.into_iter().map(|c| (c.spec, c.left, c.right)).collect();
    format!("{:#?}\n{conns:#?}\n{:#?}\n{:?}", config.setup, config.cas, config.dialect)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(text in file()) {
        let path = Path::new("t");
        let Ok(config) = load_str(path, &text) else { return Ok(()) };
        let written = canonical::text(path, &text).unwrap();
        let again = load_str(path, &written);
        prop_assert!(again.is_ok(), "{written}\n{again:?}");
        prop_assert_eq!(meaning(config), meaning(again.unwrap()), "{}", written);
    }
}

/// `ca` sections are served in every file: of the dialect they tell something only beside other words of strongSwan's.
#[test]
fn a_ca_section_alone_is_nobodys_dialect() {
    use ipsec_conf::dialect::Dialect;
    let dialect = |more: &str, authorities: usize| {
        let cas: String = (0..authorities)
            .map(|n| format!("ca c{n}\n cacert=c.pem\n crluri=http://x/\n auto=add\n"))
            .collect();
        let text = format!("{cas}conn x\n left=192.0.2.1\n right=%any\n auto=add\n{more}");
        load_str(Path::new("t"), &text).unwrap().dialect
    };
    assert_eq!(dialect("", 3), Dialect::Openswan);
    assert_eq!(dialect(" phase2=ah\n", 3), Dialect::Openswan);
    assert_eq!(dialect(" initial-contact=yes\n", 3), Dialect::Libreswan);
    assert_eq!(dialect(" margintime=3m\n", 1), Dialect::Strongswan);
    // They decide where the words are balanced.
    let both = " margintime=3m\n phase2=ah\n";
    assert_eq!((dialect(both, 0), dialect(both, 1)), (Dialect::Openswan, Dialect::Strongswan));
}

#[test]
fn the_dialect_is_said_where_the_words_would_say_another() {
    // One word of libreswan's in `%default` comes to stand in every conn.
    let text =
        "config setup\n oe=no\n protostack=netkey\nconn %default\n cisco-unity=no\nconn a\nconn b\nconn c\n";
    let path = Path::new("t");
    let written = canonical::text(path, text).unwrap();
    assert!(written.contains("\n\tx-dialect=openswan\n"), "{written}");
    assert_eq!(load_str(path, &written).unwrap().dialect, load_str(path, text).unwrap().dialect);
    let plain = canonical::text(path, "conn a\n left=192.0.2.1\n right=%any\n").unwrap();
    assert!(!plain.contains("x-dialect"));
}

/// A word with a bad value has its default, whatever stands below it, before and after.
#[test]
fn the_first_of_two_words_counts_even_if_it_is_bad() {
    let path = Path::new("t");
    let text = "config setup\n\toe=secret|rsasig\n\toe=yes\n";
    let config = load_str(path, text).unwrap();
    assert!(!config.setup.oe && config.warnings.len() == 2, "{:?}", config.warnings);
    let written = canonical::text(path, text).unwrap();
    assert_eq!(meaning(config), meaning(load_str(path, &written).unwrap()), "{written}");
}
