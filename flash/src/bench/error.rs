//! Why a board did not get through.

use crate::{
    bus::BusError,
    chip::ChipError,
    emulator::EmulatorError,
    journal::JournalError,
    label::LabelError,
    link::{FlashError, LinkError},
    plan::PlanError,
    port,
    probe::ProbeError,
    provision::ProvisionError,
    rom::RomError,
    signed::ImageError,
    uf2::Uf2Error,
};

/// Why a board did not get through.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The port cannot be opened.
    #[error("{port}: {error}. {}", port::advice(.error))]
    Port {
        /// Which.
        port: String,
        /// Why.
        error: serialport::Error,
    },
    /// No serial number.
    #[error("no serial number: give --serial N, or --serials FILE with the next free number in it")]
    NoSerial,
    /// Somebody has this unit id.
    #[error(
        "unit {0} answers on the bus already: two nodes with one unit id disturb each other. \
         Give the new one another --unit, or take the other one off"
    )]
    UnitTaken(u8),
    /// There is another program on the board.
    #[error(
        "only the identity was to be written, but the board's program is another one than this image \
         ({what}): flash it without --identity-only"
    )]
    OtherProgram {
        /// `image` or `bootloader`.
        what: &'static str,
    },
    /// The emulator does not run this board's image.
    #[error(
        "simulated are the discovery board (STM32F100RB) and mps2 only: take the image for one of them, \
         not the one for {0}"
    )]
    NotSimulated(&'static str),
    /// The node does not answer.
    #[error("the node was flashed, but does not answer: {error}. {hint}")]
    Mute {
        /// How it was asked.
        error: BusError,
        /// What was tried, and what to try.
        hint: String,
    },
    /// See there.
    #[error(transparent)]
    Rom(#[from] RomError),
    /// See there.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// See there.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// See there.
    #[error(transparent)]
    Chip(#[from] ChipError),
    /// See there.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// See there.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// See there.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// See there.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// See there.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// See there.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// See there.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// See there.
    #[error(transparent)]
    Uf2(#[from] Uf2Error),
}

impl BoardError {
    /// What to do, in Chinese, for what happens most; the details stand in the English text.
    pub(super) fn zh(&self) -> Option<&'static str> {
        let rom = |error: &RomError| match error {
            RomError::NoBootloader => {
                Some("引导程序无应答：BOOT0 置 1 后按 RESET；检查 TX/RX 交叉、共地、供电")
            }
            RomError::NotABootloader(_) => Some(
                "应答的不是引导程序：板上程序在运行，或波特率与上次不同；BOOT0 置 1 后按 RESET",
            ),
            RomError::Protected => Some("芯片有读保护：加 --unprotect 会全部擦除后继续"),
            RomError::Unplugged(_) => Some("适配器断开：重新插上再烧一次，板没有坏"),
            RomError::Torn(_) => Some("闪存内容不对：供电不足或闪存老化"),
            _ => None,
        };
        match self {
            BoardError::Rom(error) | BoardError::Link(LinkError::Rom(error)) => rom(error),
            BoardError::Flash(FlashError::Stopped { error, .. }) => match error {
                LinkError::Rom(error) => rom(error),
                LinkError::Probe(_) => None,
            },
            BoardError::Flash(FlashError::Differs { .. }) => {
                Some("写入后回读不一致：再烧一次；同一处再失败则换板")
            }
            BoardError::Flash(FlashError::Interrupted { .. }) => Some("已中断，重烧即可，板没有坏"),
            BoardError::Chip(ChipError::Other { .. }) => Some("镜像不符：请用与本板型号一致的镜像"),
            BoardError::Chip(ChipError::Unsupported(_)) => Some("不支持这种芯片：核对丝印，换板"),
            BoardError::Port { .. } => {
                Some("串口打不开：用 wangge flash list 查看，或检查权限（dialout 组）")
            }
            BoardError::UnitTaken(_) => Some("单元号已被总线上的设备占用：换 --unit，或取下另一台"),
            BoardError::NoSerial => Some("没有序列号：给出 --serial 或 --serials"),
            BoardError::Mute { .. } => {
                Some("已烧录但无应答：BOOT0 拨回 0 按 RESET，检查 A/B、地、波特率")
            }
            BoardError::Journal(JournalError::Taken { .. }) => {
                Some("序列号已属于另一个芯片：换一个")
            }
            BoardError::Journal(JournalError::Older { .. }) => Some("镜像比板上原有的旧"),
            _ => None,
        }
    }

    /// 2: what was asked for cannot be, and the board was not touched; 3: nothing to talk to; 1:
    /// the rest.
    pub(super) fn code(&self) -> u8 {
        match self {
            BoardError::UnitTaken(_)
            | BoardError::OtherProgram { .. }
            | BoardError::Journal(
                JournalError::Taken { .. }
                | JournalError::Known { .. }
                | JournalError::Older { .. },
            ) => 2,
            error if error.is_of_every_board() => 2,
            BoardError::Port { .. }
            | BoardError::Bus(BusError::Port { .. })
            | BoardError::Link(LinkError::Probe(ProbeError::NotInstalled(_)))
            | BoardError::Rom(RomError::NoBootloader | RomError::NotABootloader(_))
            | BoardError::Uf2(Uf2Error::NoDrive) => 3,
            _ => 1,
        }
    }

    /// Whether the next board would fail in the same way.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            BoardError::Journal(JournalError::Io { .. } | JournalError::Foreign { .. })
            | BoardError::Label(_)
            | BoardError::Emulator(_) => true,
            error => error.is_of_every_board(),
        }
    }

    /// What was asked for cannot be, whatever board it is.
    fn is_of_every_board(&self) -> bool {
        matches!(
            self,
            BoardError::NoSerial
                | BoardError::NotSimulated(_)
                | BoardError::Image(_)
                | BoardError::Plan(_)
                | BoardError::Provision(_)
        )
    }
}
