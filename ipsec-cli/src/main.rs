//! The `ipsec` command: one program that is every sub-command.
//!
//! Called by the name of a sub-command (through a link) it is that one; else the first argument says which. A program of that
//! name in the library directory comes before the built-in one. Nothing here starts a shell.

#![forbid(unsafe_code)]

mod addconn;
mod algparse;
mod auto;
mod barf;
mod check;
mod ctl;
mod daemon;
mod filters;
mod gone;
mod ikeping;
mod include;
mod info;
mod keys;
mod klips;
mod look;
mod old;
mod paths;
mod policy;
mod prompt;
mod ranbits;
mod readwriteconf;
mod reload;
mod resolve;
mod setup;
mod show;
mod showroute;
mod sockets;
mod updown;
mod verify;
mod whack;
mod whack_conn;

use std::os::unix::process::CommandExt;
use std::process::Command;

use ipsec_cli::{censor, firewall, xfrm};

/// Built-in commands that get a link each in the library directory.
const COMMANDS: [&str; 63] = [
    "_copyright",
    "_include",
    "_keycensor",
    "_plutoload",
    "_plutorun",
    "_realsetup",
    "_secretcensor",
    "_startklips",
    "_startnetkey",
    "_updown",
    "_updown.bsdkame",
    "_updown.klips",
    "_updown.mast",
    "_updown.netkey",
    "addconn",
    "algparse",
    "auto",
    "barf",
    "briefstatus",
    "cavp",
    "certutil",
    "check",
    "checknss",
    "connectionstatus",
    "crlutil",
    "ecdsasigkey",
    "eddsasigkey",
    "eroute",
    "fipsstatus",
    "globalstatus",
    "ikeping",
    "import",
    "initnss",
    "klipsdebug",
    "letsencrypt",
    "livetest",
    "look",
    "mailkey",
    "manual",
    "modutil",
    "newhostkey",
    "pf_key",
    "pk12util",
    "policy",
    "ranbits",
    "readwriteconf",
    "rsasigkey",
    "secrets",
    "setup",
    "showdefaults",
    "showhostkey",
    "showpolicy",
    "showroute",
    "showstates",
    "shuntstatus",
    "spi",
    "spigrp",
    "status",
    "tncfg",
    "trafficstatus",
    "verify",
    "vfychain",
    "whack",
];

/// libreswan's verbs, and what they are here.
const ALIASES: [(&str, &[&str]); 39] = [
    ("add", &["auto", "--add"]),
    ("checkconfig", &["addconn", "--checkconfig"]),
    ("checkpubkeys", &["auto", "--checkpubkeys"]),
    ("delete", &["auto", "--delete"]),
    ("down", &["auto", "--down"]),
    ("fetchcrls", &["whack", "--fetchcrls"]),
    ("force-reload", &["setup", "force-reload"]),
    ("listaacerts", &["auto", "--listaacerts"]),
    ("listacerts", &["auto", "--listacerts"]),
    ("listall", &["auto", "--listall"]),
    ("listcacerts", &["auto", "--listcacerts"]),
    ("listcerts", &["auto", "--listcerts"]),
    ("listcrls", &["auto", "--listcrls"]),
    ("listen", &["whack", "--listen"]),
    ("listgroups", &["auto", "--listgroups"]),
    ("listocsp", &["auto", "--listocsp"]),
    ("listocspcerts", &["auto", "--listocspcerts"]),
    ("listpsks", &["auto", "--listpsks"]),
    ("listpubkeys", &["auto", "--listpubkeys"]),
    ("ondemand", &["auto", "--route"]),
    ("purgeocsp", &["auto", "--purgeocsp"]),
    ("reload", &["setup", "reload"]),
    ("replace", &["auto", "--replace"]),
    ("rereadaacerts", &["auto", "--rereadaacerts"]),
    ("rereadacerts", &["auto", "--rereadacerts"]),
    ("rereadall", &["auto", "--rereadall"]),
    ("rereadcacerts", &["auto", "--rereadcacerts"]),
    ("rereadcerts", &["auto", "--rereadcacerts"]),
    ("rereadcrls", &["auto", "--rereadcrls"]),
    ("rereadgroups", &["auto", "--rereadgroups"]),
    ("rereadocspcerts", &["auto", "--rereadocspcerts"]),
    ("rereadsecrets", &["auto", "--rereadsecrets"]),
    ("restart", &["setup", "restart"]),
    ("route", &["auto", "--route"]),
    ("start", &["setup", "start"]),
    ("stop", &["setup", "stop"]),
    ("unlisten", &["whack", "--unlisten"]),
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
            println!("{}", info::STANDS_IN);
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
            .env("IPSEC_SBINDIR", paths::sbindir())
            .env("IPSEC_VERSION", info::version_code())
            .env(
                "PATH",
                format!("{}:/sbin:/usr/sbin:/usr/local/bin:/bin:/usr/bin", paths::sbindir().display()),
            )
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
        "check" => check::run(args),
        "ranbits" => ranbits::run(args),
        "readwriteconf" => readwriteconf::run(args),
        "secrets" => whack::run(&["--rereadsecrets".into()]),
        "setup" => setup::run(args),
        "algparse" => algparse::run(args),
        "showdefaults" => algparse::show_defaults(args),
        "fipsstatus" => info::fips_status(),
        "status" | "briefstatus" | "connectionstatus" | "globalstatus" | "showstates" | "shuntstatus"
        | "trafficstatus" => show::run(command, args),
        "_updown" | "_updown.bsdkame" | "_updown.klips" | "_updown.mast" | "_updown.netkey" => {
            updown::run(args)
        }
        "_copyright" | "_plutoload" | "_plutorun" | "_realsetup" | "_startklips" | "_startnetkey" => {
            old::run(command, args)
        }
        "_include" => include::run(args),
        "_keycensor" | "_secretcensor" => filters::run(command, args),
        "barf" => barf::run(args),
        "look" => look::run(args),
        "ikeping" => ikeping::run(args),
        "rsasigkey" => keys::rsasigkey::run(args),
        "newhostkey" => keys::newhostkey::run(args),
        "showhostkey" => keys::showhostkey::run(args),
        "import" => keys::import::run(args),
        "policy" => policy::run(args),
        "showpolicy" => policy::show(args),
        "showroute" => showroute::run(args),
        "eroute" | "klipsdebug" | "pf_key" | "spi" | "spigrp" | "tncfg" => klips::run(command, args),
        "manual" => klips::manual(),
        "livetest" => gone::livetest(args),
        "mailkey" => gone::mailkey(args),
        "initnss" | "checknss" => gone::nss(command, args),
        "verify" => verify::run(args),
        "whack" => whack::run(args),
        other if gone::POLITE.iter().any(|p| p.0 == other) => gone::polite(other),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_command_is_built_in() {
        let source = include_str!("main.rs");
        for command in COMMANDS {
            let named = source.matches(&format!("\"{command}\"")).count() > 1;
            assert!(named || gone::POLITE.iter().any(|p| p.0 == command), "{command}");
        }
        for (alias, to) in ALIASES {
            assert!(COMMANDS.contains(&to[0]) && !COMMANDS.contains(&alias), "{alias}");
        }
    }
}
