//! Which of several conns that fit is the better one. Whether one fits is decided in `host_conn` and `matching`.
//!
//! ```text
//!  first message   address, then whether ike= takes the offer
//!  identity        the exact one before wildcards before anybody, as long as the key is the same
//!  Quick Mode      routed, identity, the narrower network, the narrower protocol and port; then the latest added
//! ```

use std::cmp::Reverse;
use std::net::SocketAddr;

use ipsec_types::conn::{ClientSpec, Port};
use ipsec_types::kernel::Mode;
use ipsec_types::whack::rc;
use ipsec_types::{Id, dn};

use super::auth_method::{Proof, methods};
use super::{Fail, phase1};
use crate::Endpoint;
use crate::conn::{ConnId, Connection, secrets_for};
use crate::sa::{Role, Serial};
use crate::spd::Flow;
use crate::wire::SaPayload;
use crate::wire::notify::NotifyType;

/// How little an identity says; Openswan counts "anybody" as 15 wildcards.
pub(super) fn wildcards(id: &Id) -> u8 {
    match id {
        Id::None => 15,
        Id::Dn(der) => dn::wildcards(der).min(14),
        _ => 0,
    }
}

/// The order in Quick Mode, best first.
pub(super) fn rank(c: &Connection) -> (bool, u8, Reverse<u8>, u8) {
    let routed = c.trap.is_some() || c.up_children > 0;
    let bits = match (&c.that().client, &c.this().client) {
        (ClientSpec::Virtual { .. }, _) => 0,
        (ClientSpec::Host, _) => 128,
        (ClientSpec::Net(n), _) => n.prefix_len(),
    };
    let open = |p: Port| match p {
        Port::Number(_) => 0,
        Port::Any => 1,
        Port::All => 2,
    };
    let (ours, theirs) = (c.this().protoport, c.that().protoport);
    let wide = 4 * u8::from(theirs.proto == 0) + open(theirs.port) + open(ours.port);
    (!routed, wildcards(&c.wanted_id()), Reverse(bits), wide)
}

impl Endpoint {
    /// A conn whose `ike=` does not take the offer is no match for it if another of its kind does.
    pub(super) fn conn_for_offer(
        &self,
        first: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
        offer: &SaPayload<'_>,
    ) -> ConnId {
        let takes = |id: ConnId| {
            let choice =
                |c: &Connection| phase1::choose(offer, &c.spec, &methods(c, Role::Responder)).is_ok();
            self.conns.get(id).is_some_and(choice)
        };
        if takes(first) {
            return first;
        }
        let Some(f) = self.conns.get(first) else { return first };
        let alike = |c: &Connection| {
            c.spec.aggressive == f.spec.aggressive && c.this().xauth_server == f.this().xauth_server
        };
        let all = self.conns.for_peer(local.ip(), remote.ip()).into_iter();
        let mut others = all.filter(|id| self.conns.get(*id).is_some_and(alike));
        others.find(|id| takes(*id)).unwrap_or(first)
    }

    /// Whether the key that proved the peer of `serial` is also one of `to`, for the identity that is known now. Where
    /// several pre-shared keys would have done for its conn, all of them must be. As to signatures: the peer's key was
    /// looked at by `takes_peer`, and here we must have one to sign with.
    pub(super) fn same_key(&self, serial: Serial, to: ConnId, id: &Id) -> bool {
        let Some(sa) = self.ikes.get(&serial) else { return false };
        let (Some(from), Some(to)) = (self.conns.get(sa.conn), self.conns.get(to)) else { return false };
        let remote = sa.remote.ip();
        match sa.auth.proof(sa.role) {
            Proof::Signature => return self.our_key(to, sa.auth).is_some(),
            Proof::Later => return true,
            Proof::Psk => {}
        }
        let used = secrets_for(from, remote, &*self.secrets);
        let his = match to.wanted_id() {
            Id::None => secrets_for(to, remote, &*self.secrets),
            _ => self.secrets.lookup(&to.our_id(), id),
        };
        !used.is_empty() && used.iter().all(|k| his.contains(k))
    }

    /// The kernel has one policy for one pair of networks: who may have it when two peers want it in tunnel mode. The
    /// same peer from elsewhere takes it over, and so does whoever comes to a conn that has the network in its
    /// `rightsubnet=`; for networks that peers choose (`vhost:`, `vnet:`), both conns need `overlapip=yes`.
    pub(super) fn settle_overlap(&mut self, conn: ConnId, flow: &Flow, mode: Mode) -> Result<(), Fail> {
        let Some(c) = self.conns.get(conn).filter(|_| mode == Mode::Tunnel) else { return Ok(()) };
        let id = c.peer_id.clone();
        let mut rivals = self.spd.owners(flow, c.marking(conn, mode));
        rivals.retain(|r| *r != conn && Some(*r) != c.template);
        for rival in rivals {
            let (Some(c), Some(r)) = (self.conns.get(conn), self.conns.get(rival)) else { continue };
            if r.up_children == 0 {
                continue;
            }
            let chosen = |c: &Connection| matches!(c.that().client, ClientSpec::Virtual { .. });
            let (virtual_net, same_conn) =
                (chosen(c) || chosen(r), r.template.is_some() && r.template == c.template);
            if (id != Id::None && r.peer_id == id) || (same_conn && !virtual_net) {
                let peer = r.peer.map_or_else(String::new, |p| format!(" {p}"));
                let text = format!(
                    "route to peer's client conflicts with \"{}\"{peer}; releasing old connection to free the route",
                    r.spec.name
                );
                self.log_conn(conn, None, rc::LOG, &text);
                self.children.of_conn(rival).into_iter().for_each(|s| self.delete_child(s, true));
                continue;
            }
            if !virtual_net {
                let text = format!("cannot install eroute -- it is in use for {}", self.conn_label(rival, 0));
                return Err(Fail {
                    text: vec![text],
                    notify: Some(NotifyType::InvalidIdInformation),
                    fatal: false,
                });
            }
            let text = format!(
                "Virtual IP {} overlaps with connection {} '{}'",
                flow.theirs,
                self.conn_label(rival, 0),
                r.peer_id
            );
            let consent = c.spec.overlap_ip && r.spec.overlap_ip;
            if consent {
                self.log_conn(conn, None, rc::LOG, &text);
                self.log_conn(conn, None, rc::LOG, "overlap is okay by mutual consent");
                continue;
            }
            let who = match (c.spec.overlap_ip, r.spec.overlap_ip) {
                (false, false) => "neither conn agrees to it with overlapip=yes",
                (false, true) => "this conn does not agree to it with overlapip=yes",
                _ => "the other conn does not agree to it with overlapip=yes",
            };
            let text = vec![text, format!("overlap is forbidden ({who})"), format!("Your ID is '{id}'")];
            return Err(Fail { text, notify: Some(NotifyType::InvalidIdInformation), fatal: false });
        }
        Ok(())
    }
}
