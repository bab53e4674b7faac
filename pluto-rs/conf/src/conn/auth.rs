//! How the ends of a conn prove who they are, and what they give each other by Mode Config.

use ipsec_types::auth::{AuthBy, CaSpec, PublicKeySpec, SendCert};
use ipsec_types::conn::{ConnSpec, ConnType, EndSpec, HostSpec};

use super::Builder;
use crate::diag::{Diagnostic, Severity};
use crate::dialect::Dialect;
use crate::keywords::Side;
use crate::parse::Param;
use crate::{net, values};

const SIDES: [Side; 2] = [Side::Left, Side::Right];

/// What the words of an `authby=` say.
#[derive(Clone, Copy, Default)]
struct Methods {
    by: Option<AuthBy>,
    xauth: bool,
}

impl Builder<'_> {
    /// Keys, certificates and roles of one end.
    pub(super) fn roles(&mut self, side: Side, end: &mut EndSpec) {
        end.cert = self.get("cert", side).map(|p| p.value.clone());
        for (number, name) in (1..).zip(["rsasigkey", "rsasigkey2"]) {
            let Some(p) = self.get(name, side) else { continue };
            match public_key(&p.value) {
                Ok(key) => end.public_keys.extend(key),
                Err(why) => {
                    let message =
                        format!("conn {}/{}: rsakey{number} malformed [{why}]", self.name, side.prefix());
                    self.say(Severity::Warning, p, message);
                }
            }
        }
        if let Some(p) = self.get("ca", side) {
            match p.value.as_str() {
                "%any" => {}
                "%same" => end.ca = CaSpec::Same,
                name => match net::dn(name) {
                    Ok(dn) => end.ca = CaSpec::Dn(dn),
                    // As ever, the conn is there all the same; but not for the certificates of every CA.
                    Err(why) => {
                        end.ca = CaSpec::Dn(Vec::new());
                        let message = format!("bad CA string '{name}': {why}; no CA has that name");
                        self.say(Severity::Warning, p, message);
                    }
                },
            }
        }
        let by_cert = end.cert.is_some() || self.get("ca", side).is_some();
        if by_cert && end.public_keys.is_empty() {
            end.public_keys.push(PublicKeySpec::Cert);
        }
        end.send_cert = match (self.get("sendcert", side), self.word_at("sendcert", side)) {
            (None, _) if self.dialect == Dialect::Strongswan => SendCert::IfAsked,
            (_, "never") => SendCert::Never,
            (_, "ifasked") => SendCert::IfAsked,
            _ => SendCert::Always,
        };
        end.xauth_server = self.boolean_at("xauthserver", side).unwrap_or(false);
        end.xauth_client = self.boolean_at("xauthclient", side).unwrap_or(false);
        end.xauth_username = self.get("xauthusername", side).map(|p| p.value.clone());
        end.modecfg_server = self.boolean_at("modecfgserver", side).unwrap_or(false);
        end.modecfg_client = self.boolean_at("modecfgclient", side).unwrap_or(false);
        end.address_pool = self.read_at("addresspool", "addresspool", side, net::pool);
        if let (Some(p), Some(_)) = (self.get("addresspool", side), end.address_pool) {
            self.one_pool(p);
        }
        let port = |s: &str| s.parse::<u16>().ok().filter(|&n| n > 0).ok_or_else(|| "expected a port".into());
        end.ike_port = self.read_at("port", "ikeport", side, port);
        end.firewall = self.boolean_at("firewall", side).unwrap_or(false);
        end.host_access = self.boolean_at("hostaccess", side).unwrap_or(false);
    }

    /// `authby=`, `leftauth=`, `leftauth2=`, `xauth=`.
    pub(super) fn authentication(&mut self, spec: &mut ConnSpec) {
        let shunt = !matches!(spec.conn_type, ConnType::Tunnel | ConnType::Transport);
        let both = self.get("authby", Side::Both).map(|p| self.methods(p)).unwrap_or_default();
        let [left, right] = SIDES.map(|side| {
            // `left=…` has no `auth=` without a side: that is another name of `phase2=`.
            self.get("auth", side).map(|p| self.methods(p)).unwrap_or_default()
        });
        let [left2, right2] =
            SIDES.map(|side| self.get("auth2", side).map(|p| self.methods(p)).unwrap_or_default());
        (spec.left.auth, spec.right.auth) = (left.by, right.by);
        spec.authby = match (both.by, left.by, right.by) {
            (Some(by), _, _) => by,
            (None, Some(l), Some(r)) => union(l, r),
            (None, Some(by), None) | (None, None, Some(by)) => by,
            // There it is whatever kind of key there is.
            (None, None, None) if self.dialect == Dialect::Strongswan => {
                AuthBy { rsasig: true, ecdsa: true, ..AuthBy::NONE }
            }
            (None, None, None) => AuthBy::default(),
        };
        // An end that is asked with XAUTH alone: the other one has the certificate.
        let only = |end: Methods| end.xauth && end.by.is_none();
        spec.authby.hybrid |= only(left) || only(right);
        spec.authby.rsasig &= !shunt;
        spec.authby.ecdsa &= !shunt;
        let server = self.word("xauth") == "server";
        if left.xauth || left2.xauth || (both.xauth && !server) {
            (spec.left.xauth_client, spec.right.xauth_server) = (true, true);
        }
        if right.xauth || right2.xauth || (both.xauth && server) {
            (spec.right.xauth_client, spec.left.xauth_server) = (true, true);
        }
        if let Some(p) = self.get("xauth_identity", Side::Both) {
            let client = if spec.right.xauth_client { &mut spec.right } else { &mut spec.left };
            client.xauth_username.get_or_insert_with(|| p.value.clone());
        }
    }

    /// The words of `authby=` and `leftauth=`, joined by `|`, `,` or `+`.
    fn methods(&mut self, param: &Param) -> Methods {
        let mut by = AuthBy::NONE;
        let mut found = Methods::default();
        let mut known = false;
        let mut unserved = Vec::new();
        for word in param.value.split(['|', ',', ' ', '+', ';']).filter(|w| !w.is_empty()) {
            let lower = word.to_ascii_lowercase();
            match lower.as_str() {
                "secret" | "psk" => by.psk = true,
                // Whatever kind of key there is; strongSwan has more names for it.
                "pubkey" | "any" => (by.rsasig, by.ecdsa) = (true, true),
                "rsasig" | "rsa" | "ecdsasig" | "ecdsa" if self.dialect == Dialect::Strongswan => {
                    (by.rsasig, by.ecdsa) = (true, true);
                }
                "rsasig" | "rsa" | "default" => by.rsasig = true,
                "xauthpsk" => (by.psk, found.xauth) = (true, true),
                "xauthrsasig" => {
                    (by.rsasig, found.xauth) = (true, true);
                    by.ecdsa |= self.dialect == Dialect::Strongswan;
                }
                "hybrid" => (by.rsasig, by.hybrid) = (true, true),
                "never" => by.never = true,
                w if w.starts_with("rsa-") || w.starts_with("pubkey-") || w.starts_with("rsa_") => {
                    by.rsasig = true
                }
                w if w.starts_with("ecdsa") => by.ecdsa = true,
                // Which hash a signature is made with is not ours to choose in IKEv1.
                w if w.starts_with("sha") || w.chars().all(|c| c.is_ascii_digit()) => continue,
                w if w.starts_with("xauth") => found.xauth = true,
                w if needs_ikev2(w) => {
                    unserved.push(word);
                    continue;
                }
                _ => {
                    let message = format!("keyword {}, invalid value: {word}", param.key);
                    let near = crate::diag::did_you_mean(word, ["secret", "rsasig", "ecdsa", "never"]);
                    let help = near.map_or("expected secret, rsasig, ecdsa or never".into(), |n| {
                        format!("did you mean `{n}'?")
                    });
                    self.warn_once(
                        Diagnostic::new(Severity::Warning, param.place(), message).with_help(help),
                    );
                    continue;
                }
            }
            known = true;
        }
        if !unserved.is_empty() {
            let what = format!("{}={} needs IKEv2, which is not served", param.key, unserved.join("+"));
            if !known {
                self.not_served(param, &what);
                return found;
            }
            self.warn_once(Diagnostic::new(Severity::Warning, param.place(), what));
        }
        if !known {
            let why = "expected secret, rsasig, ecdsa or never";
            let message =
                format!("while loading '{}': bad value {}={} [{why}]", self.name, param.key, param.value);
            self.say(Severity::Error, param, message);
        }
        found.by = (by != AuthBy::NONE).then_some(by);
        found
    }

    /// Whether `rightsourceip=` is strongSwan's pool and not an address of the end's own.
    pub(super) fn is_pool(&self, side: Side) -> bool {
        let template = |p: &Param| matches!(net::host(&p.value), Ok(HostSpec::Any));
        self.dialect == Dialect::Strongswan && self.get("", side).is_some_and(template)
    }

    /// `modecfg…=`, and strongSwan's `leftsourceip=%config`, `rightsourceip=NET`, `rightdns=`.
    pub(super) fn mode_config(&mut self, spec: &mut ConnSpec) {
        spec.modecfg.pull = self.boolean("modecfgpull", false);
        if self.dialect == Dialect::Strongswan {
            spec.modecfg.pull = self.word("modeconfig") != "push";
        }
        for side in SIDES {
            self.source_words(side, spec);
            if let Some(p) = self.get("dns", side) {
                spec.modecfg.dns.extend(values::words(&p.value).filter_map(net::address));
            }
        }
        for name in ["modecfgdns", "modecfgdns1", "modecfgdns2"] {
            let found = self.addresses(name);
            spec.modecfg.dns.extend(found);
        }
        for name in ["modecfgwins1", "modecfgwins2"] {
            let found = self.addresses(name);
            spec.modecfg.wins.extend(found);
        }
        if let Some(p) = self.get("modecfgdomains", Side::Both) {
            spec.modecfg.domains = values::words(&p.value).map(str::to_string).collect();
        }
        spec.modecfg.banner = self.get("modecfgbanner", Side::Both).map(|p| p.value.clone());
        if let Some(p) = self.get("cisco-split", Side::Both)
            && values::boolean(&p.value).is_none()
        {
            let nets: Result<Vec<_>, _> = values::words(&p.value).map(net::subnet).collect();
            match nets {
                Ok(nets) => spec.modecfg.split = nets,
                Err(why) => self.bad("subnet", Side::Both, "cisco-split", p, &why),
            }
        } else if self.boolean("cisco-split", false) {
            let server = if spec.right.modecfg_server { &spec.right } else { &spec.left };
            if let ipsec_types::conn::ClientSpec::Net(net) = server.client {
                spec.modecfg.split = vec![net];
            }
        }
    }

    /// The addresses of a list; a word that is none is a warning.
    fn addresses(&mut self, name: &'static str) -> Vec<std::net::IpAddr> {
        let Some(p) = self.get(name, Side::Both) else { return Vec::new() };
        let mut found = Vec::new();
        for word in values::words(&p.value) {
            match net::address(word) {
                Some(address) => found.push(address),
                None => self.say(Severity::Warning, p, format!("{}: `{word}' is not an address", p.key)),
            }
        }
        found
    }

    /// Says so where several pools are given: a client has one address.
    fn one_pool(&mut self, p: &Param) {
        if p.value.split(',').filter(|one| !one.trim().is_empty()).count() > 1 {
            let message = format!("{}={}: addresses are given out of the first pool only", p.key, p.value);
            self.say(Severity::Warning, p, message);
        }
    }

    fn source_words(&mut self, side: Side, spec: &mut ConnSpec) {
        let Some(p) = self.get("sourceip", side) else { return };
        let pool = self.is_pool(side);
        let (end, other) = match side {
            Side::Left => (&mut spec.left, &mut spec.right),
            _ => (&mut spec.right, &mut spec.left),
        };
        // strongSwan's left is always its own end.
        let asks = p.value.starts_with('%') && (!pool || side == Side::Left);
        if asks {
            // `%config`, `%modeconfig`, `%config4`: ask the other end for one.
            (end.modecfg_client, other.modecfg_server) = (true, true);
        } else if p.value.contains(['/', '-', ',']) || pool {
            (end.modecfg_client, other.modecfg_server) = (true, true);
            let first = p.value.split(',').next().unwrap_or_default().trim();
            match net::pool(first) {
                Ok(found) => {
                    end.address_pool = Some(found);
                    self.one_pool(p);
                }
                Err(_) if first.starts_with('%') => {
                    let message = format!("{}={}: only a network or a range is a pool", p.key, p.value);
                    self.say(Severity::Warning, p, message);
                }
                Err(why) => self.bad("addresspool", side, "sourceip", p, &why),
            }
        }
    }
}

