//! Child SAs: their SPIs, establishment, removal, counters. Installation is in `install`.

use ipsec_types::kernel::{KernelError, KernelReply, KernelRequest, Layers, Mode, SaId, SaProto};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, Connection};
use crate::endpoint::KernelWait;
use crate::io::{ClientId, Output};
use crate::sa::{ChildSa, Phase2, Role, Serial, StateName, WaitingForSpi};
use crate::spd::{Flow, NoPlace, Slot};
use crate::v1::Fail;

/// Counters of one SA on their way to a client.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub client: ClientId,
    pub inbound: Option<u64>,
}

impl Endpoint {
    /// Adds a Quick Mode.
    #[expect(clippy::too_many_arguments, reason = "what a Child SA is born with")]
    pub(crate) fn new_child(
        &mut self,
        ike: Serial,
        conn: ConnId,
        role: Role,
        msgid: u32,
        iv: Vec<u8>,
        flow: Flow,
        mode: Mode,
        layers: Layers,
    ) -> Serial {
        let serial = self.new_serial();
        let child = ChildSa {
            ike,
            conn,
            role,
            msgid,
            iv,
            state: Phase2::Suspended(StateName::QuickR0),
            suite: None,
            mode,
            layers,
            pfs: None,
            flow,
            slot: None,
            spi_in: 0,
            spi_out: 0,
            cpi_in: 0,
            cpi_out: 0,
            nat_oa: None,
            lifetime: 0,
            life_bytes: 0,
            in_sa: None,
            out_sa: None,
            switch: None,
            last_received: None,
            last_sent: Vec::new(),
            retransmits: 0,
            answered_duplicates: 0,
            tries: 0,
            whack: None,
            waiting: None,
            since: 0,
        };
        self.children.insert(serial, child);
        self.by_msgid.insert((ike, msgid), serial);
        if let Some(sa) = self.ikes.get_mut(&ike) {
            sa.later.open_children.push(serial);
        }
        self.conn_ref(conn);
        serial
    }

    /// Takes a place in the SPD and asks the kernel for an SPI.
    pub(crate) fn request_spi(&mut self, child: Serial) {
        let Some(c) = self.children.get(&child) else { return };
        let Some((local, remote)) = self.ikes.get(&c.ike).map(|s| (s.local.ip(), s.remote.ip())) else {
            return;
        };
        // A trap for this very host is taken over.
        let trap = self.conns.get(c.conn).and_then(|x| x.template);
        let trap = trap.filter(|t| self.conns.get(*t).is_some_and(Connection::is_opportunistic));
        let trap = trap.filter(|t| self.spd.holds(&c.flow, *t));
        let owner = trap.unwrap_or(c.conn);
        let Some(marking) = self.conns.get(c.conn).map(|x| x.marking(owner, c.mode)) else { return };
        let slot = match self.spd.enter(c.flow, owner, child, marking) {
            Ok(slot) => slot,
            Err(why) => return self.failed(child, Fail::fatal(self.no_place(why))),
        };
        if let Some(c) = self.children.get_mut(&child) {
            c.slot = Some(slot);
        }
        let id = SaId { src: remote, dst: local, spi: 0, proto: self.children_layers(child).proto };
        self.get_spi(child, id, slot);
    }

    pub(crate) fn no_place(&self, why: NoPlace) -> String {
        match why {
            NoPlace::Full => "no room for another policy: too many are in use".into(),
            NoPlace::Taken(conn) => {
                format!("cannot install eroute -- it is in use for {}", self.conn_label(conn, 0))
            }
        }
    }

    fn children_layers(&self, child: Serial) -> Layers {
        self.children.get(&child).map(|c| c.layers).unwrap_or_default()
    }

    fn get_spi(&mut self, child: Serial, id: SaId, slot: Slot) {
        let SaId { src, dst, proto, .. } = id;
        let request = KernelRequest::GetSpi { src, dst, reqid: slot.reqid(), proto };
        self.kernel(request, Some(KernelWait::Spi { child, id }));
    }

