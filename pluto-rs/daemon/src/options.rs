//! pluto's command line. Options that ask for what is always so, or for what no longer exists, are taken and ignored.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::PathBuf;

use ipsec_types::auth::StrictCrl;
use ipsec_types::whack::{CTL_PATH, SetupSpec};

use crate::ignored::{IGNORED_FLAGS, IGNORED_VALUES};

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
    /// `--logfile`: lines go there instead of syslog.
    pub logfile: Option<PathBuf>,
    /// `--config`: the file whose conns are loaded at the start and with `SIGHUP`.
    pub config: Option<PathBuf>,
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

/// How many files of options are read.
const MAX_FILES: usize = 16;
/// Most words of all of them.
const MAX_WORDS: usize = 10_000;

/// Puts the words of the files that `--optionsfrom` names, and those that the `config setup` of `--config`'s asks for, in
/// their place; the file of the latter.
fn expand(args: &[String]) -> Result<(Vec<String>, Option<PathBuf>), String> {
    let mut out = Vec::new();
    let mut config = None;
    let mut rest: VecDeque<String> = args.iter().cloned().collect();
    let mut files = 0;
    while let Some(arg) = rest.pop_front() {
        let found = ["--optionsfrom", "--config"].into_iter().find_map(|o| Some((o, arg.strip_prefix(o)?)));
        let (option, file) = match found {
            Some((o, "")) => (o, rest.pop_front().ok_or_else(|| format!("{o}: a file is missing"))?),
            Some((o, glued)) if glued.starts_with('=') => (o, glued[1..].to_string()),
            _ => {
                out.push(arg);
                continue;
            }
        };
        files += 1;
        let words = if option == "--config" {
            let path = std::path::absolute(&file).map_err(|e| format!("{file}: {e}"))?;
            let read = ipsec_conf::load(&path).map_err(|errors| {
                let first = errors.first().map(|d| d.short()).unwrap_or_default();
                format!("{first}\npluto: {file} cannot be loaded; `ipsec check' says all that is wrong")
            })?;
            config = Some(path);
            read.setup.pluto_options()
        } else {
            ipsec_conf::source::options(file.as_ref())
                .map_err(|why| format!("optionsfrom failed: {file}: {why}"))?
        };
        if files > MAX_FILES || words.len() + rest.len() > MAX_WORDS {
            return Err(format!("{} called {files} times, looping?", option.trim_start_matches('-')));
        }
        words.into_iter().rev().for_each(|w| rest.push_front(w));
    }
    Ok((out, config))
}

/// Openswan's spelling of libreswan's `--virtual-private` and the like.
fn underscored(arg: String) -> String {
    let (name, value) = arg.split_once('=').map_or((arg.as_str(), None), |(n, v)| (n, Some(v)));
    let old = match name {
        "--virtual-private" | "--keep-alive" | "--nat-traversal" | "--force-keepalive" => {
            name[2..].replace('-', "_")
        }
        "--crl-strict" => "strictcrlpolicy".into(),
        _ => return arg,
    };
    match value {
        Some(value) => format!("--{old}={value}"),
        None => format!("--{old}"),
    }
}

