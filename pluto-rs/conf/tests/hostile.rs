//! Input nobody should write: no panic, bounded time and memory, secrets never shown.

use std::fs;
use std::path::Path;

use ipsec_conf::{load, load_str, secrets};
use ipsec_types::Id;
use proptest::prelude::*;

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "(conn|config|version|ca)[ \\t]{0,2}[a-z%\"]{0,9}",
        "[ \\t](left|right|also|alsoflip|ike|esp|auto|leftsubnets|rightsubnet|keylife|authby)[ ]?=[ ]?[\"{]?[-a-z0-9%:./,;!{}\"# ]{0,30}",
    ]
}

proptest! {
    #[test]
    fn any_text_loads_or_is_refused(lines in prop::collection::vec(line(), 0..20)) {
        let _ = load_str(Path::new("t"), &lines.join("\n").replace("include", "x"));
    }

    #[test]
    fn any_bytes_are_secrets_or_errors(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (records, _) = secrets::parse(Path::new("/nonexistent/t"), &bytes, &|_| None);
        let _ = secrets::lookup(&records, &Id::None, &Id::None);
    }

    #[test]
    fn quoted_secrets_come_back_and_are_never_shown(psk in "[ -!#-~]{8,30}", tail in ".{0,10}") {
        let text = format!("%any : PSK \"{psk}\"\nhost : PSK \"{psk}\" {tail}\nx \"{psk}\n@a \"{psk}\" : PSK {psk}\n");
        let (records, said) = secrets::parse(Path::new("/nonexistent/t"), text.as_bytes(), &|_| None);
        prop_assert_eq!(records[0].psk.expose(), psk.as_bytes());
        for d in &said {
            prop_assert!(!d.to_string().contains(&psk) && !d.log_form().contains(&psk), "{}", d);
        }
    }

    #[test]
    fn algorithm_lists_never_panic(text in "[-a-z0-9_;,! ]{0,60}") {
        let _ = ipsec_conf::algs::ike(&text);
        let _ = ipsec_conf::algs::esp(&text);
        let _ = ipsec_conf::net::client(&text);
        let _ = ipsec_conf::net::protoport(&text);
        let _ = ipsec_conf::net::virtual_private(&text);
    }
}

#[test]
fn cycles_depth_and_odd_files_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = |n: &str| dir.path().join(n);
    fs::write(path("a"), "include b\n").unwrap();
    fs::write(path("b"), "include a\n").unwrap();
    let errors = load(&path("a")).unwrap_err();
    assert!(errors[0].message.contains("includes itself"), "{errors:?}");

    for i in 0..12 {
        fs::write(path(&format!("d{i}")), format!("include d{}\n", i + 1)).unwrap();
    }
    assert_eq!(load(&path("d0")).unwrap_err()[0].message, "max inclusion depth reached");

    fs::write(path("z"), "include /dev/zero\ninclude /tmp\n").unwrap();
    let errors = load(&path("z")).unwrap_err();
    assert!(
        errors[0].message.ends_with("is not a regular file") && errors[1].message.ends_with("is a directory")
    );

    fs::create_dir(path("many")).unwrap();
    for i in 0..1200 {
        fs::write(path(&format!("many/{i}.conf")), "").unwrap();
    }
    fs::write(path("m"), "include many/*.conf\n").unwrap();
    assert!(load(&path("m")).unwrap_err()[0].message.contains("files included"));
}

#[test]
fn a_million_also_end_quickly() {
    let mut text = String::from("conn a\n left=1.2.3.4\n right=%any\n");
    text.push_str(&" also=b\n".repeat(200_000));
    text.push_str("conn b\n also=a\n auto=add\n");
    let config = load_str(Path::new("t"), &text).unwrap();
    assert_eq!(config.conns.len(), 2);
    let chain: String = (0..50).map(|i| format!("conn c{i}\n also=c{}\n", i + 1)).collect();
    let config = load_str(Path::new("t"), &chain).unwrap();
    assert!(config.conn_errors[0].diagnostics.iter().any(|d| d.message.contains("too many also=")));
}

#[test]
fn ten_thousand_conns_load_in_a_moment() {
    let text: String = (0..10_000)
        .map(|i| format!("conn c{i}\n left=192.0.2.1\n right=198.51.100.{}\n also=t\n auto=add\n", i % 256))
        .collect();
    let start = std::time::Instant::now();
    let config = load_str(Path::new("t"), &format!("{text}conn t\n authby=secret\n pfs=no\n")).unwrap();
    assert_eq!(config.conns.len(), 10_001);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_broken_line_costs_its_conn_alone() {
    let text = "conn a\n left=\"192.0.2.1\n auto=add\nconn b c\n left=192.0.2.1\nconn pfs=yes\n left=192.0.2.1\n right=%any\n";
    let config = load_str(Path::new("t"), text).unwrap();
    let names = |v: &[String]| v.join(" ");
    let refused: Vec<String> = config.conn_errors.iter().map(|e| e.name.clone()).collect();
    let loaded: Vec<String> = config.conns.iter().map(|c| c.spec.name.clone()).collect();
    assert_eq!((names(&refused), names(&loaded)), ("a b".into(), "pfs=yes".into()));
}
