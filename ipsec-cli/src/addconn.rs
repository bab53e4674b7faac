//! `addconn`: reads `ipsec.conf` and gives conns to the daemon.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipsec_conf::parse::{self, Sections};
use ipsec_conf::{Config, Conn, Diagnostic};
use ipsec_types::conn::Auto;
use ipsec_types::whack::Request;
use lexopt::{Arg, ValueExt};

use crate::ctl::{self, Failure};
use crate::{paths, reload, resolve};

/// Options of one run.
#[derive(Default)]
struct Options {
    config: Option<PathBuf>,
    roots: Vec<PathBuf>,
    add_all: bool,
    list_route: bool,
    list_start: bool,
    check: bool,
    config_setup: bool,
    quiet: bool,
    reload: bool,
    replace: bool,
    search: bool,
    help: bool,
    warnings_fatal: bool,
    default_route: Option<IpAddr>,
    nexthop: Option<IpAddr>,
    ctlbase: Option<PathBuf>,
    names: Vec<String>,
}

/// Exit status of a usage error.
const USAGE: i32 = 10;
/// Exit status when the configuration cannot be read.
const BAD_CONFIG: i32 = 3;
/// Exit status when the daemon cannot be reached.
const NO_SOCKET: i32 = 255;
/// Exit status when a conn is refused before the daemon sees it.
const NOT_LOADED: i32 = 37;

const USAGE_TEXT: &str = "Usage: addconn [--config file] [--addall] [--listroute] [--liststart] [--checkconfig]\n\
    \x20       [--configsetup] [--defaultroute addr] [--defaultroutenexthop addr] [--ctlbase base]\n\
    \x20       [--rootdir dir] [--varprefix prefix] [--search keyword value] [--warningsfatal]\n\
    \x20       [--reload] [--replace] [--quiet] [--debug] [--verbose] names";

