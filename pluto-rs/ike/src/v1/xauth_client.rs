//! XAUTH as the client: answers what the server asks with the name and password of `ipsec.secrets`, of
//! `whack --xauthname … --xauthpass …`, or of the person who waits at the other end of whack.

use ipsec_types::SecretBytes;
use ipsec_types::whack::rc;

use super::Fail;
use super::transaction::{Incoming, Question, Stage, Then};
use crate::Endpoint;
use crate::sa::Serial;
use crate::timer::TimerKind;
use crate::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};

/// What we can answer.
const ANSWERED: [u16; 5] =
    [cfg::XAUTH_TYPE, cfg::XAUTH_USER_NAME, cfg::XAUTH_USER_PASSWORD, cfg::XAUTH_PASSCODE, cfg::XAUTH_DOMAIN];

impl Endpoint {
    /// `<-- REQUEST(NAME PASSWORD)`.
    pub(super) fn xauth_asked(
        &mut self,
        serial: Serial,
        at: Incoming,
        payload: &CfgPayload<'_>,
    ) -> Result<Option<Vec<u8>>, Fail> {
        let stage = self.ikes.get(&serial).map(|s| s.later.cfg.stage);
        if !matches!(stage, Some(Stage::XauthI0 | Stage::XauthI1)) {
            return Err(Fail::ignore(
                "XAUTH: the peer asks for a password, but the conn has no leftxauthclient=yes; ignored",
            ));
        }
        if let Some(text) = payload.text(cfg::XAUTH_MESSAGE).filter(|t| !t.is_empty()) {
            self.log_sa(serial, rc::LOG, &format!("XAUTH-Message: {text}"));
        }
        if stage == Some(Stage::XauthI1) {
            // What we said was wrong: what is known is not said again.
            if let Some(c) = self.ikes.get(&serial).map(|s| s.conn).and_then(|c| self.conns.get_mut(c)) {
                c.rare.credentials = None;
            }
            self.set_stage(serial, Stage::XauthI0);
        }
        let wants = payload.attrs.iter().map(|a| a.kind).filter(|k| ANSWERED.contains(k)).collect();
        let question = Question { msgid: at.msgid, iv: at.iv, identifier: payload.identifier, wants };
        let again = stage == Some(Stage::XauthI1);
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.later.cfg.question = Some(Box::new(question));
            sa.later.cfg.wrong += u32::from(again);
        }
        self.xauth_answer(serial)?;
        Ok(None)
    }

    /// Answers the question that is open if all is known, else asks the person for what is missing.
    fn xauth_answer(&mut self, serial: Serial) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let said = c.rare.credentials.as_deref();
        let user = said.and_then(|s| s.user.clone()).or_else(|| c.this().xauth_username.clone());
        let Some(user) = user else {
            return self.prompt(serial, rc::XAUTHPROMPT, "Username");
        };
        let known = said.and_then(|s| s.password.clone());
        // A password of the file that was wrong once will not be right the next time.
        let filed = || self.secrets.xauth(&user).filter(|_| sa.later.cfg.wrong == 0);
        let Some(password) = known.or_else(filed) else {
            return self.prompt(serial, rc::ENTERSECRET, "Password");
        };
        let Some(q) = self.ikes.get_mut(&serial).and_then(|s| s.later.cfg.question.take()) else {
            return Ok(());
        };
        self.log_sa(serial, rc::LOG, &format!("XAUTH: Answering XAUTH challenge with user='{user}'"));
        let mut w = CfgWriter::new(CfgType::Reply, q.identifier);
        for kind in &q.wants {
            match *kind {
                cfg::XAUTH_TYPE => w.short(cfg::XAUTH_TYPE, 0),
                cfg::XAUTH_USER_NAME => w.value(*kind, user.as_bytes()),
                cfg::XAUTH_USER_PASSWORD | cfg::XAUTH_PASSCODE => w.value(*kind, password.expose()),
                kind => w.value(kind, &[]),
            };
        }
        self.transaction_late_reply(serial, &q, &w.finish())?;
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.later.cfg.user = Some(user);
        }
        self.set_stage(serial, Stage::XauthI1);
        self.wait_for_server(serial);
        Ok(())
    }

    /// `040 "c" #1: c prompt for Password:`, if somebody waits who can answer.
    fn prompt(&mut self, serial: Serial, code: u8, what: &str) -> Result<(), Fail> {
        let Some((client, conn)) = self.ikes.get(&serial).and_then(|s| Some((s.later.whack?, s.conn))) else {
            return Err(Fail::fatal(format!(
                "XAUTH {} requested, but no file descriptor available for prompt",
                what.to_lowercase()
            )));
        };
        let Some(name) = self.conns.get(conn).map(|c| c.spec.name.clone()) else { return Ok(()) };
        let label = self.conn_label(conn, 0);
        self.reply(client, code, &format!("{label} {serial}: {name} prompt for {what}:"));
        // A person types slowly.
        let at = self.in_seconds(120);
        self.timers.set(serial, TimerKind::Discard, at);
        Ok(())
    }

    /// The person has answered.
    pub(crate) fn on_answer(&mut self, serial: Serial, text: SecretBytes) {
        let Some(conn) = self.ikes.get(&serial).filter(|s| s.later.cfg.question.is_some()).map(|s| s.conn)
        else {
            return;
        };
        let Some(c) = self.conns.get_mut(conn) else { return };
        let named = c.this().xauth_username.is_some();
        let said = c.rare.credentials.get_or_insert_default();
        match said.user.is_none() && !named {
            true => said.user = Some(String::from_utf8_lossy(text.expose()).into_owned()),
            false => said.password = Some(text),
        }
        if let Err(fail) = self.xauth_answer(serial) {
            self.failed(serial, fail);
        }
    }

    /// `<-- SET(STATUS)`.
    pub(super) fn xauth_told(
        &mut self,
        serial: Serial,
        at: Incoming,
        payload: &CfgPayload<'_>,
    ) -> Result<Option<Vec<u8>>, Fail> {
        let stage = self.ikes.get(&serial).map(|s| s.later.cfg.stage);
        if !matches!(stage, Some(Stage::XauthI0 | Stage::XauthI1)) {
            return Err(Fail::ignore("XAUTH: a verdict about nothing that was said; ignored"));
        }
        let ok = payload.value(cfg::XAUTH_STATUS).is_some_and(|v| v.iter().any(|b| *b != 0));
        let body =
            CfgWriter::new(CfgType::Ack, payload.identifier).short(cfg::XAUTH_STATUS, u16::from(ok)).finish();
        let answer = self.transaction_reply(serial, &at, &body)?;
        self.timers.clear(serial, TimerKind::Discard);
        if ok {
            self.log_sa(serial, rc::LOG, "XAUTH: Successfully Authenticated");
        } else {
            self.log_sa(serial, rc::AUTHFAILED, "XAUTH: the server refuses name or password");
            let conn = self.ikes.get(&serial).map(|s| s.conn);
            if let Some(c) = conn.and_then(|c| self.conns.get_mut(c)) {
                c.rare.credentials = None;
            }
        }
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.later.cfg.then = Some(if ok { Then::Configure } else { Then::Refused });
        }
        Ok(Some(answer))
    }
}
