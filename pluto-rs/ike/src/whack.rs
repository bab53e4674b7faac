//! Requests of the control socket.

use ipsec_types::conn::{ConnSpec, ConnType, HostSpec, Phase2};
use ipsec_types::whack::{Request, rc};

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind, Credentials};
use crate::io::{ClientId, Interface, Output, Protected};
use crate::sa::Serial;

/// Where a conn comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `whack --name …`.
    Hand,
    /// The configuration file; `keep_equal` leaves one alone that is there and the same.
    File { keep_equal: bool },
}

impl Endpoint {
    pub(crate) fn on_whack(&mut self, client: ClientId, request: Request) {
        match request {
            Request::Add(spec) => self.whack_add(client, *spec, Origin::Hand),
            Request::Load { spec, keep_equal } => {
                self.whack_add(client, *spec, Origin::File { keep_equal });
            }
            Request::Loaded => self.loaded(client),
            Request::Batch => self.reply(client, rc::BADWHACKMESSAGE, "a batch inside a batch"),
            Request::Delete { name } => self.whack_delete(client, &name),
            // The reply ends when the negotiation does.
            Request::Initiate { name, asynchronous } => {
                if self.whack_initiate(client, &name, asynchronous) && !asynchronous {
                    return;
                }
            }
            Request::InitiateAs { name, asynchronous, user, password } => {
                for id in self.conns.named_or_alias(&name) {
                    if let Some(c) = self.conns.get_mut(id) {
                        let (user, password) = (user.clone(), password.clone());
                        c.rare.credentials = Some(Box::new(Credentials { user, password }));
                    }
                }
                return self.on_whack(client, Request::Initiate { name, asynchronous });
            }
            Request::Answer { serial, text } => self.on_answer(Serial(serial), text),
            Request::Passphrase { file, text } => {
                return self.out.push_back(Output::Passphrase { client, file, text });
            }
            Request::Reread(what) => return self.out.push_back(Output::Reread(client, what)),
            Request::PublicKey { id, add, rsa } => self.whack_key(client, id, add, rsa.as_deref()),
            Request::Terminate { name } => self.whack_terminate(client, &name),
            Request::Route { name } => self.whack_route(client, &name),
            Request::Unroute { name } => self.whack_unroute(client, &name),
            Request::DeleteState { serial } => self.whack_delete_state(client, Serial(serial)),
            Request::Listen => return self.out.push_back(Output::Listen(client)),
            Request::RereadSecrets => return self.out.push_back(Output::RereadSecrets(client)),
            Request::Unlisten => {
                self.listening = false;
                self.sync_guards();
                self.out.push_back(Output::Unlisten);
            }
            Request::Status => self.status(client),
            Request::BriefStatus => self.brief_status(client),
            Request::Show { what, name, json } => self.show(client, what, name.as_deref(), json),
            Request::List { what, utc: _ } => self.list(client, what),
            Request::Crash { peer } => self.whack_crash(client, peer),
            Request::MyId(id) => self.my_id = id,
            Request::Debug { name, words } => self.whack_debug(client, name, words),
            Request::TrafficStatus => return self.traffic_status(client),
            Request::Setup(setup) => self.set_setup(client, setup),
            Request::Shutdown => self.shutdown(Some(client)),
        }
        self.out.push_back(Output::WhackDone(client));
    }

    /// The shell has bound its sockets.
    pub(crate) fn on_listening(&mut self, interfaces: Vec<Interface>, client: Option<ClientId>) {
        self.log_plain(client, rc::LOG, "listening for IKE messages");
        for i in interfaces.iter().filter(|i| !self.interfaces.contains(i)).cloned().collect::<Vec<_>>() {
            for port in [i.port, i.port.saturating_add(4000)] {
                let at = std::net::SocketAddr::new(i.addr, port);
                self.log_plain(client, rc::LOG, &format!("adding interface {0}/{0} {at}", i.name));
            }
        }
        for i in self.interfaces.iter().filter(|i| !interfaces.contains(i)).cloned().collect::<Vec<_>>() {
            self.log_plain(client, rc::LOG, &format!("shutting down interface {0}/{0} {1}", i.name, i.addr));
        }
        if interfaces.is_empty() {
            self.log_plain(client, rc::LOG_SERIOUS, "no public interfaces found");
        }
        self.interfaces = interfaces;
        self.listening = true;
        self.begin_crl_checks();
        self.conns.reorient(&self.interfaces);
        self.sync_guards();
        if let Some(client) = client {
            self.out.push_back(Output::WhackDone(client));
        }
    }

