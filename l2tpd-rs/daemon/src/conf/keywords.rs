//! The keywords of `xl2tpd.conf`: one table.

use super::build::{Apply, Target};

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

/// All keywords. `Idle` ones are read and checked but have no effect; `Idle`'s word says why.
pub(super) const KEYWORDS: &[Keyword] = &[
    row("listen-addr", G, Apply::Host(Target::ListenAddr)),
    row("listen-plain", G, Apply::Bool(Target::ListenPlain)),
    row("port", G, Apply::Int(Target::Port)),
    row("pppd", G, Apply::Text(Target::Pppd)),
    row("auth file", G, Apply::Text(Target::AuthFile)),
    row("access control", G, Apply::Bool(Target::AccessControl)),
    row("rand source", G, Apply::RandSource),
    row("force userspace", G, Apply::Bool(Target::Quiet)),
    row("ipsec saref", G, Apply::Bool(Target::Saref)),
    row("saref refinfo", G, Apply::Int(Target::Quiet)),
    row("debug avp", G, Apply::Bool(Target::DebugAvp)),
    row("debug network", G, Apply::Bool(Target::Quiet)),
    row("debug packet", G, Apply::Bool(Target::Quiet)),
    row("debug state", G, Apply::Bool(Target::Quiet)),
    row("debug tunnel", G, Apply::Bool(Target::Quiet)),
    row("max retries", G, Apply::Int(Target::MaxRetries)),
    row("cap backoff", G, Apply::Int(Target::CapBackoff)),
    row("exclusive", N, Apply::Bool(Target::Idle("it was never enforced"))),
    row("ip range", N, Apply::Range(Target::Pool(true))),
    row("no ip range", N, Apply::Range(Target::Pool(false))),
    row("assign ip", N, Apply::Bool(Target::AssignIp)),
    row("local ip", NC, Apply::Host(Target::LocalIp)),
    row("local ip range", N, Apply::Range(Target::LocalPool)),
    row("lac", N, Apply::Range(Target::Lac(true))),
    row("no lac", N, Apply::Range(Target::Lac(false))),
    row("remote ip", C, Apply::Host(Target::Quiet)),
    row("lns", C, Apply::Text(Target::Quiet)),
    row("autodial", C, Apply::Bool(Target::Quiet)),
    row("redial", C, Apply::Bool(Target::Quiet)),
    row("redial timeout", C, Apply::IntFrom(1, "rtimeout value must be at least 1", Target::Quiet)),
    row("max redials", C, Apply::IntFrom(1, "rmax value must be at least 1", Target::Quiet)),
    row("defaultroute", C, Apply::Bool(Target::Quiet)),
    row("hidden bit", NC, Apply::Bool(Target::Idle("no AVP was ever hidden by it"))),
    row("length bit", NC, Apply::Bool(Target::LengthBit)),
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
    row(
        "tunnel rws",
        NC,
        Apply::IntFrom(1, "receive window size for tunnels must be at least 1", Target::Window),
    ),
    row(
        "call rws",
        NC,
        Apply::IntFrom(
            -1,
            "receive window size must be at least -1",
            Target::Idle("calls have no window in L2TPv2"),
        ),
    ),
    row("flow bit", NC, Apply::Bool(Target::Idle("calls have no window in L2TPv2"))),
    row("tx bps", NC, Apply::IntFrom(1, "bps must be greater than zero", Target::Quiet)),
    row("rx bps", NC, Apply::IntFrom(1, "bps must be greater than zero", Target::Quiet)),
    row("bps", NC, Apply::IntFrom(1, "bps must be greater than zero", Target::Quiet)),
];

/// The row of a keyword; case does not matter, inner spacing does.
pub(super) fn find(word: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|k| k.name.eq_ignore_ascii_case(word))
}

/// The keyword somebody may have meant: the same letters, or at most two edits away.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
    if word.len() > 40 {
        return None;
    }
    let letters = |s: &str| -> String {
        s.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
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
        assert_eq!(nearest("ip  range"), Some("ip range"));
        assert_eq!(nearest("ip_range"), Some("ip range"));
        assert_eq!(nearest("flow bits"), Some("flow bit"));
        assert_eq!(nearest("hello interval"), None);
        assert_eq!(find("Require CHAP").map(|k| k.name), Some("require chap"));
    }
}
