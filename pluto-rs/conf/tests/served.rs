//! Conns of IKEv2 and what needs it: those that allow IKEv1 load, the others are refused with one line, alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use ipsec_conf::{Config, Refusal, Severity, load_str};
use ipsec_types::auth::AuthBy;

fn conn(lines: &str) -> Config {
    let text = format!(
        "conn other\n left=192.0.2.1\n right=%any\n auto=add\nconn a\n left=192.0.2.1\n right=192.0.2.2\n auto=add\n{lines}"
    );
    let config = load_str(Path::new("t"), &text).unwrap();
    assert_eq!(config.conns[0].spec.name, "other");
    config
}

fn authby(lines: &str) -> AuthBy {
    let config = conn(lines);
    assert!(config.failed_conns().next().is_none(), "{lines}: {:?}", config.conn_errors);
    config.conns[1].spec.authby
}

#[test]
fn a_conn_that_allows_ikev1_loads() {
    for lines in [
        " ikev2=permit\n",
        " ikev2=propose\n",
        " ikev2=yes\n",
        " ikev2=no\n",
        " ikev2=never\n",
        " ikev1=yes\n",
        " keyexchange=ike\n",
        " keyexchange=ikev1\n",
        " keyexchange=ike\n closeaction=restart\n margintime=3m\n inactivity=1m\n",
        " ppk=yes\n",
        " ppk=no\n",
        " mobike=yes\n narrowing=yes\n",
    ] {
        let config = conn(lines);
        assert_eq!((config.conns.len(), config.conn_errors.len()), (2, 0), "{lines}");
        assert!(config.conns[1].notes.iter().all(|n| n.severity == Severity::Note), "{lines}");
    }
    let said = |lines| conn(lines).conns[1].notes.iter().any(|n| n.message.contains("IKEv1 is spoken"));
    assert!(said(" ikev2=propose\n") && said(" keyexchange=ike\n margintime=3m\n inactivity=1m\n"));
    assert!(!said(" keyexchange=ikev1\n margintime=3m\n inactivity=1m\n"));
    assert!(!said(" ikev2=permit\n") && !said(" keyexchange=ike\n") && !said(" keyexchange=ikev1\n"));
}

#[test]
fn a_conn_that_needs_ikev2_is_refused_with_one_line() {
    for (lines, want) in [
        (" ikev2=insist\n", "t:9: while loading 'a': IKEv2 is not served"),
        (" ikev2=always\n", "t:9: while loading 'a': IKEv2 is not served"),
        (" ikev1=no\n", "t:9: while loading 'a': IKEv2 is not served"),
        (
            " keyexchange=ikev2\n ike=aes256-sha2;addke1=ml_kem_768\n",
            "t:9: while loading 'a': IKEv2 is not served",
        ),
        (" keyexchange=rfc7296\n", "t:9: while loading 'a': IKEv2 is not served"),
        (" authby=null\n", "t:9: while loading 'a': authby=null needs IKEv2, which is not served"),
        (
            " leftauth=pubkey\n rightauth=eap-mschapv2\n",
            "t:10: while loading 'a': rightauth=eap-mschapv2 needs IKEv2, which is not served",
        ),
        (
            " leftauth=rsasig\n rightauth=null\n",
            "t:10: while loading 'a': rightauth=null needs IKEv2, which is not served",
        ),
        (" authby=eddsa\n", "t:9: while loading 'a': authby=eddsa needs IKEv2, which is not served"),
        (
            " leftauth=eap\n rightauth=eap\n",
            "t:9: while loading 'a': leftauth=eap needs IKEv2, which is not served",
        ),
        (" ppk=insist\n", "t:9: while loading 'a': ppk=insist needs IKEv2, which is not served"),
        (" policy-label=x\n", "t:9: while loading 'a': labeled IPsec is not served"),
    ] {
        let config = conn(lines);
        let [error] = config.conn_errors.as_slice() else { panic!("{lines}: {config:?}") };
        assert_eq!(error.refusal, Refusal::NotServed);
        assert_eq!(error.diagnostics.iter().map(|d| d.short()).collect::<Vec<_>>(), [want], "{lines}");
        assert_eq!(config.failed_conns().count(), 1);
        assert_eq!(config.refusal_of("A"), Some(error));
    }
}

#[test]
fn nothing_is_hidden_in_aggressive_mode() {
    let said = |lines| {
        let config = conn(lines);
        config.conns[1].notes.iter().filter(|n| n.message.contains("nat-hide")).count()
    };
    for side in ["left", "right"] {
        let both = format!(" {side}nat-hide=yes\n aggrmode=yes\n").leak();
        assert_eq!(said(both), 1, "{both}");
        assert!(conn(both).conn_errors.is_empty());
    }
    assert_eq!(said(" leftnat-hide=yes\n aggrmode=no\n") + said(" leftnat-hide=no\n aggrmode=yes\n"), 0);
}

#[test]
fn of_a_list_what_can_be_done_remains() {
    assert_eq!(authby(" authby=rsasig,null\n"), AuthBy::default());
    assert_eq!(authby(" authby=secret,eddsa\n"), AuthBy::PSK);
    assert_eq!(authby(" authby=rsa-sha2_256,ecdsa-sha2\n"), AuthBy { ecdsa: true, ..AuthBy::default() });
    let config = conn(" authby=rsasig,null\n");
    let [note] = config.conns[1].notes.as_slice() else { panic!("{config:?}") };
    assert_eq!(note.message, "authby=null needs IKEv2, which is not served");
}

#[test]
fn a_placeholder_that_is_wrong_is_no_failure() {
    let text = "conn a\n left=192.0.2.1\n right=%any\n rightsubnet=bogus\nconn b\n left=192.0.2.1\n right=%any\n rightsubnet=bogus\n auto=start\n";
    let config = load_str(Path::new("t"), text).unwrap();
    let failed: Vec<_> = config.failed_conns().map(|e| (e.name.as_str(), e.refusal)).collect();
    assert_eq!((config.conn_errors.len(), failed), (2, vec![("b", Refusal::Wrong)]));
}

#[test]
fn a_bad_line_of_config_setup_is_an_error_and_costs_nothing_else() {
    let config = conn("config setup\n oe=\"no\n uniqueids=no\n");
    assert_eq!((config.conns.len(), config.setup_errors.len(), config.warnings.len()), (2, 1, 0));
    assert!(!config.setup.engine.uniqueids);
    assert_eq!(config.diagnostics().filter(|d| d.severity == Severity::Error).count(), 1);
}
