//! What is alike in the first messages of Main and Aggressive Mode: a stranger gets a state, a responder takes a transform of
//! the offer, an initiator reads which one was taken, and an end that has proved itself is followed to where it came from.
//! Messages are read and made in `main_…` and `aggr_…`.

use std::net::SocketAddr;

use ipsec_types::Id;
use ipsec_types::algo::IkeSuite;
use ipsec_types::conn::ConnSpec;
use ipsec_types::whack::rc;

use super::auth_method::{AuthMethod, Proof, methods};
use super::phase1::Offered;
use super::{Fail, authenticate, natt, phase1, refusal, signature};
use crate::Endpoint;
use crate::conn::{ConnId, Connection};
use crate::sa::{Digest, IkeSa, Phase1, Role, Serial, origin};
use crate::wire::notify::NotifyType;
use crate::wire::{Cookie, SaPayload};

/// Where a first message came from and went to, and what it was.
#[derive(Clone, Copy)]
pub(super) struct First {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub icookie: Cookie,
    pub digest: Digest,
}

/// What a responder takes.
pub(super) struct Taken {
    pub offered: Offered,
    /// Seconds.
    pub lifetime: u32,
    /// Body of the SA payload that says so.
    pub answer: Vec<u8>,
}

/// The one transform a responder has chosen, which must be of those that `ours` offers.
///
/// # Errors
/// It is none of them, or not one.
pub(super) fn chosen_of(
    sa_r: &SaPayload<'_>,
    ours: &ConnSpec,
    methods: &[AuthMethod],
) -> Result<Offered, Fail> {
    if sa_r.proposals.len() != 1 || sa_r.proposals.iter().any(|p| p.transforms.len() != 1) {
        return Err(Fail::ignore(
            "Proposal must be alone in Oakley SA: the responder did not choose one transform",
        ));
    }
    let found = phase1::choose(sa_r, ours, methods);
    found
        .map(|(_, _, chosen)| chosen)
        .map_err(|why| Fail::ignore(format!("the responder chose what we did not offer: {}", why.join("; "))))
}

impl Endpoint {
    /// A state for a stranger, who comes to `template`; whether its conn names him. `None` if there is no room.
    pub(super) fn respond_to(
        &mut self,
        first: First,
        template: ConnId,
        aggressive: bool,
        state: Phase1,
    ) -> Option<(Serial, bool)> {
        let First { local, remote, icookie, digest } = first;
        if !self.admit_half_open(remote.ip()) {
            let mode = mode_name(aggressive);
            let text = format!("too many half-open ISAKMP SAs; initial {mode} Mode message dropped");
            self.log_packet(remote, &text);
            return None;
        }
        let Some((conn, known)) = self.conn_for_first_message(template, remote) else {
            self.leave_half_open(remote.ip());
            return None;
        };
        let serial = self.new_serial();
        let rcookie = self.random();
        let mut sa = IkeSa::new(conn, Role::Responder, (icookie, rcookie), local, remote, state);
        sa.aggressive = aggressive;
        sa.natt.floated = self.is_nat_port(local);
        sa.half_open = Some(remote.ip());
        sa.last_received = Some(digest);
        sa.first_from = Some(origin(remote));
        self.by_cookies.insert((sa.icookie, sa.rcookie), serial);
        self.by_first.insert((sa.icookie, origin(remote)), serial);
        self.ikes.insert(serial, sa);
        self.half_open.came(serial);
        self.conn_ref(conn);
        Some((serial, known))
    }

    pub(super) fn log_responding(&mut self, serial: Serial, known: bool) {
        let Some((aggressive, remote)) = self.ikes.get(&serial).map(|s| (s.aggressive, s.remote)) else {
            return;
        };
        let whom = if known { String::new() } else { format!(" from unknown peer {remote}") };
        self.log_sa(serial, rc::LOG, &format!("responding to {} Mode{whom}", mode_name(aggressive)));
    }

    /// The first transform of an offer that the conn and our keys allow, of those that `fits`; `him` is whom we lack a key for.
    ///
    /// # Errors
    /// There is none. What a key of ours is missing for comes first.
    pub(super) fn take_offer(
        &self,
        sa: &IkeSa,
        c: &Connection,
        offer: &SaPayload<'_>,
        usable: &[AuthMethod],
        him: &Id,
        fits: impl Fn(IkeSuite) -> bool,
    ) -> Result<Taken, Fail> {
        let choice = phase1::choose_where(offer, &c.spec, usable, &fits);
        let (proposal, transform, offered) = choice.map_err(|why| {
            let allowed = methods(c, sa.role);
            let lacks = phase1::choose_where(offer, &c.spec, &allowed, &fits).ok();
            let lacks = lacks.map(|found| match found.2.auth.proof(sa.role) {
                Proof::Psk => authenticate::no_psk(c, him),
                Proof::Signature | Proof::Later => signature::no_private_key(c),
            });
            let text = match lacks {
                Some(lacks) => vec![lacks, "no acceptable Oakley Transform".into()],
                None => {
                    let why = refusal::of_phase1(offer, &c.spec, &allowed, sa.looks_like, &why);
                    vec![format!("no acceptable Oakley Transform: {why}")]
                }
            };
            Fail { text, notify: Some(NotifyType::NoProposalChosen), fatal: true }
        })?;
        // With rekey=no the peer's lifetime is taken as it is.
        let own = if c.spec.rekey { c.spec.ike_lifetime } else { phase1::MAX_LIFE as u32 };
        let lifetime = offered.life.map_or(c.spec.ike_lifetime, |l| l.min(own));
        Ok(Taken { offered, lifetime, answer: proposal.emit_choice(transform, &[]) })
    }

    /// The initiator's last message has proved it: it is where that came from. What is to be said of it, if that is new.
    pub(super) fn follow_initiator(
        &mut self,
        serial: Serial,
        local: SocketAddr,
        remote: SocketAddr,
        natt: natt::NatT,
    ) -> Option<String> {
        let floated = self.is_nat_port(local);
        let sa = self.ikes.get_mut(&serial)?;
        let moved = (sa.remote != remote)
            .then(|| format!("new NAT mapping for {serial}, was {}, now {remote}", sa.remote));
        (sa.remote, sa.local, sa.natt) = (remote, local, natt);
        sa.natt.floated = floated;
        moved
    }
}

fn mode_name(aggressive: bool) -> &'static str {
    if aggressive { "Aggressive" } else { "Main" }
}
