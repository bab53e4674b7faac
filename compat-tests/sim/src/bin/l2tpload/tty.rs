//! What stands in pppd's place at the server: it waits, takes frames, or makes them. Which, tells [`VARIABLE`].

use std::fs::File;
use std::io::{Read, Write};

use l2tp_proto::hdlc;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// `sink`, or `source:SIZE`; absent: it only waits.
pub(crate) const VARIABLE: &str = "L2TPLOAD_PPPD";
/// A sink sends a frame for each this many it gets, so that whoever sends them knows how far it may go.
pub(crate) const RECEIPT: usize = 16;

/// A frame around an IP packet of this many octets, which are as in real traffic: compressed or encrypted.
pub(crate) fn frame(size: usize) -> Vec<u8> {
    let mut f = vec![0; size + 4];
    if getrandom::fill(&mut f).is_err() {
        std::process::abort();
    }
    f[..4].copy_from_slice(&[0xff, 3, 0, 0x21]);
    f
}

/// The tty that the command line names, as pppd opens it: an xl2tpd in the background closes its pppd's standard input.
fn open() -> std::io::Result<File> {
    let name = std::env::args().find(|a| a.starts_with("/dev/")).unwrap_or_else(|| "/dev/tty".into());
    let tty = File::options().read(true).write(true).open(name)?;
    // pppd does this itself, and an xl2tpd relies on it.
    let mut t = tcgetattr(&tty)?;
    cfmakeraw(&mut t);
    tcsetattr(&tty, SetArg::TCSANOW, &t)?;
    Ok(tty)
}

/// Runs until the line is hung up.
pub(crate) fn run() {
    let Ok(tty) = open() else { return };
    let how = std::env::var(VARIABLE).unwrap_or_default();
    match how.split_once(':') {
        None if how == "sink" => sink(tty),
        Some(("source", size)) => source(tty, size.parse().unwrap_or(576)),
        _ => loop {
            std::thread::park();
        },
    }
}

fn sink(mut tty: File) {
    let mut receipt = Vec::new();
    hdlc::encode(&[0xff, 3, 0xc0, 0x21, 9, 0, 0, 8, 0, 0, 0, 0], &mut receipt);
    // Its first frame opens the way for the peer's.
    let _ = tty.write_all(&receipt);
    let (mut buffer, mut flags) = ([0; 65536], 0);
    while let Ok(n @ 1..) = tty.read(&mut buffer) {
        flags += buffer[..n].iter().filter(|b| **b == hdlc::FLAG).count();
        while flags >= 2 * RECEIPT {
            flags -= 2 * RECEIPT;
            if tty.write_all(&receipt).is_err() {
                return;
            }
        }
    }
}

fn source(mut tty: File, size: usize) {
    let mut some = Vec::new();
    for _ in 0..16 {
        hdlc::encode(&frame(size), &mut some);
    }
    while tty.write_all(&some).is_ok() {}
}
