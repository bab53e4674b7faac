//! Conns without an SA that still have a say in what packets may do: traps, and the shunts of `type=passthrough`,
//! `drop` and `reject`; what a packet in a trap sets off; what becomes of packets while, and after, that fails.

use ipsec_types::conn::{Auto, ConnType, FailureShunt};
use ipsec_types::kernel::{
    Dir, KernelRequest, Layers, Mode, PASS_PRIORITY, PolicyAction, PolicyId, PolicySpec, SHUNT_PRIORITY,
    Selector,
};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind, Connection};
use crate::groups;
use crate::io::ClientId;
use crate::sa::Serial;
use crate::spd::{Flow, Slot};
use crate::timer::TimerKind;
use crate::v1::{flow_of_conn, phase2};

/// Stands for the trap among the users of an SPD entry; no SA has this number.
const TRAP: Serial = Serial(0);

/// Seconds after which a conn that lost its SA is brought up again.
pub(crate) const REVIVE: u32 = 10;
/// Seconds after which `auto=keep` tries again.
const KEEP: u32 = 60;
/// Timers of conns are named apart from those of SAs, whose numbers never come this far.
const REVIVALS: u32 = 0x8000_0000;

/// The name of the timer of a conn.
fn revival(conn: ConnId) -> Serial {
    Serial(REVIVALS | (conn.0 & u64::from(!REVIVALS)) as u32)
}

impl Endpoint {
    /// `ipsec auto --route`.
    pub(crate) fn whack_route(&mut self, client: ClientId, name: &str) {
        let ids = self.conns.named_or_alias(name);
        if ids.is_empty() {
            return self.reply(client, rc::UNKNOWN_NAME, &format!("no connection named \"{name}\""));
        }
        for id in ids {
            self.route(id, Some(client));
        }
    }

    /// `ipsec auto --unroute`.
    pub(crate) fn whack_unroute(&mut self, client: ClientId, name: &str) {
        let ids = self.conns.named_or_alias(name);
        if ids.is_empty() {
            return self.reply(client, rc::UNKNOWN_NAME, &format!("no connection named \"{name}\""));
        }
        for id in ids {
            if self.conns.get(id).is_some_and(|c| c.up_children > 0) {
                self.log_conn(id, Some(client), rc::RTBUSY, "cannot unroute: route busy");
            } else {
                self.unroute(id);
            }
        }
    }

    /// Sets a trap, or the policies of a conn that never negotiates.
    pub(crate) fn route(&mut self, id: ConnId, client: Option<ClientId>) {
        let Some(c) = self.conns.get(id) else { return };
        if matches!(c.kind, ConnKind::Instance(_)) || c.trap.is_some() || !c.rare.shunts.is_empty() {
            return;
        }
        if self.tell_unresolved(id, client, "routed") {
            if let Some(c) = self.conns.get_mut(id) {
                c.rare.route_later = true;
            }
            return;
        }
        let Some(c) = self.conns.get(id) else { return };
        if c.is_group() {
            return self.route_group(id, client);
        }
        if c.oriented.is_none() {
            let text = "we cannot identify ourselves with either end of this connection";
            return self.log_conn(id, client, rc::ORIENT, text);
        }
        let Some(flow) = flow_of_conn(c) else {
            let text = "cannot route template policy of a road warrior";
            return self.log_conn(id, client, rc::ROUTE, text);
        };
        if c.never_negotiates() {
            return self.install_shunt(id, &flow);
        }
        if c.kind == ConnKind::Template && !c.is_opportunistic() {
            let text = "cannot route template policy of a road warrior";
            return self.log_conn(id, client, rc::ROUTE, text);
        }
        let marking = c.marking(id, mode_of(c));
        let slot = match self.spd.enter(flow, id, TRAP, marking) {
            Ok(slot) => slot,
            Err(why) => return self.log_conn(id, client, rc::ROUTE, &self.no_place(why)),
        };
        if let Some(c) = self.conns.get_mut(id) {
            c.trap = Some(slot);
        }
        self.set_out_policy(slot, None);
        self.run_route(id, &flow, None);
    }

