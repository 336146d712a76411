//! One board after another: from what was asked for to a row in the log.

mod board;
mod error;
mod report;
#[cfg(test)]
mod tests;
mod wait;

use std::{
    collections::HashSet,
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use wangge_protocol::node::NodeKind;

pub use error::BoardError;
pub use report::{Outcome, Report};

use crate::{
    emulator::Emulator,
    journal::Journal,
    provision::Wishes,
    signed::{Image, Trust},
    simulator::Board,
    ui::Ui,
    wiring::Wiring,
};

/// How often it is looked whether Ctrl-C was pressed.
const TICK: Duration = Duration::from_millis(100);

/// How the board is reached.
#[derive(Clone, Debug)]
pub enum Target {
    /// Its ROM, over a serial adapter.
    Serial {
        /// The adapter's device.
        port: String,
        /// Speed, baud.
        baud: u32,
        /// DTR and RTS.
        wiring: Wiring,
    },
    /// A debug probe.
    Probe {
        /// The program that drives it.
        program: OsString,
        /// Which one, `VID:PID` or `VID:PID:SERIAL`.
        selector: Option<String>,
    },
    /// The RP2040's drive; looked for if it is not named.
    Drive(Option<PathBuf>),
    /// No board: the simulated ROM, then QEMU.
    Simulated {
        /// What the distance sensor sees, mm; 0 is unplugged.
        sees: u16,
    },
}

/// Everything that was asked for.
#[derive(Debug)]
pub struct Job {
    /// How boards are reached.
    pub target: Target,
    /// The image and its file.
    pub image: Image,
    /// Where it came from.
    pub image_path: PathBuf,
    /// The bootloader and its file.
    pub boot: Option<(PathBuf, Image)>,
    /// Whose images the node will take.
    pub trust: Trust,
    /// What the node will be.
    pub kind: NodeKind,
    /// How it will be set up.
    pub wishes: Wishes,
    /// Its serial number, if it was named.
    pub serial: Option<u64>,
    /// The file that counts serial numbers.
    pub serials: Option<PathBuf>,
    /// The adapter on the node's bus, if it is another one.
    pub bus: Option<String>,
    /// Run the self-test.
    pub test: bool,
    /// Where labels go.
    pub labels: PathBuf,
    /// Who does it.
    pub technician: String,
    /// Write the identity page only.
    pub identity_only: bool,
    /// Erase what the node stored.
    pub fresh: bool,
    /// Remove readout protection.
    pub unprotect: bool,
    /// A known chip may get another number.
    pub renumber: bool,
    /// An older image is welcome.
    pub allow_older: bool,
    /// The simulated node runs on until Ctrl-C.
    pub keep: bool,
    /// How many boards; `None` is until Ctrl-C.
    pub boards: Option<usize>,
}

/// A bench at work.
#[derive(Debug)]
pub struct Bench {
    job: Job,
    journal: Journal,
    ui: Ui,
    stop: Arc<AtomicBool>,
    /// Chips that were on this bench since the start.
    seen: HashSet<[u8; 12]>,
    /// The board of a simulation.
    simulated: Option<Board>,
    /// The node that runs on.
    kept: Option<Emulator>,
}

impl Bench {
    /// `stop` is set when somebody presses Ctrl-C.
    pub fn new(job: Job, journal: Journal, ui: Ui, stop: Arc<AtomicBool>) -> Bench {
        Bench {
            job,
            journal,
            ui,
            stop,
            seen: HashSet::new(),
            simulated: None,
            kept: None,
        }
    }

    /// Does all boards that were asked for.
    pub fn run(&mut self) -> Report {
        let mut report = Report::new(matches!(self.job.target, Target::Simulated { .. }));
        let is_batch = self.job.boards != Some(1);
        let mut number = 0;
        while self.job.boards.is_none_or(|boards| number < boards) {
            number += 1;
            if is_batch {
                let (en, zh) = (format!("\nboard {number}"), format!("\n第 {number} 块板"));
                self.ui.tell(&en, &zh);
                if !self.wait() {
                    break;
                }
            }
            let outcome = self.board();
            self.show(&outcome);
            let is_fatal = outcome.is_fatal;
            report.push(outcome);
            if is_fatal || self.is_stopped() {
                break;
            }
        }
        if is_batch {
            let en = format!("\n{} passed, {} failed", report.passed, report.failed);
            let zh = format!("\n通过 {}，失败 {}", report.passed, report.failed);
            self.ui.tell(&en, &zh);
        }
        self.run_on();
        report
    }

    /// The node that is kept runs until Ctrl-C.
    fn run_on(&mut self) {
        let Some(emulator) = self.kept.take() else {
            return;
        };
        let (bus, unit) = (emulator.bus().display(), self.job.wishes.unit);
        self.ui.tell(
            &format!("the node runs on {bus} as unit {unit} until Ctrl-C"),
            &format!("节点在 {bus} 上以单元号 {unit} 运行，按 Ctrl-C 结束"),
        );
        while !self.is_stopped() {
            thread::sleep(TICK);
        }
    }

    fn show(&self, outcome: &Outcome) {
        let (row, took) = (&outcome.row, &outcome.row.seconds);
        let simulated = if row.simulated == "yes" {
            self.ui
                .lang
                .of(" (SIMULATED: there is no board)", "（模拟：没有实物板）")
        } else {
            ""
        };
        match &outcome.error {
            None => {
                let label = outcome.label.as_ref();
                let label = label.map_or(String::new(), |path| {
                    let word = self.ui.lang.of("label", "标签");
                    format!(", {word} {}", path.display())
                });
                let result = match (outcome.passed(), row.result.as_str()) {
                    (false, _) => self.ui.lang.of("FAIL", "不合格"),
                    (true, "pass") => self.ui.lang.of("PASS", "合格"),
                    (true, _) => self.ui.lang.of("FLASHED, not tested", "已烧录，未测试"),
                };
                let en = format!(
                    "{result} serial {} in {took} s{label}{simulated}",
                    row.serial
                );
                let zh = format!(
                    "{result} 序列号 {}，用时 {took} 秒{label}{simulated}",
                    row.serial
                );
                self.ui.tell(&en, &zh);
            }
            Some(error) => {
                let en = format!("FAIL{simulated}: {error}");
                let zh = format!("失败{simulated}：{error}");
                self.ui.tell(&en, &zh);
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
