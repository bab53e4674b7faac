//! Values: how each type is read, and where it goes.

use std::net::Ipv4Addr;
use std::time::Duration;

use l2tp_proto::{LnsAddress, PppOptions, RangeRule};

use super::build::Builder;
use super::keywords::Keyword;
use super::parse::Spanned;
use super::range;

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
    /// `HOST[:PORT]` of a server.
    Server,
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
    ForceUserspace,
    Saref,
    SarefNumber,
    DebugAvp,
    DebugNetwork,
    DebugPacket,
    DebugState,
    DebugTunnel,
    MaxRetries,
    CapBackoff,
    HelloInterval,
    MaxTunnels,
    MaxCalls,
    MaxCallsPerTunnel,
    MaxHalfOpen,
    MaxHalfOpenPerPeer,
    Pool(bool),
    LocalPool,
    Lac(bool),
    AssignIp,
    LocalIp,
    RemoteIp,
    Autodial,
    Redial,
    RedialTimeout,
    MaxRedials,
    DefaultRoute,
    HiddenBit,
    LengthBit,
    Sequencing,
    TieBreaker,
    AcceptOutgoing,
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
    /// Transmit, receive.
    Speed(bool, bool),
    /// Checked; never had an effect in xl2tpd either, for this reason.
    Idle(&'static str),
}

/// What sections of both kinds have.
pub(super) struct Common<'a> {
    pub(super) ppp: &'a mut PppOptions,
    pub(super) local_ip: &'a mut Option<Ipv4Addr>,
    pub(super) length_bit: &'a mut bool,
    pub(super) challenge: &'a mut bool,
    pub(super) hidden_bit: &'a mut bool,
    pub(super) sequencing: &'a mut bool,
    pub(super) accept_outgoing: &'a mut bool,
    pub(super) hostname: &'a mut Option<String>,
    pub(super) window: &'a mut Option<u16>,
}

