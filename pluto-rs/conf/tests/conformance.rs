//! Folders `tests/conformance/NAME`: `ipsec.conf` in; out come `messages`, `canonical` (where the file loads) and, in the
//! folders that have it, `conns`, every field of each conn. `CONF_UPDATE_CASES=1` rewrites them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ipsec_conf::{Config, Diagnostic, canonical, load_str, source};

const NAME: &str = "ipsec.conf";

fn folders() -> Vec<PathBuf> {
    let all = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")).unwrap();
    let mut all: Vec<PathBuf> = all.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// The file without its includes, which name places of a real machine.
fn text(folder: &Path) -> String {
    let text = source::read(&folder.join(NAME)).unwrap();
    let lines = text.split_inclusive('\n');
    lines.filter(|l| !l.starts_with("include /")).collect()
}

fn messages(loaded: &Result<Config, Vec<Diagnostic>>) -> String {
    let mut s = String::new();
    let config = match loaded {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|e| writeln!(s, "{e}").unwrap());
            return s;
        }
    };
    let notes = config.conns.iter().flat_map(|c| &c.notes);
    let all = config.setup_errors.iter().chain(&config.warnings).chain(notes);
    all.for_each(|d| writeln!(s, "{d}").unwrap());
    for error in &config.conn_errors {
        writeln!(s, "conn {} is refused ({:?}, auto {:?}):", error.name, error.refusal, error.auto).unwrap();
        error.diagnostics.iter().for_each(|d| writeln!(s, "{d}").unwrap());
    }
    s
}

fn conns(config: &Config) -> String {
    let mut s = String::new();
    for conn in &config.conns {
        writeln!(s, "{:#?}\npending {:?} {:?}", conn.spec, conn.left, conn.right).unwrap();
    }
    s
}

#[test]
fn every_folder_gives_what_it_should() {
    let update = env::var_os("CONF_UPDATE_CASES").is_some();
    let mut count = 0;
    for folder in folders() {
        let text = text(&folder);
        let loaded = load_str(Path::new(NAME), &text);
        let conns = loaded.as_ref().ok().filter(|_| folder.join("conns").exists()).map(conns);
        let canonical = loaded.is_ok().then(|| canonical::text(Path::new(NAME), &text).unwrap());
        for (file, got) in [("messages", Some(messages(&loaded))), ("canonical", canonical), ("conns", conns)]
        {
            let path = folder.join(file);
            let Some(got) = got else {
                assert!(!path.exists(), "{}", path.display());
                continue;
            };
            if update {
                fs::write(&path, &got).unwrap();
            }
            assert_eq!(got, fs::read_to_string(&path).unwrap(), "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 38, "{count}");
}

#[test]
fn the_canonical_form_loads_to_the_same_conns() {
    let name = Path::new(NAME);
    for folder in folders() {
        let text = text(&folder);
        let Ok(config) = load_str(name, &text) else { continue };
        let again = canonical::text(name, &text).unwrap();
        let specs =
            |c: Config| -> Vec<_> { c.conns.into_iter().map(|c| (c.spec, c.left, c.right)).collect() };
        let dialect = config.dialect;
        assert_eq!(specs(config), specs(load_str(name, &again).unwrap()), "{}\n{again}", folder.display());
        assert_eq!(load_str(name, &again).unwrap().dialect, dialect, "{}", folder.display());
        // What was left out is told once.
        let kept: Vec<&str> = again.split("\n\n").filter(|l| !l.contains(" left out: ")).collect();
        assert_eq!(canonical::text(name, &again).unwrap(), kept.join("\n\n"), "{}", folder.display());
    }
}
