//! Questions to a sensor node that are no poll: who it is, and the steps of its update. They go
//! over the bus between the polls, one at a time, and reach units that are nodes of ours only.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_modbus::{Request, Response};
use wangge_node_update::{Ask, Heard};

use super::link::{ConnectError, Link, ReadError};
use crate::config::BusLink;

/// An errand that has waited for so long goes before a poll that is due. On a bus that has no
/// time to spare each unit is then late by one answer a second, and misses no turn for it.
const GOES_FIRST_AFTER: Duration = Duration::from_secs(1);

/// A node answers at once; a page of flash that is erased before takes 40 ms.
const PATIENCE: Duration = Duration::from_millis(400);

/// One question, and where the answer goes.
#[derive(Debug)]
pub struct Errand {
    pub unit: u8,
    pub ask: Ask,
    pub reply: oneshot::Sender<Heard>,
}

/// What waits to be asked on one bus.
#[derive(Debug)]
pub struct Errands {
    come: Option<mpsc::Receiver<Errand>>,
    waiting: Option<(Errand, Instant)>,
}

impl Errands {
    pub fn new(come: mpsc::Receiver<Errand>) -> Self {
        Errands {
            come: Some(come),
            waiting: None,
        }
    }

    /// Of a lane that does none.
    pub fn none() -> Self {
        Errands {
            come: None,
            waiting: None,
        }
    }

    /// The one whose turn it is, if nothing is to be polled (`idle`) or it has waited too long.
    pub fn turn(&mut self, idle: bool) -> Option<Errand> {
        if self.waiting.is_none() {
            let came = self.come.as_mut().and_then(|come| come.try_recv().ok());
            self.waiting = came.map(|errand| (errand, Instant::now()));
        }
        let (_, since) = self.waiting.as_ref()?;
        if idle || since.elapsed() >= GOES_FIRST_AFTER {
            return self.waiting.take().map(|(errand, _)| errand);
        }
        None
    }

    /// Waits for one. Safe to drop.
    pub async fn arrival(&mut self) {
        if self.waiting.is_some() {
            return;
        }
        if let Some(come) = &mut self.come {
            if let Some(errand) = come.recv().await {
                self.waiting = Some((errand, Instant::now()));
                return;
            }
            self.come = None;
        }
        std::future::pending().await
    }
}

/// Asks over `link`, which connects if it must.
pub async fn ask(link: &mut Link, unit: u8, ask: &Ask, timeout: Duration) -> Heard {
    if let Err(error) = link.connect().await {
        tracing::debug!(%error, "an errand finds no bus");
        return Heard::Silent;
    }
    let (request, registers) = match ask {
        Ask::Read { address, count } => (Request::ReadInputRegisters(*address, *count), *count),
        Ask::Write { address, values } => (
            Request::WriteMultipleRegisters(*address, values.into()),
            // 123 at most fit a frame.
            u16::try_from(values.len()).unwrap_or(u16::MAX),
        ),
    };
    let asked = link
        .exchange(unit, request, registers, PATIENCE.min(timeout))
        .await;
    match (asked, ask) {
        (Ok(Response::ReadInputRegisters(words)), Ask::Read { count, .. })
            if words.len() == usize::from(*count) =>
        {
            Heard::Words(words)
        }
        (Ok(Response::WriteMultipleRegisters(..)), Ask::Write { .. }) => Heard::Written,
        (Ok(_), _) => Heard::Silent,
        (Err(ReadError::Refused(code)), _) => Heard::Exception(code.into()),
        (Err(error), _) => {
            tracing::debug!(unit, %error, "an errand without an answer");
            Heard::Silent
        }
    }
}

/// A node on a bus that nobody else speaks on.
#[derive(Debug)]
pub struct Direct {
    link: Link,
    unit: u8,
    timeout: Duration,
}

impl Direct {
    pub fn new(link: BusLink, unit: u8, timeout: Duration) -> Self {
        Direct {
            link: Link::new(link, timeout),
            unit,
            timeout,
        }
    }

    /// Asks the node. That it does not answer is no error; that there is no port is one.
    pub async fn ask(&mut self, question: &Ask) -> Result<Heard, ConnectError> {
        self.link.connect().await?;
        Ok(ask(&mut self.link, self.unit, question, self.timeout).await)
    }
}
