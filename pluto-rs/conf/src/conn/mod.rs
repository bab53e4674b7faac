//! A `conn` from merged keywords to [`ConnSpec`].

use ipsec_types::conn::{Auto, ConnSpec, ConnType};

use crate::diag::{Diagnostic, Place, Severity};
use crate::dialect::Dialect;
use crate::keywords::{self, Kind, Scope, Side};
use crate::merge::Merged;
use crate::parse::Param;
use crate::values;

mod auth;
mod end;
mod marks;
mod options;
mod served;
mod subnets;

/// What of an end needs this machine or a name server before the conn can be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// `leftid=` is a host name: the identity is its address.
    pub id_name: Option<String>,
    /// `leftnexthop=%defaultroute`, said or implied by `left=%defaultroute`.
    pub nexthop_default: bool,
}

/// A conn that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conn {
    /// What it says.
    pub spec: ConnSpec,
    /// Left over for the one who adds it.
    pub left: Pending,
    /// The same for right.
    pub right: Pending,
    /// Notes and warnings.
    pub notes: Vec<Diagnostic>,
    /// Which section of the file it is, for [`crate::Places`]; none for one that `oe=yes` made.
    pub section: Option<usize>,
}

/// Why a conn cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something in it cannot be understood, or contradicts itself.
    Wrong,
    /// It is right, but asks for what is not served, such as IKEv2.
    NotServed,
}

/// A conn that cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnError {
    /// Its name.
    pub name: String,
    /// Whether it is wrong.
    pub refusal: Refusal,
    /// Its `auto=`, as far as it can be told.
    pub auto: Auto,
    /// Why; at least one is an error. Of a conn that is not served, the one line that says so.
    pub diagnostics: Vec<Diagnostic>,
}

/// Builds the conns of one section: one, or with `leftsubnets=` one for each pair.
pub(crate) fn build(
    name: &str,
    place: Place,
    merged: Merged<'_>,
    dialect: Dialect,
) -> Result<Vec<Conn>, ConnError> {
    let mut b = Builder { name, place, merged, dialect, diagnostics: Vec::new(), unserved: None };
    b.diagnostics.append(&mut b.merged.diagnostics);
    let auto = b.auto();
    let conns = b.conns(auto);
    let error = |refusal, diagnostics| ConnError { name: name.to_string(), refusal, auto, diagnostics };
    if let Some(why) = b.unserved {
        return Err(error(Refusal::NotServed, vec![why]));
    }
    if b.diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Err(error(Refusal::Wrong, b.diagnostics));
    }
    let mut conns = conns;
    if let Some(first) = conns.first_mut() {
        first.notes = b.diagnostics;
    }
    Ok(conns)
}

/// Most names that `connalias=` gives a conn.
const MAX_ALIASES: usize = 100;

struct Builder<'a> {
    name: &'a str,
    place: Place,
    merged: Merged<'a>,
    dialect: Dialect,
    diagnostics: Vec<Diagnostic>,
    /// What the conn asks for that is not served.
    unserved: Option<Diagnostic>,
}

