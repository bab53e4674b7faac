//! `ipsec readwriteconf`: forms, options, exit status.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const CONF: &str = "config setup
\tOE=Off
include /more.conf
conn a
\talso=t
\tright=198.51.100.1
\tauto=add
conn t
\tleft=192.0.2.1
\tleftsubnets={10.1.0.0/24 10.2.0.0/24}
conn %default
\tauthby=secret
";

const WRITTEN: &str = "#conn more loaded
#conn a loaded
#conn t loaded

version 2.0

config setup
\toe=no

# begin conn more
conn more
\tleft=%any
\tright=192.0.2.9
\tauthby=secret
# end conn more

# begin conn a
conn a
\tleft=192.0.2.1
\tright=198.51.100.1
\tleftsubnets=\"10.1.0.0/24 10.2.0.0/24\"
\tauto=add
\tauthby=secret
# end conn a

# begin conn t
conn t
\tleft=192.0.2.1
\tleftsubnets=\"10.1.0.0/24 10.2.0.0/24\"
\tauthby=secret
# end conn t

# end of config
";

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_ipsec"))
        .arg("readwriteconf")
        .args(args)
        .env("IPSEC_CONFS", dir)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = |b| String::from_utf8(b).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    fs::write(dir.path().join("ipsec.conf"), CONF).unwrap();
    fs::write(dir.path().join("root/more.conf"), "conn more\n left=%any\n right=192.0.2.9\n").unwrap();
    dir
}

#[test]
fn the_file_comes_out_in_full_and_reads_back() {
    let dir = files();
    let (status, out, err) = run(dir.path(), &["--rootdir", "none", "--rootdir2", "root"]);
    assert_eq!((status, out.as_str(), err.as_str()), (0, WRITTEN, ""));
    fs::write(dir.path().join("again"), &out).unwrap();
    assert_eq!(run(dir.path(), &["--config", "again"]).1, out);
    // Without the second directory the included file is not there, which is told to who wants to know.
    let (status, out, err) = run(dir.path(), &["--rootdir", "none", "--verbose"]);
    assert!(status == 0 && !out.contains("more"));
    assert!(
        err.contains("could not open include filename: '/more.conf' (tried none/more.conf and )"),
        "{err}"
    );
}

#[test]
fn whackout_has_what_the_daemon_would_be_sent() {
    let dir = files();
    let file = dir.path().join("requests");
    let lines = || fs::read_to_string(&file).unwrap().lines().map(str::to_string).collect::<Vec<_>>();
    let (status, out, _) = run(dir.path(), &["--rootdir", "root", "--whackout", "requests"]);
    assert_eq!((status, out.as_str(), lines().len()), (0, "", 2));
    assert!(
        lines()[0].starts_with("{\"load\":") && lines()[1].contains("\"name\":\"a/2x0\""),
        "{:?}",
        lines()
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
    let (_, out, err) = run(dir.path(), &["--rootdir", "root", "--whackout", "requests", "--all", "--text"]);
    // Of the template with one end nothing can be sent.
    assert_eq!((out.as_str(), lines().len()), (WRITTEN, 3), "{err}");
    assert_eq!(err.lines().filter(|l| l.ends_with("right= end is not defined, conn not loaded")).count(), 2);
}

#[test]
fn what_cannot_be_loaded_is_told_on_standard_output() {
    let dir = files();
    fs::write(dir.path().join("ipsec.conf"), "conn a\nleft=1.2.3.4\n").unwrap();
    let file = dir.path().join("ipsec.conf");
    let (status, out, err) = run(dir.path(), &[]);
    let want = format!("config file: {0} can not be loaded: {0}:2: syntax error [left]\n", file.display());
    assert_eq!((status, out), (3, want));
    assert!(err.contains(":2:1: error: syntax error"), "{err}");
    assert_eq!(run(dir.path(), &["--frob"]).0, 1);
    assert!(run(dir.path(), &["--help"]).1.starts_with("Usage: readwriteconf"));
}
