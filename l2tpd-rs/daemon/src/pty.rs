//! A Unix98 pty for one pppd, raw from the start.
//!
//! pppd switches its tty to raw mode itself, but what arrives before that would be echoed and cooked. The speed must
//! not be zero: pppd takes that for a hang-up.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{BaudRate, ControlFlags, SetArg, cfmakeraw, cfsetspeed, tcgetattr, tcsetattr};

/// Both ends.
#[derive(Debug)]
pub struct Pty {
    /// Ours; non-blocking.
    pub master: File,
    /// pppd's; closed here once pppd has it.
    pub slave: OwnedFd,
    /// `/dev/pts/N`.
    pub name: String,
}

/// Opens a pty. No descriptor is inherited by other processes.
///
/// # Errors
/// The kernel's: no ptys left, no devpts.
pub fn open() -> io::Result<Pty> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname_r(&master)?;
    let slave = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&name)?;
    let mut t = tcgetattr(&slave)?;
    cfmakeraw(&mut t);
    t.control_flags |= ControlFlags::CS8 | ControlFlags::CREAD | ControlFlags::CLOCAL;
    cfsetspeed(&mut t, BaudRate::B38400)?;
    tcsetattr(&slave, SetArg::TCSANOW, &t)?;
    let master = File::from(OwnedFd::from(master));
    Ok(Pty { master, slave: slave.into(), name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn bytes_pass_unchanged_and_without_echo() {
        let mut p = open().unwrap();
        let all: Vec<u8> = (0..=255).collect();
        p.master.write_all(&all).unwrap();
        let mut slave = File::from(p.slave);
        let mut got = vec![0; 256];
        slave.read_exact(&mut got).unwrap();
        assert_eq!(got, all);
        assert_eq!(p.master.read(&mut got).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
