//! Lines to settings.

use l2tp_proto::{LnsConfig, RangeRule};

use super::diag::ConfError;
use super::keywords::{self, Keyword};
use super::parse::{Line, Spanned, lines};
use super::{Config, range};

/// How a value is read, and where it goes.
#[derive(Clone, Copy)]
pub(super) enum Apply {
    Bool(Target),
    Int(Target),
    /// At least this, or these words.
    IntFrom(i64, &'static str, Target),
    Text(Target),
    Host(Target),
    Range(Target),
    RandSource,
}

/// Where a value goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    ListenAddr,
    ListenPlain,
    Port,
    Pppd,
    AuthFile,
    AccessControl,
    Saref,
    DebugAvp,
    MaxRetries,
    CapBackoff,
    Pool(bool),
    LocalPool,
    Lac(bool),
    AssignIp,
    LocalIp,
    LengthBit,
    Challenge,
    Hostname,
    Name,
    RequirePap,
    RequireChap,
    RequireAuth,
    RefusePap,
    RefuseChap,
    RefuseAuth,
    Login,
    PppDebug,
    PassPeer,
    PppOptFile,
    Window,
    /// Checked; means nothing to this daemon, and nobody needs to be told at each start.
    Quiet,
    /// Checked; never had an effect in xl2tpd either, for this reason.
    Idle(&'static str),
}

/// The section options go to.
#[derive(Clone, Copy)]
enum Section {
    None,
    Global,
    /// Index into `Config::lns`, or the default.
    Lns(Option<usize>),
    /// `[lac]` sections are checked only.
    Lac,
}

struct Builder<'a> {
    file: &'a str,
    text: &'a str,
    conf: Config,
    section: Section,
}

/// Reads the text of a configuration file; `file` is its name in messages.
///
/// # Errors
/// The first line that is wrong.
pub fn load(file: &str, text: &str) -> Result<Config, ConfError> {
    let mut b = Builder { file, text, conf: Config::default(), section: Section::None };
    for line in lines(text).unwrap_or_default() {
        b.line(line)?;
    }
    Ok(b.conf)
}

