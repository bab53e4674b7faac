//! `ipsec auto --status`, in the layout of Openswan 2.6.

use std::net::IpAddr;

use ipsec_types::Id;
use ipsec_types::conn::{
    ClientSpec, ConnSpec, ConnType, DpdAction, EndSpec, FailureShunt, HostSpec, Phase2, Port, ProtoPort,
};
use ipsec_types::kernel::{Mode, SaId, SaProto};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::algorithms::algorithm_lines;
use crate::conn::{ConnId, ConnKind, Connection};
use crate::io::{ClientId, Output};
use crate::lists::end_words;
use crate::sa::{ChildSa, Serial};
use crate::timer::TimerKind;
use crate::wanted::wanted_lines;

/// Octets of reply lines in one output.
const CHUNK: usize = 16 << 10;

/// `none`, or words joined by `+`.
fn debug_words(words: &[String]) -> String {
    if words.is_empty() { "none".into() } else { words.join("+") }
}

/// `PSK+ENCRYPT+TUNNEL+PFS+…`. Openswan's `IKEv2ALLOW` is not among the words: no conn is served with IKEv2.
pub(crate) fn policy_words(spec: &ConnSpec, up: bool) -> String {
    let mut words = Vec::new();
    let mut add = |on: bool, word: &'static str| {
        if on {
            words.push(word);
        }
    };
    add(spec.authby.psk, "PSK");
    add(spec.authby.rsasig, "RSASIG");
    add(spec.authby.ecdsa, "ECDSA");
    let never = matches!(spec.conn_type, ConnType::Passthrough | ConnType::Drop | ConnType::Reject);
    let hosts = [&spec.left.host, &spec.right.host];
    let group = hosts.iter().any(|h| matches!(h, HostSpec::Group | HostSpec::OpportunisticGroup));
    let whoever = |h: &&HostSpec| matches!(h, HostSpec::Opportunistic | HostSpec::OpportunisticGroup);
    add(!never && spec.phase2 != Phase2::Ah, "ENCRYPT");
    add(!never && spec.phase2 != Phase2::Esp, "AUTHENTICATE");
    add(spec.compress, "COMPRESS");
    add(spec.conn_type == ConnType::Tunnel, "TUNNEL");
    add(spec.pfs, "PFS");
    add(!spec.rekey, "DONTREKEY");
    add(hosts.iter().any(whoever), "OPPORTUNISTIC");
    add(group, "GROUP");
    add(up, "UP");
    let ends = [&spec.left, &spec.right];
    add(ends.iter().any(|e| e.xauth_server || e.xauth_client), "XAUTH");
    add(spec.modecfg.pull, "MODECFGPULL");
    add(spec.aggressive, "AGGRESSIVE");
    add(spec.overlap_ip, "OVERLAPIP");
    add(true, "SAREFTRACK");
    let failure = match spec.failure_shunt {
        FailureShunt::None => "",
        FailureShunt::Passthrough => "+failurePASS",
        FailureShunt::Drop => "+failureDROP",
        FailureShunt::Reject => "+failureREJECT",
    };
    let shunt = match spec.conn_type {
        ConnType::Passthrough => "+PASS",
        ConnType::Drop => "+DROP",
        ConnType::Reject => "+REJECT",
        ConnType::Tunnel | ConnType::Transport => "",
    };
    words.join("+") + shunt + failure + if never { "+NEVER_NEGOTIATE" } else { "" }
}

impl Endpoint {
    pub(crate) fn status(&mut self, client: ClientId) {
        let mut lines = self.global_lines();
        lines.push(String::new());
        for id in self.sorted_conns() {
            self.conn_lines(id, &mut lines);
        }
        lines.push(String::new());
        let mut serials: Vec<Serial> = self.ikes.keys().chain(self.children.keys()).copied().collect();
        serials.sort();
        for s in serials.into_iter().rev() {
            self.state_lines(s, &mut lines);
        }
        self.reply_lines(client, &lines);
    }

    /// What is not about a conn or a state.
    pub(crate) fn global_lines(&self) -> Vec<String> {
        let mut lines = vec![format!("using kernel interface: {}", self.kernel_name)];
        for i in self.interfaces.iter().rev() {
            for _port in [4500, 500] {
                lines.push(format!("interface {0}/{0} {1}", i.name, i.addr));
            }
        }
        lines.push(match &self.my_id {
            Id::None => "%myid = (none)".into(),
            id => format!("%myid = {id}"),
        });
        lines.push(format!("debug {}", debug_words(&self.debug)));
        lines.extend(self.limit_lines());
        lines.push(String::new());
        self.virtual_private_lines(&mut lines);
        lines.push(String::new());
        algorithm_lines(&mut lines);
        lines
    }

