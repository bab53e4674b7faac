//! `ipsec whack`: options, in order, to one or more requests on the control socket.

use std::path::PathBuf;

use ipsec_conf::{net, source, values};
use ipsec_types::SecretBytes;
use ipsec_types::whack::{List, Request, Reread, Show};
use lexopt::{Arg, Parser, ValueExt};

use crate::whack_conn::Build;
use crate::{ctl, info, paths};

const HELP: &str = "Usage: all arguments are optional
general: whack [--help | --version] [--optionsfrom FILE] [--ctlbase BASE] [--label STRING] [--name NAME]
connection: whack --name NAME [--connalias A] [--ipv4 | --ipv6] [--tunnelipv4 | --tunnelipv6] [--psk] [--rsasig]
    [--encrypt] [--authenticate] [--compress] [--overlapip] [--tunnel] [--pfs] [--pfsgroup modpN] [--sha2_truncbug]
    [--aggrmode] [--disablearrivalcheck] [--initiateontraffic] [--pass | --drop | --reject]
    [--failnone | --failpass | --faildrop | --failreject] [--dontrekey] [--forceencaps]
    [--dpddelay S --dpdtimeout S] [--dpdaction A] [--firstmsgid N] [--modecfgpull] [--metric N] [--mtu N]
    [--ikelifetime S] [--ipseclifetime S] [--rekeymargin S] [--rekeyfuzz P] [--keyingtries N]
    [--ike ALGS] [--esp ALGS] [--remote_peer_type cisco] [--nm_configured] [--loopback] [--labeledipsec]
    [--policylabel L] [--modecfgdns1 IP] [--modecfgdns2 IP] [--modecfgwins1 IP] [--modecfgwins2 IP]
  end:  --host (IP | %any | %defaultroute | %opportunistic | %group | %opportunisticgroup) [--id ID] [--cert FILE]
    [--ca DN] [--groups G] [--ikeport N] [--nexthop (IP | %direct)] [--client (NET | vhost:L | vnet:L)]
    [--clientwithin NET] [--clientprotoport P/P] [--dnskeyondemand] [--srcip IP] [--updown CMD] [--tundev N]
    [--xauth | --xauthserver] [--xauthclient] [--xauthname NAME] [--modecfgserver] [--modecfgclient]
    [--sendcert (yes | always | no | never | ifasked)] [--certtype N]
  between the ends: --to
routing: whack --name NAME (--route | --unroute)
negotiation: whack --name NAME (--initiate | --terminate) [--asynchronous] [--xauthname NAME] [--xauthpass PW]
deletion: whack --name NAME --delete | --deletestate N | --crash PEER
keys: whack --keyid ID [--addkey] [--pubkeyrsa KEY] | --myid ID
listening: whack --listen | --unlisten
lists: whack [--utc] [--listpubkeys] [--checkpubkeys] [--listcerts] [--listcacerts] [--listacerts] [--listaacerts]
    [--listocspcerts] [--listgroups] [--listcrls] [--listocsp] [--listpsks] [--listevents] [--listpairs] [--listall]
reading again: whack [--rereadsecrets] [--rereadcacerts] [--rereadaacerts] [--rereadocspcerts] [--rereadacerts]
    [--rereadcrls] [--rereadall] [--purgeocsp]
state: whack --status | --briefstatus | --trafficstatus | --globalstatus | --connectionstatus | --showstates
    | --shuntstatus | --shutdown
debugging: whack [--name NAME] --debug-none | --debug-all | --debug-WORD ...";

/// Most option files inside each other.
const MAX_NESTING: usize = 10;

#[derive(Default)]
struct Whack {
    ctlbase: Option<PathBuf>,
    label: String,
    name: Option<String>,
    asynchronous: bool,
    utc: bool,
    xauth_user: Option<String>,
    xauth_password: Option<SecretBytes>,
    key: Option<(String, bool, Option<String>)>,
    debug: Vec<String>,
    actions: Vec<Action>,
    /// The conn options, if there is any.
    conn: Option<Box<Build>>,
    /// Printed and done.
    information: Option<String>,
}

enum Action {
    Named(fn(String) -> Request),
    Initiate,
    Plain(Request),
    Show(Show),
    List(List),
}

fn show(option: &str) -> Option<Show> {
    Some(match option {
        "briefstatus" => Show::Brief,
        "globalstatus" => Show::Global,
        "connectionstatus" => Show::Connections,
        "showstates" | "statestatus" => Show::States,
        "shuntstatus" => Show::Shunts,
        _ => return None,
    })
}

