//! Runs the commands of `transcripts/*/transcript` against a running `pluto` and compares what they print and return.
//!
//! ```text
//! $ auto --add one          a command line of `ipsec`; words are split at blanks
//! 002 added …               what it must print, standard output then standard error
//! [0]                       its exit status
//! > cp second.conf ipsec.conf
//! ```
//!
//! `DIR` stands for the directory the test runs in, `PID` for the daemon's process. `UPDATE_TRANSCRIPTS=1` writes what came instead of comparing it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// For resolv.conf(5): a name server that does not answer is not waited for long.
const IMPATIENT: &str = "timeout:1 attempts:1";

/// The daemon, built as cargo builds it for this run.
fn pluto() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let built = Command::new(env!("CARGO")).args(["build", "-q", "-p", "pluto"]).status().unwrap();
        assert!(built.success(), "pluto does not build");
        let beside = Path::new(env!("CARGO_BIN_EXE_ipsec")).with_file_name("pluto");
        assert!(beside.is_file(), "{}", beside.display());
        beside
    })
}

struct Daemon {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Daemon {
    /// A daemon without a kernel on the files of a folder.
    fn start(folder: &Path) -> Daemon {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
        let secrets = dir.path().join("ipsec.secrets");
        if !secrets.exists() {
            fs::write(&secrets, ": PSK \"only for tests\"\n").unwrap();
        }
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        let port =
            20_000 + u16::try_from(std::process::id() % 3000).unwrap() + NEXT.fetch_add(1, Ordering::Relaxed);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(pluto())
            .args(["--nofork", "--noklips", "--stderrlog", "--listen", "127.0.0.1", "--uniqueids"])
            .args(["--ikeport", &port.to_string()])
            .arg("--ctlbase")
            .arg(dir.path().join("pluto"))
            .arg("--secretsfile")
            .arg(&secrets)
            .arg("--ipsecdir")
            .arg(dir.path().join("ipsec.d"))
            .env("IPSEC_CONFS", dir.path())
            .env("RES_OPTIONS", IMPATIENT)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Daemon { child, port, dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        // The socket is there a moment before somebody listens on it.
        while UnixStream::connect(daemon.dir.path().join("pluto.ctl")).is_err() {
            assert!(Instant::now() < deadline, "{}", daemon.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipsec"));
        command
            .args(line.split_whitespace().map(|w| w.replace("DIR", &self.dir.path().display().to_string())))
            .env("IPSEC_CONFS", self.dir.path())
            .env("RES_OPTIONS", IMPATIENT)
            .env("IPSEC_LIBDIR", self.dir.path().join("lib"))
            .env("IPSEC_CTLBASE", self.dir.path().join("pluto"));
        command
    }

    fn ipsec(&self, line: &str) -> (String, i32) {
        self.shown(self.command(line).stdin(Stdio::null()).output().unwrap())
    }

    fn shown(&self, out: Output) -> (String, i32) {
        let mut text = String::from_utf8(out.stdout).unwrap();
        text += &String::from_utf8(out.stderr).unwrap();
        let text = text.replace(&self.dir.path().display().to_string(), "DIR");
        let text = text.replace(env!("CARGO_BIN_EXE_ipsec"), "ipsec");
        let pid = self.child.id();
        let text = text.replace(&format!("pid: {pid}"), "pid: PID").replace(&format!("pid {pid}"), "pid PID");
        // Each daemon has ports of its own; the transcripts have the usual ones.
        let text = text.replace(&format!(":{}", self.port), ":500");
        let text = text.replace(&format!(":{}", self.port + 4000), ":4500");
        (text, out.status.code().unwrap())
    }

    /// The same with somebody at a terminal, who answers each `Enter passphrase: ` with the next of `typed`.
    fn on_terminal(&self, line: &str, typed: &[&str]) -> (String, i32) {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut terminal = fs::File::from(pty.master);
        let mut child = self
            .command(line)
            .stdin(pty.slave)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        for answer in typed {
            let mut prompt = Vec::new();
            while !prompt.ends_with(b"Enter passphrase: ") {
                let mut octet = [0];
                errors.read_exact(&mut octet).unwrap();
                prompt.extend(octet);
            }
            terminal.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
        child.stderr = Some(errors);
        self.shown(child.wait_with_output().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    let wanted = fs::read_to_string(folder.join("transcript")).unwrap();
    let daemon = Daemon::start(&folder);
    let mut came = String::new();
    for line in wanted.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (text, status) = daemon.ipsec(command);
            came += &format!("{line}\n{text}[{status}]\n");
        } else if let Some(files) = line.strip_prefix("> cp ") {
            let (from, to) = files.split_once(' ').unwrap();
            fs::copy(daemon.dir.path().join(from), daemon.dir.path().join(to)).unwrap();
            came += &format!("{line}\n");
        }
    }
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        return fs::write(folder.join("transcript"), came).unwrap();
    }
    assert_eq!(came, wanted, "{name}\n{}", daemon.log());
}

#[test]
fn auto() {
    check("auto");
}

#[test]
fn whack() {
    check("whack");
}

#[test]
fn addconn() {
    check("addconn");
}

#[test]
fn refused() {
    check("refused");
}

#[test]
fn reload() {
    check("reload");
}

#[test]
fn unresolved() {
    check("unresolved");
}

#[test]
fn status() {
    check("status");
}

#[test]
fn tools() {
    check("tools");
}

#[test]
fn nonsense() {
    check("nonsense");
}

#[test]
fn a_hangup_reads_the_configuration_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/reload");
    let daemon = Daemon::start(&folder);
    assert_eq!(daemon.ipsec("addconn --addall").1, 0);
    fs::copy(daemon.dir.path().join("second.conf"), daemon.dir.path().join("ipsec.conf")).unwrap();
    let pid = daemon.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(20);
    // `new` stands in the second file only.
    while daemon.ipsec("connectionstatus new").1 != 0 {
        assert!(Instant::now() < deadline, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Of two reloads the later waits, and reads what the configuration is by then.
#[test]
fn reloads_run_one_after_the_other() {
    use nix::fcntl::{Flock, FlockArg};
    use std::io::BufRead;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/reload");
    let daemon = Daemon::start(&folder);
    assert_eq!(daemon.ipsec("addconn --addall").1, 0);
    let lock = fs::File::create(daemon.dir.path().join("pluto.reload")).unwrap();
    let other = Flock::lock(lock, FlockArg::LockExclusive).map_err(|e| e.1).unwrap();
    let mut later =
        daemon.command("addconn --reload").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    std::io::BufReader::new(later.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "another reload is under way; waiting for its end\n");
    fs::copy(daemon.dir.path().join("second.conf"), daemon.dir.path().join("ipsec.conf")).unwrap();
    drop(other);
    later.wait().unwrap();
    assert_eq!(daemon.ipsec("connectionstatus new").1, 0);
}

#[test]
fn ten_thousand_conns_load_in_one_connection() {
    use std::fmt::Write;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/auto");
    let daemon = Daemon::start(&folder);
    let mut text = String::from("conn %default\n\tauthby=secret\n\tleft=127.0.0.1\n\tauto=add\n");
    for i in 0..10_000 {
        let (a, b) = (i / 250, i % 250 + 1);
        writeln!(text, "conn c{i}\n\tright=10.9.{a}.{b}").unwrap();
    }
    fs::write(daemon.dir.path().join("ipsec.conf"), text).unwrap();
    let (lines, status) = daemon.ipsec("addconn --addall");
    assert_eq!((status, lines.lines().count()), (0, 10_000));
    // Again: nothing has changed.
    let (lines, status) = daemon.ipsec("addconn --reload");
    assert_eq!((status, lines.lines().filter(|l| l.contains("added")).count()), (0, 0), "{lines}");
    let (lines, status) = daemon.ipsec("auto --status");
    assert_eq!(
        (status, lines.lines().filter(|l| l.contains("; unrouted; eroute owner: #0")).count()),
        (0, 10_000)
    );
    let brief = daemon.ipsec("globalstatus");
    assert!(brief.0.contains("current.connections=10000"), "{}", brief.0);
}

/// `%prompt`: one line without a terminal, a question on one; what was opened stays open.
#[test]
fn passphrases_are_asked_for_on_a_terminal() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pluto-rs/daemon/tests/keys");
    let daemon = Daemon::start(&keys);
    let record = |passphrase: &str| {
        let text = format!(": RSA {}/one.key {passphrase}\n", daemon.dir.path().display());
        fs::write(daemon.dir.path().join("ipsec.secrets"), text).unwrap();
    };
    record("%prompt");
    let loading = "002 loading secrets from \"DIR/ipsec.secrets\"\n";
    let refused = "003 \"DIR/ipsec.secrets\" line 1: error loading RSA private key file: 'DIR/one.key': ";
    let nobody = "no passphrase was entered: use ipsec auto --rereadsecrets on a terminal\n";
    for line in ["secrets", "auto --rereadsecrets"] {
        assert_eq!(daemon.ipsec(line), (format!("{loading}{refused}{nobody}"), 3), "{line}");
    }
    // At the start nobody can be asked.
    let (text, status) = daemon.ipsec("auto --ready");
    let enter = "enter a passphrase using ipsec auto --rereadsecrets\n";
    assert!(status == 3 && text.contains(&format!("{refused}{enter}")), "{text}");
    let asked = "040 need passphrase for 'DIR/one.key'\n";
    let again = "040 invalid passphrase for 'DIR/one.key', please try again\n";
    let loaded = "002   loaded private key file 'DIR/one.key' (1766 bytes)\n";
    let (text, status) = daemon.on_terminal("auto --rereadsecrets", &["wrong", "one"]);
    assert_eq!((text.trim_end(), status), (format!("{loading}{asked}{again}{loaded}").trim_end(), 0));
    assert!(!daemon.log().contains("wrong") && daemon.log().contains("  loaded private key file '"));
    // Neither cron nor a restart of the network loses it while the file is the same.
    assert_eq!(daemon.ipsec("secrets"), (format!("{loading}{loaded}"), 0));
    assert!(daemon.ipsec("auto --ready").0.contains(loaded));
    // All that --rereadall reads comes before the question.
    record("\"one\"");
    assert!(daemon.ipsec("secrets").0.contains(loaded));
    record("%prompt");
    let (text, status) = daemon.on_terminal("auto --rereadall", &["one"]);
    assert!(text.contains(&format!("{asked}{loaded}")) && status == 0, "{text}");
}
