//! The pid file, which is also the lock.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The process that holds the lock: the pid in the file, if that process lives and runs the same program as we do. A
/// file left by a killed daemon, or whose number another program has got since, holds nothing.
pub fn holder(path: &Path) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let name = |p: &str| std::fs::read_to_string(format!("/proc/{p}/comm")).ok();
    (pid != std::process::id() && name(&pid.to_string())? == name("self")?).then_some(pid)
}

/// Our own pid file; removed on drop.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes `PID\n`, mode 0444, over whatever was there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path) -> io::Result<PidFile> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(PidFile { path: path.into() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_file_holds_nothing_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        assert_eq!(holder(&path), None);
        for stale in ["", "rubbish", "4194305\n", "1\n"] {
            std::fs::write(&path, stale).unwrap();
            assert_eq!(holder(&path), None, "{stale:?}");
        }
        let file = PidFile::create(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }
}
