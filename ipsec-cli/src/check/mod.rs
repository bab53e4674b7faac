//! `ipsec check`: reads `ipsec.conf`, `ipsec.secrets`, `xl2tpd.conf`, the option files of pppd it names, `chap-secrets` and
//! `pap-secrets` together, and says where they contradict each other.
//!
//! ```text
//!   files ──► Site ──► rules (conns, keys, l2tp, private, ppp, users) ──► Findings ──► text, or JSON
//! ```
//! Asks no daemon and no name server but for names in the files; changes nothing. Each rule has a code, which stays; what
//! the files of another machine say (`--root`) is judged without looking at this one.

mod conns;
mod finding;
mod host;
mod keys;
mod l2tp;
mod options;
mod ppp;
mod private;
mod site;
mod users;

use std::path::PathBuf;

use ipnet::IpNet;
use lexopt::{Arg, ValueExt};
use serde_json::json;

use finding::{Finding, Level};
use host::HostView;
use site::{Given, Site};

const USAGE: &str = "Usage: ipsec check [--json] [--verbose] [--config file] [--l2tpconf file]\n\
    \x20       [--root dir [--address addr/bits]... [--defaultroute addr]]";
/// Exit status of a usage error.
const BAD_USAGE: i32 = 2;
/// Exit status when `ipsec.conf` cannot be read as a whole.
const BAD_CONFIG: i32 = 3;

#[derive(Default)]
struct Options {
    given: Given,
    addresses: Vec<IpNet>,
    route: Option<std::net::IpAddr>,
    json: bool,
    verbose: bool,
    help: bool,
}

fn options(args: &[String]) -> Result<Options, lexopt::Error> {
    let mut o = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("config") => o.given.config = Some(parser.value()?.into()),
            Arg::Long("l2tpconf") => o.given.l2tp = Some(PathBuf::from(parser.value()?)),
            Arg::Long("root" | "rootdir") => o.given.root = Some(parser.value()?.into()),
            Arg::Long("address") => o.addresses.push(parser.value()?.parse()?),
            Arg::Long("defaultroute") => o.route = Some(parser.value()?.parse()?),
            Arg::Long("json") => o.json = true,
            Arg::Long("verbose") => o.verbose = true,
            Arg::Long("help") => o.help = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(o)
}

/// Runs `ipsec check`.
pub(crate) fn run(args: &[String]) -> i32 {
    let o = match options(args) {
        Ok(o) => o,
        Err(e) => {
            eprintln!("ipsec check: {e}\n{USAGE}");
            return BAD_USAGE;
        }
    };
    if o.help {
        println!("{USAGE}");
        return 0;
    }
    let host = match (o.given.root.is_some(), o.addresses.is_empty()) {
        (true, true) => None,
        (false, true) => Some(HostView::this()),
        (_, false) => Some(HostView::given(o.addresses, o.route)),
    };
    let (site, mut findings) = Site::read(&o.given, host);
    let status = match &site {
        Some(site) => {
            rules(site, &mut findings);
            i32::from(findings.iter().any(|f| f.level == Level::Error))
        }
        None => BAD_CONFIG,
    };
    findings.retain(|f| o.verbose || f.level != Level::Note);
    finding::sort(&mut findings);
    let files = site.map(|s| s.files).unwrap_or_default();
    match o.json {
        true => {
            let list: Vec<_> = findings.iter().map(Finding::json).collect();
            println!("{}", json!({"ok": status == 0, "files": files, "findings": list}));
        }
        false => {
            findings.iter().for_each(|f| println!("{f}"));
            println!("{}", summary(&findings, files.len()));
        }
    }
    status
}

fn rules(site: &Site, out: &mut Vec<Finding>) {
    let view = site.view();
    conns::rules(&view, out);
    keys::rules(&view, out);
    l2tp::rules(&view, out);
    private::rules(&view, out);
    ppp::rules(&view, out);
    users::rules(&view, out);
}

