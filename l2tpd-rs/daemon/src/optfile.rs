//! What we need to know of pppd's option files. pppd reads them itself; here they are only looked at.

use std::path::Path;

/// How deep `file` options may lead.
const DEPTH: u32 = 5;
/// The longest file looked at.
const MAX: u64 = 256 * 1024;

/// Options that only a pppd on a tty knows; with the kernel's L2TP it ends with exit status 2 because of them.
const TTY_ONLY: &[&str] = &[
    "lock",
    "nolock",
    "init",
    "connect",
    "disconnect",
    "welcome",
    "pty",
    "notty",
    "socket",
    "record",
    "crtscts",
    "-crtscts",
    "nocrtscts",
    "cdtrcts",
    "-cdtrcts",
    "nocdtrcts",
    "xonxoff",
    "modem",
    "local",
    "sync",
    "datarate",
    "escape",
];

/// What an option file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptFile {
    /// The first option that only a pppd on a tty knows.
    pub tty_only: Option<String>,
    /// `mtu` or `mru` is given.
    pub mtu: bool,
}

impl OptFile {
    /// Looks at a file and those it names. One that cannot be read says nothing: pppd will complain.
    pub fn look(path: &str) -> Self {
        let mut seen = OptFile::default();
        seen.add(Path::new(path), DEPTH);
        seen
    }

    fn add(&mut self, path: &Path, depth: u32) {
        let small = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= MAX);
        let Some(depth) = depth.checked_sub(1).filter(|_| small) else { return };
        let Ok(bytes) = std::fs::read(path) else { return };
        let words = words(&String::from_utf8_lossy(&bytes));
        for (i, w) in words.iter().enumerate() {
            // Speeds and devices are tty options without a name of their own.
            let tty = TTY_ONLY.contains(&w.as_str()) || w.starts_with("/dev/");
            if tty && !i.checked_sub(1).and_then(|i| words.get(i)).is_some_and(|before| takes_value(before)) {
                self.tty_only.get_or_insert_with(|| w.clone());
            }
            self.mtu |= w == "mtu" || w == "mru";
            if let ("file", Some(next)) = (w.as_str(), words.get(i + 1)) {
                self.add(Path::new(next), depth);
            }
        }
    }
}

/// Options whose value could be taken for an option.
fn takes_value(word: &str) -> bool {
    matches!(
        word,
        "name" | "user" | "remotename" | "password" | "ipparam" | "linkname" | "plugin" | "logfile"
    )
}

/// The words of an option file: blanks separate, `#` starts a comment, quotes and backslashes protect (pppd(8)).
pub fn words(text: &str) -> Vec<String> {
    lines(text).into_iter().flatten().collect()
}

/// The words of each line that has any.
pub fn lines(text: &str) -> Vec<Vec<String>> {
    let texts = |line: Vec<Word>| line.into_iter().map(|w| w.text).collect();
    numbered(text).into_iter().map(texts).collect()
}

/// A word of an option file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and backslashes.
    pub text: String,
    /// The line it ends in, from 1.
    pub line: usize,
}

/// As [`lines`], with the place of each word.
pub fn numbered(text: &str) -> Vec<Vec<Word>> {
    let (mut all, mut out, mut word, mut quote) = (Vec::new(), Vec::new(), None::<String>, None);
    let mut line = 1;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => match chars.next() {
                Some('\n') => line += 1,
                Some(next) => word.get_or_insert_default().push(next),
                None => {}
            },
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            ('#', None) if word.is_none() => {
                chars.by_ref().find(|c| *c == '\n');
                line += 1;
                all.push(std::mem::take(&mut out));
            }
            (c, None) if c.is_whitespace() => {
                out.extend(word.take().map(|text| Word { text, line }));
                if c == '\n' {
                    line += 1;
                    all.push(std::mem::take(&mut out));
                }
            }
            (c, _) => {
                line += usize::from(c == '\n');
                word.get_or_insert_default().push(c);
            }
        }
    }
    out.extend(word.map(|text| Word { text, line }));
    all.push(out);
    all.retain(|l| !l.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_as_pppd_reads_them() {
        let w = words("name \"two words\" # comment\nmtu 1400\\\n it\\ is '#' a#b ''\n");
        assert_eq!(w, ["name", "two words", "mtu", "1400", "it is", "#", "a#b", ""]);
    }

    #[test]
    fn words_know_their_lines() {
        let text = "# head\nauth # x\nmtu \\\n 1400 name \"a\nb\"\n\nmru 1300";
        let at: Vec<(String, usize)> =
            numbered(text).into_iter().flatten().map(|w| (w.text, w.line)).collect();
        let want = [("auth", 2), ("mtu", 3), ("1400", 4), ("name", 4), ("a\nb", 5), ("mru", 7), ("1300", 7)];
        assert_eq!(at, want.map(|(t, l)| (t.to_string(), l)));
    }

    #[test]
    fn the_howtos_file_needs_a_tty_and_has_an_mtu() {
        let dir = tempfile::tempdir().unwrap();
        let at = |n: &str| dir.path().join(n).to_string_lossy().into_owned();
        std::fs::write(at("a"), "ipcp-accept-local\ncrtscts\nlock\n").unwrap();
        std::fs::write(at("b"), format!("name lock\nfile {}\nfile {}\nmru 1300\n", at("a"), at("b")))
            .unwrap();
        assert_eq!(OptFile::look(&at("b")), OptFile { tty_only: Some("crtscts".into()), mtu: true });
        std::fs::write(at("c"), "# lock\nname lock noccp").unwrap();
        assert_eq!(OptFile::look(&at("c")), OptFile::default());
        assert_eq!(OptFile::look("/nonexistent"), OptFile::default());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(s in any::<String>(), t in "[\"'\\\\# \na]{0,40}") {
            words(&s);
            words(&t);
        }
    }
}
