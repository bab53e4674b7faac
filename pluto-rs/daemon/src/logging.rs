//! Where log lines go: syslog, or standard error with `--stderrlog`. Lines about junk from strangers are limited.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ike::Record;
use ipsec_netio::syslog::{Facility, Severity, Syslog};

/// Lines about junk in one go, and how long until one more is allowed: 1,000 an hour.
const BURST: u32 = 100;
const REFILL: Duration = Duration::from_millis(3600);

enum Sink {
    Syslog(Syslog),
    Stderr { time: bool },
}

/// The log.
pub(crate) struct Log {
    sink: Sink,
    tokens: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Log {
    pub(crate) fn open(stderr: bool, time: bool) -> Log {
        let sink = if stderr {
            Sink::Stderr { time }
        } else {
            Sink::Syslog(Syslog::open("pluto", Facility::AuthPriv))
        };
        Log { sink, tokens: BURST, refilled: Instant::now(), suppressed: 0 }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) {
        match &mut self.sink {
            Sink::Syslog(s) => s.log(Severity::Warning, text),
            Sink::Stderr { time: false } => eprintln!("{text}"),
            Sink::Stderr { time: true } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                eprintln!("{}.{:06}: {text}", now.as_secs(), now.subsec_micros());
            }
        }
    }

    /// Writes a record of the engine, if its kind has not used up its share.
    pub(crate) fn record(&mut self, r: &Record) {
        if !r.junk || self.take() {
            self.line(&r.text);
        } else {
            self.suppressed += 1;
        }
    }

    fn take(&mut self) -> bool {
        let more = self.refilled.elapsed().as_millis() / REFILL.as_millis();
        if more > 0 {
            self.tokens = self.tokens.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).min(BURST);
            self.refilled = Instant::now();
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        let missed = std::mem::take(&mut self.suppressed);
        if missed > 0 {
            self.line(&format!("{missed} lines about messages from strangers were not logged"));
        }
        true
    }
}
