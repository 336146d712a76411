//! A chip whose ROM bootloader answers on a pseudo terminal, to try tools on without a board: ours,
//! and other people's.
//!
//! It keeps AN3155 to the letter, and the flash's own rules: a half-word that is not erased cannot
//! be written (PM0075), which the ROM does not tell.

mod chip;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serialport::{SerialPort as _, TTYPort};

pub use chip::{Chip, Fault, Model};

/// How long the thread waits for bytes before it looks whether it should end.
const TICK: Duration = Duration::from_millis(10);

/// A simulated board on an adapter. The adapter is unplugged when this is dropped.
#[derive(Debug)]
pub struct Board {
    path: PathBuf,
    chip: Arc<Mutex<Chip>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Board {
    /// Plugs a board in.
    ///
    /// # Errors
    /// There is no pseudo terminal left.
    pub fn plug(chip: Chip) -> io::Result<Board> {
        // The second end only keeps the line alive while nobody has it open.
        let (line, end) = TTYPort::pair()?;
        let path = end.name().map(PathBuf::from).unwrap_or_default();
        let chip = Arc::new(Mutex::new(chip));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (chip, stop) = (chip.clone(), stop.clone());
            move || serve(line, end, &chip, &stop)
        });
        Ok(Board {
            path,
            chip,
            stop,
            thread: Some(thread),
        })
    }

    /// The adapter's device.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The chip.
    pub fn chip(&self) -> MutexGuard<'_, Chip> {
        lock(&self.chip)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(chip: &Mutex<Chip>) -> MutexGuard<'_, Chip> {
    chip.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut line: TTYPort, end: TTYPort, chip: &Mutex<Chip>, stop: &AtomicBool) {
    let _ = line.set_timeout(TICK);
    let mut bytes = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        let count = match line.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
            Err(_) => return,
        };
        let baud = end.baud_rate().unwrap_or(0);
        let mut chip = lock(chip);
        let mut answer = Vec::new();
        for byte in &bytes[..count] {
            chip.byte(*byte, baud, &mut answer);
        }
        if chip.is_unplugged() {
            return;
        }
        drop(chip);
        if line.write_all(&answer).is_err() {
            return;
        }
    }
}
