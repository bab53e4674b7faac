//! Conns whose host name has no address yet.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ipsec_types::auth::AuthBy;
use ipsec_types::conn::Auto;
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec};
use tokio::sync::mpsc::unbounded_channel;

use super::super::{serve, start};
use crate::logging::Log;
use crate::names::Names;
use crate::options::{Action, parse};

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the name server is there, and how often it was missed.
static REACHABLE: AtomicBool = AtomicBool::new(false);
static MISSED: AtomicUsize = AtomicUsize::new(0);

fn lookup(name: &str) -> Option<IpAddr> {
    if !REACHABLE.load(Ordering::SeqCst) {
        MISSED.fetch_add(1, Ordering::SeqCst);
        return None;
    }
    name.ends_with(".example").then_some(Ipv4Addr::new(127, 0, 0, 2).into())
}

fn ask(ctl: &Path, requests: &[Request]) -> String {
    let mut stream = UnixStream::connect(ctl).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let all = std::iter::once(&Request::Batch).chain(requests);
    let text: String = all.map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn wait_for(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn load(name: &str, peer: &str, auto: Auto) -> Request {
    let end = |host| EndSpec { host, ..EndSpec::default() };
    let spec = ConnSpec {
        name: name.into(),
        left: end(HostSpec::Addr(Ipv4Addr::LOCALHOST.into())),
        right: end(HostSpec::Name(peer.into())),
        authby: AuthBy::PSK,
        auto,
        ..ConnSpec::default()
    };
    Request::Load { spec: Box::new(spec), keep_equal: true }
}

/// What an administrator does and sees.
fn at_the_socket(ctl: &Path) {
    let conns = [
        load("started", "gw.example", Auto::Start),
        load("added", "gw.example", Auto::Add),
        load("never", "gw.invalid", Auto::Start),
    ];
    let text = ask(ctl, &[&conns[..], &[Request::Listen]].concat());
    assert_eq!(text.matches("002 added connection description").count(), 3, "{text}");
    wait_for("the names are asked for again", || MISSED.load(Ordering::SeqCst) > 6);
    let text = ask(ctl, &[Request::Status]);
    assert!(text.contains("000 \"started\": 127.0.0.1...%dns<gw.example>; unrouted"), "{text}");
    assert!(!text.contains("STATE_"), "{text}");

    REACHABLE.store(true, Ordering::SeqCst);
    wait_for("what is to start starts", || ask(ctl, &[Request::Status]).contains("STATE_MAIN_I1"));
    let text = ask(ctl, &[Request::Status]);
    assert!(text.contains("000 \"added\": 127.0.0.1...127.0.0.2; unrouted"), "{text}");
    assert!(text.contains("000 \"never\": 127.0.0.1...%dns<gw.invalid>; unrouted"), "{text}");
    assert_eq!(text.matches("STATE_").count(), 1, "{text}");
    // The same configuration again.
    let text = ask(ctl, &conns);
    assert_eq!(text.matches(": unchanged").count(), 3, "{text}");
}

#[test]
fn a_conn_comes_to_life_when_the_address_of_its_peer_is_known() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("ipsec.d")).unwrap();
    std::fs::write(dir.path().join("secrets"), ": PSK \"only for tests\"\n").unwrap();
    let port = loop {
        let free = |port| UdpSocket::bind(("127.0.0.1", port)).ok()?.local_addr().ok();
        let port = free(0).unwrap().port();
        if port < 61_000 && free(port + 4000).is_some() {
            break port.to_string();
        }
    };
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (base, log, ipsecdir, secrets) = (path("pluto"), path("log"), path("ipsec.d"), path("secrets"));
    let words = ["--nofork", "--noklips", "--listen", "127.0.0.1", "--nhelpers", "0", "--ikeport", &port];
    let files = ["--ctlbase", &base, "--logfile", &log, "--ipsecdir", &ipsecdir, "--secretsfile", &secrets];
    let words: Vec<String> = words.iter().chain(&files).map(ToString::to_string).collect();
    let Ok(Action::Run(options)) = parse(&words) else { panic!("{words:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut lines = Log::open(&options).unwrap();
        let mut parts = start(&options, &mut lines).unwrap();
        let (send, answers) = unbounded_channel();
        parts.names = Names::start(send, lookup, Duration::from_millis(1)).unwrap();
        parts.answers = answers;
        let ctl = options.ctl_path();
        let person = std::thread::spawn(move || {
            let outcome = std::panic::catch_unwind(|| at_the_socket(&ctl));
            ask(&ctl, &[Request::Shutdown]);
            outcome
        });
        serve(*options, lines, parts).await.unwrap();
        person.join().unwrap()
    });
    assert!(outcome.is_ok(), "{}", std::fs::read_to_string(log).unwrap());
}
