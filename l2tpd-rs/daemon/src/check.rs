//! What `--check` finds besides errors of grammar: things that load and will not do what they look like.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use l2tp_proto::PppOptions;

use crate::conf::Config;
use crate::optfile::{OptFile, words};
use crate::ppp_secrets;
use crate::secrets::SecretFile;

/// Something in `xl2tpd.conf` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// `lns` or `lac`.
    pub kind: &'static str,
    /// The section's name.
    pub name: String,
    /// The keyword it is about, whether it stands there or is missed.
    pub keyword: &'static str,
    /// What follows.
    pub text: String,
    /// What to write.
    pub fix: &'static str,
    /// Calls come up all the same.
    pub works: bool,
}

/// The traps in what the file says, whatever other files there are.
pub fn traps(conf: &Config) -> Vec<Trap> {
    let mut out = Vec::new();
    let mut tell = |kind, name: &str, (keyword, fix), works, text: String| {
        out.push(Trap { kind, name: name.into(), keyword, text, fix, works });
    };
    let lns: Vec<_> = conf.lns.iter().chain(&conf.default_lns).collect();
    if conf.default_lns.is_none()
        && lns.iter().all(|l| l.lac.is_empty())
        && let Some(first) = lns.first()
    {
        let text = "no section has a 'lac' line and there is no [lns default]: everybody is refused";
        tell("lns", &first.name, ("lac", "lac = ADDRESS, or [lns default]"), false, text.into());
    }
    if conf.global.access_control
        && let Some(default) = conf.default_lns.as_ref().filter(|_| lns.iter().all(|l| l.lac.is_empty()))
    {
        let text = "with access control no section has a 'lac' line: everybody is refused";
        tell("lns", &default.name, ("lac", "lac = FIRST-LAST, or access control = no"), false, text.into());
    }
    for l in &lns {
        if !l.no_assign && !l.pool.iter().any(|r| r.allow) {
            let text = format!("[lns {}] has no 'ip range': callers get 'No available IP address'", l.name);
            tell("lns", &l.name, ("ip range", "ip range = FIRST-LAST"), false, text);
        }
        if l.local_ip.is_none() && l.local_pool.is_empty() {
            let text = format!("[lns {}] has no 'local ip': pppd takes an address of its own", l.name);
            tell("lns", &l.name, ("local ip", "local ip = ADDRESS"), true, text);
        }
    }
    for l in conf.lac.iter().filter(|l| l.lns.is_empty()) {
        let text = format!("[lac {}] has no 'lns', and neither has [lac default]", l.name);
        tell("lac", &l.name, ("lns", "lns = SERVER"), false, text);
    }
    let of_lns = lns.iter().map(|l| ("lns", &l.name, &l.ppp));
    for (kind, name, p) in of_lns.chain(conf.lac.iter().map(|l| ("lac", &l.name, &l.ppp))) {
        if (p.require_pap || p.require_chap) && !p.require_auth {
            let keyword = if p.require_chap { "require chap" } else { "require pap" };
            let text = format!(
                "[{kind} {name}] requires pap or chap, which does nothing without 'require authentication'"
            );
            tell(kind, name, (keyword, "require authentication = yes"), false, text);
        }
    }
    out
}

/// Lines for whoever wrote the files; `secrets` is the path of `l2tp-secrets`.
pub fn warnings(conf: &Config, secrets: &str) -> Vec<String> {
    let mut out: Vec<String> = traps(conf).into_iter().map(|t| t.text).collect();
    let lns: Vec<_> = conf.lns.iter().chain(&conf.default_lns).collect();
    for l in &lns {
        ppp(&format!("[lns {}]", l.name), &l.ppp, conf.global.force_userspace, &mut out);
        if l.ppp.require_auth && !l.ppp.login {
            known_server(&format!("[lns {}]", l.name), &l.ppp, &mut out);
        }
    }
    for l in &conf.lac {
        ppp(&format!("[lac {}]", l.name), &l.ppp, conf.global.force_userspace, &mut out);
    }
    if let Some((_, warnings)) = SecretFile::new(secrets.into()).changed() {
        out.extend(warnings.into_iter().map(|w| format!("{secrets}: {w}")));
    }
    let challenged = lns.iter().any(|l| l.challenge) || conf.lac.iter().any(|l| l.challenge);
    if challenged && !Path::new(secrets).exists() {
        out.push(format!("'challenge' needs {secrets}, which is not there"));
    }
    for file in ppp_secrets::FILES.into_iter().chain([secrets]) {
        if std::fs::metadata(file).is_ok_and(|m| m.mode() & 0o077 != 0) {
            out.push(format!("{file} can be read by others than its owner"));
        }
    }
    out
}

fn ppp(section: &str, p: &PppOptions, force_userspace: bool, out: &mut Vec<String>) {
    let Some(file) = &p.file else { return };
    if !Path::new(file).exists() {
        return out.push(format!("{section} names {file}, which is not there"));
    }
    if let (false, Some(word)) = (force_userspace, OptFile::look(file).tty_only) {
        out.push(format!(
            "{section}: '{word}' in {file} is for a tty, so its calls cannot go through the kernel"
        ));
    }
}

/// Callers are looked up by our name in the second column.
fn known_server(section: &str, p: &PppOptions, out: &mut Vec<String>) {
    let Some(name) = &p.name else { return };
    let texts: Vec<String> =
        ppp_secrets::FILES.iter().filter_map(|f| std::fs::read_to_string(f).ok()).collect();
    let fits = |line: &str| words(line).get(1).is_some_and(|server| server == "*" || server == name);
    if !texts.is_empty() && !texts.iter().flat_map(|t| t.lines()).any(fits) {
        out.push(format!(
            "{section}: no line of {} is for the name '{name}'",
            ppp_secrets::FILES.join(" or ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::load;

    #[test]
    fn access_control_wants_callers() {
        let told = |lines: &str| {
            let text = format!(
                "[global]\naccess control = yes\n[lns default]\nip range = 10.0.0.2-9\nlocal ip = 10.0.0.1\n{lines}"
            );
            !traps(&load("x", &text).unwrap()).is_empty()
        };
        assert!(told("") && !told("lac = 192.0.2.1\n"));
    }

    #[test]
    fn traps_are_told() {
        let text = "[lns a]\nrequire chap = yes\npppoptfile = /nonexistent\n[lac b]\nchallenge = yes\n";
        let w = warnings(&load("x", text).unwrap(), "/nonexistent/l2tp-secrets").join("\n");
        for part in [
            "everybody is refused",
            "[lns a] has no 'ip range'",
            "[lns a] has no 'local ip'",
            "[lns a] requires pap or chap",
            "[lns a] names /nonexistent",
            "[lac b] has no 'lns'",
            "'challenge' needs",
        ] {
            assert!(w.contains(part), "{part} is not in {w}");
        }
    }
}
