//! The set-up of a control connection that we open, as LAC (RFC 2661 §5.1), and the collision of two (§4.4.3, Tie Breaker).
//!
//! ```text
//!   we                                             LNS
//!   SCCRQ: version, host name, tunnel id,
//!          window, [tie breaker], [challenge] ──►
//!                        ◄──  SCCRP: version, host name, tunnel id, window, [response], [challenge]
//!   SCCCN: [response]                         ──►
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipsec_types::Instant;

use crate::auth::{self, Carrier};
use crate::avp::attr;
use crate::config::{LacConfig, Section};
use crate::endpoint::Endpoint;
use crate::io::{Event, Level, Path};
use crate::lac::News;
use crate::limit::Topic;
use crate::message::{Body, Message, MessageType};
use crate::setup::{DEFAULT_WINDOW, introduction};
use crate::transport::{Retries, Transport};
use crate::tunnel::{Tunnel, TunnelState};

impl Endpoint {
    /// Sends an SCCRQ. `None` when there is no room for another tunnel.
    pub(crate) fn open_tunnel(
        &mut self,
        now: Instant,
        slot: u16,
        cfg: &Arc<LacConfig>,
        host: &str,
        to: SocketAddrV4,
    ) -> Option<u16> {
        if self.tunnels.len() >= self.cfg.limits.tunnels {
            self.counters.limit_tunnels += 1;
            self.log_limited(now, Topic::Limit, Level::Warning, "lac_call: Too many tunnels".into());
            return None;
        }
        let id = self.free_tunnel_id()?;
        self.log(Level::Notice, format!("Connecting to host {host}, port {}", to.port()));
        let us = cfg.hostname.clone().unwrap_or_else(|| self.cfg.hostname.clone());
        let challenge: Option<[u8; 16]> = cfg.challenge.then(|| self.random());
        let tie_breaker = cfg.tie_breaker.then(|| u64::from_be_bytes(self.random()));
        let window = cfg.window.unwrap_or(DEFAULT_WINDOW);
        let tie = tie_breaker.map(u64::to_be_bytes);
        let mut sccrq = introduction(MessageType::SCCRQ, &us, id, window, false)
            .maybe(attr::CHALLENGE, challenge.as_ref().map(|c| &c[..]));
        if let Some(tie) = &tie {
            // Not mandatory: RFC 2661 §4.4.3 has M clear here.
            sccrq = sccrq.may(attr::TIE_BREAKER, tie);
        }
        let retries = Retries { max: self.cfg.max_retries, cap: self.cfg.cap_backoff };
        let mut transport = Transport::new(0, None, window, retries);
        transport.push(0, sccrq.done());
        let path = Path { local: Ipv4Addr::UNSPECIFIED, peer: to, mark: 0 };
        let mut tunnel =
            Tunnel::new(id, path, Section::Lac(cfg.clone()), TunnelState::ExpectSccrp, transport, now);
        tunnel.challenge = challenge;
        tunnel.tie_breaker = tie_breaker;
        tunnel.lac = Some(slot);
        self.add_tunnel(tunnel);
        self.dialling.insert(id);
        self.flush(now, id);
        self.rearm(id);
        Some(id)
    }

