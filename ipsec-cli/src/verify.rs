//! `ipsec verify`: looks at this machine and says what would keep IPsec from working.
//!
//! Reads `/proc` and asks the daemon; changes nothing and runs no program.

use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{ctl, info, paths, sockets};

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Worth knowing, no error.
    Warn,
    Bad,
}

/// Collects the lines.
struct Report {
    colour: bool,
    failed: bool,
    /// The checks so far when they are wanted as JSON; nothing is printed then.
    json: Option<Vec<serde_json::Value>>,
}

impl Report {
    /// `TEXT` in 50 columns, a tab, `[RESULT]`.
    fn line(&mut self, text: &str, verdict: Verdict, word: &str) {
        self.failed |= verdict == Verdict::Bad;
        if let Some(list) = &mut self.json {
            let kind = match verdict {
                Verdict::Good => "ok",
                Verdict::Warn => "warning",
                Verdict::Bad => "failed",
            };
            list.push(
                serde_json::json!({"check": text.trim(), "verdict": kind, "result": word, "notes": []}),
            );
            return;
        }
        let word = match (self.colour, verdict) {
            (false, _) => word.to_string(),
            (true, Verdict::Good) => format!("\x1b[92m{word}\x1b[0m"),
            (true, Verdict::Warn) => format!("\x1b[93m{word}\x1b[0m"),
            (true, Verdict::Bad) => format!("\x1b[91m{word}\x1b[0m"),
        };
        println!("{text:<50}\t[{word}]");
    }

    /// A line about the check before it: what follows from it and what to do.
    fn note(&mut self, text: &str) {
        match &mut self.json {
            None => println!("  {text}"),
            Some(list) => {
                let notes = list.last_mut().and_then(|l| l.get_mut("notes")).and_then(|n| n.as_array_mut());
                if let Some(notes) = notes {
                    notes.push(text.into());
                }
            }
        }
    }

    /// A line with no verdict.
    fn heading(&self, text: &str) {
        if self.json.is_none() {
            println!("{text}");
        }
    }

    fn check(&mut self, text: &str, good: bool, word: &str, advice: &str) {
        match good {
            true => self.line(text, Verdict::Good, "OK"),
            false => {
                self.line(text, Verdict::Bad, word);
                self.note(advice);
            }
        }
    }

    fn advise(&mut self, text: &str, good: bool, word: &str, advice: &str) {
        match good {
            true => self.line(text, Verdict::Good, "OK"),
            false => {
                self.line(text, Verdict::Warn, word);
                self.note(advice);
            }
        }
    }
}

fn proc(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|s| s.trim().to_string())
}

/// Runs `ipsec verify`.
pub(crate) fn run(args: &[String]) -> i32 {
    if let Some(option) =
        args.iter().find(|a| !matches!(a.as_str(), "--nocolour" | "--nocolor" | "--colour" | "--json"))
    {
        eprintln!("ipsec verify: unknown option `{option}'");
        return 2;
    }
    let plain = args.iter().any(|a| a.starts_with("--nocolo"));
    let json = args.iter().any(|a| a == "--json");
    let mut r = Report {
        colour: !plain && std::io::stdout().is_terminal(),
        failed: false,
        json: json.then(Vec::new),
    };
    r.heading("Checking if IPsec got installed and started correctly:\n");
    r.check(
        "Version check and ipsec on-path",
        on_path("ipsec"),
        "FAILED",
        "ipsec is not in a directory of PATH",
    );
    r.heading(&info::version_line().to_string());
    kernel(&mut r);
    network(&mut r);
    daemon(&mut r);
    l2tp(&mut r);
    files(&mut r);
    r.line("Checking NAT and MASQUERADEing", Verdict::Warn, "TEST INCOMPLETE");
    r.check("Checking 'ip' command", on_path("ip"), "FAILED", "install iproute2");
    r.advise(
        "Checking 'iptables' command",
        on_path("iptables"),
        "MISSING",
        "only needed by firewall scripts",
    );
    if let Some(checks) = r.json {
        println!("{}", serde_json::json!({"ok": !r.failed, "checks": checks}));
    } else if r.failed {
        eprintln!("\nipsec verify: encountered errors");
    }
    i32::from(r.failed)
}

fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let usual = ["/sbin", "/usr/sbin", "/usr/local/sbin"];
    path.split(':').chain(usual).any(|d| {
        let found = Path::new(d).join(program);
        found.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

/// Whether the kernel has a piece: it is a loaded or built-in module, or one that can be loaded.
fn module(name: &str) -> bool {
    let loaded = |line: &str| line.split_whitespace().next() == Some(name);
    if Path::new("/sys/module").join(name).exists()
        || proc("/proc/modules").is_some_and(|p| p.lines().any(loaded))
    {
        return true;
    }
    let release = proc("/proc/sys/kernel/osrelease").unwrap_or_default();
    ["modules.builtin", "modules.dep"].iter().any(|list| {
        let text = fs::read_to_string(format!("/lib/modules/{release}/{list}")).unwrap_or_default();
        let file = |line: &str| line.split(':').next().and_then(|p| p.rsplit('/').next()).map(str::to_string);
        text.lines()
            .filter_map(file)
            .any(|f| f.split('.').next().is_some_and(|m| m.replace('-', "_") == name))
    })
}

fn kernel(r: &mut Report) {
    let xfrm = info::has_xfrm();
    r.check(
        "Checking for IPsec support in kernel",
        xfrm,
        "FAILED",
        "The kernel has no XFRM: CONFIG_XFRM_USER is needed",
    );
    if !xfrm {
        return;
    }
    // A kernel that has it built in may come without a list of what is; its symbols tell then.
    let symbol = |line: &str| line.split_whitespace().nth(2) == Some("esp_init_state");
    let esp = module("esp4") || fs::read_to_string("/proc/kallsyms").is_ok_and(|k| k.lines().any(symbol));
    r.check(" NETKEY: ESP in the kernel", esp, "FAILED", "CONFIG_INET_ESP (module esp4) is needed");
    r.heading(" NETKEY: Testing XFRM related proc values");
    for word in ["send_redirects", "accept_redirects"] {
        let values: Vec<(String, String)> = per_interface(word);
        let bad = values.iter().any(|(_, v)| v != "0");
        let advice = format!(
            "Disable /proc/sys/net/ipv4/conf/*/{word} or NETKEY will cause the sending of bogus ICMP redirects"
        );
        r.check(&format!("         ICMP default/{word}"), !bad, "NOT DISABLED", &advice);
    }
    match proc("/proc/sys/net/core/xfrm_larval_drop").as_deref() {
        Some("1") => r.line("         XFRM larval drop", Verdict::Good, "OK"),
        Some(_) => r.check(
            "         XFRM larval drop",
            false,
            "NOT ENABLED",
            "echo 1 > /proc/sys/net/core/xfrm_larval_drop, or connects block while a tunnel comes up",
        ),
        None => r.line("         XFRM larval drop", Verdict::Warn, "OLD OR BROKEN KERNEL"),
    }
}

/// The value of `/proc/sys/net/ipv4/conf/*/WORD` for each interface.
fn per_interface(word: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir("/proc/sys/net/ipv4/conf").into_iter().flatten().flatten();
    let mut list: Vec<(String, String)> = entries
        .filter_map(|e| {
            let value = proc(e.path().join(word).to_str()?)?;
            Some((e.file_name().into_string().ok()?, value))
        })
        .filter(|(name, _)| name != "lo")
        .collect();
    list.sort();
    list
}

fn network(r: &mut Report) {
    let device = |line: &str| line.split_once(':').map(|(n, _)| n.trim().to_string());
    let devices = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    if devices.lines().filter_map(device).filter(|n| n != "lo").count() > 1 {
        let text = "Two or more interfaces found, checking IP forwarding";
        match proc("/proc/sys/net/ipv4/ip_forward").as_deref() {
            Some("1") => r.line(text, Verdict::Good, "OK"),
            Some(_) => r.check(text, false, "FAILED", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
            None => r.line(text, Verdict::Bad, "MISSING ip_forward proc file"),
        }
    }
    // The kernel uses the larger of the value for all and the interface's own.
    let strict: Vec<String> =
        per_interface("rp_filter").into_iter().filter(|(_, v)| v == "1").map(|(n, _)| n).collect();
    r.advise(
        "Checking rp_filter",
        strict.is_empty(),
        "ENABLED",
        "strict reverse path filtering drops decrypted packets of other networks; 0 or 2 does not",
    );
    for name in strict {
        r.line(&format!(" /proc/sys/net/ipv4/conf/{name}/rp_filter"), Verdict::Warn, "ENABLED");
    }
}

/// Whether `port` is bound by one of `programs`, or by someone this user may not look at; and the others that hold it.
fn held(port: u16, programs: &[&str]) -> (bool, Option<String>) {
    let bound = sockets::udp(port);
    let (ours, others): (Vec<_>, Vec<_>) =
        sockets::owners(&bound).into_iter().partition(|o| programs.contains(&o.name.as_str()));
    let who: Vec<String> = others.iter().map(|o| format!("{} (pid {})", o.name, o.pid)).collect();
    let taken = (!who.is_empty()).then(|| format!("UDP port {port} is taken by {}", who.join(", ")));
    (!ours.is_empty() || (taken.is_none() && !bound.is_empty()), taken)
}

fn daemon(r: &mut Report) {
    let running = ctl::answers(&paths::ctlbase());
    r.check("Checking that pluto is running", running, "FAILED", "start it with `ipsec setup start'");
    if !running {
        for taken in [500, 4500].into_iter().filter_map(|p| held(p, &["pluto"]).1) {
            r.note(&format!("{taken}: stop it, or pluto cannot start"));
        }
        return;
    }
    listens(r, " Pluto listening for IKE on udp 500", 500, "FAILED");
    r.line(" Pluto listening for IKE on tcp 500", Verdict::Warn, "NOT IMPLEMENTED");
    listens(r, " Pluto listening for IKE/NAT-T on udp 4500", 4500, "DISABLED");
    r.line(" Pluto listening for IKE/NAT-T on tcp 4500", Verdict::Warn, "NOT IMPLEMENTED");
    r.line(" Pluto listening for IKE on tcp 10000 (cisco)", Verdict::Warn, "NOT IMPLEMENTED");
}

fn listens(r: &mut Report, text: &str, port: u16, word: &str) {
    let (good, taken) = held(port, &["pluto"]);
    let advice = taken.map(|t| format!("{t}: stop it, then run `ipsec auto --ready'"));
    r.check(text, good, word, advice.as_deref().unwrap_or("run `ipsec auto --ready'"));
}

fn l2tp(r: &mut Report) {
    let ppp = Path::new("/dev/ppp").exists() || module("ppp_generic");
    r.advise(
        "Checking PPP support (/dev/ppp)",
        ppp,
        "MISSING",
        "needed for L2TP only: CONFIG_PPP, CONFIG_PPP_ASYNC",
    );
    let (good, taken) = held(1701, &["xl2tpd", "l2tpd"]);
    let advice = taken.unwrap_or_else(|| "needed for L2TP only".into());
    r.advise("Checking that an L2TP daemon listens on udp 1701", good, "NOT RUNNING", &advice);
}

fn files(r: &mut Report) {
    let path = paths::config();
    match ipsec_conf::load(&path) {
        Ok(config) => {
            r.line("Checking configuration file syntax", Verdict::Good, "OK");
            for error in &config.conn_errors {
                r.line(&format!(" conn {}", error.name), Verdict::Bad, "FAILED");
                error.diagnostics.iter().for_each(|d| r.note(&d.short().to_string()));
            }
        }
        Err(errors) => {
            r.line("Checking configuration file syntax", Verdict::Bad, "FAILED");
            errors.iter().for_each(|d| r.note(&d.short().to_string()));
        }
    }
    let secrets = paths::confs().join("ipsec.secrets");
    let text = "Checking permissions of ipsec.secrets";
    match fs::metadata(&secrets).map(|m| m.permissions().mode()) {
        Ok(mode) => {
            let advice = format!("chmod 600 {}", secrets.display());
            r.check(text, mode & 0o007 == 0, "READABLE BY OTHERS", &advice);
        }
        Err(_) => r.check(text, false, "MISSING", &format!("{} does not exist", secrets.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_taken_by_another_program_is_no_success_and_says_who() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (good, taken) = held(port, &["pluto"]);
        assert!(!good);
        assert!(taken.unwrap().contains(&format!("(pid {})", std::process::id())));
    }

    #[test]
    fn json_keeps_verdict_and_advice_of_each_check() {
        let mut r = Report { colour: false, failed: false, json: Some(Vec::new()) };
        r.check("one", true, "FAILED", "not said");
        r.check(" two", false, "MISSING", "do this");
        assert!(r.failed);
        let list = serde_json::Value::from(r.json.unwrap());
        assert_eq!((&list[0]["verdict"], &list[0]["notes"]), (&"ok".into(), &serde_json::json!([])));
        assert_eq!((&list[1]["check"], &list[1]["result"]), (&"two".into(), &"MISSING".into()));
        assert_eq!(list[1]["notes"][0], "do this");
    }
}
