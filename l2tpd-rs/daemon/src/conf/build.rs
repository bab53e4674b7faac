//! Lines to settings.

use l2tp_proto::{LacConfig, LnsConfig};

use super::Config;
use super::apply::Common;
use super::diag::ConfError;
use super::keywords;
use super::parse::{Line, Spanned, lines};
use super::range::{self, Resolver};

/// The section options go to.
#[derive(Clone, Copy)]
enum Section {
    None,
    /// One that is not known, which has been told: its options are passed over.
    Unknown,
    Global,
    /// Index into `Config::lns`, or the default.
    Lns(Option<usize>),
    /// Index into `Config::lac`, or the default.
    Lac(Option<usize>),
}

pub(super) struct Builder<'a> {
    file: &'a str,
    source: Vec<&'a str>,
    pub(super) resolver: Resolver<'a>,
    pub(super) conf: Config,
    section: Section,
    errors: Vec<ConfError>,
}

/// Reads the text of a configuration file; `file` is its name in messages.
///
/// # Errors
/// Every line that is wrong.
pub fn load(file: &str, text: &str) -> Result<Config, Vec<ConfError>> {
    load_with(file, text, &range::ask)
}

/// [`load`] with a resolver of the caller's for names of hosts.
///
/// # Errors
/// As for [`load`].
pub fn load_with(file: &str, text: &str, resolver: Resolver<'_>) -> Result<Config, Vec<ConfError>> {
    extend(Config::default(), file, text, resolver)
}

/// Adds to a configuration what a text says; sections that are there already go on.
///
/// # Errors
/// As for [`load`].
fn extend(conf: Config, file: &str, text: &str, resolver: Resolver<'_>) -> Result<Config, Vec<ConfError>> {
    let source = text.split('\n').collect();
    let mut b = Builder { file, source, resolver, conf, section: Section::None, errors: Vec::new() };
    for line in lines(text).unwrap_or_default() {
        b.line(line);
    }
    // All that [lac default] is good for.
    if let Some(default) = &b.conf.default_lac {
        for l in b.conf.lac.iter_mut().filter(|l| l.lns.is_empty()) {
            l.lns.clone_from(&default.lns);
        }
    }
    if b.errors.is_empty() { Ok(b.conf) } else { Err(b.errors) }
}

/// Settings with a section of the control FIFO: `kind` is `lns` or `lac`, `options` are separated by semicolons.
///
/// # Errors
/// xl2tpd's words about each option that is wrong.
pub fn with_section(conf: &Config, kind: &str, name: &str, options: &str) -> Result<Config, String> {
    with_section_with(conf, kind, name, options, &range::ask)
}

/// [`with_section`] with a resolver of the caller's for names of hosts.
///
/// # Errors
/// As for [`with_section`].
pub fn with_section_with(
    conf: &Config,
    kind: &str,
    name: &str,
    options: &str,
    resolver: Resolver<'_>,
) -> Result<Config, String> {
    if name.contains([']', ';', '\n']) {
        return Err(format!("'{name}' is no name for a section"));
    }
    let lines = options.replace(';', "\n");
    let text = format!("[{kind} {name}]\n{lines}\n");
    extend(conf.clone(), "control", &text, resolver).map_err(|list| {
        // The section's line is not one of theirs.
        let tokens =
            list.iter().map(|e| format!("parse_one_line: token {}: {}", e.line.saturating_sub(1), e.old));
        tokens.collect::<Vec<_>>().join("; ")
    })
}

