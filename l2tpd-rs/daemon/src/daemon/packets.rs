//! Datagrams from the peers to the engine or to a call's data path, and back.

use std::io;
use std::time::Duration;

use l2tp_proto::{Input, Instant, Level};

use super::Daemon;
use crate::udp::BATCH;

/// Batches of datagrams a wake-up.
const UDP_BATCHES: usize = 4;

impl Daemon {
    /// Takes datagrams of the port, or of the socket of a tunnel in the kernel.
    pub(super) fn receive(&mut self, now: Instant, tunnel: Option<u16>) {
        let (port, plain) = (self.listen.port(), self.conf.global.listen_plain);
        let mut looked = false;
        for _ in 0..UDP_BATCHES {
            let (engine, calls, protected) = (&mut self.engine, &mut self.calls, &mut self.protected);
            let (secrets, addresses, looked) = (&mut self.secrets, &mut self.addresses, &mut looked);
            let udp = match tunnel {
                None => &mut self.udp,
                Some(id) => match self.starts.kernel.udp(id) {
                    Some(udp) => udp,
                    None => return,
                },
            };
            let (debug, log) = (self.conf.global.debug, &self.log);
            let got = udp.receive(|mut path, data| {
                if debug.network {
                    let (ip, port) = (path.peer.ip(), path.peer.port());
                    log.debug(&format!(
                        "network_thread: recv packet from {ip}, port {port}, size = {}",
                        data.len()
                    ));
                }
                if debug.packet {
                    log.debug(&crate::log::hex(data));
                }
                // The T bit tells control from data; data goes the short way.
                let control = data.first().is_some_and(|b| b & 0x80 != 0);
                let mask = protected.mask(now, path.local, port);
                path.mark &= mask.unwrap_or(u32::MAX);
                if control {
                    if !std::mem::replace(looked, true) {
                        if let Some((table, warnings)) = secrets.changed() {
                            engine.set_secrets(table);
                            warnings.iter().for_each(|w| log.warning(w));
                        }
                        addresses.look_at_secrets(now, engine);
                    }
                    let refuse_clear = path.mark == 0 && !plain.unwrap_or(mask.is_none());
                    engine.handle(now, Input::Datagram { path, refuse_clear, data });
                } else if let Some((call, frame)) = engine.demux(now, &path, data) {
                    calls.deliver(call, frame);
                }
            });
            match got {
                Ok(n) if n == BATCH && tunnel.is_none() => {}
                Ok(_) => break,
                // What ICMP told about an earlier packet; the engine's own timers decide.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused && tunnel.is_some() => break,
                Err(e) => {
                    self.log.warning(&format!("network_thread: recvfrom returned error {e}"));
                    break;
                }
            }
        }
    }

    /// Frames to the pppds, datagrams to the peers.
    pub(super) fn send(&mut self, now: Instant) {
        for generation in self.calls.flush(&self.epoll) {
            self.collect(generation);
        }
        let mut first = None;
        self.udp.send(&self.outgoing, |e| {
            first.get_or_insert(e);
        });
        self.outgoing.clear();
        if let Some(e) = first
            && self.send_error_told.is_none_or(|at| now.since(at) >= Duration::from_secs(10))
        {
            self.send_error_told = Some(now);
            let (ip, port) = (e.path.peer.ip(), e.path.peer.port());
            self.log.line(Level::Err, &format!("udp_xmit failed to {ip}:{port} with err=-1:{}", e.error));
        }
    }
}
