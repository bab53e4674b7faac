//! `ipsec ikeping`: ISAKMP echo requests of a private exchange type, and answers to them with `--listen`.
//!
//! ```text
//!  icookie (8) | rcookie (8) | next payload 0 | version 1.0 | exchange 244 | flags | msgid (4) | length (4)
//! ```
//! With `--nat-t` four zero octets stand before that (RFC 3948 §2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use crate::info;

/// Exchange types of `draft-ietf-ipsec-ike-ping`, and the private ones that are used.
const ECHO: (u8, u8) = (30, 31);
const ECHO_PRIVATE: (u8, u8) = (244, 245);
const HEADER: usize = 28;
/// Hosts that are asked at once.
const MOST: usize = 1000;

fn usage() -> String {
    format!(
        "Usage:\n\nikeping [--listen]     causes IKEping to open a socket and reply to requests.
 [--verbose]    causes IKEping to hexdump all packets sent/received.
 [--ikeport <port-number>]      port to listen on/send from
 [--ikeaddress <address>]       address to listen on/send from
 [--inet]       just send/listen on IPv4 socket
 [--inet6]      just send/listen on IPv6 socket
 [--version]    just dump version number and exit
 [--nat-t]      enabled NONESP encapsulation on port
 [--exchangenum num]    use num instead of 244 for the exchange type.
 [--wait seconds]    time to wait for replies, defaults to 3 seconds.
 host/port ...\n\nOpenswan {}",
        info::version_code()
    )
}

#[derive(Debug)]
struct Options {
    listen: bool,
    verbose: bool,
    port: u16,
    address: Option<IpAddr>,
    six: bool,
    natt: bool,
    exchange: u8,
    wait: Duration,
    /// How many packets are answered before `--listen` ends; 0 is all.
    hosts: Vec<String>,
}

/// Runs `ipsec ikeping`. The exit status is the number of requests without an answer; 1 for a bad value.
pub(crate) fn run(args: &[String]) -> i32 {
    match args.iter().map(String::as_str).find(|a| matches!(*a, "--help" | "-h" | "--version" | "-V")) {
        Some("--help" | "-h") => {
            eprintln!("{}", usage());
            return 0;
        }
        Some(_) => {
            eprintln!("Openswan {}", info::version_code());
            return 0;
        }
        None => {}
    }
    let done = parse(args).and_then(|o| {
        let to = if o.listen { Vec::new() } else { targets(&o)? };
        Ok((o, to))
    });
    let (o, to) = match done {
        Ok(done) => done,
        Err(why) => {
            eprintln!("{why}");
            return 1;
        }
    };
    let socket = match open(&o) {
        Ok(socket) => socket,
        Err(e) => {
            eprintln!("socket: {e}");
            return 3;
        }
    };
    ping(&o, &socket, &to)
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut o = Options {
        listen: false,
        verbose: false,
        port: 500,
        address: None,
        six: false,
        natt: false,
        exchange: ECHO_PRIVATE.0,
        wait: Duration::from_secs(3),
        hosts: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, glued) = match arg.split_once('=').filter(|(n, _)| n.starts_with("--")) {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (arg.as_str(), None),
        };
        let mut value = || glued.clone().or_else(|| args.next().cloned()).ok_or_else(usage);
        match name {
            "--listen" | "-s" => o.listen = true,
            "--verbose" | "-v" => o.verbose = true,
            "--inet" | "-4" => o.six = false,
            "--inet6" | "-6" => o.six = true,
            "--nat-t" | "--natt" => o.natt = true,
            "--ikeport" | "-p" => {
                let text = value()?;
                let bad = |_| format!("Invalid port number '{text}' (should be 0<=x<65536)");
                o.port = text.parse().map_err(bad)?;
                eprintln!("setting source port to {}", o.port);
            }
            "--ikeaddress" | "-b" => {
                let text = value()?;
                let bad = |e| format!("Invalid local address '{text}': {e}");
                o.address = Some(text.parse::<IpAddr>().map_err(bad)?);
            }
            "--exchangenum" | "-E" => {
                let text = value()?;
                let bad = || format!("Invalid exchange number '{text}' (should be 1<=x<255)");
                o.exchange = text.parse().ok().filter(|n| (1..255).contains(n)).ok_or_else(bad)?;
            }
            "--wait" | "-w" => {
                let text = value()?;
                let bad = || format!("Invalid waittime number '{text}' (should be 0<=x)");
                o.wait =
                    text.parse().ok().filter(|n| *n <= 86_400).map(Duration::from_secs).ok_or_else(bad)?;
            }
            _ if name.starts_with('-') => return Err(usage()),
            _ => o.hosts.push(arg.clone()),
        }
    }
    Ok(o)
}

