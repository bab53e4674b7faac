//! The questions that `pluto` asks the person behind whack while a conn comes up or secrets are read: lines `041 …` (a name)
//! and `040 …` (a password or passphrase, which is not echoed). The answer goes over a connection of its own.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use ipsec_types::SecretBytes;
use ipsec_types::whack::{Request, rc};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::ctl;

/// Octets of an answer.
const MAX_ANSWER: u64 = 1024;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    /// The password of a state: `040 "c" #1: c prompt for Password:`.
    Password(u32),
    /// A user name: `041 "c" #1: c prompt for Username:`.
    User(u32),
    /// The passphrase of a key file: `040 need passphrase for '/etc/ipsec.d/private/a.key'`.
    Passphrase(PathBuf),
}

fn question(line: &str) -> Option<Question> {
    let (code, text) = line.split_once(' ')?;
    let code =
        code.parse().ok().filter(|c| code.len() == 3 && matches!(*c, rc::ENTERSECRET | rc::XAUTHPROMPT))?;
    let begins = ["need passphrase for '", "invalid passphrase for '"];
    if let Some(rest) = begins.iter().find_map(|b| text.strip_prefix(b)) {
        return Some(Question::Passphrase(rest.rsplit_once('\'')?.0.into()));
    }
    // Names of conns hold no blank in front of a number sign.
    let (_, rest) = line.split_once(" #")?;
    let (serial, _) = rest.split_once(':')?;
    let serial = serial.parse().ok()?;
    Some(if code == rc::ENTERSECRET { Question::Password(serial) } else { Question::User(serial) })
}

/// Whether a line asks what nobody is there to answer. Passphrases are typed by a person or not at all: those of scripts stand
/// in `ipsec.secrets`.
pub(crate) fn is_idle(line: &str) -> bool {
    matches!(question(line), Some(Question::Passphrase(_))) && !std::io::stdin().is_terminal()
}

/// Asks the person if `line` is a question, and sends what is typed.
pub(crate) fn answer(base: &Path, line: &str) {
    let Some(question) = question(line) else { return };
    let request = match question {
        Question::Password(serial) => Request::Answer { serial, text: secret("Enter passphrase: ") },
        Question::User(serial) => {
            eprint!("Enter username:   ");
            let _ = std::io::stderr().flush();
            Request::Answer { serial, text: read_line() }
        }
        Question::Passphrase(file) => {
            let text = if is_idle(line) { SecretBytes::default() } else { secret("Enter passphrase: ") };
            Request::Passphrase { file, text }
        }
    };
    if let Err(failure) = ctl::ask(base, &request, false, None, |_| {}) {
        eprintln!("{}", failure.explain(base));
    }
}

/// Asks for a secret, which is not shown on a terminal.
pub(crate) fn secret(prompt: &str) -> SecretBytes {
    // What is typed before the terminal has stopped showing it is thrown away: it must not come between.
    without_echo(|| {
        eprint!("{prompt}");
        let _ = std::io::stderr().flush();
        read_line()
    })
}

fn read_line() -> SecretBytes {
    let mut line = Vec::with_capacity(MAX_ANSWER as usize + 1);
    let stdin = std::io::stdin().lock();
    let _ = std::io::Read::take(stdin, MAX_ANSWER).read_until(b'\n', &mut line);
    while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        line.pop();
    }
    SecretBytes::new(line)
}

/// Reads while the terminal, if it is one, shows nothing of it.
fn without_echo(read: impl FnOnce() -> SecretBytes) -> SecretBytes {
    let stdin = std::io::stdin();
    let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
    if let Some(before) = &before {
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden);
    }
    let text = read();
    if let Some(before) = &before {
        let _ = tcsetattr(&stdin, SetArg::TCSANOW, before);
        eprintln!();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_ask_are_questions() {
        assert_eq!(question("040 \"c\" #1: c prompt for Password:"), Some(Question::Password(1)));
        let user = question("041 \"c\"[2] 192.0.2.1 #17: c prompt for Username:");
        assert_eq!(user, Some(Question::User(17)));
        for (line, file) in [
            ("040 need passphrase for '/a b/it's #1: x.key'", "/a b/it's #1: x.key"),
            ("040 invalid passphrase for 'x.key', please try again", "x.key"),
        ] {
            assert_eq!(question(line), Some(Question::Passphrase(file.into())));
        }
        for line in [
            "002 \"c\" #1: x",
            "040 \"c\": x",
            "040",
            "",
            "040 need passphrase for 'x",
            "0040 need passphrase for 'x'",
            "041 \"c\" #x: y",
            "\u{e9}40 #1: x",
        ] {
            assert_eq!(question(line), None, "{line}");
        }
    }
}
