//! The control FIFO: commands in, answers to a file the command names. It never blocks, whoever holds the other end.
//!
//! A command ends at a newline or with the write that brought it: xl2tpd took one read for one command, and its tools
//! send no newline. `@PATH COMMAND` asks for the answer to be written to PATH, which is removed afterwards. Two such tools
//! at once may have written before we read: where the next of their answer files is named, the next command begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// The longest command.
const MAX: usize = 4096;

/// One command and where its answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where to write the answer.
    pub reply: Option<PathBuf>,
    /// The command letter.
    pub command: char,
    /// What follows it, without surrounding white space.
    pub argument: String,
}

/// Takes apart what one read brought.
pub fn parse(bytes: &[u8]) -> Vec<Option<Request>> {
    String::from_utf8_lossy(bytes)
        .split(['\n', '\0'])
        .flat_map(one_writer_each)
        .map(|l| l.trim_end_matches('\r'))
        .filter(|l| !l.trim().is_empty())
        .map(request)
        .collect()
}

/// What `xl2tpd-control` names its answer files, up to its process id.
const ANSWER_FILE: &str = "/xl2tpd-control-";

/// Cuts before each `@DIR/xl2tpd-control-PID.out `.
fn one_writer_each(mut line: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let begins = |at: usize| {
        let word = line[at + 1..].split(' ').next().unwrap_or("");
        word.starts_with('/') && word.contains(ANSWER_FILE) && word.ends_with(".out") && !word.contains('@')
    };
    let mut cuts: Vec<usize> =
        line.match_indices('@').map(|(at, _)| at).filter(|at| *at > 0 && begins(*at)).collect();
    while let Some(at) = cuts.pop() {
        out.push(&line[at..]);
        line = &line[..at];
    }
    out.push(line);
    out.reverse();
    out
}

/// One command; `None` when an answer is asked for without saying where, or nothing follows.
fn request(line: &str) -> Option<Request> {
    let (reply, rest) = match line.strip_prefix('@') {
        Some(rest) => {
            let (path, rest) = rest.split_once(' ').filter(|(p, _)| !p.is_empty())?;
            (Some(path.into()), rest)
        }
        None => (None, line),
    };
    let rest = rest.trim_start();
    let command = rest.chars().next()?;
    let argument = rest[command.len_utf8()..].trim().to_string();
    Some(Request { reply, command, argument })
}

/// Writes an answer and removes the file, as xl2tpd does. An answer nobody reads is dropped, and so is what a FIFO
/// does not hold; a plain file takes answers of any length.
pub fn answer(path: &Path, text: &str) {
    // Without O_NONBLOCK a FIFO without a reader would hold us.
    let options = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    if let Ok(mut file) = options {
        // Best effort: a FIFO holds 64 KiB unless it is told otherwise.
        if let Ok(size) = i32::try_from(text.len()).map(|n| n.max(4096)) {
            let _ = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETPIPE_SZ(size));
        }
        let _ = file.write_all(text.as_bytes());
        drop(file);
        let _ = fs::remove_file(path);
    }
}

/// The FIFO.
#[derive(Debug)]
pub struct ControlPipe {
    path: PathBuf,
    file: File,
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a FIFO"));
    }
    Ok(file)
}

impl ControlPipe {
    /// Makes the FIFO anew, and its directory when there is none.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(path: &str) -> io::Result<Self> {
        let path = PathBuf::from(path);
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::create_dir_all(dir)?;
        }
        // What an earlier daemon left behind.
        let _ = fs::remove_file(&path);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let file = open(&path)?;
        Ok(ControlPipe { path, file })
    }

    /// What writers have sent. When the last writer has gone the FIFO is opened again, and `true` tells that the
    /// descriptor is another one now.
    pub fn read(&mut self) -> (Vec<Option<Request>>, bool) {
        let mut buffer = [0; MAX];
        match self.file.read(&mut buffer) {
            Ok(0) => match open(&self.path) {
                Ok(file) => {
                    self.file = file;
                    (Vec::new(), true)
                }
                Err(_) => (Vec::new(), false),
            },
            Ok(n) => (parse(&buffer[..n]), false),
            Err(_) => (Vec::new(), false),
        }
    }

    /// Removes the FIFO.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl AsFd for ControlPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_with_and_without_answer_file() {
        let r = parse(b"@/run/x d myvpn\nh 4711\n\ns");
        let want = |reply: Option<&str>, command, argument: &str| {
            Some(Request { reply: reply.map(Into::into), command, argument: argument.into() })
        };
        assert_eq!(r, [want(Some("/run/x"), 'd', "myvpn"), want(None, 'h', "4711"), want(None, 's', "")]);
        assert_eq!(parse(b"@nocommand"), [None]);
    }

    #[test]
    fn commands_of_two_tools_that_wrote_at_once_are_two() {
        let (a, b) = ("/var/run/xl2tpd/xl2tpd-control-12.out", "/run/xl2tpd/xl2tpd-control-7.out");
        let r = parse(format!("@{a} c isp me@home p@/ss@{b} x (null)").as_bytes());
        let want = |reply: &str, command, argument: &str| {
            Some(Request { reply: Some(reply.into()), command, argument: argument.into() })
        };
        assert_eq!(r, [want(a, 'c', "isp me@home p@/ss"), want(b, 'x', "(null)")]);
        // A name that only looks like it, and one alone.
        assert_eq!(parse(b"c isp u @/xl2tpd-control-1.outer").len(), 1);
        assert_eq!(parse(format!("@{a} s").as_bytes()).len(), 1);
    }

    #[test]
    fn a_writer_that_stays_does_not_stop_the_next_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/ctl");
        let mut p = ControlPipe::create(path.to_str().unwrap()).unwrap();
        let mut w = OpenOptions::new().write(true).open(&path).unwrap();
        assert_eq!(p.read().0, []);
        w.write_all(b"s").unwrap();
        assert_eq!(p.read().0.len(), 1);
        w.write_all(b"x").unwrap();
        assert_eq!(p.read().0.len(), 1);
        drop(w);
        assert!(p.read().1);
        let mut w = OpenOptions::new().write(true).open(&path).unwrap();
        w.write_all(b"y default\n").unwrap();
        assert_eq!(p.read().0[0].as_ref().unwrap().argument, "default");
    }

    #[test]
    fn an_answer_nobody_reads_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("out");
        mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        answer(&fifo, "00 OK\n");
        assert!(fifo.exists());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(b in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&b);
        }
    }
}
