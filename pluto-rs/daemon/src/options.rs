//! pluto's command line. Options that ask for what is always so, or for what no longer exists, are taken and ignored.

use std::net::IpAddr;
use std::path::PathBuf;

use ipsec_types::whack::{CTL_PATH, SetupSpec};

/// The version `--version` prints.
pub(crate) const VERSION: &str = concat!("Openswan 2.6.38 (Cygnet ", env!("CARGO_PKG_VERSION"), ")");

/// What the command line asks for.
pub(crate) enum Action {
    /// Run.
    Run(Box<Options>),
    /// Print this and leave.
    Print(String),
}

/// How to run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub nofork: bool,
    pub stderrlog: bool,
    pub log_time: bool,
    pub no_kernel: bool,
    pub ctlbase: PathBuf,
    pub secrets: PathBuf,
    pub listen: Option<IpAddr>,
    pub ikeport: u16,
    pub helpers: Option<usize>,
    pub setup: SetupSpec,
    /// `--ipsecdir`.
    pub ipsecdir: PathBuf,
}

impl Options {
    pub(crate) fn ctl_path(&self) -> PathBuf {
        self.ctlbase.with_extension("ctl")
    }

    pub(crate) fn pid_path(&self) -> PathBuf {
        self.ctlbase.with_extension("pid")
    }

    /// Where the L2TP daemon reads which of its endpoints are protected.
    pub(crate) fn protected_path(&self) -> PathBuf {
        self.ctlbase.with_file_name("l2tp-protected")
    }
}

/// Flags that mean what is always so here, or nothing.
const IGNORED_FLAGS: [&str; 19] = [
    "use-auto",
    "use-netkey",
    "usenetkey",
    "use-klips",
    "useklips",
    "use-mast",
    "use-mastklips",
    "use-bsdkame",
    "force_busy",
    "nocrsend",
    "strictcrlpolicy",
    "perpeerlog",
    "noretransmits",
    "disable_port_floating",
    "built-withlibnss",
    "debug-none",
    "debug-all",
    "noklog",
    "use-native",
];
/// Options with a value that have no use here.
const IGNORED_VALUES: [&str; 8] = [
    "crlcheckinterval",
    "ocspuri",
    "ocsprequestcert",
    "interface",
    "foodgroupsdir",
    "perpeerlogbase",
    "coredir",
    "secctx_attr_value",
];

