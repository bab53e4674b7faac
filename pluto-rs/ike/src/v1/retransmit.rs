//! Repetition of messages that got no answer: after 1, 2, 4, 8, 16 and 32 seconds, then giving up.
//!
//! Openswan waits 10, 20 and 40 seconds; a client on a lossy line is connected long before that here, and an address
//! that never answered is still left alone after a minute. A responder repeats nothing in phase 1, so that nobody can
//! have it send to a third party (CVE-2016-5361).

use std::time::Duration;

use ipsec_types::whack::rc;

use super::transaction::Stage;
use crate::Endpoint;
use crate::sa::{Role, Serial, StateName};
use crate::timer::TimerKind;

const FIRST: Duration = Duration::from_secs(1);
const LIMIT: u32 = 6;
/// Of AI2, which has no answer of its own.
const UNANSWERED: u32 = 4;

impl Endpoint {
    pub(crate) fn arm_retransmit(&mut self, serial: Serial) {
        let n = match (self.ikes.get(&serial), self.children.get(&serial)) {
            (Some(s), _) => s.retransmits,
            (None, Some(c)) => c.retransmits,
            (None, None) => return,
        };
        let at = self.after(FIRST * 2u32.pow(n.min(16)));
        self.timers.set(serial, TimerKind::Retransmit, at);
    }

    pub(crate) fn stop_retransmit(&mut self, serial: Serial) {
        self.timers.clear(serial, TimerKind::Retransmit);
        if let Some(c) = self.children.get_mut(&serial) {
            c.retransmits = 0;
        }
    }

    pub(crate) fn on_retransmit(&mut self, serial: Serial) {
        let (ike, message, n, name) = match (self.ikes.get_mut(&serial), self.children.get_mut(&serial)) {
            (Some(s), _) => {
                s.retransmits += 1;
                (serial, s.last_sent.clone(), s.retransmits, s.name())
            }
            (None, Some(c)) => {
                c.retransmits += 1;
                (c.ike, c.last_sent.clone(), c.retransmits, c.name())
            }
            (None, None) => return,
        };
        if name == StateName::AggrI2 && n > UNANSWERED {
            return;
        }
        if n > LIMIT {
            return self.give_up(serial, name);
        }
        let wait = FIRST.as_secs() << n;
        let text = format!("{}: retransmission; will wait {wait}s for response", name.label());
        self.reply_attached(serial, rc::RETRANSMISSION, &text);
        self.transmit_again(ike, &message, n);
        self.arm_retransmit(serial);
    }

    fn give_up(&mut self, serial: Serial, name: StateName) {
        match name {
            StateName::XauthR0 => {
                self.log_sa(serial, rc::LOG, "XAUTH: the client does not answer: deleting the ISAKMP SA");
                return self.delete_ike(serial, true);
            }
            // He was told that he is let in, or his configuration, in vain; perhaps he does not say so.
            StateName::XauthR1 => {
                self.transaction_forget(serial);
                if let Err(fail) = self.xauth_served(serial) {
                    self.failed(serial, fail);
                }
                return;
            }
            StateName::ModeCfgR1 => {
                self.transaction_forget(serial);
                return self.set_stage(serial, Stage::Done);
            }
            _ => {}
        }
        let detail = match name {
            StateName::MainI1 | StateName::AggrI1 => {
                ".  No response (or no acceptable response) to our first IKE message"
            }
            StateName::MainI3 => {
                ".  Possible authentication failure: no acceptable response to our first encrypted message"
            }
            StateName::QuickI1 => {
                ".  No acceptable response to our first Quick Mode message: perhaps peer likes no proposal"
            }
            _ => "",
        };
        let text = format!("max number of retransmissions ({LIMIT}) reached {}{detail}", name.label());
        self.log_sa(serial, rc::NORETRANSMISSION, &text);
        self.attempt_failed(serial, name);
    }

    /// The peer does not say what it has to between phase 1 and phase 2.
    pub(crate) fn on_silence(&mut self, serial: Serial) {
        let Some(sa) = self.ikes.get(&serial) else { return };
        let (name, role) = (sa.name(), sa.role);
        let text = format!("{}: the peer went silent", name.label());
        self.log_sa(serial, rc::NORETRANSMISSION, &text);
        self.send_delete_ike(serial);
        match role {
            Role::Initiator => self.attempt_failed(serial, name),
            Role::Responder => self.delete_ike(serial, false),
        }
    }

    /// Gives the state up, and tries again if the conn is to be up.
    fn attempt_failed(&mut self, serial: Serial, name: StateName) {
        let (conn, tries, pending) = match (self.ikes.get(&serial), self.children.get(&serial)) {
            (Some(s), _) => (s.conn, s.tries, s.later.pending.clone()),
            (None, Some(c)) => (c.conn, c.tries, vec![c.conn]),
            (None, None) => return,
        };
        let Some((limit, wanted)) = self.conns.get(conn).map(|c| (c.spec.keyingtries, c.up)) else { return };
        let again = wanted && name != StateName::QuickR1 && (limit == 0 || tries < limit);
        if again {
            let most = if limit == 0 { "an unlimited number".into() } else { format!("at most {limit}") };
            let text = format!("starting keying attempt {} of {most}, but releasing whack", tries + 1);
            self.log_sa(serial, rc::COMMENT, &text);
        }
        if name == StateName::QuickR1 {
            // Perhaps QI2 was lost every time, and the peer believes in an SA that is not.
            self.send_delete_child(serial);
        }
        self.conn_ref(conn);
        self.drop_state(serial);
        if again {
            self.phase1_start(conn, pending, None, tries + 1, Some(serial));
        } else {
            pending.into_iter().for_each(|c| self.negotiation_failed(c));
        }
        self.conn_unref(conn);
    }

    /// A line for the waiting client only, as Openswan does with retransmissions.
    fn reply_attached(&mut self, serial: Serial, code: u8, text: &str) {
        let (conn, port, client) = match (self.ikes.get(&serial), self.children.get(&serial)) {
            (Some(s), _) => (s.conn, s.remote.port(), s.later.whack),
            (None, Some(c)) => (c.conn, 0, c.whack),
            (None, None) => return,
        };
        if let Some(client) = client {
            let text = format!("{} {serial}: {text}", self.conn_label(conn, port));
            self.reply(client, code, &text);
        }
    }
}
