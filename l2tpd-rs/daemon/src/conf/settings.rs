//! Where in the file each setting stands, for whoever explains one after the file has been read.

use super::keywords;
use super::parse::{Line, lines};

/// A line `keyword = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `global`, `lns` or `lac`, in lower case; empty before the first section.
    pub kind: String,
    /// The section's name; `default` for `[lns default]`.
    pub name: String,
    /// The keyword, as the table has it.
    pub keyword: &'static str,
    /// As written.
    pub value: String,
    /// From 1.
    pub line: usize,
}

/// The settings of a file, in its order; lines that are none are left out.
pub fn settings(text: &str) -> Vec<Setting> {
    let (mut kind, mut name) = (String::new(), String::new());
    let mut out = Vec::new();
    for line in lines(text).unwrap_or_default() {
        match line {
            Line::Section { kind: k, name: n } => {
                // `[ global ]` is split at its first blank.
                let (k, n) = match (k.text.as_str(), n.trim().split_once(' ')) {
                    ("", Some((k, n))) => (k.to_string(), n.trim().to_string()),
                    ("", None) => (n.trim().to_string(), String::new()),
                    (k, _) => (k.to_string(), n),
                };
                kind = k.to_ascii_lowercase();
                name = if n.eq_ignore_ascii_case("default") { "default".into() } else { n };
            }
            Line::Option { keyword, value } => {
                let found = keywords::find(&keyword.text).or_else(|| keywords::find_loosely(&keyword.text));
                out.extend(found.map(|k| Setting {
                    kind: kind.clone(),
                    name: name.clone(),
                    keyword: k.name,
                    value: value.text,
                    line: keyword.line,
                }));
            }
            Line::Unclosed(_) | Line::NoEquals(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_has_its_settings(s in any::<String>(), t in "(\\[|\\]|=|;| |lns|global|port|ip range|\n|a|-){0,40}") {
            settings(&s);
            prop_assert!(settings(&t).iter().all(|s| s.line <= t.split('\n').count()));
        }
    }

    #[test]
    fn each_setting_is_found() {
        let text = "; head\n[ global ]\nport = 1702\n[LNS Default]\nip_range = 10.0.0.2-9\n# no = comment\n[lac x]\nlns = a";
        let found: Vec<_> = settings(text);
        let short: Vec<String> =
            found.iter().map(|s| format!("{} {} {} {}", s.line, s.kind, s.name, s.keyword)).collect();
        assert_eq!(short, ["3 global  port", "5 lns default ip range", "8 lac x lns"]);
        assert_eq!(found[1].value, "10.0.0.2-9");
    }
}
