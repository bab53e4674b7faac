//! Runs commands that need more than a line to be judged: a partner, a log, a random key, a pipe.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// `ipsec` on the files of a directory.
fn ipsec(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipsec"));
    command
        .args(args)
        .env("IPSEC_CONFS", dir)
        .env("IPSEC_LIBDIR", dir.join("lib"))
        .env("IPSEC_CTLBASE", dir.join("pluto"))
        .env("LOGS", dir.join("log"))
        .env("HOME", dir);
    command
}

/// What it prints, both outputs, and its exit status.
fn run(dir: &Path, args: &[&str]) -> (String, i32) {
    let out = ipsec(dir, args).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    (text, out.status.code().unwrap())
}

fn piped(dir: &Path, args: &[&str], input: &[u8]) -> (String, i32) {
    let mut child = ipsec(dir, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    (String::from_utf8(out.stdout).unwrap(), out.status.code().unwrap())
}

#[test]
fn a_new_host_key_is_shown_again_and_nobody_else_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(run(dir, &["newhostkey", "--bits", "1024", "--hostname", "gw"]), (String::new(), 0));
    let secrets = dir.join("ipsec.secrets");
    assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&secrets).unwrap();
    assert!(text.starts_with(": RSA\t{\n\t# RSA 1024 bits   gw   "), "{text}");
    assert!(text.ends_with("\n\t}\n# do not change the indenting of that \"}\"\n"), "{text}");
    let public = text.lines().find_map(|l| l.strip_prefix("\t#pubkey=")).unwrap();
    let (shown, status) = run(dir, &["showhostkey", "--left"]);
    assert_eq!((shown, status), (format!("\t# rsakey {}\n\tleftrsasigkey={public}\n", &public[2..11]), 0));
    let (shown, _) = run(dir, &["showhostkey", "--ipseckey", "--gateway", "192.0.2.1"]);
    assert!(
        shown.contains(".    IN    IPSECKEY  10 1 2 192.0.2.1 \"AwEAA") && shown.contains(&public[100..]),
        "{shown}"
    );
    let (shown, _) = run(dir, &["showhostkey", "--txt", "192.0.2.1"]);
    assert!(shown.contains(".\tIN\tTXT\t\"X-IPsec-Server(10)=192.0.2.1 \" \"AwEAA"), "{shown}");
    let (shown, _) = run(dir, &["showhostkey", "--key"]);
    assert!(shown.contains(&format!(".\tIN\tKEY\t0x4200 4 1 {}\n", &public[2..])), "{shown}");
    // The old key, and what else was in the file, is kept beside.
    let file = secrets.to_str().unwrap();
    assert_eq!(run(dir, &["newhostkey", "--bits", "1024"]).1, 1);
    let (said, status) = run(dir, &["newhostkey", "--verbose", "--bits", "1024", "--output", file]);
    assert!(status == 0 && said.contains("WARNING: file"), "{said}");
    assert_eq!(fs::read_to_string(dir.join("ipsec.secrets.old")).unwrap(), text);
    assert_ne!(fs::read_to_string(&secrets).unwrap(), text);
    // The primes of a key make the same key again.
    let old = dir.join("ipsec.secrets.old");
    let (again, status) = run(dir, &["rsasigkey", "--oldkey", old.to_str().unwrap(), "--hostname", "gw"]);
    let numbers = |t: &str| t.lines().filter(|l| l.contains(": 0x")).map(String::from).collect::<Vec<_>>();
    assert_eq!((numbers(&again), status), (numbers(&text), 0));
    let (letter, status) = run(dir, &["mailkey", "--me", "me@example.com", "--reverse", "192.0.2.1"]);
    assert!(status == 0 && letter.contains("Sample mail file saved to:"), "{letter}");
    let letter = fs::read_to_string(dir.join("OE_mail_192.0.2.1")).unwrap();
    assert!(letter.contains("1.2.0.192.in-addr.arpa.\tIN\tTXT"), "{letter}");
}

