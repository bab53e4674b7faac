//! The keywords of `xl2tpd.conf`: one table.

use super::apply::{Apply, Target};

/// In which sections a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct In {
    pub(super) global: bool,
    pub(super) lns: bool,
    pub(super) lac: bool,
}

const G: In = In { global: true, lns: false, lac: false };
const N: In = In { global: false, lns: true, lac: false };
const C: In = In { global: false, lns: false, lac: true };
const NC: In = In { global: false, lns: true, lac: true };

/// One row.
pub(super) struct Keyword {
    pub(super) name: &'static str,
    pub(super) sections: In,
    pub(super) apply: Apply,
}

const fn row(name: &'static str, sections: In, apply: Apply) -> Keyword {
    Keyword { name, sections, apply }
}

const RTIMEOUT: &str = "rtimeout value must be at least 1";
const RMAX: &str = "rmax value must be at least 1";
const TUNNEL_RWS: &str = "receive window size for tunnels must be at least 1";
const CALL_RWS: &str = "receive window size must be at least -1";
const BPS: &str = "bps must be greater than zero";
const LIMIT: &str = "a limit must be at least 1";
const NO_WINDOW: &str = "calls have no window in L2TPv2";

/// All keywords. `Idle` ones are read and checked but have no effect; `Idle`'s word says why.
pub(super) const KEYWORDS: &[Keyword] = &[
    row("listen-addr", G, Apply::Host(Target::ListenAddr)),
    row("listen-plain", G, Apply::Bool(Target::ListenPlain)),
    row("port", G, Apply::Int(Target::Port)),
    row("pppd", G, Apply::Text(Target::Pppd)),
    row("auth file", G, Apply::Text(Target::AuthFile)),
    row("access control", G, Apply::Bool(Target::AccessControl)),
    row("rand source", G, Apply::RandSource),
    row("force userspace", G, Apply::Bool(Target::ForceUserspace)),
    row("ipsec saref", G, Apply::Bool(Target::Saref)),
    row("saref refinfo", G, Apply::Int(Target::SarefNumber)),
    row("debug avp", G, Apply::Bool(Target::DebugAvp)),
    row("debug network", G, Apply::Bool(Target::DebugNetwork)),
    row("debug packet", G, Apply::Bool(Target::DebugPacket)),
    row("debug state", G, Apply::Bool(Target::DebugState)),
    row("debug tunnel", G, Apply::Bool(Target::DebugTunnel)),
    row("max retries", G, Apply::Int(Target::MaxRetries)),
    row("cap backoff", G, Apply::Int(Target::CapBackoff)),
    row("hello interval", G, Apply::IntFrom(1, "hello interval must be at least 1", Target::HelloInterval)),
    row("max tunnels", G, Apply::IntFrom(1, LIMIT, Target::MaxTunnels)),
    row("max calls", G, Apply::IntFrom(1, LIMIT, Target::MaxCalls)),
    row("max calls per tunnel", G, Apply::IntFrom(1, LIMIT, Target::MaxCallsPerTunnel)),
    row("max half open", G, Apply::IntFrom(1, LIMIT, Target::MaxHalfOpen)),
    row("max half open per peer", G, Apply::IntFrom(1, LIMIT, Target::MaxHalfOpenPerPeer)),
    row("exclusive", N, Apply::Bool(Target::Idle("it was never enforced"))),
    row("ip range", N, Apply::Range(Target::Pool(true))),
    row("no ip range", N, Apply::Range(Target::Pool(false))),
    row("assign ip", N, Apply::Bool(Target::AssignIp)),
    row("local ip", NC, Apply::Host(Target::LocalIp)),
    row("local ip range", N, Apply::Range(Target::LocalPool)),
    row("lac", N, Apply::Range(Target::Lac(true))),
    row("no lac", N, Apply::Range(Target::Lac(false))),
    row("remote ip", C, Apply::Host(Target::RemoteIp)),
    row("lns", C, Apply::Server),
    row("autodial", C, Apply::Bool(Target::Autodial)),
    row("redial", C, Apply::Bool(Target::Redial)),
    row("redial timeout", C, Apply::IntFrom(1, RTIMEOUT, Target::RedialTimeout)),
    row("max redials", C, Apply::IntFrom(1, RMAX, Target::MaxRedials)),
    row("defaultroute", C, Apply::Bool(Target::DefaultRoute)),
    row("hidden bit", NC, Apply::Bool(Target::HiddenBit)),
    row("length bit", NC, Apply::Bool(Target::LengthBit)),
    row("sequencing", NC, Apply::Bool(Target::Sequencing)),
    row("tie breaker", C, Apply::Bool(Target::TieBreaker)),
    row("accept outgoing", NC, Apply::Bool(Target::AcceptOutgoing)),
    row("challenge", NC, Apply::Bool(Target::Challenge)),
    row("hostname", NC, Apply::Text(Target::Hostname)),
    row("name", NC, Apply::Text(Target::Name)),
    row("require pap", NC, Apply::Bool(Target::RequirePap)),
    row("require chap", NC, Apply::Bool(Target::RequireChap)),
    row("require authentication", NC, Apply::Bool(Target::RequireAuth)),
    row("require auth", NC, Apply::Bool(Target::RequireAuth)),
    row("refuse pap", NC, Apply::Bool(Target::RefusePap)),
    row("refuse chap", NC, Apply::Bool(Target::RefuseChap)),
    row("refuse authentication", NC, Apply::Bool(Target::RefuseAuth)),
    row("refuse auth", NC, Apply::Bool(Target::RefuseAuth)),
    row("unix authentication", N, Apply::Bool(Target::Login)),
    row("unix auth", N, Apply::Bool(Target::Login)),
    row("ppp debug", NC, Apply::Bool(Target::PppDebug)),
    row("pass peer", NC, Apply::Bool(Target::PassPeer)),
    row("pppoptfile", NC, Apply::Text(Target::PppOptFile)),
    row("tunnel rws", NC, Apply::IntFrom(1, TUNNEL_RWS, Target::Window)),
    row("call rws", NC, Apply::IntFrom(-1, CALL_RWS, Target::Idle(NO_WINDOW))),
    row("flow bit", NC, Apply::Bool(Target::Idle(NO_WINDOW))),
    row("tx bps", NC, Apply::IntFrom(1, BPS, Target::Speed(true, false))),
    row("rx bps", NC, Apply::IntFrom(1, BPS, Target::Speed(false, true))),
    row("bps", NC, Apply::IntFrom(1, BPS, Target::Speed(true, true))),
];