impl Builder<'_> {
    pub(super) fn error(&mut self, at: &Spanned, old: String, expected: impl Into<String>) {
        let source = self.source.get(at.line.saturating_sub(1)).copied().unwrap_or("").into();
        let (file, line, column) = (self.file.into(), at.line, at.column);
        self.errors.push(ConfError { file, line, column, source, old, expected: expected.into() });
    }

    pub(super) fn warn(&mut self, at: &Spanned, text: String) {
        self.conf.warnings.push(format!("{}:{}:{}: {text}", self.file, at.line, at.column));
    }

    fn line(&mut self, line: Line) {
        match line {
            Line::Section { kind, name } => self.enter(kind, &name),
            Line::Unclosed(at) => {
                self.section = Section::Unknown;
                self.error(&at, "No closing bracket".into(), "']' at the end of the section name");
            }
            // xl2tpd knows `;` only and does not start.
            Line::NoEquals(at) | Line::Option { keyword: at, .. } if at.text.starts_with('#') => {
                self.warn(&at, "'#' starts no comment in this file; the line is not read (write ';')".into());
            }
            Line::NoEquals(at) => {
                let want = "'keyword = value' or '; comment'";
                self.error(&at, "line too long or no '=' in data".into(), want);
            }
            Line::Option { keyword, value } => self.option(&keyword, &value),
        }
    }

    fn enter(&mut self, kind: Spanned, name: &str) {
        // `[ global ]`: the old split at the first space leaves no keyword.
        let (word, name) = match (kind.text.as_str(), name.trim().split_once(' ')) {
            ("", Some((word, rest))) => (word.to_string(), rest.trim().to_string()),
            ("", None) => (name.trim().to_string(), String::new()),
            _ => (kind.text.clone(), name.to_string()),
        };
        let default = name.eq_ignore_ascii_case("default");
        self.section = match word.to_ascii_lowercase().as_str() {
            "global" => Section::Global,
            "lns" if default => {
                self.conf
                    .default_lns
                    .get_or_insert_with(|| LnsConfig { name: "default".into(), ..Default::default() });
                Section::Lns(None)
            }
            "lns" => {
                let list = &mut self.conf.lns;
                let same = |l: &LnsConfig| !name.is_empty() && l.name.eq_ignore_ascii_case(&name);
                let index = list.iter().position(same).unwrap_or_else(|| {
                    list.push(LnsConfig { name, ..Default::default() });
                    list.len() - 1
                });
                Section::Lns(Some(index))
            }
            "lac" if default => {
                self.conf.default_lac.get_or_insert_with(LacConfig::default);
                Section::Lac(None)
            }
            "lac" => {
                let list = &mut self.conf.lac;
                let same = |l: &LacConfig| !name.is_empty() && l.name.eq_ignore_ascii_case(&name);
                let index = list.iter().position(same).unwrap_or_else(|| {
                    list.push(LacConfig { name, ..Default::default() });
                    list.len() - 1
                });
                Section::Lac(Some(index))
            }
            _ => {
                let old = format!("unknown context '{}'", kind.text);
                self.section = Section::Unknown;
                return self.error(&kind, old, "'[global]', '[lns NAME]' or '[lac NAME]'");
            }
        };
        if kind.text.is_empty() {
            self.warn(&kind, format!("a blank after '['; read as '[{word}]'"));
        }
    }

    fn option(&mut self, keyword: &Spanned, value: &Spanned) {
        match self.section {
            Section::Unknown => return,
            Section::None => {
                let old = format!("data '{} = {}' occurs with no context", keyword.text, value.text);
                return self.error(keyword, old, "'[global]', '[lns NAME]' or '[lac NAME]' before it");
            }
            _ => {}
        }
        let found = keywords::find(&keyword.text).or_else(|| {
            let k = keywords::find_loosely(&keyword.text)?;
            self.warn(keyword, format!("'{}' is read as '{}'", keyword.text, k.name));
            Some(k)
        });
        let Some(k) = found else {
            let want = match keywords::nearest(&keyword.text) {
                _ if keywords::is_pppds(&keyword.text) => {
                    "a keyword of xl2tpd.conf(5); this is for pppd and belongs into the pppoptfile".into()
                }
                Some(n) => format!("a keyword of xl2tpd.conf(5); did you mean '{n}'?"),
                None => "a keyword of xl2tpd.conf(5)".into(),
            };
            return self.error(keyword, format!("Unknown field '{}'", keyword.text), want);
        };
        let s = k.sections;
        let fits = match self.section {
            Section::Global => s.global,
            Section::Lns(_) => s.lns,
            Section::Lac(_) => s.lac,
            Section::None | Section::Unknown => false,
        };
        if !fits {
            let places: Vec<_> = [(s.global, "[global]"), (s.lns, "[lns]"), (s.lac, "[lac]")]
                .into_iter()
                .filter_map(|(yes, place)| yes.then_some(place))
                .collect();
            let old = format!("'{}' not valid in this context", keyword.text);
            return self.error(keyword, old, format!("it under {}", places.join(" or ")));
        }
        if matches!(self.section, Section::Lac(None)) && k.name != "lns" {
            self.warn(keyword, format!("'{}' has no effect: [lac default] gives its lns only", k.name));
        }
        self.apply(k, keyword, value);
    }

    /// The section that options go to, when it is an LNS one.
    pub(super) fn lns(&mut self) -> Option<&mut LnsConfig> {
        match self.section {
            Section::Lns(None) => self.conf.default_lns.as_mut(),
            Section::Lns(Some(i)) => self.conf.lns.get_mut(i),
            _ => None,
        }
    }

    /// The section that options go to, when it is a LAC one.
    pub(super) fn lac(&mut self) -> Option<&mut LacConfig> {
        match self.section {
            Section::Lac(None) => self.conf.default_lac.as_mut(),
            Section::Lac(Some(i)) => self.conf.lac.get_mut(i),
            _ => None,
        }
    }

    /// What both kinds have, of the section that options go to.
    pub(super) fn common(&mut self) -> Option<Common<'_>> {
        macro_rules! fields {
            ($l:expr) => {{
                let l = $l?;
                Some(Common {
                    ppp: &mut l.ppp,
                    local_ip: &mut l.local_ip,
                    length_bit: &mut l.length_bit,
                    challenge: &mut l.challenge,
                    hidden_bit: &mut l.hidden_bit,
                    sequencing: &mut l.sequencing,
                    accept_outgoing: &mut l.accept_outgoing,
                    hostname: &mut l.hostname,
                    window: &mut l.window,
                })
            }};
        }
        match self.section {
            Section::Lns(_) => fields!(self.lns()),
            Section::Lac(_) => fields!(self.lac()),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
