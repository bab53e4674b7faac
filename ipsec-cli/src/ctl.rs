//! The client side of the control socket: one request or many, reply lines as they come, the exit status they ask for.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use ipsec_types::whack::{Request, exit_status};
use zeroize::Zeroizing;

use crate::paths::with_ending;
use crate::prompt;

/// Longest reply line that is taken, in octets.
const MAX_LINE: u64 = 64 << 10;
/// Octets that are read or written at once.
const BUFFER: usize = 64 << 10;

/// Why there is no answer.
pub(crate) enum Failure {
    /// No socket.
    NotRunning,
    /// A socket, but not for us, or nobody behind it.
    Connect(std::io::Error),
    /// The connection broke.
    Broken(std::io::Error),
}

impl Failure {
    /// What `whack` says about it; its exit status is 1.
    pub(crate) fn explain(&self, base: &Path) -> String {
        let path = with_ending(base, ".ctl");
        let path = path.display();
        match self {
            Failure::NotRunning => format!("whack: Pluto is not running (no \"{path}\")"),
            Failure::Connect(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                format!("whack: no right to communicate with pluto (access(\"{path}\"))")
            }
            Failure::Connect(e) => {
                let number = e.raw_os_error().unwrap_or(0);
                let text = e.to_string();
                let text = text.split(" (os error").next().unwrap_or_default();
                format!("whack: is Pluto running?  connect() for \"{path}\" failed ({number} {text})")
            }
            Failure::Broken(e) => format!("whack: connection to pluto broke: {e}"),
        }
    }
}

fn connect(base: &Path) -> Result<UnixStream, Failure> {
    let path = with_ending(base, ".ctl");
    if !path.exists() {
        return Err(Failure::NotRunning);
    }
    UnixStream::connect(&path).map_err(Failure::Connect)
}

/// The request as it is sent; wiped when it has been, as it may have a passphrase in it.
fn line_of(request: &Request) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(serde_json::to_string(request).map_err(|e| Failure::Broken(e.into()))?);
    text.push('\n');
    Ok(text)
}

/// The lines of an answer; only the last that counts is kept, as a status may be long.
struct Answer {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
    telling: Option<String>,
}

impl Answer {
    fn new(stream: UnixStream) -> Answer {
        Answer { reader: BufReader::with_capacity(BUFFER, stream), line: Vec::new(), telling: None }
    }

    /// The next line; `None` at the end of the stream. With it, whether more has arrived already.
    fn next(&mut self) -> Result<Option<(Cow<'_, str>, bool)>, Failure> {
        self.line.clear();
        let mut limited = self.reader.by_ref().take(MAX_LINE);
        let n = limited.read_until(b'\n', &mut self.line).map_err(Failure::Broken)?;
        if n == 0 {
            return Ok(None);
        }
        let more = !self.reader.buffer().is_empty();
        let text = String::from_utf8_lossy(self.line.strip_suffix(b"\n").unwrap_or(&self.line));
        if !text.is_empty() && !text.starts_with("000") && !text.starts_with("002") {
            self.telling = Some(text.to_string());
        }
        Ok(Some((text, more)))
    }

    /// The exit status of what was read since the last call.
    fn status(&mut self, asynchronous: bool) -> u8 {
        exit_status(self.telling.take().as_deref(), asynchronous)
    }
}

/// Sends `request` to the daemon of `base` and gives every reply line to `each`. Returns the exit status.
pub(crate) fn ask(
    base: &Path,
    request: &Request,
    asynchronous: bool,
    timeout: Option<Duration>,
    mut each: impl FnMut(&str),
) -> Result<u8, Failure> {
    talk(base, request, asynchronous, timeout, |line, _| each(line))
}

/// As [`ask`]; `each` learns too whether more lines have arrived already.
fn talk(
    base: &Path,
    request: &Request,
    asynchronous: bool,
    timeout: Option<Duration>,
    mut each: impl FnMut(&str, bool),
) -> Result<u8, Failure> {
    let mut stream = connect(base)?;
    stream.set_read_timeout(timeout).map_err(Failure::Broken)?;
    stream.write_all(line_of(request)?.as_bytes()).map_err(Failure::Broken)?;
    let mut answer = Answer::new(stream);
    while let Some((line, more)) = answer.next()? {
        each(&line, more);
    }
    Ok(answer.status(asynchronous))
}

/// Sends many requests over one connection. `each` gets the number of the request and a reply line. Returns the exit
/// status of each.
pub(crate) fn batch(
    base: &Path,
    requests: &[Request],
    mut each: impl FnMut(usize, &str),
) -> Result<Vec<u8>, Failure> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let stream = connect(base)?;
    let mut write = stream.try_clone().map_err(Failure::Broken)?;
    let mut statuses = Vec::with_capacity(requests.len());
    // Another thread writes: the daemon answers while we ask, and neither may wait for the other.
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<(), Failure> {
            let mut text = line_of(&Request::Batch)?;
            for request in requests {
                text.push_str(&line_of(request)?);
                if text.len() > BUFFER {
                    write.write_all(text.as_bytes()).map_err(Failure::Broken)?;
                    text.clear();
                }
            }
            write.write_all(text.as_bytes()).map_err(Failure::Broken)?;
            write.shutdown(Shutdown::Write).map_err(Failure::Broken)
        });
        let mut answer = Answer::new(stream);
        while let Some((line, _)) = answer.next()? {
            if !line.is_empty() {
                each(statuses.len(), &line);
                continue;
            }
            statuses.push(answer.status(false));
        }
        writer.join().unwrap_or_else(|_| Err(Failure::Broken(std::io::ErrorKind::Other.into())))
    })?;
    match statuses.len() == requests.len() {
        true => Ok(statuses),
        false => Err(Failure::Broken(std::io::ErrorKind::UnexpectedEof.into())),
    }
}

/// [`ask`] for `ipsec whack`: prints, explains failures on stderr, exit status 1 for them.
pub(crate) fn whack(base: &Path, request: &Request, asynchronous: bool) -> i32 {
    let mut out = BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
    // A closed pipe (`ipsec status | head`) is no reason to give up before the daemon answered.
    let each = |line: &str, more: bool| {
        if !prompt::is_idle(line) {
            let _ = writeln!(out, "{line}");
        }
        if !more {
            let _ = out.flush();
        }
        prompt::answer(base, line);
    };
    let result = talk(base, request, asynchronous, None, each);
    let _ = out.flush();
    match result {
        Ok(status) => i32::from(status),
        Err(failure) => {
            eprintln!("{}", failure.explain(base));
            1
        }
    }
}

/// Whether a daemon answers.
pub(crate) fn answers(base: &Path) -> bool {
    ask(base, &Request::BriefStatus, false, Some(Duration::from_secs(5)), |_| {}).is_ok()
}
