//! Files nobody should have: each is refused in bounded time and memory, with one error.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ipsec_conf::{Config, Diagnostic, Severity, load, load_str, secrets};

/// A directory with one of each odd thing.
struct Zoo {
    dir: tempfile::TempDir,
}

impl Zoo {
    fn new() -> Zoo {
        let zoo = Zoo { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(zoo.path("directory")).unwrap();
        assert!(Command::new("mkfifo").arg(zoo.path("fifo")).status().unwrap().success());
        File::create(zoo.path("huge")).unwrap().set_len(1 << 30).unwrap();
        fs::write(zoo.path("binary"), b"conn a\n left=1\0\n").unwrap();
        symlink("nowhere", zoo.path("dangling")).unwrap();
        symlink("loop", zoo.path("loop")).unwrap();
        fs::write(zoo.path("self"), "include self\n").unwrap();
        fs::write(zoo.path("ping"), "include pong\n").unwrap();
        fs::write(zoo.path("pong"), "include pi*g\n").unwrap();
        for i in 0..12 {
            fs::write(zoo.path(&format!("deep{i}")), format!("include deep{}\n", i + 1)).unwrap();
        }
        fs::create_dir(zoo.path("many")).unwrap();
        for i in 0..5000 {
            fs::write(zoo.path(&format!("many/{i}.conf")), "").unwrap();
        }
        // A tree without an end: every directory holds four links to the same one.
        fs::create_dir(zoo.path("tree")).unwrap();
        for name in ["a", "b", "c", "d"] {
            symlink("../tree", zoo.path("tree").join(name)).unwrap();
        }
        zoo
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Peak of resident memory of this process, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs `f`, which may not take long nor, all tests of this process together, much memory.
fn bounded<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = f();
    assert!(start.elapsed() < Duration::from_secs(120), "{what}: {:?}", start.elapsed());
    assert!(peak() < 2 << 20, "{what}: {} MiB", peak() >> 10);
    out
}

const ODD: [(&str, &str); 10] = [
    ("fifo", "is not a regular file"),
    ("/dev/zero", "is not a regular file"),
    ("directory", "is a directory"),
    ("huge", "is larger than 16 MiB"),
    ("binary", "is a binary file"),
    ("dangling", "No such file or directory"),
    ("loop", "Too many levels of symbolic links"),
    ("/proc/self/mem", "Input/output error"),
    ("many/*.conf", "more than 4096 files"),
    ("tree/*/*/*/*/*/*/*/*/*/*/*/*/none", "directories to search"),
];

#[test]
fn odd_files_are_one_error_each() {
    let zoo = Zoo::new();
    let one = |result: Result<Config, Vec<Diagnostic>>, want: &str| {
        let errors = result.unwrap_err();
        assert!(errors.len() == 1 && errors[0].message.contains(want), "{want}: {errors:?}");
    };
    for (name, want) in ODD.into_iter().chain([
        ("self", "includes itself"),
        ("ping", "includes itself"),
        ("deep0", "max inclusion depth reached"),
    ]) {
        let conf = zoo.path("conf");
        let text = format!("conn ok\n left=192.0.2.1\n right=%any\ninclude {name}\nconn fine\n left=%any\n");
        fs::write(&conf, text).unwrap();
        bounded(name, || one(load(&conf), want));
        if !name.contains('*') && !name.starts_with("deep") {
            bounded(name, || one(load(&zoo.path(name)), want));
        }
    }
}

#[test]
fn odd_secrets_are_one_error_each_and_the_others_stay() {
    let zoo = Zoo::new();
    for (name, want) in ODD
        .into_iter()
        .filter(|o| o.0 != "binary")
        .chain([("self", "nested too deeply"), ("deep0", "nested too deeply")])
    {
        let path = zoo.path("secrets");
        fs::write(&path, format!(": PSK \"one\"\ninclude {name}\n: PSK \"two\"\n")).unwrap();
        let (records, said) = bounded(name, || secrets::load_all_with(&path, &|_| None));
        assert_eq!(records.len(), 2, "{name}");
        let errors: Vec<_> = said.iter().filter(|d| d.severity == Severity::Error).collect();
        assert!(errors.len() == 1 && errors[0].message.contains(want), "{name}: {errors:?}");
    }
}

fn text(text: &str) -> Result<Config, Vec<Diagnostic>> {
    bounded(&text[..text.len().min(40)], || load_str(Path::new("/nonexistent/t"), text))
}

/// The messages of a configuration whose file cannot be read, or whose only conn is refused.
fn errors(result: Result<Config, Vec<Diagnostic>>) -> Vec<String> {
    let all = match result {
        Ok(config) => config.conn_errors.into_iter().flat_map(|e| e.diagnostics).collect(),
        Err(errors) => errors,
    };
    all.into_iter().filter(|d| d.severity == Severity::Error).map(|d| d.message).collect()
}

#[test]
fn too_much_of_anything_ends_with_one_error() {
    let conn = "conn a\n left=192.0.2.1\n right=%any\n";
    let million = 1_000_000;
    let also = |n: usize| (0..n).map(|i| format!(" also=n{i}\n")).collect::<String>();
    for (input, want) in [
        (" also=b\n".repeat(million), "more than 500000 parameters"),
        (also(300_000), "too many also= used"),
        (format!(" also=\"{}\"\n", "b c ".repeat(10_000)).repeat(20), ""),
        (" pfs=yes\n".repeat(million), "more than 500000 parameters"),
        (" nonsense=1\n".repeat(100_000), "syntax error"),
        ("conn b\n".repeat(million), "more than 100000 sections"),
        (" left=\"\n".repeat(million), "more than 10000 lines that cannot be read"),
        (format!(" leftid={}\n", "x".repeat(1 << 20)), "a line of more than 64 KiB"),
        (format!("#{}\n", "x".repeat(1 << 20)), ""),
        ("include none\n".repeat(10_000), "more than 4096 files included"),
        (format!(" leftsubnets={{{}}}\n", "10.0.0.0/8 ".repeat(5000)), "more than 1024 pairs of subnets"),
        (format!(" connalias=\"{}\"\n", "a ".repeat(30_000)), ""),
        (format!(" ike={}\n", "aes-".repeat(15_000)), "034 esp string error: more than 512 words"),
    ] {
        let got = errors(text(&format!("{conn}{input}")));
        match want {
            "" => assert!(got.is_empty(), "{got:?}"),
            want => {
                let told = got.iter().filter(|m| m.contains(want)).count();
                assert!(told >= 1 && got.len() <= 101, "{want}: {} {:?}", got.len(), got.first());
                assert!(told == 1 || want == "syntax error", "{want}: {told}");
            }
        }
    }
}

#[test]
fn a_loop_of_also_is_no_loop() {
    let ring: String = (0..32).map(|i| format!("conn r{i}\n also=r{}\n", (i + 1) % 32)).collect();
    let config = text(&format!("{ring}conn r0x\n left=192.0.2.1\n right=%any\n also=r0\n")).unwrap();
    assert_eq!((config.conns.len(), config.conn_errors.len()), (33, 0));
    let chain: String = (0..50).map(|i| format!("conn c{i}\n also=c{}\n", i + 1)).collect();
    let config = text(&chain).unwrap();
    assert!(config.conn_errors[0].diagnostics.iter().any(|d| d.message.contains("too many also=")));
}

#[test]
fn subnets_of_very_many_conns_are_bounded() {
    let nets: String = (0..32).map(|i| format!("10.{i}.0.0/16 ")).collect();
    let conns: String = (0..300).map(|i| format!("conn c{i}\n auto=add\n")).collect();
    let all = format!(
        "conn %default\n left=192.0.2.1\n right=192.0.2.2\n leftsubnets={{{nets}}}\n rightsubnets={{{nets}}}\n{conns}"
    );
    let config = text(&all).unwrap();
    assert!(config.conns.len() <= 200_000);
    assert!(config.failed_conns().all(|e| e.diagnostics[0].message.contains("more than 200000 conns")));
    assert_eq!(config.failed_conns().count(), 300 - 200_000 / 1024);
}

#[test]
fn secrets_without_measure_are_bounded() {
    for (input, want) in [
        (": PSK \"a\n".repeat(500_000), "unterminated string"),
        ("a ".repeat(4_000_000), "record too long"),
        (format!("a\n{}", " b\n".repeat(1_000_000)), "record too long"),
        (": \"a\"\n".repeat(300_000), "more than 100000 records"),
        ("include none\n".repeat(10_000), "no secrets filename matched"),
        (format!(": RSA {{\n{}", " Modulus: 0x01\n".repeat(300_000)), "record too long"),
        (": FOO x\n".repeat(500_000), "unrecognized key format"),
    ] {
        let (_, said) =
            bounded(want, || secrets::parse_all(Path::new("/nonexistent/s"), input.as_bytes(), &|_| None));
        assert!(said.len() <= 102, "{want}: {}", said.len());
        assert!(said.iter().any(|d| d.message.contains(want)), "{want}: {:?}", said.first());
    }
}

#[test]
fn names_that_are_left_out_are_told_of() {
    let names: String = (0..101).map(|i| format!("n{i} ")).collect();
    let config = text(&format!("conn a\n left=192.0.2.1\n right=%any\n connalias=\"{names}\"\n")).unwrap();
    assert_eq!((config.conns[0].spec.aliases.len(), config.conns[0].notes.len()), (100, 1));
}

#[test]
fn an_error_behind_many_warnings_still_refuses_the_conn() {
    let many = " virtual_private=x\n".repeat(300);
    let config = text(&format!("conn a\n left=192.0.2.1\n right=%any\n{many} nonsense=1\n")).unwrap();
    assert_eq!((config.conns.len(), config.conn_errors.len()), (0, 1));
}
