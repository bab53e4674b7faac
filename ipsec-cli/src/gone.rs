//! Commands whose work has gone elsewhere: `livetest`, `mailkey`, and those of the NSS database. Each says in a line what to
//! use instead.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use ipsec_crypto::rsa;
use ipsec_types::auth::Secret;

use crate::{info, paths, verify};

/// Folders with keys, and their modes.
const FOLDERS: [(&str, u32); 8] = [
    ("certs", 0o755),
    ("cacerts", 0o755),
    ("aacerts", 0o755),
    ("ocspcerts", 0o755),
    ("acerts", 0o755),
    ("crls", 0o755),
    ("policies", 0o755),
    ("private", 0o700),
];
/// Files of an NSS database.
const NSS: [&str; 5] = ["cert8.db", "key3.db", "cert9.db", "key4.db", "secmod.db"];

/// The programs of NSS, and others that are not part of this suite.
pub(crate) const POLITE: [(&str, &str); 9] = [
    ("certutil", "certificates are files in ipsec.d/certs and ipsec.d/cacerts; `openssl x509' shows one"),
    ("pk12util", "use `ipsec import FILE.p12'"),
    ("crlutil", "CRLs are files in ipsec.d/crls; `ipsec auto --rereadcrls' reads them"),
    ("modutil", "there are no NSS modules"),
    ("vfychain", "use `openssl verify -CAfile'"),
    ("cavp", "the ciphers are OpenSSL's, which has its own tests"),
    ("letsencrypt", "put the files of your ACME client into ipsec.d/certs and ipsec.d/private"),
    ("ecdsasigkey", "use `openssl genpkey -algorithm EC' for ipsec.d/private; raw keys are RSA only"),
    ("eddsasigkey", "IKEv1 has no such signature; use `ipsec rsasigkey'"),
];

/// Says what to use instead; the exit status is 1.
pub(crate) fn polite(command: &str) -> i32 {
    let advice = POLITE.iter().find(|p| p.0 == command).map_or("", |p| p.1);
    eprintln!("ipsec {command}: there is no NSS database here: {advice}");
    1
}

/// `ipsec initnss`, `ipsec checknss`: the folders that take the place of the database. 4 if not root, 42 if there is a database.
pub(crate) fn nss(command: &str, args: &[String]) -> i32 {
    if let Some(arg) = args.iter().find(|a| a.starts_with('-') && !a.starts_with("--nssdir")) {
        eprintln!("ipsec {command}: unknown option `{arg}'\nUsage: ipsec {command}");
        return 2;
    }
    if command == "initnss" && !nix::unistd::geteuid().is_root() {
        eprintln!("permission denied (must be superuser)");
        return 4;
    }
    let dir = paths::confddir();
    if command == "initnss" && NSS.iter().any(|f| dir.join(f).exists()) {
        println!("NSS database already initialised - aborted");
        println!("It is not used here; keys and certificates are files below {}", dir.display());
        return 42;
    }
    for (name, mode) in FOLDERS {
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(dir.join(name));
        if let Err(e) = made {
            eprintln!("ipsec {command}: {}: {e}", dir.join(name).display());
            return 1;
        }
    }
    println!("No database is needed: keys and certificates are files below {}", dir.display());
    0
}

const LIVETEST: &str = "usage:
  -v, --verbose          prints more connection info
  -r, --returnhelp       prints some suggestions to help fix warnings or failures
  -n, --nocolour         prints output without colour
  -b, --barfupload       uploads and analyzes your ipsec barf
  -i, --nointernets      will run commands that don't require internet
  -q, --quick            omits port tests
  -h, --help             prints this help";

