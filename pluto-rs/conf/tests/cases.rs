//! Folder cases: `tests/cases/NN-name/ipsec.conf` and what it loads to. `CONF_UPDATE_CASES=1` rewrites the expectations.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use ipsec_conf::{Config, Diagnostic};

fn describe(result: Result<Config, Vec<Diagnostic>>) -> String {
    let mut s = String::new();
    let config = match result {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|e| writeln!(s, "{e}").unwrap());
            return s;
        }
    };
    config.warnings.iter().for_each(|d| writeln!(s, "{d}").unwrap());
    for conn in &config.conns {
        conn.notes.iter().for_each(|d| writeln!(s, "{d}").unwrap());
        writeln!(s, "{:#?}", conn.spec).unwrap();
        writeln!(s, "pending {:?} {:?}", conn.left, conn.right).unwrap();
    }
    for error in &config.conn_errors {
        writeln!(s, "conn {} refused (auto {:?})", error.name, error.auto).unwrap();
        error.diagnostics.iter().for_each(|d| writeln!(s, "{d}").unwrap());
    }
    s
}

#[test]
fn every_case_loads_as_expected() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut count = 0;
    for entry in fs::read_dir(cases).unwrap() {
        let dir = entry.unwrap().path();
        let text = fs::read(dir.join("ipsec.conf")).unwrap();
        let got = describe(ipsec_conf::load_stream(Path::new("ipsec.conf"), text.as_slice()));
        let expected = dir.join("expected.txt");
        if std::env::var_os("CONF_UPDATE_CASES").is_some() {
            fs::write(&expected, &got).unwrap();
        }
        assert_eq!(got, fs::read_to_string(&expected).unwrap(), "{}", dir.display());
        count += 1;
    }
    assert!(count >= 7);
}
