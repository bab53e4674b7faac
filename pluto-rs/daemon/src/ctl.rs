//! The control socket: one request a connection, or a batch of them; reply lines until the engine is done with it.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ike::ClientId;
use ipsec_types::whack::{Request, rc};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::hangup::Hangup;
use crate::lines::Lines;

/// A client must have said what it wants by then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients at a time.
const MAX_CLIENTS: usize = 64;
/// Requests of a batch that go to the engine together.
const GROUP: usize = 32;
/// Octets of replies that are written at once.
const CHUNK: usize = 64 << 10;

/// Where the lines of an answer go; `None` ends it.
type Replies = UnboundedSender<Option<String>>;

/// Somebody's number, where his answer goes, and what he asks.
pub(crate) type Asked = (ClientId, Replies, Box<Request>);

/// What the socket tells the loop.
#[derive(Debug)]
pub(crate) enum CtlEvent {
    /// Somebody asks, one thing or several.
    Requests(Vec<Asked>),
    /// Somebody hung up.
    Gone(ClientId),
}

/// The clients that wait for replies.
#[derive(Default)]
pub(crate) struct Clients {
    open: HashMap<ClientId, Replies>,
}

impl Clients {
    pub(crate) fn add(&mut self, id: ClientId, replies: Replies) -> bool {
        let room = self.open.len() < MAX_CLIENTS;
        if room {
            self.open.insert(id, replies);
        } else {
            let _ = replies.send(Some(format!("{:03} too many requests at a time\n", rc::WHACK_PROBLEM)));
            let _ = replies.send(None);
        }
        room
    }

    pub(crate) fn reply(&self, id: ClientId, line: &str) {
        if let Some(c) = self.open.get(&id) {
            let _ = c.send(Some(format!("{line}\n")));
        }
    }

    pub(crate) fn done(&mut self, id: ClientId) {
        if let Some(c) = self.open.remove(&id) {
            let _ = c.send(None);
        }
    }

    pub(crate) fn gone(&mut self, id: ClientId) {
        self.open.remove(&id);
    }

    /// Whether somebody still waits.
    pub(crate) fn has(&self, id: ClientId) -> bool {
        self.open.contains_key(&id)
    }

    /// Whether every reply has been taken by its client.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// Binds the socket for root alone. A socket file nobody listens on is a leftover and is replaced.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    Ok(listener)
}

/// Numbers for clients.
#[derive(Clone, Default)]
struct Numbers(Rc<Cell<u64>>);

impl Numbers {
    fn next(&self) -> ClientId {
        self.0.set(self.0.get() + 1);
        ClientId(self.0.get())
    }
}

/// Accepts for ever.
pub(crate) async fn serve(listener: UnixListener, events: Sender<CtlEvent>) {
    let numbers = Numbers::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(client(stream, numbers.clone(), events.clone()));
            }
            // Out of descriptors, most likely: let others finish.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

type Reader = Lines<OwnedReadHalf>;

/// The next request line; `None` at the end, for a line that is too long, and when it takes too long to come.
async fn request_line(reader: &mut Reader) -> Option<&[u8]> {
    tokio::time::timeout(REQUEST_TIMEOUT, reader.next()).await.ok()?
}

fn understand(line: &[u8]) -> Result<Box<Request>, String> {
    serde_json::from_slice(line).map(Box::new).map_err(|e| {
        format!(
            "{:03} ignoring message from whack that is not understood ({e}); Mismatched versions of userland tools \
             and PLUTO code.\n",
            rc::BADWHACKMESSAGE
        )
    })
}

async fn client(stream: UnixStream, numbers: Numbers, events: Sender<CtlEvent>) {
    // Without a descriptor for this, one is served no more than without one for the stream.
    let Ok(hangup) = Hangup::of(&stream) else { return };
    let (read, mut write) = stream.into_split();
    let mut reader = Lines::new(read);
    let Some(text) = request_line(&mut reader).await else { return };
    let request = match understand(text) {
        Ok(request) => request,
        Err(text) => return drop(write.write_all(text.as_bytes()).await),
    };
    let mut open = Vec::new();
    let served = async {
        match *request {
            Request::Batch => batch(reader, write, &numbers, &events, &mut open).await,
            _ => one(request, write, &numbers, &events, &mut open).await,
        }
    };
    tokio::select! {
        biased;
        () = served => {}
        () = hangup.wait() => {}
    }
    for id in open {
        let _ = events.send(CtlEvent::Gone(id)).await;
    }
}

/// Answers a request. It is in `open` until it has been answered.
async fn one(
    request: Box<Request>,
    mut write: OwnedWriteHalf,
    numbers: &Numbers,
    events: &Sender<CtlEvent>,
    open: &mut Vec<ClientId>,
) {
    let (send, replies) = unbounded_channel();
    let id = numbers.next();
    open.push(id);
    if events.send(CtlEvent::Requests(vec![(id, send, request)])).await.is_ok() {
        send_replies(replies, &mut write).await;
    }
}

/// Writes an answer, as many lines at once as there are.
async fn send_replies(mut replies: UnboundedReceiver<Option<String>>, write: &mut OwnedWriteHalf) {
    let mut text = String::new();
    let mut open = true;
    while open {
        match replies.recv().await {
            Some(Some(line)) => text.push_str(&line),
            Some(None) | None => return,
        }
        while open && text.len() < CHUNK {
            match replies.try_recv() {
                Ok(Some(line)) => text.push_str(&line),
                Ok(None) => open = false,
                Err(_) => break,
            }
        }
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        text.clear();
    }
}

/// `040 …`, `041 …`.
fn is_question(line: &str) -> bool {
    let code = line.get(..3).and_then(|c| c.parse().ok());
    matches!(code, Some(rc::ENTERSECRET | rc::XAUTHPROMPT))
}

/// Answers requests until the client says that there are no more. Those that wait for their answers are in `open`.
async fn batch(
    mut reader: Reader,
    mut write: OwnedWriteHalf,
    numbers: &Numbers,
    events: &Sender<CtlEvent>,
    open: &mut Vec<ClientId>,
) {
    let mut text = String::new();
    loop {
        // What has arrived completely goes together: a turn of the event loop costs more than most requests.
        let mut group = Vec::new();
        let mut answers = Vec::new();
        while answers.len() < GROUP && (answers.is_empty() || reader.has_one()) {
            let Some(json) = request_line(&mut reader).await else { break };
            match understand(json) {
                Ok(request) => {
                    let (send, replies) = unbounded_channel();
                    let id = numbers.next();
                    group.push((id, send, request));
                    open.push(id);
                    answers.push(Ok(replies));
                }
                Err(text) => answers.push(Err(text)),
            }
        }
        if answers.is_empty() || events.send(CtlEvent::Requests(group)).await.is_err() {
            return;
        }
        for answer in answers {
            match answer {
                Ok(mut replies) => {
                    while let Some(Some(line)) = replies.recv().await {
                        text.push_str(&line);
                        // A question waits for an answer, not for the lines behind it.
                        let now = text.len() >= CHUNK || is_question(&line);
                        if now && write.write_all(text.as_bytes()).await.is_err() {
                            return;
                        }
                        if now {
                            text.clear();
                        }
                    }
                }
                Err(refusal) => text.push_str(&refusal),
            }
            text.push('\n');
        }
        open.clear();
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        text.clear();
    }
}
