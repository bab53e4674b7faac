//! XAUTH as the server (draft-beaulieu-ike-xauth-02): the peer has proved that it belongs to the group, and is asked who
//! of it he is. The password is checked outside; until that is done there is no phase 2.
//!
//! ```text
//!  <-- REQUEST(NAME="" PASSWORD="")     XAUTH_R0
//!  --> REPLY(NAME="joe" PASSWORD="…")
//!  <-- SET(STATUS=OK)                   XAUTH_R1
//!  --> ACK(STATUS)
//! ```

use ipsec_types::SecretBytes;
use ipsec_types::auth::{XauthBy, XauthFail};
use ipsec_types::whack::rc;

use super::Fail;
use super::transaction::Stage;
use crate::Endpoint;
use crate::io::{Output, PasswordCheck, PasswordToken, PasswordVerdict};
use crate::sa::Serial;
use crate::timer::TimerKind;
use crate::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};

/// Wrong passwords after which the ISAKMP SA ends.
const TRIES: u32 = 3;
/// Octets of a name and of a password.
const MAX_NAME: usize = 255;
const MAX_PASSWORD: usize = 500;

/// Without the NUL that some clients put behind it.
fn trimmed(value: &[u8]) -> &[u8] {
    value.strip_suffix(&[0]).unwrap_or(value)
}

impl Endpoint {
    /// Asks for name and password.
    pub(super) fn xauth_ask(&mut self, serial: Serial, again: bool) -> Result<(), Fail> {
        self.log_sa(serial, rc::LOG, "XAUTH: Sending XAUTH Login/Password Request");
        self.log_sa(serial, rc::LOG, "XAUTH: Sending Username/Password request (XAUTH_R0)");
        let conn = self.ikes.get(&serial).and_then(|s| self.conns.get(s.conn));
        let banner = conn.and_then(|c| c.spec.modecfg.banner.clone());
        self.transaction_ask(serial, CfgType::Reply, |id| {
            let mut w = CfgWriter::new(CfgType::Request, id);
            w.short(cfg::XAUTH_TYPE, 0);
            match (again, banner) {
                (true, _) => w.value(cfg::XAUTH_MESSAGE, b"Incorrect username or password"),
                (false, Some(text)) => w.value(cfg::XAUTH_MESSAGE, text.as_bytes()),
                (false, None) => &mut w,
            };
            w.value(cfg::XAUTH_USER_NAME, &[]).value(cfg::XAUTH_USER_PASSWORD, &[]).finish()
        })?;
        self.set_stage(serial, Stage::XauthR0);
        Ok(())
    }

    /// `--> REPLY(NAME PASSWORD)`.
    pub(super) fn xauth_reply(&mut self, serial: Serial, payload: &CfgPayload<'_>) -> Result<(), Fail> {
        let name = payload.value(cfg::XAUTH_USER_NAME).map(trimmed).unwrap_or_default();
        let password = payload.value(cfg::XAUTH_USER_PASSWORD).or_else(|| payload.value(cfg::XAUTH_PASSCODE));
        let password = trimmed(password.unwrap_or_default());
        let text = std::str::from_utf8(name).ok().filter(|t| !t.chars().any(char::is_control));
        let user = match text {
            Some(t) if (1..=MAX_NAME).contains(&name.len()) && password.len() <= MAX_PASSWORD => {
                t.to_string()
            }
            _ => {
                self.log_sa(
                    serial,
                    rc::LOG_SERIOUS,
                    "XAUTH: the answer holds no user name and password that can be used",
                );
                return self.xauth_wrong(serial, "");
            }
        };
        self.log_sa(serial, rc::LOG, &format!("XAUTH: User {user}: Attempting to login"));
        self.set_stage(serial, Stage::Checking);
        let Some((sa, c)) = self.ikes.get(&serial).and_then(|s| Some((s, self.conns.get(s.conn)?))) else {
            return Ok(());
        };
        let check = PasswordCheck {
            by: c.spec.xauth_by,
            conn: c.spec.name.clone(),
            user: user.clone(),
            password: SecretBytes::from(password),
            peer: sa.remote.ip(),
        };
        if check.by == XauthBy::AlwaysOk {
            return self.xauth_right(serial, user, false);
        }
        let token = PasswordToken(self.token());
        self.checks.insert(token, (serial, user));
        self.out.push_back(Output::CheckPassword(token, check));
        Ok(())
    }

    /// The password was checked.
    pub(crate) fn on_password(&mut self, token: PasswordToken, verdict: PasswordVerdict) {
        let Some((serial, user)) = self.checks.remove(&token) else { return };
        if self.ikes.get(&serial).is_none_or(|s| s.later.cfg.stage != Stage::Checking) {
            return;
        }
        for line in &verdict.lines {
            self.log_sa(serial, rc::LOG, &format!("XAUTH: {line}"));
        }
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.later.cfg.pool = verdict.pool.filter(|_| verdict.right);
        }
        let outcome = match verdict.right {
            true => self.xauth_right(serial, user, false),
            false => self.xauth_wrong(serial, &user),
        };
        if let Err(fail) = outcome {
            self.failed(serial, fail);
        }
    }

    fn xauth_wrong(&mut self, serial: Serial, user: &str) -> Result<(), Fail> {
        let text = format!("XAUTH: User {user}: Authentication Failed: Incorrect Username or Password");
        self.log_sa(serial, rc::LOG_SERIOUS, &text);
        let conn = self.ikes.get(&serial).and_then(|s| self.conns.get(s.conn));
        if conn.is_some_and(|c| c.spec.xauth_fail == XauthFail::Soft) && !user.is_empty() {
            self.log_sa(serial, rc::LOG, "XAUTH: xauthfail=soft: the updown script is told");
            return self.xauth_right(serial, user.into(), true);
        }
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        sa.later.cfg.wrong += 1;
        if sa.later.cfg.wrong < TRIES {
            return self.xauth_ask(serial, true);
        }
        self.transaction_ask(serial, CfgType::Ack, |id| {
            CfgWriter::new(CfgType::Set, id).short(cfg::XAUTH_STATUS, 0).finish()
        })?;
        self.log_sa(
            serial,
            rc::LOG_SERIOUS,
            &format!("XAUTH: {TRIES} wrong passwords: deleting the ISAKMP SA"),
        );
        self.delete_ike(serial, true);
        Ok(())
    }

    fn xauth_right(&mut self, serial: Serial, user: String, failed: bool) -> Result<(), Fail> {
        if !failed {
            self.log_sa(serial, rc::LOG, &format!("XAUTH: User {user}: Authentication Successful"));
        }
        if let Some(sa) = self.ikes.get_mut(&serial) {
            (sa.later.cfg.user, sa.later.cfg.failed) = (Some(user), failed);
        }
        self.timers.clear(serial, TimerKind::Discard);
        self.opened(serial);
        self.same_client(serial);
        self.set_stage(serial, Stage::XauthR1);
        self.transaction_ask(serial, CfgType::Ack, |id| {
            CfgWriter::new(CfgType::Set, id).short(cfg::XAUTH_STATUS, 1).finish()
        })
    }

    /// `--> ACK(STATUS)`, or it never came: on with the configuration.
    pub(super) fn xauth_served(&mut self, serial: Serial) -> Result<(), Fail> {
        self.configure(serial)
    }
}
