//! The child's way to the gateway.

use std::{
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
};

use super::wire::{self, Report};

/// Writes whole messages, one thread at a time.
#[derive(Debug)]
pub struct Out(Mutex<UnixStream>);

impl Out {
    /// Over the socket that the gateway gave.
    pub fn new(socket: UnixStream) -> Self {
        Out(Mutex::new(socket))
    }

    /// Sends a report. Waits while the gateway is slow: frames then pile up in their lanes and
    /// are dropped there, counted. Without a gateway there is nobody to work for, and the
    /// process ends.
    pub fn send(&self, report: &Report) {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match wire::write(&mut *socket, report) {
            Ok(()) => {}
            // A report too long to send: a bug, and no reason to stop watching.
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                tracing::error!("report not sent: {e}");
            }
            Err(_) => std::process::exit(0),
        }
    }
}
