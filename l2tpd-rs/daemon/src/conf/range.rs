//! Hosts and address ranges as `xl2tpd.conf` writes them.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use l2tp_proto::AddrRange;

/// Finds the first IPv4 address of a name.
pub type Resolver<'a> = &'a dyn Fn(&str) -> Option<Ipv4Addr>;

/// Asks the system's resolver, which may take its time.
pub(super) fn ask(name: &str) -> Option<Ipv4Addr> {
    (name, 0).to_socket_addrs().ok()?.find_map(|a| match a {
        SocketAddr::V4(a) => Some(*a.ip()),
        SocketAddr::V6(_) => None,
    })
}

/// A dotted quad, or a name that the resolver knows.
pub(super) fn host(text: &str, resolver: Resolver<'_>) -> Option<Ipv4Addr> {
    if let Ok(a) = text.parse() {
        return Some(a);
    }
    // The resolver takes shorthand such as "10.1", which nobody means in this file.
    if text.is_empty() || text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    resolver(text)
}

/// `A`, `A - B`, or `A - B` where B stands for the last fields of A (`10.0.0.2-9`).
///
/// # Errors
/// xl2tpd's words and what was expected.
pub(super) fn range(
    keyword: &str,
    text: &str,
    resolver: Resolver<'_>,
) -> Result<AddrRange, (String, String)> {
    let known = |t: &str| {
        host(t, resolver)
            .ok_or_else(|| (format!("Unknown host {t}"), "an IPv4 address or the name of a host".to_string()))
    };
    let Some((a, b)) = text.split_once('-') else {
        let a = known(text)?;
        return Ok(AddrRange { start: a, end: a });
    };
    let (a, b) = (a.trim(), b.trim());
    if a.is_empty() || b.is_empty() {
        let words = format!("format is '{keyword} <host or ip> - <host or ip>'");
        return Err((words, "an address on both sides of '-'".into()));
    }
    let start = known(a)?;
    let end = match shorthand(a, b) {
        Some(end) => end,
        None => known(b)?,
    };
    if start > end {
        return Err(("start is greater than end!".into(), "the lower address first".into()));
    }
    Ok(AddrRange { start, end })
}

/// The end `10.0.1.9` that `10.0.0.2` - `1.9` means.
fn shorthand(a: &str, b: &str) -> Option<Ipv4Addr> {
    let start: Ipv4Addr = a.parse().ok()?;
    let fields: Vec<u8> = b.split('.').map(|f| f.parse().ok()).collect::<Option<_>>()?;
    let kept = 4usize.checked_sub(fields.len()).filter(|n| *n > 0)?;
    let mut octets = start.octets();
    octets[kept..].copy_from_slice(&fields);
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ends(t: &str) -> Result<(String, String), String> {
        range("ip range", t, &|_| None).map(|r| (r.start.to_string(), r.end.to_string())).map_err(|e| e.0)
    }

    #[test]
    fn all_forms() {
        let pair = |a: &str, b: &str| Ok((a.to_string(), b.to_string()));
        assert_eq!(ends("192.168.1.128-192.168.1.254"), pair("192.168.1.128", "192.168.1.254"));
        assert_eq!(ends("10.0.0.2 - 9"), pair("10.0.0.2", "10.0.0.9"));
        assert_eq!(ends("10.0.0.2-1.9"), pair("10.0.0.2", "10.0.1.9"));
        assert_eq!(ends("10.0.0.2"), pair("10.0.0.2", "10.0.0.2"));
    }

    #[test]
    fn errors_in_xl2tpds_words() {
        assert_eq!(ends("10.0.0.9-10.0.0.2"), Err("start is greater than end!".into()));
        assert_eq!(ends("-10.0.0.2"), Err("format is 'ip range <host or ip> - <host or ip>'".into()));
        assert_eq!(ends("1.1.1.1-1.1.1.9,2.2.2.2"), Err("Unknown host 1.1.1.9,2.2.2.2".into()));
        assert_eq!(ends("10.1"), Err("Unknown host 10.1".into()));
    }

    proptest! {
        #[test]
        fn numbers_and_dots_never_panic(s in "[0-9. -]{0,30}") {
            let _ = range("lac", &s, &|_| None);
        }
    }
}
