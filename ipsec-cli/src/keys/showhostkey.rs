//! `ipsec showhostkey`: the public key of this host in every form there was, read from `ipsec.secrets`.

use std::path::{Path, PathBuf};

use ipsec_crypto::key::open_pkcs12;
use ipsec_crypto::rsa_key::RsaPublic;
use ipsec_crypto::{PrivateKey, PublicKey, hash, rsa};
use ipsec_types::Id;
use ipsec_types::algo::HashAlg;
use ipsec_types::auth::{KeyFileKind, Passphrase, Secret, SecretRecord};

use super::hostname;
use crate::{info, paths};

const ME: &str = "ipsec showhostkey";
const USAGE: &str = "Usage: ipsec showhostkey [--ipseckey] | [--left ] | [--right ]
                         [--key] | [--txt gateway] | [--ckaid]
                         [--precedence <precedence> ] [--gateway <gateway>]
                         [--dump ] [--list ] [--json]
                         [--dhclient ] [--file secretfile ]
                         [--keynum count ] [--id identity ]
                         [--rsaid keyid ] [--verbose] [--version]
                         [--secretroot pathname]";
/// Characters in one string of a DNS record.
const STRING: usize = 240;

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Side(&'static str),
    Dump,
    List,
    IpsecKey,
    Key,
    Txt,
    Dhclient,
    Ckaid,
}

#[derive(Debug, Default)]
struct Options {
    forms: Vec<Form>,
    gateway: Option<String>,
    precedence: u8,
    file: Option<PathBuf>,
    number: Option<usize>,
    id: Option<String>,
    rsaid: Option<String>,
    root: Option<PathBuf>,
    verbose: bool,
    json: bool,
}

/// The public part of a key.
struct HostKey(RsaPublic);

impl HostKey {
    fn base64(&self) -> String {
        rsa::base64(&self.0.to_rfc3110())
    }

    /// SHA1 of the modulus, as NSS names keys.
    fn ckaid(&self) -> String {
        let sum = hash(HashAlg::Sha1, &[self.0.modulus()]).unwrap_or_default();
        sum.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Runs `ipsec showhostkey`: 1 for nonsense, 4 a bad `--id`, 5 no key of that name, 20 no key at all.
pub(crate) fn run(args: &[String]) -> i32 {
    if args.iter().any(|a| a == "--version") {
        println!("{}", info::version_line());
        return 0;
    }
    let o = match parse(args) {
        Ok(o) => o,
        Err((why, status)) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            if status == 1 {
                eprintln!("{USAGE}");
            }
            return status;
        }
    };
    let file = o.file.clone().unwrap_or_else(|| paths::confs().join("ipsec.secrets"));
    let file = match &o.root {
        Some(root) => root.join(file.strip_prefix("/").unwrap_or(&file)),
        None => file,
    };
    let (records, said) = ipsec_conf::secrets::load_all(&file);
    for d in said.iter().filter(|d| o.verbose || d.severity == ipsec_conf::Severity::Error) {
        eprintln!("{}", d.short());
    }
    match o.forms.first() {
        Some(Form::List | Form::Dump) => {
            list(&records, o.forms.contains(&Form::Dump), o.json);
            0
        }
        Some(form) => show(*form, &o, &records),
        None => 1,
    }
}

fn parse(args: &[String]) -> Result<Options, (String, i32)> {
    let mut o = Options { precedence: 10, ..Options::default() };
    let mut args = args.iter().cloned().peekable();
    while let Some(arg) = args.next() {
        let (name, glued) = match arg.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (arg.clone(), None),
        };
        let missing = || (format!("{ME}: option `{name}' requires an argument"), 1);
        let mut value = || glued.clone().or_else(|| args.next()).ok_or_else(missing);
        match name.as_str() {
            "--left" => o.forms.push(Form::Side("left")),
            "--right" => o.forms.push(Form::Side("right")),
            "--dump" => o.forms.push(Form::Dump),
            "--list" => o.forms.push(Form::List),
            "--ipseckey" => o.forms.push(Form::IpsecKey),
            "--key" => o.forms.push(Form::Key),
            "--dhclient" => o.forms.push(Form::Dhclient),
            "--ckaid" => o.forms.push(Form::Ckaid),
            "--txt" => {
                o.gateway = Some(value()?);
                o.forms.push(Form::Txt);
            }
            "--gateway" => {
                o.gateway = Some(value()?);
                if o.forms.is_empty() {
                    o.forms.push(Form::IpsecKey);
                }
            }
            "--precedence" => {
                let wrong = |_| ("precedence must be between 0 and 255".to_string(), 5);
                o.precedence = value()?.parse().map_err(wrong)?;
            }
            "--file" => o.file = Some(value()?.into()),
            "--secretroot" => o.root = Some(value()?.into()),
            "--keynum" => o.number = Some(value()?.parse().map_err(|_| missing())?),
            "--id" => o.id = Some(value()?),
            "--rsaid" => o.rsaid = Some(value()?),
            "--verbose" => o.verbose = true,
            "--json" => o.json = true,
            _ => return Err((String::new(), 1)),
        }
    }
    o.forms.dedup();
    match o.forms.len() {
        0 => Err(("You must specify some operation".into(), 1)),
        1 => Ok(o),
        _ => Err(("You must specify only one operation".into(), 1)),
    }
}