/// The addresses of the hosts.
fn targets(o: &Options) -> Result<Vec<SocketAddr>, String> {
    let mut all = Vec::new();
    for text in o.hosts.iter().take(MOST) {
        let (host, port) = text.split_once('/').map_or((text.as_str(), "500"), |(h, p)| (h, p));
        let port: u16 =
            port.parse().map_err(|_| format!("Invalid port number '{port}' (should be 0<=x<65536)"))?;
        let found = (host, port).to_socket_addrs().map(|mut a| a.find(|a| a.is_ipv6() == o.six));
        let none = || format!("Invalid remote address '{host}': no address of that family");
        all.push(found.map_err(|e| format!("Invalid remote address '{host}': {e}"))?.ok_or_else(none)?);
    }
    Ok(all)
}

/// A socket on the port, or, where that is taken, on any.
fn open(o: &Options) -> std::io::Result<UdpSocket> {
    let any = if o.six { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let address = o.address.unwrap_or(any);
    UdpSocket::bind((address, o.port)).or_else(|e| {
        let family = if o.six { "v6" } else { "v4" };
        eprintln!("warning, unable to bind {family} socket port {}: {e}", o.port);
        match o.listen {
            true => Err(e),
            false => UdpSocket::bind((address, 0)),
        }
    })
}

fn ping(o: &Options, socket: &UdpSocket, to: &[SocketAddr]) -> i32 {
    for target in to {
        println!("Sending packet to {}/{}", target.ip(), target.port());
        let mut packet = [0; HEADER];
        let random = getrandom::fill(&mut packet[..16]).and_then(|()| getrandom::fill(&mut packet[20..24]));
        if random.is_err() {
            return 5;
        }
        packet[17] = 0x10;
        packet[18] = o.exchange;
        packet[27] = HEADER as u8;
        if let Err(e) = send(o, socket, &packet, *target) {
            eprintln!("sendto: {e}");
            return 5;
        }
    }
    let mut received = 0;
    let mut end = Instant::now() + o.wait;
    let mut buffer = [0; 2048];
    while o.listen || received < to.len() {
        // No time-out at all is 0 here; a listener waits for ever.
        let left = end.saturating_duration_since(Instant::now());
        if !o.listen && left.is_zero() || socket.set_read_timeout(Some(left).filter(|_| !o.listen)).is_err() {
            break;
        }
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => {
                received += 1;
                end = Instant::now() + o.wait;
                if let Some(answer) = receive(o, buffer.get(..len).unwrap_or_default(), from)
                    && let Err(e) = send(o, socket, &answer, from)
                {
                    eprintln!("sendto: {e}");
                }
            }
            // A port that is closed: the kernel tells that of an earlier packet.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(_) => break,
        }
    }
    let (sent, lost) = (to.len(), to.len().saturating_sub(received));
    let percent = (lost * 100).checked_div(sent).unwrap_or(0);
    println!("{sent} packets sent, {received} packets received. {percent}% packet loss");
    i32::try_from(lost.min(255)).unwrap_or(255)
}

fn send(o: &Options, socket: &UdpSocket, packet: &[u8], to: SocketAddr) -> std::io::Result<()> {
    let full = if o.natt { [&[0; 4], packet].concat() } else { packet.to_vec() };
    if o.verbose {
        dump("sent", &full);
    }
    socket.send_to(&full, to).map(drop)
}

