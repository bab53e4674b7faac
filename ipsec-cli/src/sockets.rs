//! Who holds a UDP port, by `/proc`. Opens no socket and asks no program.

use std::collections::BTreeSet;
use std::fs;

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    /// Its process number.
    pub(crate) pid: u32,
    /// Its name as in `/proc/PID/comm`, control characters replaced.
    pub(crate) name: String,
}

/// The inodes of the UDP sockets bound to `port`, of IPv4 and IPv6; empty when the port is free.
pub(crate) fn udp(port: u16) -> BTreeSet<u64> {
    let lists = ["/proc/net/udp", "/proc/net/udp6"].map(|f| fs::read_to_string(f).unwrap_or_default());
    lists.iter().flat_map(|l| l.lines().skip(1)).filter_map(|l| inode(l, port)).collect()
}

/// The inode in a line of `/proc/net/udp` whose local port is `port`.
fn inode(line: &str, port: u16) -> Option<u64> {
    let mut words = line.split_whitespace();
    let (_, local) = words.nth(1)?.rsplit_once(':')?;
    // After the local address come remote, state, queues, timer, retransmits, user and timeout.
    (u16::from_str_radix(local, 16).ok()? == port).then(|| words.nth(7)?.parse().ok())?
}

/// The processes that hold one of `sockets`; those this user may not look into are left out.
pub(crate) fn owners(sockets: &BTreeSet<u64>) -> BTreeSet<Owner> {
    let holds = |pid: u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|f| fs::read_link(f.path()).ok()).any(|to| {
            let to = to.to_string_lossy();
            let number = to.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']'));
            number.and_then(|n| n.parse().ok()).is_some_and(|n: u64| sockets.contains(&n))
        })
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| !sockets.is_empty() && holds(pid))
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let name = name.trim().replace(|c: char| c.is_control(), "?");
            Owner { pid, name }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inode_is_read_from_proc_lines() {
        let line =
            "  12: 00000000:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 4711 2 0 0";
        assert_eq!(inode(line, 500), Some(4711));
        assert_eq!(inode(line, 4500), None);
        assert_eq!(inode("", 0), None);
        assert_eq!(inode("1: 00000000:01F4 x", 500), None);
    }

    #[test]
    fn the_holder_of_a_port_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(owners(&udp(port)).iter().any(|o| o.pid == std::process::id()));
        drop(socket);
        assert!(owners(&BTreeSet::new()).is_empty());
    }
}
