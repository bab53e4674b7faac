//! Mode Config as the server: gives a client its address, name servers, domain, networks (Cisco Unity) and a word of welcome,
//! when it asks (pull) or of our own accord (push).
//!
//! ```text
//!  --> REQUEST(ADDRESS="" DNS="" …)         <-- SET(ADDRESS DNS …)     MODECFG_R1
//!  <-- REPLY(ADDRESS DNS …)                 --> ACK(ADDRESS DNS …)
//! ```

use std::net::IpAddr;

use ipnet::IpNet;
use ipsec_types::Id;
use ipsec_types::conn::ClientSpec;
use ipsec_types::modecfg::AddressPool;
use ipsec_types::whack::rc;

use super::Fail;
use super::transaction::{Incoming, Stage};
use crate::Endpoint;
use crate::conn::{ConnId, Connection};
use crate::sa::Serial;
use crate::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};

/// What a push tells, of both families what there is.
const PUSHED: [u16; 11] = [
    cfg::IP4_ADDRESS,
    cfg::IP4_NETMASK,
    cfg::IP4_DNS,
    cfg::IP4_NBNS,
    cfg::IP6_ADDRESS,
    cfg::IP6_NETMASK,
    cfg::IP6_DNS,
    cfg::IP6_NBNS,
    cfg::UNITY_BANNER,
    cfg::UNITY_DEF_DOMAIN,
    cfg::UNITY_SPLIT_INCLUDE,
];

/// Writes what we have of the attributes `wanted`.
fn give(w: &mut CfgWriter, c: &Connection, wanted: &[u16], unity: bool) {
    let spec = &c.spec.modecfg;
    for kind in wanted {
        if (cfg::UNITY_BANNER..).contains(kind) && !unity {
            continue;
        }
        match *kind {
            cfg::IP4_ADDRESS | cfg::IP6_ADDRESS => c.rare.their_lease.into_iter().for_each(|a| {
                w.address(*kind, a);
            }),
            cfg::IP4_NETMASK | cfg::IP6_NETMASK => c.rare.their_lease.into_iter().for_each(|a| {
                w.address(*kind, IpNet::from(a).netmask());
            }),
            cfg::IP4_DNS | cfg::IP6_DNS => spec.dns.iter().for_each(|a| {
                w.address(*kind, *a);
            }),
            cfg::IP4_NBNS | cfg::IP6_NBNS => spec.wins.iter().for_each(|a| {
                w.address(*kind, *a);
            }),
            cfg::IP4_SUBNET | cfg::IP6_SUBNET => split_networks(c).into_iter().for_each(|n| {
                w.subnet(*kind, n);
            }),
            cfg::APPLICATION_VERSION => {
                w.value(*kind, b"Cygnet");
            }
            cfg::UNITY_BANNER => spec.banner.iter().for_each(|text| {
                w.value(*kind, text.as_bytes());
            }),
            cfg::UNITY_DEF_DOMAIN => spec.domains.first().into_iter().for_each(|domain| {
                w.value(*kind, domain.as_bytes());
            }),
            cfg::UNITY_SPLITDNS if !spec.domains.is_empty() => {
                w.value(*kind, spec.domains.join(",").as_bytes());
            }
            cfg::UNITY_SPLIT_INCLUDE => {
                w.networks(*kind, &split_networks(c));
            }
            _ => {}
        }
    }
}

/// `cisco-split=`; without it, our network, if that is not everything.
fn split_networks(c: &Connection) -> Vec<IpNet> {
    match (&c.spec.modecfg.split, &c.this().client) {
        (list, ClientSpec::Net(n)) if list.is_empty() && n.prefix_len() > 0 => vec![n.trunc()],
        (list, _) => list.clone(),
    }
}

/// Where the peer's address is from.
fn pool(c: &Connection) -> Option<AddressPool> {
    c.that().address_pool.or(c.this().address_pool)
}

