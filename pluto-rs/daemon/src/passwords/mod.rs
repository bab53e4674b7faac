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

#[cfg(test)]
mod tests {
    use ipsec_types::SecretBytes;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// `xauthby=` decides who is asked: PAM knows nothing of the file.
    #[test]
    fn who_is_asked_is_what_xauthby_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        std::fs::write(&path, "joe:$1$salt1234$kljcc/EJ8woS/B/5DyYK7.:\n").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let verdicts = tokio::task::LocalSet::new().block_on(&runtime, async {
            let (send, mut checked) = unbounded_channel();
            let passwords = Passwords::new(path, send);
            let mut verdicts = Vec::new();
            for (by, password) in [
                (XauthBy::File, "opensesame"),
                (XauthBy::File, "wrong"),
                (XauthBy::AlwaysOk, "wrong"),
                (XauthBy::Pam, "opensesame"),
            ] {
                let password = SecretBytes::from(password.as_bytes());
                let (conn, user) = ("c".into(), "joe".into());
                let check = PasswordCheck { by, conn, user, password, peer: [192, 0, 2, 1].into() };
                passwords.submit(PasswordToken(1), check);
                verdicts.push(checked.recv().await.unwrap().1.right);
            }
            verdicts
        });
        assert_eq!(verdicts, [true, false, true, false]);
    }
}
