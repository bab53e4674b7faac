//! Runs a program of the system: words, never a shell; a time limit; a bound on what is kept of its output.
//!
//! ```text
//!  run ──► child ──pipe──► reader thread ──► output      the child is killed when its time is over
//! ```

use std::ffi::OsStr;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Where programs are looked for, as an old init script's `PATH` had it.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a child that closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);
/// How long output is still read after the child ended, should something it started hold on to the pipe.
const REST: Duration = Duration::from_millis(200);

/// How much is given to a program.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long it may run.
    pub time: Duration,
    /// Octets of output that are kept; the rest is read and thrown away.
    pub output: usize,
}

/// A program that ended.
#[derive(Debug)]
pub struct Ran {
    /// How it ended; `None` when its time was over.
    pub status: Option<ExitStatus>,
    /// The first part of its output.
    pub output: Vec<u8>,
    /// Whether there was more output than was kept.
    pub cut: bool,
}

impl Ran {
    /// Whether it ended by itself with status 0.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|s| s.success())
    }

    /// Its output as text, without blanks at the end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).trim_end().to_string()
    }
}

/// The program `name` in a directory of [`PATH`].
pub fn find(name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let runs = |p: &PathBuf| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    PATH.split(':').map(|d| Path::new(d).join(name)).find(runs)
}

/// Runs `program` with `args`; `input` is what it reads. Its errors are part of the output if `errors`, else thrown away.
///
/// # Errors
/// It cannot be started.
pub fn run(
    program: &Path,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    input: &[u8],
    errors: bool,
    limits: Limits,
) -> io::Result<Ran> {
    let end = Instant::now() + limits.time;
    let (reader, writer) = io::pipe()?;
    let stderr = if errors { Stdio::from(writer.try_clone()?) } else { Stdio::null() };
    let mut command = Command::new(program);
    command.args(args).env("PATH", PATH).env("LC_ALL", "C").stdout(writer).stderr(stderr);
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.spawn()?;
    // Our ends of the pipe: without this the reader never sees its end.
    drop(command);
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // One that does not read its input is no error.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let (send, output) = mpsc::channel();
    std::thread::spawn(move || drop(send.send(read(reader, limits.output))));
    let early = output.recv_timeout(end.saturating_duration_since(Instant::now()));
    let status = wait(&mut child, end)?;
    let (output, cut) = early.or_else(|_| output.recv_timeout(REST)).unwrap_or_default();
    Ok(Ran { status, output, cut })
}

/// Waits until `end`, then kills it.
fn wait(child: &mut Child, end: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// Reads to the end and keeps the first `most` octets.
fn read(mut from: PipeReader, most: usize) -> (Vec<u8>, bool) {
    let (mut kept, mut cut) = (Vec::new(), false);
    let mut some = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut some) {
        let room = most.saturating_sub(kept.len()).min(n);
        kept.extend_from_slice(&some[..room]);
        cut |= room < n;
    }
    (kept, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Limits = Limits { time: Duration::from_secs(20), output: 1000 };

    fn sh(script: &str, input: &[u8], limits: Limits) -> Ran {
        run(Path::new("/bin/sh"), ["-c", script], input, true, limits).unwrap()
    }

    #[test]
    fn output_and_status_come_back() {
        let ran = sh("cat; echo out; echo err >&2; exit 3", b"in ", SOME);
        assert_eq!(
            (ran.text().as_str(), ran.status.unwrap().code(), ran.cut),
            ("in out\nerr", Some(3), false)
        );
        assert!(!ran.is_success() && sh("true", b"", SOME).is_success());
        assert!(run(Path::new("/nonexistent"), [""; 0], b"", true, SOME).is_err());
    }

    #[test]
    fn much_output_is_cut_and_a_program_that_hangs_is_ended() {
        let ran = sh("yes | head -c 100000", b"", SOME);
        assert!(ran.cut && ran.output.len() == 1000 && ran.is_success());
        let ran = sh("echo first; exec sleep 60", b"", Limits { time: Duration::from_millis(100), ..SOME });
        assert!(ran.status.is_none());
        assert_eq!(ran.text(), "first");
    }

    #[test]
    fn programs_are_found_in_the_usual_places_only() {
        assert!(find("sh").is_some());
        for name in ["", "../bin/sh", "/bin/sh", "no-such-program"] {
            assert_eq!(find(name), None, "{name}");
        }
    }
}
