//! `xl2tpd-control`: sends one command to the daemon's control FIFO and returns its answer as the exit status.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

const DEFAULT_PIPE: &str = "/var/run/xl2tpd/l2tp-control";
const REPLY_DIR: &str = "/var/run/xl2tpd";
/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Exit statuses besides the answer's own: bad arguments, no daemon, no answer.
const ARGUMENTS: u8 = 255;
const NO_DAEMON: u8 = 254;
const NO_ANSWER: u8 = 253;

/// Command words, those that versions before 1.3.16 had included, and the letters they stand for.
const COMMANDS: &[(&str, char)] = &[
    ("add-lac", 'a'),
    ("connect-lac", 'c'),
    ("disconnect-lac", 'd'),
    ("remove-lac", 'r'),
    ("status-lac", 's'),
    ("add-lns", 'z'),
    ("remove-lns", 'w'),
    ("status-lns", 'y'),
    ("available", 'x'),
    ("add", 'a'),
    ("connect", 'c'),
    ("disconnect", 'd'),
    ("remove", 'r'),
    ("status", 's'),
];

const USAGE: &str = "Usage: xl2tpd-control [-c <PATH>] [-d] <command> <name> [<options>]
  -c PATH   control FIFO of the daemon (default /var/run/xl2tpd/l2tp-control)
  -d        print the answer
Commands: add-lac connect-lac disconnect-lac remove-lac status-lac
          add-lns remove-lns status-lns available
";

/// Joins the arguments of `add-*` as the daemon wants them: `key=value;key=value`.
fn options(words: &[String]) -> String {
    let mut out = String::new();
    for w in words {
        let closed = w.contains('=') && !w.ends_with('=');
        out.push_str(w);
        match (closed, w.ends_with('=')) {
            (true, _) => out.push(';'),
            (_, true) => {}
            _ if ends_value(&out, w) => out.push(';'),
            _ => out.push(' '),
        }
    }
    out.trim_end().to_string()
}

/// Whether `word`, which has no `=`, is the value of the option before it.
fn ends_value(all: &str, word: &str) -> bool {
    all.strip_suffix(word).is_some_and(|before| before.ends_with('='))
}

fn main() -> ExitCode {
    let (mut pipe, mut show) = (DEFAULT_PIPE.to_string(), false);
    let mut argv = std::env::args().skip(1).peekable();
    while let Some(word) = argv.next_if(|w| w.starts_with('-')) {
        match word.as_str() {
            "--help" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            "--version" => {
                println!("Version: xl2tpd-cygnet-{}", env!("CARGO_PKG_VERSION"));
                return ExitCode::SUCCESS;
            }
            "-d" => show = true,
            "-c" => match argv.next() {
                Some(p) => pipe = p,
                None => return usage(),
            },
            _ => return usage(),
        }
    }
    let words: Vec<String> = argv.collect();
    let Some((verb, rest)) = words.split_first() else { return usage() };
    let Some(&(_, letter)) = COMMANDS.iter().find(|(w, _)| w == verb) else {
        eprintln!("xl2tpd-control: error: no such command {verb}");
        return ExitCode::from(ARGUMENTS);
    };
    let argument = match rest.split_first() {
        Some((name, more)) if matches!(letter, 'a' | 'z') => format!("{name} {}", options(more)),
        Some(_) => rest.join(" "),
        None if matches!(letter, 'x' | 's') => String::new(),
        None => {
            eprintln!("xl2tpd-control: error: {verb} needs a name");
            return ExitCode::from(ARGUMENTS);
        }
    };
    ask(&pipe, show, &format!("{letter} {argument}"))
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(ARGUMENTS)
}

fn ask(pipe: &str, show: bool, command: &str) -> ExitCode {
    let reply = format!("{REPLY_DIR}/xl2tpd-control-{}.out", std::process::id());
    let _ = fs::remove_file(&reply);
    let made = fs::create_dir_all(REPLY_DIR).map_err(|e| e.to_string());
    if let Err(e) =
        made.and_then(|()| mkfifo(reply.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).map_err(|e| e.to_string()))
    {
        eprintln!("xl2tpd-control: error: {reply}: {e}");
        return ExitCode::from(NO_DAEMON);
    }
    let answer = exchange(pipe, &reply, command);
    let _ = fs::remove_file(&reply);
    let answer = match answer {
        Ok(a) => a,
        Err(e) => {
            eprintln!("xl2tpd-control: error: {pipe}: {e}");
            return ExitCode::from(NO_DAEMON);
        }
    };
    if show {
        eprint!("xl2tpd-control: command response: {answer}");
    }
    let digits: String = answer.chars().take_while(char::is_ascii_digit).collect();
    ExitCode::from(digits.parse().unwrap_or(NO_ANSWER))
}

/// Opens the answer's end first, so that the daemon finds a reader, then sends and waits.
fn exchange(pipe: &str, reply: &str, command: &str) -> std::io::Result<String> {
    let open = |write: bool, path: &str| {
        OpenOptions::new().read(!write).write(write).custom_flags(libc::O_NONBLOCK).open(path)
    };
    let mut answer = open(false, reply)?;
    open(true, pipe)?.write_all(format!("@{reply} {command}\n").as_bytes())?;
    let (mut text, start) = (Vec::new(), Instant::now());
    let mut buffer = [0; 4096];
    while start.elapsed() < PATIENCE {
        match answer.read(&mut buffer) {
            // Before the daemon opens the FIFO, and after it has closed it.
            Ok(0) if !text.is_empty() => break,
            Ok(n) if n > 0 => text.extend_from_slice(&buffer[..n]),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
