//! The helpers of old init scripts, callable as ever: `_plutorun`, `_plutoload`, `_startnetkey`, `_startklips`,
//! `_realsetup`, `_copyright`. What they did in pieces `ipsec setup` does in one.

use std::fs::OpenOptions;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use ipsec_conf::{Config, SetupSection};

use crate::paths::with_ending;
use crate::{addconn, daemon, info, paths, resolve, setup};

/// Longest line of `pluto` that is read, in octets.
const LINE: u64 = 4096;

/// Runs one of them.
pub(crate) fn run(command: &str, args: &[String]) -> i32 {
    match command {
        "_copyright" => {
            println!("{}", info::COPYRIGHT);
            0
        }
        "_realsetup" => setup::run(args),
        "_plutorun" => plutorun(args),
        "_plutoload" => plutoload(args),
        "_startnetkey" | "_startklips" => start_stack(command, args),
        _ => 1,
    }
}

/// Options with their values, up to the first word that is none.
///
/// # Errors
/// The option that is not known, or has no value.
fn options(args: &[String], flags: &[&str], valued: &[&str]) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let name = arg.strip_prefix("--").unwrap_or_default();
        match arg.as_str() {
            "--" => break,
            _ if flags.contains(&name) => found.push((name.to_string(), String::new())),
            _ if valued.contains(&name) => match args.next() {
                Some(value) => found.push((name.to_string(), value.clone())),
                None => return Err(arg.clone()),
            },
            _ if arg.starts_with('-') => return Err(arg.clone()),
            _ => break,
        }
    }
    Ok(found)
}

fn unknown(command: &str, option: &str) -> i32 {
    eprintln!("ipsec {command}: unknown option `{option}'");
    2
}

const RUN_FLAGS: [&str; 3] = ["re", "show", "showonly"];
const RUN_VALUES: [&str; 24] = [
    "plutorestartoncrash",
    "debug",
    "protostack",
    "uniqueids",
    "nat_traversal",
    "keep_alive",
    "force_keepalive",
    "disable_port_floating",
    "virtual_private",
    "listen",
    "nocrsend",
    "strictcrlpolicy",
    "crlcheckinterval",
    "force_busy",
    "ocspuri",
    "dump",
    "opts",
    "stderrlog",
    "plutostderrlogtime",
    "wait",
    "pre",
    "post",
    "log",
    "pid",
];

/// `ipsec _plutorun`: starts the daemon with these options on top of the file, and loads the conns.
fn plutorun(args: &[String]) -> i32 {
    let valued: Vec<&str> = RUN_VALUES.iter().copied().chain(["nhelpers", "secctx_attr_value"]).collect();
    let given = match options(args, &RUN_FLAGS, &valued) {
        Ok(given) => given,
        Err(option) => return unknown("_plutorun", &option),
    };
    let path = paths::config();
    let mut config = match ipsec_conf::load(&path) {
        Ok(config) => config,
        Err(errors) => {
            eprint!("{}", addconn::explain(&path, &errors));
            return 3;
        }
    };
    let base = paths::ctlbase();
    let mut pid = with_ending(&base, ".pid");
    for (name, value) in &given {
        if name == "pid" {
            pid = value.into();
        } else if let Err(why) = apply(&mut config.setup, name, value) {
            println!("{why}");
        }
    }
    if given.iter().any(|(name, _)| name == "showonly") {
        let program = daemon::pluto().unwrap_or_else(|| PathBuf::from("pluto"));
        println!("{} --nofork {}", program.display(), daemon::arguments(&config.setup, &base).join(" "));
        return 0;
    }
    if pid.is_file() {
        println!("pluto appears to be running already (`{}' exists), will not start another", pid.display());
        return 1;
    }
    setup::launch(&config, &base)
}

/// Puts one option over what the file says; the error is a line for the user, who goes on.
fn apply(s: &mut SetupSection, name: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    let words = || value.split_whitespace().map(str::to_string).collect::<Vec<String>>();
    let yes = || match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("unknown {name} value (not yes/no) `{value}'")),
    };
    let bad = || format!("unknown {name} value `{value}'");
    match name {
        "debug" => s.plutodebug = words(),
        "protostack" => s.protostack = value.into(),
        "uniqueids" => s.engine.uniqueids = yes()?,
        "nat_traversal" => s.engine.nat_traversal = yes()?,
        "force_keepalive" => s.engine.force_keepalive = yes()?,
        "keep_alive" => s.engine.keep_alive = value.parse().map_err(|_| bad())?,
        "virtual_private" => s.virtual_private = value.into(),
        "listen" => s.listen = Some(value.parse().map_err(|_| bad())?),
        "nhelpers" => s.nhelpers = value.parse().ok(),
        "stderrlog" => s.plutostderrlog = Some(value.into()),
        "dump" => s.dumpdir = Some(value.into()),
        "opts" => s.plutoopts = words(),
        "pre" => s.prepluto = Some(value.into()),
        "post" => s.postpluto = Some(value.into()),
        "wait" => s.plutowait = yes()?,
        // What is always so here, or means nothing.
        _ => {}
    }
    Ok(())
}

