//! Runs the real program against temporary files and a made-up daemon.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

struct Lab {
    dir: tempfile::TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

struct Out {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Lab {
    fn new(conf: &str) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ipsec.conf"), conf).unwrap();
        Lab { dir, requests: Arc::default() }
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("pluto")
    }

    /// A daemon that answers every request with `reply` and notes what it was asked.
    fn serve(self, reply: &'static str) -> Lab {
        let listener = UnixListener::bind(self.dir.path().join("pluto.ctl")).unwrap();
        let requests = Arc::clone(&self.requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                if first == "\"batch\"" {
                    for line in lines {
                        requests.lock().unwrap().push(line.unwrap());
                        stream.write_all(format!("{reply}\n").as_bytes()).unwrap();
                    }
                    continue;
                }
                requests.lock().unwrap().push(first);
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        self
    }

    fn run(&self, args: &[&str]) -> Out {
        self.run_as(Path::new(env!("CARGO_BIN_EXE_ipsec")), args)
    }

    fn run_as(&self, program: &Path, args: &[&str]) -> Out {
        let out = Command::new(program)
            .args(args)
            .env("IPSEC_CONFS", self.dir.path())
            .env("IPSEC_LIBDIR", self.dir.path().join("lib"))
            .env("IPSEC_CTLBASE", self.base())
            .output()
            .unwrap();
        Out {
            status: out.status.code().unwrap(),
            stdout: String::from_utf8(out.stdout).unwrap(),
            stderr: String::from_utf8(out.stderr).unwrap(),
        }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

const CONF: &str = "config setup\n\tprotostack=netkey\nconn one\n\tleft=192.0.2.1\n\tright=%any\n\tauthby=secret\n\tauto=add\n\
conn two\n\tleft=192.0.2.1\n\tright=192.0.2.2\n\tauthby=secret\n\tauto=start\nconn bad\n\tleft=192.0.2.1\n\tlefft=1\n";

#[test]
fn the_dispatcher_answers_as_ever() {
    let lab = Lab::new(CONF);
    let out = lab.run(&[]);
    assert_eq!(out.status, 0);
    assert!(out.stdout.starts_with("Usage: ipsec command argument ...\n") && out.stdout.lines().count() == 5);
    let out = lab.run(&["--version"]);
    assert!(out.stdout.starts_with("Linux Openswan U2.6.") && out.status == 0);
    // NetworkManager-l2tp asks for strongSwan first, then for libreswan, of old with the spaces
    assert!(out.stdout.contains(" Libreswan ") && !out.stdout.contains("strongSwan"), "{}", out.stdout);
    assert_eq!(out.stdout.lines().count(), 3);
    assert_eq!(lab.run(&["--confdir"]).stdout.trim(), lab.dir.path().display().to_string());
    let out = lab.run(&["--nonsense"]);
    assert!(
        out.status == 1
            && out.stderr.contains("unknown option `--nonsense' (perhaps command name was omitted?)")
    );
    let out = lab.run(&["nonsense"]);
    assert!(
        out.status == 1 && out.stderr.contains("unknown IPsec command `nonsense' (`ipsec --help' for list)")
    );
    let out = lab.run(&["--help"]);
    assert!(out.stdout.contains("where command is one of:\n") && out.stdout.contains("\tauto\n"));
    assert!(lab.run(&["--list-commands"]).stdout.lines().any(|l| l == "whack"));
}

#[test]
fn programs_of_the_library_directory_come_first() {
    let lab = Lab::new(CONF);
    let lib = lab.dir.path().join("lib");
    fs::create_dir(&lib).unwrap();
    let tool = lib.join("hello");
    fs::write(&tool, "#!/bin/sh\necho \"$1 $IPSEC_CONFS\"; exit 7\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let out = lab.run(&["hello", "a"]);
    assert_eq!((out.status, out.stdout), (7, format!("a {}\n", lab.dir.path().display())));
    // A link by the name of a sub-command is that one, and is not run through itself.
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ipsec"), lib.join("auto")).unwrap();
    let out = lab.run_as(&lib.join("auto"), &["--help"]);
    assert!(out.status == 0 && out.stdout.starts_with("Usage: ipsec auto"));
    assert!(lab.run(&["auto", "--help"]).stdout.starts_with("Usage: ipsec auto"));
}

#[test]
fn without_a_daemon_whack_says_so() {
    let lab = Lab::new(CONF);
    let out = lab.run(&["auto", "--status"]);
    let socket = lab.dir.path().join("pluto.ctl");
    let want = format!("whack: Pluto is not running (no \"{}\")\n", socket.display());
    assert_eq!((out.status, out.stderr), (1, want));
    let out = lab.run(&["auto", "--add", "one"]);
    assert!(out.status == 255 && out.stderr.contains("connect(pluto_ctl) failed"), "{}", out.stderr);
    // A socket nobody listens on.
    drop(UnixListener::bind(&socket).unwrap());
    let out = lab.run(&["whack", "--status"]);
    assert!(out.status == 1 && out.stderr.contains("failed (111 Connection refused)"), "{}", out.stderr);
}

#[test]
fn auto_refuses_nonsense_with_2() {
    let lab = Lab::new(CONF);
    for args in
        [&["auto"][..], &["auto", "--up"], &["auto", "--up", "a", "b"], &["auto", "--up", "--down", "a"]]
    {
        let out = lab.run(args);
        assert!(out.status == 2 && out.stderr.starts_with("Usage: ipsec auto"), "{args:?}");
    }
    let out = lab.run(&["auto", "--frob", "a"]);
    assert_eq!((out.status, out.stderr.as_str()), (2, "ipsec auto: unknown option `--frob'\n"));
}

#[test]
fn exit_status_is_the_last_telling_line() {
    let lab = Lab::new(CONF).serve(
        "002 \"two\" #1: initiating Main Mode\n031 \"two\" #1: max number of retransmissions\n000 x\n",
    );
    let out = lab.run(&["auto", "--up", "two"]);
    assert_eq!(out.status, 31);
    assert!(out.stdout.starts_with("002 \"two\" #1: initiating Main Mode\n031 "));
    assert_eq!(lab.run(&["auto", "--asynchronous", "--up", "two"]).status, 0);
    assert_eq!(lab.run(&["auto", "two", "down"]).status, 31);
    assert_eq!(
        lab.requests(),
        [
            r#"{"initiate":{"name":"two","asynchronous":false}}"#,
            r#"{"initiate":{"name":"two","asynchronous":true}}"#,
            r#"{"terminate":{"name":"two"}}"#
        ]
    );
}

#[test]
fn addconn_adds_what_it_should() {
    let lab = Lab::new(CONF).serve("002 adding connection\n");
    assert_eq!(lab.run(&["addconn", "--addall"]).status, 0);
    let sent = lab.requests();
    assert_eq!(sent.len(), 3);
    assert!(sent[0].starts_with("{\"setup\":"), "{sent:?}");
    assert!(sent[1].contains("\"name\":\"one\"") && sent[2].contains("\"name\":\"two\""), "{sent:?}");
    assert_eq!(lab.run(&["addconn", "--liststart"]).stdout, "two\n");
    assert_eq!(lab.run(&["addconn", "--listroute"]).stdout, "two\n");
    let out = lab.run(&["auto", "--add", "nosuch"]);
    assert!(out.status == 1 && out.stderr.contains("conn 'nosuch': not found (tried aliases)"));
    let out = lab.run(&["auto", "--add", "bad"]);
    assert_eq!(out.status, 37);
    assert!(
        out.stderr.contains(":15:2: error: syntax error") && out.stderr.contains("did you mean"),
        "{}",
        out.stderr
    );
    assert!(out.stderr.ends_with("conn bad did not load properly\n"));
    assert_eq!(lab.run(&["addconn"]).status, 10);
    let out = lab.run(&["addconn", "--checkconfig"]);
    assert_eq!((out.status, out.stdout.as_str()), (0, ""));
}

#[test]
fn a_syntax_error_shows_the_line() {
    let lab = Lab::new("config setup\n\toe=off\nleft=1.2.3.4\n");
    let file = lab.dir.path().join("ipsec.conf");
    let file = file.display();
    let out = lab.run(&["addconn", "--checkconfig"]);
    assert_eq!(out.status, 3);
    let want = format!(
        "can not load config '{file}': {file}:3: syntax error [left]\n{file}:3:1: error: syntax error\n 3 | left=1.2.3.4\n   | ^^^^\n"
    );
    assert!(out.stderr.starts_with(&want), "{}", out.stderr);
}

#[test]
fn config_setup_is_quoted_for_a_shell() {
    let lab = Lab::new("config setup\n\tplutoopts=\"a'; touch /nosuch; '\"\n\tuniqueids=yes\n");
    let out = lab.run(&["addconn", "--configsetup"]);
    assert_eq!(
        out.stdout,
        "export IPSECplutoopts='a'\\''; touch /nosuch; '\\'''\nexport IPSECuniqueids='yes'\n"
    );
}

#[test]
fn whack_builds_conns_in_option_order() {
    let lab = Lab::new(CONF).serve("002 ok\n");
    let line = "whack --name w --psk --encrypt --tunnel --host 192.0.2.1 --client 10/8 --to --host 192.0.2.2 --id @b --ike aes128-sha1-modp2048";
    let args: Vec<&str> = line.split(' ').collect();
    assert_eq!(lab.run(&args).status, 0);
    let sent = &lab.requests()[0];
    for want in
        ["\"left\":{\"host\":{\"Addr\":\"192.0.2.1\"}", "\"10.0.0.0/8\"", "\"Fqdn\":\"b\"", "\"psk\":true"]
    {
        assert!(sent.contains(want), "{sent}");
    }
    for (args, text) in [
        (&["whack"][..], "whack error: no action specified; try --help for hints\n"),
        (&["whack", "--initiate"], "whack error: --name is required for this action\n"),
        (&["whack", "--frob"], "whack error: unrecognized option '--frob'\n"),
    ] {
        let out = lab.run(args);
        assert_eq!((out.status, out.stderr.as_str()), (1, text));
    }
}

#[test]
fn options_can_come_from_a_file() {
    let lab = Lab::new(CONF).serve("004 ok\n");
    let file = lab.dir.path().join("options");
    fs::write(&file, "--name 'a b' # which\n--initiate\n").unwrap();
    assert_eq!(lab.run(&["whack", "--optionsfrom", file.to_str().unwrap()]).status, 0);
    assert!(lab.requests()[0].contains("\"a b\""));
    fs::write(&file, format!("--optionsfrom {}", file.display())).unwrap();
    assert_eq!(lab.run(&["whack", "--optionsfrom", file.to_str().unwrap()]).status, 1);
}

#[test]
fn setup_tells_the_state() {
    let lab = Lab::new(CONF);
    let out = lab.run(&["setup", "status"]);
    assert_eq!((out.status, out.stdout.as_str()), (3, "IPsec stopped\n"));
    let out = lab.run(&["setup", "frob"]);
    assert!(out.status == 2 && out.stderr.starts_with("Usage: ipsec setup"));
    fs::write(lab.dir.path().join("pluto.pid"), "999999\n").unwrap();
    assert_eq!(lab.run(&["setup", "status"]).status, 1);
}

#[test]
fn verify_reports_a_missing_daemon() {
    let lab = Lab::new(CONF);
    let out = lab.run(&["verify"]);
    assert_eq!(out.status, 1);
    assert!(out.stderr.ends_with("\nipsec verify: encountered errors\n"));
    let want = format!("{:<50}\t[FAILED]", "Checking that pluto is running");
    assert!(out.stdout.lines().any(|l| l == want), "{}", out.stdout);
    assert!(out.stdout.contains(" conn bad"));
}
