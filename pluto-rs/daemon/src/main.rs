//! `pluto`, the IKE daemon: the shell around the engine of crate `ike`.
//!
//! This crate owns the sockets, the clock, the threads and the files. It must not know a message, a state or a key
//! exchange: what it reads it hands to the engine, what the engine hands out it does.

#![deny(unsafe_code)]

mod ctl;
mod event_loop;
mod fetch;
mod groups;
mod hangup;
mod ignored;
mod keeper;
mod keys;
mod lately;
mod lines;
mod listen;
mod logging;
mod names;
mod options;
mod passwords;
mod prompt;
mod protect;
mod readiness;
mod reload;
mod secrets;
mod signals;
mod tokens;
mod updown;
mod workers;

use std::os::unix::fs::DirBuilderExt;
use std::process::ExitCode;

use ipsec_netio::pidfile::{PidFile, PidFileError};
use options::{Action, Options};

/// Exit status when another pluto holds the lock, as `_plutorun` knows it.
const EXIT_LOCKED: u8 = 10;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let options = match options::parse(&args) {
        Ok(Action::Run(o)) => *o,
        Ok(Action::Print(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("pluto: {e}\npluto: try --help for the options");
            return ExitCode::from(1);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Locked(path)) => {
            eprintln!("pluto: lock file \"{path}\" already exists");
            ExitCode::from(EXIT_LOCKED)
        }
        Err(Failure::Start(e)) => {
            eprintln!("pluto: {e}");
            ExitCode::from(1)
        }
    }
}

/// Why the daemon does not run.
enum Failure {
    Locked(String),
    Start(String),
}

fn run(options: Options) -> Result<(), Failure> {
    let start = |what: &str, e: std::io::Error| Failure::Start(format!("{what}: {e}"));
    if let Some(dir) = options.ctl_path().parent() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| start(&dir.display().to_string(), e))?;
    }
    // The process that was called waits until the daemon listens on the control socket, and leaves with its status.
    let ready = match options.nofork {
        true => None,
        false => Some(ipsec_netio::daemonize().map_err(|e| start("fork", e))?),
    };
    run_here(&options, &start, ready)
}

/// In the process that stays.
fn run_here(
    options: &Options,
    start: &dyn Fn(&str, std::io::Error) -> Failure,
    ready: Option<ipsec_netio::daemon::Ready>,
) -> Result<(), Failure> {
    let pid_path = options.pid_path();
    let pid_file = match PidFile::create(&pid_path) {
        Ok(f) => f,
        Err(PidFileError::Running(_)) => {
            if let Some(ready) = ready {
                eprintln!("pluto: lock file \"{}\" already exists", pid_path.display());
                let _ = ready.tell(EXIT_LOCKED);
            }
            return Err(Failure::Locked(pid_path.display().to_string()));
        }
        Err(e) => return Err(Failure::Start(format!("{}: {e}", pid_path.display()))),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|e| start("event loop", e))?;
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, event_loop::run(options, ready));
    drop(pid_file);
    outcome.map_err(Failure::Start)
}