#[test]
fn barf_shows_every_section_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir_all(dir.join("ipsec.d/policies")).unwrap();
    fs::create_dir(dir.join("log")).unwrap();
    fs::write(dir.join("ipsec.d/policies/private"), "10.9.0.0/16\n").unwrap();
    fs::write(dir.join("ipsec.conf"), "config setup\n\tprotostack=netkey\ninclude more.conf\n").unwrap();
    fs::write(dir.join("more.conf"), "conn c\n\tleft=%any\n\tleftrsasigkey=0sAQOabcdefghijklmn\n").unwrap();
    let secrets = ": PSK \"TOPSECRET\"\n: RSA {\n\tPrivateExponent: 0xTOPSECRET\n\t}\n: PSK 'TOPSECRET\n@u : XAUTH TOPSECRET\n";
    fs::write(dir.join("ipsec.secrets"), secrets).unwrap();
    let mut log = String::from("pluto[1]: of an earlier run\nStarting Pluto (x)\n");
    for n in 0..300 {
        log += &format!("pluto[2]: line {n}\n");
    }
    fs::write(dir.join("log/auth.log"), log).unwrap();
    let (text, status) = run(dir, &["barf", "--maxlines", "200"]);
    assert_eq!(status, 0);
    for section in [
        "version",
        "netstat-rn",
        "ip-xfrm-state",
        "ip-xfrm-policy",
        "/proc/crypto",
        "ipsec/status",
        "ip-addr-list",
        "ip-route-list",
        "ip-rule-list",
        "ipsec_verify",
        "ipsec/directory",
        "uptime",
        "ps",
        "ipsec/showdefaults",
        "ipsec/conf",
        "ipsec/secrets",
        "ipsec/listall",
        "ipsec/policies/private",
        "/proc/net/dev",
        "uname-a",
        "iptables",
        "/proc/modules",
        "/proc/meminfo",
        "etc/resolv.conf",
        "klog",
        "plog",
        "date",
    ] {
        assert!(text.contains(&format!("\n+ _________________________ {section}\n")), "{section}\n{text}");
    }
    assert!(!text.contains("TOPSECRET"), "{text}");
    assert!(text.contains(": PSK \"[sums to ") && text.contains("leftrsasigkey=[keyid AQOabcdef]"), "{text}");
    assert!(text.contains("10.9.0.0/16") && text.contains("whack: Pluto is not running"), "{text}");
    assert!(text.contains("pluto[2]: line 299\n") && text.contains("pluto[2]: line 100\n"));
    assert!(!text.contains("pluto[2]: line 99\n") && !text.contains("of an earlier run"));
}

#[test]
fn look_has_the_old_headings() {
    let dir = tempfile::tempdir().unwrap();
    let (text, status) = run(dir.path(), &["look"]);
    assert_eq!(status, 0);
    let wanted = [
        "XFRM state:",
        "XFRM policy:",
        "XFRM done",
        "IPSEC mangle TABLES",
        "NEW_IPSEC_CONN mangle TABLES",
        "ROUTING TABLES",
    ];
    let found: Vec<&str> = text.lines().filter(|l| wanted.contains(l)).collect();
    assert_eq!(found, wanted, "{text}");
}

#[test]
fn the_censors_read_pipes_of_any_length() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!(": PSK \"{}\nnext : PSK \"TOPSECRET\n", "TOPSECRET".repeat(200_000));
    let (text, status) = piped(dir.path(), &["_secretcensor"], long.as_bytes());
    assert_eq!(status, 0);
    assert!(
        text.starts_with("[line too long]\nnext : PSK \"[sums to ") && !text.contains("TOPSECRET"),
        "{text}"
    );
    let (text, _) = piped(dir.path(), &["_keycensor"], b"leftrsasigkey=0sAQOabcdefghijklmn");
    assert_eq!(text, "leftrsasigkey=[keyid AQOabcdef]\n");
}

