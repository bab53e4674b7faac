//! UDP from one host to another, for what is between them: a sender of a rate or as fast as it goes, and one who counts.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// IPv4 and UDP, which a packet's size includes.
const HEADERS: usize = 28;
/// Who counts is done when nothing has come for this long.
const SILENCE: Duration = Duration::from_millis(700);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// Octets of an IP packet.
    pub(crate) size: usize,
    /// Packets a second; 0 is as fast as it goes.
    pub(crate) rate: u32,
    /// For how long.
    pub(crate) time: Duration,
}

/// Sends; returns how many packets.
pub(crate) fn send(to: SocketAddrV4, f: Flow) -> std::io::Result<u64> {
    let s = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    s.connect(to)?;
    // Octets as they come in real traffic, which is compressed or encrypted.
    let mut payload = vec![0; f.size.saturating_sub(HEADERS)];
    getrandom::fill(&mut payload).map_err(|_| ErrorKind::Other)?;
    let (start, mut n) = (Instant::now(), 0u64);
    loop {
        let elapsed = start.elapsed();
        if elapsed >= f.time {
            return Ok(n);
        }
        if f.rate > 0 && n as f64 >= elapsed.as_secs_f64() * f64::from(f.rate) {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        // A queue on the way is full, or nobody counts yet: lost, as datagrams may be.
        let _ = s.send(&payload);
        n += 1;
    }
}

/// Counts what comes: packets, and the time from the first to the last.
pub(crate) fn count(port: u16, patience: Duration) -> std::io::Result<(u64, Duration)> {
    let s = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    s.set_read_timeout(Some(patience))?;
    let mut buffer = [0; 2048];
    let (mut n, mut first, mut last) = (0, None, None);
    loop {
        match s.recv(&mut buffer) {
            Ok(_) => {
                last = Some(Instant::now());
                n += 1;
                if first.is_none() {
                    first = last;
                    s.set_read_timeout(Some(SILENCE))?;
                }
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(e) => return Err(e),
        }
    }
    Ok((n, first.zip(last).map_or(Duration::ZERO, |(a, b)| b - a)))
}
