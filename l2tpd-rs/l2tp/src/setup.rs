//! The set-up of a control connection as LNS (RFC 2661 §5.1): SCCRQ, SCCRP, SCCCN.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipsec_types::Instant;

use crate::auth::{self, Carrier, digest};
use crate::avp::attr;
use crate::config::{LnsConfig, Section};
use crate::control::cannot_handle;
use crate::endpoint::Endpoint;
use crate::header::{self, Control};
use crate::io::{Level, Path};
use crate::limit::Topic;
use crate::message::{Body, Message, MessageType};
use crate::pool;
use crate::transport::{Retries, Transport};
use crate::tunnel::{Tunnel, TunnelState};

/// An SCCRP is sent this often before the peer has shown with its SCCCN that it is where it says.
const SCCRP_SENDS: u32 = 2;
/// The Firmware Revision xl2tpd has always sent.
const FIRMWARE: u16 = 0x0690;
/// The Vendor Name peers know xl2tpd by.
const VENDOR: &[u8] = b"xelerance.com";
/// Receive window where `tunnel rws` is absent.
pub(crate) const DEFAULT_WINDOW: u16 = 4;

impl Endpoint {
    /// A control message for tunnel 0: only a well-formed SCCRQ with Ns 0 has any effect.
    pub(crate) fn first_contact(&mut self, now: Instant, path: Path, refuse_clear: bool, c: Control<'_>) {
        let m = Message::decode(c.body, None);
        if c.session != 0 || c.ns != 0 || m.kind != Some(MessageType::SCCRQ) {
            let text = format!(
                "network_thread: unable to find call or tunnel to handle packet.  call = {}, tunnel = 0 Dumping.",
                c.session
            );
            return self.log_limited(now, Topic::Junk, Level::Debug, text);
        }
        if refuse_clear {
            return self.denied(
                now,
                Topic::Clear,
                &path,
                "SCCRQ came in clear, not through IPsec (listen-plain = no)",
            );
        }
        let Some(peer_id) = m.assigned_tunnel.filter(|id| *id != 0) else {
            let text = format!(
                "control_finish: Peer at {} did not specify its assigned tunnel ID.  Ignoring.",
                path.peer.ip()
            );
            return self.log_limited(now, Topic::Junk, Level::Debug, text);
        };
        if self.loses_to_ours(&path, m.tie_breaker) {
            return;
        }
        let sccrq = digest(&[c.body]);
        let known = self.by_peer.get(&(path.key(), peer_id)).copied();
        if let Some(t) = known.and_then(|id| self.tunnels.get_mut(&id))
            && t.sccrq == sccrq
        {
            // Our SCCRP was lost or is late: the same again, and no new state.
            let id = t.id;
            t.credit = t.credit.saturating_add(allowance(&path, c.body.len()));
            let again = match t.state {
                TunnelState::ExpectScccn => t.sccrp_again(now),
                _ => {
                    t.transport.acknowledge_again(0);
                    t.transport.flush(now)
                }
            };
            self.transmit(path, again);
            let text = format!("control_finish: Peer requested tunnel {peer_id} twice, ignoring second one.");
            self.log_limited(now, Topic::Duplicate, Level::Debug, text);
            return self.rearm(id);
        }
        // Another SCCRQ with the id of an established tunnel: the peer has started anew. The old tunnel stays until
        // the SCCCN of the new one shows that the SCCRQ really came from there.
        let old = known.and_then(|id| self.tunnels.get(&id));
        if old.is_some_and(|t| t.state == TunnelState::ExpectScccn) {
            let text = format!("control_finish: Peer requested tunnel {peer_id} twice, ignoring second one.");
            return self.log_limited(now, Topic::Duplicate, Level::Debug, text);
        }
        let replaces = old.filter(|t| t.state == TunnelState::Established).map(|t| t.id);
        if !self.room_for(now, &path) {
            return;
        }
        self.open(now, path, c, m, Opening { peer_id, sccrq, replaces });
    }

    /// Whether one more half-open tunnel fits.
    fn room_for(&mut self, now: Instant, path: &Path) -> bool {
        let limits = self.cfg.limits;
        let all = self.half_open_all;
        let here = self.half_open.get(path.peer.ip()).copied().unwrap_or(0);
        let c = &mut self.counters;
        let (counter, limit) = match () {
            _ if here >= limits.half_open_per_peer => {
                (&mut c.limit_half_open_per_peer, limits.half_open_per_peer)
            }
            _ if all >= limits.half_open => (&mut c.limit_half_open, limits.half_open),
            _ if self.tunnels.len() >= limits.tunnels => (&mut c.limit_tunnels, limits.tunnels),
            _ => return true,
        };
        *counter += 1;
        let text =
            format!("control_finish: Too many tunnels ({limit}), ignoring SCCRQ of {}", path.peer.ip());
        self.log_limited(now, Topic::Limit, Level::Warning, text);
        false
    }