/// `ipsec _plutoload`: waits for the daemon's word on standard input, loads the conns, and tells how it ended.
fn plutoload(args: &[String]) -> i32 {
    let given = match options(args, &[], &["load", "start", "wait", "post"]) {
        Ok(given) => given,
        Err(option) => return unknown("_plutoload", &option),
    };
    let mut config: Config = ipsec_conf::load(&paths::config()).unwrap_or_default();
    for (name, value) in &given {
        let _ = apply(&mut config.setup, name, value);
    }
    let mut said = Said(std::io::stdin().lock());
    while let Some(line) = said.line() {
        if line == "Pluto initialized" {
            break;
        }
        println!("pluto unexpectedly said `{line}'");
    }
    let status = setup::load(&config, &paths::ctlbase());
    if status != 0 {
        println!("...not every conn could be added");
    }
    loop {
        match said.line() {
            Some(line) if line == "exit" => break,
            Some(line) => println!("pluto unexpectedly says `{line}'"),
            None => {
                println!("pluto died without exit status!?!");
                return 13;
            }
        }
    }
    match said.line().and_then(|l| l.trim().parse().ok()) {
        Some(status) => status,
        None => {
            println!("pluto yielded no exit status!?!");
            13
        }
    }
}

/// Lines, each cut where it is too long.
struct Said<R>(R);

impl<R: BufRead> Said<R> {
    fn line(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let n = self.0.by_ref().take(LINE).read_until(b'\n', &mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        (n > 0).then(|| text.trim_end_matches('\n').to_string())
    }
}

/// `ipsec _startnetkey`, `_startklips`: the kernel loads what it needs by itself; the default route is noted as ever.
fn start_stack(command: &str, args: &[String]) -> i32 {
    let given = match options(args, &[], &["log", "info", "debug", "omtu", "fragicmp", "hidetos"]) {
        Ok(given) => given,
        Err(option) => return unknown(command, &option),
    };
    if command == "_startklips" {
        eprintln!("ipsec _startklips: there is no KLIPS; use protostack=netkey");
        return 1;
    }
    let Some((_, file)) = given.iter().rev().find(|(name, _)| name == "info") else { return 0 };
    let Some(route) = resolve::default_route((None, None)) else {
        println!("no default routes detected");
        return 0;
    };
    let next = route.nexthop.map_or_else(String::new, |n| n.to_string());
    let text = format!(
        "defaultroutephys={}\ndefaultroutevirt=none\ndefaultrouteaddr={}\ndefaultroutenexthop={next}\n",
        route.interface, route.address
    );
    let written = OpenOptions::new().append(true).create(true).open(Path::new(file));
    match written.and_then(|mut f| f.write_all(text.as_bytes())) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("ipsec _startnetkey: {file}: {e}");
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn options_end_at_the_first_word() {
        let found =
            options(&words("--re --wait no --post x word --frob"), &RUN_FLAGS, &["wait", "post"]).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(options(&words("--frob"), &[], &[]), Err("--frob".into()));
        assert_eq!(options(&words("--wait"), &[], &["wait"]), Err("--wait".into()));
    }

    #[test]
    fn options_go_over_the_file() {
        let mut s = SetupSection::default();
        for (name, value) in
            [("debug", "all raw"), ("nat_traversal", "yes"), ("keep_alive", "7"), ("listen", "192.0.2.1")]
        {
            apply(&mut s, name, value).unwrap();
        }
        assert!(s.engine.nat_traversal && s.engine.keep_alive == 7 && s.plutodebug == ["all", "raw"]);
        assert_eq!(
            apply(&mut s, "uniqueids", "maybe").unwrap_err(),
            "unknown uniqueids value (not yes/no) `maybe'"
        );
        assert!(apply(&mut s, "listen", "$(id)").is_err() && apply(&mut s, "uniqueids", "").is_ok());
    }

    #[test]
    fn lines_of_any_length_are_read_in_bounds() {
        let text = format!("Pluto initialized\n{}\nexit\n", "x".repeat(10_000));
        let mut said = Said(text.as_bytes());
        assert_eq!(said.line().as_deref(), Some("Pluto initialized"));
        let mut rest = 0;
        while let Some(line) = said.line() {
            assert!(line.len() <= 4096);
            rest += 1;
        }
        assert_eq!(rest, 4);
    }
}
