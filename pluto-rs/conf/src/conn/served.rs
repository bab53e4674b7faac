//! What a conn may ask for that is not served: IKEv2 and what needs it, labeled IPsec.
//!
//! Such a conn is not wrong. It is refused with one line, as it would be less safe, or nothing, without what it asks for.

use super::Builder;
use crate::diag::{Diagnostic, Severity};
use crate::dialect::Dialect;
use crate::keywords::{self, Effect, Side};
use crate::parse::Param;

impl Builder<'_> {
    /// Refuses the conn for what `param` asks; the first reason is the one that is told.
    pub(super) fn not_served(&mut self, param: &Param, why: &str) {
        if self.unserved.is_none() {
            let message = format!("while loading '{}': {why}", self.name);
            self.unserved = Some(Diagnostic::new(Severity::Error, param.place(), message));
        }
    }

    /// Looks for keywords without which the conn would be less safe than its owner thinks, and at the version of IKE.
    pub(super) fn refused(&mut self) {
        self.version();
        let mut set: Vec<_> = self.merged.settings.values().copied().collect();
        set.sort_by_key(|p| p.span.line);
        for param in set {
            let Some(found) = keywords::find(&param.key, false) else { continue };
            if let Effect::Refused(why) = found.keyword.effect
                && !crate::merge::is_default(found.keyword, param)
            {
                self.not_served(param, why);
            }
        }
        if self.word("ppk") == "insist"
            && let Some(param) = self.get("ppk", Side::Both)
        {
            self.not_served(param, "ppk=insist needs IKEv2, which is not served");
        }
    }

    /// `keyexchange=`, `ikev2=`, `ikev1=`: a conn that allows IKEv1 is served with that.
    fn version(&mut self) {
        let exchange = self.word("keyexchange");
        let ikev2 = self.word("ikev2");
        let allowed = self.boolean("ikev1", true);
        let only = [("keyexchange", exchange == "ikev2"), ("ikev2", ikev2 == "insist"), ("ikev1", !allowed)];
        if let Some(param) = only.iter().find(|o| o.1).and_then(|(name, _)| self.get(name, Side::Both)) {
            return self.not_served(param, "IKEv2 is not served");
        }
        let begins_with_2 = match self.dialect {
            // There `ike` alone means IKEv2 first.
            Dialect::Strongswan => {
                self.get("keyexchange", Side::Both).filter(|p| p.value.eq_ignore_ascii_case("ike"))
            }
            _ if ikev2 == "propose" => self.get("ikev2", Side::Both),
            _ => None,
        };
        if let Some(param) = begins_with_2 {
            let message = format!("{}={}: IKEv2 is not served; IKEv1 is spoken", param.key, param.value);
            self.say(Severity::Note, param, message);
        }
    }
}