    pub(crate) fn on_spi(&mut self, child: Serial, id: SaId, result: Result<KernelReply, KernelError>) {
        let spi = match result {
            Ok(KernelReply::Spi(spi)) => spi,
            Ok(_) => return,
            Err(e) => return self.failed(child, Fail::fatal(e.to_string())),
        };
        let id = SaId { spi, ..id };
        // The Quick Mode is gone: so goes the larval SA.
        let Some(c) = self.children.get_mut(&child) else {
            return self.kernel(KernelRequest::DelSa(id), None);
        };
        if id.proto == SaProto::Comp {
            c.cpi_in = spi;
        } else {
            c.spi_in = spi;
            c.in_sa = Some(id);
            let more = c.slot.filter(|_| c.layers.comp);
            self.by_spi_in.insert(spi, child);
            if let Some(slot) = more {
                return self.get_spi(child, SaId { proto: SaProto::Comp, ..id }, slot);
            }
        }
        let waiting = self.children.get_mut(&child).and_then(|c| c.waiting.take());
        let outcome = match waiting {
            Some(WaitingForSpi::Initiator) => self.quick_have_spi_initiator(child),
            Some(WaitingForSpi::Responder(was)) => self.quick_have_spi_responder(child, *was),
            None => Ok(()),
        };
        if let Err(fail) = outcome {
            self.failed(child, fail);
        }
    }

    pub(crate) fn child_established(&mut self, child: Serial) {
        let wall = self.now.wall;
        let Some(c) = self.children.get_mut(&child) else { return };
        c.state = Phase2::Up;
        c.since = wall;
        c.retransmits = 0;
        c.answered_duplicates = 0;
        let (ike, conn, name) = (c.ike, c.conn, c.name());
        if let Some(sa) = self.ikes.get_mut(&ike) {
            sa.close_exchange(child);
        }
        if let Some(c) = self.conns.get_mut(conn) {
            c.newest_child = Some(child);
        }
        let extra = self.sa_words(child);
        self.log_state(child, name, &extra);
        self.arm_child_lifetime(child);
        self.watch_traffic(child);
        self.watch_truncation(child);
        self.child_came_up(child);
        self.release_whack(child);
    }

    /// ` transport mode {ESP=>0x… <0x… xfrm=AES_128-HMAC_SHA1 NATOA=none NATD=none DPD=none}`.
    pub(crate) fn sa_words(&self, child: Serial) -> String {
        let Some(c) = self.children.get(&child) else { return String::new() };
        let Some(suite) = c.suite else { return String::new() };
        let sa = self.ikes.get(&c.ike);
        let nat = sa.filter(|s| s.remote.port() != 500);
        let main = match c.layers.proto {
            SaProto::Ah => format!("AH=>0x{:08x} <0x{:08x} xfrm={}", c.spi_out, c.spi_in, suite.integ.name()),
            SaProto::Esp | SaProto::Comp => format!(
                "ESP{}=>0x{:08x} <0x{:08x} xfrm={}-{}",
                if nat.is_some() { "/NAT" } else { "" },
                c.spi_out,
                c.spi_in,
                suite.cipher.name(),
                suite.integ.name()
            ),
        };
        let comp = match c.layers.comp {
            true => format!(" IPCOMP=>0x{:08x} <0x{:08x}", c.cpi_out, c.cpi_in),
            false => String::new(),
        };
        let none = || "none".to_string();
        let dpd = sa.is_some_and(|s| s.peer_dpd && self.dpd_wanted(s.conn));
        format!(
            " {} mode {{{main}{comp} NATOA={} NATD={} DPD={}}}",
            if c.mode == Mode::Tunnel { "tunnel" } else { "transport" },
            c.nat_oa.map_or_else(none, |a| a.to_string()),
            nat.map_or_else(none, |s| s.remote.to_string()),
            if dpd { "enabled" } else { "none" },
        )
    }

