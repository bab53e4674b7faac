//! What the system says of datagrams of ours that did not arrive, mostly ICMP messages of others (`Connection refused`: no IKE
//! daemon is there). Anybody can send those, so they change nothing; who calls a peer that does not answer is told why, once
//! for each time that a message was sent.

use std::net::SocketAddr;

use ipsec_types::whack::rc;

use crate::Endpoint;

impl Endpoint {
    /// A message from `local` to `remote` did not arrive; `why` ends Openswan's line about that. Who nobody calls is not told
    /// of: what others answer to is theirs to repeat.
    pub(crate) fn on_undelivered(&mut self, local: SocketAddr, remote: SocketAddr, why: &str) {
        for serial in self.ikes.calling(remote.ip()) {
            let Some(sa) = self.ikes.get_mut(&serial) else { continue };
            let sent = Some((sa.name(), sa.retransmits));
            if (sa.local, sa.remote) != (local, remote) || sa.later.undelivered == sent {
                continue;
            }
            sa.later.undelivered = sent;
            let device = self.interfaces.iter().find(|i| i.addr == local.ip()).map_or("?", |i| &i.name);
            let text = format!(
                "ERROR: asynchronous network error report on {device} (sport={}) for message to {} port {}, {why}",
                local.port(),
                remote.ip(),
                remote.port()
            );
            self.log_sa(serial, rc::LOG, &text);
        }
    }
}
