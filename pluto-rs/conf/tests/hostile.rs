//! Input nobody should write: no panic, bounded time and memory, secrets never shown.

use std::path::Path;

use ipsec_conf::{load_str, secrets};
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
