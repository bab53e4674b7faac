//! `readwriteconf`: reads `ipsec.conf` and writes it again as one file, with all that applies to each conn.
//!
//! ```text
//! #conn NAME loaded        a line for each conn
//! version 2.0              and the file, which loads again to the same conns
//! ```

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ipsec_conf::{Config, Diagnostic, canonical};
use ipsec_types::conn::Auto;
use ipsec_types::whack::Request;
use lexopt::{Arg, ValueExt};

use crate::{addconn, paths, resolve};

const USAGE: &str = "Usage: readwriteconf [--config file] [--rootdir dir] [--rootdir2 dir] [--text] [--whackout file]\n\
    \x20       [--all] [--debug] [--verbose]";
/// Exit status when the configuration cannot be read.
const BAD_CONFIG: i32 = 3;

#[derive(Default)]
struct Options {
    config: Option<PathBuf>,
    roots: [Option<PathBuf>; 2],
    text: bool,
    whackout: Option<PathBuf>,
    all: bool,
    verbose: bool,
    help: bool,
}

fn options(args: &[String]) -> Result<Options, lexopt::Error> {
    let mut o = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("config") => o.config = Some(parser.value()?.into()),
            Arg::Long("rootdir") => o.roots[0] = parser.value()?.parse_with(some)?,
            Arg::Long("rootdir2") => o.roots[1] = parser.value()?.parse_with(some)?,
            Arg::Long("text") => o.text = true,
            Arg::Long("whackout") => o.whackout = Some(parser.value()?.into()),
            Arg::Long("all") => o.all = true,
            Arg::Long("debug" | "verbose") => o.verbose = true,
            Arg::Long("help") => o.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(o)
}

/// An empty directory is none.
fn some(text: &str) -> Result<Option<PathBuf>, std::convert::Infallible> {
    Ok(Some(PathBuf::from(text)).filter(|p| !p.as_os_str().is_empty()))
}

/// Runs `readwriteconf`.
pub(crate) fn run(args: &[String]) -> i32 {
    let o = match options(args) {
        Ok(o) => o,
        Err(e) => {
            eprintln!("readwriteconf: {e}\n{USAGE}");
            return 1;
        }
    };
    if o.help {
        println!("{USAGE}");
        return 0;
    }
    let path = o.config.clone().unwrap_or_else(paths::config);
    if o.verbose {
        eprintln!("opening file: {}", path.display());
    }
    let roots: Vec<PathBuf> = o.roots.iter().flatten().cloned().collect();
    let sections = match addconn::read(&path, &roots) {
        Ok(sections) => sections,
        Err(errors) => return refuse(&path, &errors),
    };
    let config = Config::of(&sections);
    if o.verbose {
        config.diagnostics().for_each(|d| eprintln!("{d}"));
    }
    if let Some(file) = &o.whackout {
        if let Err(e) = write_requests(&config, file, o.all) {
            eprintln!("readwriteconf: {}: {e}", file.display());
            return 1;
        }
        if !o.text {
            return 0;
        }
    }
    match print(&config, &canonical::write(&sections)) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("readwriteconf: {e}");
            1
        }
    }
}

fn refuse(path: &Path, errors: &[Diagnostic]) -> i32 {
    let first = errors.first().map(Diagnostic::short).unwrap_or_default();
    println!("config file: {} can not be loaded: {first}", path.display());
    errors.iter().for_each(|e| eprintln!("{e}"));
    BAD_CONFIG
}

fn print(config: &Config, text: &str) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut last = None;
    for conn in &config.conns {
        // Of a section with several networks, one line.
        if conn.section.is_some() && conn.section == last {
            continue;
        }
        last = conn.section;
        let name =
            conn.spec.name.rsplit_once('/').filter(|(base, _)| conn.spec.aliases.iter().any(|a| a == base));
        writeln!(out, "#conn {} loaded", name.map_or(conn.spec.name.as_str(), |(base, _)| base))?;
    }
    write!(out, "\n{text}")?;
    out.flush()
}

/// What `addconn --addall` would send the daemon, a line of JSON each; with `all` conns of `auto=ignore` too.
fn write_requests(config: &Config, file: &Path, all: bool) -> io::Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    let mut out = io::BufWriter::new(open);
    let route = resolve::default_route((None, None));
    for conn in config.conns.iter().filter(|c| all || c.spec.auto != Auto::Ignore) {
        match resolve::conn(conn, route.as_ref()) {
            Ok(spec) => {
                resolve::warn(&spec);
                let request = Request::Load { spec: Box::new(spec), keep_equal: false };
                writeln!(out, "{}", serde_json::to_string(&request)?)?;
            }
            Err(message) => eprintln!("{message}"),
        }
    }
    out.flush()
}
