//! The updown scripts: when they are told what, and what comes of it. The shell runs them; nothing here waits.
//!
//! ```text
//!  first Child SA of a conn:  prepare, route, up        last one gone:  down, unroute
//!  of a Cisco peer's client:  ... updateresolvconf                      down, restoreresolvconf, unroute
//! ```
//! A conn that is trapped keeps its route: it was routed when the trap was set. The suffix of a verb is `-host` when our
//! client is our own address, else `-client`; `-v6` follows when the outer addresses are IPv6.

use ipnet::IpNet;
use ipsec_types::conn::{Auto, ConnType};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind, Connection};
use crate::io::{Updown, UpdownEnd, UpdownResult, UpdownToken};
use crate::route::REVIVE;
use crate::sa::Serial;
use crate::spd::Flow;

/// The script that is run where no other is named.
const DEFAULT: &str = "ipsec _updown";
/// Octets of one line of a script's output that are logged.
const LINE: usize = 255;

/// A script that runs.
#[derive(Debug)]
pub(crate) struct Script {
    label: String,
    verb: String,
    /// The Child SA that cannot stay if the script fails.
    child: Option<Serial>,
}

impl Endpoint {
    /// A Child SA is up.
    pub(crate) fn child_came_up(&mut self, child: Serial) {
        let Some((conn, flow)) = self.children.get(&child).map(|c| (c.conn, c.flow)) else { return };
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.up_children += 1;
        c.up |= c.spec.auto == Auto::Keep && c.kind == ConnKind::Permanent;
        if c.up_children > 1 {
            return;
        }
        self.run_route(conn, &flow, Some(child));
        self.run_updown(conn, &flow, "up", Some(child));
        if self.has_resolver(conn) {
            self.run_updown(conn, &flow, "updateresolvconf", None);
        }
    }

    /// Whether a Cisco peer has told us his name servers: only then scripts hear of them, as ever.
    fn has_resolver(&self, conn: ConnId) -> bool {
        let c = self.conns.get(conn);
        c.is_some_and(|c| {
            c.spec.cisco_unity
                && c.is_configured()
                && c.rare.given.as_ref().is_some_and(|g| !g.dns.is_empty())
        })
    }

    /// A Child SA that was up is gone; `counted` if the kernel was asked for its counters.
    pub(crate) fn child_went_down(&mut self, conn: ConnId, flow: &Flow, counted: Option<Serial>) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.up_children = c.up_children.saturating_sub(1);
        if c.up_children > 0 {
            return;
        }
        let keep = c.spec.auto == Auto::Keep && c.up && !self.exiting;
        if keep {
            self.revive_later(conn, REVIVE);
        }
        self.run_counted(conn, flow, "down", None, counted);
        if self.has_resolver(conn) {
            self.run_updown(conn, flow, "restoreresolvconf", None);
        }
        if self.conns.get(conn).is_some_and(|c| c.trap.is_none()) {
            self.run_unroute(conn, flow);
        }
    }

    /// `prepare` and `route`, unless it was done.
    pub(crate) fn run_route(&mut self, conn: ConnId, flow: &Flow, child: Option<Serial>) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if std::mem::replace(&mut c.routed, true) {
            return;
        }
        self.run_updown(conn, flow, "prepare", None);
        self.run_updown(conn, flow, "route", child);
    }

    /// `unroute`, if there was a `route`.
    pub(crate) fn run_unroute(&mut self, conn: ConnId, flow: &Flow) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        if std::mem::replace(&mut c.routed, false) {
            self.run_updown(conn, flow, "unroute", None);
        }
    }

    /// Whether a script would be told that the last Child SA of the conn has gone.
    pub(crate) fn has_last_word(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some_and(|c| c.up_children == 1 && command(c, self.updown_always).is_some())
    }

    fn run_updown(&mut self, conn: ConnId, flow: &Flow, verb: &str, child: Option<Serial>) {
        self.run_counted(conn, flow, verb, child, None);
    }

    /// The script is told the counters of `counted`, see `scripts`.
    fn run_counted(
        &mut self,
        conn: ConnId,
        flow: &Flow,
        verb: &str,
        child: Option<Serial>,
        counted: Option<Serial>,
    ) {
        let Some(c) = self.conns.get(conn) else { return };
        let Some(command) = command(c, self.updown_always) else { return };
        let Some(me) = c.our_addr() else { return };
        let suffix = if flow.ours == IpNet::from(me) { "host" } else { "client" };
        let six = if me.is_ipv6() { "-v6" } else { "" };
        let verb = format!("{verb}-{suffix}{six}");
        let mut env = environment((conn, self.shares_device(conn)), c, flow, &verb, self.kernel_name);
        if let Some(c) = child.and_then(|s| self.children.get(&s)) {
            env.extend(c.slot.map(|slot| ("PLUTO_SA_REQID", slot.reqid().to_string())));
            env.push(("PLUTO_ADD_TIME", c.since.to_string()));
            env.push(("SPI_IN", format!("0x{:x}", c.spi_in)));
            env.push(("SPI_OUT", format!("0x{:x}", c.spi_out)));
        }
        let label = match child {
            Some(s) => format!("{} {s}", self.conn_label(conn, 0)),
            None => self.conn_label(conn, 0),
        };
        let token = UpdownToken(self.token());
        self.scripts.running.insert(token, Script { label, verb, child });
        self.submit_script(conn, token, Updown { queue: conn.0, command, env }, counted);
    }

    /// Whether another conn names the tunnel device of this one.
    fn shares_device(&self, conn: ConnId) -> bool {
        fn device(c: &Connection) -> Option<&str> {
            Some(c.spec.marks.as_ref()?.vti.as_ref()?.interface.as_str())
        }
        let Some(ours) = self.conns.get(conn).and_then(device) else { return false };
        self.conns.iter().any(|(id, c)| id != conn && device(c) == Some(ours))
    }

    /// A script has ended. One that fails to set the route, or to come up, takes its Child SA along.
    pub(crate) fn on_updown(&mut self, token: UpdownToken, result: UpdownResult) {
        let Some(script) = self.scripts.running.remove(&token) else { return };
        let (label, verb) = (&script.label, &script.verb);
        for line in result.lines {
            let end = (0..=LINE.min(line.len())).rev().find(|n| line.is_char_boundary(*n)).unwrap_or(0);
            let text = format!("{label}: {verb} output: {}", &line[..end]);
            self.log_plain(None, rc::LOG, &text);
        }
        let why = match result.end {
            UpdownEnd::Exit(0) => return,
            UpdownEnd::Exit(n) => format!("exited with status {n}"),
            UpdownEnd::Signal(n) => format!("exited with signal {n}"),
            UpdownEnd::TimedOut => "took too long and was ended".into(),
            UpdownEnd::NotStarted(e) => format!("cannot be run: {e}"),
        };
        self.log_plain(None, rc::LOG_SERIOUS, &format!("{label}: {verb} command {why}"));
        if let Some(child) = script.child.filter(|c| self.children.contains_key(c)) {
            self.log_sa(child, rc::LOG_SERIOUS, "the updown script refused the IPsec SA: deleting it");
            self.delete_child(child, true);
        }
    }
}

