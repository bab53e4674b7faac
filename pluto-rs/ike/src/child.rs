//! Child SAs and the kernel: SPIs, installation step by step with undo, establishment, removal, counters.

use ipsec_types::SecretBytes;
use ipsec_types::algo::{EspCipher, EspInteg};
use ipsec_types::kernel::{
    Dir, Encap, KernelError, KernelReply, KernelRequest, Layers, Mode, PolicyAction, PolicySpec, SaId,
    SaProto, SaSpec,
};
use ipsec_types::whack::rc;
use std::time::Duration;

use crate::Endpoint;
use crate::conn::ConnId;
use crate::endpoint::KernelWait;
use crate::io::{ClientId, Output};
use crate::route::policy_priority;
use crate::sa::{ChildSa, EspKeys, Phase2, Role, Serial, StateName, WaitingForSpi};
use crate::spd::{Flow, Slot};
use crate::timer::TimerKind;
use crate::v1::Fail;
use crate::wire::notify::NotifyType;

/// The kernel's own limit stands this much behind our timer, in seconds: a daemon that died leaves no SA for ever.
const KERNEL_GRACE: u64 = 60;

/// What an installation is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Inbound, then QR1 is sent.
    ResponderInbound,
    /// Outbound, then the SA is up.
    ResponderOutbound,
    /// Both, then QI2 is sent and the SA is up.
    InitiatorBoth,
    /// Outbound, in place of the predecessor's.
    Switch,
}

