//! Starting a program without copying this process first.
//!
//! fork(2) copies the page tables of a daemon that may serve thousands, for every call; the child here borrows the memory
//! (`CLONE_VM`) while we wait for its exec (`CLONE_VFORK`), as posix_spawn(3) does it, which has no word for
//! `PR_SET_PDEATHSIG`. Knows nothing of pppd.

use std::ffi::{CString, OsStr, OsString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The stack the child has until its exec.
const STACK: usize = 64 * 1024;
/// Descriptors the child may get.
const FDS: usize = 8;
/// Where descriptors wait, out of the way of the numbers they get.
const HIGH: c_int = 10;
/// Signals this process catches or ignores, all of which are the child's business again.
const SIGNALS: [c_int; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGCHLD, libc::SIGPIPE];

/// All the child looks at, made before it is there: it must not allocate.
struct Plan {
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    /// Ours, and the number the child gets it by; -1 for none.
    fds: [(RawFd, RawFd); FDS],
    mask: libc::sigset_t,
    parent: libc::pid_t,
    /// Why there was no exec.
    error: c_int,
}

fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// The child: descriptors, signals, the parent-death signal, exec. Its return value is its exit status.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a Plan that lives until this process has called exec or ended, and does not touch it
    // before that. All calls are plain system calls that are allowed between vfork and exec; none allocates or locks.
    unsafe {
        let plan = &mut *plan.cast::<Plan>();
        // Not shared with the parent: descriptors and signal dispositions are copies (no CLONE_FILES, CLONE_SIGHAND).
        for s in SIGNALS {
            libc::signal(s, libc::SIG_DFL);
        }
        let mut high = [-1; FDS];
        for (h, (from, _)) in high.iter_mut().zip(plan.fds) {
            if from >= 0 {
                *h = libc::fcntl(from, libc::F_DUPFD_CLOEXEC, HIGH);
            }
        }
        for (h, (from, to)) in high.into_iter().zip(plan.fds) {
            // dup2 clears close-on-exec.
            if from >= 0 && (h < 0 || libc::dup2(h, to) < 0) {
                plan.error = errno();
                return 127;
            }
        }
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
            plan.error = errno();
            return 127;
        }
        // The parent may have died before the line above.
        if libc::getppid() != plan.parent {
            plan.error = libc::ESRCH;
            return 127;
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const plan.mask, std::ptr::null_mut());
        libc::execve(plan.program, plan.argv, plan.envp);
        plan.error = errno();
    }
    127
}

fn c_string(s: &OsStr) -> io::Result<CString> {
    CString::new(s.as_bytes()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a NUL in a word"))
}

fn pointers(list: &[CString]) -> Vec<*const c_char> {
    list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Starts `program` with these arguments (without `argv[0]`, which is the program), our environment and `env`, and
/// these descriptors under these numbers; all others are expected to be close-on-exec. It gets SIGTERM when this
/// process dies. Returns its process id; it is to be reaped.
///
/// # Errors
/// The kernel's: no such program, no memory, no processes left.
pub(crate) fn spawn(
    program: &str,
    args: &[String],
    env: Option<(&str, &str)>,
    fds: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<u32> {
    if fds.len() > FDS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let words = std::iter::once(program).chain(args.iter().map(String::as_str));
    let words = words.map(|w| c_string(OsStr::new(w))).collect::<io::Result<Vec<_>>>()?;
    let own = std::env::vars_os().filter(|(k, _)| env.is_none_or(|(name, _)| k != name));
    let more = env.map(|(k, v)| (OsString::from(k), OsString::from(v)));
    let environment = own
        .chain(more)
        .map(|(mut k, v)| {
            k.push("=");
            k.push(v);
            CString::new(k.into_vec())
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a NUL in a variable"))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let (argv, envp) = (pointers(&words), pointers(&environment));
    let mut list = [(-1, -1); FDS];
    for (place, (fd, to)) in list.iter_mut().zip(fds) {
        *place = (fd.as_raw_fd(), *to);
    }
    let program = words.first().map_or(std::ptr::null(), |w| w.as_ptr());
    // A stack of words is aligned as a stack must be.
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    // SAFETY: the child runs on `stack`, whose end is handed over because stacks grow down, and looks only at `plan`
    // and what it points at; all of that lives until the end of this block, and CLONE_VFORK holds this thread until
    // the child has called exec or ended. All signals are blocked meanwhile, so that no handler of ours runs in the
    // child on memory that is ours.
    unsafe {
        let (mut all, mut mask) = (std::mem::zeroed::<libc::sigset_t>(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut mask);
        let mut plan = Plan {
            program,
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            fds: list,
            mask,
            parent: libc::getpid(),
            error: 0,
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let top = stack.as_mut_ptr().add(stack.len());
        let pid = libc::clone(child, top.cast(), flags, (&raw mut plan).cast());
        let failed = if pid < 0 { errno() } else { std::ptr::read_volatile(&raw const plan.error) };
        if pid > 0 && failed != 0 {
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, std::ptr::null_mut());
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        u32::try_from(pid).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    /// What a shell script says on descriptor 7, and its exit status.
    fn said(script: &str, env: Option<(&str, &str)>) -> (String, i32) {
        let (mut read, write) = crate::pppd::pipe().unwrap();
        let pid = spawn("/bin/sh", &["-c".into(), script.into()], env, &[(write.as_fd(), 7)]).unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
        let nix::sys::wait::WaitStatus::Exited(_, code) = status else { panic!("{status:?}") };
        (text, code)
    }

    #[test]
    fn a_child_has_its_descriptor_its_variable_and_the_usual_signals() {
        let (text, code) = said(
            // Without a program of its own: while the shell starts one it blocks signals.
            "{ echo $X; while read -r k v; do case $k in SigBlk:|SigIgn:) echo $v;; esac; done </proc/$$/status; } >&7
             exit 3",
            Some(("X", "y z")),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1], code), ("y z", "0000000000000000", 3), "blocked: none");
        let ignored = u64::from_str_radix(lines[2], 16).unwrap();
        assert_eq!(ignored >> (libc::SIGPIPE - 1) & 1, 0, "Rust ignores it, a pppd must not");
    }

    #[test]
    fn what_cannot_be_started_says_why_and_leaves_nobody() {
        let e = spawn("/nonexistent/program", &[], None, &[]).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::ENOENT));
        let e = spawn("/etc/passwd", &[], None, &[]).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::EACCES));
        assert!(spawn("/bin/sh", &["a\0b".into()], None, &[]).is_err());
    }

    #[test]
    fn descriptors_that_want_each_others_numbers_are_not_mixed_up() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            std::fs::write(dir.path().join(name), name).unwrap();
            File::open(dir.path().join(name)).unwrap()
        };
        let (a, b) = (open("a"), open("b"));
        let (mut read, write) = crate::pppd::pipe().unwrap();
        let fds = [(a.as_fd(), b.as_raw_fd()), (b.as_fd(), a.as_raw_fd()), (write.as_fd(), 1)];
        let script = format!("cat <&{}; cat <&{}", a.as_raw_fd(), b.as_raw_fd());
        let pid = spawn("/bin/sh", &["-c".into(), script], None, &fds).unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
        assert_eq!(text, "ba");
    }
}
