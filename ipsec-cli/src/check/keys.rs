//! Secrets: conns that none serves, records that contradict each other, files that others can read.
//!
//! No finding holds a part of a secret.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ipsec_conf::keywords::Side;
use ipsec_conf::{Conn, secrets};
use ipsec_types::Id;
use ipsec_types::auth::{PskRecord, Secret, SecretRecord};
use ipsec_types::conn::{EndSpec, HostSpec};

use super::conns::{file, identity};
use super::finding::{At, Finding};
use super::site::View;

/// Keys that stand in howtos and everybody knows.
const PUBLISHED: [&str; 14] = [
    "keysharedbyallclients",
    "your_ipsec_pre_shared_key",
    "your_ipsec_psk",
    "ipsec_pre_shared_key",
    "presharedkey",
    "pre-shared-key",
    "sharedsecret",
    "shared secret",
    "thisisapsk",
    "password",
    "12345678",
    "123456789",
    "vpnvpnvpn",
    "changeme",
];
/// Shortest key that is no guess, octets.
const SHORT: usize = 8;

/// Runs the rules.
pub(super) fn rules(view: &View<'_>, out: &mut Vec<Finding>) {
    let psks = secrets::psks(&view.site.secrets);
    let at = |r: &SecretRecord| At { file: view.site.shown(&r.file), line: r.line };
    if !view.site.secrets_file.exists()
        && let Some(conn) = view.loaded().next()
    {
        let name = view.site.shown(&view.site.secrets_file);
        let message = "is not there: no conn can prove who we are".to_string();
        out.push(Finding::error("secrets-missing", file(&name), message, "write it").see(view.conn(conn)));
    } else {
        for conn in view.loaded() {
            served(view, conn, &psks, out);
        }
    }
    records(view, &at, out);
    readable(view, out);
}

/// Whether a conn finds a key.
fn served(view: &View<'_>, conn: &Conn, psks: &[PskRecord], out: &mut Vec<Finding>) {
    let spec = &conn.spec;
    let public = spec.authby.rsasig || spec.authby.ecdsa;
    let has_private = view
        .site
        .secrets
        .iter()
        .any(|r| matches!(r.secret, Secret::Rsa(_) | Secret::KeyFile { .. } | Secret::Pin { .. }));
    if let Some(((side, ours), _)) = view.ends(conn).filter(|_| public) {
        certificate(view, conn, side, ours, out);
    }
    if public && has_private {
        return;
    }
    let psk = spec.authby.psk.then(|| has_psk(view, conn, psks));
    match (psk, public) {
        (Some(None | Some(true)), _) | (None, false) => {}
        (Some(Some(false)), _) => {
            let wanted = view.ends(conn).map(|(o, p)| {
                let name = |e: &EndSpec| match identity(view, e) {
                    Some(Id::None) | None => "%any".to_string(),
                    Some(id) => id.to_string(),
                };
                format!("{} {}", name(o.1), name(p.1))
            });
            let wanted = wanted.unwrap_or_else(|| "OURS PEER".into());
            let message = format!("no preshared key in ipsec.secrets serves conn \"{}\"", spec.name);
            let fix = format!("{wanted} : PSK \"...\" in {}", view.site.shown(&view.site.secrets_file));
            out.push(Finding::error("no-secret", view.word(conn, "authby", Side::Both), message, fix));
        }
        (None, true) => {
            let message = format!("conn \"{}\" wants a private key, and ipsec.secrets has none", spec.name);
            let fix = ": RSA FILE (a key in /etc/ipsec.d/private), or authby=secret for a preshared key";
            out.push(Finding::error("no-key", view.word(conn, "authby", Side::Both), message, fix));
        }
    }
}

/// Whether there is a preshared key; `None` when that cannot be told.
fn has_psk(view: &View<'_>, conn: &Conn, psks: &[PskRecord]) -> Option<bool> {
    let found = |ours: &EndSpec, peer: &EndSpec| {
        let me = identity(view, ours)?;
        // A name whose address is not known here may be any that stands in the file.
        let him = identity(view, peer).unwrap_or(Id::None);
        let known = identity(view, peer).is_some() || psks.iter().all(|r| r.ids.len() < 2);
        let any = !secrets::lookup(psks, &me, &him).is_empty();
        (any || known).then_some(any)
    };
    match view.ends(conn) {
        Some(((_, ours), (_, peer))) => found(ours, peer),
        None => {
            let (l, r) = (&conn.spec.left, &conn.spec.right);
            match (found(l, r), found(r, l)) {
                (Some(a), Some(b)) => Some(a || b),
                _ => None,
            }
        }
    }
}

