//! Mode Config as the client: our address inside the tunnel, name servers, domain and networks, asked for (pull) or told
//! (push). What is given goes to the updown script as text, never as commands (CVE-2010-3302, CVE-2010-3308).

use std::net::IpAddr;

use ipnet::IpNet;
use ipsec_types::conn::ClientSpec;
use ipsec_types::whack::rc;

use super::Fail;
use super::transaction::{Incoming, Stage, Then};
use crate::Endpoint;
use crate::conn::{Connection, Given};
use crate::sa::Serial;
use crate::timer::TimerKind;
use crate::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};

/// How long the server may take for what it has to say of its own accord, seconds.
const PATIENCE: u32 = 60;
/// Name servers and networks that are taken.
const MOST: usize = 16;

/// Whether our address in the tunnel is an IPv6 one: as the networks behind the server are, else as the server.
fn wants_v6(c: &Connection) -> bool {
    match &c.that().client {
        ClientSpec::Net(n) => n.addr().is_ipv6(),
        ClientSpec::Host | ClientSpec::Virtual { .. } => c.peer.is_some_and(|a| a.is_ipv6()),
    }
}

impl Endpoint {
    /// Asks for an address, or waits to be told one.
    pub(super) fn modecfg_ask(&mut self, serial: Serial) -> Result<(), Fail> {
        let Some((sa, c)) = self.ikes.get(&serial).and_then(|s| Some((s, self.conns.get(s.conn)?))) else {
            return Ok(());
        };
        let unity = c.spec.cisco_unity || sa.unity;
        if !(c.spec.modecfg.pull || unity) {
            self.set_stage(serial, Stage::ModeI1);
            self.wait_for_server(serial);
            return Ok(());
        }
        let ours = match wants_v6(c) {
            true => [cfg::IP6_ADDRESS, cfg::IP6_NETMASK, cfg::IP6_DNS, cfg::IP6_SUBNET],
            false => [cfg::IP4_ADDRESS, cfg::IP4_NETMASK, cfg::IP4_DNS, cfg::IP4_NBNS],
        };
        self.log_sa(serial, rc::LOG, "modecfg: Sending IP request (MODECFG_I1)");
        self.transaction_ask(serial, CfgType::Reply, |id| {
            let mut w = CfgWriter::new(CfgType::Request, id);
            for kind in ours {
                w.value(kind, &[]);
            }
            if unity {
                for kind in [cfg::UNITY_BANNER, cfg::UNITY_DEF_DOMAIN, cfg::UNITY_SPLIT_INCLUDE] {
                    w.value(kind, &[]);
                }
            }
            w.finish()
        })?;
        self.set_stage(serial, Stage::ModeI1);
        Ok(())
    }

    /// What the server has to say next does not come for ever.
    pub(super) fn wait_for_server(&mut self, serial: Serial) {
        let at = self.in_seconds(PATIENCE);
        self.timers.set(serial, TimerKind::Discard, at);
    }

    /// `<-- REPLY(ADDRESS DNS …)`.
    pub(super) fn modecfg_configured(
        &mut self,
        serial: Serial,
        payload: &CfgPayload<'_>,
    ) -> Result<(), Fail> {
        self.log_sa(serial, rc::LOG, "received mode cfg reply");
        self.take_configuration(serial, payload);
        self.set_stage(serial, Stage::Done);
        self.begin_pending(serial);
        Ok(())
    }

    /// `<-- SET(ADDRESS DNS …)`, answered with the same attributes without values.
    pub(super) fn modecfg_told(
        &mut self,
        serial: Serial,
        at: Incoming,
        payload: &CfgPayload<'_>,
    ) -> Result<Option<Vec<u8>>, Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(None) };
        let wanted = self.conns.get(sa.conn).is_some_and(|c| c.is_configured());
        if !wanted || sa.later.cfg.stage.blocks_quick() {
            return Err(Fail::ignore(
                "modecfg: the peer tells a configuration, but the conn has no leftmodecfgclient=yes; ignored",
            ));
        }
        let waited = sa.later.cfg.stage == Stage::ModeI1;
        let mut w = CfgWriter::new(CfgType::Ack, payload.identifier);
        payload.attrs.iter().for_each(|a| {
            w.value(a.kind, &[]);
        });
        let answer = self.transaction_reply(serial, &at, &w.finish())?;
        self.take_configuration(serial, payload);
        if waited {
            self.transaction_forget(serial);
            self.timers.clear(serial, TimerKind::Discard);
            if let Some(sa) = self.ikes.get_mut(&serial) {
                sa.later.cfg.then = Some(Then::Begin);
            }
        }
        Ok(Some(answer))
    }

    fn take_configuration(&mut self, serial: Serial, payload: &CfgPayload<'_>) {
        let Some(conn) = self.ikes.get(&serial).map(|s| s.conn) else { return };
        let six = self.conns.get(conn).is_some_and(wants_v6);
        let [address, mask] =
            if six { [cfg::IP6_ADDRESS, cfg::IP6_NETMASK] } else { [cfg::IP4_ADDRESS, cfg::IP4_NETMASK] };
        let mut dns = payload.addresses(cfg::IP4_DNS);
        dns.extend(payload.addresses(cfg::IP6_DNS));
        let mut split = payload.networks(cfg::UNITY_SPLIT_INCLUDE);
        split.extend([cfg::IP4_SUBNET, cfg::IP6_SUBNET].into_iter().flat_map(|k| payload.subnets(k)));
        dns.truncate(MOST);
        split.truncate(MOST);
        let domain = payload.text(cfg::UNITY_DEF_DOMAIN).filter(|d| !d.is_empty());
        let banner = payload.text(cfg::UNITY_BANNER).filter(|b| !b.is_empty());
        let address = payload.addresses(address).first().copied().filter(|a| !a.is_unspecified());
        let mut said = Vec::new();
        if let Some(a) = address {
            said.push(format!("setting client address to {}", IpNet::from(a)));
            said.push(format!("setting ip source address to {}", IpNet::from(a)));
        }
        let family = if six { 6 } else { 4 };
        said.extend(payload.addresses(mask).first().map(|m| format!("Received IP{family} NETMASK {m}")));
        said.extend(dns.iter().map(|a| format!("Received DNS {a}")));
        said.extend(domain.iter().map(|d| format!("Received Domain: {d}")));
        said.extend(split.iter().map(|n| format!("Received subnet {n}")));
        said.extend(banner.iter().map(|b| format!("Received Banner: {b}")));
        for text in said {
            self.log_sa(serial, rc::LOG, &text);
        }
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.rare.given = Some(Box::new(Given { dns, domain, banner, split }));
        let before: Option<IpAddr> = c.rare.our_lease;
        if let Some(a) = address.filter(|a| before != Some(*a)) {
            let stale = if before.is_some() { self.children.of_conn(conn) } else { Vec::new() };
            if !stale.is_empty() {
                self.log_sa(serial, rc::LOG, "our address has changed: the tunnel is made anew");
                stale.into_iter().for_each(|s| self.delete_child(s, true));
                if let Some(sa) = self.ikes.get_mut(&serial).filter(|s| !s.later.pending.contains(&conn)) {
                    sa.later.pending.push(conn);
                }
            }
            if let Some(c) = self.conns.get_mut(conn) {
                c.rare.our_lease = Some(a);
            }
        }
    }
}
