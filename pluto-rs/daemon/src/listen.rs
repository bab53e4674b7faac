//! The IKE sockets: one per local address for port 500 and one for 4500, scanned again at every `--listen`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use ike::{Input, Interface};
use ipsec_netio::udp::{BATCH, IkeSocket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

use crate::readiness;

/// A socket shared by the task that reads and the loop that writes.
type Shared = Rc<RefCell<IkeSocket>>;

struct Listener {
    socket: Shared,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All sockets, by local address and port.
pub(crate) struct Listeners {
    open: BTreeMap<SocketAddr, Listener>,
    only: Option<IpAddr>,
    ikeport: u16,
    encapsulate: bool,
    heard: Sender<Input>,
}

impl Listeners {
    pub(crate) fn new(only: Option<IpAddr>, ikeport: u16, encapsulate: bool, heard: Sender<Input>) -> Self {
        Listeners { open: BTreeMap::new(), only, ikeport, encapsulate, heard }
    }

    /// Binds what is new, closes what is gone. The errors are for the log.
    pub(crate) fn scan(&mut self) -> (Vec<Interface>, Vec<String>) {
        let mut errors = Vec::new();
        let found = ipsec_netio::ifaces::addresses().unwrap_or_else(|e| {
            errors.push(format!("cannot list the interfaces: {e}"));
            Vec::new()
        });
        let found: Vec<Interface> = found
            .into_iter()
            .filter(|(_, a)| usable(*a) && self.only.is_none_or(|o| o == *a))
            .map(|(name, addr)| Interface { name, addr, port: self.ikeport })
            .collect();
        let mut ready = Vec::new();
        let mut wanted = BTreeSet::new();
        for i in found {
            let ports = [self.ikeport, self.ikeport + 4000];
            let bound: Vec<bool> = ports
                .map(|port| {
                    let at = SocketAddr::new(i.addr, port);
                    wanted.insert(at);
                    self.open.contains_key(&at)
                        || self.bind(at).map_err(|e| errors.push(format!("cannot bind {at}: {e}"))).is_ok()
                })
                .to_vec();
            if bound.into_iter().all(|b| b) {
                ready.push(i);
            }
        }
        self.open.retain(|at, _| wanted.contains(at));
        (ready, errors)
    }

    fn bind(&mut self, at: SocketAddr) -> io::Result<()> {
        let socket = IkeSocket::bind(at)?;
        if self.encapsulate {
            ipsec_kernel::sockopt::bypass_ipsec(socket.as_fd(), at.is_ipv6())?;
            if at.port() != self.ikeport {
                ipsec_kernel::sockopt::udp_encap(socket.as_fd())?;
            }
        }
        let poll = readiness::watch(socket.as_fd(), Interest::READABLE)?;
        let socket = Rc::new(RefCell::new(socket));
        let task = tokio::task::spawn_local(receive(poll, socket.clone(), at, self.heard.clone()));
        self.open.insert(at, Listener { socket, task });
        Ok(())
    }

    /// Closes all.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }

    /// Sends one datagram.
    pub(crate) fn send(&self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> io::Result<()> {
        match self.open.get(&local) {
            Some(l) => l.socket.borrow().send_to(data, remote).map(|_| ()),
            None => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        }
    }
}

/// Addresses a peer can reach; loopback counts, as tests and local tunnels use it.
fn usable(a: IpAddr) -> bool {
    match a {
        IpAddr::V4(a) => !a.is_unspecified() && !a.is_multicast(),
        IpAddr::V6(a) => !a.is_unspecified() && !a.is_multicast() && !a.is_unicast_link_local(),
    }
}

/// Datagrams, and what the system says of those that we have sent.
async fn receive(poll: AsyncFd<OwnedFd>, socket: Shared, local: SocketAddr, out: Sender<Input>) {
    loop {
        let Ok(mut ready) = poll.ready(Interest::READABLE | Interest::ERROR).await else { return };
        let mut batch = Vec::new();
        let got = socket.borrow_mut().recv_batch(|data, remote| {
            batch.push(Input::Datagram { local, remote, data: data.to_vec() });
        });
        let Ok(n) = got else { return };
        if n == 0 || ready.ready().is_error() {
            socket.borrow().drain_errors(|e| {
                if let Some(remote) = e.peer {
                    batch.push(Input::Undelivered { local, remote, why: e.to_string() });
                }
            });
        }
        // Nothing left: the event loop has to hear of the next datagram before this is tried again.
        if n < BATCH {
            ready.clear_ready();
        }
        for input in batch {
            // A full channel leaves the rest in the kernel's buffer: that is the back-pressure.
            if out.send(input).await.is_err() {
                return;
            }
        }
    }
}
