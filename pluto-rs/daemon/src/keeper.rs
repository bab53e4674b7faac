//! What may take long about private keys, on a thread of its own: reading `ipsec.secrets` and the key files it names,
//! decrypting them, opening tokens. The loop asks and goes on; it is told in the order in which it asked.
//!
//! Nothing here knows the engine or a client.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use ipsec_conf::diag::{Diagnostic, Severity};
use ipsec_crypto::{Certificate, CryptoError};
use ipsec_types::SecretBytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::keys::{Holder, Locked, Own, Refused, Remark};
use crate::secrets::{self, Secrets};

/// What the loop asks, one thing after the other.
#[derive(Debug)]
pub(crate) enum Ask {
    /// The secrets of this file, and the keys they name.
    Secrets(PathBuf),
    /// A key, with its passphrase or PIN.
    Unlock(Arc<Locked>, SecretBytes),
    /// The certificates that these names of tokens mean.
    Certs(Vec<String>),
}

/// What it is told.
pub(crate) enum Told {
    /// The secrets were read.
    Secrets(Box<Read>),
    /// A passphrase was tried. The line for the log and the keys there are now, or why the key stays closed.
    Unlocked(Arc<Locked>, Result<(String, Own), Refused>),
    /// Each name, and what it means.
    Certs(Vec<(String, Result<Certificate, CryptoError>)>),
}

/// What came of reading the secrets.
pub(crate) struct Read {
    /// What is wrong with the file.
    pub(crate) wrong: Vec<Diagnostic>,
    /// `None` if the file could not be read at all: that costs nothing that worked before.
    pub(crate) fresh: Option<Fresh>,
}

/// What there is from now on.
pub(crate) struct Fresh {
    pub(crate) secrets: Secrets,
    pub(crate) own: Own,
    /// What is to be told about the keys.
    pub(crate) remarks: Vec<Remark>,
    /// Keys that want a passphrase.
    pub(crate) locked: Vec<Locked>,
}

struct Job {
    /// `pkcs11module=`.
    module: Option<String>,
    ask: Ask,
}

/// The thread.
pub(crate) struct Keeper {
    jobs: Sender<Job>,
    module: Option<String>,
}

impl Keeper {
    /// Starts it, with no key; files are below `ipsecdir`.
    pub(crate) fn start(ipsecdir: PathBuf, told: UnboundedSender<Told>) -> std::io::Result<Self> {
        let holder = Holder::new(ipsecdir);
        Self::spawn(move |queue| work(holder, queue, &told))
    }

    fn spawn(work: impl FnOnce(&Receiver<Job>) + Send + 'static) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        std::thread::Builder::new().name("keys".into()).spawn(move || work(&queue))?;
        Ok(Keeper { jobs, module: None })
    }

    /// One that dies of what it is asked first.
    #[cfg(test)]
    pub(crate) fn that_dies(told: UnboundedSender<Told>) -> Self {
        Self::spawn(move |queue| {
            let _told = told;
            let _ = queue.recv();
            std::panic::resume_unwind(Box::new("as the module of a token may"));
        })
        .unwrap()
    }

    /// Asks. If the thread has died, the end of what it tells says so.
    pub(crate) fn ask(&self, ask: Ask) {
        let _ = self.jobs.send(Job { module: self.module.clone(), ask });
    }

    /// `pkcs11module=`, for what is asked from now on.
    pub(crate) fn set_module(&mut self, path: Option<&str>) {
        self.module = path.map(str::to_string);
    }
}

fn work(mut holder: Holder, queue: &Receiver<Job>, told: &UnboundedSender<Told>) {
    while let Ok(Job { module, ask }) = queue.recv() {
        holder.set_token_module(module.as_deref());
        let news = match ask {
            Ask::Secrets(path) => Told::Secrets(Box::new(read(&mut holder, &path))),
            Ask::Unlock(locked, text) => {
                let result = holder.unlock(&locked, &text).map(|line| (line, holder.own()));
                Told::Unlocked(locked, result)
            }
            Ask::Certs(names) => {
                let cert = |name: String| {
                    let cert = holder.certificate(&name);
                    (name, cert)
                };
                Told::Certs(names.into_iter().map(cert).collect())
            }
        };
        if told.send(news).is_err() {
            return;
        }
    }
}

fn read(holder: &mut Holder, path: &std::path::Path) -> Read {
    let (records, wrong) = secrets::load(path);
    if records.is_empty() && wrong.iter().any(|d| d.severity == Severity::Error) {
        return Read { wrong, fresh: None };
    }
    let mut remarks = Vec::new();
    let locked = holder.take_secrets(&records, &mut remarks);
    let fresh = Fresh { secrets: Secrets::from(records), own: holder.own(), remarks, locked };
    Read { wrong, fresh: Some(fresh) }
}
