//! The loop: takes what is ready in a fixed order, hands it to the engine, does what the engine hands out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use ike::{ClientId, Endpoint, EndpointConfig, Input, Output};
use ipnet::IpNet;
use ipsec_kernel::KernelBackend;
use ipsec_netio::clock;
use ipsec_netio::daemon::Ready;
use ipsec_types::whack::{Reread, rc};
use tokio::io::Interest;
use tokio::sync::mpsc::unbounded_channel;

use crate::ctl::{Asked, Clients, CtlEvent};
use crate::fetch::Fetcher;
use crate::keeper::Keeper;
use crate::keys::{Keys, Locked};
use crate::listen::Listeners;
use crate::logging::{Log, PAUSE};
use crate::names::Names;
use crate::options::Options;
use crate::passwords::Passwords;
use crate::prompt::{Prompts, refusal};
use crate::reload::Reloader;
use crate::signals::Signal;
use crate::updown::Scripts;
use crate::workers::Workers;
use crate::{groups, keys, protect, readiness, secrets};

mod material;
mod queue;
mod requests;
mod start;
#[cfg(test)]
mod tests;

use material::After;
use queue::Queue;
use start::{OsEntropy, Parts, start, vendor_id};

/// Inputs of one kind that are taken before the others get their turn.
const BUDGET: usize = 32;
/// How long clients may take to read the last replies at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long updown scripts may take at the end.
const LAST_SCRIPTS: Duration = Duration::from_secs(10);

struct Shell {
    engine: Endpoint,
    kernel: Box<dyn KernelBackend>,
    listeners: Listeners,
    workers: Workers,
    clients: Clients,
    scripts: Scripts,
    keys: Keys,
    keeper: Keeper,
    /// What the keeper is asked and has not answered.
    queue: Queue,
    /// What clients want that is to come after that.
    held: HashMap<ClientId, VecDeque<Asked>>,
    prompts: Prompts,
    fetcher: Fetcher,
    names: Names,
    passwords: Passwords,
    reloader: Reloader,
    log: Log,
    options: Options,
    exit: bool,
    /// Why it cannot go on, if that is what it ends of.
    fatal: Option<String>,
}

/// Runs until told to leave.
pub(crate) async fn run(options: &Options, ready: Option<Ready>) -> Result<(), String> {
    let mut log = Log::open(options)?;
    match start(options, &mut log) {
        Ok(parts) => {
            log.flush();
            if let Some(ready) = ready {
                ready.tell(0).map_err(|e| format!("/dev/null: {e}"))?;
            } else {
                println!("Pluto initialized");
            }
            if options.config.is_some() {
                read_configuration(&parts.reloader, options, &mut log, "reading the configuration");
            }
            serve(options.clone(), log, parts).await
        }
        Err(e) => {
            log.line(&format!("FATAL: {e}"));
            Err(e)
        }
    }
}

/// Has the conns loaded, and what is new of the rest.
fn read_configuration(reloader: &Reloader, options: &Options, log: &mut Log, what: &str) {
    log.line(&match reloader.start(options) {
        Ok(program) => format!("{what} ({program})"),
        Err(e) => format!("{what}: addconn cannot be started: {e}"),
    });
}