    fn whack_add(&mut self, client: ClientId, spec: ConnSpec, origin: Origin) {
        self.conns.certs.were_read(&spec);
        let name = spec.name.clone();
        let refuse = |e: &mut Self, code, text: String| e.log_plain(Some(client), code, &text);
        if spec.left.host == HostSpec::Unset || spec.right.host == HostSpec::Unset {
            let end = if spec.left.host == HostSpec::Unset { "left" } else { "right" };
            return refuse(self, rc::FATAL, format!("{name}: {end}= end is not defined, conn not loaded"));
        }
        if matches!(spec.left.host, HostSpec::Any) && matches!(spec.right.host, HostSpec::Any) {
            return refuse(self, rc::ORIENT, format!("\"{name}\": both ends are %any, conn not loaded"));
        }
        if spec.phase2 == Phase2::AhEsp {
            let text = format!(
                "\"{name}\": AH around ESP is not supported; use phase2=esp or phase2=ah, conn not loaded"
            );
            return refuse(self, rc::NOALGO, text);
        }
        let shunt = matches!(spec.conn_type, ConnType::Passthrough | ConnType::Reject | ConnType::Drop);
        let by = spec.authby;
        if !by.psk && !by.rsasig && !by.ecdsa && !shunt {
            let text = format!("\"{name}\": authby= allows no way to prove who is who, conn not loaded");
            return refuse(self, rc::NOKEY, text);
        }
        for (side, end) in [("left", &spec.left), ("right", &spec.right)] {
            self.check_written_keys(client, &name, side, end);
        }
        if spec.ike_lifetime > 86400 || spec.sa_lifetime > 86400 {
            let text = format!("\"{name}\": ikelifetime and salifetime must be less than 86400 seconds");
            return refuse(self, rc::LOG_SERIOUS, text);
        }
        let mut spec = spec;
        self.resolve_certs(client, &mut spec);
        let crypto_policy = spec.crypto_policy.or(Some(self.setup.crypto_policy));
        let spec = ConnSpec { crypto_policy, ..spec };
        let old = self.conns.named(&name);
        if origin == (Origin::File { keep_equal: true }) && self.keep_equal(client, &old, &spec) {
            return;
        }
        let known = match origin {
            Origin::File { keep_equal: true } => self.known_before(&old, &spec),
            Origin::File { .. } | Origin::Hand => Vec::new(),
        };
        let guard = |e: &Self, id: ConnId| e.conns.get(id).and_then(|c| c.guarded_port());
        let mut guards = Vec::new();
        for id in old {
            guards.extend(guard(self, id));
            self.remove_conn(id, Some(client));
        }
        let id = self.conns.add(spec, &self.interfaces);
        if let Some(c) = self.conns.get_mut(id) {
            c.from_file = origin != Origin::Hand;
        }
        self.log_plain(Some(client), rc::LOG, &format!("added connection description \"{name}\""));
        self.note_unresolved(id);
        // Looking at every conn for each that is added would make loading them all quadratic.
        let now = guard(self, id);
        let covered = now.is_none_or(|(addr, port)| self.guards.contains(&Protected { addr, port }));
        if !covered || guards.iter().any(|g| Some(*g) != now) {
            self.sync_guards();
        }
        for (name, addr) in known {
            self.on_resolved(&name, addr);
        }
    }

    /// Deletes a conn and everything made with it.
    pub(crate) fn remove_conn(&mut self, id: ConnId, client: Option<ClientId>) {
        if self.conns.get(id).is_none() {
            return;
        }
        self.terminate_conn(id, client);
        self.unroute(id);
        // Instances vanish with their last state; templates and permanent conns are taken out here.
        if self.conns.get(id).is_some() {
            self.log_conn(id, client, rc::LOG, "deleting connection");
            self.release_lease(id);
            self.conns.remove(id);
        }
    }

    fn whack_delete(&mut self, client: ClientId, name: &str) {
        let ids = self.conns.named_or_alias(name);
        if ids.is_empty() {
            return self.unknown_name(client, name);
        }
        for id in ids {
            self.remove_conn(id, Some(client));
        }
        self.sync_guards();
    }

    pub(crate) fn unknown_name(&mut self, client: ClientId, name: &str) {
        self.reply(client, rc::UNKNOWN_NAME, &format!("no connection named \"{name}\""));
    }

