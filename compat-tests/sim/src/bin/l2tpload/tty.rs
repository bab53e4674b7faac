//! What stands in pppd's place at the server: it waits, takes frames, or makes them. Which, tells [`VARIABLE`].

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

fn raw() {
    // pppd does this itself, and an xl2tpd relies on it.
    let tty = std::io::stdin();
    if let Ok(mut t) = tcgetattr(&tty) {
        cfmakeraw(&mut t);
        let _ = tcsetattr(&tty, SetArg::TCSANOW, &t);
    }
}

/// Runs until the line is hung up.
pub(crate) fn run() {
    let how = std::env::var(VARIABLE).unwrap_or_default();
    match how.split_once(':') {
        None if how == "sink" => sink(),
        Some(("source", size)) => source(size.parse().unwrap_or(576)),
        _ => loop {
            std::thread::park();
        },
    }
}

fn sink() {
    raw();
    let (mut tty, mut out) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut receipt = Vec::new();
    hdlc::encode(&[0xff, 3, 0xc0, 0x21, 9, 0, 0, 8, 0, 0, 0, 0], &mut receipt);
    // Its first frame opens the way for the peer's.
    let _ = out.write_all(&receipt).and_then(|()| out.flush());
    let (mut buffer, mut flags) = ([0; 65536], 0);
    while let Ok(n @ 1..) = tty.read(&mut buffer) {
        flags += buffer[..n].iter().filter(|b| **b == hdlc::FLAG).count();
        while flags >= 2 * RECEIPT {
            flags -= 2 * RECEIPT;
            if out.write_all(&receipt).and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    }
}

fn source(size: usize) {
    raw();
    let mut some = Vec::new();
    for _ in 0..16 {
        hdlc::encode(&frame(size), &mut some);
    }
    let mut out = std::io::stdout().lock();
    while out.write_all(&some).is_ok() {}
}