    /// Takes a trap or a shunt out. SAs that are up stay.
    pub(crate) fn unroute(&mut self, id: ConnId) {
        let Some(c) = self.conns.get(id) else { return };
        let (group, name) = (c.is_group(), c.is_opportunistic().then(|| c.spec.name.clone()));
        if group {
            return self.unroute_group(id);
        }
        if let Some(name) = name {
            self.forget_shunts(&name);
        }
        let Some(c) = self.conns.get_mut(id) else { return };
        if let Some(rare) = c.rare.there() {
            rare.route_later = false;
        }
        let (trap, shunts, idle) = (c.trap.take(), std::mem::take(&mut c.rare.shunts), c.up_children == 0);
        let flow = flow_of_conn(c);
        let gone = trap.map(|slot| self.spd.leave(slot, TRAP)).unwrap_or_default();
        for id in gone.into_iter().chain(shunts) {
            self.kernel(KernelRequest::DelPolicy(id), None);
        }
        if let Some(flow) = flow.filter(|_| idle) {
            self.run_unroute(id, &flow);
        }
    }

    /// `passthrough` stands before the policies of SAs, as it makes exceptions from them; `drop` and `reject` too.
    fn install_shunt(&mut self, id: ConnId, flow: &Flow) {
        let Some(c) = self.conns.get_mut(id) else { return };
        let action = match c.spec.conn_type {
            ConnType::Passthrough => PolicyAction::Allow,
            _ => PolicyAction::Block,
        };
        let priority = if c.spec.priority > 0 { c.spec.priority } else { PASS_PRIORITY };
        let ids = [Dir::Out, Dir::In, Dir::Fwd].map(|dir| PolicyId {
            selector: flow.selector(dir),
            dir,
            mark: None,
        });
        c.rare.shunts = ids.to_vec();
        for id in ids {
            self.kernel(KernelRequest::AddPolicy(PolicySpec { id, priority, action }), None);
        }
        self.run_route(id, flow, None);
    }

    /// Puts a shunt in the place of the outbound policy of `slot`, or (with `None`) the trap back.
    fn set_out_policy(&mut self, slot: Slot, shunt: Option<PolicyAction>) {
        let Some(entry) = self.spd.get_mut(slot) else { return };
        let id = entry.policy(slot, Dir::Out);
        // The policy of a trap without a peer is not that of an SA, either.
        let whoever = self.conns.get(entry.conn).is_some_and(Connection::is_opportunistic);
        entry.shunted = shunt.is_some() || whoever;
        let flat = |c: &Connection| Layers { comp: false, ..phase2::layers(&c.spec) };
        let layers = self.conns.get(entry.conn).map(flat).unwrap_or_default();
        entry.note(Dir::Out, layers);
        let (conn, lead, flow) = (entry.conn, entry.lead(), entry.flow);
        let Some(c) = self.conns.get(conn) else { return };
        let (priority, action) = match shunt {
            Some(action) => (SHUNT_PRIORITY, action),
            None => {
                let Some(src) = c.our_addr() else { return };
                // In transport mode the kernel asks for an SA with the packet's destination, whoever that is.
                let whoever = c.is_opportunistic().then(|| (groups::unspecified(src), Mode::Transport));
                let Some((dst, mode)) = whoever.or_else(|| Some((c.peer?, mode_of(c)))) else { return };
                let priority = policy_priority(c, &flow) - lead;
                (priority, PolicyAction::Esp { src, dst, reqid: slot.reqid(), mode, layers })
            }
        };
        self.kernel(KernelRequest::AddPolicy(PolicySpec { id, priority, action }), None);
    }

    /// Somebody sends what a trap covers.
    pub(crate) fn on_acquire(&mut self, selector: &Selector, reqid: u32) {
        let Some(slot) = Slot::of_reqid(reqid) else { return };
        let Some(conn) = self.spd.get_mut(slot).map(|e| e.conn) else { return };
        if self.conns.get(conn).is_some_and(Connection::is_opportunistic) {
            return self.opportune(conn, selector);
        }
        // A policy of a road warrior whose SA has just ended asks too: we cannot call him.
        let Some(c) = self.conns.get(conn).filter(|c| c.kind == ConnKind::Permanent) else { return };
        let pass = c.spec.negotiation_shunt == FailureShunt::Passthrough;
        if self.negotiating(conn) {
            return;
        }
        let text = format!(
            "initiate on demand from {}:{} to {}:{} proto={} state: fos_start because: acquire",
            selector.src.addr(),
            selector.sport,
            selector.dst.addr(),
            selector.dport,
            selector.proto
        );
        self.log_conn(conn, None, rc::LOG, &text);
        if pass {
            self.set_out_policy(slot, Some(PolicyAction::Allow));
        }
        self.quick_or_main(conn, None, None);
    }

