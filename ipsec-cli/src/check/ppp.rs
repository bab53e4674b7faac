//! `xl2tpd.conf` against the option files of pppd: who must prove himself how, and how large packets may be.

use l2tp_proto::{LacConfig, LnsConfig};

use super::finding::{At, Finding};
use super::options::Options;
use super::site::{L2tp, View};

/// What is left of an Ethernet packet for PPP in ESP in UDP: with the smallest headers there are (3DES, MD5), and with
/// the largest (AES, SHA2).
const MOST: u32 = 1500 - 36 - 38;
const SAFE: u32 = 1500 - 44 - 65;

/// Options that name a proof of the peer's own.
const REQUIRE: [&str; 5] =
    ["require-pap", "require-chap", "require-mschap", "require-mschap-v2", "require-eap"];

/// Runs the rules.
pub(super) fn rules(view: &View<'_>, out: &mut Vec<Finding>) {
    let Some(l2tp) = &view.site.l2tp else { return };
    for lns in l2tp.lns() {
        let options = view.site.options("lns", &lns.name);
        server(l2tp, lns, &options, out);
        sizes(&options, out);
        network(view, l2tp, lns, &options, out);
    }
    for lac in &l2tp.conf.lac {
        let options = view.site.options("lac", &lac.name);
        client(l2tp, lac, &options, out);
        sizes(&options, out);
    }
}

/// Whether clients must prove who they are, when all is read: the file comes after xl2tpd's own words.
pub(super) fn authenticates(lns: &LnsConfig, options: &Options) -> bool {
    let asked = lns.ppp.require_auth || options.get("auth").is_some() || options.any(&REQUIRE).is_some();
    asked && options.any(&["auth", "noauth"]).is_none_or(|o| o.name == "auth")
}

fn server(l2tp: &L2tp, lns: &LnsConfig, options: &Options, out: &mut Vec<Finding>) {
    let name = &lns.name;
    let at = |word: &str| l2tp.at("lns", name, word);
    let p = &lns.ppp;
    let last = options.any(&["auth", "noauth"]);
    if let Some(noauth) =
        last.filter(|o| o.name == "noauth" && (p.require_auth || p.require_chap || p.require_pap))
    {
        let message =
            format!("noauth, but [lns {name}] requires authentication: everybody gets in without a password");
        let f = Finding::error("ppp-noauth", noauth.at.clone(), message, "delete noauth");
        out.push(f.see(at("require authentication")));
    }
    let mschap = options.any(&["require-mschap-v2", "require-mschap"]);
    let mppe = options.get("require-mppe");
    let (chap, pap) = (p.require_auth && p.require_chap, p.require_auth && p.require_pap);
    for (weaker, word, what) in
        [(chap, "require chap", "plain CHAP"), (pap, "require pap", "a password in clear")]
    {
        let Some(strong) = mschap.filter(|_| weaker) else { continue };
        let message = format!("[lns {name}]: {word} = yes besides {}: {what} is taken as well", strong.name);
        let f = Finding::warning(
            "chap-kind",
            at(word),
            message,
            format!("{word} = no, if {} is what you want", strong.name),
        );
        out.push(f.see(strong.at.clone()));
    }
    if chap && mschap.is_none() {
        let message = format!(
            "[lns {name}]: require chap = yes asks for plain CHAP (MD5), and no option file requires MS-CHAPv2, which is all that Windows and Apple offer by default"
        );
        let fix = "require-mschap-v2 in the pppoptfile, and require chap = no";
        out.push(Finding::warning("chap-md5", at("require chap"), message, fix));
    }
    if let Some(mppe) = mppe {
        if mschap.is_none() {
            let message =
                "MPPE takes its keys from MS-CHAP, which nothing requires: no call comes up".to_string();
            out.push(Finding::error("mppe-without-mschap", mppe.at.clone(), message, "require-mschap-v2"));
        }
        if let Some(off) = options.any(&["noccp", "nomppe"]) {
            let message = format!("{} forbids what {} asks for: no call comes up", off.name, mppe.name);
            let f = Finding::error(
                "mppe-off",
                off.at.clone(),
                message,
                format!("delete one of them; IPsec encrypts already, so {} can go", mppe.name),
            );
            out.push(f.see(mppe.at.clone()));
        }
    }
    for kind in ["pap", "chap", "mschap", "mschap-v2", "eap"] {
        let (wanted, refused) =
            (options.get(&format!("require-{kind}")), options.get(&format!("refuse-{kind}")));
        if let (Some(wanted), Some(refused)) = (wanted, refused) {
            let message = format!(
                "{} is about how we prove ourselves to a client, not about what we take from him; {} stands",
                refused.name, wanted.name
            );
            let f = Finding::warning(
                "require-refuse",
                refused.at.clone(),
                message,
                format!("delete {} unless it is meant", refused.name),
            );
            out.push(f.see(wanted.at.clone()));
        }
    }
    if p.login && p.require_auth && (p.require_chap || mschap.is_some()) && !p.require_pap {
        let message =
            format!("[lns {name}]: unix authentication checks a password in clear, which only PAP sends");
        out.push(Finding::error(
            "login-needs-pap",
            at("unix authentication"),
            message,
            "require pap = yes and no CHAP",
        ));
    }
    if let (Some(ours), Some(theirs)) = (&p.name, options.get("name"))
        && theirs.value.as_ref() != Some(ours)
    {
        let message = format!(
            "name {} comes after name = {ours} of [lns {name}] and counts: chap-secrets is searched for that",
            theirs.value.as_deref().unwrap_or_default()
        );
        let f = Finding::warning("ppp-name", theirs.at.clone(), message, "say it in one place");
        out.push(f.see(at("name")));
    }
    if let Some(word) = options.get("replacedefaultroute") {
        let message =
            "replacedefaultroute on a server: the first client becomes the way to everywhere".into();
        out.push(Finding::error("ppp-defaultroute", word.at.clone(), message, "nodefaultroute"));
    } else if let Some(word) = options.get("defaultroute") {
        let message =
            "defaultroute on a server: a client becomes the way to everywhere, should there be no other"
                .into();
        out.push(Finding::warning("ppp-defaultroute", word.at.clone(), message, "nodefaultroute"));
    }
}