fn options(args: &[String]) -> Result<Options, lexopt::Error> {
    let mut o = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("config") => o.config = Some(parser.value()?.into()),
            Arg::Long("addall" | "autoall") => o.add_all = true,
            Arg::Long("listroute") => o.list_route = true,
            Arg::Long("liststart") => o.list_start = true,
            Arg::Long("checkconfig") => o.check = true,
            Arg::Long("configsetup") => o.config_setup = true,
            Arg::Long("defaultroute") => o.default_route = parser.value()?.parse_with(unless_empty)?,
            Arg::Long("defaultroutenexthop") => o.nexthop = parser.value()?.parse_with(unless_empty)?,
            Arg::Long("ctlbase") => o.ctlbase = Some(parser.value()?.into()),
            Arg::Long("quiet") => o.quiet = true,
            Arg::Long("reload") => o.reload = true,
            Arg::Long("replace") => o.replace = true,
            Arg::Long("search") => o.search = true,
            Arg::Long("warningsfatal") => o.warnings_fatal = true,
            Arg::Long("help") => o.help = true,
            Arg::Long("debug" | "verbose" | "noexport") => {}
            Arg::Long("rootdir") => o.roots.push(parser.value()?.into()),
            Arg::Long("varprefix") => {
                parser.value()?;
            }
            Arg::Value(name) => o.names.push(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(o)
}

/// `ipsec auto` passes empty addresses where nothing is known.
fn unless_empty(s: &str) -> Result<Option<IpAddr>, std::net::AddrParseError> {
    if s.is_empty() { Ok(None) } else { s.parse().map(Some) }
}

/// Loads `path`, or explains on stderr why it cannot be: the one-line form first, then each error in full.
fn load_below(path: &Path, roots: &[PathBuf]) -> Result<Config, i32> {
    read(path, roots).map(|sections| Config::of(&sections)).map_err(|errors| {
        eprint!("{}", explain(path, &errors));
        BAD_CONFIG
    })
}

/// Reads `path`, or the standard input for `-`; files it includes by an absolute path lie below one of `roots`, if any.
///
/// # Errors
/// The syntax errors.
pub(crate) fn read(path: &Path, roots: &[PathBuf]) -> Result<Sections, Vec<Diagnostic>> {
    match path.to_str() {
        Some("-") => parse::read_stream(Path::new("<stdin>"), std::io::stdin().lock(), roots),
        _ => parse::read_file(path, roots),
    }
}

/// The text for a file that does not load.
pub(crate) fn explain(path: &Path, errors: &[Diagnostic]) -> String {
    let first = errors.first().map(Diagnostic::short).unwrap_or_default();
    let mut text = format!("can not load config '{}': {first}\n", path.display());
    for error in errors {
        text.push_str(&format!("{error}\n"));
    }
    text
}

/// Runs `addconn`.
pub(crate) fn run(args: &[String]) -> i32 {
    let o = match options(args) {
        Ok(o) => o,
        Err(e) => {
            eprintln!("addconn: {e}\n{USAGE_TEXT}");
            return USAGE;
        }
    };
    if o.help {
        println!("{USAGE_TEXT}");
        return 0;
    }
    let work = o.reload
        || o.add_all
        || o.list_route
        || o.list_start
        || o.check
        || o.config_setup
        || !o.names.is_empty();
    if !work {
        eprintln!("{USAGE_TEXT}");
        return USAGE;
    }
    let path = o.config.clone().unwrap_or_else(paths::config);
    let _turn = o.reload.then(|| reload::turn(&o.ctlbase.clone().unwrap_or_else(paths::ctlbase)));
    let config = match load_below(&path, &o.roots) {
        Ok(config) => config,
        Err(status) => return status,
    };
    let said = config.setup_errors.iter().chain(&config.warnings);
    for d in said.clone().filter(|_| !o.list_route && !o.list_start && !o.quiet) {
        eprintln!("{d}");
    }
    if o.warnings_fatal && said.count() > 0 {
        return BAD_CONFIG;
    }
    if o.search {
        return search(&config, &o.names);
    }
    if o.check {
        for d in config.conn_errors.iter().flat_map(|e| &e.diagnostics) {
            eprintln!("{d}");
        }
        return 0;
    }
    if o.config_setup {
        print_setup(&config);
        return 0;
    }
    if o.list_route || o.list_start {
        println!("{}", autostart(&config, o.list_route).join(" "));
        return 0;
    }
    add(&o, &config)
}

/// Names of the sections to start, or (`routes`) to route, each once.
pub(crate) fn autostart(config: &Config, routes: bool) -> Vec<String> {
    let wanted = |a: Auto| a == Auto::Start || routes && a == Auto::Route;
    let mut names: Vec<String> = Vec::new();
    for conn in config.conns.iter().filter(|c| wanted(c.spec.auto)) {
        let name = conn.spec.name.rsplit_once('/').map_or(conn.spec.name.as_str(), |(base, _)| base);
        let name = if conn.spec.aliases.iter().any(|a| a == name) { name } else { &conn.spec.name };
        if names.last().map(String::as_str) != Some(name) {
            names.push(name.to_string());
        }
    }
    names
}

/// Shell assignments of `config setup`, quoted so that nothing of a value is ever run.
fn print_setup(config: &Config) {
    for (name, value) in &config.setup.given {
        println!("export IPSEC{name}='{}'", value.replace('\'', "'\\''"));
    }
}

/// `--search KEYWORD VALUE`: the names of the conns whose `connalias=`, `auto=` or other word says so.
fn search(config: &Config, words: &[String]) -> i32 {
    let [key, value] = words else {
        eprintln!("{USAGE_TEXT}");
        return USAGE;
    };
    let says = |c: &Conn| match key.as_str() {
        "auto" => format!("{:?}", c.spec.auto).eq_ignore_ascii_case(value),
        "connalias" => c.spec.aliases.iter().any(|a| a == value),
        "left" | "right" => {
            let end = if key == "left" { &c.spec.left } else { &c.spec.right };
            ipsec_conf::net::host(value).is_ok_and(|h| h == end.host)
        }
        _ => false,
    };
    let found: Vec<&str> = config.conns.iter().filter(|c| says(c)).map(|c| c.spec.name.as_str()).collect();
    println!("{}", found.join(" "));
    0
}

fn add(o: &Options, config: &Config) -> i32 {
    let base = o.ctlbase.clone().unwrap_or_else(paths::ctlbase);
    if paths::with_ending(&base, ".ctl").as_os_str().len() > 107 {
        eprintln!("addconn: ctlbase too long: {}", base.display());
        return 4;
    }
    let route = resolve::default_route((o.default_route, o.nexthop));
    if o.reload {
        return reload::run(&base, config, route.as_ref());
    }
    let mut status = 0;
    let mut missing = 0;
    let mut chosen: Vec<&Conn> = Vec::new();
    if o.add_all {
        chosen.extend(config.conns.iter().filter(|c| c.spec.auto != Auto::Ignore));
        for error in config.failed_conns() {
            status = refused(&error.name, &error.diagnostics);
        }
    }
    for name in &o.names {
        let found = config.named(name);
        let broken = config.refusal_of(name);
        match (found.is_empty(), broken) {
            (false, _) => chosen.extend(found),
            (true, Some(error)) => status = refused(name, &error.diagnostics),
            (true, None) => {
                eprintln!("conn '{name}': not found (tried aliases)");
                missing += 1;
            }
        }
    }
    let keep_equal = o.replace;
    let mut requests = Vec::new();
    if o.add_all {
        // What of `config setup` the command line of the daemon has no word for.
        requests.push(Request::Setup(config.setup.engine.clone()));
    }
    for conn in chosen {
        for note in &conn.notes {
            eprintln!("{note}");
        }
        match resolve::conn(conn, route.as_ref()) {
            Ok(spec) => {
                resolve::warn(&spec);
                requests.push(Request::Load { spec: Box::new(spec), keep_equal });
            }
            Err(message) => {
                eprintln!("{message}");
                status = if message.starts_with("027") { 27 } else { 255 };
            }
        }
    }
    match send(&base, &requests) {
        Err(code) => code,
        Ok(_) if missing > 0 => missing,
        Ok(0) => status,
        Ok(code) => code,
    }
}

/// Says why a conn does not load. The status is the number an old message begins with, if one does.
pub(crate) fn refused(name: &str, diagnostics: &[Diagnostic]) -> i32 {
    for d in diagnostics {
        eprintln!("{d}");
    }
    eprintln!("conn {name} did not load properly");
    let code =
        |d: &Diagnostic| d.message.get(..4).and_then(|c| c.strip_suffix(' ')).and_then(|c| c.parse().ok());
    diagnostics.iter().find_map(code).unwrap_or(NOT_LOADED)
}

/// Sends the requests and prints the answers: one request as ever, more in one connection. The status is that of the last
/// that failed.
///
/// # Errors
/// The status when there is no daemon.
pub(crate) fn send(base: &Path, requests: &[Request]) -> Result<i32, i32> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut print = |line: &str| drop(writeln!(out, "{line}"));
    let result = match requests {
        [request] => ctl::ask(base, request, false, None, print).map(|status| vec![status]),
        _ => ctl::batch(base, requests, |_, line| print(line)),
    };
    let _ = out.flush();
    match result {
        Ok(statuses) => Ok(statuses.into_iter().rfind(|s| *s != 0).map_or(0, i32::from)),
        Err(failure) => Err(unreachable_daemon(&failure)),
    }
}

/// Says that there is no daemon, in the words of old, and returns the status.
pub(crate) fn unreachable_daemon(failure: &Failure) -> i32 {
    match failure {
        Failure::NotRunning => eprintln!("connect(pluto_ctl) failed: No such file or directory"),
        Failure::Connect(e) | Failure::Broken(e) => eprintln!("connect(pluto_ctl) failed: {e}"),
    }
    NO_SOCKET
}