/// Methods that IKEv1 has no number for.
fn needs_ikev2(word: &str) -> bool {
    word.starts_with("eap")
        || word.starts_with("ike:")
        || matches!(word, "null" | "eddsa" | "ed25519" | "ed448" | "ike" | "bliss")
        || word.starts_with("bliss-")
}

fn union(a: AuthBy, b: AuthBy) -> AuthBy {
    AuthBy {
        psk: a.psk || b.psk,
        rsasig: a.rsasig || b.rsasig,
        ecdsa: a.ecdsa || b.ecdsa,
        never: a.never || b.never,
        hybrid: a.hybrid || b.hybrid,
    }
}

/// `leftrsasigkey=`; `%none` and `%dns…` without a name server are no key.
fn public_key(s: &str) -> Result<Option<PublicKeySpec>, &'static str> {
    match s.to_ascii_lowercase().as_str() {
        "%none" => return Ok(None),
        "%cert" => return Ok(Some(PublicKeySpec::Cert)),
        "%dns" | "%dnsondemand" | "%dnsonload" => return Ok(Some(PublicKeySpec::Dns)),
        _ => {}
    }
    let blob = s.strip_prefix("dns:").unwrap_or(s).as_bytes();
    match blob {
        [b'0', b'x' | b's' | b'X' | b'S', ..] => {
            let key: String = s.strip_prefix("dns:").unwrap_or(s).split_whitespace().collect();
            let bytes = crate::secrets::data::decode(key.as_bytes())?;
            Ok(Some(PublicKeySpec::Rsa(bytes.expose().to_vec())))
        }
        _ => Err("does not begin with 0s or 0x"),
    }
}
