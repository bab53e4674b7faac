//! Checks names and passwords of XAUTH beside the event loop: in `/etc/ipsec.d/passwd`, or with PAM. Nothing here logs a
//! password or a hash.
//!
//! ```text
//!  submit -> at most CHECKING threads -> (token, verdict) -> the engine
//! ```

mod file;
mod foreign;

use std::path::PathBuf;
use std::sync::Arc;

use ike::{PasswordCheck, PasswordToken, PasswordVerdict};
use ipsec_types::auth::XauthBy;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

/// Checks at one time; a directory that does not answer holds up no more than that.
const CHECKING: usize = 8;

/// What the loop is told.
pub(crate) type Checked = (PasswordToken, PasswordVerdict);

/// Where checks go.
pub(crate) struct Passwords {
    path: PathBuf,
    room: Arc<Semaphore>,
    checked: UnboundedSender<Checked>,
}

impl Passwords {
    /// Checks against `path`; verdicts will go to `checked`.
    pub(crate) fn new(path: PathBuf, checked: UnboundedSender<Checked>) -> Self {
        Passwords { path, room: Arc::new(Semaphore::new(CHECKING)), checked }
    }

    /// Has a password checked. How many can wait is bounded by the engine's half-open SAs.
    pub(crate) fn submit(&self, token: PasswordToken, check: PasswordCheck) {
        let (path, room, checked) = (self.path.clone(), self.room.clone(), self.checked.clone());
        tokio::task::spawn_local(async move {
            let Ok(_permit) = room.acquire_owned().await else { return };
            let work = tokio::task::spawn_blocking(move || match check.by {
                XauthBy::File => file::verify(&path, &check),
                XauthBy::Pam => pam(&check),
                XauthBy::AlwaysOk => PasswordVerdict { right: true, pool: None, lines: Vec::new() },
            });
            let verdict =
                work.await.unwrap_or(PasswordVerdict { right: false, pool: None, lines: Vec::new() });
            // The loop is gone only when the daemon is.
            let _ = checked.send((token, verdict));
        });
    }
}

/// Service `pluto`, account and all.
fn pam(check: &PasswordCheck) -> PasswordVerdict {
    let mut lines = vec![format!("pam authentication being called to authenticate user {}", check.user)];
    let outcome = foreign::pam("pluto", &check.user, &check.password, &check.peer.to_string());
    let right = outcome.is_ok();
    lines.extend(outcome.err());
    PasswordVerdict { right, pool: None, lines }
}