/// What a ping to a listener of our own prints, and its target; `None` if the listener did not get its port.
fn answered_ping(dir: &Path, more: &[&str]) -> Option<(String, String)> {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let args = [&["ikeping", "--listen", "--verbose", "--ikeaddress", "127.0.0.1", "--ikeport", &port], more]
        .concat();
    let mut listener = ipsec(dir, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(listener.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), format!("setting source port to {port}"));
    let target = format!("127.0.0.1/{port}");
    let args = [&["ikeping", "--ikeport", "0", "--wait", "1"], more, &[&target]].concat();
    // It has said its port, and binds it now.
    let answered = (0..20)
        .take_while(|_| listener.try_wait().unwrap().is_none())
        .map(|_| run(dir, &args))
        .find(|(_, status)| *status == 0);
    listener.kill().unwrap();
    listener.wait().unwrap();
    answered.map(|(text, _)| (text, target))
}

#[test]
fn a_listener_answers_a_ping() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for more in [&[][..], &["--nat-t"][..]] {
        // A port that is free now may be another's a moment later: then with the next one.
        let (text, target) = (0..10).find_map(|_| answered_ping(dir, more)).expect("no answer on any port");
        assert!(
            text.contains(&format!(
                "Sending packet to {target}\nreceived 245(echo-reply) packet from {target} of len: "
            )),
            "{text}"
        );
        assert!(text.contains("1 packets sent, 1 packets received. 0% packet loss"), "{text}");
    }
    // Nobody there.
    let (text, status) =
        run(dir, &["ikeping", "--ikeport", "0", "--wait", "0", "127.0.0.1/9", "127.0.0.1/10"]);
    assert!(status == 2 && text.contains("2 packets sent, 0 packets received. 100% packet loss"), "{text}");
    let (text, status) = run(dir, &["ikeping", "--frob"]);
    assert!(status == 1 && text.starts_with("Usage:\n\nikeping [--listen]"), "{text}");
}

#[test]
fn helpers_of_init_scripts_are_callable() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("ipsec.conf"), "config setup\n\tprotostack=netkey\n").unwrap();
    let (text, status) = run(
        dir,
        &[
            "_plutorun",
            "--showonly",
            "--debug",
            "all",
            "--nat_traversal",
            "yes",
            "--uniqueids",
            "no",
            "--listen",
            "192.0.2.1",
            "--opts",
            "--perpeerlog",
            "--wait",
            "no",
            "--pid",
            "/nonexistent",
        ],
    );
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("pluto --nofork --ctlbase ") && text.contains("--nat_traversal"), "{text}");
    assert!(
        text.contains("--listen 192.0.2.1")
            && text.contains("--debug-all --perpeerlog")
            && !text.contains("--uniqueids")
    );
    fs::write(dir.join("pluto.pid"), "1\n").unwrap();
    let (text, status) = run(dir, &["_plutorun"]);
    assert!(status == 1 && text.contains("pluto appears to be running already"), "{text}");
    let (text, status) = piped(dir, &["_plutoload", "--wait", "no"], b"hello\nPluto initialized\nexit\n10\n");
    assert!(status == 10 && text.starts_with("pluto unexpectedly said `hello'\n"), "{text}");
    let (text, status) = piped(dir, &["_plutoload"], b"Pluto initialized\nwords\n");
    assert!(
        status == 13 && text.contains("pluto unexpectedly says `words'\npluto died without exit status!?!"),
        "{text}"
    );
    let (text, status) = piped(dir, &["_plutoload"], b"Pluto initialized\nexit\n");
    assert!(status == 13 && text.contains("pluto yielded no exit status!?!"), "{text}");
    let info = dir.join("info");
    assert_eq!(run(dir, &["_startnetkey", "--info", info.to_str().unwrap(), "--log", "daemon.error"]).1, 0);
}

#[test]
fn showpolicy_echoes_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let args = ["showpolicy", "--sockpolicy", "--maxpacket", "1", "--udp", &port.to_string()];
    let mut echo = ipsec(dir, &args).stdout(Stdio::piped()).spawn().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 16];
    // It binds its port when it comes to it.
    let answered = (0..200).any(|_| {
        let _ = socket.send(b"hello");
        let got = socket.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == b"hello");
        if !got {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        got
    });
    if !answered {
        echo.kill().unwrap();
    }
    let out = echo.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(out.stdout).unwrap(),
        "got message of length: 5\nsent message of length: 5\n"
    );
    let (text, status) = run(dir, &["showpolicy", "--frob"]);
    assert!(status == 1 && text.contains("showpolicy [--cgi] "), "{text}");
    let (text, status) = run(dir, &["showpolicy"]);
    assert!(status == 1 && text == "please run this connected to a socket\n", "{text}");
}