/// The peer's address, if it is always the same.
fn fixed(c: &Connection) -> Option<IpAddr> {
    c.that().source_ip.or(match &c.that().client {
        ClientSpec::Net(n) if n.prefix_len() == n.max_prefix_len() => Some(n.addr()),
        _ => None,
    })
}

impl Endpoint {
    /// After phase 1, and XAUTH: gives or asks what Mode Config has to, then phase 2 may begin.
    pub(super) fn configure(&mut self, serial: Serial) -> Result<(), Fail> {
        let Some((sa, c)) = self.ikes.get(&serial).and_then(|s| Some((s, self.conns.get(s.conn)?))) else {
            return Ok(());
        };
        if c.configures_peer() && !c.spec.modecfg.pull && !sa.unity {
            return self.modecfg_push(serial);
        }
        if c.is_configured() {
            return self.modecfg_ask(serial);
        }
        self.set_stage(serial, Stage::Done);
        self.begin_pending(serial);
        Ok(())
    }

    fn modecfg_push(&mut self, serial: Serial) -> Result<(), Fail> {
        let Some(conn) = self.ikes.get(&serial).map(|s| s.conn) else { return Ok(()) };
        self.lease(serial, conn);
        self.log_sa(serial, rc::LOG, "Sending MODE CONFIG set");
        let Some(c) = self.conns.get(conn) else { return Ok(()) };
        let mut body = CfgWriter::new(CfgType::Set, 0);
        give(&mut body, c, &PUSHED, c.spec.cisco_unity);
        let body = body.finish();
        self.transaction_ask(serial, CfgType::Ack, |id| {
            let [high, low] = id.to_be_bytes();
            let mut body = body;
            if let Some(at) = body.get_mut(2..4) {
                at.copy_from_slice(&[high, low]);
            }
            body
        })?;
        self.set_stage(serial, Stage::ModeR1);
        self.begin_pending(serial);
        Ok(())
    }