/// `ipsec livetest`: what can be tested on this machine. The server it called is gone, which is 1.
pub(crate) fn livetest(args: &[String]) -> i32 {
    let is_one = |a: &str| {
        let long = ["--nocolour", "--verbose", "--returnhelp", "--barfupload", "--nointernets", "--quick"];
        let short = a.strip_prefix('-').filter(|s| !s.starts_with('-') && !s.is_empty());
        long.contains(&a) || short.is_some_and(|s| s.chars().all(|c| "nvrbiq".contains(c)))
    };
    if !args.iter().all(|a| is_one(a)) {
        println!("{LIVETEST}");
        return 2;
    }
    let has =
        |long: &str, short: char| args.iter().any(|a| a == long || !a.starts_with("--") && a.contains(short));
    if !has("--barfupload", 'b') {
        println!("Checking your system to see if IPsec will work:");
        let colour = has("--nocolour", 'n').then(|| "--nocolour".to_string());
        let status = verify::run(&colour.into_iter().collect::<Vec<_>>());
        if has("--nointernets", 'i') {
            return status;
        }
    }
    eprintln!(
        "ipsec livetest: the test server is gone, and nothing was sent to it; `ipsec ikeping' asks a peer of yours"
    );
    1
}

const MAILKEY: &str = "Usage:
        ipsec mailkey --me my@address.tld --forward hostname.domain.tld
        ipsec mailkey --me my@address.tld --reverse 1.2.3.4";

/// `ipsec mailkey`: the text of a letter that asks for a DNS record with our key. Nothing is sent, no name server asked.
pub(crate) fn mailkey(args: &[String]) -> i32 {
    let (mut me, mut forward, mut reverse) = (None, None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--me" => me = args.next(),
            "--forward" => (forward, reverse) = (args.next(), None),
            "--reverse" => (forward, reverse) = (None, args.next()),
            "--help" => break,
            "--" => break,
            _ if arg.starts_with('-') => {
                eprintln!("mailkey: unknown option `{arg}'");
                return 2;
            }
            _ => break,
        }
    }
    let (Some(me), Some(subject)) = (me, forward.or(reverse)) else {
        println!("{MAILKEY}");
        return 0;
    };
    // It becomes a part of a file name.
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let address = reverse.map(|r| r.parse::<Ipv4Addr>());
    if !subject.chars().all(is_name) || matches!(address, Some(Err(_))) {
        println!("{MAILKEY}");
        return 0;
    }
    let (records, _) = ipsec_conf::secrets::load_all(&paths::confs().join("ipsec.secrets"));
    let key = records.iter().find_map(|r| match &r.secret {
        Secret::Rsa(n) => Some(rsa::base64(&rsa::public_key(n.e.expose(), n.n.expose()))),
        _ => None,
    });
    let Some(key) = key else {
        println!(
            "Our attempt to retrieve your RSA key using 'ipsec showhostkey' failed: no RSA key in ipsec.secrets."
        );
        println!("If you have not generated your key yet, please run 'ipsec newhostkey'.");
        return 0;
    };
    let domain = match address {
        Some(Ok(ip)) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        _ => subject.clone(),
    };
    let gateway = if reverse.is_some() { subject.clone() } else { format!("@{subject}") };
    let pieces = key.as_bytes().chunks(240).map(|p| format!("\"{}\"", String::from_utf8_lossy(p)));
    let text = format!(
        "To the administrator of the domain \"{domain}\":\n\nplease publish this record for {subject}, with its blanks and quotation marks as they are:\n\n\
         --DNS_RESOURCE_RECORDS--\n\n{domain}.\tIN\tTXT\t\"X-IPsec-Server(10)={gateway} \" {}\n\n--DNS_RESOURCE_RECORDS--\n\n\
         It holds the public key that hosts use to encrypt what they send to {subject} (RFC 4322).\n\n\t{me}\n\t(written by 'ipsec mailkey {}')\n",
        pieces.collect::<Vec<_>>().join(" "),
        info::version_code()
    );
    let home = paths::env_path("HOME", "/root");
    let file = home.join(format!("OE_mail_{subject}"));
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
    match written.and_then(|mut f| f.write_all(text.as_bytes())) {
        Ok(()) => {
            println!(
                "ipsec mailkey: error: Unable to locate SOA record for this domain. Not generating executable file."
            );
            println!("Sample mail file saved to:  {}", file.display());
            0
        }
        Err(e) => {
            eprintln!("ipsec mailkey: {}: {e}", file.display());
            1
        }
    }
}
