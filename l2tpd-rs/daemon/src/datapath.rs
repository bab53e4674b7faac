//! Where the PPP frames of a call go.
//!
//! [`DataPath`] is all the loop knows of it. The ones here are a pppd on a pty and nothing at all; the kernel's L2TP is
//! another ([`crate::kernel`]), and a PPP engine in this process would be a fourth.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use l2tp_proto::hdlc;

/// One call's PPP, as the event loop sees it. No method blocks. What is not said otherwise is as for a path whose frames do
/// not come through this process.
pub trait DataPath {
    /// Its name in the status.
    fn kind(&self) -> &'static str;

    /// What to watch for readability and, while [`DataPath::wants_write`], for room; `None` where frames do not come
    /// through this process.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Takes a frame from the peer; it may be lost when PPP does not keep up, and is counted then.
    fn deliver(&mut self, _frame: &[u8]) {}

    /// Moves what was taken on to PPP, as far as it goes; nothing while it is known that there is no room.
    fn flush(&mut self) {}

    /// There is room again, as [`DataPath::wants_write`] has asked to be told.
    fn resume(&mut self) {}

    /// Whether something waits for room.
    fn wants_write(&self) -> bool {
        false
    }

    /// Takes frames from PPP, at most about `_budget` octets, and hands them to `_sink`. False when PPP has hung up.
    fn collect(&mut self, _budget: usize, _sink: &mut dyn FnMut(&[u8])) -> bool {
        true
    }

    /// Whether [`DataPath::collect`] has something although nothing came from PPP.
    fn wants_collect(&self) -> bool {
        false
    }

    /// Stops holding frames back, in both directions: PPP has had time enough to begin.
    fn open_gate(&mut self) {}

    /// Frames from the peer that were lost here.
    fn dropped(&self) -> u64 {
        0
    }

    /// What has gone through where the engine does not see it.
    fn traffic(&self) -> Option<Traffic> {
        None
    }
}

/// Frames and octets of PPP; transmit is towards the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names say it")]
pub struct Traffic {
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub rx_packets: u64,
    pub rx_bytes: u64,
}

/// Octets that may wait for a slow pppd; frames beyond are dropped.
const QUEUE: usize = 64 * 1024;
/// Octets a read.
const READ: usize = 8192;
/// A read that brings fewer has emptied the tty, or all but: epoll tells of the rest.
const FEW: usize = 1024;

/// pppd on a pty, spoken to in asynchronous HDLC.
#[derive(Debug)]
pub struct PtyPath {
    master: File,
    decoder: hdlc::Decoder,
    /// Encoded frames on their way to pppd; those before `sent` are written.
    queue: Vec<u8>,
    sent: usize,
    /// The tty has taken nothing of it at the last write.
    full: bool,
    /// pppd empties its tty when it switches it to PPP, which would cost the peer's first Configure-Request and the
    /// link three seconds. So nothing is written until pppd's own first frame, or [`DataPath::open_gate`].
    gate_open: bool,
    /// The other way round: the peer's PPP may need longer to start than ours, and a Configure-Request that nobody
    /// takes costs three seconds as well. So pppd's first frames wait for the peer's first, or
    /// [`DataPath::open_gate`].
    peer_spoke: bool,
    held: Vec<Vec<u8>>,
    dropped: u64,
}

/// Frames of pppd that are kept until the peer speaks; the oldest goes first.
const HELD: usize = 8;

impl PtyPath {
    /// A path over this pty master, which must not block.
    pub fn new(master: File) -> Self {
        PtyPath {
            master,
            decoder: hdlc::Decoder::default(),
            queue: Vec::new(),
            sent: 0,
            full: false,
            gate_open: false,
            peer_spoke: false,
            held: Vec::new(),
            dropped: 0,
        }
    }
}