/// All keywords, each once.
pub fn names() -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().map(|k| k.name)
}

/// Every keyword, once for each kind of section it may stand in: `global`, `lns` or `lac`.
pub fn places() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYWORDS.iter().flat_map(|k| {
        let In { global, lns, lac } = k.sections;
        [(global, "global"), (lns, "lns"), (lac, "lac")].into_iter().filter(|p| p.0).map(|p| (p.1, k.name))
    })
}

/// Words for pppd that people put here, where xl2tpd has never known them.
const PPPD_WORDS: &[&str] = &[
    "mtu",
    "mru",
    "idle",
    "ms-dns",
    "ms-wins",
    "proxyarp",
    "user",
    "password",
    "require mschap",
    "require-mschap",
    "require-mschap-v2",
    "refuse eap",
    "require eap",
    "noccp",
    "nodefaultroute",
    "usepeerdns",
];

/// Whether a word is an option of pppd that belongs into the `pppoptfile`.
pub(super) fn is_pppds(word: &str) -> bool {
    PPPD_WORDS.iter().any(|w| letters(w) == letters(word))
}

/// The row of a keyword; case does not matter, inner spacing does.
pub(super) fn find(word: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|k| k.name.eq_ignore_ascii_case(word))
}

/// The row of a keyword written with other spacing (`ip  range`, `ip_range`, `listen addr`) or as a plural that
/// xl2tpd's own manual page has (`flow bits`): there is nothing else it could mean.
pub(super) fn find_loosely(word: &str) -> Option<&'static Keyword> {
    let wanted = letters(word);
    let singular = wanted.strip_suffix('s').unwrap_or(&wanted);
    let same = |k: &&Keyword| {
        let name = letters(k.name);
        name == wanted || name == singular
    };
    // Nothing but letters, digits and separators: `# port` is a comment, not a keyword.
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || c <= ' ' || matches!(c, '-' | '_'));
    KEYWORDS.iter().find(same).filter(|_| plain)
}

fn letters(s: &str) -> String {
    s.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The keyword somebody may have meant: at most two edits away.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    if word.len() > 40 {
        return None;
    }
    let wanted = letters(word);
    let distance = |k: &Keyword| (edits(&letters(k.name), &wanted), k.name);
    KEYWORDS.iter().map(distance).min().filter(|(d, _)| *d <= 2 && wanted.len() > 2).map(|(_, name)| name)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, cb) in b.chars().enumerate() {
            let up = row[j + 1];
            row[j + 1] = (diagonal + usize::from(ca != cb)).min(up + 1).min(row[j] + 1);
            diagonal = up;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found() {
        assert_eq!(nearest("ip rang"), Some("ip range"));
        assert_eq!(nearest("something else"), None);
        assert_eq!(find("Require CHAP").map(|k| k.name), Some("require chap"));
        assert_eq!(find_loosely("ip  range").map(|k| k.name), Some("ip range"));
        assert_eq!(find_loosely("IP_range").map(|k| k.name), Some("ip range"));
        assert_eq!(find_loosely("flow bits").map(|k| k.name), Some("flow bit"));
        assert!(find_loosely("# port").is_none() && is_pppds("require-mschap-v2") && is_pppds("MTU"));
    }

    #[test]
    fn no_two_keywords_are_the_same_when_read_loosely() {
        for k in KEYWORDS {
            assert_eq!(find_loosely(k.name).map(|f| f.name), Some(k.name));
        }
    }
}
