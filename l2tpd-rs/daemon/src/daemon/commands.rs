//! The commands of the control FIFO.

use std::os::fd::AsFd;

use l2tp_proto::status::LacState;
use l2tp_proto::{CallId, Credentials, Input, Instant, LnsAddress, SecretBytes};
use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Daemon, TOKEN_CONTROL};
use crate::conf::{self, Config};
use crate::control_pipe::{Request, answer};
use crate::status::View;
use crate::{ppp_db, show, status};

/// Commands taken a wake-up.
const BUDGET: usize = 16;

impl Daemon {
    pub(super) fn take_commands(&mut self, now: Instant) {
        let mut done = 0;
        while done < BUDGET {
            let (list, reopened) = self.control.read();
            if reopened {
                // The old descriptor left epoll when it was closed.
                let event = EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_CONTROL);
                if let Err(e) = self.epoll.add(self.control.as_fd(), event) {
                    self.log.warning(&format!("control: unable to watch {}: {e}", self.control_path));
                }
            }
            if list.is_empty() {
                return;
            }
            done += list.len();
            for r in list {
                match r {
                    Some(r) => self.command(now, &r),
                    None => self.log.debug("do_control: Can't parse result filename or command"),
                }
            }
        }
    }

    fn view(&self, now: Instant) -> View<'_> {
        let tunnels = self.engine.status();
        let generations = tunnels.iter().flat_map(|t| &t.calls).map(|c| c.id.generation);
        let paths = generations.filter_map(|g| Some((g, self.calls.path_of(g)?))).collect();
        View {
            conf: &self.conf,
            lacs: self.engine.lac_status(),
            counters: *self.engine.counters(),
            leased: self.engine.leased(),
            dropped: self.calls.dropped(),
            links: ppp_db::read(),
            paths,
            tunnels,
            now,
        }
    }

    pub(super) fn dump(&self, now: Instant) {
        for l in status::dump(&self.view(now)) {
            self.log.warning(&l);
        }
    }

    fn command(&mut self, now: Instant, r: &Request) {
        let name = r.argument.as_str();
        let text = match r.command {
            'a' => self.add_lac(now, name),
            'c' => self.connect(now, name, false),
            'd' => self.disconnect(now, name),
            'h' => self.hang_up(now, name),
            'i' => show::text(name, &self.view(now)),
            'j' => show::json(&self.view(now)),
            'k' => self.kick(now, name),
            'o' => self.connect(now, name, true),
            'r' => self.remove_lac(now, name),
            's' => {
                self.dump(now);
                let lines = status::dump(&self.view(now));
                let text: String = lines.iter().map(|l| format!("00 STATUS {l}\n")).collect();
                format!("00 OK\n{text}")
            }
            't' => self.open_tunnel(now, name),
            'w' => self.remove_lns(now, name),
            'x' => status::available(&self.view(now)),
            'y' => status::lns(name, &self.view(now)),
            'z' => self.add_lns(name),
            other => {
                self.log.debug(&format!("Unknown command {other}"));
                format!("01 Unknown command {other}\n")
            }
        };
        if let Some(path) = &r.reply {
            answer(path, &text);
        }
    }

    fn is_lac(&self, name: &str) -> bool {
        self.conf.lac.iter().any(|l| l.name.eq_ignore_ascii_case(name))
    }

    fn tunnel(&self, name: &str) -> Option<u16> {
        let id = name.parse().ok()?;
        self.engine.status().iter().any(|t| t.id == id).then_some(id)
    }

    /// `c LAC [USER [PASSWORD]]` and `o LAC NUMBER`; a tunnel's id in place of the section's name.
    fn connect(&mut self, now: Instant, argument: &str, outgoing: bool) -> String {
        let (name, rest) = argument.split_once(' ').unwrap_or((argument, ""));
        let rest = rest.trim();
        let (mut number, mut credentials) = (None, Credentials::default());
        if outgoing {
            if rest.is_empty() {
                return "01 Error\n".into();
            }
            number = Some(rest.to_string());
        } else if !rest.is_empty() {
            let (user, password) = rest.split_once(' ').unwrap_or((rest, ""));
            credentials.user = Some(user.into());
            credentials.password = Some(password.trim_start())
                .filter(|p| !p.is_empty())
                .map(|p| SecretBytes::from(p.as_bytes()));
        }
        if self.is_lac(name) {
            let up = |l: &l2tp_proto::LacStatus| l.name.eq_ignore_ascii_case(name) && l.state == LacState::Up;
            if self.engine.lac_status().iter().any(up) {
                return format!("01 Session '{name}' already active!\n");
            }
            self.engine.handle(now, Input::Dial { lac: name, number, credentials });
            return "00 OK\n".into();
        }
        match self.tunnel(name) {
            Some(tunnel) => {
                self.engine.handle(now, Input::PlaceCall { tunnel, number, credentials });
                "00 OK\n".into()
            }
            None => format!("01 No such tunnel '{name}'\n"),
        }
    }

    fn open_tunnel(&mut self, now: Instant, host: &str) -> String {
        let (host, port) = match host.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (host, Some(1701)),
        };
        let Some(port) = port.filter(|_| !host.is_empty() && !host.contains(' ')) else {
            return "01 Error\n".into();
        };
        self.engine.handle(now, Input::OpenTunnel(LnsAddress { host: host.into(), port }));
        "00 OK\n".into()
    }

    fn disconnect(&mut self, now: Instant, name: &str) -> String {
        if self.is_lac(name) {
            let idle = |l: &l2tp_proto::LacStatus| {
                l.name.eq_ignore_ascii_case(name) && l.state == LacState::Idle && l.tunnel.is_none()
            };
            if self.engine.lac_status().iter().any(idle) {
                return format!("01 Session '{name}' not up\n");
            }
            self.engine.handle(now, Input::DisconnectLac { lac: name });
            return "00 OK\n".into();
        }
        match self.tunnel(name) {
            Some(tunnel) => {
                self.engine.handle(now, Input::CloseTunnel { tunnel, text: "Goodbye!" });
                "00 OK\n".into()
            }
            None => format!("01 No such tunnel '{name}'\n"),
        }
    }

    fn hang_up(&mut self, now: Instant, name: &str) -> String {
        let wanted = name.parse().ok();
        self.end_calls(now, |_, c| Some(c.id.session) == wanted);
        // xl2tpd says so whether there was such a call or not.
        "00 OK\n".into()
    }

    /// `k USER` or `k CALL`.
    fn kick(&mut self, now: Instant, name: &str) -> String {
        let id = name.parse().ok();
        let n = self
            .end_calls(now, |v, c| !name.is_empty() && v.user(c) == Some(name) || Some(c.id.session) == id);
        match n {
            0 => format!("01 No user and no call '{name}'\n"),
            n => format!("00 OK: {n} calls end\n"),
        }
    }

    fn end_calls(
        &mut self,
        now: Instant,
        wanted: impl Fn(&View<'_>, &l2tp_proto::CallStatus) -> bool,
    ) -> usize {
        let v = self.view(now);
        let calls = v.tunnels.iter().flat_map(|t| &t.calls);
        let list: Vec<CallId> = calls.filter(|c| wanted(&v, c)).map(|c| c.id).collect();
        for &call in &list {
            self.engine.handle(now, Input::HangUp(call));
        }
        list.len()
    }

    fn take_section(&mut self, kind: &'static str, name: &str, options: &str) -> Result<(), String> {
        let mut conf = conf::with_section(&self.conf, kind, name, options)?;
        let old = self.conf.warnings.len().min(conf.warnings.len());
        for w in conf.warnings.split_off(old) {
            self.log.warning(&w);
        }
        self.added.push((kind, name.into(), options.into()));
        self.conf = conf;
        self.engine.reconfigure(self.conf.endpoint(&self.hostname));
        Ok(())
    }

    fn add_lac(&mut self, now: Instant, argument: &str) -> String {
        let (name, options) = argument.split_once(' ').unwrap_or((argument, ""));
        if name.is_empty() {
            return "01 Configuration parse error: lac-name expected\n".into();
        }
        if self.is_lac(name) {
            // xl2tpd says nothing at all.
            return format!("01 Lac '{name}' is there already, nothing is changed\n");
        }
        match self.take_section("lac", name, options) {
            Ok(()) => {
                self.engine.handle(now, Input::Autodial);
                "00 OK\n".into()
            }
            Err(why) => {
                self.log.warning(&why);
                "03 Configuration parse error\n".into()
            }
        }
    }

    fn add_lns(&mut self, argument: &str) -> String {
        let (name, options) = argument.split_once(' ').unwrap_or((argument, ""));
        if name.is_empty() {
            return "01 Error: Could not find lns and could not create it\n".into();
        }
        match self.take_section("lns", name, options) {
            Ok(()) => "00 OK: Saved value\n".into(),
            Err(why) => {
                self.log.warning(&why);
                "03 Configuration parse error\n".into()
            }
        }
    }

    fn remove_lac(&mut self, now: Instant, name: &str) -> String {
        if !self.is_lac(name) {
            return format!("01 No such tunnel '{name}'\n");
        }
        self.engine.handle(now, Input::DisconnectLac { lac: name });
        self.conf.lac.retain(|l| !l.name.eq_ignore_ascii_case(name));
        self.removed("lac", name);
        "00 OK\n".into()
    }

    /// Its calls end, its tunnels stay.
    fn remove_lns(&mut self, now: Instant, name: &str) -> String {
        let default = name.eq_ignore_ascii_case("default") && self.conf.default_lns.is_some();
        if !default && !self.conf.lns.iter().any(|l| l.name.eq_ignore_ascii_case(name)) {
            return format!("01 No such tunnel '{name}'\n");
        }
        let served = |t: &&l2tp_proto::TunnelStatus| {
            t.section.lns().is_some_and(|l| l.name.eq_ignore_ascii_case(name))
        };
        let status = self.engine.status();
        let calls: Vec<CallId> = status.iter().filter(served).flat_map(|t| &t.calls).map(|c| c.id).collect();
        for call in calls {
            self.engine.handle(now, Input::HangUp(call));
        }
        if default {
            self.conf.default_lns = None;
        }
        self.conf.lns.retain(|l| !l.name.eq_ignore_ascii_case(name));
        self.removed("lns", name);
        "00 OK\n".into()
    }

    fn removed(&mut self, kind: &str, name: &str) {
        self.added.retain(|(k, n, _)| *k != kind || !n.eq_ignore_ascii_case(name));
        self.engine.reconfigure(self.conf.endpoint(&self.hostname));
    }

    /// Settings that were read again take over: sections of the pipe stay, `[lac]` sections that are gone end.
    pub(super) fn take_over(&mut self, now: Instant, new: Config) {
        let old = std::mem::replace(&mut self.conf, new);
        for (kind, name, options) in std::mem::take(&mut self.added) {
            let there = kind == "lac" && self.is_lac(&name);
            if !there && let Err(why) = self.take_section(kind, &name, &options) {
                self.log.warning(&why);
            }
        }
        for gone in old.lac.iter() {
            if self.is_lac(&gone.name) {
                continue;
            }
            self.engine.handle(now, Input::DisconnectLac { lac: &gone.name });
        }
        self.engine.reconfigure(self.conf.endpoint(&self.hostname));
        self.engine.handle(now, Input::Autodial);
    }
}