/// Parses the command line.
pub(crate) fn parse(args: &[String]) -> Result<Action, String> {
    let mut opts = getopts::Options::new();
    opts.optflag("", "help", "print this").optflag("", "version", "print the version");
    opts.optflag("", "nofork", "stay in the foreground");
    opts.optflag("", "stderrlog", "log to standard error instead of syslog");
    opts.optflag("", "plutostderrlogtime", "with --stderrlog, put the time in front");
    for name in ["noklips", "use-nostack", "use-none"] {
        opts.optflag("", name, "do not touch the kernel's IPsec");
    }
    opts.optopt("", "ctlbase", "control socket and pid file are BASE.ctl and BASE.pid", "BASE");
    opts.optopt("", "secretsfile", "pre-shared keys", "FILE");
    opts.optmulti("", "ipsecdir", "folder with policies/, the networks of policy groups", "DIR");
    opts.optmulti("", "ipsec_dir", "the same", "DIR");
    opts.optmulti("", "listen", "bind this address only", "IP");
    opts.optopt("", "ikeport", "IKE port; the other one is 4000 higher", "PORT");
    opts.optopt("", "nhelpers", "threads for Diffie-Hellman", "N");
    opts.optflagmulti("", "nat_traversal", "NAT traversal (always on; kept for old scripts)");
    opts.optopt("", "virtual_private", "networks that %priv stands for", "LIST");
    opts.optopt("", "keep_alive", "seconds between NAT keep-alives", "S");
    opts.optflagmulti("", "force_keepalive", "keep-alives even without a NAT before us");
    opts.optflagmulti("", "uniqueids", "one connection per identity");
    for name in IGNORED_FLAGS {
        opts.optflagmulti("", name, "accepted for old scripts");
    }
    for name in IGNORED_VALUES {
        opts.optmulti("", name, "accepted for old scripts", "X");
    }
    let (debug, args): (Vec<_>, Vec<_>) =
        args.iter().partition(|a| a.starts_with("--debug-") || a.starts_with("--impair-"));
    drop(debug);
    let m = opts.parse(args).map_err(|e| e.to_string())?;
    if m.opt_present("help") {
        return Ok(Action::Print(opts.usage("Usage: pluto [options]")));
    }
    if m.opt_present("version") {
        return Ok(Action::Print(VERSION.into()));
    }
    if let Some(word) = m.free.first() {
        return Err(format!("unexpected argument `{word}'"));
    }
    let number = |name: &str| match m.opt_str(name) {
        None => Ok(None),
        Some(s) => s.parse::<u32>().map(Some).map_err(|_| format!("--{name}: `{s}' is not a number")),
    };
    let listen = match m.opt_strs("listen").last() {
        None => None,
        Some(s) => Some(s.parse().map_err(|_| format!("--listen: `{s}' is not an address"))?),
    };
    let (virtual_private, bad) =
        m.opt_str("virtual_private").map(|l| ipsec_conf::net::virtual_private(&l)).unwrap_or_default();
    if !bad.is_empty() {
        eprintln!("pluto: --virtual_private: {}", bad.join("; "));
    }
    let ikeport = number("ikeport")?.unwrap_or(500);
    let ikeport = u16::try_from(ikeport).ok().filter(|p| (1..=61_535).contains(p));
    Ok(Action::Run(Box::new(Options {
        nofork: m.opt_present("nofork"),
        stderrlog: m.opt_present("stderrlog"),
        log_time: m.opt_present("plutostderrlogtime"),
        no_kernel: ["noklips", "use-nostack", "use-none"].iter().any(|n| m.opt_present(n)),
        ctlbase: m
            .opt_str("ctlbase")
            .map_or_else(|| PathBuf::from(CTL_PATH).with_extension(""), PathBuf::from),
        secrets: m.opt_str("secretsfile").map_or_else(|| PathBuf::from("/etc/ipsec.secrets"), PathBuf::from),
        ipsecdir: ["ipsecdir", "ipsec_dir"]
            .into_iter()
            .find_map(|n| m.opt_strs(n).pop())
            .map_or_else(|| PathBuf::from("/etc/ipsec.d"), PathBuf::from),
        listen,
        ikeport: ikeport.ok_or("--ikeport: expected a port from 1 to 61535")?,
        // -1, Openswan's "as many as there are processors", is not a number here: it is the default.
        helpers: m.opt_str("nhelpers").and_then(|s| s.parse().ok()),
        setup: SetupSpec {
            virtual_private,
            nat_traversal: true,
            keep_alive: number("keep_alive")?.unwrap_or(20),
            force_keepalive: m.opt_present("force_keepalive"),
            uniqueids: m.opt_present("uniqueids"),
            ..SetupSpec::default()
        },
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Options {
        match parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>()) {
            Ok(Action::Run(o)) => *o,
            Ok(Action::Print(t)) => panic!("{t}"),
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn options_of_old_scripts_are_taken() {
        let o = run(&[
            "--nofork",
            "--debug-all",
            "--debug-natt",
            "--use-netkey",
            "--nat_traversal",
            "--virtual_private",
            "%v4:10.0.0.0/8,%v4:!10.1.0.0/16",
            "--nhelpers",
            "-1",
            "--uniqueids",
            "--ctlbase",
            "/run/x/pluto",
        ]);
        assert!(o.nofork && o.setup.uniqueids && o.helpers.is_none());
        assert_eq!(o.setup.virtual_private.allowed.len(), 1);
        assert_eq!(o.setup.virtual_private.disallowed.len(), 1);
        assert_eq!(o.ctl_path().to_str(), Some("/run/x/pluto.ctl"));
        assert_eq!(run(&[]).ctl_path().to_str(), Some(CTL_PATH));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [vec!["--nonsense"], vec!["word"], vec!["--listen", "x"], vec!["--ikeport", "70000"]] {
            let args: Vec<String> = args.into_iter().map(String::from).collect();
            assert!(parse(&args).is_err(), "{args:?}");
        }
    }
}
