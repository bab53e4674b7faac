//! `ipsec barf`: everything somebody needs who helps with a problem, on standard output, without secrets.
//!
//! ```text
//!  + _________________________ NAME      a section; then what was looked at, as `+ command`, and what came
//! ```
//! Programs are run one by one, each for a limited time; one that is not installed is left out. No shell.

mod logs;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use ipsec_netio::program::{self, Limits};

use crate::censor::{self, Kind};
use crate::include::Copier;
use crate::{info, keys, paths, xfrm};

/// Lines of a long listing, unless `--maxlines` says otherwise.
const MAX_LINES: usize = 10_000;
/// Lines of the routing table, as ever.
const ROUTES: usize = 100;
/// How long one program may take, and how much it may say.
const LIMITS: Limits = Limits { time: Duration::from_secs(20), output: 32 << 20 };
/// How long one may take that asks a name server: there may be none.
const NAMES: Duration = Duration::from_secs(3);
/// Octets of one file that are shown.
const FILE: u64 = 4 << 20;

/// Runs `ipsec barf [--short] [--maxlines N]`.
pub(crate) fn run(args: &[String]) -> i32 {
    let mut lines = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" => {
                println!("Usage: ipsec barf [--short] [--maxlines n]");
                return 0;
            }
            "--version" => {
                println!("ipsec barf {}", info::version_code());
                return 0;
            }
            "--short" => lines = Some(500),
            "--maxlines" => match args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0) {
                Some(n) => lines = Some(n),
                None => {
                    eprintln!("Usage: ipsec barf [--short] [--maxlines n]");
                    return 2;
                }
            },
            // It never looked at other words.
            _ => {}
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut barf = Barf { out: &mut out, lines };
    // Nobody reads any more: no more need be looked at.
    let _ = barf.all().and_then(|()| barf.out.flush());
    0
}

struct Barf<'w> {
    out: &'w mut dyn Write,
    lines: Option<usize>,
}

