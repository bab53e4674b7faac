//! Folders `tests/conformance/NAME`: `ipsec.conf` in, `canonical` and `messages` out. `CONF_UPDATE_CASES=1` rewrites them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ipsec_conf::{Config, canonical, load_str};

fn folders() -> Vec<PathBuf> {
    let all = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")).unwrap();
    let mut all: Vec<PathBuf> = all.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// The file without its includes, which name places of a real machine.
fn text(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("ipsec.conf")).unwrap();
    text.lines().filter(|l| !l.starts_with("include")).map(|l| format!("{l}\n")).collect()
}

fn messages(config: &Config) -> String {
    let mut s = String::new();
    let notes = config.conns.iter().flat_map(|c| &c.notes);
    config.warnings.iter().chain(notes).for_each(|d| writeln!(s, "{d}").unwrap());
    for error in &config.conn_errors {
        writeln!(s, "conn {} is refused:", error.name).unwrap();
        error.diagnostics.iter().for_each(|d| writeln!(s, "{d}").unwrap());
    }
    s
}

#[test]
fn every_folder_gives_its_canonical_form_and_messages() {
    let name = Path::new("ipsec.conf");
    let mut count = 0;
    for folder in folders() {
        let text = text(&folder);
        let config = load_str(name, &text).unwrap();
        for (file, got) in
            [("canonical", canonical::text(name, &text).unwrap()), ("messages", messages(&config))]
        {
            let path = folder.join(file);
            if env::var_os("CONF_UPDATE_CASES").is_some() {
                fs::write(&path, &got).unwrap();
            }
            assert_eq!(got, fs::read_to_string(&path).unwrap(), "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

#[test]
fn the_canonical_form_loads_to_the_same_conns() {
    let name = Path::new("ipsec.conf");
    for folder in folders() {
        let text = text(&folder);
        let again = canonical::text(name, &text).unwrap();
        let specs = |t: &str| -> Vec<_> {
            load_str(name, t).unwrap().conns.into_iter().map(|c| (c.spec, c.left, c.right)).collect()
        };
        assert_eq!(specs(&text), specs(&again), "{}\n{again}", folder.display());
        assert_eq!(canonical::text(name, &again).unwrap(), again, "{}", folder.display());
    }
}