fn list(option: &str) -> Option<List> {
    Some(match option {
        "listpubkeys" => List::PublicKeys,
        "checkpubkeys" => List::CheckPublicKeys,
        "listcerts" => List::Certs,
        "listcacerts" => List::CaCerts,
        "listaacerts" => List::AaCerts,
        "listocspcerts" => List::OcspCerts,
        "listacerts" => List::ACerts,
        "listgroups" => List::Groups,
        "listcrls" => List::Crls,
        "listocsp" => List::Ocsp,
        "listpsks" => List::Psks,
        "listevents" => List::Events,
        "listpairs" | "listhostpairs" => List::Pairs,
        "listall" => List::All,
        _ => return None,
    })
}

fn reread(option: &str) -> Option<Reread> {
    Some(match option {
        "rereadall" => Reread::All,
        "rereadcacerts" | "rereadcerts" => Reread::CaCerts,
        "rereadaacerts" => Reread::AaCerts,
        "rereadocspcerts" => Reread::OcspCerts,
        "rereadacerts" => Reread::ACerts,
        "rereadcrls" | "fetchcrls" => Reread::Crls,
        "purgeocsp" => Reread::PurgeOcsp,
        _ => return None,
    })
}

/// Runs `whack`.
pub(crate) fn run(args: &[String]) -> i32 {
    let mut w = Whack::default();
    match w.parse(args, 0).and_then(|()| w.requests()) {
        Ok(requests) => {
            if let Some(text) = w.information {
                println!("{text}");
                return 0;
            }
            let base = w.ctlbase.unwrap_or_else(paths::ctlbase);
            let mut status = 0;
            for request in &requests {
                status = ctl::whack(&base, request, w.asynchronous);
                if status != 0 {
                    break;
                }
            }
            status
        }
        Err(message) => {
            let name = w.name.map(|n| format!("\"{n}\" ")).unwrap_or_default();
            eprintln!("whack error: {}{name}{message}", w.label);
            1
        }
    }
}

