//! The Transaction exchange (draft-ietf-ipsec-isakmp-mode-cfg-05): requests and replies under an ISAKMP SA, between phase 1
//! and phase 2. What is said is XAUTH's and Mode Config's; here is how: where a message belongs, HASH, IV, repetition.
//!
//! ```text
//!  --> HDR*, HASH, ATTR        HASH = prf(SKEYID_a, M-ID | ATTR)
//!  <-- HDR*, HASH, ATTR        under the same message ID
//! ```

use std::net::SocketAddr;
use std::sync::LazyLock;

use ipsec_crypto::hmac;
use ipsec_types::modecfg::AddressPool;
use ipsec_types::whack::rc;

use super::Fail;
use super::message::{Phase2Message, first_iv, open};
use super::quick::check_hash;
use crate::Endpoint;
use crate::later::Blank;
use crate::sa::{Digest, Serial, StateName};
use crate::wire::cfg::{self, CfgPayload, CfgType};
use crate::wire::payload::Kind;
use crate::wire::{Exchange, Header};

/// Answers that are kept for the peer's repetitions.
const KEPT: usize = 4;

/// Where an IKE SA stands between phase 1 and phase 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Phase 2 may begin.
    #[default]
    Done,
    /// We have asked for name and password.
    XauthR0,
    /// The password is being checked.
    Checking,
    /// The user is who he says; we have told him so, and wait for his acknowledgement.
    XauthR1,
    /// We have told the client its configuration and wait for its acknowledgement.
    ModeR1,
    /// We wait to be asked for name and password.
    XauthI0,
    /// We have answered and wait for the verdict.
    XauthI1,
    /// We have asked for our configuration, or wait to be told it.
    ModeI1,
}

impl Stage {
    /// Whether Quick Mode has to wait.
    pub(crate) fn blocks_quick(self) -> bool {
        !matches!(self, Stage::Done | Stage::XauthR1 | Stage::ModeR1 | Stage::ModeI1)
    }

    /// Openswan's name for it.
    pub(crate) fn state(self) -> Option<StateName> {
        match self {
            Stage::Done => None,
            Stage::XauthR0 | Stage::Checking => Some(StateName::XauthR0),
            Stage::XauthR1 => Some(StateName::XauthR1),
            Stage::ModeR1 => Some(StateName::ModeCfgR1),
            Stage::XauthI0 => Some(StateName::XauthI0),
            Stage::XauthI1 => Some(StateName::XauthI1),
            Stage::ModeI1 => Some(StateName::ModeCfgI1),
        }
    }
}

/// A request of ours that has no answer yet.
#[derive(Debug)]
struct Asked {
    msgid: u32,
    /// Of the answer.
    iv: Vec<u8>,
    identifier: u16,
    answer: CfgType,
}

/// A request of the peer's that waits for a person.
#[derive(Debug)]
pub(crate) struct Question {
    pub msgid: u32,
    pub iv: Vec<u8>,
    pub identifier: u16,
    /// Attributes it wants.
    pub wants: Vec<u16>,
}

/// What is to be done once our answer is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// XAUTH is done.
    Configure,
    /// The server does not let us in.
    Refused,
    /// We are configured.
    Begin,
}

/// All of it, in an IKE SA.
#[derive(Debug, Default)]
pub(crate) struct Cfg {
    pub stage: Stage,
    asked: Option<Box<Asked>>,
    /// Requests of the peer's that were answered: message ID, digest, answer. The newest are kept.
    answered: Vec<(u32, Digest, Vec<u8>)>,
    pub question: Option<Box<Question>>,
    pub then: Option<Then>,
    /// Passwords that were wrong.
    pub wrong: u32,
    /// Who proved himself with XAUTH; as a client, whom we said we are.
    pub user: Option<String>,
    /// `xauthfail=soft` let him in.
    pub failed: bool,
    /// Addresses that this user has instead of the conn's.
    pub pool: Option<AddressPool>,
}

impl Blank for Cfg {
    fn blank() -> &'static Self {
        static BLANK: LazyLock<Cfg> = LazyLock::new(Cfg::default);
        &BLANK
    }
}

impl Cfg {
    /// Whether a request of ours is open.
    pub(crate) fn asks(&self) -> bool {
        self.asked.is_some()
    }
}

/// One request or set of the peer's, read and proved to be its own.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub msgid: u32,
    pub iv: Vec<u8>,
}

