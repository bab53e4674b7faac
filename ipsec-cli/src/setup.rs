//! `ipsec setup`: start, stop and status of the service, with the messages and exit codes of the old init script.

use std::path::Path;
use std::time::Duration;

use ipsec_conf::Config;
use ipsec_types::whack::Request;

use crate::daemon::{self, State};
use crate::{addconn, ctl, info, paths, reload, resolve, whack};

const USAGE: &str =
    "Usage: ipsec setup {start|stop|restart|reload|force-reload|condrestart|try-restart|status|version}";

/// A line of the service, as `logger -s -t ipsec_setup` put it on stderr.
fn say(text: &str) {
    eprintln!("ipsec_setup: {text}");
}

/// Runs `ipsec setup`.
pub(crate) fn run(args: &[String]) -> i32 {
    let Some(action) =
        args.iter().map(|a| a.trim_start_matches("--")).find(|a| !a.is_empty() && *a != "json")
    else {
        eprintln!("{USAGE}");
        return 2;
    };
    let base = paths::ctlbase();
    match action {
        "version" => {
            println!("{}", info::version_line());
            return 0;
        }
        "status" => return status(&base, args.iter().any(|a| a == "--json")),
        "start" | "stop" | "restart" | "reload" | "force-reload" | "condrestart" | "try-restart" => {}
        _ => {
            eprintln!("{USAGE}");
            return 2;
        }
    }
    if !nix::unistd::geteuid().is_root() {
        say("permission denied (must be superuser)");
        return 4;
    }
    match action {
        "stop" => {
            stop(&base);
            0
        }
        "condrestart" | "try-restart" if !ctl::answers(&base) => 0,
        _ => {
            let reloads = matches!(action, "reload" | "force-reload") && ctl::answers(&base);
            let _turn = reloads.then(|| reload::turn(&base));
            let config = match checked() {
                Ok(config) => config,
                Err(status) => return status,
            };
            if reloads {
                return reload(&config, &base);
            }
            if action != "start" {
                stop(&base);
            }
            start(&config, &base)
        }
    }
}

/// The configuration, or the exit status when there is none that can be used. Nothing that runs is touched before.
fn checked() -> Result<Config, i32> {
    let path = paths::config();
    if !path.exists() {
        say(&format!("{} does not exist", path.display()));
        return Err(6);
    }
    if daemon::pluto().is_none() {
        say("pluto is not installed");
        return Err(5);
    }
    ipsec_conf::load(&path).map_err(|errors| {
        say("failed to start openswan IKE daemon - the following error occured:");
        eprint!("{}", addconn::explain(&path, &errors));
        3
    })
}

/// What has changed since; tunnels of conns that are as they were stay.
fn reload(config: &Config, base: &Path) -> i32 {
    say("Reloading Openswan IPsec...");
    let route = resolve::default_route((None, None));
    let status = reload::run(base, config, route.as_ref());
    say(match status {
        0 => "...Openswan IPsec reloaded",
        _ => "...Openswan IPsec reloaded, but not every conn could be",
    });
    status
}

fn start(config: &Config, base: &Path) -> i32 {
    let setup = &config.setup;
    if ctl::answers(base) {
        say("Openswan IPsec apparently already active, start aborted");
        return 0;
    }
    match daemon::state(base) {
        State::Alive(pid) => {
            say(&format!("pluto (pid {pid}) runs but does not answer; try `ipsec setup restart'"));
            return 1;
        }
        // A pluto that was killed leaves its files; they are nobody's.
        State::Stale | State::Absent => daemon::clean(base),
    }
    if !setup.pluto {
        say("pluto=no: not started");
        return 0;
    }
    say(&format!("Starting Openswan IPsec {}...", info::version_code()));
    launch(config, base)
}

/// Starts the daemon and loads the conns.
pub(crate) fn launch(config: &Config, base: &Path) -> i32 {
    hook("prepluto", config.setup.prepluto.as_deref());
    if let Err((why, status)) = daemon::start(&config.setup, base) {
        say(&why);
        return status;
    }
    if load(config, base) != 0 {
        say("...not every conn could be added");
    }
    say("...Openswan IPsec started");
    0
}