    /// Whether a negotiation for this conn is under way.
    pub(crate) fn negotiating(&self, conn: ConnId) -> bool {
        let calls =
            self.conns.get(conn).and_then(|c| c.peer).map(|p| self.ikes.calling(p)).unwrap_or_default();
        calls.iter().any(|s| self.ikes.get(s).is_some_and(|s| s.later.pending.contains(&conn)))
            || self.children.of_conn(conn).iter().any(|c| self.children.get(c).is_some_and(|c| !c.is_up()))
    }

    /// The conn of a child that is the newest of a conn that was asked to be up: its loss is made good, but with
    /// `rekey=no`, where nothing is negotiated unasked.
    pub(crate) fn revives(&self, child: Serial) -> Option<ConnId> {
        let id = self.children.get(&child)?.conn;
        let c = self.conns.get(id)?;
        let last = c.newest_child == Some(child) && c.kind == ConnKind::Permanent;
        (last && c.up && c.spec.rekey && !self.exiting).then_some(id)
    }

    /// Brings a conn up in so many seconds, unless it comes up before.
    pub(crate) fn revive_later(&mut self, conn: ConnId, seconds: u32) {
        let at = self.in_seconds(seconds);
        self.timers.set(revival(conn), TimerKind::Revive, at);
    }

    /// The time has come.
    pub(crate) fn on_revive(&mut self, timer: Serial) {
        let conn = ConnId(u64::from(timer.0 & !REVIVALS));
        let Some(c) = self.conns.get(conn) else { return };
        if c.up && c.up_children == 0 && !self.exiting && !self.negotiating(conn) {
            self.quick_or_main(conn, None, None);
        }
    }

    /// It is no longer to be brought up.
    pub(crate) fn forget_revival(&mut self, conn: ConnId) {
        self.timers.clear(revival(conn), TimerKind::Revive);
    }

    /// A negotiation has failed for good: `auto=keep` tries again in a minute; `failureshunt=` decides about the
    /// packets of a trap.
    pub(crate) fn negotiation_failed(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get(conn) else { return };
        if c.spec.auto == Auto::Keep && c.up && !self.exiting {
            self.revive_later(conn, KEEP);
        }
        let Some(c) = self.conns.get(conn) else { return };
        let Some(slot) = c.trap.filter(|_| c.up_children == 0) else {
            return self.opportunity_missed(conn);
        };
        let shunt = match c.spec.failure_shunt {
            FailureShunt::None => None,
            FailureShunt::Passthrough => Some(PolicyAction::Allow),
            FailureShunt::Drop | FailureShunt::Reject => Some(PolicyAction::Block),
        };
        self.set_out_policy(slot, shunt);
    }
}

/// Tunnel or transport, as `type=` says.
pub(crate) fn mode_of(c: &Connection) -> Mode {
    if c.spec.conn_type == ConnType::Transport { Mode::Transport } else { Mode::Tunnel }
}

/// The more a conn covers, the later it comes; the exact flow of one port between two hosts is first. Numbers are
/// even, so that a policy that wants a mark can stand one before.
pub(crate) fn policy_priority(c: &Connection, f: &Flow) -> u32 {
    if c.spec.priority > 0 {
        return c.spec.priority.max(1);
    }
    let open = |net: &ipnet::IpNet| u32::from(net.max_prefix_len() - net.prefix_len());
    let ports = u32::from(f.proto == 0) + u32::from(f.our_port == 0) + u32::from(f.their_port == 0);
    // Ports never outweigh a bit of a network.
    ipsec_types::kernel::SA_PRIORITY + 8 * (open(&f.ours) + open(&f.theirs)) + 2 * ports
}
