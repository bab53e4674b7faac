//! The files of `etc/` load without a word to say about them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use ipsec_conf::{Severity, load_str, secrets};

fn etc() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc")
}

#[test]
fn the_configuration_and_every_example_load_in_silence() {
    let main = fs::read_to_string(etc().join("ipsec.conf")).unwrap();
    let (setup, include) = main.split_once("\ninclude ").unwrap();
    assert_eq!(include.trim(), "/etc/ipsec.d/*.conf");
    let mut conns = Vec::new();
    for entry in fs::read_dir(etc().join("ipsec.d/examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if path.ends_with("sysctl.conf") {
            let plain = |l: &&str| !l.is_empty() && !l.starts_with('#');
            assert!(text.lines().filter(plain).all(|l| l.starts_with("net.") && l.contains(" = ")), "{text}");
            continue;
        }
        let config = load_str(&path, &format!("{setup}\n{text}")).unwrap();
        let said: Vec<_> = config.diagnostics().collect();
        assert!(said.is_empty(), "{said:#?}");
        conns.extend(config.conns.into_iter().map(|c| c.spec.name));
    }
    conns.sort();
    assert_eq!(conns, ["L2TP-CERT", "L2TP-PSK", "exclude-lan", "linux-to-linux", "office", "xauth-psk"]);
}

#[test]
fn the_secrets_are_none_until_somebody_writes_one() {
    let path = etc().join("ipsec.secrets");
    let text = fs::read_to_string(&path).unwrap();
    let load = |text: &str| secrets::parse_all(&path, text.as_bytes(), &|_| None);
    // What others leave in ipsec.d is read, here from a folder of the test's own; nothing there is no error.
    let dir = tempfile::tempdir().unwrap();
    let here = text.replace("include /etc/ipsec.d", &format!("include {}", dir.path().display()));
    assert_ne!(here, text);
    let (records, said) = load(&here);
    assert!(records.is_empty() && said.len() == 1, "{said:?}");
    assert!(said[0].severity == Severity::Note && said[0].message.starts_with("no secrets filename matched"));
    fs::write(dir.path().join("ipsec.nm-l2tp.secrets"), ": PSK 0sc2VjcmV0\n").unwrap();
    let (records, said) = secrets::parse(&path, here.as_bytes(), &|_| None);
    assert_eq!(records[0].psk.expose(), b"secret", "{said:?}");
    // Without the comment signs the examples are records.
    let (_, examples) = text.split_once("#\n").unwrap();
    let (examples, _) = examples.split_once("\n\n").unwrap();
    let (records, said) = load(&examples.replace("# ", ""));
    assert_eq!((records.len(), said.len()), (4, 0), "{said:?}");
}

#[test]
fn the_policy_groups_are_empty() {
    let mut names: Vec<_> =
        fs::read_dir(etc().join("ipsec.d/policies")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in &names {
        assert!(fs::read_to_string(path).unwrap().lines().all(|l| l.starts_with('#')), "{}", path.display());
    }
    let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(
        names.iter().map(name).collect::<Vec<_>>(),
        ["block", "clear", "clear-or-private", "private", "private-or-clear"]
    );
}
