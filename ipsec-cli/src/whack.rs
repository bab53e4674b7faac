//! `ipsec whack`: options, in order, to one or more requests on the control socket.

use std::path::PathBuf;

use ipsec_conf::{algs, net, source, values};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ConnSpec, ConnType, DpdAction, EndSpec, FailureShunt, HostSpec};
use ipsec_types::whack::Request;
use lexopt::{Arg, Parser, ValueExt};

use crate::{ctl, info, paths, resolve};

const HELP: &str = "Usage: all arguments are optional: whack [--help | --version] [--optionsfrom FILE] [--ctlbase BASE]
connection: whack --name NAME [--connalias A] [--psk | --rsasig] [--encrypt] [--tunnel | --pass | --drop | --reject]
    [--pfs] [--pfsgroup modpN] [--ike STR] [--esp STR] [--ikelifetime S] [--ipseclifetime S] [--rekeymargin S]
    [--rekeyfuzz P] [--keyingtries N] [--dontrekey] [--aggrmode] [--forceencaps] [--dpddelay S --dpdtimeout S]
    [--dpdaction A] [--failnone | --failpass | --faildrop | --failreject] [--metric N] [--mtu N]
    (--host IP | %any | %defaultroute) [--id ID] [--nexthop IP] [--client NET] [--clientprotoport P/P] [--srcip IP]
    [--updown CMD] --to (the same for the other end)
negotiation: whack --name NAME (--initiate [--asynchronous] | --terminate | --route | --unroute | --delete)
whole: whack --deletestate N | --listen | --unlisten | --status | --briefstatus | --trafficstatus
    | --rereadsecrets | --rereadall | --shutdown";

/// Most option files inside each other.
const MAX_NESTING: usize = 10;

#[derive(Default)]
struct Whack {
    ctlbase: Option<PathBuf>,
    label: String,
    name: Option<String>,
    asynchronous: bool,
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
}

/// A conn in the making.
struct Build {
    spec: ConnSpec,
    /// The end that options go to, and those before `--to`.
    end: EndSpec,
    first: Option<EndSpec>,
    tunnel: bool,
}

impl Default for Build {
    fn default() -> Self {
        let spec = ConnSpec { pfs: false, authby: AuthBy::NONE, ..ConnSpec::default() };
        Build { spec, end: EndSpec::default(), first: None, tunnel: false }
    }
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
                let words = words_of(&value()?, depth)?;
                self.parse(&words, depth + 1)?;
            }
            "label" => self.label = format!("{} ", value()?),
            "ctlbase" => self.ctlbase = Some(value()?.into()),
            "name" => self.name = Some(value()?),
            "asynchronous" => self.asynchronous = true,
            "utc" | "ipv4" | "tunnelipv4" | "authenticate" => {}
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
            "briefstatus" => self.actions.push(Action::Plain(Request::BriefStatus)),
            "trafficstatus" => self.actions.push(Action::Plain(Request::TrafficStatus)),
            "rereadsecrets" | "rereadall" => self.actions.push(Action::Plain(Request::RereadSecrets)),
            "shutdown" => self.actions.push(Action::Plain(Request::Shutdown)),
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
        for action in self.actions.drain(..) {
            let name = || self.name.clone().ok_or(missing.to_string());
            requests.push(match action {
                Action::Plain(request) => request,
                Action::Named(make) => make(name()?),
                Action::Initiate => Request::Initiate { name: name()?, asynchronous: self.asynchronous },
            });
        }
        match requests.is_empty() {
            true => Err("no action specified; try --help for hints".into()),
            false => Ok(requests),
        }
    }
}

