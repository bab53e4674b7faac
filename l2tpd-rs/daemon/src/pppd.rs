//! pppd's command line and its start.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use l2tp_proto::{CallStart, Role, SecretBytes};

/// How pppd reaches the call.
#[derive(Debug)]
pub enum Link {
    /// A tty, by name and open.
    Tty(String, OwnedFd),
    /// A session socket of the kernel's L2TP.
    Kernel(OwnedFd),
}

/// The number of the descriptor `pppol2tp` gets, and the one of `passwordfd`.
const SESSION_FD: i32 = 3;
const PASSWORD_FD: i32 = 4;

/// The arguments xl2tpd gives pppd, without `argv[0]`, in its order.
///
/// ```text
///   TTY | plugin pppol2tp.so pppol2tp FD [pppol2tp_lns_mode pppol2tp_tunnel_id N pppol2tp_session_id N]
///   passive nodetach [file /var/l2tp/NUMBER.options] [defaultroute] LOCAL:REMOTE [refuse-pap] [refuse-chap]
///   [auth [require-pap] [require-chap] [login]] [name NAME] [debug] [plugin passwordfd.so passwordfd FD]
///   [mtu N mru N] [file FILE] [ipparam PEER]
/// ```
///
/// `mtu` and `mru` are not xl2tpd's: they stand before `file`, so that a file that has them wins.
pub fn arguments(link: &Link, c: &CallStart, mtu: Option<u16>) -> Vec<String> {
    let p = c.section.ppp();
    let mut v: Vec<String> = Vec::new();
    let mut put = |words: &[&str]| v.extend(words.iter().map(|w| (*w).to_string()));
    match link {
        Link::Tty(name, _) => put(&[name]),
        Link::Kernel(_) => {
            put(&["plugin", "pppol2tp.so", "pppol2tp", &SESSION_FD.to_string()]);
            if c.role == Role::Lns {
                let (tunnel, session) = (c.call.tunnel.to_string(), c.call.session.to_string());
                put(&["pppol2tp_lns_mode", "pppol2tp_tunnel_id", &tunnel, "pppol2tp_session_id", &session]);
            }
        }
    }
    put(&["passive", "nodetach"]);
    // The number is the user's or the peer's word: it must not lead out of the folder.
    if let Some(n) = c.number.as_ref().filter(|_| c.role == Role::Lac) {
        let name: String = n.chars().filter(|c| c.is_ascii_alphanumeric() || "+*#-".contains(*c)).collect();
        put(&["file", &format!("/var/l2tp/{name}.options")]);
    }
    let lac = c.section.lac();
    if lac.is_some_and(|l| l.defaultroute) {
        put(&["defaultroute"]);
    }
    let local = c.local_ip.map(|a| a.to_string()).unwrap_or_default();
    let remote = match (c.remote_ip, c.role) {
        (Some(a), _) => a.to_string(),
        (None, Role::Lns) => "0.0.0.0".into(),
        (None, Role::Lac) => String::new(),
    };
    put(&[&format!("{local}:{remote}")]);
    let mut flag = |yes: bool, word: &str| {
        if yes {
            put(&[word]);
        }
    };
    flag(p.refuse_pap, "refuse-pap");
    flag(p.refuse_chap, "refuse-chap");
    flag(p.require_auth, "auth");
    flag(p.require_auth && p.require_pap, "require-pap");
    flag(p.require_auth && p.require_chap, "require-chap");
    flag(p.require_auth && p.login, "login");
    if let Some(name) = c.credentials.user.as_ref().or(p.name.as_ref()) {
        put(&["name", name]);
    }
    if p.debug {
        put(&["debug"]);
    }
    if c.credentials.password.is_some() {
        put(&["plugin", "passwordfd.so", "passwordfd", &PASSWORD_FD.to_string()]);
    }
    if let Some(n) = mtu.map(|n| n.to_string()) {
        put(&["mtu", &n, "mru", &n]);
    }
    if let Some(file) = &p.file {
        put(&["file", file]);
    }
    if p.pass_peer {
        put(&["ipparam", &c.path.peer.ip().to_string()]);
    }
    v
}