impl Barf<'_> {
    fn section(&mut self, name: &str) -> io::Result<()> {
        writeln!(self.out, "+ _________________________ {name}")?;
        self.out.flush()
    }

    /// Prints at most so many lines of a text.
    fn text(&mut self, text: &str, most: usize) -> io::Result<()> {
        let mut lines = text.lines();
        for line in lines.by_ref().take(self.lines.unwrap_or(most)) {
            writeln!(self.out, "{line}")?;
        }
        match lines.count() {
            0 => Ok(()),
            n => writeln!(self.out, "[{n} more lines]"),
        }
    }

    /// What a file holds, if it can be read.
    fn file(&mut self, path: &str) -> io::Result<()> {
        let Some(text) = read(Path::new(path)) else { return Ok(()) };
        writeln!(self.out, "+ cat {path}")?;
        self.text(&text, MAX_LINES)
    }

    /// `name:value` of the files that match, as `egrep '^'` printed them.
    fn files(&mut self, pattern: &str) -> io::Result<()> {
        for path in ipsec_conf::glob::expand(pattern, Path::new("/")).unwrap_or_default() {
            if let Some(text) = read(&path) {
                let name = path.display();
                text.lines().try_for_each(|l| writeln!(self.out, "{name}:{l}"))?;
            }
        }
        Ok(())
    }

    /// Runs a program and hands on what it says.
    fn output(&mut self, words: &[&str]) -> io::Result<Option<String>> {
        let Some((name, args)) = words.split_first() else { return Ok(None) };
        let path = match *name {
            "ipsec" => std::env::current_exe().ok(),
            name => program::find(name),
        };
        writeln!(self.out, "+ {}", words.join(" "))?;
        let Some(path) = path else { return Ok(None) };
        let time = if *name == "hostname" { NAMES } else { LIMITS.time };
        let text = match program::run(&path, args, b"", true, Limits { time, ..LIMITS }) {
            Ok(ran) => match ran.status {
                Some(_) => ran.text(),
                None => format!("{}\n[took longer than {} s]", ran.text(), time.as_secs()),
            },
            Err(e) => format!("{name}: {e}"),
        };
        Ok(Some(text))
    }

    fn command(&mut self, words: &[&str], most: usize) -> io::Result<()> {
        match self.output(words)? {
            Some(text) => self.text(&text, most),
            None => Ok(()),
        }
    }

    fn all(&mut self) -> io::Result<()> {
        let host = keys::hostname();
        writeln!(self.out, "{host}\n{}", keys::now(true))?;
        self.kernel()?;
        self.host()?;
        self.configuration()?;
        self.system()?;
        self.logs()?;
        self.section("date")?;
        writeln!(self.out, "+ date\n{}", keys::now(true))
    }

    fn kernel(&mut self) -> io::Result<()> {
        self.section("version")?;
        self.command(&["ipsec", "--version"], MAX_LINES)?;
        self.section("/proc/version")?;
        self.file("/proc/version")?;
        self.section("/proc/net/ipsec_eroute")?;
        self.file("/proc/net/ipsec_eroute")?;
        self.section("netstat-rn")?;
        match program::find("netstat") {
            Some(_) => self.command(&["netstat", "-nr"], ROUTES)?,
            None => self.command(&["ip", "-4", "route"], ROUTES)?,
        }
        for name in ["ipsec_spi", "ipsec_spigrp", "ipsec_tncfg", "pfkey"] {
            let path = format!("/proc/net/{name}");
            self.section(&path)?;
            self.file(&path)?;
        }
        self.section("ip-xfrm-state")?;
        if let Some(text) = self.output(&["ip", "xfrm", "state"])? {
            self.text(&xfrm::without_keys(&text), MAX_LINES)?;
        }
        self.section("ip-xfrm-policy")?;
        self.command(&["ip", "xfrm", "policy"], MAX_LINES)?;
        self.section("/proc/net/xfrm_stat")?;
        self.file("/proc/net/xfrm_stat")?;
        self.section("/proc/crypto")?;
        self.file("/proc/crypto")?;
        self.section("/proc/sys/net/core/xfrm-star")?;
        self.files("/proc/sys/net/core/xfrm_*")?;
        self.section("/proc/sys/net/ipsec-star")?;
        self.files("/proc/sys/net/ipsec/*")
    }

    fn host(&mut self) -> io::Result<()> {
        for (name, words) in [
            ("ipsec/status", "ipsec auto --status"),
            ("ifconfig-a", "ifconfig -a"),
            ("ip-addr-list", "ip addr list"),
            ("ip-route-list", "ip route list"),
            ("ip-rule-list", "ip rule list"),
            ("ipsec_verify", "ipsec verify --nocolour"),
            ("mii-tool", "mii-tool -v"),
            ("ipsec/directory", "ipsec --directory"),
            ("hostname/fqdn", "hostname --fqdn"),
            ("hostname/ipaddress", "hostname --ip-address"),
            ("uptime", "uptime"),
        ] {
            self.section(name)?;
            self.command(&words.split(' ').collect::<Vec<_>>(), MAX_LINES)?;
        }
        self.section("ps")?;
        if let Some(text) = self.output(&["ps", "alxwf"])? {
            let wanted = |l: &&str| {
                let l = l.to_lowercase();
                ["ppid", "pluto", "ipsec", "klips", "l2tp", "pppd"].iter().any(|w| l.contains(w))
            };
            let lines: Vec<&str> = text.lines().filter(wanted).collect();
            self.text(&lines.join("\n"), MAX_LINES)?;
        }
        self.section("ipsec/showdefaults")?;
        self.command(&["ipsec", "showdefaults"], MAX_LINES)
    }

    fn configuration(&mut self) -> io::Result<()> {
        let confs = paths::confs();
        for (name, file, filter, kind) in [
            ("ipsec/conf", "ipsec.conf", "_keycensor", Kind::Keys),
            ("ipsec/secrets", "ipsec.secrets", "_secretcensor", Kind::Secrets),
        ] {
            self.section(name)?;
            let path = confs.join(file);
            writeln!(self.out, "+ ipsec _include {}\n+ ipsec {filter}", path.display())?;
            let mut copy = Vec::new();
            Copier::new(&mut copy).file(&path, 1)?;
            censor::filter(kind, copy.as_slice(), self.out)?;
        }
        self.section("ipsec/listall")?;
        self.command(&["ipsec", "auto", "--listall"], MAX_LINES)?;
        let policies = paths::confddir().join("policies");
        for name in names(&policies) {
            self.section(&format!("ipsec/policies/{name}"))?;
            self.file(&policies.join(&name).display().to_string())?;
        }
        for (name, dir) in [("ipsec/ls-libdir", paths::libdir()), ("ipsec/ls-execdir", paths::execdir())] {
            self.section(name)?;
            self.command(&["ls", "-l", &dir.display().to_string()], MAX_LINES)?;
        }
        Ok(())
    }

    fn system(&mut self) -> io::Result<()> {
        for path in [
            "/proc/net/dev",
            "/proc/net/route",
            "/proc/sys/net/ipv4/ip_no_pmtu_disc",
            "/proc/sys/net/ipv4/ip_forward",
            "/proc/sys/net/ipv4/tcp_ecn",
        ] {
            self.section(path)?;
            self.file(path)?;
        }
        self.section("/proc/sys/net/ipv4/conf/star-rp_filter")?;
        self.files("/proc/sys/net/ipv4/conf/*/rp_filter")?;
        self.section("/proc/sys/net/ipv4/conf/star-star-redirects")?;
        self.files("/proc/sys/net/ipv4/conf/*/*redirects")?;
        for path in ["/proc/sys/net/ipv4/tcp_window_scaling", "/proc/sys/net/ipv4/tcp_adv_win_scale"] {
            self.section(path)?;
            self.file(path)?;
        }
        self.section("uname-a")?;
        self.command(&["uname", "-a"], MAX_LINES)?;
        self.section("config-built-with")?;
        self.file("/proc/config_built_with")?;
        self.section("distro-release")?;
        for path in [
            "/etc/redhat-release",
            "/etc/debian_version",
            "/etc/SuSE-release",
            "/etc/gentoo-release",
            "/etc/os-release",
        ] {
            self.file(path)?;
        }
        self.section("/proc/net/ipsec_version")?;
        let release = read(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
        match info::has_xfrm() {
            true => writeln!(self.out, "NETKEY ({}) support detected ", release.trim())?,
            false => writeln!(self.out, "no KLIPS or NETKEY support detected")?,
        }
        for name in ["iptables", "ip6tables"] {
            self.section(name)?;
            self.command(&[&format!("{name}-save")], MAX_LINES)?;
        }
        self.section("nftables")?;
        if program::find("nft").is_some() {
            self.command(&["nft", "list", "ruleset"], MAX_LINES)?;
        }
        self.section("/proc/modules")?;
        match Path::new("/proc/modules").exists() {
            true => self.file("/proc/modules")?,
            false => writeln!(self.out, "kernel without module support")?,
        }
        self.section("/proc/meminfo")?;
        self.file("/proc/meminfo")?;
        self.section("/proc/net/ipsec-ls")?;
        self.files("/proc/net/ipsec_*")?;
        self.section("usr/src/linux/.config")?;
        self.kernel_config(release.trim())?;
        self.section("etc/syslog.conf")?;
        self.section("etc/syslog-ng/syslog-ng.conf")?;
        for path in ["/etc/syslog-ng/syslog-ng.conf", "/etc/syslog.conf", "/etc/rsyslog.conf"] {
            self.file(path)?;
        }
        self.section("etc/resolv.conf")?;
        self.file("/etc/resolv.conf")?;
        self.section("lib/modules-ls")?;
        self.command(&["ls", "-ltr", "/lib/modules"], MAX_LINES)?;
        self.section("fipscheck")?;
        self.file("/proc/sys/crypto/fips_enabled")?;
        self.section("/proc/ksyms-netif_rx")?;
        let symbols = read(Path::new("/proc/kallsyms")).unwrap_or_default();
        let found: Vec<&str> = symbols.lines().filter(|l| l.contains("netif_rx")).collect();
        self.text(&found.join("\n"), 20)?;
        // Of modules as files nothing is asked any more.
        self.section("lib/modules-netif_rx")
    }

    fn kernel_config(&mut self, release: &str) -> io::Result<()> {
        let text = read(Path::new(&format!("/boot/config-{release}")))
            .or_else(|| read(Path::new(&format!("/lib/modules/{release}/build/.config"))))
            .or_else(|| {
                let zcat = program::find("zcat")?;
                let ran = program::run(&zcat, ["/proc/config.gz"], b"", false, LIMITS).ok()?;
                ran.is_success().then(|| ran.text())
            });
        let Some(text) = text else {
            return writeln!(self.out, "no .config file found, cannot list kernel properties");
        };
        let words = [
            "CONFIG_IPSEC",
            "CONFIG_KLIPS",
            "CONFIG_NET_KEY",
            "CONFIG_INET",
            "CONFIG_IP",
            "CONFIG_HW_RANDOM",
            "CONFIG_CRYPTO_DEV",
            "_XFRM",
            "CONFIG_PPP",
            "CONFIG_L2TP",
        ];
        let found: Vec<&str> = text.lines().filter(|l| words.iter().any(|w| l.contains(w))).collect();
        self.text(&found.join("\n"), MAX_LINES)
    }

    fn logs(&mut self) -> io::Result<()> {
        let most = self.lines.unwrap_or(MAX_LINES);
        self.section("kern.debug")?;
        logs::tail(&logs::directory().join("kern.debug"), 100, self.out)?;
        for (name, log) in [("klog", &logs::KERNEL), ("plog", &logs::PLUTO)] {
            self.section(name)?;
            match logs::find(log) {
                Some(found) => {
                    writeln!(self.out, "+ {}", found.display())?;
                    logs::copy(&found, log, most, self.out)?;
                }
                None if program::find("journalctl").is_some() => {
                    let count = most.to_string();
                    let words = [
                        "journalctl",
                        "--no-pager",
                        "-q",
                        "-n",
                        &count,
                        "-t",
                        "pluto",
                        "-t",
                        "ipsec_setup",
                        "-t",
                        "xl2tpd",
                    ];
                    self.command(&words, most)?;
                }
                None => writeln!(self.out, "{}", log.missing)?,
            }
        }
        Ok(())
    }
}

/// The first part of a file; control files of the kernel have no length that could be asked.
fn read(path: &Path) -> Option<String> {
    use std::io::Read;
    // A FIFO would wait for a writer.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}