impl Build {
    fn option(
        &mut self,
        option: &str,
        value: &mut dyn FnMut() -> Result<String, String>,
    ) -> Result<(), String> {
        let spec = &mut self.spec;
        let bad = |v: &str, why: &str| format!("--{option} {v}: {why}");
        match option {
            "connalias" => spec.aliases.push(value()?),
            "psk" => spec.authby.psk = true,
            "rsasig" => spec.authby.rsasig = true,
            "encrypt" => {}
            "tunnel" => self.tunnel = true,
            "pass" => spec.conn_type = ConnType::Passthrough,
            "drop" => spec.conn_type = ConnType::Drop,
            "reject" => spec.conn_type = ConnType::Reject,
            "pfs" => spec.pfs = true,
            "pfsgroup" => {
                let v = value()?;
                spec.pfs_group = Some(algs::group(&v).ok_or_else(|| bad(&v, "no such group"))?);
            }
            "ike" | "ikealg" => spec.ike = algs::ike(&value()?)?.suites,
            "esp" => {
                let esp = algs::esp(&value()?)?;
                (spec.esp, spec.pfs_group) = (esp.suites, esp.group.or(spec.pfs_group));
            }
            "ikelifetime" => spec.ike_lifetime = lifetime(&value()?, option)?,
            "ipseclifetime" => spec.sa_lifetime = lifetime(&value()?, option)?,
            "rekeymargin" | "rekeywindow" => spec.rekey_margin = values::time(&value()?)?,
            "rekeyfuzz" => spec.rekey_fuzz = values::percent(&value()?)?,
            "keyingtries" => spec.keyingtries = values::number(&value()?)?,
            "dontrekey" => spec.rekey = false,
            "aggrmode" => spec.aggressive = true,
            "forceencaps" => spec.force_encaps = true,
            "dpddelay" => spec.dpd_delay = values::time(&value()?)?,
            "dpdtimeout" => spec.dpd_timeout = values::time(&value()?)?,
            "dpdaction" => {
                let v = value()?;
                spec.dpd_action = match v.as_str() {
                    "clear" => DpdAction::Clear,
                    "hold" => DpdAction::Hold,
                    "restart" | "restart_by_peer" => DpdAction::Restart,
                    _ => return Err(bad(&v, "expected clear, hold or restart")),
                };
            }
            "failnone" => spec.failure_shunt = FailureShunt::None,
            "failpass" => spec.failure_shunt = FailureShunt::Passthrough,
            "faildrop" => spec.failure_shunt = FailureShunt::Drop,
            "failreject" => spec.failure_shunt = FailureShunt::Reject,
            "metric" => spec.metric = values::number(&value()?)?,
            "mtu" => spec.mtu = values::number(&value()?)?,
            "to" if self.first.is_some() => return Err("duplicated flag".into()),
            "to" => self.first = Some(std::mem::take(&mut self.end)),
            "host" => {
                let v = value()?;
                self.end.host = net::host(&v).map_err(|why| bad(&v, &why))?;
            }
            "id" => {
                let v = value()?;
                self.end.id = v.parse().map_err(|e: ipsec_types::id::IdError| bad(&v, &e.0))?;
            }
            "nexthop" => {
                let v = value()?;
                self.end.nexthop = match v.as_str() {
                    "%direct" => None,
                    v => Some(net::address(v).ok_or_else(|| bad(v, "does not look numeric"))?),
                };
            }
            "client" => {
                let v = value()?;
                self.end.client = net::client(&v).map_err(|why| bad(&v, &why))?;
            }
            "clientprotoport" => {
                let v = value()?;
                self.end.protoport = net::protoport(&v).map_err(|why| bad(&v, &why))?;
            }
            "srcip" => {
                let v = value()?;
                self.end.source_ip = Some(net::address(&v).ok_or_else(|| bad(&v, "does not look numeric"))?);
            }
            "updown" => self.end.updown = Some(value()?),
            _ => return Err(format!("unrecognized option '--{option}'")),
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, name: String) -> Result<ConnSpec, String> {
        let left = self.first.take().ok_or("connection missing --to, or an end")?;
        let mut spec = self.spec;
        (spec.name, spec.left, spec.right) = (name, left, self.end);
        if spec.left.host == HostSpec::Any && spec.right.host == HostSpec::Any {
            return Err("hosts cannot both be %any".into());
        }
        if spec.left.protoport.proto != spec.right.protoport.proto {
            return Err("the protocol for leftprotoport and rightprotoport must be the same".into());
        }
        if spec.aggressive && spec.ike.is_empty() {
            return Err("can not specify aggressive mode without ike= to set algorithm".into());
        }
        if spec.conn_type == ConnType::Tunnel && !self.tunnel {
            spec.conn_type = ConnType::Transport;
        }
        let route = resolve::default_route((None, None));
        let conn = ipsec_conf::Conn {
            spec,
            left: ipsec_conf::Pending::default(),
            right: ipsec_conf::Pending::default(),
            notes: Vec::new(),
        };
        resolve::conn(&conn, route.as_ref())
    }
}

fn lifetime(v: &str, option: &str) -> Result<u32, String> {
    match values::time(v)? {
        n @ 1..=86400 => Ok(n),
        _ => Err(format!("{option} {v} must be less than 86400 seconds")),
    }
}

/// The words of an option file: split at blanks and newlines, `"…"` and `'…'` keep blanks, `#` begins a comment.
fn words_of(path: &str, depth: usize) -> Result<Vec<String>, String> {
    if depth >= MAX_NESTING {
        return Err("too many nested --optionsfrom".into());
    }
    let text = source::read(path.as_ref()).map_err(|why| format!("--optionsfrom {path}: {why}"))?;
    let mut words = Vec::new();
    for line in source::lines(&text) {
        let mut rest = line.trim();
        while let Some(first) = rest.chars().next().filter(|c| *c != '#') {
            let (word, tail) = match first {
                '"' | '\'' => {
                    rest[1..].split_once(first).ok_or(format!("--optionsfrom {path}: unterminated string"))?
                }
                _ => rest.split_once([' ', '\t']).unwrap_or((rest, "")),
            };
            words.push(word.to_string());
            rest = tail.trim_start();
        }
    }
    Ok(words)
}