impl Builder<'_> {
    fn error(&self, at: &Spanned, old: String, expected: impl Into<String>) -> ConfError {
        let source = self.text.split('\n').nth(at.line.saturating_sub(1)).unwrap_or("").into();
        let (file, line, column) = (self.file.into(), at.line, at.column);
        ConfError { file, line, column, source, old, expected: expected.into() }
    }

    fn warn(&mut self, at: &Spanned, text: String) {
        self.conf.warnings.push(format!("{}:{}:{}: {text}", self.file, at.line, at.column));
    }

    fn line(&mut self, line: Line) -> Result<(), ConfError> {
        match line {
            Line::Section { kind, name } => self.enter(kind, &name),
            Line::Unclosed(at) => {
                Err(self.error(&at, "No closing bracket".into(), "']' at the end of the section name"))
            }
            Line::NoEquals(at) => Err(self.error(
                &at,
                "line too long or no '=' in data".into(),
                "'keyword = value' or '; comment'",
            )),
            Line::Option { keyword, value } => self.option(&keyword, &value),
        }
    }

    fn enter(&mut self, kind: Spanned, name: &str) -> Result<(), ConfError> {
        let default = name.eq_ignore_ascii_case("default");
        self.section = match kind.text.to_ascii_lowercase().as_str() {
            "global" => Section::Global,
            "lns" if default => {
                self.conf
                    .default_lns
                    .get_or_insert_with(|| LnsConfig { name: "default".into(), ..Default::default() });
                Section::Lns(None)
            }
            "lns" => {
                let same = |l: &LnsConfig| !name.is_empty() && l.name.eq_ignore_ascii_case(name);
                let index = self.conf.lns.iter().position(same).unwrap_or_else(|| {
                    self.conf.lns.push(LnsConfig { name: name.into(), ..Default::default() });
                    self.conf.lns.len() - 1
                });
                Section::Lns(Some(index))
            }
            "lac" => {
                if !default && !self.conf.lac.iter().any(|l| l.eq_ignore_ascii_case(name)) {
                    self.conf.lac.push(name.into());
                }
                Section::Lac
            }
            _ => {
                let old = format!("unknown context '{}'", kind.text);
                return Err(self.error(&kind, old, "'[global]', '[lns NAME]' or '[lac NAME]'"));
            }
        };
        Ok(())
    }

    fn option(&mut self, keyword: &Spanned, value: &Spanned) -> Result<(), ConfError> {
        if matches!(self.section, Section::None) {
            let data = format!("{} = {}", keyword.text, value.text);
            let old = format!("data '{data}' occurs with no context");
            return Err(self.error(keyword, old, "'[global]', '[lns NAME]' or '[lac NAME]' before it"));
        }
        let Some(k) = keywords::find(&keyword.text) else {
            let hint = keywords::nearest(&keyword.text)
                .map(|n| format!("; did you mean '{n}'?"))
                .unwrap_or_default();
            let old = format!("Unknown field '{}'", keyword.text);
            return Err(self.error(keyword, old, format!("a keyword of xl2tpd.conf(5){hint}")));
        };
        let fits = match self.section {
            Section::Global => k.sections.global,
            Section::Lns(_) => k.sections.lns,
            Section::Lac => k.sections.lac,
            Section::None => false,
        };
        if !fits {
            let s = k.sections;
            let places: Vec<_> = [(s.global, "[global]"), (s.lns, "[lns]"), (s.lac, "[lac]")]
                .into_iter()
                .filter_map(|(yes, place)| yes.then_some(place))
                .collect();
            let old = format!("'{}' not valid in this context", keyword.text);
            return Err(self.error(keyword, old, format!("it under {}", places.join(" or "))));
        }
        self.apply(k, keyword, value)
    }

    fn apply(&mut self, k: &Keyword, at: &Spanned, value: &Spanned) -> Result<(), ConfError> {
        let text = value.text.as_str();
        match k.apply {
            Apply::Bool(target) => {
                let yes = match text.to_ascii_lowercase().as_str() {
                    "yes" | "y" | "true" => true,
                    "no" | "n" | "false" => false,
                    _ => {
                        let old = format!("{} must be 'yes' or 'no'", at.text);
                        return Err(self.error(value, old, "'yes' or 'no'"));
                    }
                };
                self.put_bool(target, at, yes)
            }
            Apply::Int(target) => self.put_int(target, number(text)),
            Apply::IntFrom(min, words, target) => {
                if number(text) < min {
                    return Err(self.error(value, words.into(), format!("a number, at least {min}")));
                }
                if let Target::Idle(why) = target {
                    self.warn(at, format!("'{}' has no effect: {why}", k.name));
                }
                self.put_int(target, number(text));
            }
            Apply::Text(target) => {
                if text.is_empty() && target == Target::AuthFile {
                    let old = "no filename specified for authentication".to_string();
                    return Err(self.error(value, old, "a path"));
                }
                self.put_text(target, text);
            }
            Apply::Host(target) => {
                let Some(addr) = range::host(text) else {
                    let old = format!("set_ip: host '{text}' not found");
                    return Err(self.error(value, old, "an IPv4 address or the name of a host"));
                };
                match target {
                    Target::ListenAddr => self.conf.global.listen_addr = addr,
                    Target::LocalIp => {
                        if self.lns().is_some_and(|l| !l.local_pool.is_empty()) {
                            return Err(self.exclusive(at));
                        }
                        if let Some(l) = self.lns() {
                            l.local_ip = Some(addr);
                        }
                    }
                    _ => {}
                }
            }
            Apply::Range(target) => {
                let range = range::range(k.name, text).map_err(|(old, want)| self.error(value, old, want))?;
                if target == Target::LocalPool && self.lns().is_some_and(|l| l.local_ip.is_some()) {
                    return Err(self.exclusive(at));
                }
                if let Some(l) = self.lns() {
                    match target {
                        Target::Pool(allow) => l.pool.push(RangeRule { range, allow }),
                        Target::Lac(allow) => l.lac.push(RangeRule { range, allow }),
                        _ => l.local_pool.push(RangeRule { range, allow: true }),
                    }
                }
            }
            Apply::RandSource => match text.get(..3) {
                Some("dev" | "sys") => {}
                _ => {
                    let old = format!("rand source '{text}' is not known");
                    return Err(self.error(
                        value,
                        old,
                        "'dev' or 'sys'; randomness comes from the kernel in any case",
                    ));
                }
            },
        }
        Ok(())
    }

    fn exclusive(&self, at: &Spanned) -> ConfError {
        let old = "'local ip range' and 'local ip' are mutually exclusive".to_string();
        self.error(at, old, "only one of the two in a section")
    }

    /// The section that options go to, when it is an LNS one.
    fn lns(&mut self) -> Option<&mut LnsConfig> {
        match self.section {
            Section::Lns(None) => self.conf.default_lns.as_mut(),
            Section::Lns(Some(i)) => self.conf.lns.get_mut(i),
            _ => None,
        }
    }

    fn put_bool(&mut self, target: Target, at: &Spanned, yes: bool) {
        match target {
            Target::ListenPlain => self.conf.global.listen_plain = Some(yes),
            Target::AccessControl => self.conf.global.access_control = yes,
            Target::DebugAvp => self.conf.global.debug_avp = yes,
            Target::Saref if yes => {
                let text = "'ipsec saref' is not needed: clients behind one NAT are told apart by marks";
                self.warn(at, text.into());
            }
            Target::Idle(why) if yes => self.warn(at, format!("'{}' has no effect: {why}", at.text)),
            _ => {}
        }
        let Some(l) = self.lns() else { return };
        match target {
            Target::AssignIp => l.no_assign = !yes,
            Target::LengthBit => l.length_bit = yes,
            Target::Challenge => l.challenge = yes,
            Target::RequirePap => l.ppp.require_pap = yes,
            Target::RequireChap => l.ppp.require_chap = yes,
            Target::RequireAuth => l.ppp.require_auth = yes,
            Target::RefusePap => l.ppp.refuse_pap = yes,
            Target::RefuseChap => l.ppp.refuse_chap = yes,
            Target::RefuseAuth => (l.ppp.refuse_pap, l.ppp.refuse_chap) = (yes, yes),
            Target::Login => l.ppp.login = yes,
            Target::PppDebug => l.ppp.debug = yes,
            Target::PassPeer => l.ppp.pass_peer = yes,
            _ => {}
        }
    }

    /// xl2tpd keeps the old value of its global numbers when the new one is negative, and says nothing.
    fn put_int(&mut self, target: Target, n: i64) {
        let unsigned = u32::try_from(n).ok();
        let global = &mut self.conf.global;
        match (target, unsigned) {
            // As in C: the low 16 bits.
            (Target::Port, Some(n)) => global.port = (n & 0xffff) as u16,
            // 0 would send nothing at all, which nobody can mean.
            (Target::MaxRetries, Some(n)) => global.max_retries = n.max(1),
            (Target::CapBackoff, Some(n)) => global.cap_backoff = n,
            (Target::Window, Some(n)) => {
                if let Some(l) = self.lns() {
                    l.window = Some(u16::try_from(n).unwrap_or(u16::MAX));
                }
            }
            _ => {}
        }
    }

    fn put_text(&mut self, target: Target, text: &str) {
        match target {
            Target::Pppd => self.conf.global.pppd = text.into(),
            Target::AuthFile => self.conf.global.auth_file = Some(text.into()),
            _ => {}
        }
        let Some(l) = self.lns() else { return };
        match target {
            Target::Hostname => l.hostname = Some(text.into()),
            Target::Name => l.ppp.name = Some(text.into()),
            Target::PppOptFile => l.ppp.file = Some(text.into()),
            _ => {}
        }
    }
}

/// C's `atoi`: a sign, digits, and whatever follows is not looked at; no digits are 0.
fn number(text: &str) -> i64 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits[..end].parse::<i64>() {
        Ok(n) => sign * n,
        // Only an overflow gets here with digits.
        Err(_) if end > 0 => sign * i64::from(u32::MAX),
        Err(_) => 0,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
