//! Command lines as xl2tpd makes them, and what a pppd gets.

use super::*;
use crate::conf;
use l2tp_proto::{CallId, Credentials, Path, Section};
use std::sync::Arc;

fn call(text: &str, assign: bool) -> CallStart {
    let lac = text.starts_with("[lac");
    let conf = conf::load("x", &if lac { text.into() } else { format!("[lns default]\n{text}") }).unwrap();
    let section = match lac {
        true => Section::Lac(Arc::new(conf.lac[0].clone())),
        false => Section::Lns(Arc::new(conf.default_lns.unwrap())),
    };
    let (local_ip, remote_ip) = match &section {
        Section::Lns(l) => (l.local_ip, assign.then_some([192, 168, 1, 128].into())),
        Section::Lac(l) => (l.local_ip, l.remote_ip),
    };
    CallStart {
        call: CallId { tunnel: 11, session: 22, generation: 3 },
        peer_tunnel: 1,
        peer_session: 1,
        path: Path { local: [192, 0, 2, 1].into(), peer: "203.0.113.10:1701".parse().unwrap(), mark: 0 },
        role: if lac { Role::Lac } else { Role::Lns },
        section,
        number: None,
        credentials: Credentials::default(),
        send_numbers: false,
        local_ip,
        remote_ip,
        calling_number: None,
    }
}

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn tty() -> Link {
    Link::Tty("/dev/pts/3".into(), null())
}

fn args(text: &str, assign: bool) -> String {
    arguments(&tty(), &call(text, assign), None).join(" ")
}

#[test]
fn the_howtos_section_gives_xl2tpds_command_line() {
    let text = "ip range = 192.168.1.128-192.168.1.254\nlocal ip = 192.168.1.99\nrequire chap = yes\n\
                refuse pap = yes\nrequire authentication = yes\nname = LinuxVPNserver\nppp debug = yes\n\
                pppoptfile = /etc/ppp/options.l2tpd\nlength bit = yes\n";
    assert_eq!(
        args(text, true),
        "/dev/pts/3 passive nodetach 192.168.1.99:192.168.1.128 refuse-pap auth require-chap name LinuxVPNserver \
         debug file /etc/ppp/options.l2tpd"
    );
    let words = arguments(&Link::Kernel(null()), &call(text, true), Some(1400)).join(" ");
    assert_eq!(
        words,
        "plugin pppol2tp.so pppol2tp 3 pppol2tp_lns_mode pppol2tp_tunnel_id 11 pppol2tp_session_id 22 passive \
         nodetach 192.168.1.99:192.168.1.128 refuse-pap auth require-chap name LinuxVPNserver debug mtu 1400 mru \
         1400 file /etc/ppp/options.l2tpd"
    );
}

#[test]
fn everything_and_nothing() {
    assert_eq!(args("require pap = yes\n", false), "/dev/pts/3 passive nodetach :0.0.0.0");
    let all = "refuse authentication = yes\nrequire auth = yes\nrequire pap = yes\nrequire chap = yes\n\
               unix auth = yes\npass peer = yes\n";
    assert_eq!(
        args(all, false),
        "/dev/pts/3 passive nodetach :0.0.0.0 refuse-pap refuse-chap auth require-pap require-chap login ipparam \
         203.0.113.10"
    );
}

#[test]
fn a_lac_in_xl2tpds_order() {
    assert_eq!(args("[lac v]\nlns = a\n", false), "/dev/pts/3 passive nodetach :");
    let text = "[lac v]\nlns = a\ndefaultroute = yes\nlocal ip = 10.0.0.1\nremote ip = 10.0.0.2\nname = n\n\
                ppp debug = yes\npppoptfile = /f\n";
    let mut c = call(text, false);
    c.credentials = Credentials { user: Some("u".into()), password: Some(SecretBytes::from(&b"p"[..])) };
    assert_eq!(
        arguments(&tty(), &c, None).join(" "),
        "/dev/pts/3 passive nodetach defaultroute 10.0.0.1:10.0.0.2 name u debug plugin passwordfd.so passwordfd 4 \
         file /f"
    );
    assert!(
        arguments(&Link::Kernel(null()), &c, None)
            .join(" ")
            .starts_with("plugin pppol2tp.so pppol2tp 3 passive")
    );
    c.number = Some("../../49 30".into());
    assert!(
        arguments(&tty(), &c, None).join(" ").contains("nodetach file /var/l2tp/4930.options defaultroute")
    );
}

#[test]
fn the_password_comes_by_its_descriptor_and_stderr_comes_back() {
    let mut c = call("[lac v]\nlns = a\n", false);
    c.credentials.password = Some(SecretBytes::from(&b"geheim"[..]));
    // How often the pipe of the password is open, then what is in it.
    let script = "ls -l /proc/self/fd | grep -cF $(readlink /proc/self/fd/4) >&2; cat <&4 >&2".to_string();
    let link = Link::Tty("x".into(), null());
    let s = start("/bin/sh", &["-c".into(), script], link, &c).unwrap();
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(s.pid as i32), None).unwrap();
    let said = Words::new(s.words).take(true);
    assert_eq!(said, ["1", "geheim"]);
}

#[test]
fn a_talkative_pppd_is_bounded() {
    let (read, mut write) = pipe().unwrap();
    for _ in 0..200 {
        write.write_all(b"x\x1b[31m\n").unwrap();
    }
    write.write_all(&[b'y'; 3000]).unwrap();
    drop(write);
    let mut w = Words::new(read);
    let all: Vec<String> = (0..20).flat_map(|_| w.take(false)).collect();
    assert_eq!(all.len(), LINES as usize);
    assert_eq!(all[0], "x [31m");
    assert!(w.line.len() <= LINE);
}
