//! One board.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serialport::Parity;
use wangge_node::setup::Setup;
use wangge_protocol::node::{
    IDENTITY_BYTES, Identity,
    layout::{DISCOVERY, MPS2, Part},
};

use super::{Bench, BoardError, Outcome, Target};
use crate::{
    bus::{Bus, BusError, Hiding, Line, look_for},
    chip::{self, ChipError, Found},
    emulator::{Emulator, EmulatorError},
    journal::{Row, yes_or_no},
    label::Label,
    lang::Lang,
    link::{FlashError, Link, LinkError, Stage},
    plan::{self, Content, Piece},
    port,
    probe::Probe,
    provision,
    rom::{Rom, RomError},
    selftest::{self, Expected, Finding, Verdict},
    uf2::{self, Uf2Error},
};

/// The unit id that nodes come with.
const FACTORY_UNIT: u8 = 247;
/// A Pico needs so long to leave its drive and start.
const PICO_STARTS: Duration = Duration::from_secs(2);

/// What is known of a board so far.
#[derive(Debug, Default)]
struct Progress {
    row: Row,
    findings: Vec<Finding>,
    label: Option<PathBuf>,
    /// It has a serial number, so it belongs into the log.
    is_numbered: bool,
}

impl Bench {
    /// Takes one board from its bootloader to its row in the log.
    pub(super) fn board(&mut self) -> Outcome {
        let begun = Instant::now();
        let manifest = &self.job.image.manifest;
        let mut progress = Progress {
            row: Row {
                kind: self.job.kind.slug().to_owned(),
                unit: self.job.wishes.unit,
                image: hex::encode(manifest.hash),
                version: self.job.image.version(),
                counter: manifest.counter,
                technician: self.job.technician.clone(),
                simulated: yes_or_no(self.is_simulated()).to_owned(),
                ..Row::default()
            },
            ..Progress::default()
        };
        let mut error = self.work(&mut progress).err();
        let failed: Vec<&str> = progress
            .findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Fail)
            .map(|finding| finding.check.slug())
            .collect();
        let row = &mut progress.row;
        row.time = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        row.seconds = format!("{:.1}", begun.elapsed().as_secs_f32());
        row.result = match &error {
            Some(BoardError::Flash(FlashError::Interrupted { .. })) => "interrupted",
            Some(_) => "fail",
            None if !failed.is_empty() => "fail",
            None if progress.findings.is_empty() => "flashed",
            None => "pass",
        }
        .to_owned();
        row.why = match &error {
            Some(error) => error.to_string(),
            None => failed.join(" "),
        };
        if progress.is_numbered
            && let Err(unwritten) = self.journal.append(row.clone())
        {
            error = Some(unwritten.into());
        }
        Outcome {
            row: progress.row,
            findings: progress.findings,
            label: progress.label,
            code: error.as_ref().map_or(0, BoardError::code),
            is_fatal: error.as_ref().is_some_and(BoardError::is_fatal),
            error: error.map(|error| match (self.ui.lang, error.zh()) {
                (Lang::Zh, Some(zh)) => format!("{zh}。{error}"),
                _ => error.to_string(),
            }),
        }
    }

    fn is_for(&self, part: &Part) -> bool {
        self.job.image.manifest.hardware == part.hardware
    }

    fn is_simulated(&self) -> bool {
        matches!(self.job.target, Target::Simulated { .. })
    }

    fn work(&mut self, progress: &mut Progress) -> Result<(), BoardError> {
        // Another bench may have written to it.
        self.journal.reread()?;
        let setup = self.job.wishes.setup(self.job.kind)?;
        let line = Line {
            baud: setup.baud(),
            parity: match self.job.wishes.parity {
                Some(1) => Parity::Odd,
                Some(2) => Parity::Even,
                _ => Parity::None,
            },
        };
        progress.row.line = line.text();
        if let Some(bus) = &self.job.bus
            && Bus::open(bus, line)?.is_taken(setup.unit())?
        {
            return Err(BoardError::UnitTaken(setup.unit()));
        }
        let (identity, emulator) = match self.job.target.clone() {
            Target::Drive(folder) => (self.drive(folder, progress)?, None),
            Target::Simulated { sees } if self.is_for(&MPS2) => {
                let (identity, emulator) = self.emulated(sees, progress)?;
                (identity, Some(emulator))
            }
            _ => self.chip(progress)?,
        };
        if self.job.test {
            self.test(progress, &identity, &setup, line, emulator.as_ref())?;
        } else {
            self.ui.tell("  no self-test", "  未做自检");
        }
        let has_failed = progress.findings.iter().any(|f| f.verdict == Verdict::Fail);
        if !has_failed {
            progress.label = Some(Label::of(&progress.row)?.write(&self.job.labels)?);
        }
        if self.job.keep {
            self.kept = emulator;
        }
        Ok(())
    }

    /// A chip behind a ROM or a probe.
    fn chip(
        &mut self,
        progress: &mut Progress,
    ) -> Result<(Identity, Option<Emulator>), BoardError> {
        let mut link = self.connect()?;
        let found = self.unprotected(&mut link)?;
        self.seen.insert(found.number);
        progress.row.chip = found.hex();
        let part = chip::part(&found)?;
        progress.row.part = part.name.to_owned();
        let name = format!("  {}, {}", found.name(), found.hex());
        self.ui.say(&name);
        chip::takes(part, self.job.image.manifest.hardware)?;
        self.job.image.check_place(&self.job.image_path, part)?;
        if let Some((path, boot)) = &self.job.boot {
            chip::takes(part, boot.manifest.hardware)?;
            boot.check_boot(path, part)?;
        }
        let page = link.read(part.identity.from, IDENTITY_BYTES)?;
        let before = Identity::from_bytes(&page).ok();
        let identity = self.numbered(progress, part, before.as_ref())?;
        let keep = !self.job.fresh && before.is_some_and(|b| b.kind == identity.kind);
        if keep {
            self.ui.tell(
                "  a node of ours: what it stored (totals, set-up) is kept; --fresh would erase it",
                "  本系统节点：保留其累计量和设置；--fresh 可清除",
            );
        }
        let pieces = if self.job.identity_only {
            let image = plan::plan(part, &self.content(&identity, true))?;
            self.same_program(&mut link, &image)?;
            plan::without_programs(part, &identity, !self.job.fresh)?
        } else {
            plan::plan(part, &self.content(&identity, keep))?
        };
        self.put(&mut link, part, &pieces)?;
        self.start(link, part).map(|emulator| (identity, emulator))
    }

    fn content<'a>(&'a self, identity: &'a Identity, keep_storage: bool) -> Content<'a> {
        Content {
            image: &self.job.image.binary,
            boot: self.job.boot.as_ref().map(|(_, boot)| &*boot.binary),
            identity,
            keep_storage,
        }
    }

    fn connect(&mut self) -> Result<Link, BoardError> {
        let (port, baud, wiring) = match &self.job.target {
            Target::Serial { port, baud, wiring } => (port.clone(), *baud, *wiring),
            Target::Probe { program, selector } => {
                let hardware = self.job.image.manifest.hardware;
                let part = Part::of(hardware).unwrap_or(&DISCOVERY);
                let probe = Probe::new(program.into(), part.name, selector.clone());
                return Ok(Link::Probe(probe));
            }
            Target::Drive(_) => return Err(Uf2Error::NoDrive.into()),
            Target::Simulated { .. } => {
                if !self.is_for(&DISCOVERY) {
                    let part = Part::of(self.job.image.manifest.hardware);
                    let board = part.map_or("another board", |part| part.board);
                    return Err(BoardError::NotSimulated(board));
                }
                self.ui.tell(
                    "  SIMULATED: a chip in this program, then QEMU; there is no board",
                    "  模拟：程序内的芯片加 QEMU；没有实物板",
                );
                let port = self.plug_simulated().map_err(EmulatorError::Io)?;
                (port, 115_200, Default::default())
            }
        };
        let opened = port::open(&port, baud, Parity::Even);
        let mut opened = opened.map_err(|error| BoardError::Port { port, error })?;
        wiring.into_rom(&mut *opened).map_err(RomError::from)?;
        Ok(Link::Rom(Rom::connect(opened)?))
    }

    /// What chip it is; its protection is removed if that was asked for.
    fn unprotected(&self, link: &mut Link) -> Result<Found, BoardError> {
        match link.found() {
            Err(LinkError::Rom(RomError::Protected)) if self.job.unprotect => {
                self.ui.tell(
                    "  removing readout protection: the chip erases all of its flash",
                    "  解除读保护：芯片将全部擦除",
                );
                if let Link::Rom(rom) = link {
                    rom.readout_unprotect()?;
                }
                Ok(link.found()?)
            }
            result => Ok(result?),
        }
    }

    /// Finds the node's serial number: the one that was named; else the one that the chip has by
    /// the log or by its own identity page; else the next one.
    fn numbered(
        &self,
        progress: &mut Progress,
        part: &Part,
        before: Option<&Identity>,
    ) -> Result<Identity, BoardError> {
        let row = &mut progress.row;
        let known = self.journal.serial_of(&row.chip, self.is_simulated());
        let own = before
            .filter(|b| b.hardware == part.hardware)
            .map(|b| b.serial);
        row.serial = match (self.job.serial, known.or(own), &self.job.serials) {
            (Some(serial), ..) => serial,
            (None, Some(serial), _) if !self.job.renumber => serial,
            (None, _, Some(file)) => provision::next_serial(file)?,
            (None, _, None) => return Err(BoardError::NoSerial),
        };
        self.journal
            .admit(row, self.job.renumber, self.job.allow_older)?;
        progress.is_numbered = true;
        let text = format!(
            "  {} {}, {} {}, {}, {} {} ({}) {}",
            self.ui.lang.of("serial", "序列号"),
            row.serial,
            self.ui.lang.of("unit", "单元号"),
            row.unit,
            row.kind,
            self.ui.lang.of("image", "镜像"),
            row.version,
            row.counter,
            &row.image[..12]
        );
        self.ui.say(&text);
        let keys = self.job.trust.page();
        let wishes = &self.job.wishes;
        Ok(wishes.identity(self.job.kind, part.hardware, row.serial, keys)?)
    }

    fn same_program(&self, link: &mut Link, pieces: &[Piece]) -> Result<(), BoardError> {
        let programs = pieces
            .iter()
            .filter(|p| ["bootloader", "image"].contains(&p.what));
        for piece in programs {
            if link.read(piece.address, piece.bytes.len())? != piece.bytes {
                return Err(BoardError::OtherProgram { what: piece.what });
            }
        }
        Ok(())
    }

    fn put(&self, link: &mut Link, part: &Part, pieces: &[Piece]) -> Result<(), BoardError> {
        let name = |stage| match stage {
            Stage::Erase => self.ui.lang.of("erase", "擦除"),
            Stage::Write => self.ui.lang.of("write", "写入"),
            Stage::Verify => self.ui.lang.of("verify", "校验"),
        };
        let mut now: Option<(Stage, ProgressBar, Instant)> = None;
        let result = link.put(part, pieces, &self.stop, &mut |stage, done, total| {
            let (_, bar, begun) = match &mut now {
                Some(same) if same.0 == stage => same,
                _ => now.insert((stage, self.ui.bar(name(stage), total), Instant::now())),
            };
            bar.set_position(done as u64);
            if done == total {
                bar.finish_and_clear();
                self.ui.done(name(stage), total, begun.elapsed());
            }
        });
        Ok(result?)
    }

    fn start(&mut self, link: Link, part: &Part) -> Result<Option<Emulator>, BoardError> {
        match &self.job.target {
            Target::Simulated { sees } => {
                let sees = *sees;
                link.start(part)?;
                let flash = self
                    .simulated
                    .as_ref()
                    .map(|board| board.chip().flash().to_vec());
                let flash = flash.unwrap_or_default();
                Ok(Some(Emulator::start(part, &flash, sees)?))
            }
            Target::Serial { wiring, .. } => {
                let wiring = *wiring;
                if let Link::Rom(rom) = link {
                    let mut port = rom.start(part.flash.from)?;
                    if !wiring.into_program(&mut *port).map_err(RomError::from)? {
                        self.ui.tell(
                            "  started; put BOOT0 back to 0 before the board leaves the bench",
                            "  已启动；取下前请把 BOOT0 拨回 0",
                        );
                    }
                }
                Ok(None)
            }
            _ => {
                link.start(part)?;
                Ok(None)
            }
        }
    }

    /// A board that is a drive.
    fn drive(
        &mut self,
        folder: Option<PathBuf>,
        progress: &mut Progress,
    ) -> Result<Identity, BoardError> {
        let hardware = self.job.image.manifest.hardware;
        let part = Part::of(hardware)
            .filter(|part| part.board == "pico")
            .ok_or_else(|| ChipError::Other {
                wanted: format!("hardware {hardware:04X}"),
                there: "RP2040 (pico)".to_owned(),
                there_board: "pico",
            })?;
        self.job.image.check_place(&self.job.image_path, part)?;
        let folder = match folder {
            Some(folder) => folder,
            None => uf2::find_drive()?,
        };
        uf2::check_drive(&folder)?;
        progress.row.part = part.name.to_owned();
        let identity = self.numbered(progress, part, None)?;
        let pieces = plan::plan(part, &self.content(&identity, !self.job.fresh))?;
        let file = uf2::encode(&pieces, uf2::RP2040);
        let begun = Instant::now();
        uf2::copy(&file, &folder)?;
        self.ui.done(
            self.ui.lang.of("write", "写入"),
            file.len(),
            begun.elapsed(),
        );
        if self.job.test {
            thread::sleep(PICO_STARTS);
        }
        Ok(identity)
    }

    /// QEMU's own board, which has no ROM to flash it by: what would be written is its flash.
    fn emulated(
        &mut self,
        sees: u16,
        progress: &mut Progress,
    ) -> Result<(Identity, Emulator), BoardError> {
        self.ui.tell(
            "  SIMULATED: a board that QEMU alone has; it takes updates over its bus",
            "  模拟：仅 QEMU 有的板；可经总线升级",
        );
        self.job.image.check_place(&self.job.image_path, &MPS2)?;
        if let Some((path, boot)) = &self.job.boot {
            chip::takes(&MPS2, boot.manifest.hardware)?;
            boot.check_boot(path, &MPS2)?;
        }
        progress.row.part = MPS2.name.to_owned();
        let identity = self.numbered(progress, &MPS2, None)?;
        let mut flash = vec![0xFF; MPS2.flash.size as usize];
        for piece in plan::plan(&MPS2, &self.content(&identity, false))? {
            let from = (piece.address - MPS2.flash.from) as usize;
            flash[from..from + piece.bytes.len()].copy_from_slice(&piece.bytes);
        }
        Ok((identity, Emulator::start(&MPS2, &flash, sees)?))
    }

    fn test(
        &self,
        progress: &mut Progress,
        identity: &Identity,
        setup: &Setup,
        line: Line,
        emulator: Option<&Emulator>,
    ) -> Result<(), BoardError> {
        let path = match (emulator, &self.job.bus, &self.job.target) {
            (Some(emulator), ..) => emulator.bus().display().to_string(),
            (None, Some(bus), _) => bus.clone(),
            // The ROM's pins are the bus's, so the same adapter does.
            (None, None, Target::Serial { port, .. }) => port.clone(),
            (None, None, _) => return Ok(()),
        };
        let unit = setup.unit();
        let head = format!(
            "{} ({}, {} {unit})",
            self.ui.lang.of("  self-test", "  自检"),
            line.text(),
            self.ui.lang.of("unit", "单元号")
        );
        self.ui.say(&head);
        let manifest = &self.job.image.manifest;
        let expected = Expected {
            serial: identity.serial,
            kind: identity.kind,
            hardware: identity.hardware,
            firmware: manifest.firmware,
            counter: manifest.counter,
            values: &identity.initial,
            emulated: emulator.is_some(),
        };
        let mut bus = Bus::open(&path, line)?;
        let result = selftest::run(&mut bus, unit, &expected);
        drop(bus);
        progress.findings = result.map_err(|error| match error {
            BusError::Silence { .. } | BusError::Rubbish { .. } => BoardError::Mute {
                hint: self.hint(&path, unit, line),
                error,
            },
            error => error.into(),
        })?;
        progress
            .findings
            .iter()
            .for_each(|finding| self.ui.finding(finding));
        Ok(())
    }

    /// Where a node that does not answer is, or what else to try.
    fn hint(&self, path: &str, unit: u8, line: Line) -> String {
        self.ui.tell(
            "  no answer; looking for it at other baud rates and unit ids",
            "  无应答；尝试其他波特率和单元号",
        );
        match look_for(path, unit, line, FACTORY_UNIT) {
            Ok(Hiding::OtherLine(other)) => format!(
                "It answers at {}: a baud rate mismatch. It kept a set-up of its own: flash it with --fresh, \
                 or give --baud {}",
                other.text(),
                other.baud
            ),
            Ok(Hiding::OtherUnit(other)) => format!(
                "It answers as unit {other}: it did not take its identity. Flash it again with --fresh"
            ),
            _ => "The likely causes: BOOT0 still at 1 (put it to 0 and press RESET); A and B swapped, or no ground, \
                  on RS-485; the direction pin PA8 not connected; a baud rate or parity other than the node's"
                .to_owned(),
        }
    }
}
