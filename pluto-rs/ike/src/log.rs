//! Log lines with Openswan's prefix, and their copies to the control client that waits for a negotiation.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind};
use crate::io::{ClientId, Output, Record};
use crate::sa::{Serial, StateName};

/// Octets of most labels.
const LABEL: usize = 64;
/// Half-open SAs up to which each one is logged in full.
const CALM: usize = 100;

impl Endpoint {
    /// `"conn"[N] PEER`.
    pub(crate) fn conn_label(&self, conn: ConnId, port: u16) -> String {
        let mut out = String::new();
        self.write_label(&mut out, conn, port);
        out
    }

    fn write_label(&self, out: &mut String, conn: ConnId, port: u16) {
        let conn = self.conns.get(conn);
        for part in ["\"", conn.map_or("?", |c| &c.spec.name), "\""] {
            out.push_str(part);
        }
        let Some((ConnKind::Instance(n), Some(peer))) = conn.map(|c| (c.kind, c.peer)) else { return };
        out.push('[');
        push_number(out, n);
        out.push_str("] ");
        let port = Some(port).filter(|p| *p != 500 && *p != 0);
        // Writing to a String does not fail.
        let _ = match (peer, port) {
            (IpAddr::V4(ip), _) => {
                push_ipv4(out, ip);
                port.into_iter().for_each(|port| {
                    out.push(':');
                    push_number(out, port.into());
                });
                Ok(())
            }
            (IpAddr::V6(ip), None) => write!(out, "{ip}"),
            (IpAddr::V6(_), Some(port)) => write!(out, "{}", SocketAddr::new(peer, port)),
        };
    }

    /// Writes what a line about an SA begins with; the client that waits for it.
    fn write_context(&self, out: &mut String, serial: Serial) -> Option<ClientId> {
        let (conn, port, whack) = match (self.ikes.get(&serial), self.children.get(&serial)) {
            (Some(s), _) => (s.conn, s.remote.port(), s.later.whack),
            (None, Some(c)) => (c.conn, self.ikes.get(&c.ike).map_or(0, |s| s.remote.port()), c.whack),
            (None, None) => {
                let _ = write!(out, "{serial}: ");
                return None;
            }
        };
        self.write_label(out, conn, port);
        out.push_str(" #");
        push_number(out, serial.0);
        out.push_str(": ");
        whack
    }

    /// A line about an SA, with reply code `code` for the client that waits for it.
    pub(crate) fn log_sa(&mut self, serial: Serial, code: u8, text: &str) {
        let mut line = String::with_capacity(text.len() + LABEL);
        let whack = self.write_context(&mut line, serial);
        line.push_str(text);
        let text = line;
        if let Some(client) = whack {
            self.reply(client, code, &text);
        }
        // Under attack, first messages are junk like any other.
        let junk = self.half_open.len() > CALM && self.half_open.is_unproved(serial);
        self.out.push_back(Output::Log(Record { text, junk }));
    }

    /// `transition from state A to state B`.
    pub(crate) fn log_transition(&mut self, serial: Serial, from: StateName, to: StateName) {
        let text = format!("transition from state {} to state {}", from.label(), to.label());
        self.log_sa(serial, rc::LOG, &text);
    }

    /// `STATE_X: story`, with extra text for established ones.
    pub(crate) fn log_state(&mut self, serial: Serial, to: StateName, extra: &str) {
        let done = matches!(
            to,
            StateName::MainI4
                | StateName::MainR3
                | StateName::AggrI2
                | StateName::AggrR2
                | StateName::QuickI2
                | StateName::QuickR2
        );
        let text = format!("{}: {}{extra}", to.label(), to.story());
        self.log_sa(serial, if done { rc::SUCCESS } else { to.code() }, &text);
    }

    /// A line about a connection.
    pub(crate) fn log_conn(&mut self, conn: ConnId, client: Option<ClientId>, code: u8, text: &str) {
        let text = format!("{}: {text}", self.conn_label(conn, 0));
        if let Some(client) = client {
            self.reply(client, code, &text);
        }
        self.out.push_back(Output::Log(Record { text, junk: false }));
    }

    /// A line about a datagram that belongs to no SA; limited in rate by the shell.
    pub(crate) fn log_packet(&mut self, remote: SocketAddr, text: &str) {
        let text = format!("packet from {remote}: {text}");
        self.out.push_back(Output::Log(Record { text, junk: true }));
    }

    /// A line without a prefix.
    pub(crate) fn log_plain(&mut self, client: Option<ClientId>, code: u8, text: &str) {
        if let Some(client) = client {
            self.reply(client, code, text);
        }
        self.out.push_back(Output::Log(Record { text: text.into(), junk: false }));
    }

    /// A reply line without a log line.
    pub(crate) fn reply(&mut self, client: ClientId, code: u8, text: &str) {
        self.out.push_back(Output::Whack(client, format!("{code:03} {text}")));
    }

    /// Ends the wait of the client attached to an SA.
    pub(crate) fn release_whack(&mut self, serial: Serial) {
        let client = match (self.ikes.get_mut(&serial), self.children.get_mut(&serial)) {
            (Some(s), _) => s.later.there().and_then(|l| l.whack.take()),
            (None, Some(c)) => c.whack.take(),
            (None, None) => None,
        };
        if let Some(client) = client {
            self.out.push_back(Output::WhackDone(client));
        }
    }
}

/// The number in decimal. As every line begins with some, this is done without the formatter, which takes several times as
/// long.
fn push_number(out: &mut String, n: u32) {
    let mut unit = 10u32.pow(n.checked_ilog10().unwrap_or(0));
    while unit > 0 {
        out.push(char::from(b'0' + (n / unit % 10) as u8));
        unit /= 10;
    }
}

/// The address with its dots, likewise.
fn push_ipv4(out: &mut String, ip: Ipv4Addr) {
    for (n, octet) in ip.octets().into_iter().enumerate() {
        if n > 0 {
            out.push('.');
        }
        push_number(out, octet.into());
    }
}

/// `10.0.0.1/32:17/1701` without the `/32` of a single host of that address.
pub(crate) fn end_text(net: ipnet::IpNet, host: IpAddr, proto: u8, port: u16) -> String {
    let pp = if proto == 0 { String::new() } else { format!(":{proto}/{port}") };
    if net == ipnet::IpNet::from(host) { format!("{host}{pp}") } else { format!("{net}==={host}{pp}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_the_formatter_does() {
        for n in [0, 1, 9, 10, 99, 100, 101, 65_535, 1_000_000_000, u32::MAX] {
            let mut out = String::new();
            push_number(&mut out, n);
            assert_eq!(out, n.to_string());
            out.clear();
            push_ipv4(&mut out, n.into());
            assert_eq!(out, Ipv4Addr::from(n).to_string());
        }
    }
}
