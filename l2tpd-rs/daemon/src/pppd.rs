//! pppd's command line and its start.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use l2tp_proto::{CallStart, Role, SecretBytes};

use crate::spawn::spawn;

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

pub(crate) fn pipe() -> io::Result<(File, File)> {
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
    let nowhere = File::options().read(true).write(true).open("/dev/null");
    let password = c.credentials.password.as_ref().map(password_pipe).transpose()?;
    let mut fds = vec![(stderr.as_fd(), 2)];
    match &link {
        Link::Tty(_, tty) => fds.extend([(tty.as_fd(), 0), (tty.as_fd(), 1)]),
        Link::Kernel(session) => {
            if let Ok(n) = &nowhere {
                fds.extend([(n.as_fd(), 0), (n.as_fd(), 1)]);
            }
            fds.push((session.as_fd(), SESSION_FD));
        }
    }
    fds.extend(password.as_ref().map(|p| (p.as_fd(), PASSWORD_FD)));
    let caller = c.calling_number.as_deref().map(|n| ("CALLER_ID", n));
    Ok(Started { pid: spawn(program, args, caller, &fds)?, words })
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
