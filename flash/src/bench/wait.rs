//! Until the next board is there, without a key being pressed.

use std::{thread, time::Duration};

use serialport::Parity;

use super::{Bench, Target};
use crate::{
    link::Link,
    port,
    rom::{Rom, RomError},
    simulator::{Board, Chip, Model},
};

const PAUSE: Duration = Duration::from_millis(300);

impl Bench {
    /// Waits for a board whose chip was not on the bench yet; false if somebody stopped waiting.
    pub(super) fn wait(&mut self) -> bool {
        let (port, baud, wiring) = match &self.job.target {
            Target::Serial { port, baud, wiring } => (port.clone(), *baud, *wiring),
            Target::Simulated { .. } => return !self.is_stopped(),
            // Probes and drives are asked when their board is there.
            Target::Probe { .. } | Target::Drive(_) => return self.wait_for_key(),
        };
        self.ui.tell(
            "  waiting for a board: connect it with BOOT0 at 1, press RESET (Ctrl-C ends)",
            "  等待接板：BOOT0 置 1 后接上，按 RESET（Ctrl-C 结束）",
        );
        let mut told = false;
        while !self.is_stopped() {
            // The adapter may have been pulled out with the last board.
            let opened = port::open(&port, baud, Parity::Even);
            let found = opened.map_err(RomError::from).and_then(|mut port| {
                wiring.into_rom(&mut *port)?;
                Rom::connect(port)
            });
            if let Ok(rom) = found
                && let Ok(found) = Link::Rom(rom).found()
            {
                if !self.seen.contains(&found.number) {
                    return true;
                }
                if !told {
                    told = true;
                    self.ui.tell(
                        "  this board was done; take it off and connect the next",
                        "  这块板已处理，请换下一块",
                    );
                }
            }
            thread::sleep(PAUSE);
        }
        false
    }

    fn wait_for_key(&self) -> bool {
        self.ui.tell(
            "  connect the next board and press Enter (Ctrl-D ends)",
            "  接好下一块板后按回车（Ctrl-D 结束）",
        );
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        read.is_ok_and(|count| count > 0) && !self.is_stopped()
    }

    /// Plugs a board in that is none.
    pub(super) fn plug_simulated(&mut self) -> std::io::Result<String> {
        let now = jiff::Timestamp::now().as_nanosecond() as u64;
        let mut number = *b"SIM_........";
        number[4..].copy_from_slice(&now.to_be_bytes());
        let board = Board::plug(Chip::new(Model::F100RB, number))?;
        let path = board.path().display().to_string();
        self.simulated = Some(board);
        Ok(path)
    }
}