fn dump(what: &str, packet: &[u8]) {
    println!("{what} {} octets:", packet.len());
    for line in packet.chunks(16) {
        println!("\t{}", line.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "));
    }
}

/// Prints a packet; the answer to it, if it is a request and we listen.
fn receive(o: &Options, packet: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    if o.verbose {
        dump("received", packet);
    }
    let total = packet.len();
    let (ip, port) = (from.ip(), from.port());
    let ike = match (o.natt, packet) {
        (true, [0, 0, 0, 0, rest @ ..]) => rest,
        (true, [a, b, c, d, ..]) => {
            println!(
                "kernel failed to steal ESP packet (SPI=0x{a:02x}{b:02x}{c:02x}{d:02x}) of length {total}"
            );
            return None;
        }
        _ => packet,
    };
    let Some(head) = ike.get(..HEADER) else {
        eprintln!("read short packet ({total}) from {ip}/{port}");
        return None;
    };
    let kind = head[18];
    let is_request = kind == ECHO.0 || kind == ECHO_PRIVATE.0 || kind == o.exchange;
    let is_reply = kind == ECHO.1 || kind == ECHO_PRIVATE.1 || kind == o.exchange.wrapping_add(1);
    let name = match (is_request, is_reply) {
        (true, _) => "echo-request",
        (_, true) => "echo-reply",
        _ => "",
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    println!("received {kind}({name}) packet from {ip}/{port} of len: {total}");
    println!(
        "\trcookie={}_{} icookie={}_{} msgid={}",
        hex(&head[..4]),
        hex(&head[4..8]),
        hex(&head[8..12]),
        hex(&head[12..16]),
        hex(&head[20..24])
    );
    println!("\tnp={:03}  version={}.{}    xchg={name}({kind})", head[16], head[17] >> 4, head[17] & 15);
    if !o.listen || !is_request {
        return None;
    }
    let mut answer = [&head[8..16], &head[..8], &head[16..]].concat();
    answer[16] = 0;
    answer[17] = 0x10;
    answer[18] = match kind {
        k if k == ECHO.0 => ECHO.1,
        k if k == ECHO_PRIVATE.0 => ECHO_PRIVATE.1,
        other => other.wrapping_add(1),
    };
    answer[19] = 0;
    answer[24..].copy_from_slice(&(HEADER as u32).to_be_bytes());
    Some(answer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        parse(&line.split_whitespace().map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn bad_values_are_told() {
        for (line, why) in [
            ("--ikeport 70000", "Invalid port number '70000' (should be 0<=x<65536)"),
            ("--exchangenum 0", "Invalid exchange number '0' (should be 1<=x<255)"),
            ("--wait -1", "Invalid waittime number '-1' (should be 0<=x)"),
            ("--frob", &usage()),
            ("--wait", &usage()),
        ] {
            assert_eq!(options(line).unwrap_err(), why);
        }
        assert!(targets(&options("127.0.0.1/x").unwrap()).is_err());
        assert!(targets(&options("--inet6 127.0.0.1").unwrap()).is_err());
        assert_eq!(
            targets(&options("--inet 127.0.0.1/4500").unwrap()).unwrap(),
            ["127.0.0.1:4500".parse().unwrap()]
        );
    }

    #[test]
    fn a_request_is_answered_and_nothing_else() {
        let listen = options("--listen").unwrap();
        let from = "127.0.0.1:500".parse().unwrap();
        let mut packet = [7; HEADER];
        packet[..8].fill(1);
        packet[8..16].fill(2);
        packet[18] = 244;
        let answer = receive(&listen, &packet, from).unwrap();
        assert_eq!(
            (&answer[..8], &answer[8..16], answer[18], answer.len()),
            (&[2; 8][..], &[1; 8][..], 245, HEADER)
        );
        assert!(receive(&listen, &answer, from).is_none());
        assert!(receive(&listen, &packet[..27], from).is_none());
        assert!(receive(&options("").unwrap(), &packet, from).is_none());
        let natt = options("--listen --nat-t").unwrap();
        assert!(receive(&natt, &packet, from).is_none());
        assert!(receive(&natt, &[&[0; 4], &packet[..]].concat(), from).is_some());
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(packet in proptest::collection::vec(any::<u8>(), 0..64), natt in any::<bool>()) {
            let o = options(if natt { "--listen --nat-t" } else { "--listen" }).unwrap();
            receive(&o, &packet, "127.0.0.1:1".parse().unwrap());
        }
    }
}
