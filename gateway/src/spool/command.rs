//! What handles ask of the thread that owns the engine, and what that asks of the disk.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    Batch, Entry, Lane, Recovery, Seq, SpoolError, StateEntries, Stats, home::Rotated,
    mark::Counters, quota::Disk, store::Store,
};

pub type Answer<T> = oneshot::Sender<Result<T, SpoolError>>;

/// What handles ask of the thread.
pub enum Command {
    Append(Batch, Answer<Vec<Seq>>),
    Peek(Lane, Option<Seq>, usize, Answer<Vec<Entry>>),
    Settle(Vec<Seq>, Answer<()>),
    Discard(Vec<Seq>, String, Answer<()>),
    State(Answer<StateEntries>),
    Stats(Answer<Stats>),
    Rotate(Answer<bool>),
    Close(Answer<()>),
}

/// Where the store comes from; in production, [`super::home::Home`].
pub trait Keeper: Send {
    /// Opens the store; `rewrite` after a failed sync, when what can be read may not be on disk.
    fn open(&mut self, rewrite: bool) -> Result<(Store, Recovery), SpoolError>;
    /// Notes what is durable, outside the engine.
    fn note(&mut self, counters: Counters) -> Result<(), SpoolError>;
    /// Makes the last note durable.
    fn sync_mark(&mut self) -> Result<(), SpoolError>;
    /// How full the disk is.
    fn disk(&mut self) -> Disk;
    /// Moves what the store holds into a fresh database (R10); `age` is the station's.
    fn rotate(&mut self, store: Store, age: Duration) -> Result<Rotated, SpoolError>;
}

/// The answer to everything while the store is closed.
pub fn refuse(command: Command, why: &str, stats: impl FnOnce() -> Stats) {
    let refusal = || SpoolError::Refusing(why.to_owned());
    match command {
        Command::Append(_, answer) => drop(answer.send(Err(refusal()))),
        Command::Peek(_, _, _, answer) => drop(answer.send(Err(refusal()))),
        Command::Settle(_, answer) | Command::Discard(_, _, answer) => {
            drop(answer.send(Err(refusal())));
        }
        Command::State(answer) => drop(answer.send(Err(refusal()))),
        Command::Stats(answer) => drop(answer.send(Ok(stats()))),
        Command::Rotate(answer) => drop(answer.send(Err(refusal()))),
        Command::Close(_) => {}
    }
}
