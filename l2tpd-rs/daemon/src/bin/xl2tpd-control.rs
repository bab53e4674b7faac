//! `xl2tpd-control`: sends one command to the daemon's control FIFO and returns its answer as the exit status.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The FIFO, and that of a daemon that was started as `l2tpd`.
const DEFAULT_PIPES: [&str; 2] = ["/var/run/xl2tpd/l2tp-control", "/var/run/l2tp-control"];
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
    ("show", 'i'),
    ("kick", 'k'),
];

const USAGE: &str = "Usage: xl2tpd-control [-c <PATH>] [-d] <command> <name> [<options>]
  -c PATH   control FIFO of the daemon (default /var/run/xl2tpd/l2tp-control)
  -d        print the answer
Commands: add-lac connect-lac disconnect-lac remove-lac status-lac
          add-lns remove-lns status-lns available
          status --json        everything there is, in one line of JSON
          show tunnels|calls|pool|counters
          kick <user>|<call>   end calls
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
    let (mut pipe, mut show) = (default_pipe().to_string(), false);
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
    // What is asked for to be seen is printed; xl2tpd's own tool prints nothing without -d.
    let (letter, print) = match (letter, rest) {
        ('s', [word]) if word == "--json" => return ask(&pipe, Show::Body, "j"),
        ('s', _) => ('s', Show::Whole),
        ('i', _) => ('i', Show::Body),
        (other, _) => (other, if show { Show::Whole } else { Show::Nothing }),
    };
    let print = if show { Show::Debug } else { print };
    let argument = match rest.split_first() {
        Some((name, more)) if matches!(letter, 'a' | 'z') => format!("{name} {}", options(more)),
        Some(_) => rest.join(" "),
        None if matches!(letter, 'x' | 's') => String::new(),
        None => {
            eprintln!("xl2tpd-control: error: {verb} needs a name");
            return ExitCode::from(ARGUMENTS);
        }
    };
    ask(&pipe, print, &format!("{letter} {argument}"))
}

fn default_pipe() -> &'static str {
    let there = DEFAULT_PIPES.into_iter().find(|p| fs::exists(p).unwrap_or(false));
    there.unwrap_or(DEFAULT_PIPES[0])
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(ARGUMENTS)
}

/// Where an answer is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Nothing,
    /// `-d`: standard error.
    Debug,
    /// Standard output.
    Whole,
    /// Standard output, without its first line when that is `00 OK`.
    Body,
}

fn ask(pipe: &str, show: Show, command: &str) -> ExitCode {
    let reply = format!("{REPLY_DIR}/xl2tpd-control-{}.out", std::process::id());
    let answer = exchange(pipe, &reply, command);
    let _ = fs::remove_file(&reply);
    let answer = match answer {
        Ok(a) => a,
        Err(e) => {
            eprintln!("xl2tpd-control: error: {pipe}: {e}");
            return ExitCode::from(NO_DAEMON);
        }
    };
    match show {
        Show::Debug => eprint!("xl2tpd-control: command response: {answer}"),
        Show::Whole => print!("{answer}"),
        Show::Body => print!("{}", answer.strip_prefix("00 OK\n").unwrap_or(&answer)),
        Show::Nothing => {}
    }
    let digits: String = answer.chars().take_while(char::is_ascii_digit).collect();
    ExitCode::from(digits.parse().unwrap_or(NO_ANSWER))
}

/// Sends the command and waits for the answer. It comes in a plain file, which holds answers of any length and makes
/// nobody wait for a reader; the daemon removes its name when it is whole.
fn exchange(pipe: &str, reply: &str, command: &str) -> std::io::Result<String> {
    let mut pipe = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(pipe)?;
    fs::create_dir_all(REPLY_DIR)?;
    let _ = fs::remove_file(reply);
    let mut answer = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(reply)?;
    // No newline: to xl2tpd's daemons the write is the command.
    pipe.write_all(format!("@{reply} {command}").as_bytes())?;
    drop(pipe);
    let start = Instant::now();
    while answer.metadata()?.nlink() > 0 && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut text = Vec::new();
    answer.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