    /// Starts negotiating; true if the client is to wait.
    fn whack_initiate(&mut self, client: ClientId, name: &str, asynchronous: bool) -> bool {
        if !self.listening {
            self.reply(client, rc::DEAF, "need --listen before --initiate");
            return false;
        }
        let ids: Vec<ConnId> = self
            .conns
            .named_or_alias(name)
            .into_iter()
            .filter(|id| self.conns.get(*id).is_some_and(|c| !matches!(c.kind, ConnKind::Instance(_))))
            .collect();
        if ids.is_empty() {
            self.reply(client, rc::COMMENT, &format!("initiating all conns with alias='{name}' "));
            self.unknown_name(client, name);
            return false;
        }
        let (unknown, ids): (Vec<ConnId>, Vec<ConnId>) =
            ids.into_iter().partition(|id| self.tell_unresolved(*id, Some(client), "brought up"));
        for id in unknown {
            if let Some(c) = self.conns.get_mut(id) {
                c.up = true;
            }
        }
        let Some(id) = ids.first().copied() else { return false };
        let Some(c) = self.conns.get_mut(id) else { return false };
        if c.kind == ConnKind::Template {
            let text = "cannot initiate connection without knowing peer IP address (kind=CK_TEMPLATE)";
            self.log_conn(id, Some(client), rc::NOPEERIP, text);
            return false;
        }
        if c.oriented.is_none() {
            let text = "We cannot identify ourselves with either end of this connection.";
            self.log_conn(id, Some(client), rc::ORIENT, text);
            return false;
        }
        if c.never_negotiates() {
            let text = "cannot initiate connection: its type= says never to negotiate";
            self.log_conn(id, Some(client), rc::BADID, text);
            return false;
        }
        c.up = true;
        let waits = self.quick_or_main(id, (!asynchronous).then_some(client), None);
        // An alias stands for several conns (`leftsubnets=`): the others come up beside the one that is waited for.
        for other in ids.into_iter().skip(1) {
            let Some(c) = self.conns.get_mut(other) else { continue };
            if c.kind == ConnKind::Permanent && c.oriented.is_some() && !c.never_negotiates() {
                c.up = true;
                self.quick_or_main(other, None, None);
            }
        }
        waits
    }

    fn whack_terminate(&mut self, client: ClientId, name: &str) {
        let ids = self.conns.named_or_alias(name);
        if ids.is_empty() {
            self.reply(client, rc::COMMENT, &format!("terminating all conns with alias='{name}' "));
            return self.unknown_name(client, name);
        }
        for id in ids {
            if self.conns.get(id).is_some() {
                self.log_conn(id, Some(client), rc::LOG, "terminating SAs using this connection");
                self.terminate_conn(id, Some(client));
            }
        }
    }

    /// Another takes the place of a conn's peer: its SAs go, and it is not brought up again.
    pub(crate) fn release_conn(&mut self, id: ConnId) {
        self.terminate_conn(id, None);
    }

    /// Deletes the SAs of one conn or instance, telling the peer: Child SAs first.
    fn terminate_conn(&mut self, id: ConnId, client: Option<ClientId>) {
        let Some(c) = self.conns.get_mut(id) else { return };
        c.up = false;
        let refs = c.refs;
        self.forget_revival(id);
        // Most conns of a long list have no SA: there is none to look for.
        if refs == 0 {
            return;
        }
        let (children, ikes) = (self.children.of_conn(id), self.ikes.of_conn(id));
        for s in children.into_iter().chain(ikes) {
            let text = format!("deleting state ({})", self.state_label(s));
            if self.ikes.contains_key(&s) || self.children.contains_key(&s) {
                if let Some(client) = client {
                    let label = self.conn_label(id, 0);
                    self.reply(client, rc::LOG, &format!("{label} {s}: {text}"));
                }
                self.log_sa(s, rc::LOG, &text);
            }
            if self.ikes.contains_key(&s) {
                self.delete_ike(s, true);
            } else {
                self.delete_child(s, true);
            }
        }
        if let Some(rare) = self.conns.get_mut(id).and_then(|c| c.rare.there()) {
            (rare.our_lease, rare.given, rare.credentials) = (None, None, None);
        }
    }

    fn whack_delete_state(&mut self, client: ClientId, serial: Serial) {
        if self.ikes.contains_key(&serial) {
            self.log_sa(serial, rc::LOG, "deleting state by request");
            self.delete_ike(serial, true);
        } else if self.children.contains_key(&serial) {
            self.log_sa(serial, rc::LOG, "deleting state by request");
            self.delete_child(serial, true);
        } else {
            self.reply(client, rc::UNKNOWN_NAME, &format!("no state {serial} to delete"));
        }
    }

    /// Deletes all SAs, telling the peers, takes our policies out, and leaves.
    pub fn shutdown(&mut self, client: Option<ClientId>) {
        if std::mem::replace(&mut self.exiting, true) {
            return;
        }
        self.log_plain(client, rc::LOG, "shutting down");
        let children: Vec<Serial> = self.children.keys().copied().collect();
        let ikes: Vec<Serial> = self.ikes.keys().copied().collect();
        children.into_iter().for_each(|c| self.delete_child(c, true));
        ikes.into_iter().for_each(|i| self.delete_ike(i, true));
        let routed: Vec<ConnId> = self.conns.iter().map(|(id, _)| id).collect();
        routed.into_iter().for_each(|id| self.unroute(id));
        self.listening = false;
        self.sync_guards();
        self.log_plain(None, rc::LOG, "forgetting secrets");
        self.out.push_back(Output::Exit);
    }
}
