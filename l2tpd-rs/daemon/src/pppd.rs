//! pppd's command line and its start.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use l2tp_proto::CallStart;

/// The arguments xl2tpd gives pppd for a call it has accepted, without `argv[0]`, in its order.
///
/// ```text
///   TTY passive nodetach LOCAL:REMOTE [refuse-pap] [refuse-chap] [auth [require-pap] [require-chap] [login]]
///   [name NAME] [debug] [file FILE] [ipparam PEER]
/// ```
pub fn arguments(tty: &str, c: &CallStart) -> Vec<String> {
    let p = c.section.ppp();
    let local = c.local_ip.map(|a| a.to_string()).unwrap_or_default();
    let remote = c.remote_ip.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
    let mut v = vec![tty.to_string(), "passive".into(), "nodetach".into(), format!("{local}:{remote}")];
    let mut flag = |yes: bool, word: &str| {
        if yes {
            v.push(word.into());
        }
    };
    flag(p.refuse_pap, "refuse-pap");
    flag(p.refuse_chap, "refuse-chap");
    flag(p.require_auth, "auth");
    flag(p.require_auth && p.require_pap, "require-pap");
    flag(p.require_auth && p.require_chap, "require-chap");
    flag(p.require_auth && p.login, "login");
    let mut pair = |word: &str, value: Option<&str>| {
        if let Some(value) = value {
            v.extend([word.to_string(), value.to_string()]);
        }
    };
    pair("name", p.name.as_deref());
    if p.debug {
        v.push("debug".into());
    }
    let mut pair = |word: &str, value: Option<&str>| {
        if let Some(value) = value {
            v.extend([word.to_string(), value.to_string()]);
        }
    };
    pair("file", p.file.as_deref());
    let peer = c.path.peer.ip().to_string();
    pair("ipparam", p.pass_peer.then_some(&peer));
    v
}

/// Starts pppd with the tty as its standard input and output; returns its process id. It dies with this process
/// (`PR_SET_PDEATHSIG`) and has to be reaped by process id.
///
/// # Errors
/// The kernel's: no such program, no memory, no processes left.
pub fn start(program: &str, args: &[String], tty: OwnedFd, calling_number: Option<&str>) -> io::Result<u32> {
    let tty = File::from(tty);
    let mut command = Command::new(program);
    command
        .args(args.iter().map(OsString::from))
        .stdin(tty.try_clone()?)
        .stdout(tty)
        .stderr(Stdio::inherit());
    if let Some(n) = calling_number {
        command.env("CALLER_ID", n);
    }
    let parent = std::process::id();
    let before_exec = move || {
        // SAFETY: two plain system calls, both allowed between fork and exec.
        unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The daemon may have died before the line above.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(before_exec) };
    Ok(command.spawn()?.id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf;
    use l2tp_proto::{CallId, Credentials, Path, Role, Section};
    use std::sync::Arc;

    fn args(text: &str, assign: bool) -> String {
        let lns = Arc::new(conf::load("x", &format!("[lns default]\n{text}")).unwrap().default_lns.unwrap());
        let local_ip = lns.local_ip;
        let path = Path { local: [192, 0, 2, 1].into(), peer: "203.0.113.10:1701".parse().unwrap(), mark: 0 };
        let call = CallId { tunnel: 1, session: 2, generation: 3 };
        let remote_ip = assign.then_some([192, 168, 1, 128].into());
        let start = CallStart {
            call,
            peer_tunnel: 1,
            peer_session: 1,
            path,
            role: Role::Lns,
            section: Section::Lns(lns),
            number: None,
            credentials: Credentials::default(),
            send_numbers: false,
            local_ip,
            remote_ip,
            calling_number: None,
        };
        arguments("/dev/pts/3", &start).join(" ")
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
}