    pub(crate) fn sccrp(&mut self, now: Instant, id: u16, mut m: Message, body: &[u8]) {
        let Some(t) = self.tunnels.get(&id).filter(|t| t.state == TunnelState::ExpectSccrp) else { return };
        let Some(cfg) = t.section.lac().cloned() else { return };
        let us = cfg.hostname.clone().unwrap_or_else(|| self.cfg.hostname.clone());
        let them = m.host_name.clone().unwrap_or_default();
        let secret = self.secrets.lookup(&us, &them).cloned();
        if m.still_hidden && secret.is_some() {
            m = Message::decode(body, secret.as_ref());
        }
        let Some(peer_id) = m.assigned_tunnel.filter(|p| *p != 0) else {
            return self.close_tunnel(now, id, 2, 6, "Specify your assigned tunnel ID");
        };
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        t.peer_id = peer_id;
        t.transport.set_peer(peer_id, m.receive_window);
        t.sync_framing = m.framing_caps.is_some_and(|c| c & 1 != 0);
        let challenge = t.challenge.take();
        let (peer, port) = (*t.path.peer.ip(), t.path.peer.port());
        t.peer_host.clone_from(&them);
        t.secret.clone_from(&secret);
        t.authenticated = secret.is_some() && (challenge.is_some() || m.challenge.is_some());
        if let Some((vendor, attribute)) = m.unknown_mandatory {
            let text = crate::control::cannot_handle(vendor, attribute);
            return self.close_tunnel(now, id, 2, 8, &text);
        }
        if secret.is_none() && (challenge.is_some() || m.challenge.is_some()) {
            let text = format!("handle_challenge: no secret found for us='{us}' and them='{them}'");
            self.log(Level::Debug, text);
            self.log(Level::Warning, format!("control_finish: No secret for '{them}'"));
            return self.close_tunnel(now, id, 4, 0, "No secret on our side");
        }
        if let (Some(challenge), Some(s)) = (&challenge, &secret) {
            let good = m
                .challenge_response
                .as_deref()
                .is_some_and(|r| auth::verify(Carrier::Sccrp, s, challenge, r));
            if !good {
                let text = format!("control_finish: Invalid authentication for host '{them}'");
                self.log(Level::Debug, text);
                return self.close_tunnel(now, id, 4, 0, "Invalid challenge authentication");
            }
        }
        let response = match (&secret, &m.challenge) {
            (Some(s), Some(ch)) => Some(auth::response(Carrier::Scccn, s, ch)),
            _ => None,
        };
        let scccn =
            Body::new(MessageType::SCCCN).maybe(attr::CHALLENGE_RESPONSE, response.as_ref().map(|r| &r[..]));
        let text =
            format!("Connection established to {peer}, {port}.  Local: {id}, Remote: {peer_id} (ref=0/0).");
        self.log(Level::Notice, text);
        if let Some(t) = self.tunnels.get_mut(&id) {
            t.state = TunnelState::Established;
            t.transport.push(0, scccn.done());
        }
        self.announce(id);
        if let Some(slot) = self.tunnels.get(&id).and_then(|t| t.lac) {
            self.news.push_back(News::TunnelUp { slot, tunnel: id });
        }
    }

    /// Tells that a control connection stands.
    pub(crate) fn announce(&mut self, id: u16) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        t.announced = true;
        self.counters.tunnels_up += 1;
        let event = Event::TunnelUp { tunnel: id, peer_tunnel: t.peer_id, path: t.path };
        self.event(event);
    }

    /// RFC 2661 §4.4.3: of two tunnels that were opened at the same time with a Tie Breaker, the one with the lower
    /// value stands; one with a value stands against one without. True when the peer's SCCRQ is to be ignored; of equal
    /// values none stands.
    pub(crate) fn loses_to_ours(&self, path: &Path, theirs: Option<u64>) -> bool {
        self.dials_to(path).any(|t| t.tie_breaker.is_some_and(|o| theirs.is_none_or(|t| o <= t)))
    }

    /// The peer's tunnel stands, and ours that loses against it is given up. Not at its SCCRQ, which can be forged: only
    /// its SCCCN shows that the peer has opened one.
    pub(crate) fn give_way(&mut self, now: Instant, path: &Path, theirs: Option<u64>) {
        let Some(theirs) = theirs else { return };
        let loses =
            |t: &&Tunnel| t.state == TunnelState::ExpectSccrp && t.tie_breaker.is_none_or(|o| o > theirs);
        for id in self.dials_to(path).filter(loses).map(|t| t.id).collect::<Vec<_>>() {
            let text = format!("control_finish: {} has opened a tunnel at the same time", path.peer.ip());
            self.log_limited(now, Topic::Duplicate, Level::Info, text);
            self.tunnel_down(id, "the peer has opened one", false);
            self.remove_tunnel(id);
        }
    }

    /// Tunnels that we are opening to this address, and those of which the peer has perhaps not heard yet that they
    /// stand: an SCCRQ of its own may have crossed our SCCCN.
    fn dials_to(&self, path: &Path) -> impl Iterator<Item = &Tunnel> {
        let all = self.dialling.iter().filter_map(|id| self.tunnels.get(id)).map(|t| &**t);
        let peer = *path.peer.ip();
        all.filter(move |t| *t.path.peer.ip() == peer)
    }
}
