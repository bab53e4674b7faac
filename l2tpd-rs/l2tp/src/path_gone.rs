//! The end of tunnels whose way to the peer is gone.

use crate::endpoint::Endpoint;
use crate::io::Level;
use crate::tunnel::{Tunnel, TunnelState};

impl Endpoint {
    /// Ends the tunnels of an IPsec SA pair that is gone; their peer cannot be told.
    pub(crate) fn path_gone(&mut self, mark: u32) {
        let Some(ids) = self.by_mark.get(&mark).cloned() else { return };
        // A closed one has had its line.
        let line = |t: &Tunnel| {
            let (ip, port) = (t.path.peer.ip(), t.path.peer.port());
            let open = !matches!(t.state, TunnelState::Closing | TunnelState::Stopped);
            open.then(|| format!("Connection {} closed to {ip}, port {port} (IPsec SA is gone)", t.peer_id))
        };
        let ends: Vec<_> =
            ids.iter().filter_map(|id| self.tunnels.get(id)).map(|t| (t.id, line(t))).collect();
        for (id, line) in ends {
            if let Some(text) = line {
                self.log(Level::Notice, text);
            }
            self.end_calls(id, "IPsec SA is gone");
            self.tunnel_down(id, "IPsec SA is gone", false);
            self.remove_tunnel(id);
        }
    }
}