/// The RSA keys, those in files of `ipsec.d/private` among them. Nobody is asked for a passphrase.
fn keys(records: &[SecretRecord]) -> impl Iterator<Item = (&SecretRecord, HostKey)> {
    records.iter().filter_map(|r| {
        let public = match &r.secret {
            Secret::Rsa(n) => RsaPublic::new(n.n.expose(), n.e.expose()).ok()?,
            Secret::KeyFile { file, kind, passphrase } => match in_file(file, *kind, passphrase)?.public() {
                PublicKey::Rsa(public) => public,
                PublicKey::Ec(_) => return None,
            },
            _ => return None,
        };
        Some((r, HostKey(public)))
    })
}

fn in_file(file: &Path, kind: KeyFileKind, passphrase: &Passphrase) -> Option<PrivateKey> {
    let data = ipsec_conf::source::read_binary(&paths::confddir().join("private").join(file)).ok()?;
    let passphrase = match passphrase {
        Passphrase::None => None,
        Passphrase::Text(text) => Some(text),
        Passphrase::Prompt => return None,
    };
    match kind {
        KeyFileKind::Pkcs12 => open_pkcs12(&data, passphrase).map(|c| c.key).ok(),
        KeyFileKind::Rsa | KeyFileKind::Ecdsa | KeyFileKind::Any => {
            PrivateKey::from_file(&data, passphrase).ok()
        }
    }
}

fn show(form: Form, o: &Options, records: &[SecretRecord]) -> i32 {
    let mut all = keys(records);
    let found = if let Some(wanted) = &o.rsaid {
        println!("; picking by rsakeyid={wanted}");
        all.find(|(_, k)| k.0.keyid() == *wanted || k.ckaid() == *wanted)
    } else if let Some(wanted) = &o.id {
        println!("; picking by keyid={wanted}");
        let Ok(id) = ipsec_conf::net::identity(wanted) else {
            println!("{ME}: key '{wanted}' is invalid");
            return 4;
        };
        let found = all.find(|(r, _)| r.ids.contains(&id));
        if found.is_none() {
            println!("{ME}: can not find key: {wanted} ({id})");
            return 5;
        }
        found
    } else {
        all.nth(o.number.unwrap_or(1).saturating_sub(1))
    };
    let Some((_, key)) = found else {
        println!("No keys found");
        return 20;
    };
    match form {
        Form::Side(side) => {
            println!("\t# rsakey {}\n\t{side}rsasigkey=0s{}", key.0.keyid(), key.base64());
        }
        Form::IpsecKey => {
            let kind = match o.gateway.as_deref().map(str::parse::<std::net::IpAddr>) {
                None => 0,
                Some(Ok(ip)) if ip.is_ipv4() => 1,
                Some(Ok(_)) => 2,
                Some(Err(_)) => {
                    println!(
                        "{ME}: unknown address family for gateway {}",
                        o.gateway.as_deref().unwrap_or_default()
                    );
                    return 5;
                }
            };
            let gateway = o.gateway.as_deref().unwrap_or(".");
            let (host, n) = (hostname(), o.precedence);
            println!("{host}.    IN    IPSECKEY  {n} {kind} 2 {gateway} {}", strings(&key.base64()));
        }
        Form::Key => {
            println!("; RSA {} bits   {}", key.0.bits(), hostname());
            println!("{}.\tIN\tKEY\t0x4200 4 1 {}", hostname(), key.base64());
        }
        Form::Txt => {
            println!("; info about key: {}", key.0.keyid());
            let (host, n) = (hostname(), o.precedence);
            let gateway = o.gateway.as_deref().unwrap_or_default();
            println!("{host}.\tIN\tTXT\t\"X-IPsec-Server({n})={gateway} \" {}", strings(&key.base64()));
        }
        Form::Dhclient => {
            println!("option oe-key code 159 = string;\noption oe-gateway code 160 = ip-address;");
            println!("send oe-key \"{}\";", key.base64());
        }
        Form::Ckaid => println!("{}", key.ckaid()),
        Form::List | Form::Dump => {}
    }
    0
}

