//! Addresses, networks, protocols and ports as `ipsec.conf` writes them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnet::{IpNet, Ipv4Net};
use ipsec_types::Id;
use ipsec_types::conn::{ClientSpec, HostSpec, Port, ProtoPort, VirtualPrivate, VirtualWord};
use ipsec_types::modecfg::AddressPool;

use crate::source;

/// A literal address: dotted quad, IPv6, or `0x` and eight hexadecimal digits.
pub fn address(s: &str) -> Option<IpAddr> {
    if let Some(hex) = s.strip_prefix("0x")
        && hex.len() == 8
    {
        return u32::from_str_radix(hex, 16).ok().map(|n| Ipv4Addr::from(n).into());
    }
    s.parse().ok().or_else(|| padded_v4(s))
}

/// `127.000.000.001`: octets with zeros in front are decimal all the same.
fn padded_v4(s: &str) -> Option<IpAddr> {
    let octet = |o: &str| match o.len() {
        1..=3 if o.bytes().all(|b| b.is_ascii_digit()) => o.parse::<u8>().ok(),
        _ => None,
    };
    let octets: Vec<u8> = s.split('.').map(octet).collect::<Option<_>>()?;
    <[u8; 4]>::try_from(octets).ok().map(IpAddr::from)
}

/// Whether `s` can be a host name.
pub fn is_host_name(s: &str) -> bool {
    (1..=255).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && s.bytes().any(|b| b.is_ascii_alphabetic())
        && !s.starts_with(['.', '-'])
}