    /// Conns by name without regard to case, then by instance.
    pub(crate) fn sorted_conns(&self) -> Vec<ConnId> {
        let key = |(id, c): (ConnId, &Connection)| {
            (c.spec.name.to_lowercase(), if let ConnKind::Instance(n) = c.kind { n } else { 0 }, id)
        };
        let mut conns: Vec<(String, u32, ConnId)> = self.conns.iter().map(key).collect();
        conns.sort_unstable();
        conns.into_iter().map(|c| c.2).collect()
    }

    /// Comment lines, many to an output: a status may have a hundred thousand.
    pub(crate) fn reply_lines(&mut self, client: ClientId, lines: &[String]) {
        let mut text = String::new();
        for line in lines {
            text.push_str(if text.is_empty() { "000 " } else { "\n000 " });
            text.push_str(line);
            if text.len() > CHUNK {
                self.out.push_back(Output::Whack(client, std::mem::take(&mut text)));
            }
        }
        if !text.is_empty() {
            self.out.push_back(Output::Whack(client, text));
        }
    }

    fn virtual_private_lines(&self, lines: &mut Vec<String>) {
        let vp = &self.setup.virtual_private;
        lines.push("virtual_private (%priv):".into());
        let list = |word: &str, nets: &[ipnet::IpNet]| {
            let s = if nets.len() == 1 { "" } else { "s" };
            let text: Vec<String> = nets.iter().map(ToString::to_string).collect();
            format!("- {word} {} subnet{s}: {}", nets.len(), text.join(", "))
        };
        lines.push(list("allowed", &vp.allowed));
        lines.push(list("disallowed", &vp.disallowed));
        if vp.allowed.is_empty() {
            lines.push("WARNING: Either virtual_private= is not specified, or there is a syntax".into());
            lines.push("         error in that line. 'left/rightsubnet=vhost:%priv' will not work!".into());
        }
        if vp.disallowed.is_empty() {
            lines.push("WARNING: Disallowed subnets in virtual_private= is empty. If you have".into());
            lines.push("         private address space in internal use, it should be excluded!".into());
        }
    }

