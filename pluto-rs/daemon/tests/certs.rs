//! Certificates of `leftcert=`, and what stands behind them in their files, are kept as long as a conn names them.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

mod common;

use std::fs;

use common::Daemon;
use ipsec_types::auth::AuthBy;
use ipsec_types::whack::{List, Request};
use ipsec_types::{ConnSpec, EndSpec, HostSpec};

fn conn(name: &str, cert: &str) -> Request {
    let host = |a: &str| HostSpec::Addr(a.parse().unwrap());
    Request::Add(Box::new(ConnSpec {
        name: name.into(),
        left: EndSpec { host: host("127.0.0.1"), cert: Some(cert.into()), ..EndSpec::default() },
        right: EndSpec { host: HostSpec::Any, ..EndSpec::default() },
        authby: AuthBy { rsasig: true, ..AuthBy::NONE },
        ..ConnSpec::default()
    }))
}

fn delete(name: &str) -> Request {
    Request::Delete { name: name.into() }
}

#[test]
fn what_no_conn_names_is_forgotten_and_read_anew() {
    let pki = |name: &str| {
        fs::read(format!("{}/../../compat-tests/sim/tests/pki/{name}.pem", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    };
    let daemon = Daemon::start("0");
    let certs = daemon.path("ipsec.d/certs");
    fs::create_dir(&certs).unwrap();
    fs::write(certs.join("us.pem"), [pki("server"), pki("ca")].concat()).unwrap();
    let listed = || {
        let text = daemon.told(&[Request::List { what: List::Certs, utc: true }]);
        text.matches("subject:").count()
    };
    let added = daemon.told(&[conn("a", "us.pem"), conn("b", "us.pem"), conn("c", "missing.pem")]);
    assert_eq!(added.matches("added connection description").count(), 3, "{added}");
    assert_eq!(listed(), 1);
    daemon.told(&[delete("a")]);
    // Replaced, with no time without a conn.
    daemon.told(&[conn("b", "us.pem")]);
    assert_eq!(listed(), 1, "the second one is still there");
    daemon.told(&[delete("b")]);
    assert_eq!(listed(), 0);
    // Another certificate under the same name, which has just come.
    fs::write(certs.join("us.pem"), pki("client")).unwrap();
    assert!(daemon.told(&[conn("a", "us.pem")]).contains("added connection description"));
    let text = daemon.told(&[Request::List { what: List::Certs, utc: true }]);
    assert!(text.contains("client"), "{text}");
}
