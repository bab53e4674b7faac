//! The machine that is looked at: its files below a root directory. Reads only; changes nothing and runs nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A machine, or a directory laid out like one.
pub(crate) struct Host {
    root: PathBuf,
}

impl Host {
    /// The machine whose files lie below `root`; `/` is this one.
    pub(crate) fn new(root: &Path) -> Host {
        Host { root: root.into() }
    }

    /// `path` (absolute) below the root.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without blanks at its ends.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok().map(|s| s.trim().to_string())
    }

    /// Whether something is there.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Whether a program is in a directory of `PATH`, or where system programs usually are.
    pub(crate) fn program(&self, name: &str) -> bool {
        let path = std::env::var("PATH").unwrap_or_default();
        let usual = ["/sbin", "/usr/sbin", "/usr/local/sbin"];
        path.split(':').chain(usual).filter(|d| d.starts_with('/')).any(|d| {
            let found = self.path(d).join(name);
            found.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
    }

    /// Whether the kernel has a piece: a module that is loaded, built in or can be loaded; else a function of it, as a kernel
    /// that has everything built in may come without a list of what is.
    pub(crate) fn kernel_has(&self, module: &str, symbol: &str) -> bool {
        let loaded = |line: &str| line.split_whitespace().next() == Some(module);
        if self.path("/sys/module").join(module).exists()
            || self.read("/proc/modules").is_some_and(|p| p.lines().any(loaded))
        {
            return true;
        }
        let release = self.read("/proc/sys/kernel/osrelease").unwrap_or_default();
        let listed = ["modules.builtin", "modules.dep"].iter().any(|list| {
            let text = self.read(&format!("/lib/modules/{release}/{list}")).unwrap_or_default();
            let file = |line: &str| line.split(':').next()?.rsplit('/').next().map(str::to_string);
            text.lines()
                .filter_map(file)
                .any(|f| f.split('.').next().is_some_and(|m| m.replace('-', "_") == module))
        });
        let has = |line: &str| line.split_whitespace().nth(2) == Some(symbol);
        listed || self.read("/proc/kallsyms").is_some_and(|k| k.lines().any(has))
    }

    /// The value of `/proc/sys/net/ipv4/conf/*/WORD` of each interface but loopback, `all` and `default` among them.
    pub(crate) fn per_interface(&self, word: &str) -> Vec<(String, String)> {
        let names = self.names("/proc/sys/net/ipv4/conf").into_iter().filter(|n| n != "lo");
        names
            .filter_map(|n| self.read(&format!("/proc/sys/net/ipv4/conf/{n}/{word}")).map(|value| (n, value)))
            .collect()
    }

    /// The interfaces but loopback.
    pub(crate) fn interfaces(&self) -> Vec<String> {
        let devices = self.read("/proc/net/dev").unwrap_or_default();
        let name = |line: &str| line.split_once(':').map(|(n, _)| n.trim().to_string());
        devices.lines().filter_map(name).filter(|n| n != "lo").collect()
    }

    /// Name (as `/proc/PID/comm` has it) and number of each process.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        let numbers = self.names("/proc").into_iter().filter_map(|n| n.parse::<u32>().ok());
        numbers.filter_map(|pid| Some((self.read(&format!("/proc/{pid}/comm"))?, pid))).collect()
    }
}