fn summary(findings: &[Finding], files: usize) -> String {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let s = |n: usize| if n == 1 { "" } else { "s" };
    format!(
        "ipsec check: {errors} error{}, {warnings} warning{} in {files} file{}",
        s(errors),
        s(warnings),
        s(files)
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Words of the files, in no order.
    fn text(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        let word = prop_oneof![8 => prop::sample::select(words).prop_map(str::to_string), 1 => ".{0,8}"];
        prop::collection::vec(word, 0..30).prop_map(|w| w.concat())
    }

    const CONF: &[&str] = &[
        "config setup\n",
        "conn a\n",
        "conn b\n",
        "conn %default\n",
        "\tleft=",
        "\tright=",
        "\tleftsubnet=",
        "\trightsubnet=",
        "\tleftprotoport=",
        "\trightprotoport=",
        "\tauto=",
        "\tauthby=",
        "\ttype=",
        "\tmtu=",
        "\tleftcert=",
        "\tvirtual_private=",
        "\tleftaddresspool=",
        "%any",
        "%defaultroute",
        "%group",
        "192.0.2.1",
        "192.168.1.1",
        "10.0.0.0/8",
        "17/1701",
        "17/%any",
        "add",
        "start",
        "secret",
        "transport",
        "tunnel",
        "1500",
        "vhost:%priv",
        "%v4:10.0.0.0/8",
        "\n",
        "\n",
        "\n",
    ];
    const XL2TPD: &[&str] = &[
        "[global]\n",
        "[lns default]\n",
        "[lns a]\n",
        "[lac b]\n",
        "port = ",
        "listen-addr = ",
        "ip range = ",
        "local ip = ",
        "local ip range = ",
        "lac = ",
        "lns = ",
        "require chap = ",
        "require authentication = ",
        "name = ",
        "pppoptfile = /etc/ppp/options",
        "yes",
        "no",
        "1701",
        "10.0.0.1",
        "10.0.0.1-10.0.0.9",
        "255.255.255.255",
        "\n",
        "\n",
        "\n",
    ];
    const PPP: &[&str] = &[
        "auth",
        "noauth",
        "require-chap",
        "+mschap-v2",
        "mtu",
        "mru",
        "mppe",
        "noccp",
        "name",
        "file",
        "/etc/ppp/options",
        "1500",
        "\"",
        "\\",
        "#",
        " ",
        " ",
        "\n",
        "\n",
        "*",
        "alice",
        "vpn",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_files_can_be_checked(
            conf in text(CONF), secrets in text(&["@a ", ": ", "PSK ", "RSA ", "\"x\" ", "%any ", "192.0.2.1 ", "\n", "{ "]),
            xl2tpd in text(XL2TPD), options in text(PPP), chap in text(PPP),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let etc = dir.path().join("etc");
            for sub in ["ppp", "xl2tpd"] {
                fs::create_dir_all(etc.join(sub)).unwrap();
            }
            let conf = conf.replace("include", "x");
            for (file, text) in [
                ("ipsec.conf", &conf), ("ipsec.secrets", &secrets), ("xl2tpd/xl2tpd.conf", &xl2tpd),
                ("ppp/options", &options), ("ppp/chap-secrets", &chap),
            ] {
                fs::write(etc.join(file), text).unwrap();
            }
            let given = Given { root: Some(dir.path().into()), ..Given::default() };
            for host in [None, Some(HostView::given(vec!["192.168.1.1/24".parse().unwrap()], None))] {
                let (site, mut findings) = Site::read(&given, host);
                if let Some(site) = site {
                    rules(&site, &mut findings);
                }
                finding::sort(&mut findings);
                for f in &findings {
                    prop_assert!(!f.message.is_empty() && !f.to_string().contains(dir.path().to_str().unwrap()), "{f}");
                    prop_assert!(Path::new(&f.at.file).is_absolute(), "{f}");
                }
            }
        }
    }
}