/// Containers made by `openssl pkcs12`: what comes out is what went in, and nothing is overwritten.
#[test]
fn a_container_becomes_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let openssl = |line: &str| {
        let words = line.split_whitespace().map(|w| w.replace("DIR", dir.to_str().unwrap()));
        let out = Command::new("openssl").args(words).output().unwrap();
        assert!(out.status.success(), "{line}\n{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    openssl("req -x509 -newkey rsa:1024 -nodes -keyout DIR/ca.key -out DIR/ca.crt -subj /CN=ca -days 30");
    openssl("req -newkey rsa:1024 -nodes -keyout DIR/gw.key -out DIR/gw.csr -subj /CN=gw");
    openssl("x509 -req -in DIR/gw.csr -CA DIR/ca.crt -CAkey DIR/ca.key -out DIR/gw.crt -days 30");
    let bundle = "pkcs12 -export -in DIR/gw.crt -inkey DIR/gw.key -certfile DIR/ca.crt";
    openssl(&format!("{bundle} -out DIR/gw.p12 -passout pass:sesame"));
    openssl(&format!("{bundle} -out DIR/open.p12 -passout pass:"));
    let p12 = dir.join("gw.p12");
    let p12 = p12.to_str().unwrap();
    let (text, status) = run(dir, &["import", "--password", "wrong", p12]);
    assert!(status == 1 && text.contains("wrong passphrase"), "{text}");
    let (text, status) = piped(dir, &["import", p12], b"sesame\n");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains(": RSA gw.key\n") && text.contains("leftcert=gw.pem\n"), "{text}");
    let private = dir.join("ipsec.d/private/gw.key");
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(dir.join("ipsec.d/private")).unwrap().permissions().mode() & 0o777, 0o700);
    let modulus = |line: &str| openssl(line);
    assert_eq!(
        modulus("rsa -noout -modulus -in DIR/ipsec.d/private/gw.key"),
        modulus("rsa -noout -modulus -in DIR/gw.key")
    );
    for (ours, theirs) in [("certs/gw.pem", "gw.crt"), ("cacerts/gw-ca.pem", "ca.crt")] {
        let whole = |file: &str| modulus(&format!("x509 -outform der -in {file}"));
        assert_eq!(whole(&format!("DIR/ipsec.d/{ours}")), whole(&format!("DIR/{theirs}")));
    }
    // The key in the file is shown as any.
    fs::write(dir.join("ipsec.secrets"), ": RSA gw.key\n: RSA none.key\n").unwrap();
    let (text, status) = run(dir, &["showhostkey", "--left"]);
    assert!(status == 0 && text.contains("\tleftrsasigkey=0sAwEAA"), "{text}");
    let (text, _) = run(dir, &["showhostkey", "--list"]);
    assert!(
        text.contains("1(1): RSA keyid: AwEAA") && text.contains("2(1): RSA keyid: not readable"),
        "{text}"
    );
    // Once more: nothing is overwritten, under another name all is well.
    let (text, status) = run(dir, &["import", "--password", "sesame", p12]);
    assert!(status == 1 && text.contains("is there already"), "{text}");
    assert_eq!(run(dir, &["import", "--password", "sesame", "--name", "other", p12]).1, 0);
    // Without a passphrase none is asked for.
    let open = dir.join("open.p12");
    assert_eq!(piped(dir, &["import", open.to_str().unwrap()], b"").1, 0);
    // What is no container, or no file.
    let key = dir.join("gw.key");
    for bad in [key.to_str().unwrap(), "/dev/zero", "/nonexistent", dir.to_str().unwrap()] {
        assert_eq!(piped(dir, &["import", bad], b"\n").1, 1, "{bad}");
    }
}