/// What is to be run. The built-in script has nothing to do on its own unless there is a source address to set, a
/// tunnel device to make or a firewall to open, and is not asked then, but `always` where the system has settings for it.
fn command(c: &Connection, always: bool) -> Option<String> {
    let this = c.this();
    let source = this.source_ip.is_some() || c.rare.our_lease.is_some();
    let device = c.spec.marks.as_ref().is_some_and(|m| m.vti.is_some());
    let has_work = always || source || device || this.firewall || this.host_access;
    match this.updown.as_deref() {
        None | Some(DEFAULT) => has_work.then(|| DEFAULT.into()),
        Some("" | "%disabled") => None,
        Some(custom) => Some(custom.into()),
    }
}

/// Every variable Openswan's scripts know, in its order, and those libreswan's need beside them.
fn environment(
    (id, shared): (ConnId, bool),
    c: &Connection,
    f: &Flow,
    verb: &str,
    stack: &str,
) -> Vec<(&'static str, String)> {
    let this = c.this();
    let mut env: Vec<(&'static str, String)> =
        vec![("PLUTO_VERB", verb.into()), ("PLUTO_VERSION", "2.0".into())];
    let mut add = |name, value: String| env.push((name, value));
    add("PLUTO_CONNECTION", c.spec.name.clone());
    if let Some((_, interface)) = &c.oriented {
        add("PLUTO_INTERFACE", interface.to_string());
    }
    if let Some(hop) = this.nexthop.or(c.peer) {
        add("PLUTO_NEXT_HOP", hop.to_string());
    }
    add("PLUTO_ME", c.our_addr().map_or_else(String::new, |a| a.to_string()));
    add("PLUTO_MY_ID", escaped(&c.our_id().to_string()));
    add("PLUTO_MY_CLIENT", f.ours.to_string());
    add("PLUTO_MY_CLIENT_NET", f.ours.network().to_string());
    add("PLUTO_MY_CLIENT_MASK", f.ours.netmask().to_string());
    add("PLUTO_MY_PORT", f.our_port.to_string());
    add("PLUTO_MY_PROTOCOL", f.proto.to_string());
    add("PLUTO_PEER", c.peer.map_or_else(String::new, |a| a.to_string()));
    let peer_id = if c.peer_id == ipsec_types::Id::None { c.wanted_id() } else { c.peer_id.clone() };
    add("PLUTO_PEER_ID", escaped(&peer_id.to_string()));
    add("PLUTO_PEER_CLIENT", f.theirs.to_string());
    add("PLUTO_PEER_CLIENT_NET", f.theirs.network().to_string());
    add("PLUTO_PEER_CLIENT_MASK", f.theirs.netmask().to_string());
    add("PLUTO_PEER_PORT", f.their_port.to_string());
    add("PLUTO_PEER_PROTOCOL", f.proto.to_string());
    add("PLUTO_PEER_CA", String::new());
    add("PLUTO_STACK", stack.into());
    for (name, n) in [("PLUTO_METRIC", c.spec.metric), ("PLUTO_MTU", c.spec.mtu)] {
        if n > 0 {
            add(name, n.to_string());
        }
    }
    add("PLUTO_CONN_POLICY", crate::status::policy_words(&c.spec, c.up));
    let family = |six| if six { "ipv6" } else { "ipv4" };
    let end = family(c.our_addr().is_some_and(|a| a.is_ipv6()));
    add("PLUTO_CONN_ADDRFAMILY", end.into());
    add("PLUTO_CONN_CLIENTFAMILY", family(f.ours.addr().is_ipv6()).into());
    add("PLUTO_CONN_ENDFAMILY", end.into());
    if let Some(user) = &c.rare.xauth_user {
        // As Openswan: nothing that any shell could act upon.
        let plain: String = user.chars().filter(|ch| ch.is_ascii_alphanumeric() || *ch == '_').collect();
        add("PLUTO_XAUTH_USERNAME", plain);
    }
    if let Some(source) = this.source_ip.or(c.rare.our_lease) {
        add("PLUTO_MY_SOURCEIP", source.to_string());
    }
    add("PLUTO_IS_PEER_CISCO", u8::from(c.spec.cisco_unity).to_string());
    let words = |all: Vec<String>| all.join(" ");
    let given = c.rare.given.as_deref().cloned().unwrap_or_default();
    let dns = words(given.dns.iter().map(ToString::to_string).collect());
    let domain = escaped(given.domain.as_deref().unwrap_or_default());
    add("PLUTO_CISCO_DNS_INFO", dns.clone());
    add("PLUTO_CISCO_DOMAIN_INFO", domain.clone());
    add("PLUTO_PEER_BANNER", escaped(given.banner.as_deref().unwrap_or_default()));
    if !given.split.is_empty() {
        add("PLUTO_CISCO_SPLIT_INFO", words(given.split.iter().map(ToString::to_string).collect()));
    }
    add("PLUTO_NM_CONFIGURED", "0".into());
    // libreswan's, which its scripts test without asking whether they are there.
    add("PLUTO_PEER_DNS_INFO", dns);
    add("PLUTO_PEER_DOMAIN_INFO", domain);
    let yes_no = |on| if on { "yes" } else { "no" };
    let marks = c.marks(id).unwrap_or_default();
    for (name, mark) in ["CONNMARK_IN", "CONNMARK_OUT"].into_iter().zip(marks) {
        add(name, mark.map_or_else(String::new, |m| format!("{}/{:#010x}", m.value, m.mask)));
    }
    let vti = c.spec.marks.as_ref().and_then(|m| m.vti.as_ref());
    add("VTI_IFACE", vti.map_or_else(String::new, |v| v.interface.clone()));
    add("VTI_ROUTING", yes_no(vti.is_some_and(|v| v.routing)).into());
    add("VTI_SHARED", yes_no(shared || vti.is_some_and(|v| v.shared)).into());
    if let Some(address) = this.vti {
        add("VTI_IP", address.to_string());
    }
    let one = |on| u8::from(on).to_string();
    add("PLUTO_CFG_CLIENT", one(c.is_configured()));
    add("PLUTO_CFG_SERVER", one(c.configures_peer()));
    add("PLUTO_XAUTH_FAILED", one(c.rare.xauth_failed));
    add("XAUTH_FAILED", one(c.rare.xauth_failed));
    add("PLUTO_CONN_FIREWALL", yes_no(this.firewall).into());
    add("PLUTO_CONN_HOSTACCESS", yes_no(this.host_access).into());
    let kind = match c.kind {
        ConnKind::Permanent => "CK_PERMANENT",
        ConnKind::Template => "CK_TEMPLATE",
        ConnKind::Instance(_) => "CK_INSTANCE",
    };
    add("PLUTO_CONN_KIND", kind.into());
    let mode = if c.spec.conn_type == ConnType::Transport { "transport" } else { "tunnel" };
    add("PLUTO_SA_TYPE", mode.into());
    // No peer may put an end to the text of a variable.
    env.iter_mut().for_each(|(_, v)| v.retain(|ch| ch != '\0'));
    env
}

/// What a shell would act upon, as octal escapes: identities are the peer's words.
fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '\'' | '\\' | '"' | '`' | '$' => format!("\\{:03o}", u32::from(c)).chars().collect::<Vec<_>>(),
            c if c.is_control() => Vec::new(),
            c => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2009-2185 and its kin: an identity reaches scripts as text, never as commands.
    #[test]
    fn identities_cannot_be_commands() {
        assert_eq!(escaped("C=CH, CN=$(id)`x`'\"\\\n"), r"C=CH, CN=\044(id)\140x\140\047\042\134");
    }
}