impl DataPath for PtyPath {
    fn kind(&self) -> &'static str {
        "pty"
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.master.as_fd())
    }

    fn deliver(&mut self, frame: &[u8]) {
        if frame.is_empty() || frame.len() > hdlc::MAX_FRAME {
            return;
        }
        self.peer_spoke = true;
        if self.queue.len() - self.sent + frame.len() > QUEUE {
            self.flush();
            if self.queue.len() - self.sent + frame.len() > QUEUE {
                self.dropped += 1;
                return;
            }
        }
        hdlc::encode(frame, &mut self.queue);
    }

    fn flush(&mut self) {
        if !self.gate_open || self.full {
            return;
        }
        while self.sent < self.queue.len() {
            match self.master.write(&self.queue[self.sent..]) {
                // A part does not mean that there is no room for more: a tty takes some kilobytes at a time.
                Ok(n) if n > 0 => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // EAGAIN: epoll tells when it is worth another write. Anything else: pppd is gone, which its exit tells.
                _ => {
                    self.full = true;
                    break;
                }
            }
        }
        if self.sent == self.queue.len() {
            self.queue.clear();
            self.sent = 0;
        } else if self.sent > QUEUE {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn resume(&mut self) {
        self.full = false;
        self.flush();
    }

    fn wants_write(&self) -> bool {
        self.gate_open && self.sent < self.queue.len()
    }

    fn collect(&mut self, budget: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        let mut buffer = [0; READ];
        let mut left = budget;
        let mut first = false;
        if self.peer_spoke {
            self.held.drain(..).for_each(|f| sink(&f));
        }
        let (held, spoke) = (&mut self.held, self.peer_spoke);
        let alive = loop {
            match self.master.read(&mut buffer) {
                Ok(0) => break false,
                Ok(n) => {
                    self.decoder.feed(&buffer[..n], |frame| {
                        first = true;
                        if spoke {
                            return sink(frame);
                        }
                        if held.len() == HELD {
                            held.remove(0);
                        }
                        held.push(frame.to_vec());
                    });
                    left = left.saturating_sub(n);
                    if left == 0 || n < FEW {
                        break true;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break e.kind() == io::ErrorKind::WouldBlock,
            }
        };
        if first && !self.gate_open {
            self.gate_open = true;
            self.flush();
        }
        alive
    }

    fn wants_collect(&self) -> bool {
        self.peer_spoke && !self.held.is_empty()
    }

    fn open_gate(&mut self) {
        self.gate_open = true;
        self.peer_spoke = true;
        self.flush();
    }

    fn dropped(&self) -> u64 {
        self.dropped
    }

    fn traffic(&self) -> Option<Traffic> {
        None
    }
}

/// No PPP: what the peer sends is thrown away, and it hears nothing. For measuring the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullPath;

impl DataPath for NullPath {
    fn kind(&self) -> &'static str {
        "null"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pty;

    #[test]
    fn frames_wait_for_pppds_first_frame() {
        let p = pty::open().unwrap();
        let (mut path, mut pppd) = (PtyPath::new(p.master), File::from(p.slave));
        path.deliver(b"\xff\x03first");
        path.flush();
        let mut hello = Vec::new();
        hdlc::encode(b"\xff\x03\xc0\x21", &mut hello);
        pppd.write_all(b"some words of pppd\n").unwrap();
        pppd.write_all(&hello).unwrap();
        let mut got = Vec::new();
        assert!(path.collect(READ, &mut |f| got.push(f.to_vec())));
        assert_eq!(got, [b"\xff\x03\xc0\x21".to_vec()]);
        let mut want = Vec::new();
        hdlc::encode(b"\xff\x03first", &mut want);
        let mut b = vec![0; want.len()];
        pppd.read_exact(&mut b).unwrap();
        assert_eq!(b, want);
    }

    #[test]
    fn pppds_first_frames_wait_for_the_peers_first() {
        let p = pty::open().unwrap();
        let (mut path, mut pppd) = (PtyPath::new(p.master), File::from(p.slave));
        let mut out = Vec::new();
        hdlc::encode(b"request", &mut out);
        pppd.write_all(&out).unwrap();
        let mut got = Vec::new();
        path.collect(READ, &mut |f| got.push(f.to_vec()));
        assert!(got.is_empty() && !path.wants_collect());
        path.deliver(b"theirs");
        assert!(path.wants_collect());
        path.collect(READ, &mut |f| got.push(f.to_vec()));
        assert_eq!(got, [b"request".to_vec()]);
        assert!(!path.wants_collect());
    }

    #[test]
    fn a_slow_pppd_costs_frames_and_not_memory() {
        let p = pty::open().unwrap();
        let mut path = PtyPath::new(p.master);
        path.open_gate();
        for _ in 0..5000 {
            path.deliver(&[0x55; 1400]);
            path.flush();
        }
        assert!(path.dropped() > 4000);
        assert!(path.wants_write());
        assert!(path.queue.capacity() < 8 * QUEUE, "{}", path.queue.capacity());
    }

    #[test]
    fn a_full_tty_is_left_alone_until_it_has_room() {
        let p = pty::open().unwrap();
        let (mut path, mut pppd) = (PtyPath::new(p.master), File::from(p.slave));
        path.open_gate();
        while !path.full {
            path.deliver(&[0x55; 1400]);
            path.flush();
        }
        let want = path.queue.len() - path.sent;
        let mut some = [0; 65536];
        assert!(pppd.read(&mut some).unwrap() > 0);
        path.flush();
        assert_eq!(path.queue.len() - path.sent, want, "nobody has told of room");
        // It comes when the reader has had a good part of what is there.
        while path.queue.len() - path.sent == want {
            assert!(pppd.read(&mut some).unwrap() > 0);
            path.resume();
        }
        while path.wants_write() {
            assert!(pppd.read(&mut some).unwrap() > 0);
            path.resume();
        }
        assert!(!path.full && path.queue.is_empty() && path.dropped == 0);
    }

    #[test]
    fn a_closed_tty_is_told() {
        let p = pty::open().unwrap();
        let mut path = PtyPath::new(p.master);
        assert!(path.collect(READ, &mut |_| ()));
        drop(p.slave);
        assert!(!path.collect(READ, &mut |_| ()));
    }
}