impl Builder<'_> {
    /// Reads a value; what is wrong with it goes to the errors.
    pub(super) fn apply(&mut self, k: &Keyword, at: &Spanned, value: &Spanned) {
        let cut = match k.apply {
            // Free text may contain whatever it likes.
            Apply::Text(_) => None,
            _ => self.without_comment(value),
        };
        let value = cut.as_ref().unwrap_or(value);
        let text = value.text.as_str();
        match k.apply {
            Apply::Bool(target) => {
                let yes = match text.to_ascii_lowercase().as_str() {
                    "yes" | "y" | "true" => true,
                    "no" | "n" | "false" => false,
                    old @ ("on" | "1" | "off" | "0") => {
                        let yes = matches!(old, "on" | "1");
                        self.warn(value, format!("'{text}' is read as '{}'", if yes { "yes" } else { "no" }));
                        yes
                    }
                    _ => {
                        return self.error(
                            value,
                            format!("{} must be 'yes' or 'no'", at.text),
                            "'yes' or 'no'",
                        );
                    }
                };
                self.put_bool(target, at, yes);
            }
            Apply::Int(target) => self.put_int(target, number(text)),
            Apply::IntFrom(min, words, target) => {
                if number(text) < min {
                    return self.error(value, words.into(), format!("a number, at least {min}"));
                }
                let idle = match target {
                    Target::Idle(why) => Some(why),
                    Target::Speed(..) if self.lac().is_none() => Some("speeds are told by a [lac] only"),
                    _ => None,
                };
                if let Some(why) = idle {
                    self.warn(at, format!("'{}' has no effect: {why}", k.name));
                }
                self.put_int(target, number(text));
            }
            Apply::Text(target) => {
                if text.is_empty() && target == Target::AuthFile {
                    return self.error(value, "no filename specified for authentication".into(), "a path");
                }
                self.put_text(target, at, text);
            }
            Apply::Host(target) => {
                let Some(addr) = range::host(text, self.resolver) else {
                    let want = "an IPv4 address or the name of a host";
                    return self.error(value, format!("set_ip: host '{text}' not found"), want);
                };
                self.put_host(target, at, addr);
            }
            Apply::Range(target) => {
                for piece in self.list(value) {
                    match range::range(k.name, &piece.text, self.resolver) {
                        Ok(range) => self.put_range(target, at, range),
                        Err((old, want)) => self.error(&piece, old, want),
                    }
                }
            }
            Apply::Server => {
                for piece in self.list(value) {
                    self.put_server(&piece);
                }
            }
            Apply::RandSource => {
                if !matches!(text.get(..3), Some("dev" | "sys")) {
                    let want = "'dev' or 'sys'; randomness comes from the kernel in any case";
                    self.error(value, format!("rand source '{text}' is not known"), want);
                }
            }
        }
    }

    /// `yes # because`: `#` starts no comment, but nothing else can be meant where the type is not text.
    fn without_comment(&mut self, value: &Spanned) -> Option<Spanned> {
        let end = value.text.find('#').filter(|n| value.text[..*n].ends_with(|c: char| c <= ' '))?;
        self.warn(value, "'#' starts no comment here; what follows it is not read (write ';')".into());
        Some(Spanned { text: value.text[..end].trim_end().into(), ..*value })
    }

    /// A list with commas, which is more than one line has ever been able to say.
    fn list(&mut self, value: &Spanned) -> Vec<Spanned> {
        if !value.text.contains(',') {
            return vec![value.clone()];
        }
        self.warn(value, "a list: xl2tpd wants one line for each".into());
        let mut column = value.column;
        let mut out = Vec::new();
        for piece in value.text.split(',') {
            let trimmed = piece.trim_start();
            let skipped = piece.chars().count() - trimmed.chars().count();
            if !trimmed.trim().is_empty() {
                let (line, column) = (value.line, column + skipped);
                out.push(Spanned { text: trimmed.trim_end().into(), line, column });
            }
            column += piece.chars().count() + 1;
        }
        out
    }

    fn exclusive(&mut self, at: &Spanned) {
        let old = "'local ip range' and 'local ip' are mutually exclusive".to_string();
        self.error(at, old, "only one of the two in a section");
    }

    fn put_host(&mut self, target: Target, at: &Spanned, addr: Ipv4Addr) {
        match target {
            Target::ListenAddr => self.conf.global.listen_addr = addr,
            Target::LocalIp if self.lns().is_some_and(|l| !l.local_pool.is_empty()) => self.exclusive(at),
            Target::LocalIp => {
                if let Some(c) = self.common() {
                    *c.local_ip = Some(addr);
                }
            }
            _ => {
                if let Some(l) = self.lac() {
                    l.remote_ip = Some(addr);
                }
            }
        }
    }

    fn put_range(&mut self, target: Target, at: &Spanned, range: l2tp_proto::AddrRange) {
        if target == Target::LocalPool && self.lns().is_some_and(|l| l.local_ip.is_some()) {
            return self.exclusive(at);
        }
        let Some(l) = self.lns() else { return };
        match target {
            Target::Pool(allow) => l.pool.push(RangeRule { range, allow }),
            Target::Lac(allow) => l.lac.push(RangeRule { range, allow }),
            _ => l.local_pool.push(RangeRule { range, allow: true }),
        }
    }

    fn put_server(&mut self, piece: &Spanned) {
        let (host, port) = match piece.text.split_once(':') {
            Some((host, port)) => (host.trim(), port.trim().parse().ok().filter(|p| *p != 0)),
            None => (piece.text.as_str(), Some(1701)),
        };
        let fits = !host.is_empty() && !host.contains(|c: char| c <= ' ' || c == '[');
        let Some(port) = port.filter(|_| fits) else {
            let want = "HOST or HOST:PORT, a name or an IPv4 address";
            return self.error(piece, format!("'{}' is no server", piece.text), want);
        };
        let host = host.to_string();
        if let Some(l) = self.lac() {
            l.lns.push(LnsAddress { host, port });
        }
    }

    fn put_bool(&mut self, target: Target, at: &Spanned, yes: bool) {
        let global = &mut self.conf.global;
        match target {
            Target::ListenPlain => global.listen_plain = Some(yes),
            Target::AccessControl => global.access_control = yes,
            Target::ForceUserspace => global.force_userspace = yes,
            Target::DebugAvp => global.debug.avp = yes,
            Target::DebugNetwork => global.debug.network = yes,
            Target::DebugPacket => global.debug.packet = yes,
            Target::DebugState => global.debug.state = yes,
            Target::DebugTunnel => global.debug.tunnel = yes,
            Target::Saref => {
                global.saref = yes;
                if yes {
                    let text = "'ipsec saref' is not needed: clients behind one NAT are told apart by marks";
                    self.warn(at, text.into());
                }
            }
            Target::Idle(why) if yes => self.warn(at, format!("'{}' has no effect: {why}", at.text)),
            Target::RequireAuth if yes && self.lac().is_some() => {
                let text =
                    format!("'{}' in a [lac] asks the server to prove who it is, which few do", at.text);
                self.warn(at, text);
            }
            _ => {}
        }
        if let Some(l) = self.lns()
            && target == Target::AssignIp
        {
            l.no_assign = !yes;
        }
        if let Some(l) = self.lac() {
            match target {
                Target::Autodial => l.autodial = yes,
                Target::Redial => l.redial = yes,
                Target::DefaultRoute => l.defaultroute = yes,
                Target::TieBreaker => l.tie_breaker = yes,
                _ => {}
            }
        }
        let Some(c) = self.common() else { return };
        match target {
            Target::HiddenBit => *c.hidden_bit = yes,
            Target::LengthBit => *c.length_bit = yes,
            Target::Sequencing => *c.sequencing = yes,
            Target::AcceptOutgoing => *c.accept_outgoing = yes,
            Target::Challenge => *c.challenge = yes,
            Target::RequirePap => c.ppp.require_pap = yes,
            Target::RequireChap => c.ppp.require_chap = yes,
            Target::RequireAuth => c.ppp.require_auth = yes,
            Target::RefusePap => c.ppp.refuse_pap = yes,
            Target::RefuseChap => c.ppp.refuse_chap = yes,
            // `no` takes nothing back, as in xl2tpd.
            Target::RefuseAuth if yes => (c.ppp.refuse_pap, c.ppp.refuse_chap) = (true, true),
            Target::Login => c.ppp.login = yes,
            Target::PppDebug => c.ppp.debug = yes,
            Target::PassPeer => c.ppp.pass_peer = yes,
            _ => {}
        }
    }

    /// xl2tpd keeps the old value of its global numbers when the new one is negative, and says nothing.
    fn put_int(&mut self, target: Target, n: i64) {
        let Ok(n) = u32::try_from(n) else { return };
        let size = usize::try_from(n).unwrap_or(usize::MAX);
        let global = &mut self.conf.global;
        match target {
            // As in C: the low 16 bits.
            Target::Port => global.port = (n & 0xffff) as u16,
            // 0 would send nothing at all, which nobody can mean.
            Target::MaxRetries => global.max_retries = n.max(1),
            Target::CapBackoff => global.cap_backoff = n,
            Target::HelloInterval => global.hello_interval = n,
            Target::SarefNumber => global.saref_number = n,
            Target::MaxTunnels => global.limits.tunnels = size,
            Target::MaxCalls => global.limits.calls = size,
            Target::MaxCallsPerTunnel => global.limits.calls_per_tunnel = size,
            Target::MaxHalfOpen => global.limits.half_open = size,
            Target::MaxHalfOpenPerPeer => global.limits.half_open_per_peer = size,
            Target::Window => {
                if let Some(c) = self.common() {
                    *c.window = Some(u16::try_from(n).unwrap_or(u16::MAX));
                }
            }
            _ => {}
        }
        let Some(l) = self.lac() else { return };
        match target {
            Target::RedialTimeout => l.redial_timeout = Duration::from_secs(n.into()),
            Target::MaxRedials => l.max_redials = Some(n),
            Target::Speed(tx, rx) => {
                if tx {
                    l.tx_bps = n;
                }
                if rx {
                    l.rx_bps = n;
                }
            }
            _ => {}
        }
    }

    fn put_text(&mut self, target: Target, at: &Spanned, text: &str) {
        match target {
            Target::Pppd => self.conf.global.pppd = text.into(),
            Target::AuthFile => {
                if text.ends_with("chap-secrets") || text.ends_with("pap-secrets") {
                    let words =
                        "'auth file' is for the secrets of tunnels; users' passwords are read by pppd";
                    self.warn(at, words.into());
                }
                self.conf.global.auth_file = Some(text.into());
            }
            _ => {}
        }
        let Some(c) = self.common() else { return };
        match target {
            Target::Hostname => *c.hostname = Some(text.into()),
            Target::Name => c.ppp.name = Some(text.into()),
            Target::PppOptFile => c.ppp.file = Some(text.into()),
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