    pub(crate) fn conn_lines(&self, id: ConnId, lines: &mut Vec<String>) {
        let Some(c) = self.conns.get(id) else { return };
        let x = match c.kind {
            ConnKind::Instance(n) => format!("\"{}\"[{n}]", c.spec.name),
            _ => format!("\"{}\"", c.spec.name),
        };
        let owner = c.newest_child.map_or("#0".into(), |s| s.to_string());
        let newest_ike = c.newest_ike.map_or("#0".into(), |s| s.to_string());
        let routing = if c.newest_child.is_some() { "erouted" } else { "unrouted" };
        let s = &c.spec;
        lines.push(format!("{x}: {}; {routing}; eroute owner: {owner}", topology(c)));
        let ip = |a: Option<IpAddr>| a.map_or("unset".into(), |a| a.to_string());
        let (mine, his) =
            (c.this().source_ip.or(c.rare.our_lease), c.that().source_ip.or(c.rare.their_lease));
        let words = end_words(c);
        lines.push(format!("{x}:     myip={}; hisip={};{words}", ip(mine), ip(his)));
        let user = |who: &str, name: Option<&String>| {
            name.map_or_else(String::new, |n| format!("{who}xauthuser={n}; "))
        };
        let said = c.rare.credentials.as_ref().and_then(|s| s.user.as_ref());
        let mine = said.or(c.this().xauth_username.as_ref());
        let info = user("my", mine) + &user("his", c.rare.xauth_user.as_ref());
        if !info.is_empty() {
            lines.push(format!("{x}:     xauth info: {info}"));
        }
        lines.extend(self.authorities(c).map(|cas| format!("{x}:   CAs: {cas}")));
        lines.push(format!(
            "{x}:   ike_life: {}s; ipsec_life: {}s; rekey_margin: {}s; rekey_fuzz: {}%; keyingtries: {}{} ",
            s.ike_lifetime,
            s.sa_lifetime,
            s.rekey_margin,
            s.rekey_fuzz,
            s.keyingtries,
            if s.sha2_truncbug { "; sha2_truncbug: yes" } else { "" }
        ));
        let prio = |client: &ClientSpec| match client {
            ClientSpec::Net(n) => n.prefix_len(),
            ClientSpec::Host => 32,
            ClientSpec::Virtual { .. } => 0,
        };
        lines.push(format!(
            "{x}:   policy: {}; prio: {},{}; interface: {}; ",
            policy_words(s, c.up),
            prio(&c.this().client),
            prio(&c.that().client),
            c.oriented.as_ref().map_or("", |o| &o.1)
        ));
        if s.metric > 0 || s.mtu > 0 {
            lines.push(format!("{x}:   network params: metric:{}; mtu:{}; ", s.metric, s.mtu));
        }
        if s.dpd_delay > 0 {
            let action = match s.dpd_action {
                DpdAction::Hold => "hold",
                DpdAction::Clear => "clear",
                DpdAction::Restart => "restart",
                DpdAction::RestartByPeer => "restart_by_peer",
            };
            lines.push(format!(
                "{x}:   dpd: action:{action}; delay:{}; timeout:{};  ",
                s.dpd_delay, s.dpd_timeout
            ));
        }
        if let Some(words) = self.conn_debug.get(&s.name) {
            lines.push(format!("{x}:   debug: {}", debug_words(words)));
        }
        lines.push(format!("{x}:   newest ISAKMP SA: {newest_ike}; newest IPsec SA: {owner}; "));
        if !s.aliases.is_empty() {
            lines.push(format!("{x}:   aliases: {} ", s.aliases.join(" ")));
        }
        let (of_ike, of_esp): (Vec<_>, Vec<_>) =
            wanted_lines(s).into_iter().partition(|l| l.starts_with("IKE"));
        lines.extend(of_ike.iter().map(|l| format!("{x}:   {l}")));
        if let Some(suite) = c.newest_ike.and_then(|i| self.ike_suite_words(i)) {
            lines.push(format!("{x}:   IKE algorithm newest: {suite}"));
        }
        lines.extend(of_esp.iter().map(|l| format!("{x}:   {l}")));
        if let Some(child) = c.newest_child.and_then(|s| self.children.get(&s))
            && let Some(suite) = child.suite
        {
            let pfs = child.pfs.map_or("<N/A>".to_string(), |g| g.name().to_uppercase());
            lines.push(format!(
                "{x}:   ESP algorithm newest: {}-{}; pfsgroup={pfs}",
                suite.cipher.name(),
                suite.integ.name()
            ));
        }
    }

    pub(crate) fn event(&self, s: Serial) -> String {
        let order = [
            TimerKind::Retransmit,
            TimerKind::Discard,
            TimerKind::Replace,
            TimerKind::Expire,
            TimerKind::Dpd,
        ];
        order
            .into_iter()
            .find_map(|k| Some((k, self.timers.get(s, k)?)))
            .map_or("none".into(), |(k, at)| format!("{} in {}s", k.event(), (at - self.now.mono).as_secs()))
    }

    pub(crate) fn state_lines(&self, s: Serial, lines: &mut Vec<String>) {
        if let Some(sa) = self.ikes.get(&s) {
            let newest = self.conns.get(sa.conn).is_some_and(|c| c.newest_ike == Some(s));
            lines.push(format!(
                "{s}: {}:{} {} ({}); {};{} lastdpd=-1s(seq in:{} out:{}); idle; import:not set",
                self.conn_label(sa.conn, 0),
                sa.remote.port(),
                sa.name().label(),
                sa.name().story(),
                self.event(s),
                if newest { " newest ISAKMP;" } else { "" },
                sa.later.dpd.peer_seq.unwrap_or(0),
                sa.later.dpd.next_seq
            ));
        }
        let Some(c) = self.children.get(&s) else { return };
        let newest = self.conns.get(c.conn).is_some_and(|x| x.newest_child == Some(s));
        let port = self.ikes.get(&c.ike).map_or(500, |i| i.remote.port());
        lines.push(format!(
            "{s}: {}:{port} {} ({}); {};{} isakmp{}; idle; import:not set",
            self.conn_label(c.conn, 0),
            c.name().label(),
            c.name().story(),
            self.event(s),
            if newest { " newest IPSEC; eroute owner;" } else { "" },
            c.ike
        ));
        if let Some(line) = sa_line(c) {
            lines.push(format!("{s}: {} {line}", self.conn_label(c.conn, 0)));
        }
    }

