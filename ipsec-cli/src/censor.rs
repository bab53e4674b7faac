//! What `ipsec _secretcensor` and `ipsec _keycensor` let through: no secret of `ipsec.secrets` and no key of `ipsec.conf`.
//! What they do not understand they mask. A line at a time; nothing is remembered but where in a record we are.

use std::io::{self, BufRead, Write};

use ipsec_crypto::hash;
use ipsec_types::algo::HashAlg;

/// Longest line that is looked at, in octets; the rest of a longer one is dropped.
const LINE: u64 = 64 << 10;
/// Fields of an RSA key. Their data is never shown; that of the first two would be no secret.
const FIELDS: [&str; 9] = [
    "modulus",
    "publicexponent",
    "privateexponent",
    "prime1",
    "prime2",
    "exponent1",
    "exponent2",
    "coefficient",
    "ckaidnss",
];
/// Kinds of records whose first word is the name of a file.
const FILES: [&str; 7] = ["rsa", "ecdsa", "p12", "pkcs12", "pkcs8", "priv", "ssh"];

/// Which filter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For `ipsec.secrets`.
    Secrets,
    /// For `ipsec.conf`.
    Keys,
}

/// Copies lines, censored.
///
/// # Errors
/// Those of reading and writing.
pub fn filter(kind: Kind, mut from: impl BufRead, to: &mut dyn Write) -> io::Result<()> {
    let mut secrets = Secrets::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if io::Read::take(&mut from, LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < LINE;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        let text = match (is_whole, kind) {
            (false, _) => {
                skip_line(&mut from)?;
                secrets.value = true;
                "[line too long]".to_string()
            }
            (true, Kind::Secrets) => secrets.line(text),
            (true, Kind::Keys) => key_line(text),
        };
        writeln!(to, "{text}")?;
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let some = from.fill_buf()?;
        if some.is_empty() {
            return Ok(());
        }
        let end = some.iter().position(|b| *b == b'\n');
        let n = end.map_or(some.len(), |i| i + 1);
        from.consume(n);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// `[sums to abcd...]`, as `echo HOT | md5sum` gave it.
fn sum(hot: &str) -> String {
    if hot.contains('\'') {
        return "[cannot be summed]".into();
    }
    let sum = hash(HashAlg::Md5, &[hot.as_bytes(), b"\n"]).unwrap_or_default();
    match sum.as_slice() {
        [a, b, ..] => format!("[sums to {a:02x}{b:02x}...]"),
        _ => "[cannot be summed]".into(),
    }
}

/// `[keyid AQNxyz...]` of a public key.
fn keyid(key: &str) -> String {
    let id: String = key.chars().take(9).collect();
    format!("[keyid {id}]")
}

/// Where in a record of `ipsec.secrets` the next line begins.
#[derive(Default)]
struct Secrets {
    /// A secret may come.
    value: bool,
    /// The name of a file may come first.
    file: bool,
}

impl Secrets {
    fn line(&mut self, text: &str) -> String {
        let body = text.trim_start_matches([' ', '\t']);
        let is_indented = body.len() < text.len();
        if body.is_empty() {
            return text.into();
        }
        if let Some((cold, hot)) = text.split_once("#pubkey=").filter(|(c, _)| c.trim().is_empty()) {
            let masked = hot.strip_prefix("0s").map_or_else(|| sum(hot), keyid);
            return format!("{cold}#pubkey={masked}");
        }
        if body.starts_with("#IN KEY ") {
            let (cold, hot) = text.rsplit_once([' ', '\t']).unwrap_or((text, ""));
            return format!("{cold} {}", keyid(hot));
        }
        // A comment may hold what was a record once.
        if let Some(comment) = body.strip_prefix('#') {
            let has_kind = |w: &str| w.rsplit_once(':').is_some_and(|(_, k)| k.is_empty() || is_kind(k));
            let quoted = comment.contains(['"', '\'', '`']) || comment.split_whitespace().any(has_kind);
            let masked =
                if quoted { Secrets { value: true, file: false }.words(comment) } else { comment.into() };
            return format!("{}#{masked}", &text[..text.len() - body.len()]);
        }
        if !is_indented {
            *self = Secrets::default();
        }
        if body.split_whitespace().next().is_some_and(|w| w.eq_ignore_ascii_case("include")) && !is_indented {
            return text.into();
        }
        let field = body.split([':', ' ', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        if is_indented && FIELDS.contains(&field.as_str()) && body.len() > field.len() {
            let rest = &body[field.len()..];
            let blank = rest.len() - rest.trim_start_matches([':', ' ', '\t']).len();
            let end = text.len() - rest.len() + blank;
            return if end == text.len() { text.into() } else { format!("{}[...]", &text[..end]) };
        }
        self.words(text)
    }

    /// Masks word by word: every quoted one, and whatever comes where a secret may stand.
    fn words(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            out.push_str(&rest[..blank]);
            rest = &rest[blank..];
            let Some(first) = rest.chars().next() else { break };
            if matches!(first, '"' | '\'' | '`') {
                let inner = &rest[1..];
                // Without its end, all of the line may be the secret.
                let (hot, after, end) = match inner.find(first) {
                    Some(i) => (&inner[..i], &inner[i + 1..], first.to_string()),
                    None => (inner, "", String::new()),
                };
                out.push_str(&format!("{first}{}{end}", sum(hot)));
                // One quoted word before a colon is an index; nothing is lost by masking it.
                rest = after;
                self.file = false;
                continue;
            }
            let end = rest.find([' ', '\t']).unwrap_or(rest.len());
            let word = &rest[..end];
            if self.value && rest.starts_with("0t") {
                out.push_str(&sum(rest));
                return out;
            }
            out.push_str(&self.word(word));
            rest = &rest[end..];
        }
        out
    }

    fn word(&mut self, word: &str) -> String {
        if matches!(word, "{" | "}") {
            return word.into();
        }
        // `:PSK`, `a:PSK`: the colon belongs to the word behind it.
        let (index, kind) = match word.rsplit_once(':') {
            Some((index, kind)) if !self.value => (format!("{index}:"), kind),
            _ if self.value => (String::new(), word),
            _ => return if is_data(word) { sum(word) } else { word.into() },
        };
        let known = kind.is_empty() || is_kind(kind);
        if !self.value || is_kind(kind) {
            self.value = true;
            self.file = FILES.contains(&kind.to_ascii_lowercase().as_str());
            return if known { format!("{index}{kind}") } else { format!("{index}{}", sum(kind)) };
        }
        if std::mem::take(&mut self.file) && !is_data(word) {
            return word.into();
        }
        if word == "%prompt" || word.starts_with("%smartcard") {
            return word.into();
        }
        sum(word)
    }
}

/// Whether a word says what kind of secret follows.
fn is_kind(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    FILES.contains(&word.as_str())
        || matches!(word.as_str(), "psk" | "xauth" | "pin" | "eap" | "ntlm" | "bliss")
}

/// Whether a word looks like data rather than a name.
fn is_data(word: &str) -> bool {
    matches!(word.as_bytes(), [b'0', b'x' | b's' | b't' | b'X' | b'S' | b'T', ..]) && !word.contains('.')
}

/// A line of `ipsec.conf`: the value of `leftrsasigkey=` and its kin. Names that start with `%` are no keys.
fn key_line(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let blank = |c: char| c.is_whitespace() || c.is_control();
    for (at, _) in lower.match_indices("key") {
        let before = &lower[..at];
        let is_secret = ["enc", "auth", "ah", "manual"].iter().any(|w| before.ends_with(w));
        let is_key = is_secret || ["sig", "pub", "pubkey"].iter().any(|w| before.ends_with(w));
        let numbered = lower[at + 3..].trim_start_matches(|c: char| c.is_ascii_digit());
        let rest = numbered.trim_start_matches(blank);
        if !is_key || !rest.starts_with('=') {
            continue;
        }
        let value_at = text.len() - rest.len() + 1;
        let value = text[value_at..].trim_start_matches(blank);
        let cold = &text[..text.len() - value.len()];
        let hot = match value.find(blank) {
            Some(i) if value[i..].trim_start_matches(blank).starts_with('#') => &value[..i],
            _ => value.trim_end_matches(blank),
        };
        if hot.is_empty() || hot.starts_with('%') || hot.starts_with('#') {
            return text.into();
        }
        let masked = match hot.strip_prefix("0s") {
            _ if hot.contains('\'') => "[cannot be condensed]".into(),
            // The beginning of a public key is a name for it, that of a secret one is a part of the secret.
            Some(key) if !is_secret => keyid(key),
            _ => sum(hot),
        };
        return format!("{cold}{masked}");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn censored(kind: Kind, text: &[u8]) -> String {
        let mut out = Vec::new();
        filter(kind, text, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn secrets_are_masked_as_ever() {
        // `echo hunter2 | md5sum` begins with 6a0f.
        for (line, want) in [
            ("1.2.3.4 %any : PSK \"hunter2\"", "1.2.3.4 %any : PSK \"[sums to 6a0f...]\""),
            (": PSK 0x68756e746572", ": PSK [sums to 0c73...]"),
            ("\t#pubkey=0sAQNxyzabcdefgh", "\t#pubkey=[keyid AQNxyzabc]"),
            ("\t#IN KEY 0x4200 4 1 AQNxyzabcdefgh", "\t#IN KEY 0x4200 4 1 [keyid AQNxyzabc]"),
            ("\tPrivateExponent: 0x1234", "\tPrivateExponent: [...]"),
            ("\tModulus 0s1234", "\tModulus [...]"),
            (": RSA\t{", ": RSA\t{"),
            ("\t}", "\t}"),
            (": RSA key.pem \"it's\"", ": RSA key.pem \"[cannot be summed]\""),
            (": RSA key.pem %prompt", ": RSA key.pem %prompt"),
            ("include /etc/ipsec.d/*.secrets", "include /etc/ipsec.d/*.secrets"),
            ("# a comment", "# a comment"),
            (
                "\t# RSA 1024 bits   host   Sun Nov  1 13:05:09 2026",
                "\t# RSA 1024 bits   host   Sun Nov  1 13:05:09 2026",
            ),
            ("", ""),
        ] {
            assert_eq!(censored(Kind::Secrets, line.as_bytes()).trim_end_matches('\n'), want);
        }
    }

    #[test]
    fn no_form_of_a_secret_gets_through() {
        for text in [
            ": PSK \"TOPSECRET",
            ": PSK 'TOPSECRET'",
            ": PSK `TOPSECRET",
            ": PSK TOPSECRET",
            ":PSK TOPSECRET",
            "a b:PSK TOPSECRET",
            ": psk 0tTOPSECRET # TOPSECRET",
            ": PSK\n\tTOPSECRET",
            ": PSK\n\n# comment\n \"TOPSECRET",
            "@joe : XAUTH TOPSECRET",
            ": RSA key.pem TOPSECRET",
            ": RSA \"key.pem\" TOPSECRET",
            ": P12 f.p12 'TOPSECRET'",
            ": PIN %smartcard TOPSECRET",
            ": EAP TOPSECRET",
            "a \"TOPSECRET\"",
            "a 'x' \"y\" 'TOPSECRET'",
            ": TOPSECRET",
            "# a : PSK \"TOPSECRET\"",
            "#a : PSK TOPSECRET",
            ": UNKNOWN TOPSECRET",
            ": RSA {\n\tPrime1: 0xTOPSECRET\n\tPRIME2 0xTOPSECRET\n\tExponent1:0xTOPSECRET\n\tCoefficient:\n\t 0xTOPSECRET\n\t}",
            "\t0xTOPSECRET",
            ": PSK \"a\"\"TOPSECRET\"",
        ] {
            let out = censored(Kind::Secrets, text.as_bytes());
            assert!(!out.contains("TOPSECRET"), "{text}\n{out}");
        }
        let long = format!(": PSK \"{}TOPSECRET\"\n\tTOPSECRET\nb : PSK \"x\"\n", "x".repeat(1 << 20));
        let out = censored(Kind::Secrets, long.as_bytes());
        assert!(
            !out.contains("TOPSECRET") && out.len() < 200 && out.starts_with("[line too long]\n"),
            "{out}"
        );
    }

    #[test]
    fn keys_of_ipsec_conf_are_condensed() {
        for (line, want) in [
            ("\tleftrsasigkey=0sAQNxyzabcdefgh", "\tleftrsasigkey=[keyid AQNxyzabc]"),
            ("\tleftrsasigkey = 0sAQNxyzabcdefgh # mine", "\tleftrsasigkey = [keyid AQNxyzabc]"),
            ("\tleftrsasigkey=%cert", "\tleftrsasigkey=%cert"),
            ("\tespenckey=0x1234", "\tespenckey=[sums to 4532...]"),
            ("\tespauthkey=0sAQNxyzabcdefgh", "\tespauthkey=[sums to aec1...]"),
            ("\tahkey=0x1234", "\tahkey=[sums to 4532...]"),
            ("\tleftmanualkey=0x1234", "\tleftmanualkey=[sums to 4532...]"),
            ("\tleftrsasigkey2=0sAQNxyzabcdefgh", "\tleftrsasigkey2=[keyid AQNxyzabc]"),
            ("\tespenckey\r=\u{b}0x1234", "\tespenckey\r=\u{b}[sums to 4532...]"),
            ("\tkeylife=8h", "\tkeylife=8h"),
            ("\tleftrsasigkey='x", "\tleftrsasigkey=[cannot be condensed]"),
        ] {
            assert_eq!(censored(Kind::Keys, line.as_bytes()), format!("{want}\n"));
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_or_follows_a_kind_is_masked(
            index in "[a-z0-9.@%]{0,8}", kind in "(PSK|psk|XAUTH|PIN|EAP)", quote in "[\"'`]?", noise in "\\PC{0,10}",
            glue in "[ \t]{1,3}",
        ) {
            let text = format!("{index} : {kind}{glue}{quote}TOPSECRET{noise}{quote}\n");
            prop_assert!(!censored(Kind::Secrets, text.as_bytes()).contains("TOPSECRET"));
        }

        #[test]
        fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            censored(Kind::Secrets, &octets);
            censored(Kind::Keys, &octets);
        }
    }
}