    fn denied(&mut self, now: Instant, topic: Topic, path: &Path, why: &str) {
        self.counters.denied += u64::from(topic == Topic::Clear);
        let sep = if why.is_empty() { "" } else { ": " };
        let text =
            format!("control_finish: Denied connection to unauthorized peer {}{sep}{why}", path.peer.ip());
        self.log_limited(now, topic, Level::Notice, text);
    }

    /// The section that serves a peer: named ones in reverse file order, then the default.
    fn select_lns(&self, peer: Ipv4Addr) -> Option<Arc<LnsConfig>> {
        let allowed = |l: &&Arc<LnsConfig>| pool::verdict(&l.lac, peer) == Some(true);
        let named = self.cfg.lns.iter().rev().find(allowed);
        let default = self.cfg.default_lns.iter().find(|l| !self.cfg.access_control || allowed(l));
        named.or(default).cloned()
    }

    /// ```text
    ///   LAC                                            LNS
    ///   SCCRQ: version, host name, tunnel id,
    ///          window, [challenge]            ──►
    ///                        ◄──  SCCRP: version, host name, tunnel id, window, [response], [challenge]
    ///   SCCCN: [response]                     ──►
    /// ```
    fn open(&mut self, now: Instant, path: Path, c: Control<'_>, mut m: Message, o: Opening) {
        let Some(lns) = self.select_lns(*path.peer.ip()) else {
            self.denied(now, Topic::Denied, &path, "");
            return self.refuse(path, c.body.len(), o.peer_id, 4, 0, "No Authorization");
        };
        let us = lns.hostname.clone().unwrap_or_else(|| self.cfg.hostname.clone());
        let them = m.host_name.clone().unwrap_or_default();
        let secret = self.secrets.lookup(&us, &them).cloned();
        if m.still_hidden && secret.is_some() {
            m = Message::decode(c.body, secret.as_ref());
        }
        if let Some((vendor, attribute)) = m.unknown_mandatory {
            return self.refuse(path, c.body.len(), o.peer_id, 2, 8, &cannot_handle(vendor, attribute));
        }
        if secret.is_none() && (lns.challenge || m.challenge.is_some()) {
            let text = format!("handle_challenge: no secret found for us='{us}' and them='{them}'");
            self.log_limited(now, Topic::Denied, Level::Debug, text);
            self.log_limited(
                now,
                Topic::Denied,
                Level::Warning,
                format!("control_finish: No secret for '{them}'"),
            );
            return self.refuse(path, c.body.len(), o.peer_id, 4, 0, "No secret on our side");
        }
        let Some(id) = self.free_tunnel_id() else {
            return self.refuse(path, c.body.len(), o.peer_id, 2, 4, "No tunnel IDs left");
        };
        let response = match (&secret, &m.challenge) {
            (Some(s), Some(ch)) => Some(auth::response(Carrier::Sccrp, s, ch)),
            _ => None,
        };
        let challenge: Option<[u8; 16]> = lns.challenge.then(|| self.random());
        let window = lns.window.unwrap_or(DEFAULT_WINDOW);
        let credit = allowance(&path, c.body.len());
        let build = |lean| {
            introduction(MessageType::SCCRP, &us, id, window, lean)
                .maybe(attr::CHALLENGE_RESPONSE, response.as_ref().map(|r| &r[..]))
                .maybe(attr::CHALLENGE, challenge.as_ref().map(|c| &c[..]))
                .done()
        };
        let mut sccrp = build(false);
        if header::CONTROL_HEADER + sccrp.len() > credit {
            sccrp = build(true);
        }
        let retries = Retries { max: self.cfg.max_retries, cap: self.cfg.cap_backoff };
        let mut transport = Transport::new(o.peer_id, m.receive_window, window, retries);
        transport.received(0);
        let sends = if path.mark == 0 { 1 } else { SCCRP_SENDS };
        let size = header::CONTROL_HEADER + sccrp.len();
        transport.push_limited(sccrp, sends);
        let state = TunnelState::ExpectScccn;
        let mut tunnel = Tunnel::new(id, path, Section::Lns(lns), state, transport, now);
        tunnel.peer_id = o.peer_id;
        tunnel.peer_host = them;
        tunnel.authenticated = response.is_some() || challenge.is_some();
        tunnel.challenge = challenge;
        tunnel.tie_breaker = m.tie_breaker;
        tunnel.secret = secret;
        tunnel.sync_framing = m.framing_caps.is_some_and(|c| c & 1 != 0);
        tunnel.credit = credit;
        tunnel.sccrp_size = size;
        tunnel.sccrq = o.sccrq;
        tunnel.replaces = o.replaces;
        self.add_tunnel(tunnel);
        self.half_open_all += 1;
        self.by_peer.insert((path.key(), o.peer_id), id);
        *self.half_open.entry(*path.peer.ip()).or_insert(0) += 1;
        self.debug_message(&m);
        if let Some(t) = self.tunnels.get_mut(&id) {
            let list = t.sccrp_again(now);
            self.transmit(path, list);
        }
        self.rearm(id);
    }