/// How long a successor that we began leaves outbound packets to its predecessor after QI2: the peer has to read that
/// first, and some (strongSwan) install nothing before.
const SWITCH: Duration = Duration::from_secs(1);

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
            sa.open_children.push(serial);
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
        let Some(slot) = self.spd.enter(c.flow, c.conn, child) else {
            self.failed(child, Fail::fatal("no room for another policy (32767 are in use)"));
            return;
        };
        if let Some(c) = self.children.get_mut(&child) {
            c.slot = Some(slot);
        }
        let id = SaId { src: remote, dst: local, spi: 0, proto: self.children_layers(child).proto };
        self.get_spi(child, id, slot);
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

    fn submit_step(&mut self, child: Serial, stage: Stage, request: KernelRequest) {
        self.installs.entry(child).or_default().0 += 1;
        self.kernel(request, Some(KernelWait::Install(child, stage)));
    }

    /// One direction of a child as the kernel wants it.
    fn sa_spec(&self, c: &ChildSa, id: SaId, keys: &EspKeys, inbound: bool) -> Option<SaSpec> {
        let (slot, suite, sa) = (c.slot?, c.suite?, self.ikes.get(&c.ike)?);
        let spec = &self.conns.get(c.conn)?.spec;
        let cut = spec.sha2_truncbug
            || spec.esp.iter().any(|s| s.cipher == suite.cipher && s.integ == EspInteg::Sha256Trunc96);
        let integ = match suite.integ {
            EspInteg::Sha256 if cut => EspInteg::Sha256Trunc96,
            other => other,
        };
        // A successor is asked for when nine tenths are used up; the responder, which waits, at nineteen twentieths.
        let early = |n: u64| match c.role {
            Role::Initiator => n - n / 10,
            Role::Responder => n - n / 20,
        };
        let encap = sa.natt.detected().then(|| {
            let (ours, theirs) = (sa.local.port(), sa.remote.port());
            let (sport, dport) = if inbound { (theirs, ours) } else { (ours, theirs) };
            Encap { sport, dport, original: c.nat_oa }
        });
        Some(SaSpec {
            id,
            reqid: slot.reqid(),
            // The tunnel is that of the innermost layer.
            mode: if c.layers.comp { Mode::Transport } else { c.mode },
            cipher: suite.cipher,
            cipher_key: keys.cipher.clone(),
            integ,
            integ_key: keys.integ.clone(),
            encap,
            replay_window: if inbound { spec.replay_window } else { 0 },
            hard_seconds: u64::from(c.lifetime) + KERNEL_GRACE,
            life_bytes: (early(c.life_bytes), c.life_bytes),
            life_packets: (early(spec.life_packets), spec.life_packets),
            set_mark: slot.mark().filter(|_| inbound),
            inbound,
        })
    }

    /// The IPComp SA beside `main`, which has its lifetimes.
    fn comp_spec(c: &ChildSa, id: SaId, main: &SaSpec) -> SaSpec {
        SaSpec {
            id,
            mode: c.mode,
            cipher: EspCipher::Null,
            cipher_key: SecretBytes::default(),
            integ: EspInteg::None,
            integ_key: SecretBytes::default(),
            encap: None,
            replay_window: 0,
            life_bytes: (0, 0),
            life_packets: (0, 0),
            ..main.clone()
        }
    }

    pub(crate) fn install_inbound(
        &mut self,
        child: Serial,
        keys: &EspKeys,
        stage: Stage,
    ) -> Result<(), Fail> {
        let gone = || Fail::fatal("the Child SA is gone");
        let c = self.children.get(&child).ok_or_else(gone)?;
        let spec = self.sa_spec(c, c.in_sa.ok_or_else(gone)?, keys, true).ok_or_else(gone)?;
        let mode = c.mode;
        if let Some(id) = c.comp_in() {
            let comp = Self::comp_spec(c, id, &spec);
            self.submit_step(child, stage, KernelRequest::AddSa(Box::new(comp)));
        }
        self.submit_step(child, stage, KernelRequest::AddSa(Box::new(spec)));
        self.install_policy(child, Dir::In, stage);
        if mode == Mode::Tunnel {
            self.install_policy(child, Dir::Fwd, stage);
        }
        Ok(())
    }

    pub(crate) fn install_outbound(
        &mut self,
        child: Serial,
        keys: &EspKeys,
        stage: Stage,
    ) -> Result<(), Fail> {
        self.claim_outbound(child)?;
        self.submit_outbound(child, keys, stage)
    }

    /// The outbound SA of a successor waits for [`Self::switch_outbound`] if its predecessor has one.
    pub(crate) fn install_successor(&mut self, child: Serial, keys: EspKeys) -> Result<(), Fail> {
        self.claim_outbound(child)?;
        let users = self.children.get(&child).and_then(|c| c.slot).map(|s| self.spd.users(s));
        let sends = |s: &Serial| *s != child && self.children.get(s).is_some_and(ChildSa::is_up);
        if !users.unwrap_or_default().iter().any(sends) {
            return self.submit_outbound(child, &keys, Stage::InitiatorBoth);
        }
        if let Some(c) = self.children.get_mut(&child) {
            c.switch = Some(keys);
        }
        Ok(())
    }

    /// QI2 is sent, or sent again.
    pub(crate) fn switch_later(&mut self, child: Serial) {
        if self.children.get(&child).is_some_and(|c| c.switch.is_some()) {
            let at = self.after(SWITCH);
            self.timers.set(child, TimerKind::Switch, at);
        }
    }

    /// From now on packets leave through the outbound SA of `child`, if they do not yet.
    pub(crate) fn switch_outbound(&mut self, child: Serial) {
        self.timers.clear(child, TimerKind::Switch);
        let Some(keys) = self.children.get_mut(&child).and_then(|c| c.switch.take()) else { return };
        if let Err(fail) = self.submit_outbound(child, &keys, Stage::Switch) {
            self.failed(child, fail);
        }
    }

    /// Takes the peer's SPI, if nobody has it.
    fn claim_outbound(&mut self, child: Serial) -> Result<(), Fail> {
        let gone = || Fail::fatal("the Child SA is gone");
        let c = self.children.get_mut(&child).ok_or_else(gone)?;
        let inbound = c.in_sa.ok_or_else(gone)?;
        let id = SaId { src: inbound.dst, dst: inbound.src, spi: c.spi_out, ..inbound };
        // Another client behind the same NAT may have this SPI; the kernel has room for one, and the undo of a failed
        // addition would take the other's away.
        if self.by_spi_out.contains_key(&(id.dst, id.spi)) {
            let text = format!("the peer's SPI 0x{:08x} is in use at {}", id.spi, id.dst);
            return Err(Fail::refuse(NotifyType::NoProposalChosen, text));
        }
        c.out_sa = Some(id);
        self.by_spi_out.insert((id.dst, id.spi), child);
        Ok(())
    }

    fn submit_outbound(&mut self, child: Serial, keys: &EspKeys, stage: Stage) -> Result<(), Fail> {
        let gone = || Fail::fatal("the Child SA is gone");
        let c = self.children.get(&child).ok_or_else(gone)?;
        let spec = self.sa_spec(c, c.out_sa.ok_or_else(gone)?, keys, false).ok_or_else(gone)?;
        if let Some(id) = c.comp_out() {
            let comp = Self::comp_spec(c, id, &spec);
            self.submit_step(child, stage, KernelRequest::AddSa(Box::new(comp)));
        }
        self.submit_step(child, stage, KernelRequest::AddSa(Box::new(spec)));
        self.install_policy(child, Dir::Out, stage);
        Ok(())
    }

    /// Policies are shared by a child and its successors; the first user installs them.
    fn install_policy(&mut self, child: Serial, dir: Dir, stage: Stage) {
        let Some((c, slot)) = self.children.get(&child).and_then(|c| Some((c, c.slot?))) else { return };
        let (Some(sa), mode) = (c.in_sa, c.mode) else { return };
        let Some(entry) = self.spd.get_mut(slot) else { return };
        let id = entry.policy(slot, dir);
        let shunted = dir == Dir::Out && std::mem::take(&mut entry.shunted);
        if !entry.installed.contains(&id) {
            entry.installed.push(id);
        } else if !shunted && entry.layers.get(&dir) == Some(&c.layers) {
            return;
        }
        entry.layers.insert(dir, c.layers);
        let (marked, flow) = (entry.marked, entry.flow);
        let Some(conn) = self.conns.get(c.conn) else { return };
        let priority = policy_priority(conn, &flow) - u32::from(marked);
        let (src, dst) = if dir == Dir::Out { (sa.dst, sa.src) } else { (sa.src, sa.dst) };
        let action = PolicyAction::Esp { src, dst, reqid: slot.reqid(), mode, layers: c.layers };
        self.submit_step(child, stage, KernelRequest::AddPolicy(PolicySpec { id, priority, action }));
    }

    /// One step is done. When all are, go on; when one failed, undo the others.
    pub(crate) fn on_installed(
        &mut self,
        child: Serial,
        stage: Stage,
        result: Result<KernelReply, KernelError>,
    ) {
        let Some((left, failed)) = self.installs.get_mut(&child) else { return };
        *left -= 1;
        if let Err(e) = result {
            failed.get_or_insert(e);
        }
        if *left > 0 {
            return;
        }
        let failed = self.installs.remove(&child).and_then(|x| x.1);
        if let Some(e) = failed {
            if matches!(stage, Stage::ResponderOutbound | Stage::Switch) {
                // The peer has sent QI2, or has it, and believes in the SA.
                self.send_delete_child(child);
            }
            return self.failed(child, Fail::fatal(e.to_string()));
        }
        match stage {
            Stage::ResponderInbound => self.quick_send_r1(child),
            Stage::ResponderOutbound => {
                self.log_transition(child, StateName::QuickR1, StateName::QuickR2);
                self.child_established(child);
            }
            Stage::InitiatorBoth => {
                self.quick_send_i2(child);
                self.child_established(child);
                self.switch_later(child);
            }
            Stage::Switch => {}
        }
    }

    fn child_established(&mut self, child: Serial) {
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
        let users = self.children.get(&child).and_then(|c| c.slot).map(|s| self.spd.users(s));
        for other in users.unwrap_or_default().into_iter().filter(|s| *s != child) {
            self.switch_outbound(other);
        }
        self.release_whack(child);
        self.timers.clear_all(child);
        self.installs.remove(&child);
        let Some(c) = self.children.remove(&child) else { return };
        if let Some(id) = c.out_sa {
            self.by_spi_out.remove(&(id.dst, id.spi));
        }
        for id in [c.out_sa, c.comp_out()].into_iter().flatten() {
            self.kernel(KernelRequest::DelSa(id), None);
        }
        // Policies go before the inbound SA, so that no packet is checked against a policy without its SA.
        if let Some(slot) = c.slot {
            for id in self.spd.leave(slot, child) {
                self.kernel(KernelRequest::DelPolicy(id), None);
            }
        }
        if let Some(id) = c.in_sa {
            self.by_spi_in.remove(&id.spi);
        }
        for id in [c.in_sa, c.comp_in()].into_iter().flatten() {
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
            self.child_went_down(c.conn, &c.flow);
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
            let text = format!(
                "{child}: {label}, type={kind}, add_time={}, inBytes={}, outBytes={bytes}, id='{id}'",
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
