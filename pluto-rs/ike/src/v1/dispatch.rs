//! Where a datagram belongs: header, index, repetition, state. What fits nowhere is dropped here, before any payload
//! is looked at.

use std::net::SocketAddr;

use ipsec_types::whack::rc;

use super::Fail;
use super::main_responder::digest;
use crate::Endpoint;
use crate::io::Output;
use crate::sa::{Digest, Phase1, Role, Serial, origin};
use crate::wire::fragment::FRAGMENT;
use crate::wire::notify::NotifyType;
use crate::wire::{Exchange, Header};

impl Endpoint {
    /// One datagram from port 500 or 4500, or what `ikeport=` says instead.
    pub(crate) fn on_datagram(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
        if !self.listening || remote.port() == 0 {
            return;
        }
        let message = match (self.is_nat_port(local), data) {
            (false, m) => m,
            // RFC 3948 §2.2: four zero octets in front of IKE; ESP has gone to the kernel. One peer sends the marker
            // twice at times.
            (_, [0, 0, 0, 0, 0, 0, 0, 0, m @ ..]) if Header::parse(m).is_ok() => m,
            (_, [0, 0, 0, 0, m @ ..]) => m,
            // A NAT keep-alive, or ESP for an SA that is gone.
            _ => return,
        };
        let (header, body) = match Header::parse(message) {
            Ok(x) => x,
            Err(e) => return self.log_packet(remote, &e.to_string()),
        };
        match header.version >> 4 {
            1 => self.on_v1(local, remote, &header, body, message),
            2 => self
                .log_packet(remote, "IKEv2 message received, but only IKEv1 is spoken here; message ignored"),
            v => self.log_packet(remote, &format!("ignoring packet with IKE major version '{v}'")),
        }
    }

    pub(super) fn on_v1(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        message: &[u8],
    ) {
        if h.next == FRAGMENT {
            return self.on_fragment(local, remote, h, body);
        }
        let Some(digest) = digest(message) else { return };
        match h.exchange {
            Exchange::Main | Exchange::Aggressive if h.msgid != 0 => {
                let mode = if h.exchange == Exchange::Main { "Main" } else { "Aggressive" };
                let text = format!("{mode} Mode message with Message ID 0x{:08x} ignored", h.msgid);
                self.log_packet(remote, &text);
            }
            Exchange::Main | Exchange::Aggressive if h.rcookie == [0; 8] => {
                match self.by_first.get(&(h.icookie, origin(remote))).copied() {
                    Some(serial) => self.on_repeated_first(serial, &digest),
                    None if h.exchange == Exchange::Main => self.main_in_i1(local, remote, h, body, digest),
                    None => self.aggr_in_i1(local, remote, h, body, digest),
                }
            }
            Exchange::Main | Exchange::Aggressive => match self.find_ike(h) {
                Some(serial) => self.on_phase1(serial, local, remote, h, body, digest),
                None => self.log_packet(remote, "phase 1 message is part of an unknown exchange"),
            },
            Exchange::Quick => match self.find_ike(h) {
                Some(serial) => self.on_quick(serial, local, remote, h, body, digest),
                None => {
                    self.log_packet(remote, "Quick Mode message is for a non-existent (expired?) ISAKMP SA")
                }
            },
            Exchange::Informational => match self.find_ike(h) {
                Some(serial) => self.on_informational(serial, local, remote, h, body),
                None => self.log_packet(
                    remote,
                    &format!(
                        "Informational Exchange is for an unknown (expired?) SA with MSGID:0x{:08x}",
                        h.msgid
                    ),
                ),
            },
            Exchange::Transaction => match self.find_ike(h) {
                Some(serial) => self.on_transaction(serial, local, remote, h, body, digest),
                None => {
                    let text = "Transaction message is for a non-existent (expired?) ISAKMP SA";
                    self.log_packet(remote, text);
                }
            },
            Exchange::Other(n) => {
                self.log_packet(remote, &format!("exchange type {n} is not supported; message ignored"))
            }
        }
    }

    pub(super) fn find_ike(&self, h: &Header) -> Option<Serial> {
        let ours = || self.by_icookie.get(&h.icookie).copied().filter(|_| h.rcookie != [0; 8]);
        self.by_cookies.get(&(h.icookie, h.rcookie)).copied().or_else(ours)
    }

    /// MI1 or AI1 again: MR1 or AR1 again, if it is the very same.
    fn on_repeated_first(&mut self, serial: Serial, digest: &Digest) {
        let Some(sa) = self.ikes.get(&serial) else { return };
        let n = sa.answered_duplicates;
        let first = matches!(sa.state, Phase1::MainR1 { .. } | Phase1::AggrR1(_));
        if first && sa.last_received.as_ref() == Some(digest) && self.answers_duplicate(n) {
            let Some(sa) = self.ikes.get_mut(&serial) else { return };
            sa.answered_duplicates += 1;
            let (again, n) = (sa.last_sent.clone(), sa.answered_duplicates);
            self.transmit_again(serial, &again, n);
        }
    }

