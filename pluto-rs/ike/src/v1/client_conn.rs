//! Which conn a Quick Mode proposal belongs to (Openswan's `find_client_connection`), and what of it the kernel will see.
//! The comparison of one proposal with one conn is in `matching`.

use std::net::IpAddr;

use ipnet::IpNet;
use ipsec_types::Id;
use ipsec_types::conn::ConnType;
use ipsec_types::kernel::Mode;
use ipsec_types::whack::rc;

use super::{Fail, select};
use crate::Endpoint;
use crate::conn::{ConnId, ConnKind};
use crate::conn_table::is_hidden;
use crate::log::end_text;
use crate::matching::{self, Match, Proposed};
use crate::sa::Serial;
use crate::spd::Flow;
use crate::wire::ident::{FQDN, IdPayload};
use crate::wire::notify::NotifyType;

impl Endpoint {
    /// The clients of both ends out of the ID payloads; without any, the two hosts.
    pub(super) fn proposed(
        &mut self,
        ike: Serial,
        ids: &[Vec<u8>],
        nat_oa: Option<IpAddr>,
    ) -> Result<Proposed, Fail> {
        let Some(sa) = self.ikes.get(&ike) else { return Err(Fail::ignore("ISAKMP SA is gone")) };
        let mut p = Proposed {
            ours: IpNet::from(sa.local.ip()),
            our_proto: 0,
            our_port: 0,
            theirs: IpNet::from(sa.remote.ip()),
            their_proto: 0,
            their_port: 0,
            peer: sa.remote.ip(),
            peer_natted: sa.natt.peer,
            we_natted: sa.natt.us,
        };
        let (ci, cr) = match ids {
            [] => return Ok(p),
            [ci, cr] => (IdPayload::parse(ci)?, IdPayload::parse(cr)?),
            _ => return Err(Fail::ignore("Quick Mode message has one ID payload, or more than two")),
        };
        let unsupported = |n: u8| Fail {
            text: vec![format!("unsupported ID type {n} in Quick Mode ID payload")],
            notify: Some(NotifyType::InvalidIdInformation),
            fatal: false,
        };
        // Windows behind a NAT may send its name instead of its address (MS-818043); CVE-2023-38711 is about the
        // other end doing so, which stays refused.
        let workaround = ci.kind == FQDN;
        p.theirs = match (workaround, ci.network()) {
            (true, _) => IpNet::from(nat_oa.unwrap_or(sa.remote.ip())),
            (false, Some(n)) => n,
            (false, None) => return Err(unsupported(ci.kind)),
        };
        p.ours = cr.network().ok_or_else(|| unsupported(cr.kind))?;
        (p.their_proto, p.their_port) = (ci.proto, ci.port);
        (p.our_proto, p.our_port) = (cr.proto, cr.port);
        if workaround {
            self.log_sa(ike, rc::LOG, "peer client type is FQDN");
            self.log_sa(ike, rc::LOG, "Applying workaround for MS-818043 NAT-T bug");
        }
        let text = format!(
            "the peer proposed: {}:{}/{} -> {}:{}/{}",
            p.ours, p.our_proto, p.our_port, p.theirs, p.their_proto, p.their_port
        );
        self.log_sa(ike, rc::LOG, &text);
        Ok(p)
    }

    /// The conn a proposal belongs to: the current one, else another for this peer, made an instance.
    pub(super) fn conn_for_proposal(&mut self, ike: Serial, p: &Proposed) -> Result<ConnId, Fail> {
        let Some(sa) = self.ikes.get(&ike) else { return Err(Fail::ignore("ISAKMP SA is gone")) };
        let (current, local, at, remote) = (sa.conn, sa.local.ip(), sa.remote, sa.remote.ip());
        let vp = self.setup.virtual_private.clone();
        let mut refusal = None;
        let mut judge = |e: &Endpoint, id: ConnId, is_current: bool| match e
            .conns
            .get(id)
            .map(|c| matching::fits(c, p, &vp, is_current))
        {
            Some(Match::Yes) => true,
            Some(Match::Virtual(why)) => {
                refusal = Some(why);
                false
            }
            _ => false,
        };
        let mut conn = judge(self, current, true).then_some(current);
        if conn.is_none() {
            let peer_id = self.conns.get(current).map_or(Id::None, |c| match &c.peer_id {
                Id::None => c.wanted_id(),
                id => id.clone(),
            });
            let template = self.conns.get(current).and_then(|c| c.template);
            let fitting = self.conns.for_peer(local, remote).into_iter().filter(|id| {
                Some(*id) != template
                    && self.conns.is_for(*id, at)
                    && self.conns.get(*id).is_some_and(|c| self.takes_peer(c, ike, &peer_id))
                    && judge(self, *id, false)
            });
            let other = fitting.min_by_key(|id| self.conns.get(*id).map(select::rank));
            conn = match other {
                Some(id) if self.conns.get(id).is_some_and(|c| c.kind == ConnKind::Template) => {
                    let known = self.conns.instance_of(id, at, &peer_id, current);
                    let made = known.or_else(|| self.conns.instantiate(id, remote));
                    if let Some(made) = made {
                        if is_hidden(&peer_id, remote)
                            && let Some(c) = self.conns.get_mut(made)
                        {
                            c.rare.peer_at = Some(at);
                        }
                        self.conns.set_peer_id(made, peer_id);
                    }
                    made
                }
                other => other,
            };
        }
        let Some(conn) = conn else {
            if let Some(why) = refusal {
                self.log_sa(ike, rc::LOG, "peer proposal was reject in a virtual connection policy because:");
                self.log_sa(ike, rc::LOG, &format!("  {why}"));
            }
            let id = self.conns.get(current).map_or(Id::None, |c| c.peer_id.clone());
            let bracket =
                if id == Id::None || id == Id::Addr(remote) { String::new() } else { format!("[{id}]") };
            let ours = end_text(p.ours, local, p.our_proto, p.our_port);
            let theirs_pp = if p.their_proto == 0 {
                String::new()
            } else {
                format!(":{}/{}", p.their_proto, p.their_port)
            };
            let net =
                if p.theirs == IpNet::from(remote) { String::new() } else { format!("==={}", p.theirs) };
            return Err(Fail {
                text: vec![format!(
                    "cannot respond to IPsec SA request because no connection is known for {ours}...{remote}{bracket}{theirs_pp}{net}"
                )],
                notify: Some(NotifyType::InvalidIdInformation),
                fatal: false,
            });
        };
        if let Some(c) = self.conns.get_mut(conn).filter(|c| c.template.is_some()) {
            c.peer_port = Some(p.their_port);
        }
        Ok(conn)
    }

    /// What the kernel will see of this child: in transport mode outer addresses, as a NAT may stand between.
    pub(super) fn flow_of(&self, conn: ConnId, p: &Proposed, mode: Mode) -> Flow {
        let c = self.conns.get(conn);
        let transport = mode == Mode::Transport && c.is_none_or(|c| c.spec.conn_type == ConnType::Transport);
        let host = c.and_then(|c| c.our_addr()).map_or(p.ours, IpNet::from);
        Flow {
            ours: if transport { host } else { p.ours },
            our_port: p.our_port,
            theirs: if transport { IpNet::from(p.peer) } else { p.theirs },
            their_port: p.their_port,
            proto: p.our_proto,
        }
    }
}
