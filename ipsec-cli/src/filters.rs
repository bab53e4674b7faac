//! `ipsec _secretcensor` and `ipsec _keycensor`: files or standard input through [`ipsec_cli::censor`].

use std::fs::File;
use std::io::{self, BufReader};

use ipsec_cli::censor::{Kind, filter};

use crate::info;

/// Runs one of them on files or standard input. Exit status 2 for an unknown option.
pub(crate) fn run(command: &str, args: &[String]) -> i32 {
    let kind = if command == "_keycensor" { Kind::Keys } else { Kind::Secrets };
    let files = match args.first().map(String::as_str) {
        Some("--help") => {
            println!("Usage: {command} [file ...]");
            return 0;
        }
        Some("--version") => {
            println!("ipsec {command} {}", info::version_code());
            return 0;
        }
        Some("--") => &args[1..],
        Some(option) if option.starts_with('-') => {
            eprintln!("{command}: unknown option `{option}'");
            return 2;
        }
        _ => args,
    };
    let mut out = io::stdout().lock();
    if files.is_empty() {
        return i32::from(filter(kind, io::stdin().lock(), &mut out).is_err());
    }
    let mut status = 0;
    for file in files {
        let result = File::open(file).and_then(|f| filter(kind, BufReader::new(f), &mut out));
        if let Err(e) = result {
            eprintln!("{command}: {file}: {e}");
            status = 1;
        }
    }
    status
}
