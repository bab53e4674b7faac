//! A `conn` from merged keywords to [`ConnSpec`].

use ipnet::IpNet;
use ipsec_types::Id;
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{Auto, ClientSpec, ConnSpec, ConnType, DpdAction, EndSpec, FailureShunt, HostSpec};

use crate::diag::{Diagnostic, Place, Severity};
use crate::keywords::{self, Effect, Kind, Side};
use crate::merge::Merged;
use crate::parse::Param;
use crate::{algs, net, values};

/// What of an end needs this machine or a name server before the conn can be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// `leftid=` is a host name: the identity is its address.
    pub id_name: Option<String>,
    /// `leftnexthop=%defaultroute`, said or implied by `left=%defaultroute`.
    pub nexthop_default: bool,
}

/// A conn that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conn {
    /// What it says.
    pub spec: ConnSpec,
    /// Left over for the one who adds it.
    pub left: Pending,
    /// The same for right.
    pub right: Pending,
    /// Notes and warnings.
    pub notes: Vec<Diagnostic>,
}

/// A conn that cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnError {
    /// Its name.
    pub name: String,
    /// Its `auto=`, as far as it can be told.
    pub auto: Auto,
    /// Why; at least one is an error.
    pub diagnostics: Vec<Diagnostic>,
}

/// Longest lifetime, in seconds.
const MAX_LIFETIME: u32 = 86400;

/// Builds the conns of one section: one, or with `leftsubnets=` one for each pair.
pub(crate) fn build(name: &str, place: Place, merged: Merged<'_>) -> Result<Vec<Conn>, ConnError> {
    let mut b = Builder { name, place, merged, diagnostics: Vec::new() };
    b.diagnostics.append(&mut b.merged.diagnostics);
    let auto = b.auto();
    let conns = b.conns(auto);
    if b.diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Err(ConnError { name: name.to_string(), auto, diagnostics: b.diagnostics });
    }
    let mut conns = conns;
    if let Some(first) = conns.first_mut() {
        first.notes = b.diagnostics;
    }
    Ok(conns)
}

