//! The client side of the control socket: one request, reply lines as they come, the exit status they ask for.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use ipsec_types::whack::{Request, exit_status};

use crate::paths::with_ending;

/// Longest reply line that is taken, in octets.
const MAX_LINE: u64 = 64 << 10;

/// Why there is no answer.
pub(crate) enum Failure {
    /// No socket.
    NotRunning,
    /// A socket, but not for us, or nobody behind it.
    Connect(std::io::Error),
    /// The connection broke.
    Broken(std::io::Error),
}

/// Sends `request` to the daemon of `base` and gives every reply line to `each`. Returns the exit status.
pub(crate) fn ask(
    base: &Path,
    request: &Request,
    asynchronous: bool,
    timeout: Option<Duration>,
    mut each: impl FnMut(&str),
) -> Result<u8, Failure> {
    let path = with_ending(base, ".ctl");
    if !path.exists() {
        return Err(Failure::NotRunning);
    }
    let mut stream = UnixStream::connect(&path).map_err(Failure::Connect)?;
    stream.set_read_timeout(timeout).map_err(Failure::Broken)?;
    let mut text = serde_json::to_string(request).map_err(|e| Failure::Broken(e.into()))?;
    text.push('\n');
    stream.write_all(text.as_bytes()).map_err(Failure::Broken)?;
    let mut reader = BufReader::new(stream);
    let mut telling: Vec<String> = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(Failure::Broken)?;
        if n == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\n');
        each(text);
        // Only the last line that counts is kept: a status may be long.
        if !text.starts_with("000") && !text.starts_with("002") {
            telling.retain(|_| false);
            telling.push(text.to_string());
        }
    }
    Ok(exit_status(telling.iter().map(String::as_str), asynchronous))
}

/// [`ask`] for `ipsec whack`: prints, explains failures on stderr, exit status 1 for them.
pub(crate) fn whack(base: &Path, request: &Request, asynchronous: bool) -> i32 {
    let path = with_ending(base, ".ctl");
    let path = path.display();
    let mut out = std::io::stdout().lock();
    // A closed pipe (`ipsec status | head`) is no reason to give up before the daemon answered.
    let each = |line: &str| drop(writeln!(out, "{line}"));
    let result = ask(base, request, asynchronous, None, each);
    let _ = out.flush();
    match result {
        Ok(status) => i32::from(status),
        Err(Failure::NotRunning) => {
            eprintln!("whack: Pluto is not running (no \"{path}\")");
            1
        }
        Err(Failure::Connect(e)) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("whack: no right to communicate with pluto (access(\"{path}\"))");
            1
        }
        Err(Failure::Connect(e)) => {
            let number = e.raw_os_error().unwrap_or(0);
            let text = e.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            eprintln!("whack: is Pluto running?  connect() for \"{path}\" failed ({number} {text})");
            1
        }
        Err(Failure::Broken(e)) => {
            eprintln!("whack: connection to pluto broke: {e}");
            1
        }
    }
}

/// Whether a daemon answers.
pub(crate) fn answers(base: &Path) -> bool {
    ask(base, &Request::BriefStatus, false, Some(Duration::from_secs(5)), |_| {}).is_ok()
}
