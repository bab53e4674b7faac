//! What the loop does about secrets, keys, certificates and lists: reads them, asks for passphrases, gives the engine what
//! there is, has news of revocation fetched and host names asked for. Nothing here waits for a person, a network, a token or
//! a key that is decrypted.

use std::sync::Arc;

use ike::{ClientId, Input};
use ipsec_conf::diag::Severity;
use ipsec_crypto::{Certificate, CryptoError};
use ipsec_netio::clock;
use ipsec_types::SecretBytes;
use ipsec_types::whack::{Request, Reread, rc};

use super::Shell;
use crate::fetch::News;
use crate::keeper::{Ask, Fresh, Read, Told};
use crate::keys::{Locked, Remark};
use crate::names::Found;
use crate::prompt::{Answer, Step};
use crate::tokens::TokenName;

/// What goes on when the keeper has answered.
#[derive(Debug)]
pub(super) enum After {
    /// `--listen`: the sockets are opened.
    Listen(ClientId),
    /// `--rereadsecrets`.
    Secrets(ClientId),
    /// `--rereadall`: the folders come next.
    Reread(ClientId),
    /// The end of `--rereadall` and `--rereadcacerts`, with the keys that want a passphrase.
    Certs(ClientId, Vec<Locked>),
    /// A conn with certificates on tokens is taken.
    Request(ClientId, Box<Request>),
    /// A passphrase was tried.
    Unlock,
}

impl After {
    /// Who waits for it: what else he wants comes later.
    pub(super) fn client(&self) -> Option<ClientId> {
        match self {
            After::Listen(c) | After::Secrets(c) | After::Reread(c) => Some(*c),
            After::Certs(c, _) | After::Request(c, _) => Some(*c),
            After::Unlock => None,
        }
    }
}

impl Shell {
    /// Has the keeper do something, and remembers what comes after it.
    pub(super) fn ask(&mut self, ask: Ask, after: After) {
        self.queue.push(ask, after);
        self.ask_next();
    }

    fn ask_next(&mut self) {
        if let Some(ask) = self.queue.next() {
            self.keeper.ask(ask);
        }
    }

    /// Has the secrets read.
    pub(super) fn ask_secrets(&mut self, after: After) {
        self.ask(Ask::Secrets(self.options.secrets.clone()), after);
    }

    /// The keeper has answered.
    pub(super) fn on_told(&mut self, told: Told) {
        let Some(after) = self.queue.answered() else { return };
        self.ask_next();
        let client = after.client();
        match (told, after) {
            (Told::Secrets(read), after) => {
                let locked = self.take_secrets(client, *read);
                match after {
                    After::Listen(client) => self.listen(client, &locked),
                    After::Reread(client) => self.reread(client, Reread::All, locked),
                    After::Secrets(client) => self.ask_or_end(client, locked),
                    After::Certs(..) | After::Request(..) | After::Unlock => {}
                }
            }
            (Told::Unlocked(locked, result), _) => {
                let result = result.map(|(line, own)| {
                    self.keys.set_own(own);
                    self.hand_keys();
                    line
                });
                let step = self.prompts.tried(&locked, result);
                self.follow(step);
            }
            (Told::Certs(certs), After::Request(client, request)) => {
                for (name, cert) in certs {
                    self.take_cert(name, cert);
                }
                self.read_files_of(&request);
                self.engine.handle(clock::now(), Input::Whack { client, request });
            }
            (Told::Certs(certs), after) => {
                let remarks =
                    certs.iter().filter_map(|(name, cert)| Some(unreadable(name, cert.as_ref().err()?)));
                self.tell_all(client, remarks.collect());
                for (name, cert) in certs {
                    self.engine.renew_cert(&name, cert);
                }
                if let After::Certs(client, locked) = after {
                    self.ask_or_end(client, locked);
                }
            }
        }
        self.drain();
        if let Some(client) = client {
            self.go_on(client);
        }
    }

    /// Certificates and CRLs are read again; then `client` is asked for the passphrases of `locked`.
    pub(super) fn reread(&mut self, client: ClientId, what: Reread, locked: Vec<Locked>) {
        let mut remarks = Vec::new();
        self.keys.reread(what, &mut remarks);
        let mut on_tokens = Vec::new();
        if matches!(what, Reread::All | Reread::CaCerts) {
            for name in self.engine.cert_names() {
                if TokenName::is_one(&name) {
                    on_tokens.push(name);
                    continue;
                }
                let cert = self.keys.read_cert(&name);
                remarks.extend(cert.as_ref().err().map(|e| unreadable(&name, e)));
                self.engine.renew_cert(&name, cert);
            }
        }
        self.tell_all(Some(client), remarks);
        self.hand_keys();
        // `ipsec fetchcrls`: those that came from a network once are fetched anew, and at once.
        if matches!(what, Reread::All | Reread::Crls | Reread::PurgeOcsp) {
            self.fetcher.hurry();
        }
        if matches!(what, Reread::All | Reread::Crls) {
            self.refetch(u64::MAX);
        }
        match on_tokens.is_empty() {
            true => self.ask_or_end(client, locked),
            false => self.ask(Ask::Certs(on_tokens), After::Certs(client, locked)),
        }
    }

    /// The client is asked for the passphrases of key files, if there are any and he is still there, or has heard all.
    fn ask_or_end(&mut self, client: ClientId, locked: Vec<Locked>) {
        if locked.is_empty() {
            return self.clients.done(client);
        }
        let step = self.prompts.start(client, locked);
        self.follow(Some(step));
        if !self.clients.has(client) {
            let step = self.prompts.end(Some(client));
            self.follow(step);
        }
    }

