//! Tells the L2TP daemon which endpoints must not be spoken to in clear: a small file, one `ADDRESS PORT MASK` a line.

use std::io::Write;
use std::path::Path;

use ike::Protected;
use ipsec_types::kernel::MARK_MASK;

/// Replaces the file in one step; without endpoints it goes.
pub(crate) fn write(path: &Path, endpoints: &[Protected]) -> std::io::Result<()> {
    if endpoints.is_empty() {
        return match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    }
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    for p in endpoints {
        writeln!(file, "{} {} {MARK_MASK:#010x}", p.addr, p.port)?;
    }
    file.flush()?;
    std::fs::rename(&fresh, path)
}
