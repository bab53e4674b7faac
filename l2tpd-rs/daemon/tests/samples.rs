//! The sample files that are installed, and the manual page, against what the daemon reads.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::path::PathBuf;

use l2tpd::conf::{load, names};
use l2tpd::optfile::OptFile;

fn top(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(top(path)).unwrap()
}

#[test]
fn the_sample_serves_nobody_and_its_comments_are_a_configuration() {
    let text = read("etc/xl2tpd/xl2tpd.conf");
    let c = load("sample", &text).unwrap();
    assert!(c.default_lns.is_none() && c.lns.is_empty() && c.lac.is_empty() && c.warnings.is_empty());
    let lines = text.lines().filter_map(|l| l.strip_prefix("; "));
    let options = lines
        .filter(|l| l.starts_with('[') || l.split_once(" = ").is_some_and(|(k, _)| names().any(|n| n == k)));
    let c = load("sample", &options.map(|l| format!("{l}\n")).collect::<String>()).unwrap();
    let l = c.default_lns.unwrap();
    assert!(c.warnings.is_empty() && l.ppp.require_auth && !l.pool.is_empty() && l.local_ip.is_some());
    assert_eq!((c.lac.len(), c.lac[0].lns.len(), c.lac[0].redial), (1, 1, true));
    assert_eq!(l.ppp.file.as_deref(), Some("/etc/ppp/options.xl2tpd"));
}

#[test]
fn calls_with_the_sample_of_options_may_go_through_the_kernel() {
    let seen = OptFile::look(top("etc/ppp/options.xl2tpd").to_str().unwrap());
    assert_eq!(seen, OptFile { tty_only: None, mtu: true });
}

#[test]
fn the_sample_of_secrets_has_none() {
    let (table, warnings) = l2tp_proto::SecretTable::parse(&read("etc/xl2tpd/l2tp-secrets"));
    assert!(warnings.is_empty() && table.lookup("anybody", "else").is_none());
}

#[test]
fn the_manual_page_has_every_keyword_and_no_other() {
    let page = read("man/xl2tpd.conf.5");
    let items = page.lines().filter_map(|l| l.strip_prefix(".It Ic "));
    let told: Vec<&str> = items.flat_map(|l| l.split(" , ")).collect();
    let missing: Vec<&str> = names().filter(|n| !told.contains(n)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let unknown: Vec<&str> = told.into_iter().filter(|t| !names().any(|n| n == *t)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