struct Builder<'a> {
    name: &'a str,
    place: Place,
    merged: Merged<'a>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    fn get(&self, name: &'static str, side: Side) -> Option<&'a Param> {
        self.merged.settings.get(&(name, side)).copied()
    }

    fn say(&mut self, severity: Severity, param: &Param, message: String) {
        self.diagnostics.push(Diagnostic::new(severity, param.place(), message));
    }

    /// A value that cannot be understood.
    fn bad(&mut self, what: &str, side: Side, name: &str, param: &Param, why: &str) {
        let key = format!("{}{name}", side.prefix());
        let message = format!("while loading '{}': bad {what} {key}={} [{why}]", self.name, param.value);
        self.say(Severity::Error, param, message);
    }

    /// The value of a keyword through `read`, or nothing and an error.
    fn read<T>(
        &mut self,
        what: &str,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let param = self.get(name, Side::Both)?;
        match read(&param.value) {
            Ok(value) => Some(value),
            Err(why) => {
                self.bad(what, Side::Both, name, param, &why);
                None
            }
        }
    }

    fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        let read = |s: &str| values::boolean(s).ok_or_else(|| "expected yes or no".to_string());
        self.read("value", name, read).unwrap_or(default)
    }

    fn time(&mut self, name: &'static str, default: u32) -> u32 {
        self.read("duration", name, values::time).unwrap_or(default)
    }

    fn number(&mut self, name: &'static str, default: u32) -> u32 {
        self.read("number", name, values::number).unwrap_or(default)
    }

    /// The meaning of a word; an unknown one is a warning and counts as the first, as it always has.
    fn word(&mut self, name: &'static str) -> &'static str {
        let Some(Kind::Word(words)) = keywords::find(name, false).map(|f| f.keyword.kind) else { return "" };
        let Some(param) = self.get(name, Side::Both) else {
            let default = keywords::find(name, false).map_or("", |f| f.keyword.default);
            return words.iter().find(|w| w.0 == default).map_or("", |w| w.1);
        };
        if let Some(found) = words.iter().find(|w| w.0.eq_ignore_ascii_case(&param.value)) {
            return found.1;
        }
        let first = words.first().map_or("", |w| w.1);
        let spellings: Vec<&str> = words.iter().map(|w| w.0).collect();
        let message = format!("keyword {}, invalid value: {}; taken as `{first}'", param.key, param.value);
        let near = crate::diag::did_you_mean(&param.value, spellings.iter().copied());
        let help = match near {
            Some(near) => format!("did you mean `{near}'?"),
            None => format!("expected {}", spellings.join(", ")),
        };
        self.diagnostics.push(Diagnostic::new(Severity::Warning, param.place(), message).with_help(help));
        first
    }

    fn auto(&mut self) -> Auto {
        match self.word("auto") {
            "add" => Auto::Add,
            "route" => Auto::Route,
            "start" => Auto::Start,
            _ => Auto::Ignore,
        }
    }

    fn conns(&mut self, auto: Auto) -> Vec<Conn> {
        self.refused();
        let mut spec = ConnSpec { name: self.name.to_string(), auto, ..ConnSpec::default() };
        spec.conn_type = match self.word("type") {
            "transport" => ConnType::Transport,
            "passthrough" => ConnType::Passthrough,
            "reject" => ConnType::Reject,
            "drop" => ConnType::Drop,
            _ => ConnType::Tunnel,
        };
        spec.aliases = self.aliases();
        spec.authby = self.authby(spec.conn_type);
        self.lifetimes(&mut spec);
        self.algorithms(&mut spec);
        self.dpd(&mut spec);
        spec.keyingtries = self.number("keyingtries", 0);
        spec.force_encaps = self.boolean("forceencaps", false) || self.word("encapsulation") == "yes";
        spec.aggressive = self.boolean("aggrmode", false);
        spec.failure_shunt = match self.word("failureshunt") {
            "passthrough" => FailureShunt::Passthrough,
            "drop" => FailureShunt::Drop,
            "reject" => FailureShunt::Reject,
            _ => FailureShunt::None,
        };
        spec.metric = self.number("metric", 0);
        spec.mtu = self.number("mtu", 0);
        let mut pending = [Pending::default(), Pending::default()];
        for (side, pending) in [Side::Left, Side::Right].into_iter().zip(&mut pending) {
            let end = self.end(side, pending);
            match side {
                Side::Left => spec.left = end,
                _ => spec.right = end,
            }
        }
        let [left, right] = pending;
        let conn = Conn { spec, left, right, notes: Vec::new() };
        self.with_subnets(conn)
    }

    /// Keywords without which the conn would be less safe than its owner thinks.
    fn refused(&mut self) {
        let mut set: Vec<_> = self.merged.settings.iter().map(|(s, p)| (*s, *p)).collect();
        set.sort_by_key(|(_, p)| p.span.line);
        for ((name, side), param) in set {
            let Some(found) = keywords::find(&format!("{}{name}", side.prefix()), false) else { continue };
            if let Effect::Refused(why) = found.keyword.effect
                && !crate::merge::is_default(found.keyword, param)
            {
                self.bad("keyword", side, name, param, why);
            }
        }
        if self.word("keyexchange") == "ikev2"
            || self.word("ikev2") == "insist"
            || !self.boolean("ikev1", true)
        {
            let param = ["keyexchange", "ikev2", "ikev1"].into_iter().find_map(|n| self.get(n, Side::Both));
            if let Some(param) = param {
                let message = format!("while loading '{}': IKEv2 is not served", self.name);
                self.say(Severity::Error, param, message);
            }
        }
    }

    fn aliases(&self) -> Vec<String> {
        let given = self.merged.appended.get(&("connalias", Side::Both)).into_iter().flatten();
        given.flat_map(|p| p.value.split_whitespace()).map(str::to_string).collect()
    }

    /// `authby=`, with several words joined by `|` or `,`; `leftauth=`/`rightauth=` of the forks otherwise.
    fn authby(&mut self, conn_type: ConnType) -> AuthBy {
        let shunt = !matches!(conn_type, ConnType::Tunnel | ConnType::Transport);
        let param = ["authby", "auth", "auth"]
            .into_iter()
            .zip([Side::Both, Side::Left, Side::Right])
            .find_map(|(n, s)| self.get(n, s));
        let mut by = AuthBy { rsasig: param.is_none(), ..AuthBy::NONE };
        let Some(param) = param else { return AuthBy { rsasig: !shunt, ..by } };
        let mut known = false;
        for word in param.value.split(['|', ',', ' ', '+']).filter(|w| !w.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "secret" | "psk" => by.psk = true,
                "rsasig" | "rsa" | "pubkey" | "pubkey-sha1" => by.rsasig = true,
                w if w.starts_with("rsa-") => by.rsasig = true,
                "never" => {}
                _ => {
                    let message = format!("keyword {}, invalid value: {word}", param.key);
                    let near = crate::diag::did_you_mean(word, ["secret", "rsasig", "never"]);
                    let help = near.map_or("expected secret, rsasig or never".into(), |n| {
                        format!("did you mean `{n}'?")
                    });
                    self.diagnostics
                        .push(Diagnostic::new(Severity::Warning, param.place(), message).with_help(help));
                    continue;
                }
            }
            known = true;
        }
        if !known {
            self.bad("value", Side::Both, "authby", param, "expected secret, rsasig or never");
        }
        by.rsasig &= !shunt;
        by
    }

    fn lifetimes(&mut self, spec: &mut ConnSpec) {
        spec.pfs = self.boolean("pfs", true);
        spec.rekey = self.boolean("rekey", true);
        spec.ike_lifetime = self.lifetime("ikelifetime", spec.ike_lifetime);
        spec.sa_lifetime = self.lifetime("salifetime", spec.sa_lifetime);
        spec.rekey_margin = self.time("rekeymargin", spec.rekey_margin);
        spec.rekey_fuzz = self.read("percentage", "rekeyfuzz", values::percent).unwrap_or(spec.rekey_fuzz);
        if spec.rekey_margin >= spec.sa_lifetime {
            let half = spec.sa_lifetime / 2;
            let message = format!(
                "conn: {}, rekeymargin ({}s) > salifetime ({}s); reducing rekeymargin to {half} seconds",
                self.name, spec.rekey_margin, spec.sa_lifetime
            );
            let place = self.get("rekeymargin", Side::Both).map_or_else(|| self.place.clone(), Param::place);
            self.diagnostics.push(Diagnostic::new(Severity::Warning, place, message));
            spec.rekey_margin = half;
        }
    }

    fn lifetime(&mut self, name: &'static str, default: u32) -> u32 {
        let seconds = self.time(name, default);
        let Some(param) = self.get(name, Side::Both) else { return default };
        match seconds {
            0 => {
                self.bad("duration", Side::Both, name, param, "a lifetime cannot be 0");
                default
            }
            s if s > MAX_LIFETIME => {
                let message = format!(
                    "{}={} must be less than {MAX_LIFETIME} seconds; using that",
                    param.key, param.value
                );
                self.say(Severity::Warning, param, message);
                MAX_LIFETIME
            }
            s => s,
        }
    }

    fn algorithms(&mut self, spec: &mut ConnSpec) {
        if let Some(param) = self.get("phase2", Side::Both)
            && self.word("phase2") != "esp"
        {
            self.bad("value", Side::Both, "phase2", param, "AH is not served");
        }
        if let Some(param) = self.get("ike", Side::Both) {
            match algs::ike(&param.value) {
                Ok(suites) => {
                    spec.ike = suites.suites;
                    self.left_out(param, &suites.warnings);
                }
                Err(why) => self.say(Severity::Error, param, format!("034 {why}")),
            }
        }
        if let Some(param) = self.get("phase2alg", Side::Both) {
            match algs::esp(&param.value) {
                Ok(suites) => {
                    spec.esp = suites.suites;
                    spec.pfs_group = suites.group;
                    self.left_out(param, &suites.warnings);
                }
                Err(why) => self.say(Severity::Error, param, format!("034 {why}")),
            }
        }
        let group =
            self.read("group", "pfsgroup", |s| algs::group(s).ok_or_else(|| "not offered".to_string()));
        spec.pfs_group = spec.pfs_group.or(group);
    }

    fn left_out(&mut self, param: &Param, warnings: &[String]) {
        for warning in warnings {
            self.say(Severity::Warning, param, format!("{}: {warning}", param.key));
        }
    }

    fn dpd(&mut self, spec: &mut ConnSpec) {
        spec.dpd_delay = self.time("dpddelay", 0);
        spec.dpd_timeout = self.time("dpdtimeout", 0);
        spec.dpd_action = match self.word("dpdaction") {
            "clear" => DpdAction::Clear,
            "restart" => DpdAction::Restart,
            _ => DpdAction::Hold,
        };
        if (spec.dpd_delay == 0) != (spec.dpd_timeout == 0) {
            let message = format!(
                "conn: \"{}\" warning dpd settings are ignored unless both dpdtimeout= and dpddelay= are set",
                self.name
            );
            self.diagnostics.push(Diagnostic::new(Severity::Warning, self.place.clone(), message));
        }
        if spec.dpd_delay == 0 || spec.dpd_timeout == 0 || self.word("dpdaction") == "none" {
            (spec.dpd_delay, spec.dpd_timeout) = (0, 0);
        }
    }

    fn end(&mut self, side: Side, pending: &mut Pending) -> EndSpec {
        let mut end = EndSpec::default();
        if let Some(p) = self.get("", side) {
            match net::host(&p.value) {
                Ok(host) => end.host = host,
                Err(why) => self.bad("addr", side, "", p, &why),
            }
        }
        pending.nexthop_default = end.host == HostSpec::DefaultRoute;
        if let Some(p) = self.get("nexthop", side) {
            match p.value.to_ascii_lowercase().as_str() {
                "%defaultroute" => pending.nexthop_default = true,
                "%direct" => pending.nexthop_default = false,
                text => match net::address(text) {
                    Some(a) => (end.nexthop, pending.nexthop_default) = (Some(a), false),
                    None => self.bad("addr", side, "nexthop", p, "does not look numeric"),
                },
            }
        }
        if let Some(p) = self.get("protoport", side) {
            match net::protoport(&p.value) {
                Ok(pp) => end.protoport = pp,
                Err(why) => self.bad_protoport(side, p, &why),
            }
        }
        self.client(side, &mut end);
        if let Some(p) = self.get("id", side) {
            self.id(side, p, &mut end, pending);
        }
        end.updown = self.get("updown", side).map(|p| p.value.clone()).filter(|v| v != "ipsec _updown");
        end
    }

    fn bad_protoport(&mut self, side: Side, p: &Param, why: &str) {
        let message = format!("bad {}protoport={} [{why}]", side.prefix(), p.value);
        self.say(Severity::Error, p, message);
    }

    fn client(&mut self, side: Side, end: &mut EndSpec) {
        if let Some(p) = self.get("subnet", side) {
            match net::client(&p.value) {
                Ok(client) => end.client = client,
                Err(why) if p.value.starts_with(['v', 'V']) => {
                    let message =
                        format!("{why} - virtual selection disabled for connection '{}'", self.name);
                    self.say(Severity::Warning, p, message);
                }
                Err(why) => {
                    let key = format!("{}subnet", side.prefix());
                    let message = format!(
                        "while loading '{}': bad subnet {key}={} [{why}] family=AF_INET",
                        self.name, p.value
                    );
                    self.say(Severity::Error, p, message);
                }
            }
        }
        let Some(p) = self.get("sourceip", side) else { return };
        match net::address(&p.value) {
            Some(a) => {
                end.source_ip = Some(a);
                if end.client == ClientSpec::Host && !self.merged.appended.contains_key(&("subnets", side)) {
                    let net = IpNet::from(a);
                    end.client = ClientSpec::Net(net);
                    self.say(Severity::Note, p, format!("defaulting {}subnet to {net}", side.prefix()));
                }
            }
            None => self.bad("addr", side, "sourceip", p, "does not look numeric"),
        }
    }

    fn id(&mut self, side: Side, p: &Param, end: &mut EndSpec, pending: &mut Pending) {
        match p.value.parse::<Id>() {
            Ok(id) => end.id = id,
            Err(_) if matches!(p.value.as_str(), "%fromcert" | "%cert") => {
                self.bad("id", side, "id", p, "certificates are not used");
            }
            Err(_) if p.value == "%myid" => {}
            Err(_) if net::is_host_name(&p.value) => pending.id_name = Some(p.value.clone()),
            Err(e) => self.bad("id", side, "id", p, &e.to_string()),
        }
    }

    /// `leftsubnets={a b}`: a conn `NAME/1x2` for each pair, all of them with the alias NAME.
    fn with_subnets(&mut self, conn: Conn) -> Vec<Conn> {
        let left = self.subnets(Side::Left, &conn.spec.left);
        let right = self.subnets(Side::Right, &conn.spec.right);
        if left.is_none() && right.is_none() {
            return vec![conn];
        }
        let left = left.unwrap_or_else(|| vec![(0, conn.spec.left.client.clone())]);
        let right = right.unwrap_or_else(|| vec![(0, conn.spec.right.client.clone())]);
        if left.len() * right.len() > MAX_EXPANDED {
            let message = format!("while loading '{}': more than {MAX_EXPANDED} pairs of subnets", self.name);
            self.diagnostics.push(Diagnostic::new(Severity::Error, self.place.clone(), message));
            return Vec::new();
        }
        let mut conns = Vec::new();
        for (i, l) in &left {
            for (j, r) in &right {
                let mut one = conn.clone();
                one.spec.name = format!("{}/{i}x{j}", self.name);
                one.spec.aliases.push(self.name.to_string());
                one.spec.left.client = l.clone();
                one.spec.right.client = r.clone();
                conns.push(one);
            }
        }
        conns
    }

    /// The subnets of a side with their numbers; `leftsubnet=` besides is number 0.
    fn subnets(&mut self, side: Side, end: &EndSpec) -> Option<Vec<(usize, ClientSpec)>> {
        let params = self.merged.appended.get(&("subnets", side))?.clone();
        let mut list = Vec::new();
        if end.client != ClientSpec::Host {
            list.push((0, end.client.clone()));
        }
        let mut number = 0;
        for p in params {
            for word in p.value.split([' ', '\t', ',']).filter(|w| !w.is_empty()) {
                number += 1;
                match net::subnet(word) {
                    Ok(net) if number <= MAX_EXPANDED => list.push((number, ClientSpec::Net(net))),
                    Ok(_) => {}
                    Err(_) => {
                        let key = format!("{}subnets", side.prefix());
                        let message = format!(
                            "conn: \"{}\" warning '{word}' is not a subnet declaration. ({key})",
                            self.name
                        );
                        self.say(Severity::Warning, p, message);
                    }
                }
            }
        }
        Some(list)
    }
}

/// Most conns one section may expand to.
const MAX_EXPANDED: usize = 1024;
