//! What the loop does about secrets, keys, certificates and lists: reads them, asks for passphrases, gives the engine what
//! there is, has news of revocation fetched. Nothing here waits for a person or for a network.

use std::sync::Arc;

use ike::ClientId;
use ipsec_conf::diag::Severity;
use ipsec_netio::clock;
use ipsec_types::whack::{Request, Reread, rc};

use super::Shell;
use crate::fetch::News;
use crate::keys::Locked;
use crate::prompt::Step;
use crate::secrets;

impl Shell {
    /// Certificates and CRLs, and for `--rereadall` the secrets too, are read again.
    pub(super) fn reread(&mut self, client: ClientId, what: Reread) -> Vec<Locked> {
        let locked = match what {
            Reread::All => self.read_secrets(Some(client)),
            _ => Vec::new(),
        };
        let mut remarks = Vec::new();
        self.keys.reread(what, &mut remarks);
        if matches!(what, Reread::All | Reread::CaCerts) {
            for name in self.engine.cert_names() {
                let cert = self.keys.read_cert(&name);
                if let Err(e) = &cert {
                    remarks.push((true, format!("  could not open host cert file '{name}': {e}")));
                }
                self.engine.set_cert(name, cert);
            }
        }
        self.tell_all(Some(client), remarks);
        self.hand_keys();
        if what == Reread::PurgeOcsp {
            self.fetcher.forget();
        }
        // `ipsec fetchcrls`: those that came from a network once are fetched anew.
        if matches!(what, Reread::All | Reread::Crls) {
            self.refetch(u64::MAX);
        }
        locked
    }

    /// The client is asked for the passphrases of key files, if there are any, or has heard all.
    pub(super) fn ask_or_end(&mut self, client: ClientId, locked: Vec<Locked>) {
        match locked.is_empty() {
            true => self.clients.done(client),
            false => {
                let step = self.prompts.start(client, locked);
                self.follow(Some(step));
            }
        }
    }

    /// Tells what has come of a question, or of its end.
    pub(super) fn follow(&mut self, step: Option<Step>) {
        let Some(Step { client, lines, ended, opened }) = step else { return };
        for (code, text) in lines {
            match code {
                rc::ENTERSECRET => self.clients.reply(client, &format!("{code:03} {text}")),
                _ => self.tell(Some(client), code, &text),
            }
        }
        if opened {
            self.hand_keys();
        }
        if ended {
            self.clients.done(client);
        }
    }

    /// The files that a conn names in `leftcert=` are read before the engine sees it.
    pub(super) fn read_certs_of(&mut self, request: &Request) {
        let (Request::Add(spec) | Request::Load { spec, .. }) = request else { return };
        let known = self.engine.cert_names();
        let mut read = false;
        for name in [&spec.left.cert, &spec.right.cert].into_iter().flatten() {
            // One that could not be read may be there now.
            if !known.contains(name) || !self.engine.has_cert(name) {
                let cert = self.keys.read_cert(name);
                if cert.is_ok() {
                    self.log.line(&format!("  loaded host cert file '{name}'"));
                }
                self.engine.set_cert(name.clone(), cert);
                read = true;
            }
        }
        if read {
            self.hand_keys();
        }
    }

    /// The files that `ca` sections name in `cacert=`.
    pub(super) fn read_sections_of(&mut self, client: ClientId, request: &Request) {
        let Request::Setup(setup) = request else { return };
        self.keys.set_token_module(setup.pkcs11_module.as_deref());
        let mut remarks = Vec::new();
        if self.keys.set_sections(&setup.authorities, &mut remarks) {
            self.tell_all(Some(client), remarks);
            self.hand_keys();
        }
    }

    /// `crlcheckinterval=`: lists that came from a network and will be old before the next look are fetched anew.
    pub(super) fn check_crls(&mut self) {
        self.crls_checked = tokio::time::Instant::now();
        let every = self.engine.crl_check_interval().unwrap_or_default().as_secs();
        self.refetch(clock::now().wall.saturating_add(2 * every));
    }

    /// Fetches lists anew that will be old at second `then`.
    fn refetch(&mut self, then: u64) {
        let (trust, now) = (self.keys.trust(), clock::now().wall);
        for wanted in self.keys.old_at(then) {
            self.fetcher.submit(wanted, &trust, now);
        }
    }

    pub(super) fn on_news(&mut self, news: News) {
        match news {
            News::Failed(text) => return self.log.record(&ike::Record { text, junk: true }),
            News::Crl(crl, from, wanted) => {
                self.log.line(&format!("fetched crl from \"{from}\", revoked certs: {}", crl.revoked()));
                self.keys.add_crl(*crl, from, *wanted);
            }
            News::Ocsp(answer) => {
                self.log.line(&format!("ocsp responder says of a certificate: {}", answer.word()));
                self.keys.add_answer(*answer);
            }
        }
        self.hand_keys();
    }

    /// Gives the engine what has been read.
    pub(super) fn hand_keys(&mut self) {
        self.engine.set_keyring(Arc::new(self.keys.ring(clock::now().wall)));
    }

    /// Reads the secrets anew; who was asked for a passphrase is not any more. Returns the keys that want one.
    pub(super) fn read_secrets(&mut self, client: Option<ClientId>) -> Vec<Locked> {
        let step = self.prompts.end(None);
        self.follow(step);
        let path = self.options.secrets.clone();
        let (fresh, remarks) = secrets::load(&path);
        for r in &remarks {
            let code = if r.severity == Severity::Error { rc::LOG_SERIOUS } else { rc::LOG };
            self.tell(client, code, &r.log_form());
        }
        // A file that cannot be read at all costs nothing that worked before.
        if fresh.is_empty() && remarks.iter().any(|r| r.severity == Severity::Error) {
            self.tell(
                client,
                rc::LOG_SERIOUS,
                "no secret could be read; the secrets loaded before stay in force",
            );
            return Vec::new();
        }
        let mut remarks = Vec::new();
        let locked = self.keys.take_secrets(&fresh, &mut remarks);
        self.tell_all(client, remarks);
        self.engine.set_secrets(Box::new(secrets::Secrets::from(fresh)));
        self.hand_keys();
        locked
    }
}
