//! The control socket: one request a connection, reply lines until the engine is done with it.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use ike::ClientId;
use ipsec_types::whack::{MAX_REQUEST, Request, rc};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A client must have said what it wants by then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients at a time.
const MAX_CLIENTS: usize = 64;

/// What the socket tells the loop.
#[derive(Debug)]
pub(crate) enum CtlEvent {
    /// Somebody asks.
    Request(ClientId, UnboundedSender<Option<String>>, Box<Request>),
    /// Somebody hung up.
    Gone(ClientId),
}

/// The clients that wait for replies.
#[derive(Default)]
pub(crate) struct Clients {
    open: HashMap<ClientId, UnboundedSender<Option<String>>>,
}

impl Clients {
    pub(crate) fn add(&mut self, id: ClientId, replies: UnboundedSender<Option<String>>) -> bool {
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

/// Accepts for ever.
pub(crate) async fn serve(listener: UnixListener, events: Sender<CtlEvent>) {
    let mut next = 1;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let id = ClientId(next);
                next += 1;
                tokio::task::spawn_local(client(stream, id, events.clone()));
            }
            // Out of descriptors, most likely: let others finish.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn client(stream: UnixStream, id: ClientId, events: Sender<CtlEvent>) {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read.take(MAX_REQUEST as u64));
    let mut line = Vec::new();
    let got = tokio::time::timeout(REQUEST_TIMEOUT, reader.read_until(b'\n', &mut line)).await;
    let request = match got {
        Ok(Ok(n)) if n > 0 => serde_json::from_slice::<Request>(&line),
        _ => return,
    };
    let request = match request {
        Ok(r) => Box::new(r),
        Err(e) => {
            let text = format!(
                "{:03} ignoring message from whack that is not understood ({e}); Mismatched versions of userland \
                 tools and PLUTO code.\n",
                rc::BADWHACKMESSAGE
            );
            let _ = write.write_all(text.as_bytes()).await;
            return;
        }
    };
    let (send, replies) = unbounded_channel();
    if events.send(CtlEvent::Request(id, send, request)).await.is_err() {
        return;
    }
    let hangup = async {
        // Nothing more is expected; the end of the stream is the client's going away.
        let mut rest = [0; 64];
        loop {
            match reader.get_mut().get_mut().read(&mut rest).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = send_replies(replies, &mut write) => {}
        () = hangup => {}
    }
    let _ = events.send(CtlEvent::Gone(id)).await;
}

async fn send_replies(
    mut replies: UnboundedReceiver<Option<String>>,
    write: &mut tokio::net::unix::OwnedWriteHalf,
) {
    while let Some(Some(line)) = replies.recv().await {
        if write.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}
