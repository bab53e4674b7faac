//! What clients of the control socket want: handed to the engine one after the other, and held back behind what the keeper
//! of keys has to do with. Other clients do not wait for that.

use std::collections::VecDeque;

use ike::{ClientId, Input};
use ipsec_types::whack::rc;

use super::Shell;
use crate::ctl::{Asked, CtlEvent};

impl Shell {
    pub(super) fn on_ctl(&mut self, event: CtlEvent) {
        match event {
            CtlEvent::Requests(list) => self.take_requests(list.into()),
            CtlEvent::Gone(id) => {
                self.clients.gone(id);
                if self.queue.gone(id) {
                    self.held.remove(&id);
                }
                let step = self.prompts.end(Some(id));
                self.follow(step);
                self.handle(Input::WhackGone(id));
            }
        }
    }

    /// What a client wants, one after the other; after one that the keeper has to do with, the others wait for that.
    fn take_requests(&mut self, mut list: VecDeque<Asked>) {
        while let Some((client, replies, request)) = list.pop_front() {
            if !self.clients.add(client, replies) {
                continue;
            }
            self.read_sections_of(client, &request);
            if let Some(request) = self.read_certs_of(client, request) {
                self.handle(Input::Whack { client, request });
            }
            if self.queue.has(client) {
                return drop(self.held.insert(client, list));
            }
        }
    }

    /// The keeper has answered a client's question.
    pub(super) fn go_on(&mut self, client: ClientId) {
        if !self.queue.has(client)
            && let Some(mut list) = self.held.remove(&client)
        {
            // What nobody waits for any more and was not begun is not done.
            list.retain(|(_, replies, _)| !replies.is_closed());
            self.take_requests(list);
        }
    }

    /// The keeper has died, of a bug or of a token's module: no secret could be read any more, so that there is nothing to do
    /// but to end, and to be started anew. Who waits for it is told.
    pub(super) fn without_keeper(&mut self) {
        let text = "the thread that reads secrets and private keys has died";
        self.log.line(&format!("FATAL: {text}"));
        self.fatal = Some(text.into());
        let line = format!("{:03} {text}", rc::WHACK_PROBLEM);
        for client in std::mem::take(&mut self.queue).clients() {
            self.clients.reply(client, &line);
            self.clients.done(client);
        }
        for (_, replies, _) in self.held.drain().flat_map(|(_, list)| list) {
            let _ = replies.send(Some(format!("{line}\n")));
            let _ = replies.send(None);
        }
        self.engine.shutdown(None);
        self.drain();
    }
}
