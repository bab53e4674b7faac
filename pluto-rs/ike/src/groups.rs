//! Policy groups and peers nobody has named: `right=%group`, `%opportunistic`, `%opportunisticgroup`.
//!
//! A routed conn with a group has a member conn, `NAME#NETWORK`, for each network of its file. A member of a shunt type
//! is a shunt. One that negotiates is a trap: the first packet to a host makes an instance for that host. When nobody
//! answers there, `failureshunt=` says what becomes of packets to it for the next [`PATIENCE`].

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use ipsec_types::Instant;
use ipsec_types::conn::{ClientSpec, ConnSpec, FailureShunt, HostSpec};
use ipsec_types::kernel::{Dir, KernelRequest, PASS_PRIORITY, PolicyAction, PolicyId, PolicySpec, Selector};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, Connection};
use crate::io::ClientId;
use crate::sa::Serial;
use crate::timer::TimerKind;
use crate::v1::flow_of_conn;

/// How long a host that did not answer is left alone.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Hosts that are left alone at one time; the oldest is forgotten for the next.
const SHUNTS: usize = 1024;
/// Instances of one trap that negotiate at one time: their number is chosen by who sends through us.
const OPENING: usize = 64;
/// The timer of all of them; no SA has this number.
const TIMER: Serial = Serial(0);

/// Policies of hosts that did not answer, oldest first.
#[derive(Debug, Default)]
pub(crate) struct BareShunts(VecDeque<BareShunt>);

#[derive(Debug)]
struct BareShunt {
    until: Instant,
    of: String,
    id: PolicyId,
    action: PolicyAction,
}

impl Connection {
    /// Whether it only stands for the networks of a file.
    pub(crate) fn is_group(&self) -> bool {
        matches!(self.that().host, HostSpec::Group | HostSpec::OpportunisticGroup)
    }

    /// Whether its peer is whoever a packet goes to.
    pub(crate) fn is_opportunistic(&self) -> bool {
        self.that().host == HostSpec::Opportunistic
    }
}

/// What an instance for a host is made of.
pub(crate) fn for_host(spec: &ConnSpec, swapped: bool, peer: IpAddr) -> ConnSpec {
    let mut spec = spec.clone();
    let that = if swapped { &mut spec.left } else { &mut spec.right };
    (that.host, that.client) = (HostSpec::Addr(peer), ClientSpec::Host);
    spec
}

/// All there is of a family.
pub(crate) fn everything(like: IpAddr) -> IpNet {
    match like {
        IpAddr::V4(_) => ipnet::Ipv4Net::default().into(),
        IpAddr::V6(_) => ipnet::Ipv6Net::default().into(),
    }
}

