//! Runs the updown scripts: without a shell, in the order of their conn, beside the event loop, for a limited time.
//!
//! ```text
//!  submit -> queue of the conn -> at most RUNNING processes -> (queue, token, result) -> the engine
//! ```
//! The built-in script is no process: a thread does its work, unless somebody put a script of his own in its place.

use std::collections::{HashMap, VecDeque};
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ike::{Updown, UpdownEnd, UpdownResult, UpdownToken};
use ipsec_updown::{Settings, Variables};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

/// Processes at one time; the others wait.
const RUNNING: usize = 16;
/// How long a script may take.
const TIME: Duration = Duration::from_secs(30);
/// How long its output is still read after it ended, should something it started hold on to it.
const REST: Duration = Duration::from_millis(200);
/// Octets of output that are kept.
const OUTPUT: usize = 16 << 10;
/// Where scripts look for commands, in front of what the daemon was started with.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a script that ended is told by.
pub(crate) type Ended = (u64, UpdownToken, UpdownResult);

/// Scripts that run or wait.
pub(crate) struct Scripts {
    queues: HashMap<u64, VecDeque<(UpdownToken, Updown)>>,
    /// Queues whose first script may start once there is room.
    ready: VecDeque<u64>,
    running: usize,
    ended: UnboundedSender<Ended>,
}

impl Scripts {
    /// Nothing runs; results will go to `ended`.
    pub(crate) fn new(ended: UnboundedSender<Ended>) -> Self {
        Scripts { queues: HashMap::new(), ready: VecDeque::new(), running: 0, ended }
    }

    /// Runs a script once those before it in its queue have ended.
    pub(crate) fn submit(&mut self, token: UpdownToken, script: Updown) {
        let id = script.queue;
        let queue = self.queues.entry(id).or_default();
        queue.push_back((token, script));
        if queue.len() == 1 {
            self.ready.push_back(id);
            self.start();
        }
    }

    /// The first script of a queue has ended: on with the next.
    pub(crate) fn ended(&mut self, id: u64) {
        self.running = self.running.saturating_sub(1);
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&id);
            } else {
                self.ready.push_back(id);
            }
        }
        self.start();
    }

    /// Whether nothing runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }

    fn start(&mut self) {
        while self.running < RUNNING {
            let Some(id) = self.ready.pop_front() else { return };
            let Some((token, script)) = self.queues.get(&id).and_then(|q| q.front()).cloned() else {
                continue;
            };
            self.running += 1;
            let ended = self.ended.clone();
            tokio::task::spawn_local(async move {
                let result = run(&script, TIME).await;
                // The loop is gone only when the daemon is.
                let _ = ended.send((id, token, result));
            });
        }
    }
}