/// Who dials asks the server for nothing, and must be able to prove himself.
fn client(l2tp: &L2tp, lac: &LacConfig, options: &Options, out: &mut Vec<Finding>) {
    let name = &lac.name;
    let at = |word: &str| l2tp.at("lac", name, word);
    let p = &lac.ppp;
    // Of `require authentication` the reader of xl2tpd.conf tells the same.
    if let Some(word) = options.any(&REQUIRE).filter(|_| options.get("noauth").is_none()) {
        let message = format!("{} asks the server of [lac {name}] to prove itself, which few do", word.name);
        out.push(Finding::warning("lac-requires-auth", word.at.clone(), message, "noauth"));
    }
    let refused = |kind: &str| options.get(&format!("refuse-{kind}")).is_some();
    let pap = p.refuse_pap || refused("pap");
    let chap = p.refuse_chap || refused("chap");
    if pap && chap && refused("mschap") && refused("mschap-v2") && refused("eap") {
        let message = format!("[lac {name}]: every way to prove who we are is refused");
        out.push(Finding::error("refuses-all", at("pppoptfile"), message, "leave refuse-mschap-v2 out"));
    }
}

fn sizes(options: &Options, out: &mut Vec<Finding>) {
    for word in ["mtu", "mru"] {
        let Some(option) = options.get(word) else { continue };
        let Some(n) = option.value.as_deref().and_then(|v| v.parse::<u32>().ok()) else { continue };
        let fix = format!("{word} {}", 1280);
        if n > MOST {
            let message = format!(
                "{word} {n} does not fit into ESP in UDP on Ethernet: at most {MOST}, {SAFE} with AES and SHA2; large packets get lost"
            );
            out.push(Finding::error("mtu-too-large", option.at.clone(), message, fix));
        } else if n > SAFE {
            let message = format!(
                "{word} {n} fits into ESP in UDP only with the old algorithms; with AES and SHA2 at most {SAFE}"
            );
            out.push(Finding::warning("mtu-tight", option.at.clone(), message, fix));
        }
    }
}

/// Clients with addresses of the LAN need somebody who answers ARP for them.
fn network(view: &View<'_>, l2tp: &L2tp, lns: &LnsConfig, options: &Options, out: &mut Vec<Finding>) {
    let lans = || view.site.host.iter().flat_map(|h| h.lans());
    let in_lan = lns
        .pool
        .iter()
        .filter(|r| r.allow)
        .find_map(|r| lans().find(|n| n.contains(&std::net::IpAddr::V4(r.range.start))));
    if let Some(lan) = in_lan.filter(|_| options.get("proxyarp").is_none()) {
        let message = format!(
            "[lns {}]: the ip range is in {lan}, and the options of pppd have no proxyarp: hosts there do not find the clients",
            lns.name
        );
        let at: At = l2tp.at("lns", &lns.name, "ip range");
        out.push(Finding::warning("pool-proxyarp", at, message, "proxyarp in the pppoptfile"));
    }
}
