//! Pictures that somebody asks for, on their way to the child and back.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::{mpsc, oneshot};
use wangge_protocol::EvidenceRef;

use crate::{config::Camera, down::Ask, vision::wire::Command};

/// Askings that wait for the child at most.
const MAX_WAITING: usize = 64;

type Reply = oneshot::Sender<Result<EvidenceRef, String>>;

/// Who waits for which picture.
#[derive(Debug)]
pub struct Asks {
    from: mpsc::Receiver<Ask>,
    waiting: HashMap<u64, Reply>,
    next: u64,
}

impl Asks {
    pub fn new(from: mpsc::Receiver<Ask>) -> Self {
        Asks {
            from,
            waiting: HashMap::new(),
            next: 1,
        }
    }

    /// The next thing to ask the child for; `None` when nobody can ask any more. Cancel-safe.
    pub async fn next(&mut self, cameras: &[Arc<Camera>]) -> Option<Command> {
        loop {
            let ask = self.from.recv().await?;
            let reply = match self.take(ask, cameras) {
                Ok(command) => return Some(command),
                Err(refused) => refused,
            };
            // Whoever asked has gone: nobody to tell.
            let _ = reply.0.send(Err(reply.1));
        }
    }

    fn take(&mut self, ask: Ask, cameras: &[Arc<Camera>]) -> Result<Command, (Reply, String)> {
        // Nobody waits for an answer that came too late.
        self.waiting.retain(|_, reply| !reply.is_closed());
        let Ask {
            camera,
            zone,
            reply,
        } = ask;
        let found = cameras.iter().position(|c| c.id == camera);
        let Some(index) = found else {
            return Err((reply, format!("there is no camera \"{camera}\"")));
        };
        let zones = cameras.get(index).map(|c| c.zones.as_slice());
        let found = zones.unwrap_or_default().iter().position(|z| z.id == zone);
        let Some(zone) = found else {
            return Err((reply, format!("camera \"{camera}\" has no zone \"{zone}\"")));
        };
        if self.waiting.len() == MAX_WAITING {
            return Err((reply, "too many pictures are asked for".to_owned()));
        }
        let ask = self.next;
        self.next += 1;
        self.waiting.insert(ask, reply);
        // There are 64 cameras and 32 zones at most.
        Ok(Command::Picture {
            camera: index as u16,
            zone: zone as u16,
            ask,
        })
    }

    /// The child's answer; one that nobody asked for is passed over.
    pub fn answer(&mut self, ask: u64, picture: Result<EvidenceRef, String>) {
        if let Some(reply) = self.waiting.remove(&ask) {
            let _ = reply.send(picture);
        }
    }

    /// The next child knows of nothing.
    pub fn child_ended(&mut self) {
        for (_, reply) in self.waiting.drain() {
            let _ = reply.send(Err("picture analysis was started again".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures;

    fn ask(camera: &str, zone: &str) -> (Ask, oneshot::Receiver<Result<EvidenceRef, String>>) {
        let (reply, answer) = oneshot::channel();
        let ask = Ask {
            camera: camera.into(),
            zone: zone.into(),
            reply,
        };
        (ask, answer)
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused_and_the_next_goes_on() {
        let cameras = [fixtures::camera("gate", Vec::new())];
        let (to, from) = mpsc::channel(4);
        let mut asks = Asks::new(from);
        let (one, no_camera) = ask("door", "yard");
        let (two, no_zone) = ask("gate", "moon");
        to.send(one).await.unwrap();
        to.send(two).await.unwrap();
        drop(to);
        assert_eq!(asks.next(&cameras).await, None);
        assert!(no_camera.await.unwrap().unwrap_err().contains("no camera"));
        assert!(no_zone.await.unwrap().unwrap_err().contains("no zone"));
    }

    #[test]
    fn a_child_that_ends_answers_nobody() {
        let (_, from) = mpsc::channel(1);
        let mut asks = Asks::new(from);
        let (reply, mut answer) = oneshot::channel();
        asks.waiting.insert(7, reply);
        asks.answer(8, Err("strange".into()));
        asks.child_ended();
        assert!(answer.try_recv().unwrap().unwrap_err().contains("again"));
    }
}
