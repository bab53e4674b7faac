//! The configuration: does it load, and who can read the secrets.

use std::os::unix::fs::PermissionsExt;

use ipsec_conf::{Config, Diagnostic, Severity};
use ipsec_types::conn::Auto;

use super::report::{Report, Verdict};
use crate::paths;

/// `ipsec.conf`.
pub(crate) fn configuration(r: &mut Report, config: &Result<Config, Vec<Diagnostic>>) {
    let text = "Checking configuration file syntax";
    match config {
        Ok(config) => {
            r.line(text, Verdict::Good, "OK");
            for error in &config.conn_errors {
                // What is not loaded at start is missed by nobody yet.
                let verdict = if error.auto == Auto::Ignore { Verdict::Warn } else { Verdict::Bad };
                r.line(&format!(" conn {}", error.name), verdict, "FAILED");
                error.diagnostics.iter().for_each(|d| r.note(&d.short()));
            }
        }
        Err(errors) => {
            r.line(text, Verdict::Bad, "FAILED");
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
        let advice = format!("{} does not exist: no conn can prove who we are", path.display());
        return r.check(text, false, "MISSING", &advice);
    };
    let advice = format!("every user can read the keys: chmod 600 {}", path.display());
    r.check(text, meta.permissions().mode() & 0o007 == 0, "READABLE BY OTHERS", &advice);
    let (_, said) = ipsec_conf::secrets::load_all(&path);
    let wrong: Vec<&Diagnostic> = said.iter().filter(|d| d.severity >= Severity::Warning).collect();
    let worst = wrong.iter().any(|d| d.severity == Severity::Error);
    let text = "Checking the records of ipsec.secrets";
    match (wrong.is_empty(), worst) {
        (true, _) => r.line(text, Verdict::Good, "OK"),
        (_, true) => r.line(text, Verdict::Bad, "FAILED"),
        (_, false) => r.line(text, Verdict::Warn, "WARNING"),
    }
    wrong.iter().take(20).for_each(|d| r.note(&d.short()));
}