    /// A phase 1 message for an SA we know.
    fn on_phase1(
        &mut self,
        serial: Serial,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        digest: Digest,
    ) {
        let Some(sa) = self.ikes.get(&serial) else { return };
        let name = sa.name().label();
        if sa.aggressive != (h.exchange == Exchange::Aggressive) {
            return self
                .log_packet(remote, "phase 1 message is of another exchange than its ISAKMP SA; ignored");
        }
        if sa.last_received.as_ref() == Some(&digest) {
            // While a worker computes there is no answer yet; the peer will ask again.
            if matches!(sa.state, Phase1::Suspended(_)) {
                return;
            }
            let again = match &sa.state {
                Phase1::Up(up) if sa.role == Role::Responder && !sa.aggressive => up.final_reply.clone(),
                Phase1::Up(_) if sa.role == Role::Initiator && sa.aggressive => sa.last_sent.clone(),
                Phase1::Up(_) => return,
                _ => sa.last_sent.clone(),
            };
            let n = sa.answered_duplicates;
            if !self.answers_duplicate(n) {
                return;
            }
            let Some(sa) = self.ikes.get_mut(&serial) else { return };
            sa.answered_duplicates += 1;
            let n = sa.answered_duplicates;
            self.transmit_again(serial, &again, n);
            let text = format!("retransmitting in response to duplicate packet; already {name}");
            return self.log_sa(serial, rc::RETRANSMISSION, &text);
        }
        let outcome = match &sa.state {
            Phase1::MainI1 { .. } => self.main_in_r1(serial, h, body),
            Phase1::MainI2(_) => self.main_in_r2(serial, h, body),
            Phase1::MainI3(_) => self.main_in_r3(serial, h, body),
            Phase1::AggrI1(_) => self.aggr_in_r1(serial, h, body),
            Phase1::AggrR1(_) => self.aggr_in_i2(serial, remote, local, h, body),
            Phase1::MainR1 { .. } => self.main_in_i2(serial, h, body),
            Phase1::MainR2(_) => self.main_in_i3(serial, remote, local, h, body),
            Phase1::Suspended(_) | Phase1::Up(_) => {
                Err(Fail::ignore(format!("discarding duplicate packet; already {name}")))
            }
        };
        match outcome {
            Ok(()) => {
                if let Some(sa) = self.ikes.get_mut(&serial) {
                    sa.last_received = Some(digest);
                }
            }
            Err(fail) => self.failed(serial, fail),
        }
    }

    /// Logs a failure, tells the peer if that is due, and drops the state if it must go.
    pub(crate) fn failed(&mut self, serial: Serial, fail: Fail) {
        for line in fail.text.iter().filter(|l| !l.is_empty()) {
            self.log_sa(serial, rc::LOG_SERIOUS, line);
        }
        if let Some(kind) = fail.notify {
            self.notify_failure(serial, kind);
        }
        if fail.fatal {
            if let Some(kind) = fail.notify {
                let code = u16::from(rc::NOTIFICATION).saturating_add(kind.number());
                let name = self.state_label(serial);
                let code = u8::try_from(code).unwrap_or(rc::FATAL);
                let text = format!("{name}: {}", kind.name());
                if let Some(client) = self.attached(serial) {
                    self.reply(client, code, &text);
                }
            }
            self.drop_state(serial);
        }
    }

    fn notify_failure(&mut self, serial: Serial, kind: NotifyType) {
        let ike = self.children.get(&serial).map_or(serial, |c| c.ike);
        let limit = self.setup.limits.malformed;
        let Some(sa) = self.ikes.get_mut(&ike) else { return };
        if kind == NotifyType::PayloadMalformed {
            if sa.malformed_sent >= limit {
                self.refused.malformed += 1;
                return;
            }
            sa.malformed_sent += 1;
        }
        let (remote, up) = (sa.remote, sa.up().is_some());
        let encrypted = if up { "encrypted " } else { "" };
        self.log_sa(serial, rc::LOG, &format!("sending {encrypted}notification {} to {remote}", kind.name()));
        self.send_notification(ike, kind);
    }

    pub(crate) fn state_label(&self, serial: Serial) -> &'static str {
        match (self.ikes.get(&serial), self.children.get(&serial)) {
            (Some(s), _) => s.name().label(),
            (None, Some(c)) => c.name().label(),
            (None, None) => "STATE_UNDEFINED",
        }
    }

    fn attached(&self, serial: Serial) -> Option<crate::ClientId> {
        match (self.ikes.get(&serial), self.children.get(&serial)) {
            (Some(s), _) => s.later.whack,
            (None, Some(c)) => c.whack,
            (None, None) => None,
        }
    }

    /// A client of the control socket went away: its negotiation goes on alone.
    pub(crate) fn on_whack_gone(&mut self, client: crate::ClientId) {
        self.ikes.values_mut().filter(|s| s.later.whack == Some(client)).for_each(|s| s.later.whack = None);
        self.children.values_mut().filter(|c| c.whack == Some(client)).for_each(|c| c.whack = None);
        self.traffic.remove(&client);
    }

    /// NAT keep-alive (RFC 3948 §2.3).
    pub(crate) fn send_keepalive(&mut self, serial: Serial) {
        if let Some(sa) = self.ikes.get(&serial) {
            self.out.push_back(Output::Transmit { local: sa.local, remote: sa.remote, data: vec![0xff] });
        }
    }
}
