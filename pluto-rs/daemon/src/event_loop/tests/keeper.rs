//! The whole loop, with a part of it broken.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use ipsec_types::whack::Request;

use tokio::sync::mpsc::unbounded_channel;

use super::super::{serve, start};
use crate::keeper::Keeper;
use crate::logging::Log;
use crate::options::{Action, parse};

#[test]
fn the_death_of_the_keeper_is_told_and_ends_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (base, log_file) = (path("pluto"), path("log"));
    let args = ["--nofork", "--noklips", "--ctlbase", &base, "--logfile", &log_file, "--ipsecdir", &base];
    let Ok(Action::Run(options)) = parse(&args.map(String::from)) else { panic!() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (end, client) = tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut log = Log::open(&options).unwrap();
        let mut parts = start(&options, &mut log).unwrap();
        let (send, told) = unbounded_channel();
        (parts.keeper, parts.told) = (Keeper::that_dies(send), told);
        let mut stream = UnixStream::connect(options.ctl_path()).unwrap();
        let client = std::thread::spawn(move || {
            // The second one is held back behind the first, as they come together.
            let all = [Request::Batch, Request::Listen, Request::Status];
            let text: String = all.map(|r| serde_json::to_string(&r).unwrap() + "\n").concat();
            stream.write_all(text.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        });
        (serve((*options).clone(), log, parts).await, client)
    });
    let why = "the thread that reads secrets and private keys has died";
    assert_eq!(end, Err(why.to_string()));
    assert_eq!(client.join().unwrap(), format!("001 {why}\n\n").repeat(2));
    let log = fs::read_to_string(log_file).unwrap();
    assert!(log.contains(&format!("FATAL: {why}\n")) && log.contains("shutting down"), "{log}");
}
