//! `ipsec --version`, `--help` and the like.

use std::fs;

use crate::paths;

/// The release of Openswan whose interface this is, and our own.
const USERLAND: &str = concat!("2.6.52-cygnet", env!("CARGO_PKG_VERSION"));

/// Whether the running kernel has XFRM.
pub(crate) fn has_xfrm() -> bool {
    ["/proc/net/xfrm_stat", "/proc/sys/net/core/xfrm_larval_drop"].iter().any(|p| fs::metadata(p).is_ok())
}

/// `U2.6…/K6.1.0 (netkey)`, field 3 and 4 of the version line.
pub(crate) fn version_code() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    match has_xfrm() {
        true => format!("U{USERLAND}/K{} (netkey)", kernel.trim()),
        false => format!("U{USERLAND}/K(no kernel code presently loaded)"),
    }
}

/// The first line of `ipsec --version`.
pub(crate) fn version_line() -> String {
    format!("Linux Openswan {}", version_code())
}

/// The last line of `ipsec --version`: what this is. NetworkManager-l2tp looks for the word `Libreswan`, before 1.20.6 with a
/// space on both sides, to know whose options and commands it may use, and refuses where it finds only `Openswan`.
pub(crate) const STANDS_IN: &str =
    concat!("Cygnet ", env!("CARGO_PKG_VERSION"), ", in place of Openswan, Libreswan and xl2tpd");

/// `ipsec` without arguments.
pub(crate) const SHORT_USAGE: &str = "Usage: ipsec command argument ...
Use --help for a list of commands, or see ipsec(8) manual page
or the Cygnet documentation for names of the commands.
See also ipsec.conf(5), ipsec.secrets(5) and ipsec_auto(8).
Most commands need to be run as root.";

/// `ipsec --help`.
pub(crate) fn help(commands: &[&str]) -> String {
    let mut names: Vec<String> = commands.iter().map(|c| c.to_string()).collect();
    for dir in [paths::execdir(), paths::libdir()] {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        names.extend(entries.filter_map(|e| e.file_name().into_string().ok()));
    }
    names.retain(|n| !n.starts_with('_') && !n.ends_with(".old") && !n.ends_with('~') && n != "ipsec");
    names.sort();
    names.dedup();
    let mut text = String::from("Usage: ipsec command argument ...\nwhere command is one of:\n");
    for name in names {
        text.push_str(&format!("\t{name}\n"));
    }
    text.push_str("\nMost commands have a manual page: see ipsec_auto(8) for ipsec auto.\n");
    text.push_str("See also ipsec(8), ipsec.conf(5), ipsec.secrets(5).");
    text
}

/// `ipsec --copyright`.
pub(crate) const COPYRIGHT: &str = "Cygnet is free software under the MIT licence; see the file LICENSE.\n\
    It serves the interface of Openswan and shares no code with it.";

/// `ipsec fipsstatus`, in libreswan's words.
pub(crate) fn fips_status() -> i32 {
    let on = fs::read_to_string("/proc/sys/crypto/fips_enabled").is_ok_and(|t| t.trim() == "1");
    println!("000 FIPS mode {}", if on { "enabled" } else { "disabled" });
    0
}
