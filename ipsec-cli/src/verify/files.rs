//! The configuration: does it load, and who can read the secrets.

use std::os::unix::fs::PermissionsExt;

use ipsec_conf::{Config, Diagnostic, Severity};
use ipsec_types::conn::Auto;

use super::report::{Report, Verdict, advice};
use crate::paths;

/// `ipsec.conf`.
pub(crate) fn configuration(r: &mut Report, config: &Result<Config, Vec<Diagnostic>>) {
    let text = "Checking configuration file syntax";
    match config {
        Ok(config) => {
            r.line(text, "OK");
            for error in &config.conn_errors {
                // What is not loaded at start is missed by nobody yet.
                let verdict = if error.auto == Auto::Ignore { Verdict::Warn } else { Verdict::Bad };
                let not = advice(
                    "the conn is not loaded",
                    "correct the line, then `ipsec setup reload'; `ipsec addconn --checkconfig' shows it in full",
                );
                r.bad(&format!(" conn {}", error.name), verdict, "FAILED", not);
                error.diagnostics.iter().for_each(|d| r.note(&d.short()));
            }
        }
        Err(errors) => {
            let not = advice(
                "no conn can be loaded",
                "correct the lines; `ipsec addconn --checkconfig' shows them in full",
            );
            r.bad(text, Verdict::Bad, "FAILED", not);
            errors.iter().for_each(|d| r.note(&d.short()));
        }
    }
}

/// `ipsec.secrets` and what it includes.
pub(crate) fn secrets(r: &mut Report, config: &Result<Config, Vec<Diagnostic>>) {
    let given = config.as_ref().ok().and_then(|c| c.setup.secretsfile.clone());
    let path = given.unwrap_or_else(|| paths::confs().join("ipsec.secrets"));
    let text = "Checking permissions of ipsec.secrets";
    let Ok(meta) = std::fs::metadata(&path) else {
        let not = advice("no conn can prove who we are", format!("write {}, mode 600", path.display()));
        return r.check(text, false, "MISSING", not);
    };
    let open = advice("every user can read the keys", format!("chmod 600 {}", path.display()));
    r.check(text, meta.permissions().mode() & 0o007 == 0, "READABLE BY OTHERS", open);
    let (_, said) = ipsec_conf::secrets::load_all(&path);
    let wrong: Vec<&Diagnostic> = said.iter().filter(|d| d.severity >= Severity::Warning).collect();
    let worst = wrong.iter().any(|d| d.severity == Severity::Error);
    let text = "Checking the records of ipsec.secrets";
    let fix = "correct the records, then `ipsec auto --rereadsecrets'";
    match (wrong.is_empty(), worst) {
        (true, _) => r.line(text, "OK"),
        (_, true) => r.bad(text, Verdict::Bad, "FAILED", advice("these records serve nobody", fix)),
        (_, false) => {
            r.bad(
                text,
                Verdict::Warn,
                "WARNING",
                advice("these records may not do what they look like", fix),
            );
        }
    }
    wrong.iter().take(20).for_each(|d| r.note(&d.short()));
}
