//! How a child's life fails, in words.

use std::{io, path::PathBuf};

use wangge_protocol::Text;

use crate::bilingual::Bilingual;

/// Why a child ended, or had to be ended; the English completes "picture analysis stopped: …".
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("cannot start the vision child {}: {error}", program.display())]
    Start { program: PathBuf, error: io::Error },
    #[error("it hangs: no sign of life")]
    Hangs,
    #[error("it hangs: frames wait and none is looked at")]
    Stuck,
    #[error("it sent what cannot be understood: {0}")]
    Garbled(io::Error),
    /// So many bytes are its limit.
    #[error("its memory is beyond {} MiB", .0 >> 20)]
    Large(u64),
    /// It ended itself.
    #[error("its memory grew beyond `memory_limit`")]
    Grown,
    #[error("it closed its connection")]
    Closed,
    #[error("it ended with status {0}")]
    Status(i32),
    #[error("it was killed by signal {0}")]
    Killed(i32),
    #[error("it ended")]
    Ended,
    /// Its own words.
    #[error("{}", .0.en)]
    Fatal(Text),
}

impl Bilingual for Failure {
    fn zh(&self) -> String {
        match self {
            Failure::Start { program, error } => {
                format!("无法启动视频分析进程 {}:{error}", program.display())
            }
            Failure::Hangs => "视频分析进程失去响应".into(),
            Failure::Stuck => "视频分析进程停滞:有画面等待,却无一被分析".into(),
            Failure::Garbled(error) => format!("视频分析进程发来的数据无法理解:{error}"),
            Failure::Large(limit) => format!("视频分析进程内存超过 {} MiB", limit >> 20),
            Failure::Grown => "视频分析进程内存超过 `memory_limit`".into(),
            Failure::Closed => "视频分析进程关闭了连接".into(),
            Failure::Status(code) => format!("视频分析进程退出,状态码 {code}"),
            Failure::Killed(signal) => format!("视频分析进程被信号 {signal} 终止"),
            Failure::Ended => "视频分析进程已退出".into(),
            Failure::Fatal(reason) => format!("视频分析进程无法工作:{}", reason.zh),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::{assert_bilingual, text};

    #[test]
    fn every_failure_is_told_in_both_languages() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_bilingual([
            Failure::Start {
                program: "wangge-vision".into(),
                error: broken(),
            },
            Failure::Hangs,
            Failure::Stuck,
            Failure::Garbled(broken()),
            Failure::Large(300 << 20),
            Failure::Grown,
            Failure::Closed,
            Failure::Status(1),
            Failure::Killed(9),
            Failure::Ended,
            Failure::Fatal(text("模型无法使用", "model: no such file")),
        ]);
    }
}