/// A pppd that runs, and what it says on its standard error.
#[derive(Debug)]
pub struct Started {
    /// Process id; to be reaped by it.
    pub pid: u32,
    /// Standard error; does not block.
    pub words: File,
}

fn pipe() -> io::Result<(File, File)> {
    let mut fds = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just opened and belong to nobody else.
    Ok(unsafe { (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])) })
}

/// The read end of a pipe that holds the password and nothing else.
fn password_pipe(password: &SecretBytes) -> io::Result<File> {
    let (read, mut write) = pipe()?;
    // Far below what a pipe holds, so it cannot block.
    let bytes = password.expose();
    write.write_all(bytes.get(..bytes.len().min(1024)).unwrap_or(bytes))?;
    Ok(read)
}

/// Starts pppd: tty or nothing as its standard input and output, the descriptors its arguments name, no others. It
/// dies with this process (`PR_SET_PDEATHSIG`).
///
/// # Errors
/// The kernel's: no such program, no memory, no processes left.
pub fn start(program: &str, args: &[String], link: Link, c: &CallStart) -> io::Result<Started> {
    let (words, stderr) = pipe()?;
    // Neither end waits: a pppd whose words nobody has read yet loses some, and goes on.
    nix::fcntl::fcntl(&stderr, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    nix::fcntl::fcntl(&words, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    let mut command = Command::new(program);
    command.args(args.iter().map(OsString::from)).stderr(stderr);
    let session = match link {
        Link::Tty(_, tty) => {
            let tty = File::from(tty);
            command.stdin(tty.try_clone()?).stdout(tty);
            None
        }
        Link::Kernel(session) => {
            command.stdin(Stdio::null()).stdout(Stdio::null());
            Some(session)
        }
    };
    let password = c.credentials.password.as_ref().map(password_pipe).transpose()?;
    if let Some(n) = &c.calling_number {
        command.env("CALLER_ID", n);
    }
    let parent = std::process::id();
    let from = [session.as_ref().map(AsRawFd::as_raw_fd), password.as_ref().map(AsRawFd::as_raw_fd)];
    let before_exec = move || {
        // SAFETY: plain system calls, all allowed between fork and exec.
        unsafe {
            // Out of the way of the two numbers first; dup2 clears close-on-exec.
            let mut high = [-1; 2];
            for (h, fd) in high.iter_mut().zip(from) {
                if let Some(fd) = fd {
                    *h = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10);
                }
            }
            for (h, to) in high.into_iter().zip([SESSION_FD, PASSWORD_FD]) {
                if h >= 0 && libc::dup2(h, to) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The daemon may have died before the line above.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(before_exec) };
    Ok(Started { pid: command.spawn()?.id(), words })
}

/// Longest line of a pppd that is kept, and lines a pppd may say.
const LINE: usize = 400;
const LINES: u32 = 50;

/// What a pppd says on its standard error, line by line and bounded.
#[derive(Debug)]
pub struct Words {
    pipe: File,
    line: Vec<u8>,
    said: u32,
}

impl Words {
    /// Nothing said yet.
    pub fn new(pipe: File) -> Self {
        Words { pipe, line: Vec::new(), said: 0 }
    }

    /// The lines that are whole by now; with `last` the rest too.
    pub fn take(&mut self, last: bool) -> Vec<String> {
        let mut out = Vec::new();
        let mut buffer = [0; 1024];
        // A bound on what one wake-up does; the pipe keeps the rest.
        for _ in 0..8 {
            let Ok(n @ 1..) = self.pipe.read(&mut buffer) else { break };
            for &b in &buffer[..n] {
                match b {
                    b'\n' => self.end_line(&mut out),
                    _ if self.line.len() < LINE => self.line.push(b),
                    _ => {}
                }
            }
        }
        if last {
            self.end_line(&mut out);
        }
        out
    }

    fn end_line(&mut self, out: &mut Vec<String>) {
        let line = std::mem::take(&mut self.line);
        let text: String =
            String::from_utf8_lossy(&line).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if !text.trim().is_empty() && self.said < LINES {
            self.said += 1;
            out.push(text.trim().to_string());
        }
    }
}

#[cfg(test)]
#[path = "pppd/tests.rs"]
mod tests;
