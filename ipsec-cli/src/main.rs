//! The `ipsec` command: one program that is every sub-command.
//!
//! Called by the name of a sub-command (through a link) it is that one; else the first argument says which. A program of that
//! name in the library directory comes before the built-in one. Nothing here starts a shell.

#![forbid(unsafe_code)]

mod addconn;
mod auto;
mod ctl;
mod daemon;
mod info;
mod paths;
mod ranbits;
mod resolve;
mod setup;
mod sockets;
mod verify;
mod whack;

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Built-in commands that get a link each in the library directory.
const COMMANDS: [&str; 8] = ["addconn", "auto", "ranbits", "secrets", "setup", "status", "verify", "whack"];

/// libreswan's verbs, and what they are here.
const ALIASES: [(&str, &[&str]); 19] = [
    ("add", &["auto", "--add"]),
    ("briefstatus", &["whack", "--briefstatus"]),
    ("checkconfig", &["addconn", "--checkconfig"]),
    ("delete", &["auto", "--delete"]),
    ("down", &["auto", "--down"]),
    ("force-reload", &["setup", "force-reload"]),
    ("listen", &["whack", "--listen"]),
    ("ondemand", &["auto", "--route"]),
    ("reload", &["setup", "reload"]),
    ("replace", &["auto", "--replace"]),
    ("rereadall", &["auto", "--rereadall"]),
    ("rereadsecrets", &["auto", "--rereadsecrets"]),
    ("restart", &["setup", "restart"]),
    ("route", &["auto", "--route"]),
    ("start", &["setup", "start"]),
    ("stop", &["setup", "stop"]),
    ("trafficstatus", &["whack", "--trafficstatus"]),
    ("unroute", &["auto", "--unroute"]),
    ("up", &["auto", "--up"]),
];

fn main() {
    let mut args = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_else(|| "ipsec".into());
    let args: Vec<String> = args.collect();
    let name = program.rsplit('/').next().unwrap_or_default();
    let status = match COMMANDS.contains(&name) {
        true => builtin(name, &args).unwrap_or(1),
        false => ipsec(&program, &args),
    };
    std::process::exit(status);
}

/// `ipsec …`.
fn ipsec(program: &str, args: &[String]) -> i32 {
    let Some((first, rest)) = args.split_first() else {
        println!("{}", info::SHORT_USAGE);
        return 0;
    };
    match first.as_str() {
        "--help" => println!("{}", info::help(&COMMANDS)),
        "--version" | "version" => {
            println!("{}", info::version_line());
            println!("See `ipsec --copyright' for copyright information.");
        }
        "--versioncode" => println!("{}", info::version_code()),
        "--copyright" => println!("{}", info::COPYRIGHT),
        "--directory" => println!("{}", paths::libdir().display()),
        "--confdir" => println!("{}", paths::confs().display()),
        "--list-commands" => COMMANDS.iter().for_each(|c| println!("{c}")),
        option if option.starts_with('-') => {
            eprintln!("{program}: unknown option `{option}' (perhaps command name was omitted?)");
            return 1;
        }
        command => return run(program, command, rest),
    }
    0
}

/// A sub-command: the program of that name, or the built-in.
fn run(program: &str, command: &str, args: &[String]) -> i32 {
    if let Some(path) = paths::program(command) {
        let error = Command::new(&path)
            .args(args)
            .env("IPSEC_DIR", paths::libdir())
            .env("IPSEC_LIBDIR", paths::libdir())
            .env("IPSEC_EXECDIR", paths::execdir())
            .env("IPSEC_CONFS", paths::confs())
            .env("IPSEC_VERSION", info::version_code())
            .exec();
        eprintln!("{program}: {}: {error}", path.display());
        return 126;
    }
    builtin(command, args).unwrap_or_else(|| {
        eprintln!("{program}: unknown IPsec command `{command}' (`ipsec --help' for list)");
        1
    })
}

/// A built-in command; `None` when there is none of that name.
fn builtin(command: &str, args: &[String]) -> Option<i32> {
    if let Some((_, to)) = ALIASES.iter().find(|a| a.0 == command) {
        let mut full: Vec<String> = to[1..].iter().map(|s| s.to_string()).collect();
        full.extend(args.iter().cloned());
        return builtin(to[0], &full);
    }
    Some(match command {
        "addconn" => addconn::run(args),
        "auto" => auto::run(args),
        "ranbits" => ranbits::run(args),
        "secrets" => whack::run(&["--rereadsecrets".into()]),
        "setup" => setup::run(args),
        "status" => status(args),
        "verify" => verify::run(args),
        "whack" => whack::run(args),
        _ => return None,
    })
}

/// `ipsec status [NAME]`: the status, or its lines about one conn; 1 when there is none.
fn status(args: &[String]) -> i32 {
    let Some(name) = args.first() else { return whack::run(&["--status".into()]) };
    let base = paths::ctlbase();
    let mut found = false;
    let about = |line: &str| {
        let rest = line.split_once('"').and_then(|(_, r)| r.strip_prefix(name.as_str()));
        rest.is_some_and(|r| r.starts_with('"') || r.starts_with('/'))
    };
    let each = |line: &str| {
        if about(line) {
            found = true;
            println!("{line}");
        }
    };
    match ctl::ask(&base, &ipsec_types::whack::Request::Status, false, None, each) {
        Ok(_) => i32::from(!found),
        Err(_) => whack::run(&["--status".into()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_command_is_built_in() {
        for (alias, to) in ALIASES {
            assert!(COMMANDS.contains(&to[0]) && !COMMANDS.contains(&alias), "{alias}");
        }
    }
}
