//! Where things are: from the environment, from where this program lies, or the compiled-in places.

use std::env;
use std::path::{Path, PathBuf};

/// What of the system this run uses.
pub(crate) fn env_path(name: &str, default: &str) -> PathBuf {
    env::var_os(name).filter(|v| !v.is_empty()).map_or_else(|| PathBuf::from(default), PathBuf::from)
}

/// Directory of `ipsec.conf` and `ipsec.secrets`.
pub(crate) fn confs() -> PathBuf {
    env_path("IPSEC_CONFS", "/etc")
}

/// The configuration file.
pub(crate) fn config() -> PathBuf {
    confs().join("ipsec.conf")
}

/// The directory with keys, certificates and policy groups.
pub(crate) fn confddir() -> PathBuf {
    env::var_os("IPSEC_CONFDDIR")
        .filter(|v| !v.is_empty())
        .map_or_else(|| confs().join("ipsec.d"), PathBuf::from)
}

/// The directory with this program.
pub(crate) fn sbindir() -> PathBuf {
    let own = || env::current_exe().ok().and_then(|p| p.canonicalize().ok()?.parent().map(Path::to_path_buf));
    let given = env::var_os("IPSEC_SBINDIR").filter(|v| !v.is_empty()).map(PathBuf::from);
    given.or_else(own).unwrap_or_else(|| "/usr/sbin".into())
}

/// The directory with the sub-commands: `IPSEC_LIBDIR`, else beside this program when installed below another root, else
/// the usual place.
pub(crate) fn libdir() -> PathBuf {
    if let Some(dir) = env::var_os("IPSEC_LIBDIR").filter(|v| !v.is_empty()) {
        return dir.into();
    }
    let default = option_env!("IPSEC_LIBDIR").unwrap_or("/usr/lib/ipsec");
    if let Ok(exe) = env::current_exe() {
        // ROOT/usr/sbin/ipsec goes with ROOT/usr/lib/ipsec; started through a link there, the directory itself does.
        let beside = exe.parent().and_then(Path::parent).map(|p| p.join("lib/ipsec"));
        let own = exe.parent().filter(|p| p.ends_with("ipsec")).map(Path::to_path_buf);
        if let Some(dir) = beside.into_iter().chain(own).find(|d| d.join("pluto").is_file()) {
            return dir;
        }
    }
    default.into()
}

/// The directory with the sub-commands that are asked for first.
pub(crate) fn execdir() -> PathBuf {
    env::var_os("IPSEC_EXECDIR").filter(|v| !v.is_empty()).map_or_else(libdir, PathBuf::from)
}

/// The program of a sub-command, if there is one that is not this program.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let me = env::current_exe().ok()?.canonicalize().ok()?;
    [execdir(), libdir()].into_iter().map(|d| d.join(name)).find(|p| {
        use std::os::unix::fs::PermissionsExt;
        let runs = p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
        runs && p.canonicalize().is_ok_and(|real| real != me)
    })
}

/// `/run/pluto/pluto` unless `IPSEC_CTLBASE` says otherwise; `.ctl` and `.pid` are put behind it.
pub(crate) fn ctlbase() -> PathBuf {
    env_path("IPSEC_CTLBASE", ipsec_types::whack::CTL_PATH.trim_end_matches(".ctl"))
}

/// `base` with an ending.
pub(crate) fn with_ending(base: &Path, ending: &str) -> PathBuf {
    let mut s = base.as_os_str().to_os_string();
    s.push(ending);
    s.into()
}
