//! Where log lines go: syslog, a file with `--logfile`, or standard error with `--stderrlog`. Lines about junk from strangers are limited.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ike::Record;
use ipsec_netio::syslog::{Facility, Severity, Syslog};

use crate::options::Options;

/// Lines about junk in one go, and how long until one more is allowed: 1,000 an hour.
const BURST: u32 = 100;
const REFILL: Duration = Duration::from_millis(3600);

/// After which time a log daemon that was busy is tried again.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// Octets for a file or standard error that wait at most.
const ENOUGH: usize = 16 << 10;

/// The file of `--logfile`, to be written at its end.
pub(crate) fn append(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map_err(|e| format!("{}: {e}", path.display()))
}

enum Sink {
    Syslog(Syslog),
    Stream { out: Box<dyn io::Write>, time: bool, waiting: String },
}

/// The log.
pub(crate) struct Log {
    sink: Sink,
    tokens: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Log {
    /// Opens what the options name; a file is written at its end.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(options: &Options) -> Result<Log, String> {
        let stream = |out| Sink::Stream { out, time: options.log_time, waiting: String::new() };
        let sink = match &options.logfile {
            Some(path) => stream(Box::new(append(path)?)),
            None if options.stderrlog => stream(Box::new(io::stderr())),
            None => Sink::Syslog(Syslog::open("pluto", Facility::AuthPriv)),
        };
        Ok(Log { sink, tokens: BURST, refilled: Instant::now(), suppressed: 0 })
    }

    /// Opens the file of `--logfile` again, by its name; one that cannot be opened leaves the old one in use.
    pub(crate) fn reopen(&mut self, options: &Options) {
        self.flush();
        let (Some(path), Sink::Stream { out, .. }) = (&options.logfile, &mut self.sink) else { return };
        match append(path) {
            Ok(file) => *out = Box::new(file),
            Err(e) => self.line(&format!("the log stays in the file that is open: {e}")),
        }
    }

    /// Writes a line, with the next [`flush`](Self::flush) at the latest.
    pub(crate) fn line(&mut self, text: &str) {
        match &mut self.sink {
            Sink::Syslog(s) => s.queue(Severity::Warning, text),
            Sink::Stream { time, waiting, .. } => {
                if *time {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    // Writing to a String does not fail.
                    let _ = write!(waiting, "{}.{:06}: ", now.as_secs(), now.subsec_micros());
                }
                waiting.push_str(text);
                waiting.push('\n');
                if waiting.len() > ENOUGH {
                    self.flush();
                }
            }
        }
    }

    /// Writes what waits: a negotiation says many lines in one go, and each write is a system call.
    pub(crate) fn flush(&mut self) {
        match &mut self.sink {
            Sink::Syslog(s) => s.flush(),
            Sink::Stream { out, waiting, .. } => {
                // Nobody is left to tell if this fails.
                let _ = out.write_all(waiting.as_bytes());
                waiting.clear();
            }
        }
    }

    /// Whether lines wait for a log daemon that is busy: [`flush`](Self::flush) again in a moment.
    pub(crate) fn is_behind(&self) -> bool {
        matches!(&self.sink, Sink::Syslog(s) if s.is_behind())
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

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
        // The last lines say why; a log daemon that is only busy gets a moment for them.
        for _ in 0..20 {
            if !self.is_behind() {
                return;
            }
            std::thread::sleep(PAUSE);
            self.flush();
        }
    }
}
