//! The pid file, and whether the process it names is alive.
//!
//! A daemon holds a lock on its file for as long as it lives; the kernel lets go of it however the daemon ends. So a
//! file left by a dead process is known as such even when its number belongs to another process by now. A file that
//! is not locked still counts when a living process of the same name has that number: that is a daemon that does
//! not lock, such as the one we replace.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Longest content worth reading: a number and a newline.
const LONGEST: u64 = 32;
/// How often to start again because the file was replaced under our hands.
const TRIES: usize = 10;

/// Why there is no pid file.
#[derive(Debug)]
pub enum PidFileError {
    /// A daemon runs already; its pid, when the file tells.
    Running(Option<u32>),
    /// The file cannot be made.
    Io(io::Error),
}

impl std::fmt::Display for PidFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PidFileError::Running(Some(pid)) => write!(f, "already running with pid {pid}"),
            PidFileError::Running(None) => write!(f, "already running"),
            PidFileError::Io(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for PidFileError {}

impl From<io::Error> for PidFileError {
    fn from(e: io::Error) -> Self {
        PidFileError::Io(e)
    }
}

/// A pid file that names this process. Removed on drop.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: Flock<File>,
}

impl PidFile {
    /// Makes the file and writes this process's number into it; to be called after [`daemonize`](crate::daemonize).
    /// A symbolic link in its place is not followed.
    ///
    /// # Errors
    /// [`PidFileError::Running`] when the file names a living daemon.
    pub fn create(path: &Path) -> Result<Self, PidFileError> {
        for _ in 0..TRIES {
            if let Some(created) = Self::attempt(path)? {
                return Ok(created);
            }
        }
        Err(PidFileError::Running(None))
    }

    /// `None` when another process removed or replaced the file between opening and locking it.
    fn attempt(path: &Path) -> Result<Option<Self>, PidFileError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, Errno::EWOULDBLOCK)) => return Err(PidFileError::Running(read_pid(&mut file))),
            Err((_, e)) => return Err(io::Error::from(e).into()),
        };
        let ours = file.metadata()?;
        if !fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (ours.dev(), ours.ino())) {
            return Ok(None);
        }
        if let Some(pid) = read_pid(&mut file).filter(|&pid| is_one_of_us(pid)) {
            return Err(PidFileError::Running(Some(pid)));
        }
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Some(PidFile { path: path.into(), file }))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let same = |m: fs::Metadata| {
            self.file.metadata().is_ok_and(|ours| (m.dev(), m.ino()) == (ours.dev(), ours.ino()))
        };
        if fs::symlink_metadata(&self.path).is_ok_and(same) {
            // A file that stays is found stale by the next daemon.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The pid in a pid file whose process is alive: locked by it, or, for a daemon that does not lock, of a program
/// with the name `program` (the first 15 characters, as the kernel keeps them).
pub fn running(path: &Path, program: &str) -> Option<u32> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    let pid = read_pid(&mut file)?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((_, Errno::EWOULDBLOCK)) => Some(pid),
        _ => Some(pid).filter(|&pid| process_name(pid).is_some_and(|n| n == kernel_name(program))),
    }
}

fn is_one_of_us(pid: u32) -> bool {
    pid != std::process::id()
        && process_name(pid).is_some_and(|n| Some(n) == process_name(std::process::id()))
}

fn process_name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end_matches('\n').to_owned())
}

/// `TASK_COMM_LEN` less its end.
fn kernel_name(program: &str) -> String {
    program.chars().take(15).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn path() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pluto.pid");
        (dir, path)
    }

    #[test]
    fn written_held_and_removed() {
        let (_dir, path) = path();
        let first = PidFile::create(&path).unwrap();
        let us = std::process::id();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{us}\n"));
        assert_eq!(running(&path, "whatever"), Some(us));
        let second = PidFile::create(&path);
        assert!(matches!(second, Err(PidFileError::Running(Some(pid))) if pid == us), "{second:?}");
        drop(first);
        assert!(!path.exists());
        assert_eq!(running(&path, "pluto"), None);
    }

    #[test]
    fn stale_files_do_not_block() {
        let (_dir, path) = path();
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        // A dead process, one whose number has gone to another program, and no number at all.
        for content in [dead.id().to_string(), "1\n".into(), "".into(), "pluto".into(), "9".repeat(100)] {
            fs::write(&path, &content).unwrap();
            assert_eq!(running(&path, "pluto"), None, "{content}");
            drop(PidFile::create(&path).unwrap());
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_daemon_that_does_not_lock_counts() {
        let (_dir, path) = path();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, format!("{}\n", other.id())).unwrap();
        // A new process has its program's name a moment after it was started.
        let mut found = None;
        for _ in 0..1000 {
            found = running(&path, "sleep");
            if found.is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(found, Some(other.id()));
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let (dir, path) = path();
        let target = dir.path().join("precious");
        fs::write(&target, "data").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(PidFile::create(&path), Err(PidFileError::Io(_))));
        assert_eq!(fs::read_to_string(&target).unwrap(), "data");
    }
}
