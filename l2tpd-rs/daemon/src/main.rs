//! The L2TP daemon: start-up in xl2tpd's order.

use std::io;
use std::net::SocketAddrV4;
use std::process::ExitCode;

use l2tp_proto::Level;
use l2tpd::args::{self, Args, Asked};
use l2tpd::conf::{self, Config};
use l2tpd::control_pipe::ControlPipe;
use l2tpd::daemon::{Daemon, Parts};
use l2tpd::log::Log;
use l2tpd::pidfile;
use l2tpd::signals::Signals;
use l2tpd::udp::Udp;

const VERSION: &str = concat!("xl2tpd-cygnet-", env!("CARGO_PKG_VERSION"));

fn main() -> ExitCode {
    match args::parse(std::env::args()) {
        Asked::Version => {
            println!("\nxl2tpd version:  {VERSION}");
            ExitCode::SUCCESS
        }
        Asked::Usage(words) => {
            if let Some(w) = words {
                println!("{w}");
            }
            println!("\nxl2tpd version:  {VERSION}\n{}", args::USAGE);
            ExitCode::FAILURE
        }
        Asked::Run(a) if a.check => check(&a),
        Asked::Run(a) => run(&a),
    }
}

/// Finds and reads the configuration: the file asked for, then the usual places.
fn read_config(a: &Args) -> Result<(String, String), Vec<String>> {
    let usual = a.name.config_files().map(String::from);
    let tried: Vec<String> = a.config.iter().cloned().chain(usual).collect();
    for file in &tried {
        match std::fs::read(file) {
            Ok(b) => return Ok((file.clone(), String::from_utf8_lossy(&b).into_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            // A file that is there and cannot be read is not passed over in silence.
            Err(e) => eprintln!("init_config: {file}: {e}"),
        }
    }
    Err(tried)
}

/// The settings, and the file they are from; errors are in the log.
fn load(a: &Args, log: &Log) -> Option<(Config, String)> {
    let (file, text) = match read_config(a) {
        Ok(found) => found,
        Err(tried) => {
            log.crit(&format!("init_config: Unable to open config file {}", tried.join(" or ")));
            return None;
        }
    };
    match conf::load(&file, &text) {
        Ok(c) => {
            for w in &c.warnings {
                log.warning(w);
            }
            Some((c, file))
        }
        Err(list) => {
            for e in list {
                for line in e.to_string().lines() {
                    log.crit(line);
                }
                log.crit(&e.old_form());
            }
            None
        }
    }
}

/// Where the tunnel secrets are: `auth file`, `-s`, or beside the configuration that was found.
fn secrets_file(a: &Args, conf: &Config, file: &str) -> String {
    let usual = a.name.config_files();
    let beside = |file: &str| {
        let dir = std::path::Path::new(file).parent().unwrap_or(std::path::Path::new("/etc/xl2tpd"));
        dir.join("l2tp-secrets").to_string_lossy().into_owned()
    };
    match (&conf.global.auth_file, &a.secrets) {
        (Some(f), _) | (None, Some(f)) => f.clone(),
        // A configuration from elsewhere has its secrets in the usual place.
        (None, None) if usual.contains(&file) => beside(file),
        (None, None) => beside(usual[0]),
    }
}

/// `--check`: all errors and warnings on standard error, and nothing else happens.
fn check(a: &Args) -> ExitCode {
    let log = Log::stderr(a.name.ident());
    let Some((conf, file)) = load(a, &log) else { return ExitCode::FAILURE };
    for w in l2tpd::check::warnings(&conf, &secrets_file(a, &conf, &file)) {
        log.warning(&format!("{file}: {w}"));
    }
    log.info(&format!("{file}: no errors"));
    ExitCode::SUCCESS
}

fn run(a: &Args) -> ExitCode {
    close_on_exec();
    let ident = a.name.ident();
    let early = Log::stderr(ident);
    let Some((conf, file)) = load(a, &early) else {
        early.crit("init: Unable to load config file");
        return ExitCode::FAILURE;
    };
    if !a.name.config_files()[..1].contains(&file.as_str()) && a.config.as_ref() != Some(&file) {
        let secrets = secrets_file(a, &conf, &file);
        early.warning(&format!("init_config: Using old style config files {file} and {secrets}"));
    }
    let addr = SocketAddrV4::new(conf.global.listen_addr, conf.global.port);
    // By either name it wants the same port.
    let usual = [args::Name::Xl2tpd, args::Name::L2tpd].map(|n| n.run_files()[0]);
    let both = if usual.contains(&a.pid_file.as_str()) { &usual[..] } else { &[] };
    if both.iter().copied().chain([a.pid_file.as_str()]).any(pidfile::is_running) {
        early.info("consider_pidfile: There's already a xl2tpd server running.");
        return ExitCode::FAILURE;
    }
    let udp = match Udp::bind(addr, a.tos) {
        Ok(u) => u,
        Err(e) => {
            early.crit(&format!("init_network: Unable to bind socket: {e}. Terminating."));
            return ExitCode::FAILURE;
        }
    };
    if !a.foreground && nix::unistd::daemon(true, false).is_err() {
        early.crit("init: unable to go to the background");
        return ExitCode::FAILURE;
    }
    let log = if a.foreground && !a.syslog { early } else { Log::syslog(ident) };
    match serve(a, &log, conf, &file, udp) {
        Ok(daemon) => match daemon.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(text) => {
            log.crit(&text);
            ExitCode::FAILURE
        }
    }
}

/// The second half of the start, in the process that stays.
fn serve(a: &Args, log: &Log, conf: Config, file: &str, udp: Udp) -> Result<Daemon, String> {
    // A pid file that cannot be written is not a reason to stay away.
    if let Err(e) = pidfile::write(&a.pid_file) {
        log.line(Level::Err, &format!("init: {}: {e}", a.pid_file));
    }
    let signals = Signals::install().map_err(|e| format!("init: unable to catch signals: {e}"))?;
    let control = ControlPipe::create(&a.control)
        .map_err(|e| format!("open_controlfd: Unable to open {} for reading. ({e})", a.control))?;
    let hostname = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
    log.info(&match conf.global.saref {
        true => format!("Setting SAref IP_IPSEC_REFINFO number to {}", conf.global.saref_number),
        false => "Not looking for kernel SAref support.".into(),
    });
    log.info(&format!("xl2tpd version {VERSION} started on {hostname} PID:{}", std::process::id()));
    if !udp.marks {
        log.warning(
            "init: the kernel does not tell marks (SO_RCVMARK): one IPsec client per address and port",
        );
    }
    if let Some(l) = udp.local() {
        if udp.absent {
            log.warning(&format!("init_network: {} is not an address of this machine yet", l.ip()));
        }
        log.info(&format!("Listening on IP address {}, port {}", l.ip(), l.port()));
    }
    let secrets = secrets_file(a, &conf, file);
    let again = a.clone();
    let reload = Box::new(move |log: &Log| load(&again, log).map(|(c, _)| c));
    let to =
        if a.foreground && !a.syslog { Log::stderr(a.name.ident()) } else { Log::syslog(a.name.ident()) };
    let parts = Parts { log: to, conf, hostname, reload, secrets, udp, control, signals };
    Daemon::new(a, parts).map_err(|e| format!("init: {e}"))
}

/// No program we start gets descriptors but its own, those we were started with included; and as many descriptors as
/// the system allows are ours.
fn close_on_exec() {
    // SAFETY: a plain system call that changes a flag of our descriptors; kernels without it return an error.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
