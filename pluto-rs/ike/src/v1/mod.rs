//! IKEv1 (RFC 2407, 2408, 2409): Main and Aggressive Mode, Quick Mode and the Informational exchange.

mod aggr_initiator;
mod aggr_responder;
pub(crate) mod auth_method;
mod authenticate;
mod certs;
mod client_conn;
mod dispatch;
mod dpd;
mod first;
pub(crate) mod fragment;
mod host_conn;
mod info;
mod main_initiator;
mod main_responder;
mod message;
mod modecfg_client;
mod modecfg_server;
pub(crate) mod natt;
pub(crate) mod phase1;
pub(crate) mod phase2;
mod quick;
mod quick_initiator;
mod quick_responder;
mod refusal;
mod rekey;
mod retransmit;
mod select;
pub(crate) mod signature;
pub(crate) mod transaction;
mod unique;
mod vendor;
mod xauth_client;
mod xauth_server;

pub(crate) use dpd::Due;
pub(crate) use quick_initiator::flow_of_conn;
pub(crate) use quick_responder::AfterQi1;

use crate::Endpoint;
use crate::io::CryptoResult;
use crate::sa::{MainI3, Serial};
use crate::wire::DecodeError;
use crate::wire::notify::NotifyType;
use crate::wire::payload::Kind;

/// What goes on when a worker is done.
#[derive(Debug)]
pub(crate) enum Continuation {
    /// Our public value is ready: send MI2.
    MainI2(Box<main_initiator::AfterMr1>),
    /// The shared secret is ready: send MI3.
    MainI3(Box<main_initiator::AfterMr2>),
    /// Both are ready: send MR2.
    MainR2(Box<main_responder::AfterMi2>),
    /// Our signature is ready: send MI3.
    MainI3Signed(Box<main_initiator::BeforeI3>),
    /// The peer's signature was looked at: send MR3, or have it signed.
    MainI3Verified(Box<main_responder::GotI3>),
    /// Our signature is ready: send MR3.
    MainR3Signed(Box<main_responder::GotI3>),
    /// The peer's signature was looked at.
    MainR3Verified(Box<(Box<MainI3>, main_initiator::GotR3)>),
    /// Our public value is ready: send AI1.
    AggrI1(Box<aggr_initiator::BeforeAi1>),
    /// The shared secret is ready: check AR1, send AI2.
    AggrI2(Box<aggr_initiator::AfterAr1>),
    /// The peer's signature was looked at: send AI2, or have it signed.
    AggrR1Verified(Box<aggr_initiator::GotR1>),
    /// Our signature is ready: send AI2.
    AggrI2Signed(Box<aggr_initiator::BeforeI2>),
    /// Both are ready: send AR1, or have it signed.
    AggrR1(Box<aggr_responder::AfterAi1>),
    /// Our signature is ready: send AR1.
    AggrR1Signed(Box<aggr_responder::BeforeR1>),
    /// The peer's signature was looked at.
    AggrI2Verified(Box<aggr_responder::GotI2>),
    /// Our public value for PFS is ready: send QI1.
    QuickI1(Box<quick_initiator::BeforeQi1>),
    /// The shared secret of PFS is ready: install and send QI2.
    QuickI2(Box<quick_initiator::AfterQr1>),
    /// Both values of PFS are ready: install and send QR1.
    QuickR1(Box<AfterQi1>),
}

impl Continuation {
    /// Whether the job makes our signature.
    pub(crate) fn signs(&self) -> bool {
        matches!(
            self,
            Continuation::MainI3Signed(_)
                | Continuation::MainR3Signed(_)
                | Continuation::AggrI2Signed(_)
                | Continuation::AggrR1Signed(_)
        )
    }
}

impl Endpoint {
    pub(crate) fn resume(&mut self, serial: Serial, then: Continuation, done: CryptoResult) {
        let outcome = match then {
            Continuation::MainI2(c) => self.main_send_i2(serial, *c, done),
            Continuation::MainI3(c) => self.main_send_i3(serial, *c, done),
            Continuation::MainR2(c) => self.main_send_r2(serial, *c, done),
            Continuation::MainI3Signed(c) => {
                self.main_finish_i3(serial, *c, (Kind::Signature, done.signature))
            }
            Continuation::MainI3Verified(c) => self.main_i3_verified(serial, *c, done.verdict),
            Continuation::MainR3Signed(c) => {
                self.main_finish_r3(serial, *c, (Kind::Signature, done.signature))
            }
            Continuation::MainR3Verified(c) => self.main_r3_verified(serial, *c, done.verdict),
            Continuation::AggrI1(c) => self.aggr_send_i1(serial, *c, done),
            Continuation::AggrI2(c) => self.aggr_send_i2(serial, *c, done),
            Continuation::AggrR1Verified(c) => self.aggr_r1_verified(serial, *c, done.verdict),
            Continuation::AggrI2Signed(c) => {
                self.aggr_finish_i2(serial, *c, (Kind::Signature, done.signature))
            }
            Continuation::AggrR1(c) => self.aggr_send_r1(serial, *c, done),
            Continuation::AggrR1Signed(c) => {
                self.aggr_finish_r1(serial, *c, (Kind::Signature, done.signature))
            }
            Continuation::AggrI2Verified(c) => self.aggr_i2_verified(serial, *c, done.verdict),
            Continuation::QuickI1(c) => self.quick_send_i1(serial, *c, done),
            Continuation::QuickI2(c) => self.quick_install_initiator(serial, *c, Some(done)),
            Continuation::QuickR1(c) => self.quick_install_responder(serial, *c, Some(done)),
        };
        if let Err(fail) = outcome {
            self.failed(serial, fail);
        }
    }
}

/// Why a message, or the state it came for, is given up; the one place where errors meet their wire consequence.
#[derive(Debug)]
pub(crate) struct Fail {
    /// Log lines.
    pub text: Vec<String>,
    /// Notification to send.
    pub notify: Option<NotifyType>,
    /// Whether the state goes too.
    pub fatal: bool,
}

impl Fail {
    /// The message is dropped, the state stays.
    pub(crate) fn ignore(text: impl Into<String>) -> Self {
        Fail { text: vec![text.into()], notify: None, fatal: false }
    }

    /// The state is dropped.
    pub(crate) fn fatal(text: impl Into<String>) -> Self {
        Fail { text: vec![text.into()], notify: None, fatal: true }
    }

    /// The peer is told, and the state is dropped.
    pub(crate) fn refuse(notify: NotifyType, text: impl Into<String>) -> Self {
        Fail { text: vec![text.into()], notify: Some(notify), fatal: true }
    }
}

impl From<DecodeError> for Fail {
    fn from(e: DecodeError) -> Self {
        Fail {
            text: vec![e.to_string(), "malformed payload in packet".into()],
            notify: Some(NotifyType::PayloadMalformed),
            fatal: false,
        }
    }
}

impl From<ipsec_crypto::CryptoError> for Fail {
    fn from(e: ipsec_crypto::CryptoError) -> Self {
        Fail::fatal(e.to_string())
    }
}