/// The outer end of a policy whose peer is the packet's destination.
pub(crate) fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl Endpoint {
    /// The shell has read the policy group files.
    pub(crate) fn on_groups(&mut self, groups: BTreeMap<String, Vec<IpNet>>) {
        self.groups = groups;
        let routed: Vec<ConnId> = self.conns.iter().filter(|(_, c)| c.grouted).map(|(id, _)| id).collect();
        for id in routed {
            self.sync_group(id, None);
        }
    }

    /// `--route` of a group: now, and whenever the file is read again.
    pub(crate) fn route_group(&mut self, id: ConnId, client: Option<ClientId>) {
        if let Some(c) = self.conns.get_mut(id) {
            c.grouted = true;
        }
        self.sync_group(id, client);
    }

    /// `--unroute` of a group, or its end.
    pub(crate) fn unroute_group(&mut self, id: ConnId) {
        if let Some(c) = self.conns.get_mut(id) {
            c.grouted = false;
        }
        self.sync_group(id, None);
    }

    /// Brings the members in line with the file.
    fn sync_group(&mut self, id: ConnId, client: Option<ClientId>) {
        let Some((spec, swapped, grouted, us)) =
            self.conns.get(id).map(|c| (c.spec.clone(), c.swapped, c.grouted, c.our_addr()))
        else {
            return;
        };
        let fits = |n: &&IpNet| us.is_some_and(|us| us.is_ipv4() == n.addr().is_ipv4());
        let wanted: Vec<IpNet> = match (grouted, self.groups.get(&spec.name)) {
            (true, Some(nets)) => nets.iter().filter(fits).copied().collect(),
            _ => Vec::new(),
        };
        let name = |net: &IpNet| format!("{}#{net}", spec.name);
        let names: std::collections::HashSet<String> = wanted.iter().map(name).collect();
        let mut there = std::collections::HashSet::new();
        let mut gone = Vec::new();
        for (_, c) in self.conns.iter().filter(|(_, c)| c.rare.member_of == Some(id)) {
            match names.contains(&c.spec.name) {
                true => drop(there.insert(c.spec.name.clone())),
                false => gone.extend(self.conns.named(&c.spec.name)),
            }
        }
        for member in gone {
            self.remove_conn(member, None);
        }
        for net in wanted.iter().filter(|n| !there.contains(&name(n))) {
            let mut spec = ConnSpec { name: name(net), aliases: Vec::new(), ..(*spec).clone() };
            let never = self.conns.get(id).is_some_and(Connection::never_negotiates);
            let that = if swapped { &mut spec.left } else { &mut spec.right };
            that.host = if never { HostSpec::Any } else { HostSpec::Opportunistic };
            that.client = ClientSpec::Net(*net);
            let member = self.conns.add(spec, &self.interfaces);
            if let Some(c) = self.conns.get_mut(member) {
                c.rare.member_of = Some(id);
            }
            self.route(member, client);
        }
    }

    /// A packet to a host that a trap without a peer covers.
    pub(crate) fn opportune(&mut self, trap: ConnId, selector: &Selector) {
        let peer = selector.dst.addr();
        let (mut opening, mut known) = (0, None);
        for (id, c) in self.conns.iter().filter(|(_, c)| c.template == Some(trap)) {
            opening += usize::from(c.up_children == 0);
            known = known.or((c.peer == Some(peer)).then_some(id));
        }
        if let Some(id) = known {
            // Its ISAKMP SA has outlived its IPsec SA.
            if self.conns.get(id).is_some_and(|c| c.up_children == 0) && !self.negotiating(id) {
                self.quick_or_main(id, None, None);
            }
            return;
        }
        if opening >= OPENING {
            return;
        }
        let Some(id) = self.conns.instantiate(trap, peer) else { return };
        let text = format!(
            "initiate on demand from {}:{} to {peer}:{} proto={} state: fos_start because: acquire",
            selector.src.addr(),
            selector.sport,
            selector.dport,
            selector.proto
        );
        self.log_conn(id, None, rc::LOG, &text);
        // An instance lives as long as something refers to it.
        self.conn_ref(id);
        self.quick_or_main(id, None, None);
        self.conn_unref(id);
    }

    /// Nobody answered there.
    pub(crate) fn opportunity_missed(&mut self, id: ConnId) {
        let Some(c) = self.conns.get(id) else { return };
        let trap = c.template.and_then(|t| self.conns.get(t)).filter(|t| t.is_opportunistic());
        let (Some(trap), Some(flow)) = (trap, flow_of_conn(c)) else { return };
        let action = match c.spec.failure_shunt {
            FailureShunt::None => return,
            FailureShunt::Passthrough => PolicyAction::Allow,
            FailureShunt::Drop | FailureShunt::Reject => PolicyAction::Block,
        };
        let of = trap.spec.name.clone();
        let id = PolicyId { selector: flow.selector(Dir::Out), dir: Dir::Out, mark: None };
        self.bare_shunts.0.retain(|b| b.id != id);
        if self.bare_shunts.0.len() >= SHUNTS
            && let Some(oldest) = self.bare_shunts.0.pop_front()
        {
            self.kernel(KernelRequest::DelPolicy(oldest.id), None);
        }
        let until = self.after(PATIENCE);
        self.bare_shunts.0.push_back(BareShunt { until, of, id, action });
        let spec = PolicySpec { id, priority: PASS_PRIORITY, action };
        self.kernel(KernelRequest::AddPolicy(spec), None);
        self.arm_shunts();
    }

    fn arm_shunts(&mut self) {
        match self.bare_shunts.0.front().map(|b| b.until) {
            Some(at) => self.timers.set(TIMER, TimerKind::Shunt, at),
            None => self.timers.clear(TIMER, TimerKind::Shunt),
        }
    }

    /// The patience with some is at its end.
    pub(crate) fn on_shunts(&mut self) {
        let now = self.now.mono;
        while self.bare_shunts.0.front().is_some_and(|b| b.until <= now) {
            let Some(b) = self.bare_shunts.0.pop_front() else { break };
            self.kernel(KernelRequest::DelPolicy(b.id), None);
        }
        self.arm_shunts();
    }

    /// The trap `name` is gone: what it left for hosts goes too.
    pub(crate) fn forget_shunts(&mut self, name: &str) {
        let (gone, kept) = std::mem::take(&mut self.bare_shunts.0).into_iter().partition(|b| b.of == name);
        self.bare_shunts.0 = kept;
        let gone: VecDeque<BareShunt> = gone;
        for b in gone {
            self.kernel(KernelRequest::DelPolicy(b.id), None);
        }
        self.arm_shunts();
    }

    /// Policies without an SA: traps, shunts of conns, hosts that did not answer; with the word for each and why.
    fn all_shunts(&self) -> Vec<(Selector, &'static str, String)> {
        let mut all = Vec::new();
        for (_, c) in self.conns.iter() {
            let Some(flow) = flow_of_conn(c) else { continue };
            let (selector, why) = (flow.selector(Dir::Out), format!("\"{}\"", c.spec.name));
            if c.trap.is_some() && c.up_children == 0 {
                all.push((selector, "%trap", why));
            } else if !c.rare.shunts.is_empty() {
                all.push((selector, shunt_word(c), why));
            }
        }
        for b in &self.bare_shunts.0 {
            let what = if b.action == PolicyAction::Allow { "%pass" } else { "%drop" };
            let left = b.until.since(self.now.mono).as_secs();
            all.push((b.id.selector, what, format!("no answer ({left}s)")));
        }
        all
    }

    /// libreswan's `--shuntstatus`.
    pub(crate) fn shunt_lines(&self) -> Vec<String> {
        let line = |(s, what, why): (Selector, &str, String)| {
            format!("{}:{} -{}-> {}:{} => {what} 0    {why}", s.src, s.sport, s.proto, s.dst, s.dport)
        };
        let heading = ["Bare Shunt list:".to_string(), " ".into()];
        heading.into_iter().chain(self.all_shunts().into_iter().map(line)).collect()
    }

    /// The same, an object each.
    pub(crate) fn shunts_json(&self) -> Vec<serde_json::Value> {
        let object = |(s, what, why): (Selector, &str, String)| {
            serde_json::json!({ "shunt": {
                "source": s.src.to_string(), "source_port": s.sport, "protocol": s.proto,
                "destination": s.dst.to_string(), "destination_port": s.dport, "action": what, "why": why,
            } })
        };
        self.all_shunts().into_iter().map(object).collect()
    }
}

fn shunt_word(c: &Connection) -> &'static str {
    use ipsec_types::conn::ConnType;
    match c.spec.conn_type {
        ConnType::Passthrough => "%pass",
        ConnType::Reject => "%reject",
        _ => "%drop",
    }
}

/// Whether a stranger may come to a conn for whom it may concern: one of its networks has him.
pub(crate) fn covers(c: &Connection, remote: IpAddr) -> Option<u8> {
    match (&c.that().client, c.is_opportunistic()) {
        (ClientSpec::Net(net), true) if net.contains(&remote) => Some(net.prefix_len()),
        (ClientSpec::Host, true) => Some(0),
        _ => None,
    }
}
