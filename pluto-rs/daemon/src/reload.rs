//! `SIGHUP` and the start with `--config`: `addconn --reload` reads the configuration and tells us over the control
//! socket what differs, as `ipsec setup reload` does. The daemon itself knows no conn of `ipsec.conf`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where `addconn` is: beside this program, in the library directory, or beside it in a build directory as `ipsec`.
fn program() -> (PathBuf, &'static [&'static str]) {
    let beside = std::env::current_exe().ok().and_then(|e| e.parent().map(Path::to_path_buf));
    let libdir = std::env::var_os("IPSEC_LIBDIR").map(PathBuf::from);
    for dir in [libdir, beside, Some("/usr/lib/ipsec".into())].into_iter().flatten() {
        for (name, first) in [("addconn", &[][..]), ("ipsec", &["addconn"][..])] {
            if dir.join(name).is_file() {
                return (dir.join(name), first);
            }
        }
    }
    ("ipsec".into(), &["addconn"])
}

/// Starts it and returns its name; what it has to say goes to our standard error. A thread waits for its end.
///
/// # Errors
/// Why it does not start.
pub(crate) fn start(ctlbase: &Path, config: Option<&Path>) -> io::Result<String> {
    let (program, first) = program();
    let mut child = Command::new(&program)
        .args(first)
        .args(config.into_iter().flat_map(|c| [OsStr::new("--config"), c.as_os_str()]))
        .args(["--reload", "--quiet", "--ctlbase"])
        .arg(ctlbase)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    std::thread::Builder::new().name("reload".into()).spawn(move || child.wait())?;
    Ok(program.display().to_string())
}