impl Whack {
    fn parse(&mut self, args: &[String], depth: usize) -> Result<(), String> {
        let mut parser = Parser::from_args(args);
        while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
            let option = match arg {
                Arg::Long(name) => name.to_string(),
                Arg::Short('h') => "help".into(),
                Arg::Short('v') => "version".into(),
                Arg::Value(v) => return Err(format!("unexpected argument \"{}\"", v.to_string_lossy())),
                Arg::Short(c) => return Err(format!("unrecognized option '-{c}'")),
            };
            self.option(&option, &mut parser, depth)?;
        }
        Ok(())
    }

    fn option(&mut self, option: &str, parser: &mut Parser, depth: usize) -> Result<(), String> {
        let mut value = || -> Result<String, String> {
            let v = parser.value().map_err(|e| e.to_string())?;
            v.string().map_err(|_| format!("the value of --{option} is not UTF-8"))
        };
        match option {
            "help" => self.information = Some(HELP.to_string()),
            "version" => self.information = Some(info::version_line()),
            "optionsfrom" => {
                if depth >= MAX_NESTING {
                    return Err("too many nested --optionsfrom".into());
                }
                let path = value()?;
                let words =
                    source::options(path.as_ref()).map_err(|why| format!("--optionsfrom {path}: {why}"))?;
                self.parse(&words, depth + 1)?;
            }
            "label" => self.label = format!("{} ", value()?),
            "ctlbase" => self.ctlbase = Some(value()?.into()),
            "name" => self.name = Some(value()?),
            "asynchronous" => self.asynchronous = true,
            "utc" => self.utc = true,
            // A conn's name of an end if one is being told, else what to answer the peer.
            "xauthname" if self.conn.is_some() => {
                return self.conn.get_or_insert_default().option(option, &mut value);
            }
            "xauthname" | "xauthuser" => self.xauth_user = Some(value()?),
            "xauthpass" => self.xauth_password = Some(SecretBytes::new(value()?.into_bytes())),
            "keyid" => self.key.get_or_insert_default().0 = value()?,
            "addkey" => self.key.get_or_insert_default().1 = true,
            "pubkeyrsa" => self.key.get_or_insert_default().2 = Some(value()?),
            "myid" => {
                let v = value()?;
                let id = v.parse().map_err(|e: ipsec_types::id::IdError| format!("--myid {v}: {}", e.0))?;
                self.actions.push(Action::Plain(Request::MyId(id)));
            }
            "crash" => {
                let v = value()?;
                let peer = net::address(&v).ok_or_else(|| format!("--crash {v}: does not look numeric"))?;
                self.actions.push(Action::Plain(Request::Crash { peer }));
            }
            "oppohere" | "oppothere" => {
                return Err(format!("--{option}: opportunistic negotiation is not supported"));
            }
            "whackrecord" | "whackstoprecord" => {
                return Err(format!("--{option}: requests are not recorded"));
            }
            word if word.starts_with("debug-") => self.debug.push(word["debug-".len()..].to_string()),
            // Faults on purpose, for the old daemon's own tests.
            word if word.starts_with("impair-") => {}
            "initiate" => self.actions.push(Action::Initiate),
            "terminate" => self.actions.push(Action::Named(|name| Request::Terminate { name })),
            "delete" => self.actions.push(Action::Named(|name| Request::Delete { name })),
            "route" => self.actions.push(Action::Named(|name| Request::Route { name })),
            "unroute" => self.actions.push(Action::Named(|name| Request::Unroute { name })),
            "deletestate" => {
                let serial = values::number(&value()?)?;
                self.actions.push(Action::Plain(Request::DeleteState { serial }));
            }
            "listen" => self.actions.push(Action::Plain(Request::Listen)),
            "unlisten" => self.actions.push(Action::Plain(Request::Unlisten)),
            "status" => self.actions.push(Action::Plain(Request::Status)),
            "trafficstatus" => self.actions.push(Action::Plain(Request::TrafficStatus)),
            "rereadsecrets" => self.actions.push(Action::Plain(Request::RereadSecrets)),
            "shutdown" => self.actions.push(Action::Plain(Request::Shutdown)),
            word if show(word).is_some() => self.actions.extend(show(word).map(Action::Show)),
            word if list(word).is_some() => self.actions.extend(list(word).map(Action::List)),
            word if reread(word).is_some() => {
                self.actions.extend(reread(word).map(|what| Action::Plain(Request::Reread(what))));
            }
            _ => return self.conn.get_or_insert_default().option(option, &mut value),
        }
        Ok(())
    }

    /// The requests the options ask for: the conn first, then the actions as given.
    fn requests(&mut self) -> Result<Vec<Request>, String> {
        if self.information.is_some() {
            return Ok(Vec::new());
        }
        let mut requests = Vec::new();
        let missing = "--name is required for this action";
        if let Some(build) = self.conn.take() {
            let name = self.name.clone().ok_or(missing)?;
            requests.push(Request::Add(Box::new(build.finish(name)?)));
        }
        if let Some((id, add, key)) = self.key.take() {
            let parsed =
                id.parse().map_err(|e: ipsec_types::id::IdError| format!("--keyid {id}: {}", e.0))?;
            let rsa = key
                .map(|k| public_key(&k).ok_or(format!("--pubkeyrsa {k}: expected 0s or 0x")))
                .transpose()?;
            requests.push(Request::PublicKey { id: parsed, add, rsa });
        }
        if !self.debug.is_empty() {
            let words = std::mem::take(&mut self.debug);
            requests.push(Request::Debug { name: self.name.clone(), words });
        }
        for action in self.actions.drain(..) {
            let name = || self.name.clone().ok_or(missing.to_string());
            requests.push(match action {
                Action::Plain(request) => request,
                Action::Named(make) => make(name()?),
                Action::Show(what) => Request::Show { what, name: self.name.clone(), json: false },
                Action::List(what) => Request::List { what, utc: self.utc },
                Action::Initiate if self.xauth_user.is_some() || self.xauth_password.is_some() => {
                    let (user, password) = (self.xauth_user.take(), self.xauth_password.take());
                    Request::InitiateAs { name: name()?, asynchronous: self.asynchronous, user, password }
                }
                Action::Initiate => Request::Initiate { name: name()?, asynchronous: self.asynchronous },
            });
        }
        match requests.is_empty() {
            true => Err("no action specified; try --help for hints".into()),
            false => Ok(requests),
        }
    }
}

/// A key as `0x` hexadecimal or `0s` base 64.
fn public_key(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("0x") {
        let digits: Vec<char> = hex.chars().filter(|c| *c != '_').collect();
        let octet = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
        return digits.chunks(2).map(octet).collect();
    }
    let mut out = Vec::new();
    let (mut bits, mut n) = (0u32, 0);
    for c in text.strip_prefix("0s")?.bytes().filter(|c| *c != b'=') {
        let v = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, n) = (bits << 6 | u32::from(v), n + 6);
        if n >= 8 {
            n -= 8;
            out.push((bits >> n & 0xff) as u8);
        }
    }
    Some(out)
}
