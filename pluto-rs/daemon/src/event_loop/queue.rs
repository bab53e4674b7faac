//! What the keeper of keys is to do. It is handed one thing at a time, so that the rest can be taken back when nobody waits
//! for it any more: a token that hangs holds up everything, and clients come and go.

use std::collections::VecDeque;
use std::mem::discriminant;

use ike::ClientId;

use super::After;
use crate::keeper::Ask;

/// As long as there are clients that wait, and a few more.
#[derive(Default)]
pub(super) struct Queue {
    /// What comes after that which the keeper does.
    under_way: Option<After>,
    waiting: VecDeque<(Ask, After)>,
}

impl Queue {
    /// Puts something at the end. A client has one thing at a time here.
    pub(super) fn push(&mut self, ask: Ask, after: After) {
        self.waiting.push_back((ask, after));
    }

    /// What the keeper is to begin with now. `None` while it does something.
    pub(super) fn next(&mut self) -> Option<Ask> {
        let (ask, after) = self.under_way.is_none().then(|| self.waiting.pop_front())??;
        self.under_way = Some(after);
        Some(ask)
    }

    /// The keeper has answered: what comes after that.
    pub(super) fn answered(&mut self) -> Option<After> {
        self.under_way.take()
    }

    /// Whether a client waits for something.
    pub(super) fn has(&self, client: ClientId) -> bool {
        self.clients().any(|c| c == client)
    }

    /// Who waits.
    pub(super) fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.under_way.iter().chain(self.waiting.iter().map(|w| &w.1)).filter_map(After::client)
    }

    /// A client has hung up. What it asked for and was not begun is taken back, which is true then; but the secrets are to be
    /// read once more, and what comes after that be done, if nobody else waits for the same.
    pub(super) fn gone(&mut self, client: ClientId) -> bool {
        let Some(at) = self.waiting.iter().position(|w| w.1.client() == Some(client)) else { return false };
        let (ask, after) = &self.waiting[at];
        let same = |w: &&(Ask, After)| discriminant(&w.1) == discriminant(after);
        let taken = !matches!(ask, Ask::Secrets(_)) || self.waiting.iter().filter(same).count() > 1;
        if taken {
            self.waiting.remove(at);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use ipsec_types::whack::Request;

    use super::*;

    fn secrets() -> Ask {
        Ask::Secrets("s".into())
    }

    fn certs() -> Ask {
        Ask::Certs(vec!["%smartcard".into()])
    }

    #[test]
    fn one_after_the_other() {
        let mut queue = Queue::default();
        assert!(queue.next().is_none() && queue.answered().is_none());
        queue.push(secrets(), After::Listen(ClientId(1)));
        queue.push(certs(), After::Request(ClientId(2), Box::new(Request::Status)));
        assert!(matches!(queue.next(), Some(Ask::Secrets(_))) && queue.next().is_none());
        assert_eq!(queue.clients().collect::<Vec<_>>(), [ClientId(1), ClientId(2)]);
        // What is under way is not taken back.
        assert!(!queue.gone(ClientId(1)) && queue.has(ClientId(1)));
        assert!(matches!(queue.answered(), Some(After::Listen(ClientId(1)))));
        assert!(matches!(queue.next(), Some(Ask::Certs(_))));
        assert!(matches!(queue.answered(), Some(After::Request(ClientId(2), _))));
        assert!(!queue.has(ClientId(2)) && queue.next().is_none());
    }

    #[test]
    fn clients_that_come_and_go_leave_no_more_than_one_reading_of_a_kind() {
        let mut queue = Queue::default();
        queue.push(secrets(), After::Listen(ClientId(0)));
        assert!(queue.next().is_some(), "a token that hangs");
        for n in 1..1000 {
            let client = ClientId(n);
            match n % 5 {
                0 => queue.push(secrets(), After::Listen(client)),
                1 => queue.push(secrets(), After::Secrets(client)),
                2 => queue.push(secrets(), After::Reread(client)),
                3 => queue.push(certs(), After::Certs(client, Vec::new())),
                _ => queue.push(certs(), After::Request(client, Box::new(Request::Status))),
            }
            queue.gone(client);
            assert!(queue.waiting.len() <= 3, "{:?}", queue.waiting);
        }
        // The sockets are opened nevertheless.
        assert!(queue.waiting.iter().any(|w| matches!(w, (Ask::Secrets(_), After::Listen(_)))));
        // Somebody who still waits loses nothing, and does what those that have gone wanted.
        queue.push(secrets(), After::Secrets(ClientId(2000)));
        assert_eq!(queue.waiting.len(), 4);
        assert!(queue.gone(ClientId(1)) && !queue.gone(ClientId(1)) && queue.has(ClientId(2000)));
    }
}