    /// `--> REQUEST(…)`.
    pub(super) fn modecfg_asked(
        &mut self,
        serial: Serial,
        at: Incoming,
        payload: &CfgPayload<'_>,
    ) -> Result<Option<Vec<u8>>, Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(None) };
        let (conn, stage, own) = (sa.conn, sa.later.cfg.stage, sa.later.cfg.pool);
        if matches!(stage, Stage::XauthR0 | Stage::Checking) {
            return Err(Fail::ignore("modecfg: Cannot give a configuration until XAUTH done."));
        }
        if !self.conns.get(conn).is_some_and(Connection::configures_peer) {
            return Err(Fail::ignore(
                "modecfg: the peer asks for a configuration, but the conn has no leftmodecfgserver=yes; ignored",
            ));
        }
        if matches!(stage, Stage::ModeR1 | Stage::XauthR1) {
            // It asks, so it has been told the verdict, and need not be told a configuration of our own accord.
            self.transaction_forget(serial);
            self.set_stage(serial, Stage::Done);
        }
        // Who cannot use an address of our family takes none away.
        let ours = self.conns.get(conn).and_then(|c| own.or(pool(c)).map(|p| p.first).or_else(|| fixed(c)));
        if payload.has(if ours.is_some_and(|a| a.is_ipv6()) { cfg::IP6_ADDRESS } else { cfg::IP4_ADDRESS }) {
            self.lease(serial, conn);
        }
        let Some(c) = self.conns.get(conn) else { return Ok(None) };
        let wanted: Vec<u16> = payload.attrs.iter().map(|a| a.kind).collect();
        let mut w = CfgWriter::new(CfgType::Reply, payload.identifier);
        give(&mut w, c, &wanted, true);
        let what = c.rare.their_lease.map_or("no address".into(), |a: IpAddr| a.to_string());
        let answer = self.transaction_reply(serial, &at, &w.finish())?;
        self.log_sa(serial, rc::LOG, &format!("modecfg: Sending IP reply (MODECFG_R0): {what}"));
        Ok(Some(answer))
    }

    /// Sees to it that the client of this conn has an address, if there is one to give.
    fn lease(&mut self, serial: Serial, conn: ConnId) {
        let Some(cfg) = self.ikes.get(&serial).map(|s| &s.later.cfg) else { return };
        let (user, own) = (cfg.user.clone(), cfg.pool);
        let Some(c) = self.conns.get(conn).filter(|c| c.rare.their_lease.is_none()) else { return };
        let fixed = fixed(c);
        let Some(range) = own.or(pool(c)) else {
            if let Some(c) = self.conns.get_mut(conn) {
                c.rare.their_lease = fixed;
            }
            return;
        };
        // A group's name says nothing about who of it this is.
        let name = match (&user, &c.peer_id) {
            (Some(user), _) => format!("user {user}"),
            (None, Id::None) => format!("at {}", c.peer.map_or_else(String::new, |p| p.to_string())),
            (None, id) => format!("id {id}"),
        };
        let mut found = self.pools.lease(range, &name);
        if found.is_none() && own.is_some() {
            self.release_predecessors(serial, conn, range);
            found = self.pools.lease(range, &name);
        }
        match (found, self.conns.get_mut(conn)) {
            (Some(addr), Some(c)) => (c.rare.their_lease, c.rare.leased_from) = (Some(addr), Some(range)),
            _ => {
                let text = format!(
                    "no address is free in the pool {}-{}; the client gets none",
                    range.first, range.last
                );
                self.log_sa(serial, rc::LOG_SERIOUS, &text);
            }
        }
    }

    /// A user whose own addresses are all in use has come back before his last connections were given up: they end now.
    fn release_predecessors(&mut self, serial: Serial, conn: ConnId, range: AddressPool) {
        let Some(user) = self.ikes.get(&serial).and_then(|s| s.later.cfg.user.clone()) else { return };
        let his =
            |c: &Connection| c.rare.leased_from == Some(range) && c.rare.xauth_user.as_ref() == Some(&user);
        let old: Vec<ConnId> =
            self.conns.iter().filter(|(id, c)| *id != conn && his(c)).map(|(id, _)| id).collect();
        for old in old {
            let text = format!("user {user} is here again: releasing {}", self.conn_label(old, 0));
            self.log_sa(serial, rc::LOG, &text);
            self.release_conn(old);
        }
    }

    /// The conn, or its instance, is used no more: its client's address is free.
    pub(crate) fn release_lease(&mut self, conn: ConnId) {
        let Some(rare) = self.conns.get_mut(conn).and_then(|c| c.rare.there()) else { return };
        if let (Some(addr), Some(range)) = (rare.their_lease.take(), rare.leased_from.take()) {
            self.pools.release(range, addr);
        }
    }

    /// The client has proved who it is: if it was here before, from the same address and port, its new ISAKMP SA belongs to
    /// the instance it had, with the address that was leased. Clients of one group behind one NAT stay apart.
    pub(super) fn same_client(&mut self, serial: Serial) {
        let Some(sa) = self.ikes.get(&serial) else { return };
        let (conn, remote, user) = (sa.conn, sa.remote, sa.later.cfg.user.clone());
        let failed = sa.later.cfg.failed;
        if let Some(c) = self.conns.get_mut(conn).filter(|c| c.per_client()) {
            (c.rare.peer_at, c.rare.xauth_failed) = (Some(remote), failed);
            c.rare.xauth_user.clone_from(&user);
        }
        let Some(c) = self.conns.get(conn).filter(|c| c.per_client() && c.template.is_some()) else { return };
        let same = |o: &Connection| {
            o.template == c.template
                && o.rare.peer_at == Some(remote)
                && o.peer_id == c.peer_id
                && o.rare.xauth_user == user
        };
        let known = self.conns.with_peer(remote.ip());
        let known = known.into_iter().find(|id| *id != conn && self.conns.get(*id).is_some_and(same));
        if let Some(known) = known {
            self.switch_conn(serial, known);
        }
    }
}