    pub(crate) fn brief_status(&mut self, client: ClientId) {
        let half = self.half_open.len();
        let up = self.ikes.values().filter(|s| s.up().is_some()).count();
        let children = self.children.values().filter(|c| c.is_up()).count();
        for line in [
            "State Information: DDoS cookies not required, Accepting new IKE connections".to_string(),
            format!(
                "IKE SAs: total({}), half-open({half}), open(0), authenticated({up}), anonymous(0)",
                self.ikes.len()
            ),
            format!("IPsec SAs: total({children}), authenticated({children}), anonymous(0)"),
        ] {
            self.reply(client, rc::COMMENT, &line);
        }
    }
}

/// `esp.c0ffee01@192.0.2.1`.
pub(crate) fn sa_name(id: SaId) -> String {
    let proto = match id.proto {
        SaProto::Esp => "esp",
        SaProto::Ah => "ah",
        SaProto::Comp => "comp",
    };
    format!("{proto}.{:x}@{}", id.spi, id.dst)
}

fn sa_line(c: &ChildSa) -> Option<String> {
    let (i, o) = (c.in_sa?, c.out_sa?);
    let names = [Some(o), c.comp_out(), Some(i), c.comp_in()];
    let mut line = names.into_iter().flatten().map(sa_name).collect::<Vec<_>>().join(" ");
    if c.mode == Mode::Tunnel {
        line += &format!(" tun.0@{} tun.0@{}", o.dst, i.dst);
    }
    Some(line + " ref=0 refhim=4294901761")
}

/// One end; `hop` is its router, if it has one, and whether the end is ours.
fn end(
    e: &EndSpec,
    addr: Option<IpAddr>,
    id: &Id,
    protoport: ProtoPort,
    hop: (Option<IpAddr>, bool),
) -> String {
    let ours = hop.1;
    let host = match (addr, &e.host) {
        (Some(a), _) => a.to_string(),
        (None, _) if matches!(e.client, ClientSpec::Virtual { .. }) => "%virtual".into(),
        (None, HostSpec::Name(n)) => format!("%dns<{n}>"),
        (None, HostSpec::Addr(a)) => a.to_string(),
        (None, HostSpec::Group) => "%group".into(),
        (None, HostSpec::Opportunistic) => "%opportunistic".into(),
        (None, HostSpec::OpportunisticGroup) => "%opportunisticgroup".into(),
        (None, _) => "%any".into(),
    };
    let mut words = match (id, addr) {
        (Id::None, _) => Vec::new(),
        (Id::Addr(i), Some(a)) if *i == a => Vec::new(),
        (id, _) => vec![id.to_string()],
    };
    let flags =
        [(e.modecfg_server, "MS"), (e.modecfg_client, "MC"), (e.xauth_server, "XS"), (e.xauth_client, "XC")];
    let flags: Vec<&str> = flags.into_iter().filter(|f| f.0).map(|f| f.1).collect();
    if !flags.is_empty() {
        words.push(format!("+{}", flags.join("+")));
    }
    let id = if words.is_empty() { String::new() } else { format!("[{}]", words.join(",")) };
    let pp = if protoport == ProtoPort::default() { String::new() } else { format!(":{protoport}") };
    let middle = match hop {
        (None, _) => format!("{host}{id}{pp}"),
        (Some(hop), true) => format!("{host}{id}{pp}---{hop}"),
        (Some(hop), false) => format!("{hop}---{host}{id}{pp}"),
    };
    let client = match &e.client {
        ClientSpec::Host => None,
        ClientSpec::Net(n) => Some(n.to_string()),
        ClientSpec::Virtual { .. } => addr.is_none().then(|| "?".into()),
    };
    match (client, ours) {
        (None, _) => middle,
        (Some(c), true) => format!("{c}==={middle}"),
        (Some(c), false) => format!("{middle}==={c}"),
    }
}

/// `10.9.0.2:17/1701...%virtual:17/%any===?`, `10.9.0.2---10.9.0.254...%any`.
pub(crate) fn topology(c: &Connection) -> String {
    let that = c.that();
    let protoport = match c.peer_port {
        Some(p) => ProtoPort { port: if p == 0 { Port::All } else { Port::Number(p) }, ..that.protoport },
        None => that.protoport,
    };
    let peer_id = if c.peer_id == Id::None { &that.id } else { &c.peer_id };
    let hop = |e: &EndSpec, other| e.nexthop.filter(|h| Some(*h) != other && !h.is_unspecified());
    format!(
        "{}...{}",
        end(c.this(), c.our_addr(), &c.this().id, c.this().protoport, (hop(c.this(), c.peer), true)),
        end(that, c.peer, peer_id, protoport, (hop(that, c.our_addr()), false))
    )
}
