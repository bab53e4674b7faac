//! Fetching over HTTP/1.0 (RFC 1945), as small as CRLs and OCSP need it: one request, one answer, bounds on everything. It
//! blocks, so only threads of their own call it. Addresses come from certificates of CAs we trust.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// For a connection to be made, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a whole answer.
const IN_ALL: Duration = Duration::from_secs(20);
/// Longest head of an answer.
const MAX_HEAD: usize = 16 << 10;
/// How often we are sent elsewhere.
const REDIRECTS: usize = 3;

/// `http://host[:port]/path`.
#[derive(Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// A name or an address, without brackets.
    pub host: &'a str,
    /// 80 where none is named.
    pub port: u16,
    /// What is asked for; begins with `/`.
    pub path: &'a str,
}

/// Splits an address.
///
/// # Errors
/// Why nothing is fetched from there.
pub fn split(url: &str) -> Result<Url<'_>, String> {
    if url.len() > 2048 || url.bytes().any(|b| b <= b' ' || b >= 0x7f) {
        return Err("the address is not printable".into());
    }
    let Some(rest) = url.get(..7).filter(|s| s.eq_ignore_ascii_case("http://")).map(|_| &url[7..]) else {
        let scheme = url.split(':').next().unwrap_or_default();
        return Err(format!("{scheme} is not spoken, only http is"));
    };
    let (authority, path) = match rest.find('/') {
        Some(i) => (&rest[..i], &rest[i..]),
        None => (rest, "/"),
    };
    let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("expected a port")?)),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map_or(Ok(80), |p| p.parse().map_err(|_| "expected a port".to_string()))?;
    if host.is_empty() || host.contains(['@', '\\']) {
        return Err("expected a host".into());
    }
    Ok(Url { host, port, path })
}

/// What is asked.
#[derive(Clone, Copy)]
pub enum Ask<'a> {
    /// GET.
    Get,
    /// POST of an OCSP request.
    Ocsp(&'a [u8]),
}

/// Fetches what is at `url`, at most `limit` octets.
///
/// # Errors
/// Why not.
pub fn fetch(url: &str, ask: Ask<'_>, limit: usize) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + IN_ALL;
    let mut url = url.to_string();
    for _ in 0..=REDIRECTS {
        match once(&url, ask, limit, deadline)? {
            Answer::Body(body) => return Ok(body),
            Answer::Elsewhere(there) => url = there,
        }
    }
    Err("sent from one address to the next too often".into())
}

/// What a server answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for.
    Body(Vec<u8>),
    /// The address where it is.
    Elsewhere(String),
}

