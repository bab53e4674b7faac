//! What of a conn is about both ends: lifetimes, algorithms, dead peers, and the single options.

use ipsec_types::auth::{CryptoPolicy, XauthBy, XauthFail};
use ipsec_types::conn::{
    ConnSpec, DpdAction, Encapsulation, FailureShunt, Fragmentation, NattMethod, Phase2,
};

use super::Builder;
use crate::algs::{self, AlgError, Suites};
use crate::diag::{Diagnostic, Severity};
use crate::dialect::Dialect;
use crate::keywords::Side;
use crate::parse::Param;
use crate::values;

/// Longest lifetime, in seconds.
const MAX_LIFETIME: u32 = 86400;
/// Largest replay window the kernel takes, in packets.
const MAX_REPLAY: u32 = 4096;

impl Builder<'_> {
    pub(super) fn lifetimes(&mut self, spec: &mut ConnSpec) {
        if self.dialect == Dialect::Strongswan {
            (spec.ike_lifetime, spec.sa_lifetime, spec.keyingtries) = (10800, 3600, 3);
        }
        spec.pfs = self.boolean("pfs", true);
        spec.rekey = self.boolean("rekey", true);
        spec.ike_lifetime = self.lifetime("ikelifetime", spec.ike_lifetime);
        spec.sa_lifetime = self.lifetime("salifetime", spec.sa_lifetime);
        spec.rekey_margin = self.time("rekeymargin", spec.rekey_margin);
        spec.rekey_fuzz = self.read("percentage", "rekeyfuzz", values::percent).unwrap_or(spec.rekey_fuzz);
        if spec.rekey_margin >= spec.sa_lifetime {
            let half = spec.sa_lifetime / 2;
            let message = format!(
                "conn: {}, rekeymargin ({}s) > salifetime ({}s); reducing rekeymargin to {half} seconds",
                self.name, spec.rekey_margin, spec.sa_lifetime
            );
            let place = self.get("rekeymargin", Side::Both).map_or_else(|| self.place.clone(), Param::place);
            self.tell(Diagnostic::new(Severity::Warning, place, message));
            spec.rekey_margin = half;
        }
    }

    fn lifetime(&mut self, name: &'static str, default: u32) -> u32 {
        let seconds = self.time(name, default);
        let Some(param) = self.get(name, Side::Both) else { return default };
        match seconds {
            0 => {
                self.bad("duration", Side::Both, name, param, "a lifetime cannot be 0");
                default
            }
            s if s > MAX_LIFETIME => {
                let message = format!(
                    "{}={} must be less than {MAX_LIFETIME} seconds; using that",
                    param.key, param.value
                );
                self.say(Severity::Warning, param, message);
                MAX_LIFETIME
            }
            s => s,
        }
    }

    pub(super) fn algorithms(&mut self, spec: &mut ConnSpec) {
        let by_name = self.get("phase2alg", Side::Both).is_some_and(|p| p.key.eq_ignore_ascii_case("ah"));
        spec.phase2 = match self.word("phase2") {
            "ah" => Phase2::Ah,
            "ah+esp" => Phase2::AhEsp,
            // strongSwan has no `phase2=`; `ah=` alone asks for AH there, and nobody can have meant ESP by it.
            _ if by_name && self.get("phase2", Side::Both).is_none() => Phase2::Ah,
            _ => Phase2::Esp,
        };
        if let Some(param) = self.get("ike", Side::Both)
            && let Some(found) = self.suites(param, algs::ike(&param.value))
        {
            spec.ike = found.suites;
        }
        if let Some(param) = self.get("phase2alg", Side::Both) {
            let read = if spec.phase2 == Phase2::Ah { algs::ah } else { algs::esp };
            if let Some(found) = self.suites(param, read(&param.value)) {
                (spec.esp, spec.pfs_group) = (found.suites, found.group);
            }
        }
        let group =
            self.read("group", "pfsgroup", |s| algs::group(s).ok_or_else(|| "not offered".to_string()));
        spec.pfs_group = spec.pfs_group.or(group);
    }

    /// The suites of a list, or nothing and an error.
    fn suites<S>(&mut self, param: &Param, found: Result<Suites<S>, AlgError>) -> Option<Suites<S>> {
        match found {
            Ok(found) => {
                for warning in &found.warnings {
                    self.say(Severity::Warning, param, format!("{}: {warning}", param.key));
                }
                Some(found)
            }
            Err(error) if error.needs_ikev2 => {
                let why = format!("{}={} needs IKEv2, which is not served", param.key, param.value);
                self.not_served(param, &why);
                None
            }
            Err(error) => {
                let d = Diagnostic::new(Severity::Error, param.place(), format!("034 {}", error.message));
                self.tell(match error.help {
                    Some(help) => d.with_help(help),
                    None => d,
                });
                None
            }
        }
    }

    pub(super) fn dpd(&mut self, spec: &mut ConnSpec) {
        spec.dpd_delay = self.time("dpddelay", 0);
        spec.dpd_timeout = self.time("dpdtimeout", 0);
        let action = self.word("dpdaction");
        spec.dpd_action = match action {
            "clear" => DpdAction::Clear,
            "restart" => DpdAction::Restart,
            "restart_by_peer" => DpdAction::RestartByPeer,
            _ => DpdAction::Hold,
        };
        if self.dialect == Dialect::Strongswan {
            // There it is the action that switches it on.
            let on = self.get("dpdaction", Side::Both).is_some() && action != "none";
            let or = |seconds: u32, default| if !on || seconds > 0 { seconds } else { default };
            (spec.dpd_delay, spec.dpd_timeout) = (or(spec.dpd_delay, 30), or(spec.dpd_timeout, 150));
            if !on {
                (spec.dpd_delay, spec.dpd_timeout) = (0, 0);
            }
            return;
        }
        if (spec.dpd_delay == 0) != (spec.dpd_timeout == 0) {
            let message = format!(
                "conn: \"{}\" warning dpd settings are ignored unless both dpdtimeout= and dpddelay= are set",
                self.name
            );
            self.tell(Diagnostic::new(Severity::Warning, self.place.clone(), message));
        }
        if spec.dpd_delay == 0 || spec.dpd_timeout == 0 || action == "none" {
            (spec.dpd_delay, spec.dpd_timeout) = (0, 0);
        }
    }

    /// The options that stand for themselves.
    pub(super) fn options(&mut self, spec: &mut ConnSpec) {
        spec.keyingtries = self.number("keyingtries", spec.keyingtries);
        let encapsulation = self.word("encapsulation");
        spec.force_encaps = self.boolean("forceencaps", false) || encapsulation == "yes";
        spec.encapsulation = match encapsulation {
            _ if spec.force_encaps => Encapsulation::Yes,
            "no" => Encapsulation::No,
            _ => Encapsulation::Auto,
        };
        spec.natt_method = match self.word("nat-ikev1-method") {
            "rfc" => NattMethod::Rfc,
            "drafts" => NattMethod::Drafts,
            "none" => NattMethod::None,
            _ => NattMethod::Both,
        };
        spec.fragmentation = match self.word("fragmentation") {
            "no" => Fragmentation::No,
            "force" => Fragmentation::Force,
            _ => Fragmentation::Yes,
        };
        spec.xauth_by = match self.word("xauthby") {
            "pam" => XauthBy::Pam,
            "alwaysok" => XauthBy::AlwaysOk,
            _ => XauthBy::File,
        };
        spec.xauth_fail = match self.word("xauthfail") {
            "soft" => XauthFail::Soft,
            _ => XauthFail::Hard,
        };
        spec.crypto_policy =
            self.get("crypto-policy", Side::Both).is_some().then(|| match self.word("crypto-policy") {
                "modern" => CryptoPolicy::Modern,
                "legacy" => CryptoPolicy::Legacy,
                _ => CryptoPolicy::Compat,
            });
        spec.failure_shunt = shunt(self.word("failureshunt"));
        spec.negotiation_shunt = shunt(self.word("negotiationshunt"));
        self.switches(spec);
        spec.replay_window = match self.read("number", "replay-window", replay_window) {
            Some(n) => n,
            None => spec.replay_window,
        };
        spec.life_bytes = self.read("number", "lifebytes", values::amount).unwrap_or(0);
        spec.life_packets = self.read("number", "lifepackets", values::amount).unwrap_or(0);
        spec.inactivity = self.time("inactivity", 0);
        spec.priority = self.number("priority", 0);
        spec.metric = self.number("metric", 0);
        spec.mtu = self.number("mtu", 0);
    }

    fn switches(&mut self, spec: &mut ConnSpec) {
        spec.nat_keepalive = self.boolean("nat-keepalive", true);
        // Both are read, so that a bad value of either is told.
        let [left, right] = [Side::Left, Side::Right].map(|side| self.boolean_at("nat-hide", side));
        spec.nat_hide = left.or(right).unwrap_or(false) || right.unwrap_or(false);
        spec.compress = self.boolean("compress", false);
        spec.sha2_truncbug = self.boolean("sha2_truncbug", false);
        spec.reauth = self.boolean("reauth", false);
        spec.initial_contact = self.boolean("initial-contact", true);
        spec.cisco_unity = self.boolean("cisco-unity", false) || self.word("remote_peer_type") == "cisco";
        spec.send_vendorid = self.boolean("send-vendorid", true);
        spec.aggressive = self.boolean("aggrmode", false);
        if let (true, true, Some(param)) = (spec.aggressive, spec.nat_hide, self.get("aggrmode", Side::Both))
        {
            let text = "with aggrmode=yes, leftnat-hide=yes has no effect in Aggressive Mode: there the client is answered before \
                        it has told how it sees this server";
            self.say(Severity::Warning, param, text.into());
        }
        spec.overlap_ip = self.boolean("overlapip", false);
    }
}

fn shunt(word: &str) -> FailureShunt {
    match word {
        "passthrough" => FailureShunt::Passthrough,
        "drop" => FailureShunt::Drop,
        "reject" => FailureShunt::Reject,
        _ => FailureShunt::None,
    }
}

/// `replay-window=`: `-1` is strongSwan's way to say "the default".
fn replay_window(s: &str) -> Result<u32, String> {
    match s {
        "-1" => Ok(ConnSpec::default().replay_window),
        _ => values::number(s).and_then(|n| match n {
            0..=MAX_REPLAY => Ok(n),
            _ => Err(format!("at most {MAX_REPLAY}")),
        }),
    }
}
