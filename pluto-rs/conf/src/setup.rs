//! `config setup`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipsec_types::auth::{CryptoPolicy, StrictCrl};
use ipsec_types::whack::SetupSpec;

use crate::diag::{Diagnostic, Severity, enough, tell};
use crate::keywords::{self, Effect, Kind};
use crate::net;
use crate::parse::{Param, Section, SectionKind};
use crate::values;

/// What `config setup` says: the engine's part, and what the start of the daemon needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupSection {
    /// For the engine.
    pub engine: SetupSpec,
    /// `virtual_private=` as written, for `pluto`'s command line.
    pub virtual_private: String,
    /// `interfaces=`.
    pub interfaces: Vec<String>,
    /// `protostack=`; `auto` by default.
    pub protostack: String,
    /// `plutodebug=`, without `none`.
    pub plutodebug: Vec<String>,
    /// `plutoopts=`, split at blanks.
    pub plutoopts: Vec<String>,
    /// `plutostderrlog=`.
    pub plutostderrlog: Option<PathBuf>,
    /// `plutostderrlogtime=`.
    pub plutostderrlogtime: bool,
    /// `plutorestartoncrash=`.
    pub plutorestartoncrash: bool,
    /// `plutowait=`.
    pub plutowait: bool,
    /// `pluto=`: whether to start it at all.
    pub pluto: bool,
    /// `oe=`.
    pub oe: bool,
    /// `dumpdir=`.
    pub dumpdir: Option<PathBuf>,
    /// `listen=`: the only address to bind.
    pub listen: Option<IpAddr>,
    /// `ikeport=`.
    pub ikeport: u16,
    /// `nhelpers=`; `None` is the daemon's choice.
    pub nhelpers: Option<u32>,
    /// `myid=`.
    pub myid: Option<String>,
    /// `syslog=`, facility and priority.
    pub syslog: String,
    /// `prepluto=`.
    pub prepluto: Option<PathBuf>,
    /// `postpluto=`.
    pub postpluto: Option<PathBuf>,
    /// `secretsfile=`.
    pub secretsfile: Option<PathBuf>,
    /// `ipsecdir=`.
    pub ipsecdir: Option<PathBuf>,
    /// Every keyword that is set, canonical name and value (`yes` for `On`), in the order of the file.
    pub given: Vec<(&'static str, String)>,
}

impl Default for SetupSection {
    fn default() -> Self {
        SetupSection {
            engine: SetupSpec {
                nat_traversal: true,
                keep_alive: 20,
                uniqueids: true,
                ..SetupSpec::default()
            },
            virtual_private: String::new(),
            interfaces: vec!["%defaultroute".into()],
            protostack: "auto".into(),
            plutodebug: Vec::new(),
            plutoopts: Vec::new(),
            plutostderrlog: None,
            plutostderrlogtime: false,
            plutorestartoncrash: true,
            plutowait: false,
            pluto: true,
            oe: false,
            dumpdir: None,
            listen: None,
            ikeport: 500,
            nhelpers: None,
            myid: None,
            syslog: "daemon.error".into(),
            prepluto: None,
            postpluto: None,
            secretsfile: None,
            ipsecdir: None,
            given: Vec::new(),
        }
    }
}

/// Builds it from the first `config setup` among `sections`; nothing in it is fatal.
pub(crate) fn build(sections: &[Section], notes: &mut Vec<Diagnostic>) -> SetupSection {
    let mut setup = SetupSection::default();
    let mut seen = Vec::new();
    let mut all = sections.iter().filter(|s| s.kind == SectionKind::Setup);
    for param in all.next().into_iter().flat_map(|s| &s.params) {
        if param.value.is_empty() && !param.quoted {
            continue;
        }
        if let Err(d) = set(&mut setup, &mut seen, param, notes) {
            tell(notes, *d);
        }
    }
    for later in all.filter(|s| !s.params.is_empty()) {
        if let Some(first) = later.params.first() {
            let message = "only the first config setup counts; this one is not used";
            tell(notes, Diagnostic::new(Severity::Warning, first.place(), message));
        }
    }
    setup
}

