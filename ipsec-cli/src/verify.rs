//! `ipsec verify`: looks at this machine and says what would keep IPsec from working.
//!
//! Reads `/proc` and asks the daemon; changes nothing and runs no program.

use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{ctl, info, paths};

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
}

impl Report {
    /// `TEXT` in 50 columns, a tab, `[RESULT]`.
    fn line(&mut self, text: &str, verdict: Verdict, word: &str) {
        let word = match (self.colour, verdict) {
            (false, _) => word.to_string(),
            (true, Verdict::Good) => format!("\x1b[92m{word}\x1b[0m"),
            (true, Verdict::Warn) => format!("\x1b[93m{word}\x1b[0m"),
            (true, Verdict::Bad) => format!("\x1b[91m{word}\x1b[0m"),
        };
        println!("{text:<50}\t[{word}]");
        self.failed |= verdict == Verdict::Bad;
    }

    fn check(&mut self, text: &str, good: bool, word: &str, advice: &str) {
        match good {
            true => self.line(text, Verdict::Good, "OK"),
            false => {
                self.line(text, Verdict::Bad, word);
                println!("  {advice}");
            }
        }
    }

    fn advise(&mut self, text: &str, good: bool, word: &str, advice: &str) {
        match good {
            true => self.line(text, Verdict::Good, "OK"),
            false => {
                self.line(text, Verdict::Warn, word);
                println!("  {advice}");
            }
        }
    }
}

fn proc(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|s| s.trim().to_string())
}

/// Runs `ipsec verify`.
pub(crate) fn run(args: &[String]) -> i32 {
    if let Some(option) = args.iter().find(|a| !matches!(a.as_str(), "--nocolour" | "--nocolor" | "--colour"))
    {
        eprintln!("ipsec verify: unknown option `{option}'");
        return 2;
    }
    let plain = args.iter().any(|a| a.starts_with("--nocolo"));
    let mut r = Report { colour: !plain && std::io::stdout().is_terminal(), failed: false };
    println!("Checking if IPsec got installed and started correctly:\n");
    r.check(
        "Version check and ipsec on-path",
        on_path("ipsec"),
        "FAILED",
        "ipsec is not in a directory of PATH",
    );
    println!("{}", info::version_line());
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
    if r.failed {
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
    println!(" NETKEY: Testing XFRM related proc values");
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

/// Whether a UDP socket is bound to `port`, by `/proc/net/udp` and `udp6`.
fn udp_bound(port: u16) -> bool {
    ["/proc/net/udp", "/proc/net/udp6"].iter().any(|f| {
        let text = fs::read_to_string(f).unwrap_or_default();
        text.lines().skip(1).any(|l| has_port(l, port))
    })
}

fn has_port(line: &str, port: u16) -> bool {
    let local = line.split_whitespace().nth(1).and_then(|a| a.rsplit_once(':'));
    local.and_then(|(_, p)| u16::from_str_radix(p, 16).ok()) == Some(port)
}

fn daemon(r: &mut Report) {
    let running = ctl::answers(&paths::ctlbase());
    r.check("Checking that pluto is running", running, "FAILED", "start it with `ipsec setup start'");
    if !running {
        for port in [500, 4500].into_iter().filter(|&p| udp_bound(p)) {
            println!("  UDP port {port} is taken by another program");
        }
        return;
    }
    let listen = "run `ipsec auto --ready'; another IKE daemon may hold the port";
    r.check(" Pluto listening for IKE on udp 500", udp_bound(500), "FAILED", listen);
    r.line(" Pluto listening for IKE on tcp 500", Verdict::Warn, "NOT IMPLEMENTED");
    r.check(" Pluto listening for IKE/NAT-T on udp 4500", udp_bound(4500), "DISABLED", listen);
    r.line(" Pluto listening for IKE/NAT-T on tcp 4500", Verdict::Warn, "NOT IMPLEMENTED");
    r.line(" Pluto listening for IKE on tcp 10000 (cisco)", Verdict::Warn, "NOT IMPLEMENTED");
}

fn l2tp(r: &mut Report) {
    let ppp = Path::new("/dev/ppp").exists() || module("ppp_generic");
    r.advise(
        "Checking PPP support (/dev/ppp)",
        ppp,
        "MISSING",
        "needed for L2TP only: CONFIG_PPP, CONFIG_PPP_ASYNC",
    );
    r.advise(
        "Checking that an L2TP daemon listens on udp 1701",
        udp_bound(1701),
        "NOT RUNNING",
        "needed for L2TP only",
    );
}

fn files(r: &mut Report) {
    let path = paths::config();
    match ipsec_conf::load(&path) {
        Ok(config) => {
            r.line("Checking configuration file syntax", Verdict::Good, "OK");
            for error in &config.conn_errors {
                r.line(&format!(" conn {}", error.name), Verdict::Bad, "FAILED");
                error.diagnostics.iter().for_each(|d| println!("  {}", d.short()));
            }
        }
        Err(errors) => {
            r.line("Checking configuration file syntax", Verdict::Bad, "FAILED");
            errors.iter().for_each(|d| println!("  {}", d.short()));
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
    fn ports_are_read_from_proc_lines() {
        let line = "  12: 00000000:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 0";
        assert!(has_port(line, 500) && !has_port(line, 4500) && !has_port("", 0));
        let line6 = " 3: 00000000000000000000000000000000:1194 0:0 07";
        assert!(has_port(line6, 4500));
    }
}