async fn run(script: &Updown, time: Duration) -> UpdownResult {
    let nothing = |end| UpdownResult { lines: Vec::new(), end };
    let words = split_words(&script.command);
    let Some((program, args)) = words.split_first() else {
        return nothing(UpdownEnd::NotStarted("the command is empty".into()));
    };
    if let Some(args) = builtin(&words).filter(|_| !is_replaced()) {
        return inside(script, args.to_vec(), time).await;
    }
    let started = Command::new(program)
        .args(args)
        .env("PATH", PATH)
        .envs(script.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(e) => return nothing(UpdownEnd::NotStarted(format!("{program}: {e}"))),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let output = tokio::task::spawn_local(async move { tokio::join!(read(stdout), read(stderr)) });
    let end = match tokio::time::timeout(time, child.wait()).await {
        Ok(Ok(status)) => match (status.code(), status.signal()) {
            (Some(n), _) => UpdownEnd::Exit(n),
            (None, n) => UpdownEnd::Signal(n.unwrap_or(0)),
        },
        Ok(Err(e)) => UpdownEnd::NotStarted(e.to_string()),
        Err(_) => {
            // Also reaps it.
            let _ = child.kill().await;
            UpdownEnd::TimedOut
        }
    };
    let abort = output.abort_handle();
    let text = match tokio::time::timeout(REST, output).await {
        Ok(Ok((out, err))) => [out, err].concat(),
        _ => {
            abort.abort();
            Vec::new()
        }
    };
    let lines = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    UpdownResult { lines, end }
}

/// The words after `ipsec _updown`, or after one of its other names; `None` for any other command.
fn builtin(words: &[String]) -> Option<&[String]> {
    let [program, name, args @ ..] = words else { return None };
    let is_ours = matches!(
        name.as_str(),
        "_updown" | "_updown.netkey" | "_updown.klips" | "_updown.mast" | "_updown.bsdkame"
    );
    (program.rsplit('/').next() == Some("ipsec") && is_ours).then_some(args)
}

/// Whether the library directory has an `_updown` that is not a link to `ipsec`.
fn is_replaced() -> bool {
    let named = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let own = || env::current_exe().ok().and_then(|p| p.parent().map(PathBuf::from));
    let dirs = [named("IPSEC_EXECDIR"), named("IPSEC_LIBDIR").or_else(own)];
    dirs.into_iter().flatten().any(|dir| {
        let real = dir.join("_updown").canonicalize();
        real.is_ok_and(|p| p.file_name().is_none_or(|n| n != "ipsec"))
    })
}

/// Does what the built-in script does, on a thread. One that is late goes on, and its result is lost.
async fn inside(script: &Updown, args: Vec<String>, time: Duration) -> UpdownResult {
    let variables = Variables::new(script.env.iter().map(|(n, v)| (n.to_string(), v.clone())));
    let work = tokio::task::spawn_blocking(move || match Settings::new(&args) {
        Ok(settings) => ipsec_updown::run(&variables, &settings),
        Err(why) => ipsec_updown::Outcome { lines: vec![format!("ipsec _updown: {why}")], status: 1 },
    });
    match tokio::time::timeout(time, work).await {
        Ok(Ok(out)) => UpdownResult { lines: out.lines, end: UpdownEnd::Exit(out.status) },
        Ok(Err(e)) => UpdownResult { lines: Vec::new(), end: UpdownEnd::NotStarted(e.to_string()) },
        Err(_) => UpdownResult { lines: Vec::new(), end: UpdownEnd::TimedOut },
    }
}

/// Reads to the end and keeps the first part, so that a script that talks much is not held up.
async fn read(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut some = [0; 1024];
    while let Ok(n @ 1..) = from.read(&mut some).await {
        let room = OUTPUT.saturating_sub(kept.len()).min(n);
        kept.extend_from_slice(&some[..room]);
    }
    kept
}

/// Words separated by blanks; quotes of either kind keep blanks together. Nothing else has a meaning.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut open, mut quote) = (String::new(), false, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => (quote, open) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if std::mem::take(&mut open) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, c) => {
                open = true;
                word.push(c);
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    fn script(command: &str) -> Updown {
        Updown { queue: 1, command: command.into(), env: vec![("PLUTO_VERB", "up-host; exit 7".into())] }
    }

    fn in_a_loop<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, work)
    }

    #[test]
    fn words_keep_what_is_quoted() {
        assert_eq!(
            split_words(" ipsec  _updown --iproute 'table 5'\t\"a b\"c ''"),
            ["ipsec", "_updown", "--iproute", "table 5", "a bc", ""]
        );
        assert!(split_words("  ").is_empty());
    }

    #[test]
    fn output_and_status_come_back_and_no_shell_reads_a_value() {
        let done = in_a_loop(run(&script("sh -c 'echo \"$PLUTO_VERB\"; echo oops >&2; exit 3'"), TIME));
        assert_eq!(done.lines, ["up-host; exit 7", "oops"]);
        assert_eq!(done.end, UpdownEnd::Exit(3));
        let done = in_a_loop(run(&script("sh -c 'kill -9 $$'"), TIME));
        assert_eq!(done.end, UpdownEnd::Signal(9));
        let done = in_a_loop(run(&script("/nonexistent/updown"), TIME));
        assert!(matches!(done.end, UpdownEnd::NotStarted(_)), "{done:?}");
    }

    #[test]
    fn the_built_in_script_is_no_process() {
        let words = |text: &str| split_words(text);
        for ours in ["ipsec _updown", "/usr/sbin/ipsec _updown.netkey --route yes"] {
            assert_eq!(builtin(&words(ours)).unwrap().len(), words(ours).len() - 2, "{ours}");
        }
        for other in ["", "ipsec", "ipsec status", "/etc/ipsec.d/_updown up", "sh ipsec _updown"] {
            assert_eq!(builtin(&words(other)), None, "{other}");
        }
        let mut up = script("ipsec _updown --frob");
        let done = in_a_loop(run(&up, TIME));
        assert_eq!(
            (done.lines.concat().as_str(), done.end),
            ("ipsec _updown: Unknown argument \"--frob\"", UpdownEnd::Exit(1))
        );
        up.command = "ipsec _updown".into();
        let done = in_a_loop(run(&up, TIME));
        assert!(done.lines[0].starts_with("ipsec _updown: unknown verb `up-host; exit 7'"), "{done:?}");
        assert_eq!(done.end, UpdownEnd::Exit(1));
    }

    #[test]
    fn a_script_that_hangs_is_ended() {
        let done = in_a_loop(run(&script("sleep 60"), Duration::from_millis(50)));
        assert_eq!(done.end, UpdownEnd::TimedOut);
    }

    #[test]
    fn scripts_of_one_queue_run_in_order_and_others_beside_them() {
        let order = in_a_loop(async {
            let (send, mut ended) = unbounded_channel();
            let mut scripts = Scripts::new(send);
            let on = |queue, command: &str| Updown { queue, ..script(command) };
            scripts.submit(UpdownToken(1), on(1, "sleep 0.5"));
            scripts.submit(UpdownToken(2), on(1, "true"));
            scripts.submit(UpdownToken(3), on(2, "true"));
            let mut order = Vec::new();
            while !scripts.is_idle() {
                let (queue, token, _) = ended.recv().await.unwrap();
                scripts.ended(queue);
                order.push(token.0);
            }
            order
        });
        assert_eq!(order, [3, 1, 2]);
    }
}