impl<'a> Builder<'a> {
    fn get(&self, name: &'static str, side: Side) -> Option<&'a Param> {
        self.merged.settings.get(&(name, side)).copied()
    }

    fn say(&mut self, severity: Severity, param: &Param, message: String) {
        self.tell(Diagnostic::new(severity, param.place(), message));
    }

    /// A value that cannot be understood.
    fn bad(&mut self, what: &str, side: Side, name: &str, param: &Param, why: &str) {
        let key = format!("{}{name}", side.prefix());
        let message = format!("while loading '{}': bad {what} {key}={} [{why}]", self.name, param.value);
        self.say(Severity::Error, param, message);
    }

    /// The value of a keyword through `read`, or nothing and an error.
    fn read<T>(
        &mut self,
        what: &str,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read_at(what, name, Side::Both, read)
    }

    fn read_at<T>(
        &mut self,
        what: &str,
        name: &'static str,
        side: Side,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let param = self.get(name, side)?;
        match read(&param.value) {
            Ok(value) => Some(value),
            Err(why) => {
                self.bad(what, side, name, param, &why);
                None
            }
        }
    }

    fn boolean(&mut self, name: &'static str, default: bool) -> bool {
        self.boolean_at(name, Side::Both).unwrap_or(default)
    }

    fn boolean_at(&mut self, name: &'static str, side: Side) -> Option<bool> {
        let read = |s: &str| values::boolean(s).ok_or_else(|| "expected yes or no".to_string());
        self.read_at("value", name, side, read)
    }

    fn time(&mut self, name: &'static str, default: u32) -> u32 {
        self.read("duration", name, values::time).unwrap_or(default)
    }

    fn number(&mut self, name: &'static str, default: u32) -> u32 {
        self.read("number", name, values::number).unwrap_or(default)
    }

    fn word(&mut self, name: &'static str) -> &'static str {
        self.word_at(name, Side::Both)
    }

    /// The meaning of a word; an unknown one is a warning and counts as the first, as it always has.
    fn word_at(&mut self, name: &'static str, side: Side) -> &'static str {
        let Some(keyword) = keywords::all().find(|k| {
            k.name == name && k.scope != Scope::Setup && (k.scope == Scope::End) == (side != Side::Both)
        }) else {
            return "";
        };
        let Kind::Word(words) = keyword.kind else { return "" };
        let Some(param) = self.get(name, side) else {
            return words.iter().find(|w| w.0 == keyword.default).map_or("", |w| w.1);
        };
        if let Some(found) = words.iter().find(|w| w.0.eq_ignore_ascii_case(&param.value)) {
            return found.1;
        }
        let first = words.first().map_or("", |w| w.1);
        let spellings: Vec<&str> = words.iter().map(|w| w.0).collect();
        let message = format!("keyword {}, invalid value: {}; taken as `{first}'", param.key, param.value);
        let near = crate::diag::did_you_mean(&param.value, spellings.iter().copied());
        let help = match near {
            Some(near) => format!("did you mean `{near}'?"),
            None => format!("expected {}", spellings.join(", ")),
        };
        self.warn_once(Diagnostic::new(Severity::Warning, param.place(), message).with_help(help));
        first
    }

    fn tell(&mut self, finding: Diagnostic) {
        crate::diag::tell(&mut self.diagnostics, finding);
    }

    /// Says something that may be found out more than once.
    fn warn_once(&mut self, finding: Diagnostic) {
        if !self.diagnostics.contains(&finding) {
            self.tell(finding);
        }
    }

    fn auto(&mut self) -> Auto {
        match self.word("auto") {
            "add" => Auto::Add,
            "route" => Auto::Route,
            "start" => Auto::Start,
            "keep" => Auto::Keep,
            _ => Auto::Ignore,
        }
    }

    fn conns(&mut self, auto: Auto) -> Vec<Conn> {
        self.refused();
        let mut spec = ConnSpec { name: self.name.to_string(), auto, ..ConnSpec::default() };
        spec.conn_type = match self.word("type") {
            "transport" => ConnType::Transport,
            "passthrough" => ConnType::Passthrough,
            "reject" => ConnType::Reject,
            "drop" => ConnType::Drop,
            _ => ConnType::Tunnel,
        };
        spec.aliases = self.aliases();
        self.lifetimes(&mut spec);
        self.algorithms(&mut spec);
        self.dpd(&mut spec);
        self.options(&mut spec);
        self.marks(&mut spec);
        let mut pending = [Pending::default(), Pending::default()];
        for (side, pending) in [Side::Left, Side::Right].into_iter().zip(&mut pending) {
            let end = self.end(side, pending);
            match side {
                Side::Left => spec.left = end,
                _ => spec.right = end,
            }
        }
        self.authentication(&mut spec);
        self.mode_config(&mut spec);
        let [left, right] = pending;
        let conn = Conn { spec, left, right, notes: Vec::new(), section: None };
        self.with_subnets(conn)
    }

    fn aliases(&mut self) -> Vec<String> {
        let given = self.merged.appended.get(&("connalias", Side::Both)).into_iter().flatten();
        let mut words = given.flat_map(|p| p.value.split_whitespace());
        let aliases = words.by_ref().take(MAX_ALIASES).map(str::to_string).collect();
        if words.next().is_some() {
            let message =
                format!("conn: \"{}\" has more than {MAX_ALIASES} aliases; the rest is not used", self.name);
            self.tell(Diagnostic::new(Severity::Warning, self.place.clone(), message));
        }
        aliases
    }
}
