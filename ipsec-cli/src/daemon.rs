//! The running `pluto`: is it there, start it, stop it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipsec_conf::SetupSection;
use ipsec_types::whack::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ctl;
use crate::paths::{self, with_ending};

/// How long the daemon may take until it answers.
const START_TIME: Duration = Duration::from_secs(30);
/// How long an orderly shutdown may take before it gets a signal.
const STOP_TIME: Duration = Duration::from_secs(8);

/// What the pid file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No pid file.
    Absent,
    /// A pid file whose process is gone, or is something else by now.
    Stale,
    /// It runs.
    Alive(i32),
}

/// Looks at the pid file of `base`.
pub(crate) fn state(base: &Path) -> State {
    let Ok(text) = fs::read_to_string(with_ending(base, ".pid")) else { return State::Absent };
    match text.trim().parse::<i32>() {
        Ok(pid) if pid > 1 && is_pluto(pid) => State::Alive(pid),
        _ => State::Stale,
    }
}

fn is_pluto(pid: i32) -> bool {
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") Z "));
    !zombie && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "pluto")
}

/// Removes the files of a daemon that is gone.
pub(crate) fn clean(base: &Path) {
    for ending in [".pid", ".ctl", ".info"] {
        let _ = fs::remove_file(with_ending(base, ending));
    }
}

/// The command line: where things are by default, and what `config setup` asks for.
pub(crate) fn arguments(setup: &SetupSection, base: &Path) -> Vec<String> {
    let defaults = [
        ("--ctlbase", base.to_path_buf()),
        ("--secretsfile", paths::confs().join("ipsec.secrets")),
        ("--ipsecdir", paths::confddir()),
    ];
    let defaults =
        defaults.into_iter().flat_map(|(option, path)| [option.into(), path.display().to_string()]);
    defaults.chain(setup.pluto_options()).collect()
}

/// Starts the daemon and waits until it answers.
///
/// # Errors
/// What went wrong, and the exit status of `pluto` if it had one.
pub(crate) fn start(setup: &SetupSection, base: &Path) -> Result<(), (String, i32)> {
    let program = pluto().ok_or(("pluto is not installed".to_string(), 5))?;
    let fail = |what: &str, e: std::io::Error| (format!("{what}: {e}"), 1);
    if let Some(dir) = base.parent() {
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| fail(&dir.display().to_string(), e))?;
    }
    let mut command = Command::new(&program);
    command.args(arguments(setup, base)).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(dir) = setup.dumpdir.as_ref().filter(|d| d.is_dir()) {
        command.current_dir(dir);
    }
    if let Some(id) = &setup.myid {
        command.env("IPSECmyid", id);
    }
    let mut child = command.spawn().map_err(|e| fail(&program.display().to_string(), e))?;
    let deadline = Instant::now() + START_TIME;
    // The parent exits with 0 when the daemon behind it is ready.
    let status = loop {
        match child.try_wait().map_err(|e| fail("pluto", e))? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err((format!("pluto did not become ready in {} s", START_TIME.as_secs()), 1));
            }
            None => sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        let code = status.code().unwrap_or(1);
        return Err((format!("!pluto failure!:  exited with error status {code}"), code));
    }
    while !ctl::answers(base) {
        if Instant::now() > deadline {
            return Err(("pluto does not answer on its control socket".into(), 1));
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The daemon's program.
pub(crate) fn pluto() -> Option<PathBuf> {
    paths::program("pluto").or_else(|| {
        // Beside this program: a build directory.
        let beside = std::env::current_exe().ok()?.parent()?.join("pluto");
        beside.is_file().then_some(beside)
    })
}

/// Stops the daemon of `base`: asks, then signals the process its pid file names. `false` when there was none.
pub(crate) fn stop(base: &Path) -> bool {
    let before = state(base);
    let asked = ctl::ask(base, &Request::Shutdown, false, Some(STOP_TIME), |_| {}).is_ok();
    let State::Alive(pid) = before else {
        clean(base);
        return asked;
    };
    let gone = |limit: Duration| {
        let deadline = Instant::now() + limit;
        while is_pluto(pid) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        true
    };
    let limit = if asked { STOP_TIME } else { Duration::ZERO };
    if !gone(limit) {
        for (signal, limit) in [(Signal::SIGTERM, 5), (Signal::SIGKILL, 2)] {
            let _ = kill(Pid::from_raw(pid), signal);
            if gone(Duration::from_secs(limit)) {
                break;
            }
        }
    }
    clean(base);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_of_another_program_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("pluto");
        assert_eq!(state(&base), State::Absent);
        fs::write(dir.path().join("pluto.pid"), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(state(&base), State::Stale);
        clean(&base);
        assert_eq!(state(&base), State::Absent);
    }
}