/// Text as the strings of a DNS record.
fn strings(text: &str) -> String {
    let pieces = text.as_bytes().chunks(STRING).map(String::from_utf8_lossy);
    pieces.map(|p| format!("\"{p}\" ")).collect::<String>().trim_end().to_string()
}

/// Every record, a line for each of its indices.
fn list(records: &[SecretRecord], disclose: bool, json: bool) {
    let mut objects = Vec::new();
    for r in records {
        let key = keys(std::slice::from_ref(r)).next().map(|(_, k)| (k.0.keyid(), k.ckaid()));
        let name = |id: &Id| if *id == Id::None { "%any".to_string() } else { id.to_string() };
        let mut ids: Vec<String> = r.ids.iter().map(name).collect();
        if ids.is_empty() {
            ids.push("%any".into());
        }
        if json {
            let kind = match &r.secret {
                Secret::Psk(_) => "PSK",
                Secret::Rsa(_) => "RSA",
                Secret::Xauth(_) => "XAUTH",
                Secret::KeyFile { .. } => "file",
                Secret::Pin { .. } => "PIN",
                Secret::Other(word) => word,
            };
            let (keyid, ckaid) = key.map_or((None, None), |(k, c)| (Some(k), Some(c)));
            objects.push(serde_json::json!({"file": r.file, "line": r.line, "kind": kind, "ids": ids,
                "keyid": keyid, "ckaid": ckaid}));
            continue;
        }
        for (n, id) in ids.iter().enumerate() {
            let (line, count) = (r.line, n + 1);
            match &r.secret {
                Secret::Psk(_) => println!("{line}({count}): PSK keyid: {id}"),
                Secret::Xauth(_) => println!("{line}({count}): XAUTH keyid: {id}"),
                Secret::Rsa(_) => {
                    let keyid = key.as_ref().map_or("", |k| &k.0);
                    println!("{line}({count}): RSA keyid: {keyid} with id: {id}");
                }
                Secret::KeyFile { file, .. } => {
                    let keyid = key.as_ref().map_or("not readable", |k| &k.0);
                    println!("{line}({count}): RSA keyid: {keyid} with id: {id} in {}", file.display());
                }
                Secret::Pin { .. } => {
                    println!("{line}:({count}) PIN key-type not yet supported for id: {id}")
                }
                Secret::Other(word) => println!("{line}({count}): {word} keyid: {id}"),
            }
            if let (true, Secret::Psk(s) | Secret::Xauth(s)) = (disclose, &r.secret) {
                let word = if matches!(r.secret, Secret::Psk(_)) { "psk" } else { "xauth" };
                let hex: String = s.expose().iter().map(|b| format!("{b:02x}")).collect();
                println!("    {word}: \"0x{hex}\"");
            }
        }
    }
    if json {
        println!("{}", serde_json::Value::from(objects));
    }
}
