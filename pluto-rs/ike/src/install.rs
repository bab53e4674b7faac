//! Child SAs into the kernel: step by step with undo, and which of two outbound SAs packets leave through.

use std::time::Duration;

use ipsec_types::SecretBytes;
use ipsec_types::algo::{EspCipher, EspInteg};
use ipsec_types::kernel::{
    Dir, Encap, KernelError, KernelReply, KernelRequest, Mode, PolicyAction, PolicySpec, SaId, SaSpec,
};

use crate::Endpoint;
use crate::endpoint::KernelWait;
use crate::route::policy_priority;
use crate::sa::{ChildSa, EspKeys, Role, Serial, StateName};
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

impl Endpoint {
    fn submit_step(&mut self, child: Serial, stage: Stage, request: KernelRequest) {
        self.installs.entry(child).or_default().0 += 1;
        self.kernel(request, Some(KernelWait::Install(child, stage)));
    }

    /// One direction of a child as the kernel wants it.
    fn sa_spec(&self, c: &ChildSa, id: SaId, keys: &EspKeys, inbound: bool) -> Option<SaSpec> {
        let (slot, suite, sa) = (c.slot?, c.suite?, self.ikes.get(&c.ike)?);
        let conn = self.conns.get(c.conn)?;
        let spec = &conn.spec;
        let integ = match suite.integ {
            EspInteg::Sha256 if conn.cuts_sha256(suite.cipher) => EspInteg::Sha256Trunc96,
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
        if !self.has_predecessor(child) {
            return self.submit_outbound(child, &keys, Stage::InitiatorBoth);
        }
        if let Some(c) = self.children.get_mut(&child) {
            c.switch = Some(Box::new(keys));
        }
        Ok(())
    }

    /// Whether another SA takes the packets.
    fn has_predecessor(&self, child: Serial) -> bool {
        let users = self.children.get(&child).and_then(|c| c.slot).map(|s| self.spd.users(s));
        let sends = |s: &Serial| *s != child && self.children.get(s).is_some_and(ChildSa::is_up);
        users.unwrap_or_default().iter().any(sends)
    }

    /// QI2 is sent, or sent again.
    pub(crate) fn switch_later(&mut self, child: Serial) {
        if !self.has_predecessor(child) {
            self.switch_outbound(child);
        } else if self.children.get(&child).is_some_and(|c| c.switch.is_some()) {
            let at = self.after(SWITCH);
            self.timers.set(child, TimerKind::Switch, at);
        }
    }

    /// From now on packets leave through the outbound SA of `child`, if they do not yet and its inbound one is in place.
    pub(crate) fn switch_outbound(&mut self, child: Serial) {
        self.timers.clear(child, TimerKind::Switch);
        let up = self.children.get_mut(&child).filter(|c| c.is_up());
        let Some(keys) = up.and_then(|c| c.switch.take()) else { return };
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
        if entry.note(dir, c.layers) == Some(c.layers) && !shunted {
            return;
        }
        let (lead, flow) = (entry.lead(), entry.flow);
        let Some(conn) = self.conns.get(c.conn) else { return };
        let priority = policy_priority(conn, &flow) - lead;
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
}
