//! A peer that has moved: what of its SAs and policies follows. Who it is was proved by the message, or by the packet the
//! kernel decrypted, before anything here is called.

use std::net::SocketAddr;

use ipsec_types::kernel::{Dir, Encap, KernelRequest, Mode, PolicyAction, PolicySpec, SaId};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::route::policy_priority;
use crate::sa::{ChildSa, Role, Serial};

impl Endpoint {
    /// The peer of an authenticated message has moved: its NAT gave it another port.
    pub(crate) fn follow_peer(&mut self, ike: Serial, local: SocketAddr, remote: SocketAddr) {
        // It has our keys, so it has our last message of Aggressive Mode.
        if self
            .ikes
            .get(&ike)
            .is_some_and(|s| s.aggressive && s.role == Role::Initiator && !s.later.cfg.asks())
        {
            self.stop_retransmit(ike);
        }
        let floated = self.is_nat_port(local);
        let Some(sa) = self.ikes.get_mut(&ike) else { return };
        if (sa.remote, sa.local) == (remote, local) {
            return;
        }
        let (old, conn) = (sa.remote, sa.conn);
        (sa.remote, sa.local) = (remote, local);
        sa.natt.floated = floated;
        if let Some(c) = self.conns.get_mut(conn).filter(|c| c.rare.peer_at.is_some()) {
            c.rare.peer_at = Some(remote);
        }
        self.log_sa(ike, rc::LOG, &format!("new NAT mapping for {ike}, was {old}, now {remote}"));
        let (peer, us) = (remote.ip(), local.ip());
        // In transport mode the selector would change with the address: the client has to negotiate again.
        let follows = |c: &ChildSa| {
            c.is_up()
                && ((c.mode == Mode::Tunnel && !c.layers.comp)
                    || (old.ip() == peer && c.in_sa.is_some_and(|i| i.dst == us)))
        };
        let mut moved = [self.children.of_conn(conn), self.children.of_ike(ike)].concat();
        moved.retain(|c| self.children.get(c).is_some_and(follows));
        moved.sort_unstable();
        moved.dedup();
        for child in moved {
            self.move_child(child, local, remote);
        }
        if old.ip() != peer && self.conns.get(conn).is_some_and(|c| c.template.is_some()) {
            self.conns.set_peer(conn, peer);
        }
    }

    /// Gives the SAs and policies of a child new outer ends.
    fn move_child(&mut self, child: Serial, local: SocketAddr, remote: SocketAddr) {
        self.switch_outbound(child);
        let Some(c) = self.children.get_mut(&child) else { return };
        let (mode, layers, slot, original) = (c.mode, c.layers, c.slot, c.nat_oa);
        let encap = |sport, dport| Encap { sport, dport, original };
        let mut updates = Vec::new();
        if let Some(id) = c.in_sa {
            let new_id = SaId { src: remote.ip(), dst: local.ip(), ..id };
            c.in_sa = Some(new_id);
            updates.push((id, new_id, encap(remote.port(), local.port())));
        }
        if let Some(id) = c.out_sa {
            let new_id = SaId { src: local.ip(), dst: remote.ip(), ..id };
            c.out_sa = Some(new_id);
            updates.push((id, new_id, encap(local.port(), remote.port())));
            self.by_spi_out.remove(&(id.dst, id.spi));
            self.by_spi_out.insert((new_id.dst, new_id.spi), child);
        }
        let elsewhere = updates.iter().any(|(id, new_id, _)| id != new_id);
        for (id, new_id, encap) in updates {
            self.kernel(KernelRequest::UpdateEncap { id, new_id, encap }, None);
        }
        let Some((slot, entry)) = slot.and_then(|s| Some((s, self.spd.get_mut(s)?))).filter(|_| elsewhere)
        else {
            return;
        };
        let (installed, lead, flow) = (entry.policies(slot), entry.lead(), entry.flow);
        let Some(conn) = self.children.get(&child).and_then(|c| self.conns.get(c.conn)) else { return };
        let priority = policy_priority(conn, &flow) - lead;
        for id in installed {
            let (src, dst) = (local.ip(), remote.ip());
            let (src, dst) = if id.dir == Dir::Out { (src, dst) } else { (dst, src) };
            let action = PolicyAction::Esp { src, dst, reqid: slot.reqid(), mode, layers };
            self.kernel(KernelRequest::AddPolicy(PolicySpec { id, priority, action }), None);
        }
    }

    /// The kernel saw an encapsulated SA's packets come from elsewhere: they were authenticated, so it is the peer.
    pub(crate) fn on_mapping(&mut self, spi: u32, new: SocketAddr) {
        let ike = self.by_spi_in.get(&spi).and_then(|c| self.children.get(c)).map(|c| c.ike);
        if let Some((ike, local)) = ike.and_then(|i| Some((i, self.ikes.get(&i)?.local))) {
            self.follow_peer(ike, local, new);
        }
    }
}
