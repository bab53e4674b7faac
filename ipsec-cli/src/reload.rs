//! `addconn --reload` (`ipsec setup reload`, `SIGHUP`): brings the daemon in line with the configuration.
//!
//! The file has been read and every conn looked up before the daemon hears of anything; a file that does not load changes
//! nothing. A conn that has not changed keeps its SAs, one that cannot be used now stays as it was loaded. One runs at a time:
//! of two the later reads the configuration when the earlier has ended.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ipsec_conf::Config;
use ipsec_types::conn::{Auto, ConnSpec};
use ipsec_types::whack::Request;
use nix::fcntl::{Flock, FlockArg};

use crate::{addconn, ctl, paths, resolve};

/// Waits until no other reload runs, and keeps others waiting until it is dropped: to be held from before the configuration is
/// read. `None` where there is no place for the lock, as without a daemon.
pub(crate) fn turn(base: &Path) -> Option<Flock<File>> {
    let path = paths::with_ending(base, ".reload");
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path).ok()?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Some(lock),
        Err((file, _)) => {
            eprintln!("another reload is under way; waiting for its end");
            Flock::lock(file, FlockArg::LockExclusive).ok()
        }
    }
}

/// Runs it; the exit status is not 0 when a conn that should load does not.
pub(crate) fn run(base: &Path, config: &Config, route: Option<&resolve::DefaultRoute>) -> i32 {
    let mut status = 0;
    let mut specs: HashMap<&str, ConnSpec> = HashMap::new();
    let mut order: Vec<&str> = Vec::new();
    // Names that stand in the file, usable or not.
    let mut known: HashSet<&str> = HashSet::new();
    known.extend(config.conn_errors.iter().map(|error| error.name.as_str()));
    for error in config.failed_conns() {
        status = addconn::refused(&error.name, &error.diagnostics);
    }
    for conn in &config.conns {
        let name = conn.spec.name.as_str();
        known.insert(name);
        match resolve::conn(conn, route) {
            Ok(spec) => {
                // Of two conns of one name the later counts, as when both are added.
                if specs.insert(name, spec).is_none() {
                    order.push(name);
                }
            }
            Err(_) if conn.spec.auto == Auto::Ignore => {}
            Err(message) => {
                eprintln!("{message}");
                status = 255;
            }
        }
    }
    let mut loaded: HashSet<String> = HashSet::new();
    let list = ctl::ask(base, &Request::Loaded, false, None, |line| {
        loaded.extend(line.strip_prefix("000 ").map(str::to_string));
    });
    if let Err(failure) = list {
        return addconn::unreachable_daemon(&failure);
    }
    let mut requests = vec![Request::Setup(config.setup.engine.clone())];
    let gone = loaded.iter().filter(|n| !known.contains(n.as_str()));
    requests.extend(gone.map(|name| Request::Delete { name: name.clone() }));
    let first = requests.len();
    for name in order {
        // What is not to be loaded at start, and was not by hand, is not loaded now.
        let wanted = |spec: &ConnSpec| spec.auto != Auto::Ignore || loaded.contains(name);
        if let Some(spec) = specs.remove(name).filter(wanted) {
            resolve::warn(&spec);
            requests.push(Request::Load { spec: Box::new(spec), keep_equal: true });
        }
    }
    requests.push(Request::Listen);
    // Which conns are new or not what they were: those start as their `auto=` says.
    let mut changed: Vec<usize> = Vec::new();
    let result = ctl::batch(base, &requests, |i, line| {
        if line.starts_with("000 ") {
            return;
        }
        println!("{line}");
        if i >= first && line.starts_with("002 added connection") {
            changed.push(i);
        }
    });
    match result {
        Ok(statuses) => status = statuses.into_iter().rfind(|s| *s != 0).map_or(status, i32::from),
        Err(failure) => return addconn::unreachable_daemon(&failure),
    }
    let mut starts = Vec::new();
    for i in changed {
        let Some(Request::Load { spec, .. }) = requests.get(i) else { continue };
        // One that lacks an address is started by the daemon, when it has it.
        if !resolve::unknown(spec).is_empty() {
            continue;
        }
        let name = spec.name.clone();
        match spec.auto {
            Auto::Route => starts.push(Request::Route { name }),
            Auto::Start => starts.push(Request::Initiate { name, asynchronous: true }),
            // `keep` begins to count once somebody has brought the conn up.
            Auto::Ignore | Auto::Add | Auto::Keep => {}
        }
    }
    match addconn::send(base, &starts) {
        Ok(_) => status,
        Err(code) => code,
    }
}