    /// Removes a Child SA or an unfinished Quick Mode, and what the kernel has of it.
    pub(crate) fn delete_child(&mut self, child: Serial, tell_peer: bool) {
        if tell_peer && self.children.get(&child).is_some_and(ChildSa::is_up) {
            self.send_delete_child(child);
        }
        // The successors that leave outbound packets to this one do so no longer.
        let users =
            self.children.get(&child).and_then(|c| c.slot.filter(|_| c.is_up())).map(|s| self.spd.users(s));
        for other in users.unwrap_or_default().into_iter().filter(|s| *s != child) {
            self.switch_outbound(other);
        }
        self.release_whack(child);
        self.timers.clear_all(child);
        self.watched.remove(&child);
        self.unproved.remove(&child);
        self.installs.remove(&child);
        let counted = self.count_last(child);
        let Some(c) = self.children.remove(&child) else { return };
        if let Some(id) = c.out_sa {
            self.by_spi_out.remove(&(id.dst, id.spi));
        }
        // Policies go before the SAs: a policy without its SA refuses what comes in, and makes the kernel ask for
        // another SA for what goes out.
        if let Some(slot) = c.slot {
            for id in self.spd.leave(slot, child) {
                self.kernel(KernelRequest::DelPolicy(id), None);
            }
        }
        if let Some(id) = c.in_sa {
            self.by_spi_in.remove(&id.spi);
        }
        for id in [c.out_sa, c.comp_out(), c.in_sa, c.comp_in()].into_iter().flatten() {
            self.kernel(KernelRequest::DelSa(id), None);
        }
        self.by_msgid.remove(&(c.ike, c.msgid));
        if let Some(sa) = self.ikes.get_mut(&c.ike) {
            sa.close_exchange(child);
        }
        if let Some(x) = self.conns.get_mut(c.conn).filter(|x| x.newest_child == Some(child)) {
            x.newest_child = None;
        }
        if c.is_up() {
            self.child_went_down(c.conn, &c.flow, counted.then_some(child));
        }
        self.conn_unref(c.conn);
    }

    /// `ipsec whack --trafficstatus`.
    pub(crate) fn traffic_status(&mut self, client: ClientId) {
        let all: Vec<(Serial, SaId)> = self
            .children
            .iter()
            .filter(|(_, c)| c.is_up())
            .filter_map(|(s, c)| Some((*s, c.in_sa?)))
            .collect();
        if all.is_empty() {
            return self.out.push_back(Output::WhackDone(client));
        }
        self.traffic.insert(client, u32::try_from(all.len()).unwrap_or(u32::MAX));
        for (child, id) in all {
            let wait = KernelWait::Usage(child, Traffic { client, inbound: None });
            self.kernel(KernelRequest::QuerySa(id), Some(wait));
        }
    }

    pub(crate) fn on_usage(&mut self, child: Serial, t: Traffic, result: Result<KernelReply, KernelError>) {
        let bytes = match result {
            Ok(KernelReply::Usage(u)) => u.bytes,
            _ => 0,
        };
        if let (None, Some(id)) = (t.inbound, self.children.get(&child).and_then(|c| c.out_sa)) {
            let wait = KernelWait::Usage(child, Traffic { inbound: Some(bytes), ..t });
            return self.kernel(KernelRequest::QuerySa(id), Some(wait));
        }
        if let Some(c) = self.children.get(&child) {
            let id = self.conns.get(c.conn).map_or(ipsec_types::Id::None, |x| match &x.peer_id {
                ipsec_types::Id::None => x.wanted_id(),
                id => id.clone(),
            });
            let label = self.conn_label(c.conn, 0);
            let kind = if c.layers.proto == SaProto::Ah { "AH" } else { "ESP" };
            let user = self.conns.get(c.conn).and_then(|x| x.rare.xauth_user.clone());
            let user = user.map_or_else(String::new, |u| format!(" username={u},"));
            let lease = self.conns.get(c.conn).and_then(|x| x.rare.their_lease.or(x.rare.our_lease));
            let lease = lease.map_or_else(String::new, |a| format!(", lease={}", ipnet::IpNet::from(a)));
            let text = format!(
                "{child}: {label},{user} type={kind}, add_time={}, inBytes={}, outBytes={bytes}, id='{id}'{lease}",
                c.since,
                t.inbound.unwrap_or(0),
            );
            self.reply(t.client, rc::INFORMATIONAL, &text);
        }
        if let Some(left) = self.traffic.get_mut(&t.client) {
            *left -= 1;
            if *left == 0 {
                self.traffic.remove(&t.client);
                self.out.push_back(Output::WhackDone(t.client));
            }
        }
    }
}
