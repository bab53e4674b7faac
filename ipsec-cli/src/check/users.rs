//! `chap-secrets` and `pap-secrets` against who asks them.
//!
//! No finding holds a part of a password.

use std::collections::HashMap;

use l2tp_proto::LnsConfig;
use l2tpd::ppp_secrets::User;

use super::finding::{At, Finding};
use super::ppp::authenticates;
use super::site::{L2tp, View};

/// Runs the rules.
pub(super) fn rules(view: &View<'_>, out: &mut Vec<Finding>) {
    lines(view, out);
    let Some(l2tp) = &view.site.l2tp else { return };
    for lns in l2tp.lns() {
        known(view, l2tp, lns, out);
    }
}

fn at(file: &str, user: &User) -> At {
    At { file: file.into(), line: u32::try_from(user.line).unwrap_or(0) }
}

fn lines(view: &View<'_>, out: &mut Vec<Finding>) {
    let mut seen: HashMap<(&str, &str, &str), At> = HashMap::new();
    for (file, user) in &view.site.users {
        let place = at(file, user);
        let Some(server) = user.server.as_deref().filter(|_| user.has_secret) else {
            let message = "client, server and password are wanted: this line serves nobody".to_string();
            out.push(Finding::error("user-malformed", place, message, "CLIENT SERVER \"PASSWORD\" *"));
            continue;
        };
        // A line for ourselves towards a server has no address either.
        let none = user.addresses.is_empty() || user.addresses.iter().all(|a| a == "-");
        if none && serves(view, server) {
            let message = format!("user {} may have no address: pppd refuses the call", user.client);
            out.push(Finding::error("user-no-address", place.clone(), message, "* in the fourth column"));
        }
        match seen.get(&(file, &user.client, server)) {
            Some(first) => {
                let message = format!("user {} stands there a second time", user.client);
                let f = Finding::warning("user-duplicate", place, message, "delete one of the lines");
                out.push(f.see(first.clone()));
            }
            None => drop(seen.insert((file, &user.client, server), place)),
        }
    }
}

/// Whether a second column is the name of one of our `[lns]` sections; `*` is, where we dial nobody.
fn serves(view: &View<'_>, server: &str) -> bool {
    let mut sections = view.site.l2tp.iter().flat_map(|l| l.lns());
    let dials = view.site.l2tp.iter().any(|l| !l.conf.lac.is_empty());
    sections.any(|l| l.ppp.name.as_deref() == Some(server) || server == "*" && !dials)
}

/// Whether anybody can log in.
fn known(view: &View<'_>, l2tp: &L2tp, lns: &LnsConfig, out: &mut Vec<Finding>) {
    let options = view.site.options("lns", &lns.name);
    if !authenticates(lns, &options) || options.plugin() || lns.ppp.login || options.get("login").is_some() {
        return;
    }
    let place = l2tp.at("lns", &lns.name, "require authentication");
    if view.site.users.is_empty() {
        let message = format!("[lns {}] asks clients for a password, and chap-secrets has none", lns.name);
        let fix = "USER SERVER \"PASSWORD\" * in /etc/ppp/chap-secrets";
        return out.push(Finding::error("no-users", place, message, fix));
    }
    let name = options.get("name").and_then(|o| o.value.clone()).or_else(|| lns.ppp.name.clone());
    let Some(name) = name else { return };
    let fits = |u: &User| u.server.as_deref().is_some_and(|s| s == "*" || s == name);
    if !view.site.users.iter().any(|(_, u)| fits(u)) {
        let message = format!(
            "no line of chap-secrets is for the server {name}, which is the name of [lns {}]",
            lns.name
        );
        let fix = format!("{name} or * in the second column");
        let first = view.site.users.first().map(|(f, u)| at(f, u)).unwrap_or_default();
        out.push(Finding::error("no-users", l2tp.at("lns", &lns.name, "name"), message, fix).see(first));
    }
}
