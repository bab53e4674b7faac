//! `crlcheckinterval=`: when the shell is to look whether lists that it has fetched grow old. Nothing is fetched here.

use std::time::Duration;

use crate::Endpoint;
use crate::io::Output;
use crate::sa::Serial;
use crate::timer::TimerKind;

impl Endpoint {
    /// `None` is never.
    fn crl_check_interval(&self) -> Option<Duration> {
        let every = self.setup.crl_check_interval;
        (every > 0).then(|| Duration::from_secs(every.into()))
    }

    /// The next look is an interval from now.
    pub(crate) fn set_crl_check(&mut self) {
        match self.crl_check_interval() {
            Some(every) => self.timers.set(Serial(0), TimerKind::CrlCheck, self.after(every)),
            None => self.timers.clear(Serial(0), TimerKind::CrlCheck),
        }
    }

    /// The sockets are open: from now on there is something to look for.
    pub(crate) fn begin_crl_checks(&mut self) {
        if self.timers.get(Serial(0), TimerKind::CrlCheck).is_none() {
            self.set_crl_check();
        }
    }

    /// Time to look: what is good for less than two intervals is fetched anew, as in Openswan.
    pub(crate) fn on_crl_check(&mut self) {
        let every = u64::from(self.setup.crl_check_interval);
        self.out.push_back(Output::RefreshCrls { old_at: self.now.wall.saturating_add(2 * every) });
        self.set_crl_check();
    }
}