/// Parses the command line. Of an option that is given twice the last one counts, as ever.
pub(crate) fn parse(args: &[String]) -> Result<Action, String> {
    let (args, config) = expand(args)?;
    let mut opts = getopts::Options::new();
    opts.optflagmulti("", "help", "print this").optflagmulti("", "version", "print the version");
    opts.optmulti("", "optionsfrom", "more options are the words of this file", "FILE");
    opts.optflagmulti("", "nofork", "stay in the foreground");
    opts.optmulti("", "config", "options of its config setup, conns of it loaded when ready", "FILE");
    opts.optflagmulti("", "stderrlog", "log to standard error instead of syslog");
    opts.optmulti("", "logfile", "log to the end of this file instead of syslog", "FILE");
    opts.optflagmulti("", "plutostderrlogtime", "with --stderrlog or --logfile, put the time in front");
    for name in ["noklips", "use-nostack", "use-none"] {
        opts.optflagmulti("", name, "do not touch the kernel's IPsec");
    }
    opts.optmulti("", "ctlbase", "control socket and pid file are BASE.ctl and BASE.pid", "BASE");
    opts.optmulti("", "rundir", "the same as --ctlbase DIR/pluto", "DIR");
    opts.optmulti("", "secretsfile", "pre-shared keys", "FILE");
    opts.optmulti(
        "",
        "ipsecdir",
        "folder with private/, certs/, cacerts/, crls/, policies/ and so on",
        "DIR",
    );
    for name in ["ipsec_dir", "foodgroupsdir"] {
        opts.optmulti("", name, "the same", "DIR");
    }
    opts.optmulti("", "listen", "bind this address only", "IP");
    opts.optmulti("", "ikeport", "IKE port; the other one is 4000 higher", "PORT");
    opts.optmulti("", "nhelpers", "threads for Diffie-Hellman", "N");
    opts.optflagmulti("", "nat_traversal", "NAT traversal (always on; kept for old scripts)");
    opts.optmulti("", "virtual_private", "networks that %priv stands for", "LIST");
    opts.optmulti("", "keep_alive", "seconds between NAT keep-alives", "S");
    opts.optflagmulti("", "force_keepalive", "keep-alives even without a NAT before us");
    opts.optflagmulti("", "nocrsend", "do not ask for certificates");
    opts.optflagmulti("", "strictcrlpolicy", "refuse peers whose revocation is not known");
    opts.optmulti("", "crlcheckinterval", "seconds between looks at fetched CRLs, 0 is never", "S");
    opts.optflagmulti("", "uniqueids", "one connection per identity");
    for name in IGNORED_FLAGS {
        opts.optflagmulti("", name, "accepted for old scripts");
    }
    for name in IGNORED_VALUES {
        opts.optmulti("", name, "accepted for old scripts", "X");
    }
    // libreswan writes these with dashes.
    let args: Vec<String> = args.into_iter().map(underscored).collect();
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
    let last = |name: &str| m.opt_strs(name).pop();
    let number = |name: &str| match last(name) {
        None => Ok(None),
        Some(s) => s.parse::<u32>().map(Some).map_err(|_| format!("--{name}: `{s}' is not a number")),
    };
    let listen = match m.opt_strs("listen").last() {
        None => None,
        Some(s) => Some(s.parse().map_err(|_| format!("--listen: `{s}' is not an address"))?),
    };
    let (virtual_private, bad) =
        last("virtual_private").map(|l| ipsec_conf::net::virtual_private(&l)).unwrap_or_default();
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
        ctlbase: last("ctlbase")
            .map(PathBuf::from)
            .or_else(|| last("rundir").map(|dir| PathBuf::from(dir).join("pluto")))
            .unwrap_or_else(|| PathBuf::from(CTL_PATH).with_extension("")),
        secrets: last("secretsfile").map_or_else(|| PathBuf::from("/etc/ipsec.secrets"), PathBuf::from),
        ipsecdir: ["ipsecdir", "ipsec_dir", "foodgroupsdir"]
            .into_iter()
            .find_map(|n| m.opt_strs(n).pop())
            .map_or_else(|| PathBuf::from("/etc/ipsec.d"), PathBuf::from),
        logfile: last("logfile")
            .map(std::path::absolute)
            .transpose()
            .map_err(|e| format!("--logfile: {e}"))?,
        config,
        listen,
        ikeport: ikeport.ok_or("--ikeport: expected a port from 1 to 61535")?,
        // -1, Openswan's "as many as there are processors", is not a number here: it is the default.
        helpers: last("nhelpers").and_then(|s| s.parse().ok()),
        setup: SetupSpec {
            virtual_private,
            nat_traversal: true,
            keep_alive: number("keep_alive")?.unwrap_or(20),
            force_keepalive: m.opt_present("force_keepalive"),
            uniqueids: m.opt_present("uniqueids"),
            no_cr_send: m.opt_present("nocrsend"),
            strict_crl: if m.opt_present("strictcrlpolicy") { StrictCrl::Yes } else { StrictCrl::No },
            crl_check_interval: number("crlcheckinterval")?.unwrap_or(0),
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
            "--strictcrlpolicy",
            "--crlcheckinterval",
            "600",
            "--ctlbase",
            "/run/x/pluto",
        ]);
        assert!(o.setup.strict_crl == StrictCrl::Yes && o.setup.crl_check_interval == 600);
        assert!(o.nofork && o.setup.uniqueids && o.helpers.is_none());
        assert_eq!(o.setup.virtual_private.allowed.len(), 1);
        assert_eq!(o.setup.virtual_private.disallowed.len(), 1);
        assert_eq!(o.ctl_path().to_str(), Some("/run/x/pluto.ctl"));
        assert_eq!(run(&[]).ctl_path().to_str(), Some(CTL_PATH));
    }

    #[test]
    fn every_option_of_old_is_taken_and_the_last_one_counts() {
        let flags = "nofork stderrlog plutostderrlogtime noklips use-nostack use-none use-auto use-klips useklips use-netkey \
            usenetkey use-mast use-mastklips use-bsdkame force_busy nocrsend strictcrlpolicy uniqueids perpeerlog \
            noretransmits nat_traversal force_keepalive disable_port_floating built-withlibnss debug-none debug-all debug-raw \
            debug-x509 impair-retransmits";
        let values = "crlcheckinterval=3600 ocspuri=http://x ocspreqcert=x interface=eth0 listen=192.0.2.1 ikeport=501 \
            ctlbase=/x/pluto secretsfile=/x/s ipsecdir=/a ipsec_dir=/b foodgroupsdir=/c perpeerlogbase=/x coredir=/x \
            keep_alive=7 virtual_private=%v4:10.0.0.0/8 nhelpers=0 secctx_attr_value=10";
        let mut args: Vec<String> = flags.split_whitespace().map(|f| format!("--{f}")).collect();
        for pair in values.replace("ocspreqcert", "ocsprequestcert").split_whitespace() {
            let (name, value) = pair.split_once('=').unwrap();
            args.extend([format!("--{name}"), value.into()]);
        }
        // Twice, and with `=`.
        args.extend(args.clone());
        args.extend(["--keep_alive=9".into(), "--ikeport=502".into()]);
        let o = run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(o.no_kernel && o.setup.keep_alive == 9 && o.ikeport == 502);
        for help in ["--help", "--version"] {
            assert!(matches!(parse(&[help.into()]), Ok(Action::Print(_))), "{help}");
        }
    }

    #[test]
    fn options_come_from_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("options");
        let name = file.to_str().unwrap();
        std::fs::write(&file, "--keep_alive 7 # seconds\n--listen 192.0.2.1\n").unwrap();
        let o = run(&["--optionsfrom", name, "--keep_alive", "8"]);
        assert_eq!((o.setup.keep_alive, o.listen), (8, "192.0.2.1".parse().ok()));
        std::fs::write(&file, format!("--optionsfrom={name} --optionsfrom={name}\n")).unwrap();
        let why =
            |args: &[&str]| parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>()).err().unwrap();
        assert!(why(&["--optionsfrom", name]).contains("looping?"));
        assert!(why(&["--optionsfrom", "/nonexistent"]).contains("optionsfrom failed"));
        assert!(why(&["--optionsfrom"]).contains("is missing"));
    }

    #[test]
    fn options_of_libreswan_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ipsec.conf");
        let name = file.to_str().unwrap();
        std::fs::write(
            &file,
            "config setup\n\tikeport=501\n\tkeep-alive=7\n\tlogfile=/x/log\n\tipsecdir=/x/d\n",
        )
        .unwrap();
        let o = run(&[
            "--leak-detective",
            "--config",
            name,
            "--nofork",
            "--rundir",
            "/run/x",
            "--virtual-private=%v4:10.0.0.0/8",
            "--keep-alive",
            "9",
            "--crl-strict",
            "--nssdir",
            "/x",
            "--debug",
            "all",
            "--impair",
            "revival",
            "--debug-none",
            "--ipsecdir",
            "/y",
        ]);
        assert_eq!(o.config.as_deref(), Some(file.as_path()));
        assert_eq!((o.ikeport, o.setup.keep_alive, o.setup.strict_crl), (501, 9, StrictCrl::Yes));
        assert_eq!(o.setup.virtual_private.allowed.len(), 1);
        assert_eq!(o.ctl_path().to_str(), Some("/run/x/pluto.ctl"));
        assert_eq!((o.logfile, o.ipsecdir), (Some("/x/log".into()), "/y".into()));
        let why =
            |args: &[&str]| parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>()).err().unwrap();
        assert!(why(&["--config", "/nonexistent"]).contains("/nonexistent"));
        std::fs::write(&file, format!("config setup\n\tplutoopts=\"--config {name}\"\n")).unwrap();
        assert!(why(&["--config", name]).contains("looping?"));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [vec!["--nonsense"], vec!["word"], vec!["--listen", "x"], vec!["--ikeport", "70000"]] {
            let args: Vec<String> = args.into_iter().map(String::from).collect();
            assert!(parse(&args).is_err(), "{args:?}");
        }
    }
}
