//! `ipsec import`: a PKCS#12 container as files of `ipsec.d`: the key in `private`, its certificate in `certs`, the others in
//! `cacerts`. Nothing that is there is overwritten.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ipsec_conf::source;
use ipsec_crypto::key::{Container, open_pkcs12};
use ipsec_crypto::rsa;
use ipsec_types::SecretBytes;

use crate::{paths, prompt};

const ME: &str = "ipsec import";
const USAGE: &str = "Usage: ipsec import [--password password] [--name name] file.p12 ...";

/// Runs `ipsec import`: 1 if a file cannot be imported, 2 for nonsense.
pub(crate) fn run(args: &[String]) -> i32 {
    let (mut password, mut name, mut files) = (None, None, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" => {
                println!("{USAGE}");
                return 0;
            }
            "--password" | "--name" | "--nssdir" => {
                let Some(value) = args.next() else {
                    eprintln!("{USAGE}");
                    return 2;
                };
                match arg.as_str() {
                    "--password" => password = Some(SecretBytes::from(value.as_bytes())),
                    "--name" => name = Some(value.clone()),
                    _ => {}
                }
            }
            _ if arg.starts_with('-') => {
                eprintln!("{ME}: unknown option `{arg}'\n{USAGE}");
                return 2;
            }
            _ => files.push(Path::new(arg)),
        }
    }
    if files.is_empty() || name.is_some() && files.len() > 1 {
        eprintln!("{USAGE}");
        return 2;
    }
    let mut status = 0;
    for file in files {
        let done = open(file, password.as_ref())
            .and_then(|container| lay_down(&container, &name_of(file, name.as_deref())?, &paths::confddir()));
        match done {
            Ok(written) => written.iter().for_each(|line| println!("{line}")),
            Err(why) => {
                eprintln!("{ME}: {}: {why}", file.display());
                status = 1;
            }
        }
    }
    status
}

/// What the files are called: letters that need no quotes anywhere.
fn name_of(file: &Path, given: Option<&str>) -> Result<String, String> {
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned());
    let name = given.map(str::to_string).or(stem).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    match name.trim_start_matches('.') {
        "" => Err("no name for its files: use --name".into()),
        name => Ok(name.to_string()),
    }
}

/// Opens the container: with no passphrase, with the one that is given, or with one that is asked for.
fn open(file: &Path, password: Option<&SecretBytes>) -> Result<Container, String> {
    let data = source::read_binary(file)?;
    let plain = open_pkcs12(&data, password);
    match (plain, password) {
        (Ok(container), _) => Ok(container),
        (Err(why), Some(_)) => Err(why.to_string()),
        (Err(_), None) => {
            let asked = prompt::secret(&format!("Enter password for PKCS12 file {}: ", file.display()));
            open_pkcs12(&data, Some(&asked)).map_err(|e| e.to_string())
        }
    }
}

/// Writes the files; the lines tell which, and what `ipsec.secrets` needs.
fn lay_down(container: &Container, name: &str, dir: &Path) -> Result<Vec<String>, String> {
    let key = container.key.to_pem().map_err(|e| e.to_string())?;
    let mut files: Vec<(PathBuf, Vec<u8>, u32)> =
        vec![(PathBuf::from("private").join(format!("{name}.key")), key.expose().to_vec(), 0o600)];
    if let Some(cert) = &container.cert {
        files.push((PathBuf::from("certs").join(format!("{name}.pem")), pem(cert), 0o644));
    }
    for (n, other) in container.others.iter().enumerate() {
        let number = if n == 0 { String::new() } else { (n + 1).to_string() };
        files.push((PathBuf::from("cacerts").join(format!("{name}-ca{number}.pem")), pem(other), 0o644));
    }
    if let Some((there, ..)) = files.iter().find(|f| dir.join(&f.0).exists()) {
        return Err(format!("{} is there already: remove it, or use --name", dir.join(there).display()));
    }
    let mut lines = Vec::new();
    for (file, text, mode) in files {
        let path = dir.join(&file);
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        if let Some(parent) = path.parent() {
            let folder = if file.starts_with("private") { 0o700 } else { 0o755 };
            DirBuilder::new().recursive(true).mode(folder).create(parent).map_err(failed)?;
        }
        let mut out =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(failed)?;
        out.write_all(&text).map_err(failed)?;
        lines.push(path.display().to_string());
    }
    let kind = if matches!(container.key, ipsec_crypto::PrivateKey::Ec(_)) { "ECDSA" } else { "RSA" };
    lines.push(format!("for ipsec.secrets:  : {kind} {name}.key"));
    if container.cert.is_some() {
        lines.push(format!("for ipsec.conf:  leftcert={name}.pem"));
    }
    Ok(lines)
}

/// A certificate as PEM (RFC 7468).
fn pem(der: &[u8]) -> Vec<u8> {
    let base64 = rsa::base64(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes() {
        assert_eq!(name_of(Path::new("/x/Jo's key.p12"), None).unwrap(), "Jo_s_key");
        assert_eq!(name_of(Path::new("x.p12"), Some("../../etc/passwd")).unwrap(), "_.._etc_passwd");
        assert!(name_of(Path::new(".."), Some("..")).is_err());
    }
}