/// The files of our certificate and key.
fn certificate(view: &View<'_>, conn: &Conn, side: Side, ours: &EndSpec, out: &mut Vec<Finding>) {
    let Some(cert) = &ours.cert else { return };
    let path = in_dir(view, "certs", Path::new(cert));
    // A nickname of an NSS database is no file.
    if !cert.contains('.') && !cert.contains('/') || view.site.below(&path).exists() {
        return;
    }
    let message = format!("conn \"{}\": {} is not there", conn.spec.name, path.display());
    let fix = format!("put the certificate there, or correct {}cert=", side.prefix());
    out.push(Finding::error("cert-missing", view.word(conn, "cert", side), message, fix));
}

fn in_dir(view: &View<'_>, dir: &str, name: &Path) -> PathBuf {
    let ipsecdir = view.site.config.setup.ipsecdir.clone().unwrap_or_else(|| "/etc/ipsec.d".into());
    ipsecdir.join(dir).join(name)
}

fn records(view: &View<'_>, at: &dyn Fn(&SecretRecord) -> At, out: &mut Vec<Finding>) {
    let mut seen: HashMap<Vec<String>, &SecretRecord> = HashMap::new();
    for record in &view.site.secrets {
        if let Secret::KeyFile { file, .. } = &record.secret {
            let path = in_dir(view, "private", file);
            let nickname = file.extension().is_none() && !file.is_absolute();
            if !nickname && !view.site.below(&path).exists() {
                let message = format!("the private key {} is not there", path.display());
                out.push(Finding::error(
                    "key-missing",
                    at(record),
                    message,
                    "put it there, or delete the record",
                ));
            }
        }
        let Secret::Psk(psk) = &record.secret else { continue };
        let text = psk.expose();
        let known = std::str::from_utf8(text).is_ok_and(|t| PUBLISHED.contains(&t.to_lowercase().as_str()));
        if known || text.len() < SHORT {
            let what = if known { "stands in published howtos" } else { "is shorter than 8 characters" };
            let message = format!("the preshared key {what}: anybody can guess it");
            let fix = "take a long random one: ipsec ranbits 256";
            out.push(Finding::warning("weak-secret", at(record), message, fix));
        }
        // Several for everybody are all tried; of several for one pair the first is taken.
        if record.ids.iter().all(|id| *id == Id::None) {
            continue;
        }
        let mut ids: Vec<String> = record.ids.iter().map(|id| format!("{id:?}")).collect();
        ids.sort();
        ids.dedup();
        let Some(first) = seen.get(&ids) else {
            seen.insert(ids, record);
            continue;
        };
        let same = matches!(&first.secret, Secret::Psk(p) if p == psk);
        let (message, fix) = match same {
            true => ("the same record stands there already", "delete one of them"),
            false => {
                ("another record has the same indices and another key", "delete the one that is not meant")
            }
        };
        let f = Finding::warning("duplicate-secret", at(record), message.into(), fix);
        out.push(f.see(at(first)));
    }
}

/// Files that every user of the machine can read.
fn readable(view: &View<'_>, out: &mut Vec<Finding>) {
    let mut all: Vec<PathBuf> = vec![view.site.secrets_file.clone()];
    all.extend(view.site.secrets.iter().map(|r| r.file.clone()));
    for record in &view.site.secrets {
        if let Secret::KeyFile { file, .. } = &record.secret {
            all.push(view.site.below(&in_dir(view, "private", file)));
        }
    }
    all.extend(l2tpd::ppp_secrets::FILES.map(|f| view.site.below(Path::new(f))));
    all.extend(view.site.l2tp.as_ref().map(|l| l.secrets.clone()));
    all.sort();
    all.dedup();
    for path in all {
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        let (mode, name) = (meta.mode(), view.site.shown(&path));
        let what = match (mode & 0o004 != 0, mode & 0o002 != 0) {
            (_, true) => "changed",
            (true, _) => "read",
            _ => continue,
        };
        let message = format!("can be {what} by every user of this machine (mode {:o})", mode & 0o777);
        out.push(Finding::error("secrets-readable", file(&name), message, format!("chmod 600 {name}")));
    }
}

/// Whether anybody may be the peer.
pub(super) fn is_any(end: &EndSpec) -> bool {
    end.host == HostSpec::Any
}
