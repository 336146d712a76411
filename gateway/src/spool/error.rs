//! What can go wrong with the outbox, in words for the one who has to act.

use std::{io, path::PathBuf};

use crate::bilingual::Bilingual;

/// Why the outbox did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The file system refused before the outbox was open.
    #[error("{}: {why} (while trying to {what}); check that the directory exists, is writable by this user and has free space", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        why: String,
        /// The kind, for those who wait until it passes.
        kind: io::ErrorKind,
    },
    /// Another process owns the directory.
    #[error("{} is in use by process {}; stop it first", path.display(), pid.map_or("(unknown)".into(), |pid| pid.to_string()))]
    Held {
        /// `storage.path`.
        path: PathBuf,
        /// Its holder, as it wrote itself down.
        pid: Option<u32>,
    },
    /// Written by a newer version.
    #[error("{} was written by a newer version (layout {found}, this one knows 1); install that version again", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its layout version.
        found: u8,
    },
    /// There is nothing at the path.
    #[error("{} holds no spool", .0.display())]
    Missing(PathBuf),
    /// A message or state entry over its limit.
    #[error("{what} of {id:?} is {bytes} bytes, the limit is {limit}; send less per message")]
    TooLarge {
        /// Event id or state key.
        id: String,
        /// Which part.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A name over its limit.
    #[error("{what} of {len} is over the limit of {limit}")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// A picture's name is no SHA-256.
    #[error("{0:?} is not a SHA-256 in 64 lower-case hex digits")]
    BadHash(String),
    /// A record names a picture that is not in the evidence store (R4).
    #[error("picture {0} is not in the evidence store; put it there before the record")]
    NoEvidence(String),
    /// The lane names an uplink that was not given to `open`.
    #[error("there is no uplink with index {0}")]
    NoUplink(u8),
    /// More uplinks, old ones included, than a lane can name.
    #[error("{0} uplinks, old ones that still hold records included, are over the limit of 255")]
    TooManyUplinks(usize),
    /// No space left for this; nothing of the batch was taken.
    #[error("the spool is full: {0}")]
    Full(Full),
    /// An I/O error; the outbox takes nothing until it could be opened again.
    #[error("the spool refuses: {0}")]
    Refusing(String),
    /// The outbox was closed.
    #[error("the spool is closed")]
    Closed,
}

/// Of what there is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("the disk has no free space left")]
    Disk,
    #[error("the disk is almost full; only alerts are taken")]
    DiskAlmost,
    #[error(
        "{used} of {quota} bytes are used and no telemetry is left to thin; above {watermark} only alerts are taken"
    )]
    Readings {
        used: u64,
        quota: u64,
        watermark: u64,
    },
    #[error(
        "{used} of {quota} bytes hold alerts that wait for the platform's receipts, and pictures"
    )]
    Alerts { used: u64, quota: u64 },
}

impl Bilingual for Full {
    fn zh(&self) -> String {
        match self {
            Full::Disk => "磁盘已无可用空间".into(),
            Full::DiskAlmost => "磁盘将满,仅接收告警".into(),
            Full::Readings {
                used,
                quota,
                watermark,
            } => format!(
                "已用 {used} 字节,上限 {quota} 字节,没有可清理的读数;超过 {watermark} 字节后仅接收告警"
            ),
            Full::Alerts { used, quota } => {
                format!("待平台回执的告警和图片已占 {used} 字节,上限 {quota} 字节")
            }
        }
    }
}

impl Bilingual for SpoolError {
    fn zh(&self) -> String {
        match self {
            SpoolError::Io { path, why, .. } => format!(
                "无法使用 {}:{why};请检查目录是否存在、可写且有可用空间",
                path.display()
            ),
            SpoolError::Held { path, pid } => {
                let pid = pid.map_or("(未知)".into(), |pid| pid.to_string());
                format!("{} 正被进程 {pid} 使用,请先停止该进程", path.display())
            }
            SpoolError::Newer { path, found } => format!(
                "{} 由更新的版本写入(格式 {found},本程序只认识 1),请重新安装该版本",
                path.display()
            ),
            SpoolError::Missing(path) => format!("{} 中没有存储", path.display()),
            SpoolError::TooLarge {
                id, bytes, limit, ..
            } => format!("记录 {id:?} 为 {bytes} 字节,上限 {limit} 字节,请减小单条报文"),
            SpoolError::TooLong { what, len, limit } => {
                format!("名称({what})长度 {len} 超过上限 {limit}")
            }
            SpoolError::BadHash(hash) => format!("{hash:?} 不是 64 位小写十六进制的 SHA-256"),
            SpoolError::NoEvidence(hash) => format!("图片 {hash} 不在存储中"),
            SpoolError::NoUplink(index) => format!("没有编号为 {index} 的上联"),
            SpoolError::TooManyUplinks(count) => {
                format!("上联 {count} 个(含仍有待发记录的旧上联),超过上限 255")
            }
            SpoolError::Full(full) => format!("存储已满:{}", full.zh()),
            SpoolError::Refusing(why) => format!("存储无法写入:{why}"),
            SpoolError::Closed => "存储已关闭".into(),
        }
    }
}

impl SpoolError {
    /// Whether it is the record itself that can never be stored, and not the disk's fault.
    pub fn is_of_the_record(&self) -> bool {
        matches!(
            self,
            SpoolError::TooLarge { .. }
                | SpoolError::TooLong { .. }
                | SpoolError::BadHash(_)
                | SpoolError::NoEvidence(_)
                | SpoolError::NoUplink(_)
        )
    }

    /// An error of the file system about `path`.
    pub(super) fn io(path: &std::path::Path, what: &'static str, error: &io::Error) -> Self {
        SpoolError::Io {
            path: path.to_owned(),
            what,
            why: error.to_string(),
            kind: error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn every_fault_is_told_in_both_languages() {
        let (used, quota, watermark) = (900, 1_000, 800);
        let full = [
            Full::Disk,
            Full::DiskAlmost,
            Full::Readings {
                used,
                quota,
                watermark,
            },
            Full::Alerts { used, quota },
        ];
        assert_bilingual(full);
        let path = || PathBuf::from("spool");
        assert_bilingual([
            SpoolError::io(&path(), "open it", &io::ErrorKind::NotFound.into()),
            SpoolError::Held {
                path: path(),
                pid: None,
            },
            SpoolError::Newer {
                path: path(),
                found: 2,
            },
            SpoolError::Missing(path()),
            SpoolError::TooLarge {
                id: "1".into(),
                what: "the body",
                bytes: 2,
                limit: 1,
            },
            SpoolError::TooLong {
                what: "a stream's name",
                len: 2,
                limit: 1,
            },
            SpoolError::BadHash("00".into()),
            SpoolError::NoEvidence("00".into()),
            SpoolError::NoUplink(3),
            SpoolError::TooManyUplinks(300),
            SpoolError::Full(Full::Disk),
            SpoolError::Refusing("disk I/O error".into()),
            SpoolError::Closed,
        ]);
    }
}