/// The error is why it has ended without being told to; the log has it.
async fn serve(options: Options, log: Log, parts: Parts) -> Result<(), String> {
    let Parts {
        kernel,
        workers,
        fetcher,
        mut fetched,
        names,
        mut answers,
        keeper,
        mut told,
        mut done,
        heard,
        mut events,
        mut signals,
        reloader,
    } = parts;
    let (send_heard, mut heard) = heard;
    let encapsulate = kernel.event_fd().is_some();
    let news = kernel.event_fd().and_then(|fd| readiness::watch(fd, Interest::READABLE).ok());
    let engine = Endpoint::new(EndpointConfig {
        setup: options.setup.clone(),
        vendor_id: vendor_id().into_bytes(),
        kernel_name: kernel.name(),
        updown_always: ipsec_updown::Settings::new(&[]).is_ok_and(|s| !s.are_empty()),
        entropy: Box::new(OsEntropy::default()),
        secrets: Box::new(secrets::Secrets::default()),
    });
    let listeners = Listeners::new(options.listen, options.ikeport, encapsulate, send_heard);
    let (send_ended, mut ended) = unbounded_channel();
    let scripts = Scripts::new(send_ended);
    let (send_checked, mut checked) = unbounded_channel();
    let passwords = Passwords::new(options.ipsecdir.join("passwd"), send_checked);
    let mut shell = Shell {
        engine,
        kernel,
        listeners,
        workers,
        clients: Clients::default(),
        scripts,
        keys: Keys::new(options.ipsecdir.clone()),
        keeper,
        queue: Queue::default(),
        held: HashMap::new(),
        prompts: Prompts::default(),
        fetcher,
        names,
        passwords,
        reloader,
        log,
        options,
        exit: false,
        fatal: None,
    };
    let mut remarks = Vec::new();
    shell.keys.reread(Reread::All, &mut remarks);
    shell.tell_all(None, remarks);
    shell.hand_keys();
    shell.drain();
    while !shell.exit {
        // While there is more to do at once, lines wait for those to come: each write is a system call.
        if heard.is_empty() && !shell.workers.has_job() {
            shell.log.flush();
        }
        let wait = shell.engine.poll_timeout().map(|(at, _)| at.since(clock::now().mono));
        let timer = async {
            match wait {
                Some(d) => tokio::time::sleep(d).await,
                None => std::future::pending().await,
            }
        };
        let names_due = async {
            match shell.names.next().filter(|_| shell.engine.wants_addresses()) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let log_again = async {
            match shell.log.is_behind() {
                true => tokio::time::sleep(PAUSE).await,
                false => std::future::pending().await,
            }
        };
        let job = async {
            match shell.workers.has_job() {
                true => (),
                false => std::future::pending().await,
            }
        };
        let kernel_news = async {
            match &news {
                Some(fd) => fd.readable().await.map(|mut g| g.clear_ready()).is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            signal = signals.next() => shell.on_signal(signal),
            Some(event) = events.recv() => shell.on_ctl(event),
            () = timer => shell.handle(Input::Timeout),
            _ = kernel_news => shell.poll_kernel(),
            Some((token, result)) = done.recv() => {
                shell.handle(Input::CryptoDone(token, result));
                for _ in 1..BUDGET {
                    let Ok((token, result)) = done.try_recv() else { break };
                    shell.handle(Input::CryptoDone(token, result));
                }
            }
            () = job => {
                if let Some((token, result)) = shell.workers.run_one() {
                    shell.handle(Input::CryptoDone(token, result));
                }
                // The sockets and clients get their turn before the next one.
                tokio::task::yield_now().await;
            }
            told = told.recv() => match told {
                Some(told) => shell.on_told(told),
                None => shell.without_keeper(),
            },
            Some(news) = fetched.recv() => shell.on_news(news),
            Some(answer) = answers.recv() => shell.on_found(answer),
            () = names_due => shell.names.ask(|last, most| shell.engine.unresolved(last, most)),
            // The flush is what each turn begins with.
            () = log_again => {}
            Some((queue, token, result)) = ended.recv() => {
                shell.scripts.ended(queue);
                shell.handle(Input::UpdownDone(token, result));
            }
            Some((token, verdict)) = checked.recv() => {
                shell.handle(Input::PasswordChecked(token, verdict));
            }
            Some(input) = heard.recv() => {
                shell.handle(input);
                for _ in 1..BUDGET {
                    let Ok(input) = heard.try_recv() else { break };
                    shell.handle(input);
                }
            }
        }
    }
    shell.log.flush();
    // The last replies are still to be read by their clients.
    let farewell = async {
        while !shell.clients.is_empty() {
            match events.recv().await {
                Some(CtlEvent::Gone(id)) => shell.clients.gone(id),
                Some(CtlEvent::Requests(_)) => {}
                None => return,
            }
        }
        tokio::task::yield_now().await;
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    let last_scripts = async {
        while !shell.scripts.is_idle() {
            let Some((queue, token, result)) = ended.recv().await else { return };
            shell.scripts.ended(queue);
            shell.handle(Input::UpdownDone(token, result));
        }
    };
    let _ = tokio::time::timeout(LAST_SCRIPTS, last_scripts).await;
    let _ = std::fs::remove_file(shell.options.ctl_path());
    shell.fatal.map_or(Ok(()), Err)
}

impl Shell {
    fn handle(&mut self, input: Input) {
        self.engine.handle(clock::now(), input);
        self.drain();
    }

    fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Terminate => {
                self.engine.shutdown(None);
                self.drain();
            }
            Signal::Hangup => {
                // The file may have been moved away, as logrotate does.
                self.log.reopen(&self.options);
                let what = "SIGHUP: reading the configuration again";
                read_configuration(&self.reloader, &self.options, &mut self.log, what);
            }
        }
    }

    fn poll_kernel(&mut self) {
        while let Some(event) = self.kernel.poll_event() {
            self.engine.handle(clock::now(), Input::Kernel(event));
        }
        self.drain();
    }

    /// Does what the engine has handed out, and what comes of that, until there is nothing more.
    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { local, remote, data } => {
                    if let Err(e) = self.listeners.send(local, remote, &data) {
                        let text = format!("ERROR: sendto on {local} to {remote} failed: {e}");
                        self.log.record(&ike::Record { text, junk: true });
                    }
                }
                Output::Crypto(token, job) => self.workers.submit(token, job),
                Output::Kernel(token, request) => {
                    self.kernel.submit(token, request);
                    while let Some(event) = self.kernel.poll_event() {
                        self.engine.handle(clock::now(), Input::Kernel(event));
                    }
                }
                Output::Updown(token, script) => self.scripts.submit(token, script),
                Output::CheckPassword(token, check) => self.passwords.submit(token, check),
                Output::Whack(client, line) => self.clients.reply(client, &line),
                Output::WhackDone(client) => self.clients.done(client),
                Output::Log(record) => self.log.record(&record),
                Output::Listen(client) => self.ask_secrets(After::Listen(client)),
                Output::Unlisten => self.listeners.close(),
                Output::RereadSecrets(client) => self.ask_secrets(After::Secrets(client)),
                Output::Passphrase { client, file, text } => {
                    self.clients.done(client);
                    self.on_passphrase(&file, text);
                }
                Output::Reread(client, Reread::All) => self.ask_secrets(After::Reread(client)),
                Output::Reread(client, what) => self.reread(client, what, Vec::new()),
                Output::ForgetCert(name) => {
                    if self.keys.forget_cert(&name) {
                        self.hand_keys();
                    }
                }
                Output::RefreshCrls { old_at } => self.refetch(old_at),
                Output::Fetch(list) => {
                    let (trust, now) = (self.keys.trust(), clock::now().wall);
                    for wanted in list {
                        self.fetcher.submit(wanted, &trust, now);
                    }
                }
                Output::Protect(endpoints) => {
                    let path = self.options.protected_path();
                    if let Err(e) = protect::write(&path, &endpoints) {
                        self.log.line(&format!("cannot write {}: {e}", path.display()));
                    }
                }
                Output::Exit => self.exit = true,
            }
        }
    }

    fn tell_all(&mut self, client: Option<ClientId>, remarks: Vec<keys::Remark>) {
        for (fault, text) in remarks {
            self.tell(client, if fault { rc::LOG_SERIOUS } else { rc::LOG }, &text);
        }
    }

    /// A line to the log and to the client that asked.
    fn tell(&mut self, client: Option<ClientId>, code: u8, text: &str) {
        self.log.line(text);
        if let Some(client) = client {
            self.clients.reply(client, &format!("{code:03} {text}"));
        }
    }

    /// Opens the sockets: now that the secrets are there, as who calls is answered with them.
    fn listen(&mut self, client: ClientId, locked: &[Locked]) {
        let (interfaces, errors) = self.listeners.scan();
        for e in errors {
            self.tell(Some(client), rc::LOG_SERIOUS, &e);
        }
        // Nobody can be asked here: this is what happens at the start.
        for locked in locked {
            let (code, text) = refusal(locked, "enter a passphrase using ipsec auto --rereadsecrets");
            self.tell(Some(client), code, &text);
        }
        let groups = self.read_groups(client);
        self.engine.handle(clock::now(), Input::Listening { interfaces, client: Some(client) });
        self.engine.handle(clock::now(), Input::Groups(groups));
    }

    /// The networks of each policy group. A file that cannot be read is a group without networks.
    fn read_groups(&mut self, client: ClientId) -> BTreeMap<String, Vec<IpNet>> {
        let mut groups = BTreeMap::new();
        for (name, path) in groups::files(&self.options.ipsecdir.join("policies")) {
            self.tell(Some(client), rc::LOG, &format!("loading group \"{}\"", path.display()));
            match ipsec_conf::groups::load(&path) {
                Ok((nets, wrong)) => {
                    for (line, why) in wrong {
                        let text = format!("\"{}\" line {line}: {why}", path.display());
                        self.tell(Some(client), rc::LOG_SERIOUS, &text);
                    }
                    groups.insert(name, nets);
                }
                Err(e) => {
                    self.tell(Some(client), rc::LOG_SERIOUS, &format!("\"{}\": {e}", path.display()));
                }
            }
        }
        groups
    }
}
