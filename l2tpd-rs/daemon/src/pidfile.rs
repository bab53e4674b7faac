//! The pid file: one daemon per file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Whether the file names a living process that is one of ours, and not a number that has been given to another
/// program since.
pub fn is_running(path: &str) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    let Ok(pid) = text.trim().parse::<u32>() else { return false };
    if pid == std::process::id() {
        return false;
    }
    let Ok(comm) = fs::read_to_string(format!("/proc/{pid}/comm")) else { return false };
    matches!(comm.trim(), "xl2tpd" | "l2tpd")
}

/// Writes our process id.
///
/// # Errors
/// The file system's.
pub fn write(path: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_or_foreign_pid_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid").to_string_lossy().into_owned();
        assert!(!is_running(&path));
        fs::write(&path, "999999999\n").unwrap();
        assert!(!is_running(&path));
        // A living process that is no L2TP daemon.
        fs::write(&path, "1\n").unwrap();
        assert!(!is_running(&path));
        write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(!is_running(&path));
    }
}
