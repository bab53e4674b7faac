//! One caller: a tunnel with one call, from the SCCRQ to the acknowledgement of the ICCN.
//!
//! A script, not an engine: it says one thing after another, each when the last is answered. No sockets here.

use std::time::{Duration, Instant};

use l2tp_proto::avp::attr;
use l2tp_proto::header::{self, Control};
use l2tp_proto::message::{Body, Message, MessageType};

/// Time to the repetition of what is not acknowledged.
const AGAIN: Duration = Duration::from_secs(1);
/// Transmissions of one message.
const TRIES: u32 = 8;

/// How far a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for SCCRP.
    Tunnel,
    /// Waits for ICRP.
    Call,
    /// Waits for the acknowledgement of its last message.
    LastWord,
    /// The call stands.
    Up,
    /// It does not, and why.
    Failed(&'static str),
}

/// A caller.
pub(crate) struct Caller {
    /// Where it is.
    pub(crate) state: State,
    /// When it began.
    pub(crate) began: Instant,
    id: u16,
    connect: bool,
    peer: (u16, u16),
    ns: u16,
    nr: u16,
    /// With their numbers.
    unacknowledged: Vec<(u16, Vec<u8>)>,
    sent: Instant,
    tries: u32,
}

impl Caller {
    /// A caller with this tunnel and session id; without `connect` it never says ICCN. `out` gets its first message.
    pub(crate) fn new(id: u16, connect: bool, now: Instant, out: &mut Vec<Vec<u8>>) -> Self {
        let mut c = Caller {
            state: State::Tunnel,
            began: now,
            id,
            connect,
            peer: (0, 0),
            ns: 0,
            nr: 0,
            unacknowledged: Vec::new(),
            sent: now,
            tries: 0,
        };
        let sccrq = Body::new(MessageType::SCCRQ)
            .must(attr::PROTOCOL_VERSION, &[1, 0])
            .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
            .must(attr::BEARER_CAPABILITIES, &[0; 4])
            .must(attr::HOST_NAME, b"a-caller-of-the-load-generator")
            .must(attr::ASSIGNED_TUNNEL_ID, &id.to_be_bytes())
            .must(attr::RECEIVE_WINDOW_SIZE, &[0, 4]);
        c.say(0, sccrq, now, out);
        c
    }

    fn say(&mut self, session: u16, body: Body, now: Instant, out: &mut Vec<Vec<u8>>) {
        let datagram = header::control(self.peer.0, session, self.ns, self.nr, &body.done());
        out.push(datagram.clone());
        self.unacknowledged.push((self.ns, datagram));
        self.ns = self.ns.wrapping_add(1);
        (self.sent, self.tries) = (now, 1);
    }

    /// Takes a control message; `out` gets what is said to it.
    pub(crate) fn hear(&mut self, c: Control<'_>, now: Instant, out: &mut Vec<Vec<u8>>) {
        self.unacknowledged.retain(|(ns, _)| ns.wrapping_sub(c.nr) < 0x8000);
        if self.unacknowledged.is_empty() && self.state == State::LastWord {
            self.state = State::Up;
        }
        if c.body.is_empty() {
            return;
        }
        let said = out.len();
        if c.ns == self.nr {
            self.nr = self.nr.wrapping_add(1);
            self.take(&Message::decode(c.body, None), now, out);
        }
        if out.len() == said {
            out.push(header::control(self.peer.0, 0, self.ns, self.nr, &[]));
        }
    }

    fn take(&mut self, m: &Message, now: Instant, out: &mut Vec<Vec<u8>>) {
        match (m.kind, self.state) {
            (Some(MessageType::SCCRP), State::Tunnel) => {
                self.peer.0 = m.assigned_tunnel.unwrap_or(0);
                self.say(0, Body::new(MessageType::SCCCN), now, out);
                self.state = State::Call;
                let icrq = Body::new(MessageType::ICRQ)
                    .must(attr::ASSIGNED_SESSION_ID, &self.id.to_be_bytes())
                    .must(attr::CALL_SERIAL_NUMBER, &u32::from(self.id).to_be_bytes());
                self.say(0, icrq, now, out);
            }
            (Some(MessageType::ICRP), State::Call) => {
                self.peer.1 = m.assigned_session.unwrap_or(0);
                if !self.connect {
                    self.state = State::Up;
                    return;
                }
                let iccn = Body::new(MessageType::ICCN)
                    .must(attr::TX_CONNECT_SPEED, &[0, 1, 0, 0])
                    .must(attr::FRAMING_TYPE, &[0, 0, 0, 1]);
                self.state = State::LastWord;
                self.say(self.peer.1, iccn, now, out);
            }
            (Some(MessageType::CDN), _) => self.state = State::Failed("CDN"),
            (Some(MessageType::STOPCCN), _) => self.state = State::Failed("StopCCN"),
            _ => {}
        }
    }

    /// What is said again because it was not acknowledged in time.
    pub(crate) fn tick(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.unacknowledged.is_empty() || now.duration_since(self.sent) < AGAIN {
            return;
        }
        if self.tries >= TRIES {
            self.state = State::Failed("no answer");
            return;
        }
        (self.sent, self.tries) = (now, self.tries + 1);
        out.extend(self.unacknowledged.iter().map(|(_, d)| d.clone()));
    }

    /// A frame for the call.
    pub(crate) fn data(&self, frame: &[u8], out: &mut Vec<u8>) {
        out.clear();
        header::put_data(out, self.peer.0, self.peer.1, false, None, frame);
    }

    /// The tunnel's farewell.
    pub(crate) fn farewell(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.peer.0 != 0 {
            let body = Body::new(MessageType::STOPCCN)
                .must(attr::ASSIGNED_TUNNEL_ID, &self.id.to_be_bytes())
                .must(attr::RESULT_CODE, &[0, 1, 0, 0]);
            self.say(0, body, now, out);
        }
    }
}