/// Loads the conns into a daemon that has just started, traps and starts those that say so. The status is that of
/// adding them.
pub(crate) fn load(config: &Config, base: &Path) -> i32 {
    let setup = &config.setup;
    hook("postpluto", setup.postpluto.as_deref());
    let text = |words: &[&str]| words.iter().map(|w| w.to_string()).collect::<Vec<String>>();
    // Conns before listen, as ever: the daemon orients them when it learns its interfaces.
    let added = addconn::run(&text(&["--addall"]));
    quiet_unless_bad(base, &Request::Listen);
    for name in addconn::autostart(config, true) {
        if quiet_unless_bad(base, &Request::Route { name: name.clone() }) != 0 {
            say(&format!("...could not route conn \"{name}\""));
        }
    }
    for name in addconn::autostart(config, false) {
        let request = Request::Initiate { name: name.clone(), asynchronous: !setup.plutowait };
        if quiet_unless_bad(base, &request) != 0 {
            say(&format!("...could not start conn \"{name}\""));
        }
    }
    added
}

/// Sends a request; its lines are printed only if it fails.
fn quiet_unless_bad(base: &Path, request: &Request) -> u8 {
    let asynchronous = matches!(request, Request::Initiate { asynchronous: true, .. });
    let mut lines = Vec::new();
    let status = ctl::ask(base, request, asynchronous, None, |line| {
        if lines.len() < 1000 {
            lines.push(line.to_string());
        }
    });
    let status = status.unwrap_or(1);
    if status != 0 {
        lines.iter().for_each(|line| say(line));
    }
    status
}

/// Runs `prepluto=` or `postpluto=`: one program with arguments, no shell.
fn hook(what: &str, command: Option<&Path>) {
    let Some(command) = command.and_then(Path::to_str) else { return };
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return };
    match std::process::Command::new(program).args(words).status() {
        Ok(status) if status.success() => {}
        Ok(status) => say(&format!("{what} command exited with status {}", status.code().unwrap_or(-1))),
        Err(e) => say(&format!("{what} command {program}: {e}")),
    }
}

fn stop(base: &Path) {
    say("Stopping Openswan IPsec...");
    if !daemon::stop(base) {
        say("stop ordered, but IPsec appears to be already stopped!");
        say("doing cleanup anyway...");
    }
    whack_gone(base);
    say("...Openswan IPsec stopped");
}

/// Says so if a daemon still answers.
fn whack_gone(base: &Path) {
    if ctl::answers(base) {
        say("pluto still answers; was it started by hand?");
        let _ = whack::run(&["--shutdown".into()]);
    }
}

fn status(base: &Path, json: bool) -> i32 {
    let mut tunnels = 0;
    let count = |line: &str| {
        let line = line.to_ascii_lowercase();
        tunnels +=
            usize::from(line.contains("ipsec sa established") || line.contains("child sa established"));
    };
    let answer = ctl::ask(base, &Request::Status, false, Some(Duration::from_secs(30)), count);
    let state = daemon::state(base);
    if json {
        let pid = if let State::Alive(pid) = state { Some(pid) } else { None };
        let running = answer.is_ok() && pid.is_some();
        println!("{}", serde_json::json!({ "running": running, "pid": pid, "tunnels": tunnels }));
        return match (running, state) {
            (true, _) => 0,
            (false, State::Absent) if answer.is_err() => 3,
            (false, _) => 1,
        };
    }
    match (answer, state) {
        (Ok(_), State::Alive(pid)) => {
            println!("IPsec running  - pluto pid: {pid}");
            println!("pluto pid {pid}");
            match tunnels {
                0 => println!("No tunnels up"),
                n => println!("{n} tunnels up"),
            }
            0
        }
        (Err(_), State::Absent) => {
            println!("IPsec stopped");
            3
        }
        (answer, state) => {
            let kind = match (answer, state) {
                (Ok(_), _) => "orphaned",
                (_, State::Stale) => "dead",
                _ => "illicit",
            };
            let article = if kind == "dead" { "A" } else { "An" };
            println!("IPsec stopped\nbut...\n{article} {kind} Pluto is active?");
            1
        }
    }
}