/// Whether `s` is a text of printable characters, short enough for a name.
pub(crate) fn is_plain(s: &str) -> bool {
    (1..=255).contains(&s.len()) && s.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// An identity of any form, distinguished names included. Host names without `@` are errors here.
///
/// # Errors
/// Why it is none.
pub fn identity(s: &str) -> Result<Id, String> {
    s.parse::<Id>().or_else(|e| padded_v4(s).map(Id::Addr).ok_or_else(|| e.to_string()))
}

/// A distinguished name as DER.
///
/// # Errors
/// Why it is none.
pub fn dn(s: &str) -> Result<Vec<u8>, String> {
    match identity(s) {
        Ok(Id::Dn(der)) => Ok(der),
        Err(why) if s.contains('=') => Err(why),
        _ => Err(format!("`{s}' is not a distinguished name")),
    }
}

/// `leftaddresspool=`: `FIRST-LAST`, or a network without its first and last address; of several the first.
///
/// # Errors
/// Why it is none.
pub fn pool(s: &str) -> Result<AddressPool, String> {
    let one = s.split(',').map(str::trim).find(|p| !p.is_empty()).unwrap_or_default();
    let (first, last) = match one.split_once('-') {
        Some((first, last)) => (address(first.trim()), address(last.trim())),
        None if one.contains('/') => {
            let net = subnet(one)?;
            // Of an IPv6 network, the first address is any router of it (RFC 4291 section 2.6.1).
            let first = usize::from(matches!(net, IpNet::V6(n) if n.prefix_len() < 127));
            (net.hosts().nth(first), Some(hosts_end(net)))
        }
        None => (address(one), address(one)),
    };
    match (first, last) {
        (Some(first), Some(last)) if first <= last && first.is_ipv4() == last.is_ipv4() => {
            Ok(AddressPool { first, last })
        }
        (Some(_), Some(_)) => Err("the last address is before the first".into()),
        _ => Err("expected FIRST-LAST or NET/BITS".into()),
    }
}

/// The last address of a network that a host may have.
fn hosts_end(net: IpNet) -> IpAddr {
    match net {
        IpNet::V4(n) if n.prefix_len() < 31 => Ipv4Addr::from(u32::from(n.broadcast()) - 1).into(),
        other => other.broadcast(),
    }
}

/// `left=`: an address, one of the `%` words, `%ifname`, or a host name (of `name/IP` and `%dns/name/IP`, the name).
///
/// # Errors
/// Why it is none of these.
pub fn host(s: &str) -> Result<HostSpec, String> {
    match s.to_ascii_lowercase().as_str() {
        "%any" | "%any4" | "%any6" | "0.0.0.0" | "::" | "0::0" | "%" => return Ok(HostSpec::Any),
        "%defaultroute" => return Ok(HostSpec::DefaultRoute),
        "%unset" => return Ok(HostSpec::Unset),
        "%group" => return Ok(HostSpec::Group),
        "%opportunistic" | "%oppo" => return Ok(HostSpec::Opportunistic),
        "%opportunisticgroup" | "%oppogroup" => return Ok(HostSpec::OpportunisticGroup),
        "%dns" | "%hostname" | "%address" => return Ok(HostSpec::Unset),
        _ => {}
    }
    if let Some(name) = s.strip_prefix("%dns/") {
        return host(name);
    }
    if let Some(interface) = s.strip_prefix('%') {
        // IFNAMSIZ of Linux.
        return match (1..=15).contains(&interface.len()) && !interface.contains(['/', ' ']) {
            true => Ok(HostSpec::Interface(interface.to_string())),
            false => Err("is not the name of an interface".into()),
        };
    }
    let name = s.split('/').next().unwrap_or(s);
    match address(s) {
        Some(a) if a.is_unspecified() => Ok(HostSpec::Any),
        Some(a) => Ok(HostSpec::Addr(a)),
        None if is_host_name(name) => Ok(HostSpec::Name(name.to_string())),
        None => Err("is neither an address nor a host name".into()),
    }
}

/// `leftsubnet=` as a network: `net/bits`, `net/mask`, `10.1/16`, `0/0`. Host bits are cleared.
///
/// # Errors
/// Openswan's reason.
pub fn subnet(s: &str) -> Result<IpNet, String> {
    if s == "%default" {
        return Ok(Ipv4Net::default().into());
    }
    let (net, mask) = s.split_once('/').ok_or("no / in subnet specification")?;
    let base: IpAddr = match net.parse() {
        Ok(a) => a,
        Err(_) => short_v4(net).ok_or("does not look numeric")?.into(),
    };
    let bits = match (mask.parse::<u8>(), mask.parse::<Ipv4Addr>()) {
        (Ok(bits), _) => bits,
        (_, Ok(mask)) => ipnet::ipv4_mask_to_prefix(mask).map_err(|_| "non-contiguous mask")?,
        _ => return Err("syntax error in mask length".into()),
    };
    IpNet::new(base, bits).map(|n| n.trunc()).map_err(|_| "mask length exceeds the address".into())
}

/// `10`, `10.1`, `10.1.2`: missing octets are zero.
fn short_v4(s: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let parts: Vec<&str> = s.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    for (octet, part) in octets.iter_mut().zip(parts) {
        *octet = part.parse().ok()?;
    }
    Some(octets.into())
}

/// `leftsubnet=` with its `vhost:` and `vnet:` forms.
///
/// # Errors
/// The reason; for `vhost:` the text of Openswan's log line.
pub fn client(s: &str) -> Result<ClientSpec, String> {
    let (single_host, list) = match (s.strip_prefix("vhost:"), s.strip_prefix("vnet:")) {
        (Some(list), _) => (true, list),
        (_, Some(list)) => (false, list),
        _ => return subnet(s).map(ClientSpec::Net),
    };
    let word = |w: &str| match w {
        "%no" => Some(VirtualWord::No),
        "%priv" => Some(VirtualWord::Priv),
        "%all" => Some(VirtualWord::All),
        w => family_net(w).map(VirtualWord::Net),
    };
    match list.split(',').map(|w| word(w.trim())).collect::<Option<Vec<_>>>() {
        Some(words) => Ok(ClientSpec::Virtual { single_host, words }),
        None => Err(format!("invalid virtual string [{s}]")),
    }
}

/// `%v4:net` or `%v6:net`.
fn family_net(s: &str) -> Option<IpNet> {
    let net = |s| subnet(s).ok();
    match (s.strip_prefix("%v4:"), s.strip_prefix("%v6:")) {
        (Some(n), _) => net(n).filter(|n| n.addr().is_ipv4()),
        (_, Some(n)) => net(n).filter(|n| n.addr().is_ipv6()),
        _ => None,
    }
}

/// `virtual_private=`: the networks, and what to say about the list. One bad entry disables the whole list.
pub fn virtual_private(s: &str) -> (VirtualPrivate, Vec<String>) {
    let mut list = VirtualPrivate::default();
    let mut messages = Vec::new();
    let mut bad = 0usize;
    for entry in s.split(',').map(str::trim).filter(|e| !e.is_empty()) {
        let mut entry = entry.to_string();
        if let Some(rest) = entry.strip_prefix("%4:").or_else(|| entry.strip_prefix("%:")) {
            messages.push(format!("fixup for bad virtual_private entry '{entry}'"));
            entry = format!("%v4:{rest}");
        }
        let negated = entry.contains(":!");
        match family_net(&entry.replacen(":!", ":", 1)) {
            Some(net) if negated => list.disallowed.push(net),
            Some(net) => list.allowed.push(net),
            None => {
                bad += 1;
                messages.push(format!("bad entry in virtual_private: '{entry}'"));
            }
        }
    }
    if bad > 0 {
        let s = if bad == 1 { "y" } else { "ies" };
        messages.push(format!("{bad} bad entr{s} in virtual_private - none loaded"));
        return (VirtualPrivate::default(), messages);
    }
    (list, messages)
}

/// Protocols known without `/etc/protocols`.
const PROTOCOLS: [(&str, u8); 10] = [
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

/// Services known without `/etc/services`.
const SERVICES: [(&str, u16); 14] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("http", 80),
    ("ntp", 123),
    ("snmp", 161),
    ("ldap", 389),
    ("https", 443),
    ("isakmp", 500),
    ("l2tp", 1701),
    ("l2f", 1701),
    ("ipsec-nat-t", 4500),
];

/// `leftprotoport=`: `PROTOCOL[/PORT]`, names or numbers, `%any` as port.
///
/// # Errors
/// Openswan's reason. A service nobody knows is an error here; Openswan took it for "all ports".
pub fn protoport(s: &str) -> Result<ProtoPort, String> {
    let (proto, port) = match s.split_once('/') {
        Some((proto, port)) => (proto, port),
        None => (s, ""),
    };
    let proto = match proto.parse::<u64>() {
        Ok(n) => u8::try_from(n).map_err(|_| "<protocol> must be between 0 and 255")?,
        Err(_) if proto == "%any" || proto == "any" => 0,
        Err(_) => PROTOCOLS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(proto))
            .map(|&(_, n)| n)
            .or_else(|| lookup("/etc/protocols", proto, None).and_then(|n| u8::try_from(n).ok()))
            .ok_or("<protocol> is neither a number nor a valid name")?,
    };
    let port = match port.parse::<u64>() {
        Ok(0) => Port::All,
        Ok(n) => Port::Number(u16::try_from(n).map_err(|_| "<port> must be between 0 and 65535")?),
        Err(_) if port.is_empty() => Port::All,
        Err(_) if port == "%any" => Port::Any,
        Err(_) => SERVICES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(port))
            .map(|&(_, n)| n)
            .or_else(|| lookup("/etc/services", port, Some(proto)).and_then(|n| u16::try_from(n).ok()))
            .map(Port::Number)
            .ok_or("<port> is neither a number nor a valid name")?,
    };
    Ok(ProtoPort { proto, port })
}

