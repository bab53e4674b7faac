//! The questions that `pluto` asks the person behind whack while a conn comes up: lines `041 …` (a name) and `040 …` (a
//! password, which is not echoed). The answer goes over a connection of its own.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use ipsec_types::SecretBytes;
use ipsec_types::whack::{Request, rc};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

use crate::ctl;

/// Octets of an answer.
const MAX_ANSWER: u64 = 1024;

/// The code and the state's number of a line that asks: `040 "c" #1: c prompt for Password:`.
fn question(line: &str) -> Option<(u8, u32)> {
    let code = line.get(..3)?.parse().ok().filter(|c| matches!(*c, rc::ENTERSECRET | rc::XAUTHPROMPT))?;
    // Names of conns hold no blank in front of a number sign.
    let (_, rest) = line.split_once(" #")?;
    let (serial, _) = rest.split_once(':')?;
    Some((code, serial.parse().ok()?))
}

/// Asks the person if `line` is a question, and sends what is typed.
pub(crate) fn answer(base: &Path, line: &str) {
    let Some((code, serial)) = question(line) else { return };
    let prompt = if code == rc::ENTERSECRET { "Enter passphrase: " } else { "Enter username:   " };
    eprint!("{prompt}");
    let _ = std::io::stderr().flush();
    let text = match code {
        rc::ENTERSECRET => without_echo(read_line),
        _ => read_line(),
    };
    if let Err(failure) = ctl::ask(base, &Request::Answer { serial, text }, false, None, |_| {}) {
        eprintln!("{}", failure.explain(base));
    }
}

/// Asks for a secret, which is not shown on a terminal.
pub(crate) fn secret(prompt: &str) -> SecretBytes {
    eprint!("{prompt}");
    let _ = std::io::stderr().flush();
    without_echo(read_line)
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
        assert_eq!(question("040 \"c\" #1: c prompt for Password:"), Some((40, 1)));
        assert_eq!(question("041 \"c\"[2] 192.0.2.1 #17: c prompt for Username:"), Some((41, 17)));
        for line in ["002 \"c\" #1: x", "040 \"c\": x", "040", "", "041 \"c\" #x: y", "\u{e9}40 #1: x"] {
            assert_eq!(question(line), None, "{line}");
        }
    }
}