    /// Answers an SCCRQ of `asked` octets with a StopCCN and keeps nothing. Words are left out, or the answer, where
    /// they are more than a stranger may have.
    fn refuse(&mut self, path: Path, asked: usize, peer_id: u16, result: u16, error: u16, text: &str) {
        self.counters.denied += 1;
        let id = u16::from_be_bytes(self.random()).max(1);
        let answer = |text| {
            let body = Body::new(MessageType::STOPCCN)
                .must(attr::ASSIGNED_TUNNEL_ID, &id.to_be_bytes())
                .result(result, error, text)
                .done();
            header::control(peer_id, 0, 0, 1, &body)
        };
        let allowed = allowance(&path, asked);
        let fitting = [text, ""].into_iter().map(answer).find(|d| d.len() <= allowed);
        self.transmit(path, fitting.into_iter().collect());
    }

    pub(crate) fn scccn(&mut self, now: Instant, id: u16, m: Message) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        if t.state != TunnelState::ExpectScccn {
            return;
        }
        let peer = *t.path.peer.ip();
        if let Some(challenge) = t.challenge.take() {
            let good = match (&t.secret, &m.challenge_response) {
                (Some(s), Some(r)) => auth::verify(Carrier::Scccn, s, &challenge, r),
                _ => false,
            };
            if !good {
                let text = format!("control_finish: Invalid authentication for host '{}'", t.peer_host);
                self.log(Level::Debug, text);
                return self.close_tunnel(now, id, 4, 0, "Invalid challenge authentication");
            }
        }
        t.state = TunnelState::Established;
        let replaces = t.replaces.take();
        let (path, tie_breaker) = (t.path, t.tie_breaker);
        let text = format!(
            "Connection established to {peer}, {}.  Local: {id}, Remote: {} (ref=0/0).  LNS session is '{}'",
            t.path.peer.port(),
            t.peer_id,
            t.section.name()
        );
        self.half_open_done(peer);
        self.log(Level::Notice, text);
        self.announce(id);
        if let Some(old) = replaces {
            self.drop_silently(old);
        }
        self.give_way(now, &path, tie_breaker);
    }
}

/// What SCCRQ and SCCRP begin with. M only where RFC 2661 §4.4 has it: some peers refuse more.
/// `lean` leaves out what a peer can do without.
pub(crate) fn introduction(kind: MessageType, us: &str, id: u16, window: u16, lean: bool) -> Body {
    let mut b =
        Body::new(kind).must(attr::PROTOCOL_VERSION, &[1, 0]).must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3]);
    if !lean {
        b = b
            .must(attr::BEARER_CAPABILITIES, &[0, 0, 0, 0])
            .may(attr::FIRMWARE_REVISION, &FIRMWARE.to_be_bytes());
    }
    b = b.must(attr::HOST_NAME, us.as_bytes());
    if !lean {
        b = b.may(attr::VENDOR_NAME, VENDOR);
    }
    b.must(attr::ASSIGNED_TUNNEL_ID, &id.to_be_bytes()).must(attr::RECEIVE_WINDOW_SIZE, &window.to_be_bytes())
}

/// How many octets may answer an SCCRQ with a body of `asked` octets. Who came through IPsec is who he says; anybody
/// else may have forged the address, and whoever has it shall not get more than 1.2 times what was sent in its name.
fn allowance(path: &Path, asked: usize) -> usize {
    match path.mark {
        0 => (header::CONTROL_HEADER + asked) * 6 / 5,
        _ => usize::MAX,
    }
}

impl Tunnel {
    /// The SCCRP, for the first time or once more, as often as the peer's octets pay for it.
    fn sccrp_again(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let Some(left) = self.credit.checked_sub(self.sccrp_size) else { return Vec::new() };
        self.credit = left;
        match self.transport.ns() {
            0 => self.transport.flush(now),
            _ => self.transport.repeat(),
        }
    }
}

/// What an SCCRQ that may open a tunnel is remembered by.
struct Opening {
    peer_id: u16,
    sccrq: u64,
    replaces: Option<u16>,
}