/// The number beside `name` in a file of the form `NAME NUMBER[/PROTOCOL] ALIAS…`.
fn lookup(file: &str, name: &str, proto: Option<u8>) -> Option<u32> {
    let text = source::read(Path::new(file)).ok()?;
    let wanted = match proto {
        Some(6) => Some("tcp"),
        Some(17) => Some("udp"),
        _ => None,
    };
    source::lines(&text).find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let first = words.next()?;
        let (number, of) = match words.next()?.split_once('/') {
            Some((number, of)) => (number.to_string(), Some(of.to_string())),
            None => (line.split_whitespace().nth(1)?.to_string(), None),
        };
        let named = first.eq_ignore_ascii_case(name) || words.any(|w| w.eq_ignore_ascii_case(name));
        let fits = wanted.is_none() || of.as_deref() == wanted;
        if named && fits { number.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_in_all_forms() {
        for (text, want) in [
            ("10.1.2.3/24", "10.1.2.0/24"),
            ("10.1/16", "10.1.0.0/16"),
            ("10/8", "10.0.0.0/8"),
            ("0/0", "0.0.0.0/0"),
            ("10.0.0.0/255.255.0.0", "10.0.0.0/16"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            assert_eq!(subnet(text).unwrap().to_string(), want);
        }
        for bad in ["10.0.0.1", "10.0.0.0/33", "10.0.0.0/255.0.255.0", "a/8", "1.2.3.4.5/8", "/", "::/129"] {
            assert!(subnet(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn protoports_by_number_and_name() {
        let show = |s: &str| protoport(s).map(|p| p.to_string());
        for (text, want) in [
            ("17/1701", "17/1701"),
            ("17/%any", "17/%any"),
            ("17/0", "17/0"),
            ("udp/l2tp", "17/1701"),
            ("tcp", "6/0"),
            ("tcp/telnet", "6/23"),
            ("UDP/", "17/0"),
        ] {
            assert_eq!(show(text).unwrap(), want);
        }
        for bad in ["256/1", "17/65536", "nosuch/1", "17/nosuchservice", ""] {
            assert!(show(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn virtual_words_and_lists() {
        let Ok(ClientSpec::Virtual { single_host: true, words }) = client("vhost:%no,%priv") else {
            panic!()
        };
        assert_eq!(words, [VirtualWord::No, VirtualWord::Priv]);
        assert!(client("vnet:%v4:10.0.0.0/8").is_ok());
        assert!(client("vhost:bogus").is_err());

        let (list, said) =
            virtual_private("%v4:10.0.0.0/8,%4:172.16.0.0/12,%v4:!192.168.1.0/24,%v6:fd00::/8");
        assert_eq!((list.allowed.len(), list.disallowed.len(), said.len()), (3, 1, 1));
        let (list, said) = virtual_private("%v4:10.0.0.0/8,rubbish");
        assert!(
            list.allowed.is_empty() && said.last().unwrap() == "1 bad entry in virtual_private - none loaded"
        );
    }

    #[test]
    fn pools() {
        let show = |s: &str| pool(s).map(|p| format!("{}-{}", p.first, p.last));
        for (text, want) in [
            ("10.0.0.5-10.0.0.9", "10.0.0.5-10.0.0.9"),
            ("10.0.0.0/24", "10.0.0.1-10.0.0.254"),
            ("10.0.0.7", "10.0.0.7-10.0.0.7"),
            ("10.0.0.1-10.0.0.2,fd00::1-fd00::2", "10.0.0.1-10.0.0.2"),
            (",10.0.0.7,", "10.0.0.7-10.0.0.7"),
            ("fd00:9::/64", "fd00:9::1-fd00:9::ffff:ffff:ffff:ffff"),
            ("fd00:9::8/128", "fd00:9::8-fd00:9::8"),
        ] {
            assert_eq!(show(text).unwrap(), want);
        }
        for bad in ["", "10.0.0.9-10.0.0.5", "10.0.0.1-fd00::1", "%dhcp", "10.0.0.0/33"] {
            assert!(show(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(host("%defaultroute"), Ok(HostSpec::DefaultRoute));
        assert_eq!(host("0.0.0.0"), Ok(HostSpec::Any));
        assert_eq!(host("192.000.002.001"), Ok(HostSpec::Addr("192.0.2.1".parse().unwrap())));
        assert_eq!(host("%eth0"), Ok(HostSpec::Interface("eth0".into())));
        assert_eq!(host("vpn.example.com/192.0.2.1"), Ok(HostSpec::Name("vpn.example.com".into())));
        assert_eq!(host("0xc0000201"), Ok(HostSpec::Addr("192.0.2.1".parse().unwrap())));
        for bad in ["1.2.3", "a b", "-x", "%/"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