/// Takes one line. `seen` are the keywords of those before it, whether their values were any good or not.
fn set(
    setup: &mut SetupSection,
    seen: &mut Vec<&'static str>,
    p: &Param,
    notes: &mut Vec<Diagnostic>,
) -> Result<(), Box<Diagnostic>> {
    let warn = |message: String| Box::new(Diagnostic::new(Severity::Warning, p.place(), message));
    let Some(found) = keywords::find(&p.key, true) else {
        if keywords::find(&p.key, false).is_some() {
            return Err(warn(format!("keyword '{}' is not valid in config setup; not used", p.key)));
        }
        let d = warn(format!("unknown keyword '{}' in config setup; not used", p.key));
        let near = if enough(notes) { None } else { keywords::nearest(&p.key, true) };
        return Err(match near {
            Some(near) => Box::new(d.with_help(format!("did you mean `{near}'?"))),
            None => d,
        });
    };
    let keyword = found.keyword;
    if seen.contains(&keyword.name) {
        return Err(warn(format!("duplicate key '{}' in config setup; the first one counts", p.key)));
    }
    seen.push(keyword.name);
    if let Effect::Ignored(why) | Effect::Differs(why) = keyword.effect {
        if !crate::merge::is_default(keyword, p) {
            let message = format!("{}= has no effect: {why}", p.key);
            tell(notes, Diagnostic::new(Severity::Note, p.place(), message));
        }
        return Ok(());
    }
    let bad = |why: &str| warn(format!("bad value {}={} [{why}]; using the default", p.key, p.value));
    let yes = || values::boolean(&p.value).ok_or_else(|| bad("expected yes or no"));
    let number = || values::number(&p.value).map_err(|why| bad(&why));
    let count = |most: u32| {
        let n = number()?;
        match (1..=most).contains(&n) {
            true => Ok(n as usize),
            false => Err(bad(&format!("expected a number from 1 to {most}"))),
        }
    };
    let path = || Some(PathBuf::from(&p.value)).filter(|_| !p.value.is_empty());
    let words = || p.value.split([' ', '\t', ',']).filter(|w| !w.is_empty()).map(str::to_string);
    match keyword.name {
        "interfaces" => setup.interfaces = words().collect(),
        "myid" => setup.myid = Some(p.value.clone()),
        "syslog" => setup.syslog = p.value.clone(),
        "plutodebug" => {
            setup.plutodebug = words()
                .flat_map(|w| w.split(':').map(str::to_string).collect::<Vec<_>>())
                .filter(|w| !w.eq_ignore_ascii_case("none") && !w.is_empty())
                .collect();
        }
        "plutoopts" => setup.plutoopts = p.value.split_whitespace().map(str::to_string).collect(),
        "plutostderrlog" => setup.plutostderrlog = path(),
        "plutostderrlogtime" => setup.plutostderrlogtime = yes()?,
        "plutorestartoncrash" => setup.plutorestartoncrash = yes()?,
        "dumpdir" => setup.dumpdir = path(),
        "pluto" => setup.pluto = !p.value.eq_ignore_ascii_case("no"),
        "plutowait" => setup.plutowait = yes()?,
        "oe" => {
            setup.oe = yes()?;
            setup.engine.opportunistic = setup.oe;
        }
        "crypto-policy" => {
            setup.engine.crypto_policy = match p.value.to_ascii_lowercase().as_str() {
                "modern" => CryptoPolicy::Modern,
                "compat" => CryptoPolicy::Compat,
                "legacy" => CryptoPolicy::Legacy,
                _ => return Err(bad("expected modern, compat or legacy")),
            };
        }
        "strictcrlpolicy" => {
            setup.engine.strict_crl = match p.value.to_ascii_lowercase().as_str() {
                "ifuri" => StrictCrl::IfUri,
                _ if yes()? => StrictCrl::Yes,
                _ => StrictCrl::No,
            };
        }
        "crlcheckinterval" => {
            setup.engine.crl_check_interval = values::time(&p.value).map_err(|why| bad(&why))?;
        }
        "pkcs11module" => {
            setup.engine.pkcs11_module = Some(p.value.clone()).filter(|v| !v.is_empty());
        }
        "nocrsend" => setup.engine.no_cr_send = yes()?,
        "prepluto" => setup.prepluto = path(),
        "postpluto" => setup.postpluto = path(),
        "uniqueids" => {
            // strongSwan's `never`, `keep` and `replace` besides.
            setup.engine.uniqueids = match p.value.to_ascii_lowercase().as_str() {
                "never" | "keep" => false,
                "replace" => true,
                _ => yes()?,
            };
        }
        "virtual_private" => {
            let (list, said) = net::virtual_private(&p.value);
            said.into_iter().for_each(|m| tell(notes, *warn(m)));
            setup.engine.virtual_private = list;
            setup.virtual_private = p.value.clone();
        }
        "nat_traversal" => setup.engine.nat_traversal = yes()?,
        "keep_alive" => setup.engine.keep_alive = number()?,
        "force_keepalive" => setup.engine.force_keepalive = yes()?,
        "listen" => {
            setup.listen = Some(net::address(&p.value).ok_or_else(|| bad("expected one address"))?);
        }
        "ikeport" => {
            setup.ikeport =
                number()?.try_into().ok().filter(|&n| n > 0).ok_or_else(|| bad("expected a port"))?;
        }
        "protostack" => setup.protostack = p.value.to_ascii_lowercase(),
        "max-halfopen-ike" => setup.engine.limits.half_open = count(1_000_000)?,
        "max-halfopen-per-peer" => setup.engine.limits.half_open_per_peer = count(1_000_000)?,
        "halfopen-timeout" => {
            let seconds = values::time(&p.value).map_err(|why| bad(&why))?;
            let life = Some(seconds).filter(|s| (1..=3600).contains(s));
            let life = life.ok_or_else(|| bad("expected a time from 1s to 1h"))?;
            setup.engine.limits.half_open_life = Duration::from_secs(life.into());
        }
        "max-quick-modes" => setup.engine.limits.exchanges = count(4096)?,
        "max-duplicates" => setup.engine.limits.duplicates = count(1000)? as u32,
        "max-malformed-notify" => setup.engine.limits.malformed = count(1000)? as u32,
        "max-payloads" => setup.engine.limits.payloads = count(256)?,
        "max-fragments" => setup.engine.limits.fragments = count(255)?,
        "max-fragment-octets" => setup.engine.limits.fragment_octets = count(65_536)?,
        "max-fragment-memory" => setup.engine.limits.fragment_octets_all = count(1 << 30)?,
        "nhelpers" => setup.nhelpers = if p.value == "-1" { None } else { Some(number()?) },
        "secretsfile" => setup.secretsfile = path(),
        "ipsecdir" => setup.ipsecdir = path(),
        _ => return Ok(()),
    }
    debug_assert!(keyword.kind != Kind::Append);
    setup.given.push((keyword.name, values::canonical(keyword.kind, &p.value)));
    Ok(())
}
