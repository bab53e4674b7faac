//! The commands of the control FIFO.

use l2tp_proto::{Input, Instant};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use std::os::fd::AsFd;

use super::{Daemon, TOKEN_CONTROL};
use crate::control_pipe::{Request, answer};
use crate::status;

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
                    Some(r) => self.command(now, r),
                    None => self.log.debug("do_control: Can't parse result filename or command"),
                }
            }
        }
    }

    fn command(&mut self, now: Instant, r: Request) {
        let text = match r.command {
            'd' => self.disconnect(now, &r.argument),
            'h' => self.hang_up(now, &r.argument),
            's' => {
                self.dump();
                String::new()
            }
            'x' => status::available(&self.engine.status(), &self.conf),
            'y' => status::lns(&r.argument, &self.engine.status(), &self.conf),
            'c' | 't' | 'o' | 'a' | 'r' => "01 Not supported yet: this version does not dial\n".into(),
            'w' | 'z' => "01 Not supported yet: change the file and send SIGHUP\n".into(),
            other => {
                self.log.debug(&format!("Unknown command {other}"));
                format!("01 Unknown command {other}\n")
            }
        };
        if let Some(path) = &r.reply
            && !text.is_empty()
        {
            answer(path, &text);
        }
    }

    fn disconnect(&mut self, now: Instant, name: &str) -> String {
        if self.conf.lac.iter().any(|l| l.eq_ignore_ascii_case(name)) {
            return format!("01 Session '{name}' not up\n");
        }
        let wanted = name.parse().ok();
        match self.engine.status().iter().find(|t| Some(t.id) == wanted) {
            Some(t) => {
                self.engine.handle(now, Input::CloseTunnel { tunnel: t.id, text: "Goodbye!" });
                "00 OK\n".into()
            }
            None => format!("01 No such tunnel '{name}'\n"),
        }
    }

    fn hang_up(&mut self, now: Instant, name: &str) -> String {
        let wanted = name.parse().ok();
        let call = self
            .engine
            .status()
            .iter()
            .flat_map(|t| &t.calls)
            .find(|c| Some(c.id.session) == wanted)
            .map(|c| c.id);
        if let Some(call) = call {
            self.engine.handle(now, Input::HangUp(call));
        }
        // xl2tpd says so whether there was such a call or not.
        "00 OK\n".into()
    }
}
