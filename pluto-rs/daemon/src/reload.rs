//! `SIGHUP` and the start with `--config`: `addconn --reload` reads the configuration and tells us over the control
//! socket what differs, as `ipsec setup reload` does. The daemon itself knows no conn of `ipsec.conf`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::logging::append;
use crate::options::Options;

/// Where `addconn` is: beside this program, in the library directory, or beside it in a build directory as `ipsec`.
fn program() -> (PathBuf, &'static [&'static str]) {
    let beside = std::env::current_exe().ok().and_then(|e| e.parent().map(Path::to_path_buf));
    let libdir = std::env::var_os("IPSEC_LIBDIR").map(PathBuf::from);
    for dir in [libdir, beside, Some("/usr/lib/ipsec".into())].into_iter().flatten() {
        for (name, first) in [("addconn", &[][..]), ("ipsec", &["addconn"][..])] {
            if dir.join(name).is_file() {
                return (dir.join(name), first);
            }
        }
    }
    ("ipsec".into(), &["addconn"])
}

/// What it has to say goes to the end of the log file, if there is one, else to our standard error.
fn command(options: &Options) -> Command {
    let (program, first) = program();
    let mut command = Command::new(program);
    command.args(first);
    command.args(options.config.iter().flat_map(|c| [OsStr::new("--config"), c.as_os_str()]));
    command.args(["--reload", "--quiet", "--ctlbase"]).arg(&options.ctlbase);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(Ok(log)) = options.logfile.as_deref().map(append) {
        command.stderr(log);
    }
    command
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Running,
    /// Once more when the one that runs has ended.
    Again,
}

/// Runs one `addconn` at a time: two that compare different files with what is loaded would undo each other's work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloader(Arc<Mutex<State>>);

impl Reloader {
    /// Starts it, or has it started when the one that runs has ended. The words are for the log.
    ///
    /// # Errors
    /// Why it does not start.
    pub(crate) fn start(&self, options: &Options) -> io::Result<String> {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *state != State::Idle {
            *state = State::Again;
            return Ok("when the reading under way has ended".into());
        }
        let mut command = command(options);
        let child = command.spawn()?;
        let name = command.get_program().display().to_string();
        let reloader = self.clone();
        std::thread::Builder::new().name("reload".into()).spawn(move || reloader.wait(child, command))?;
        *state = State::Running;
        Ok(name)
    }

    /// Waits for its end, and for that of those that were asked for meanwhile.
    fn wait(&self, mut child: Child, mut command: Command) {
        loop {
            let _ = child.wait();
            let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let again = *state == State::Again;
            *state = State::Idle;
            match again.then(|| command.spawn()) {
                None => return,
                Some(Ok(next)) => (child, *state) = (next, State::Running),
                Some(Err(e)) => return eprintln!("pluto: {}: {e}", command.get_program().display()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Action, parse};

    #[test]
    fn one_at_a_time_and_the_last_request_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        // Two lines for each run; runs side by side would mix them.
        let script = format!("echo begin >>{0}; sleep 0.05; echo end >>{0}", out.display());
        let reloader = Reloader::default();
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        let child = command.spawn().unwrap();
        *reloader.0.lock().unwrap() = State::Running;
        let Ok(Action::Run(options)) = parse(&[]) else { panic!() };
        for _ in 0..5 {
            let said = reloader.start(&options).unwrap();
            assert_eq!(said, "when the reading under way has ended");
        }
        reloader.wait(child, command);
        assert_eq!(std::fs::read_to_string(out).unwrap(), "begin\nend\nbegin\nend\n");
        assert_eq!(*reloader.0.lock().unwrap(), State::Idle);
    }
}
