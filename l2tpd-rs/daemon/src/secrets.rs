//! The file of tunnel secrets, read anew when it changes.

use std::time::SystemTime;

use l2tp_proto::SecretTable;

/// The file and when it was last read.
#[derive(Debug)]
pub struct SecretFile {
    path: String,
    seen: Option<Option<SystemTime>>,
}

impl SecretFile {
    /// A file that has not been read.
    pub fn new(path: String) -> Self {
        SecretFile { path, seen: None }
    }

    /// The table, and warnings, when the file has changed since the last call. xl2tpd reads the file at every
    /// lookup, so edits count at once here too. A file that cannot be read is an empty one.
    pub fn changed(&mut self) -> Option<(SecretTable, Vec<String>)> {
        let modified = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        if self.seen == Some(modified) {
            return None;
        }
        let first = self.seen.replace(modified).is_none();
        Some(match std::fs::read(&self.path) {
            Ok(bytes) => SecretTable::parse(&String::from_utf8_lossy(&bytes)),
            // Most servers have no such file and need none.
            Err(_) if first => (SecretTable::default(), Vec::new()),
            Err(_) => {
                let text = format!("get_secret : Unable to open '{}' for authentication", self.path);
                (SecretTable::default(), vec![text])
            }
        })
    }
}