    /// Tells what has come of a question, or of its end.
    pub(super) fn follow(&mut self, step: Option<Step>) {
        let Some(Step { client, lines, ended }) = step else { return };
        for (code, text) in lines {
            match code {
                rc::ENTERSECRET => self.clients.reply(client, &format!("{code:03} {text}")),
                _ => self.tell(Some(client), code, &text),
            }
        }
        if ended {
            self.clients.done(client);
        }
    }

    /// What a person has entered for a key file.
    pub(super) fn on_passphrase(&mut self, file: &std::path::Path, text: SecretBytes) {
        match self.prompts.answer(file, &text) {
            Some(Answer::Try(locked)) => self.ask(Ask::Unlock(locked, text), After::Unlock),
            Some(Answer::Step(step)) => self.follow(Some(step)),
            None => {}
        }
    }

    /// What a conn names in `leftcert=` is read before the engine sees it. Certificates on tokens are asked for, and the request
    /// comes back with them.
    pub(super) fn read_certs_of(&mut self, client: ClientId, request: Box<Request>) -> Option<Box<Request>> {
        let (on_tokens, _) = self.unread_certs_of(&request);
        if on_tokens.is_empty() {
            self.read_files_of(&request);
            return Some(request);
        }
        self.ask(Ask::Certs(on_tokens), After::Request(client, request));
        None
    }

    /// The certificates of a conn that are to be read: those on tokens, and files. One that could not be read may be there now.
    fn unread_certs_of(&self, request: &Request) -> (Vec<String>, Vec<String>) {
        let (Request::Add(spec) | Request::Load { spec, .. }) = request else { return Default::default() };
        let names = [&spec.left.cert, &spec.right.cert].into_iter().flatten();
        names.filter(|name| !self.engine.has_cert(name)).cloned().partition(|name| TokenName::is_one(name))
    }

    /// Reads the files, in the turn in which the conn is handed over: they are forgotten when no conn names them.
    fn read_files_of(&mut self, request: &Request) {
        let (_, files) = self.unread_certs_of(request);
        for name in &files {
            let cert = self.keys.read_cert(name);
            self.take_cert(name.clone(), cert);
        }
        if !files.is_empty() {
            self.hand_keys();
        }
    }

    fn take_cert(&mut self, name: String, cert: Result<Certificate, CryptoError>) {
        if cert.is_ok() {
            self.log.line(&format!("  loaded host cert file '{name}'"));
        }
        self.engine.set_cert(name, cert);
    }

    /// The files that `ca` sections name in `cacert=`.
    pub(super) fn read_sections_of(&mut self, client: ClientId, request: &Request) {
        let Request::Setup(setup) = request else { return };
        self.keeper.set_module(setup.pkcs11_module.as_deref());
        let mut remarks = Vec::new();
        if self.keys.set_sections(&setup.authorities, &mut remarks) {
            self.tell_all(Some(client), remarks);
            self.hand_keys();
        }
    }

    /// Fetches lists anew that will be old at second `then`, and asks again for what was missing.
    pub(super) fn refetch(&mut self, then: u64) {
        let (trust, now) = (self.keys.trust(), clock::now().wall);
        let missing = self.fetcher.missing();
        for wanted in self.keys.old_at(then).into_iter().chain(missing) {
            self.fetcher.submit_again(wanted, &trust, now);
        }
    }

    pub(super) fn on_news(&mut self, news: News) {
        match news {
            News::Failed(text) => return self.log.record(&ike::Record { text, junk: true }),
            News::Missing(wanted) => return self.fetcher.missed(*wanted),
            News::Crl(crl, from, wanted) => {
                self.log.line(&format!("fetched crl from \"{from}\", revoked certs: {}", crl.revoked()));
                self.fetcher.found_list(&wanted);
                self.keys.add_crl(*crl, from, *wanted);
            }
            News::Ocsp(answer) => {
                self.log.line(&format!("ocsp responder says of a certificate: {}", answer.word()));
                self.fetcher.found(answer.cert());
                self.keys.add_answer(*answer);
            }
        }
        self.hand_keys();
    }

    /// A host name was asked for.
    pub(super) fn on_found(&mut self, found: Found) {
        match found {
            Found::Address(name, addr) => self.handle(Input::Resolved { name, addr }),
            Found::End => self.names.ended(),
        }
    }

    /// Gives the engine what has been read.
    pub(super) fn hand_keys(&mut self) {
        self.engine.set_keyring(Arc::new(self.keys.ring(clock::now().wall)));
    }

    /// The secrets have been read anew; who was asked for a passphrase is not any more. Returns the keys that want one.
    fn take_secrets(&mut self, client: Option<ClientId>, read: Read) -> Vec<Locked> {
        let step = self.prompts.end(None);
        self.follow(step);
        for d in &read.wrong {
            let code = if d.severity == Severity::Error { rc::LOG_SERIOUS } else { rc::LOG };
            self.tell(client, code, &d.log_form());
        }
        let Some(Fresh { secrets, own, remarks, locked }) = read.fresh else {
            let text = "no secret could be read; the secrets loaded before stay in force";
            self.tell(client, rc::LOG_SERIOUS, text);
            return Vec::new();
        };
        self.tell_all(client, remarks);
        self.engine.set_secrets(Box::new(secrets));
        self.keys.set_own(own);
        self.hand_keys();
        locked
    }
}

/// The remark about a certificate of a conn that cannot be read.
fn unreadable(name: &str, why: &CryptoError) -> Remark {
    (true, format!("  could not open host cert file '{name}': {why}"))
}
