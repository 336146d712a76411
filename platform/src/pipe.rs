//! Standard output that may be read slowly, or not at all, without holding up receiving.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel},
    thread,
    time::Duration,
};

/// Lines that wait for the reader; what comes while so many wait is left out and counted.
/// Everything is in `events.jsonl` all the same.
pub const WAITING: usize = 4_096;

/// Writes whole lines in a thread of its own.
#[derive(Debug)]
pub struct Pipe {
    lines: SyncSender<Vec<u8>>,
    left_out: u64,
    json: bool,
}

/// Ends when everything is written.
#[derive(Debug)]
pub struct Drained(Receiver<()>);

impl Pipe {
    /// Lines for `out`; `json` says how it is told that some were left out.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(mut out: impl Write + Send + 'static, json: bool) -> io::Result<(Pipe, Drained)> {
        let (lines, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (alive, drained) = channel();
        thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                for line in waiting {
                    // Whoever closed our output does not want to see it; receiving goes on.
                    let _ = out.write_all(&line).and_then(|()| out.flush());
                }
                drop(alive);
            })?;
        let pipe = Pipe {
            lines,
            left_out: 0,
            json,
        };
        Ok((pipe, Drained(drained)))
    }
}

impl Write for Pipe {
    /// Takes one whole line, or leaves it out.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut text = Vec::new();
        if self.left_out > 0 {
            let count = self.left_out;
            match self.json {
                true => writeln!(text, r#"{{"event":"left_out","lines":{count}}}"#)?,
                false => writeln!(
                    text,
                    "输出被读得太慢,略去 {count} 行 output is read too slowly: {count} lines left out"
                )?,
            }
        }
        text.extend_from_slice(line);
        match self.lines.try_send(text) {
            Ok(()) => self.left_out = 0,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.left_out += 1,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drained {
    /// Waits until all is written; the pipe must be dropped before. False when the reader did
    /// not take it in time.
    pub fn wait(self, patience: Duration) -> bool {
        self.0.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        os::unix::net::UnixStream,
    };

    use super::*;

    #[test]
    fn a_reader_that_waits_costs_lines_and_no_time_and_is_told_how_many() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut pipe, drained) = Pipe::new(ours, true).unwrap();
        // Ten times what waits, and far more than a socket takes.
        let line = format!("{:1000}\n", "x");
        let sent = WAITING as u64 * 10;
        for _ in 0..sent {
            pipe.write_all(line.as_bytes()).unwrap();
        }
        let reader = thread::spawn(move || {
            let (mut whole, mut left_out) = (0, 0);
            for line in BufReader::new(theirs).lines() {
                let line = line.unwrap();
                match serde_json::from_str::<serde_json::Value>(&line) {
                    Ok(note) => left_out += note["lines"].as_u64().unwrap(),
                    Err(_) => whole += 1,
                }
            }
            (whole, left_out)
        });
        // Now that somebody reads, there is room again at some time, and the count is told.
        while pipe.left_out > 0 {
            thread::sleep(Duration::from_millis(1));
            pipe.write_all(line.as_bytes()).unwrap();
            if pipe.left_out > 0 {
                pipe.left_out -= 1; // this one was not of those that were sent
            }
        }
        drop(pipe);
        assert!(drained.wait(Duration::from_secs(60)));
        let (whole, left_out) = reader.join().unwrap();
        assert_eq!(whole + left_out, sent + 1, "{whole} whole, {left_out} not");
        assert!(left_out > 0);
    }

    #[test]
    fn lines_that_are_read_all_arrive() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut pipe, drained) = Pipe::new(ours, false).unwrap();
        for number in 0..WAITING {
            pipe.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        drop(pipe);
        let lines = BufReader::new(theirs).lines();
        assert!(
            lines
                .map(Result::unwrap)
                .eq((0..WAITING).map(|n| n.to_string()))
        );
        assert!(drained.wait(Duration::from_secs(60)));
    }

    #[test]
    fn nobody_who_reads_is_waited_for_only_so_long() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (mut pipe, drained) = Pipe::new(ours, false).unwrap();
        for _ in 0..WAITING {
            pipe.write_all(&[b'x'; 1000]).unwrap();
        }
        drop(pipe);
        assert!(!drained.wait(Duration::from_millis(50)));
    }
}