impl Endpoint {
    /// A Transaction message for an IKE SA we know.
    pub(super) fn on_transaction(
        &mut self,
        serial: Serial,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        digest: Digest,
    ) {
        let Some(sa) = self.ikes.get(&serial) else { return };
        if sa.up().is_none() {
            let text = "Transaction message is unacceptable because it is for an incomplete ISAKMP SA";
            return self.log_packet(remote, text);
        }
        if !h.encrypted() || h.msgid == 0 {
            let text = "Transaction message is invalid because it is in clear or has a Message ID of 0";
            return self.log_packet(remote, text);
        }
        if let Some((_, known, answer)) = sa.later.cfg.answered.iter().find(|a| a.0 == h.msgid) {
            let (n, answer) = (sa.answered_duplicates, answer.clone());
            if *known == digest && self.answers_duplicate(n) {
                if let Some(sa) = self.ikes.get_mut(&serial) {
                    sa.answered_duplicates += 1;
                }
                self.transmit_again(serial, &answer, 1);
            }
            return;
        }
        let ours = sa.later.cfg.asked.as_ref().is_some_and(|a| a.msgid == h.msgid);
        if !ours && sa.later.used_msgids.contains(&h.msgid) {
            // A repetition of what is being worked at, or of something old.
            return;
        }
        let outcome = self.transaction(serial, local, remote, h, body, ours, digest);
        if let Err(fail) = outcome {
            self.failed(serial, fail);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a datagram is")]
    fn transaction(
        &mut self,
        serial: Serial,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        ours: bool,
        digest: Digest,
    ) -> Result<(), Fail> {
        let Some((sa, up, suite)) = self.ikes.get(&serial).and_then(|s| Some((s, s.up()?, s.suite?))) else {
            return Ok(());
        };
        let mut iv = match sa.later.cfg.asked.as_ref().filter(|_| ours) {
            Some(asked) => asked.iv.clone(),
            None => first_iv(sa, h.msgid)?,
        };
        let plain = open(body, suite, &up.cipher_key, &mut iv)?;
        // Anybody can have sent it until the hash is checked: no answer to what is malformed.
        let chain = self.chain(h.next, &plain).map_err(|e| Fail::ignore(e.to_string()))?;
        let want = hmac(suite.hash, up.keys.a.expose(), &[&h.msgid.to_be_bytes(), chain.behind_first()])?;
        check_hash(&chain, &want)?;
        let Some(attrs) = chain.first(Kind::Attributes) else {
            return Err(Fail::ignore("message ignored because it is missing payload(s) ATTR"));
        };
        let payload = CfgPayload::parse(attrs)?;
        self.follow_peer(serial, local, remote);
        if ours {
            let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
            let Some(asked) = sa.later.cfg.asked.take_if(|a| a.answer == payload.kind) else {
                return Err(Fail::ignore("Transaction message is not what answers ours; ignored"));
            };
            if asked.identifier != payload.identifier {
                // Some peers make up their own; it is under the same message ID, and no other is open.
                self.log_sa(serial, rc::LOG, "the identifier of the answer is not that of our request");
            }
            self.stop_retransmit(serial);
            return self.transaction_answer(serial, &payload);
        }
        self.remember_msgid(serial, h.msgid);
        let incoming = Incoming { msgid: h.msgid, iv };
        match self.transaction_request(serial, incoming, &payload)? {
            Some(answer) => {
                let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
                sa.later.cfg.answered.truncate(KEPT - 1);
                sa.later.cfg.answered.insert(0, (h.msgid, digest, answer.clone()));
                sa.answered_duplicates = 0;
                self.transmit(serial, &answer);
                self.transaction_answered(serial)
            }
            None => Ok(()),
        }
    }

    /// The peer answers what we asked or told.
    fn transaction_answer(&mut self, serial: Serial, payload: &CfgPayload<'_>) -> Result<(), Fail> {
        match self.ikes.get(&serial).map(|s| s.later.cfg.stage) {
            Some(Stage::XauthR0) => self.xauth_reply(serial, payload),
            Some(Stage::XauthR1) => {
                self.log_sa(serial, rc::LOG, "XAUTH: the client has acknowledged");
                self.xauth_served(serial)
            }
            Some(Stage::ModeR1) => {
                self.log_sa(serial, rc::LOG, "modecfg: the client has acknowledged its configuration");
                self.set_stage(serial, Stage::Done);
                Ok(())
            }
            Some(Stage::ModeI1) => self.modecfg_configured(serial, payload),
            _ => Ok(()),
        }
    }

    /// The peer asks or tells; what to answer.
    fn transaction_request(
        &mut self,
        serial: Serial,
        at: Incoming,
        payload: &CfgPayload<'_>,
    ) -> Result<Option<Vec<u8>>, Fail> {
        let xauth = (cfg::XAUTH_TYPE..=cfg::XAUTH_STATUS).any(|kind| payload.has(kind));
        match payload.kind {
            CfgType::Request if xauth => self.xauth_asked(serial, at, payload),
            CfgType::Request => self.modecfg_asked(serial, at, payload),
            CfgType::Set if payload.has(cfg::XAUTH_STATUS) => self.xauth_told(serial, at, payload),
            CfgType::Set => self.modecfg_told(serial, at, payload),
            CfgType::Reply | CfgType::Ack => {
                Err(Fail::ignore("Transaction message answers nothing that was asked; ignored"))
            }
        }
    }

    /// What comes once an answer of ours is on its way.
    fn transaction_answered(&mut self, serial: Serial) -> Result<(), Fail> {
        match self.ikes.get_mut(&serial).and_then(|s| s.later.cfg.then.take()) {
            Some(Then::Configure) => self.configure(serial),
            Some(Then::Refused) => Err(Fail::fatal("XAUTH: Authentication failed: the ISAKMP SA ends")),
            Some(Then::Begin) => {
                self.set_stage(serial, Stage::Done);
                self.begin_pending(serial);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// An answer under the message ID of what came in.
    pub(super) fn transaction_reply(
        &self,
        serial: Serial,
        at: &Incoming,
        body: &[u8],
    ) -> Result<Vec<u8>, Fail> {
        let Some((sa, suite)) = self.ikes.get(&serial).and_then(|s| Some((s, s.suite?))) else {
            return Err(Fail::ignore("ISAKMP SA not established"));
        };
        let mut m = Phase2Message::new(sa, Exchange::Transaction, at.msgid, suite.hash.len());
        m.payload(Kind::Attributes, body);
        m.seal(sa, &[], &mut at.iv.clone())
    }

    /// Sends a reply that had to wait.
    pub(super) fn transaction_late_reply(
        &mut self,
        serial: Serial,
        q: &Question,
        body: &[u8],
    ) -> Result<(), Fail> {
        let at = Incoming { msgid: q.msgid, iv: q.iv.clone() };
        let message = self.transaction_reply(serial, &at, body)?;
        self.transmit(serial, &message);
        Ok(())
    }

    /// Asks or tells the peer under a new message ID; sent again until it answers with `answer`.
    pub(super) fn transaction_ask(
        &mut self,
        serial: Serial,
        answer: CfgType,
        fill: impl FnOnce(u16) -> Vec<u8>,
    ) -> Result<(), Fail> {
        let identifier = u16::from_be_bytes(self.random());
        let msgid = loop {
            let id = u32::from_be_bytes(self.random());
            if id != 0 && !self.by_msgid.contains_key(&(serial, id)) {
                break id;
            }
        };
        self.remember_msgid(serial, msgid);
        let Some((sa, suite)) = self.ikes.get(&serial).and_then(|s| Some((s, s.suite?))) else {
            return Ok(());
        };
        let mut iv = first_iv(sa, msgid)?;
        let mut m = Phase2Message::new(sa, Exchange::Transaction, msgid, suite.hash.len());
        m.payload(Kind::Attributes, &fill(identifier));
        let message = m.seal(sa, &[], &mut iv)?;
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.later.cfg.asked = Some(Box::new(Asked { msgid, iv, identifier, answer }));
        }
        self.send_phase1(serial, message);
        self.arm_retransmit(serial);
        Ok(())
    }

    /// Our request needs no answer any more.
    pub(super) fn transaction_forget(&mut self, serial: Serial) {
        if let Some(cfg) = self.ikes.get_mut(&serial).and_then(|s| s.later.there()?.cfg.there()) {
            cfg.asked = None;
        }
        self.stop_retransmit(serial);
    }

    /// Goes on to another stage and says so.
    pub(super) fn set_stage(&mut self, serial: Serial, stage: Stage) {
        let Some(sa) = self.ikes.get_mut(&serial) else { return };
        let from = sa.name();
        if sa.later.cfg.stage != stage {
            sa.later.cfg.stage = stage;
        }
        let to = sa.name();
        if from != to {
            self.log_transition(serial, from, to);
            if stage != Stage::Done {
                self.log_sa(serial, to.code(), &format!("{}: {}", to.label(), to.story()));
            }
        }
    }
}
