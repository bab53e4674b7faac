//! What applies to a conn: its own parameters, then each `also=` section, then `conn %default`.
//!
//! The first one to set a keyword wins, except among several `%default` sections, where the last does.

use std::collections::{HashMap, HashSet};

use crate::diag::{Diagnostic, Severity, enough, tell};
use crate::dialect::Dialect;
use crate::keywords::{self, Effect, Kind, Scope, Side};
use crate::parse::{Param, Section, SectionKind};

/// Most sections one conn may draw in.
const MAX_ALSO: usize = 32;

/// A keyword and an end.
pub(crate) type Slot = (&'static str, Side);

/// The keywords one section sets, and what is wrong with it.
#[derive(Default)]
struct Layer<'a> {
    settings: HashMap<Slot, &'a Param>,
    appended: HashMap<Slot, Vec<&'a Param>>,
    /// `also=` and (true) `alsoflip=`, with the parameter that says so.
    also: Vec<(String, bool, &'a Param)>,
    /// There were more than fit, which has been told.
    too_many_also: bool,
    diagnostics: Vec<Diagnostic>,
}

/// Everything that applies to one conn.
#[derive(Default)]
pub(crate) struct Merged<'a> {
    pub(crate) settings: HashMap<Slot, &'a Param>,
    pub(crate) appended: HashMap<Slot, Vec<&'a Param>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The conn sections of a configuration, ready to be merged.
pub(crate) struct Conns<'a> {
    layers: Vec<(&'a str, &'a Section, Layer<'a>)>,
    /// First section of each name, lower case.
    by_name: HashMap<String, usize>,
    default: Layer<'a>,
}

impl<'a> Conns<'a> {
    /// Collects the conns among `sections`.
    pub(crate) fn new(sections: &'a [Section], dialect: Dialect) -> Self {
        let mut conns = Conns { layers: Vec::new(), by_name: HashMap::new(), default: Layer::default() };
        for section in sections {
            let SectionKind::Conn(name) = &section.kind else { continue };
            let mut layer = Layer::of(name, section, dialect);
            match name.as_str() {
                "%default" => {
                    for (_, _, param) in layer.also.drain(..) {
                        let message = "also= is not valid in section '%default'";
                        layer.diagnostics.push(Diagnostic::new(Severity::Warning, param.place(), message));
                    }
                    conns.default.settings.extend(layer.settings);
                    conns.default.appended.extend(layer.appended);
                    conns.default.diagnostics.extend(layer.diagnostics);
                }
                "%oedefault" => {}
                _ => {
                    conns.by_name.entry(name.to_lowercase()).or_insert(conns.layers.len());
                    conns.layers.push((name, section, layer));
                }
            }
        }
        conns
    }

    /// Findings about `%default`, all of them reported once as warnings.
    pub(crate) fn default_diagnostics(&self) -> Vec<Diagnostic> {
        let soften = |d: &Diagnostic| Diagnostic { severity: d.severity.min(Severity::Warning), ..d.clone() };
        self.default.diagnostics.iter().map(soften).collect()
    }

    /// Number of conns.
    pub(crate) fn len(&self) -> usize {
        self.layers.len()
    }

    /// Name, section and settings of conn number `i`.
    pub(crate) fn merged(&self, i: usize) -> Option<(&'a str, &'a Section, Merged<'a>)> {
        let (name, section, own) = self.layers.get(i)?;
        let mut merged = Merged {
            settings: own.settings.clone(),
            appended: own.appended.clone(),
            diagnostics: own.diagnostics.clone(),
        };
        let mut seen = HashSet::from([i]);
        let mut work: Vec<(&str, bool, &Param)> =
            own.also.iter().map(|(n, f, p)| (n.as_str(), *f, *p)).collect();
        let mut next = 0;
        while let Some(&(wanted, flip, param)) = work.get(next) {
            next += 1;
            // A name that is not there is no error; Openswan never complained.
            let Some(&index) = self.by_name.get(&wanted.to_lowercase()) else {
                let message = format!("also={wanted}: there is no such conn");
                merged.diagnostics.push(Diagnostic::new(Severity::Warning, param.place(), message));
                continue;
            };
            if !seen.insert(index) {
                continue;
            }
            let Some((_, _, layer)) = self.layers.get(index) else { continue };
            if seen.len() > MAX_ALSO + 1 {
                let message = format!(
                    "while loading conn '{name}', too many also= used at section {wanted}. Limit is {MAX_ALSO}"
                );
                merged.diagnostics.push(Diagnostic::new(Severity::Error, param.place(), message));
                break;
            }
            merged.add(layer, flip);
            // Bounded: only sections not seen before add to the list, and each name is asked for once.
            for (n, f, p) in &layer.also {
                work.push((n, *f != flip, *p));
            }
        }
        merged.add_default(&self.default);
        Some((name, section, merged))
    }
}

impl<'a> Merged<'a> {
    /// Whether nothing tells which version of IKE is meant.
    pub(crate) fn says_no_version(&self) -> bool {
        !["keyexchange", "ikev2", "ikev1"].iter().any(|name| self.settings.contains_key(&(*name, Side::Both)))
    }

    fn add(&mut self, layer: &Layer<'a>, flip: bool) {
        let turn = |(name, side): Slot| (name, if flip { side.flip() } else { side });
        for (&slot, &param) in &layer.settings {
            self.settings.entry(turn(slot)).or_insert(param);
        }
        for (&slot, params) in &layer.appended {
            // Aliases are names of that conn alone.
            if slot.0 != "connalias" {
                self.appended.entry(turn(slot)).or_insert_with(|| params.clone());
            }
        }
        layer.diagnostics.iter().for_each(|d| tell(&mut self.diagnostics, d.clone()));
    }

    fn add_default(&mut self, layer: &Layer<'a>) {
        for (&slot, &param) in &layer.settings {
            self.settings.entry(slot).or_insert(param);
        }
        for (&slot, params) in &layer.appended {
            self.appended.entry(slot).or_insert_with(|| params.clone());
        }
    }
}

impl<'a> Layer<'a> {
    fn of(name: &str, section: &'a Section, dialect: Dialect) -> Layer<'a> {
        let mut layer = Layer { diagnostics: section.errors.clone(), ..Layer::default() };
        for param in &section.params {
            layer.add(name, param, dialect);
        }
        layer
    }

    fn add(&mut self, conn: &str, param: &'a Param, dialect: Dialect) {
        let Some(found) = keywords::find(&param.key, false) else {
            let finding = unknown(conn, param, !enough(&self.diagnostics));
            return tell(&mut self.diagnostics, finding);
        };
        let slot = (found.keyword.name, found.side);
        debug_assert!(found.keyword.scope != Scope::Setup);
        if param.value.is_empty() && !param.quoted {
            // Nothing after `=`: the default, as the manual says.
            return;
        }
        if found.keyword.kind == Kind::Append {
            if matches!(slot.0, "also" | "alsoflip") {
                for name in param.value.split_whitespace() {
                    let flip = slot.0 == "alsoflip";
                    // The same again says nothing new, as often as it may be said.
                    if self.also.iter().any(|a| (a.0.as_str(), a.1) == (name, flip)) {
                        continue;
                    }
                    if self.also.len() > MAX_ALSO {
                        if std::mem::replace(&mut self.too_many_also, true) {
                            return;
                        }
                        let message = format!(
                            "while loading conn '{conn}', too many also= used at section {name}. Limit is {MAX_ALSO}"
                        );
                        return tell(
                            &mut self.diagnostics,
                            Diagnostic::new(Severity::Error, param.place(), message),
                        );
                    }
                    self.also.push((name.to_string(), flip, param));
                }
            } else {
                self.appended.entry(slot).or_default().push(param);
            }
            return;
        }
        let idle = match found.keyword.effect {
            Effect::Ignored(why) => Some((Severity::Note, why)),
            Effect::Differs(why) => Some((Severity::Warning, why)),
            Effect::Used | Effect::Refused(_) => None,
        };
        if let Some((severity, why)) = idle
            && !is_default(found.keyword, param)
        {
            let message = format!("{}= has no effect: {why}", param.key);
            tell(&mut self.diagnostics, Diagnostic::new(severity, param.place(), message));
        }
        match self.settings.get(&slot) {
            None => {
                self.settings.insert(slot, param);
            }
            Some(first) => {
                let same = first.value == param.value;
                // Openswan refused the conn; libreswan takes the first value, strongSwan the last.
                let severity = match dialect {
                    _ if same || idle.is_some() => Severity::Note,
                    Dialect::Openswan => Severity::Error,
                    Dialect::Libreswan | Dialect::Strongswan => Severity::Warning,
                };
                let message = format!(
                    "while loading '{conn}': duplicate key '{}' in conn {conn} (line={}) while processing def {conn}",
                    param.key, param.span.line
                );
                let first_line = format!("first set to `{}' in line {}", first.value, first.span.line);
                let finding = Diagnostic::new(severity, param.place(), message).with_help(first_line);
                tell(&mut self.diagnostics, finding);
                if dialect == Dialect::Strongswan {
                    self.settings.insert(slot, param);
                }
            }
        }
    }
}

/// Whether a parameter says what is so anyway.
pub(crate) fn is_default(keyword: &keywords::Keyword, param: &Param) -> bool {
    let word = |s: &str| match keyword.kind {
        Kind::Bool => crate::values::boolean(s).map(|b| b.to_string()).unwrap_or_default(),
        _ => s.to_ascii_lowercase(),
    };
    word(&param.value) == word(keyword.default)
}

/// The finding for a key that no conn has, with what may be meant if asked for.
fn unknown(conn: &str, param: &Param, suggest: bool) -> Diagnostic {
    if keywords::find(&param.key, true).is_some() {
        let message = format!("keyword '{}' is not valid in a conn ({conn})", param.key);
        return Diagnostic::new(Severity::Warning, param.place(), message)
            .with_help("it belongs in `config setup'");
    }
    let near = if suggest { keywords::nearest(&param.key, false) } else { None };
    let help = match near {
        Some(near) => format!("unknown keyword; did you mean `{near}'?"),
        None => "unknown keyword".to_string(),
    };
    Diagnostic::syntax(param.place(), &param.key, help)
}
