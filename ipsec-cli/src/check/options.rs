//! Option files of pppd, as far as other files can contradict them.

use std::path::Path;

use ipsec_conf::source;
use l2tpd::optfile;

use super::finding::{At, Finding};
use super::site::Site;

/// How deep `file` options are followed.
const DEPTH: u32 = 5;

/// One option.
#[derive(Clone, Debug)]
pub(super) struct Opt {
    /// Its canonical name: `+mschap-v2` is `require-mschap-v2`.
    pub(super) name: String,
    /// Its value, where it has one.
    pub(super) value: Option<String>,
    /// Its place.
    pub(super) at: At,
}

/// The options of a section, in the order pppd reads them.
#[derive(Clone, Debug, Default)]
pub(super) struct Options(Vec<Opt>);

impl Options {
    /// Those of `/etc/ppp/options` and of `file`; what cannot be read is told, what was goes to the site's list of files.
    pub(super) fn read(site: &mut Site, file: Option<(&str, At)>, out: &mut Vec<Finding>) -> Options {
        let mut options = Options::default();
        let system = "/etc/ppp/options";
        if site.below(Path::new(system)).exists() {
            let at = At { file: system.into(), line: 0 };
            options.file(site, system, &at, DEPTH, out);
        }
        if let Some((file, at)) = file {
            options.file(site, file, &at, DEPTH, out);
        }
        options
    }

    fn file(&mut self, site: &mut Site, file: &str, from: &At, depth: u32, out: &mut Vec<Finding>) {
        let text = match source::read(&site.below(Path::new(file))) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("{file}: {why}; pppd does not start with it");
                let fix = "correct the name, or write the file";
                return out.push(Finding::error("pppoptfile", from.clone(), message, fix));
            }
        };
        site.files.push(file.into());
        let mut words = optfile::numbered(&text).into_iter().flatten();
        while let Some(word) = words.next() {
            let at = At { file: file.into(), line: u32::try_from(word.line).unwrap_or(0) };
            let name = canonical(&word.text);
            let value = takes_value(&name).then(|| words.next().map(|w| w.text)).flatten();
            match (name.as_str(), &value, depth.checked_sub(1)) {
                ("file", Some(next), Some(depth)) => self.file(site, next, &at, depth, out),
                _ => self.0.push(Opt { name, value, at }),
            }
        }
    }

    /// The last option of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Opt> {
        self.0.iter().rfind(|o| o.name == name)
    }

    /// The last option of several.
    pub(super) fn any(&self, names: &[&str]) -> Option<&Opt> {
        self.0.iter().rfind(|o| names.contains(&o.name.as_str()))
    }

    /// Whether a plugin may know users and addresses.
    pub(super) fn plugin(&self) -> bool {
        self.get("plugin").is_some()
    }
}

/// The long form of pppd's spellings.
fn canonical(word: &str) -> String {
    match word {
        "-ccp" => "noccp".into(),
        "-proxyarp" => "noproxyarp".into(),
        "-chap" | "-pap" | "-mschap" | "-mschap-v2" | "-eap" => format!("refuse{word}"),
        "-mppe" => "nomppe".into(),
        "+mppe" => "require-mppe".into(),
        "mppe" | "mppe-128" | "mppe-40" | "+mppe-128" | "+mppe-40" => "require-mppe".into(),
        "require-mppe-128" | "require-mppe-40" => "require-mppe".into(),
        word => match word.strip_prefix('+') {
            Some(auth @ ("pap" | "chap" | "mschap" | "mschap-v2" | "eap")) => format!("require-{auth}"),
            _ => word.into(),
        },
    }
}

/// Options whose next word is no option.
fn takes_value(name: &str) -> bool {
    const WITH: [&str; 36] = [
        "name",
        "user",
        "remotename",
        "password",
        "ipparam",
        "linkname",
        "plugin",
        "logfile",
        "mtu",
        "mru",
        "idle",
        "maxconnect",
        "maxfail",
        "holdoff",
        "ms-dns",
        "ms-wins",
        "file",
        "call",
        "connect",
        "init",
        "disconnect",
        "welcome",
        "pty",
        "domain",
        "netmask",
        "connect-delay",
        "lcp-echo-interval",
        "lcp-echo-failure",
        "lcp-restart",
        "lcp-max-configure",
        "lcp-max-terminate",
        "chap-interval",
        "chap-restart",
        "chap-max-challenge",
        "ifname",
        "unit",
    ];
    WITH.contains(&name)
}
