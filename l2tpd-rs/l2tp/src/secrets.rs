//! `l2tp-secrets`: the shared secrets for tunnel authentication, as text and as a table.
//!
//! ```text
//!   us      them     secret
//!   *       lac1     swordfish     # '#' and ';' end the line
//! ```
//!
//! xl2tpd's rules: fields end at white space, in the second also at `!`; the secret is the rest of the line; names
//! are compared without case, `*` is any name, the first line that matches wins.

use ipsec_types::SecretBytes;

/// The parsed file.
#[derive(Clone, Debug, Default)]
pub struct SecretTable(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    us: String,
    them: String,
    secret: SecretBytes,
}

fn blank(c: char) -> bool {
    c <= ' '
}

fn field(line: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    let line = line.trim_start_matches(blank);
    let n = line.find(ends).unwrap_or(line.len());
    let (word, rest) = line.split_at(n);
    // The separator itself goes with the word.
    let mut rest = rest.chars();
    rest.next();
    (word, rest.as_str())
}

impl SecretTable {
    /// Parses the file; lines that lack a field are skipped with a warning in xl2tpd's words.
    pub fn parse(text: &str) -> (SecretTable, Vec<String>) {
        let (mut entries, mut warnings) = (Vec::new(), Vec::new());
        for (n, line) in text.lines().enumerate() {
            let line = line.split(['#', ';']).next().unwrap_or("").trim_matches(blank);
            if line.is_empty() {
                continue;
            }
            let (us, rest) = field(line, blank);
            let (them, rest) = field(rest, |c| blank(c) || c == '!');
            let secret = rest.trim_matches(blank);
            let missing = match (them.is_empty(), secret.is_empty()) {
                (true, _) => "nothem",
                (_, true) => "no secret",
                _ => {
                    let secret = SecretBytes::from(secret.as_bytes());
                    entries.push(Entry { us: us.into(), them: them.into(), secret });
                    continue;
                }
            };
            warnings.push(format!("get_secret: Invalid authentication info ({missing}), line {}", n + 1));
        }
        (SecretTable(entries), warnings)
    }

    /// The secret shared by our host name and the peer's, first match.
    pub fn lookup(&self, us: &str, them: &str) -> Option<&SecretBytes> {
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern.eq_ignore_ascii_case(name);
        self.0.iter().find(|e| fits(&e.us, us) && fits(&e.them, them)).map(|e| &e.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn look(t: &SecretTable, us: &str, them: &str) -> Option<String> {
        t.lookup(us, them).map(|s| String::from_utf8_lossy(s.expose()).into_owned())
    }

    #[test]
    fn the_first_matching_line_wins_without_case() {
        let (t, w) = SecretTable::parse("# comment\n*\tLAC1 two words ; x\nvpn lac1 never\r\nVPN * other\n");
        assert!(w.is_empty());
        assert_eq!(look(&t, "vpn", "lac1").as_deref(), Some("two words"));
        assert_eq!(look(&t, "vpn", "lac2").as_deref(), Some("other"));
        assert_eq!(look(&t, "else", "lac2"), None);
    }

    #[test]
    fn an_exclamation_mark_ends_the_second_field() {
        let (t, _) = SecretTable::parse("a b!c\n");
        assert_eq!(look(&t, "a", "b").as_deref(), Some("c"));
    }

    #[test]
    fn short_lines_are_told() {
        let (_, w) = SecretTable::parse("a\n\na b\n");
        assert_eq!(
            w,
            [
                "get_secret: Invalid authentication info (nothem), line 1",
                "get_secret: Invalid authentication info (no secret), line 3"
            ]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(s in "\\PC{0,80}", c in proptest::collection::vec(any::<char>(), 0..40)) {
            let _ = SecretTable::parse(&s);
            let _ = SecretTable::parse(&c.into_iter().collect::<String>());
        }

        #[test]
        fn a_written_line_is_found(us in "[a-z]{1,8}", them in "[a-z]{1,8}", s in "[!-\"$-:<-~]{1,20}") {
            let (t, _) = SecretTable::parse(&format!("{us} {them} {s}\n"));
            prop_assert_eq!(look(&t, &us, &them), Some(s));
        }
    }
}
