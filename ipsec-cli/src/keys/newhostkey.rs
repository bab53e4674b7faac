//! `ipsec newhostkey`: a new key for this host, as a record of `ipsec.secrets`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{hostname, now, rsasigkey};
use crate::{info, paths};

const ME: &str = "ipsec newhostkey";
const USAGE: &str = "Usage: ipsec newhostkey --output filename [--random device] [--bits n] [--quiet] [--hostname host] [--configdir nssdbdir] [--password password]
         or
       ipsec newhostkey --output - [--random device] [--bits n] [--quiet] [--verbose] [--hostname host] [--configdir nssdbdir] [--password password] >filename
         or
       ipsec newhostkey [--bits n]  (defaults to /etc/ipsec.secrets or /var/lib/openswan/ipsec.secrets.inc)";
/// Length of a key nobody asked a length for.
const BITS: &str = "3072";
/// Debian's file, which its `ipsec.secrets` includes.
const DEBIAN: &str = "/var/lib/openswan/ipsec.secrets.inc";

/// Runs `ipsec newhostkey`: 1 when there is nowhere to write to, 2 for an unknown option.
pub(crate) fn run(args: &[String]) -> i32 {
    let (mut bits, mut host, mut device, mut output) = (BITS.to_string(), None, None, None);
    let mut verbose = false;
    let mut args = args.iter().cloned();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quiet" => verbose = false,
            "--verbose" => verbose = true,
            "--version" => {
                println!("{ME} {}", info::version_code());
                return 0;
            }
            "--help" => {
                println!("{USAGE}");
                return 0;
            }
            "--bits" | "--hostname" | "--output" | "--random" | "--configdir" | "--password" => {
                let Some(value) = args.next() else {
                    eprintln!("{USAGE}");
                    return 2;
                };
                match arg.as_str() {
                    "--bits" => bits = value,
                    "--hostname" => host = Some(value),
                    "--output" => output = Some(value),
                    "--random" => device = Some(value),
                    // There is no NSS database here.
                    _ => {}
                }
            }
            _ if arg.starts_with('-') => {
                eprintln!("{ME}: unknown option `{arg}'");
                return 2;
            }
            _ => break,
        }
    }
    let output = match output.as_deref() {
        Some("-") => None,
        Some(file) => Some(PathBuf::from(file)),
        None => match usual_place() {
            Some(file) => Some(file),
            None => {
                eprintln!("{ME}: no --output specification included");
                return 1;
            }
        },
    };
    match write(output.as_deref(), &bits, host, device.as_deref(), verbose) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("{ME}: {why}");
            1
        }
    }
}

/// Where the key goes when nobody says: a file that is not there yet.
fn usual_place() -> Option<PathBuf> {
    let secrets = paths::confs().join("ipsec.secrets");
    if !secrets.exists() {
        return Some(secrets);
    }
    fs::metadata(DEBIAN).is_ok_and(|m| m.is_file() && m.len() == 0).then(|| DEBIAN.into())
}

fn write(
    output: Option<&Path>,
    bits: &str,
    host: Option<String>,
    device: Option<&str>,
    verbose: bool,
) -> Result<(), String> {
    let key = rsasigkey::make(rsasigkey::check(bits)?, device, verbose)?;
    let key = rsasigkey::text(&key, &host.unwrap_or_else(hostname), &now(false));
    let text = format!(": RSA\t{{\n{key}\t}}\n# do not change the indenting of that \"}}\"\n");
    let Some(file) = output else {
        print!("{text}");
        return Ok(());
    };
    let failed = |what: &Path| {
        let what = what.display().to_string();
        move |e: std::io::Error| format!("{what}: {e}")
    };
    let beside = |ending: &str| paths::with_ending(file, ending);
    let new = beside(".new");
    let mut options = OpenOptions::new();
    let mut out =
        options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed(&new))?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(failed(&new))?;
    if fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() > 0) {
        // As ever the file is replaced, whatever the manual said; what it held is not lost.
        let old = beside(".old");
        if verbose {
            eprintln!(
                "{ME}: WARNING: file `{}' exists, replacing it; it is kept as `{}'",
                file.display(),
                old.display()
            );
        }
        fs::rename(file, &old).map_err(failed(&old))?;
    }
    fs::rename(&new, file).map_err(failed(file))
}