fn once(url: &str, ask: Ask<'_>, limit: usize, deadline: Instant) -> Result<Answer, String> {
    let Url { host, port, path } = split(url)?;
    let text = |e: io::Error| e.to_string();
    let addresses = (host, port).to_socket_addrs().map_err(text)?;
    let mut last = Err("the host has no address".to_string());
    for address in addresses.take(4) {
        last = TcpStream::connect_timeout(&address, PATIENCE).map_err(text);
        if last.is_ok() {
            break;
        }
    }
    let mut stream = last?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    let (verb, more, body) = match ask {
        Ask::Get => ("GET", String::new(), &[][..]),
        Ask::Ocsp(body) => {
            let more =
                format!("Content-Type: application/ocsp-request\r\nContent-Length: {}\r\n", body.len());
            ("POST", more, body)
        }
    };
    let head = format!("{verb} {path} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).map_err(text)?;
    let mut all = Vec::new();
    let mut piece = [0; 8192];
    loop {
        if Instant::now() > deadline {
            return Err("the answer takes too long".into());
        }
        match stream.read(&mut piece).map_err(text)? {
            0 => return read(&all, limit, true)?.ok_or_else(|| "the answer is cut off".into()),
            n => all.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
        if let Some(answer) = read(&all, limit, false)? {
            return Ok(answer);
        }
    }
}

/// Reads what there is of an answer; `None` if more must come. `ended` says that none will.
///
/// # Errors
/// Why the answer is of no use; a body of more than `limit` octets is none.
pub fn read(all: &[u8], limit: usize, ended: bool) -> Result<Option<Answer>, String> {
    let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if all.len() > MAX_HEAD {
            Err("the head of the answer is too long".into())
        } else {
            Ok(None)
        };
    };
    let head = String::from_utf8_lossy(all.get(..end).unwrap_or_default()).into_owned();
    let body = all.get(end + 4..).unwrap_or_default();
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let code = status.strip_prefix("HTTP/1.").and_then(|s| s.split(' ').nth(1)).unwrap_or_default();
    let header = |name: &str| {
        let mut found = head.lines().skip(1).filter_map(|l| l.split_once(':'));
        found.find(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_string())
    };
    match code {
        "200" => {}
        "301" | "302" | "303" | "307" | "308" => {
            let there = header("location").ok_or("sent elsewhere without an address")?;
            return Ok(Some(Answer::Elsewhere(there)));
        }
        _ => return Err(format!("the server says: {}", status.escape_debug())),
    }
    if header("transfer-encoding").is_some() {
        return Err("the answer comes in chunks".into());
    }
    let want = header("content-length").map(|l| l.parse::<usize>().map_err(|_| "a length that is none"));
    let want = want.transpose()?;
    if body.len() > limit || want.is_some_and(|w| w > limit) {
        return Err(format!("the answer is longer than {limit} octets"));
    }
    match want {
        Some(w) if body.len() >= w => Ok(Some(Answer::Body(body.get(..w).unwrap_or_default().to_vec()))),
        None if ended => Ok(Some(Answer::Body(body.to_vec()))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_split_and_odd_ones_refused() {
        let url = |host, port, path| Ok(Url { host, port, path });
        assert_eq!(split("http://a.example/x.crl"), url("a.example", 80, "/x.crl"));
        assert_eq!(split("HTTP://a:8080"), url("a", 8080, "/"));
        assert_eq!(split("http://[2001:db8::1]:81/x"), url("2001:db8::1", 81, "/x"));
        for bad in [
            "ldap://a/b",
            "https://a/",
            "http://",
            "http:///x",
            "http://a:x/",
            "http://u@h/",
            "http://a/\r\nX: y",
            "http://[::1]x/",
        ] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert_eq!(split("ldap://a/b").unwrap_err(), "ldap is not spoken, only http is");
    }

    proptest! {
        /// Whatever comes, in whatever pieces: no body is longer than its limit, and the end brings a verdict.
        #[test]
        fn any_answer_is_read_within_its_limit(
            head in "(HTTP/1\\.[01] (200|302|404) .{0,10}\r\n)?((content-length|location|transfer-encoding|.{0,9}): ?[0-9a-z]{0,20}\r\n){0,4}(\r\n)?",
            body in proptest::collection::vec(any::<u8>(), 0..64),
            limit in 0_usize..64,
        ) {
            let all = [head.as_bytes(), &body].concat();
            for cut in 0..=all.len() {
                if let Ok(Some(Answer::Body(body))) = read(&all[..cut], limit, cut == all.len()) {
                    prop_assert!(body.len() <= limit);
                }
            }
        }

        #[test]
        fn any_address_is_split_or_refused(url in "(http://)?[a-z0-9:/@\\[\\]. \\\\]{0,40}|.{0,40}") {
            if let Ok(u) = split(&url) {
                prop_assert!(!u.host.is_empty() && u.path.starts_with('/') && !u.host.contains(['@', ' ', '\n']));
            }
        }
    }

    /// Answers one request with each of `answers`.
    fn server(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(&answer);
            }
        });
        format!("http://{at}/x")
    }

    #[test]
    fn bodies_are_fetched_within_their_limit() {
        let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
        let get = |answer: Vec<u8>| fetch(&server(vec![answer]), Ask::Get, 10);
        assert_eq!(get(ok("\r\nhello")).unwrap(), b"hello");
        assert_eq!(get(ok("Content-Length: 3\r\n\r\nhello")).unwrap(), b"hel");
        assert_eq!(get(ok("\r\nhello wor")).unwrap(), b"hello wor");
        assert_eq!(get(ok("\r\nhello worl")).unwrap(), b"hello worl");
        assert_eq!(get(ok("Content-Length: 10\r\n\r\nhello worl")).unwrap(), b"hello worl");
        for (answer, why) in [
            (ok("Content-Length: 9\r\n\r\nhello"), "cut off"),
            (ok("\r\nhello world"), "longer than 10"),
            (ok("Content-Length: 11\r\n\r\n"), "longer than 10"),
            (ok("Transfer-Encoding: chunked\r\n\r\n"), "chunks"),
            (b"HTTP/1.0 404 Not Found\r\n\r\n".to_vec(), "404 Not Found"),
            (b"nonsense".to_vec(), "cut off"),
            (vec![b'x'; 20_000], "too long"),
        ] {
            let e = get(answer).unwrap_err();
            assert!(e.contains(why), "{e}, {why} expected");
        }
    }

    #[test]
    fn it_goes_where_it_is_sent_but_not_for_ever() {
        let there = server(vec![b"HTTP/1.0 200 OK\r\n\r\nhere".to_vec()]);
        let here = server(vec![format!("HTTP/1.0 302 Found\r\nLocation: {there}\r\n\r\n").into_bytes()]);
        assert_eq!(fetch(&here, Ask::Ocsp(b"?"), 10).unwrap(), b"here");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("http://{}/", listener.local_addr().unwrap());
        let again = format!("HTTP/1.0 301 Moved\r\nLocation: {at}\r\n\r\n").into_bytes();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(&again);
            }
        });
        assert!(fetch(&at, Ask::Get, 10).unwrap_err().contains("too often"));
    }
}
