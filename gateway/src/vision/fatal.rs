//! Why the child cannot work, in words.

use std::io;

use wangge_models::ModelError;

use super::detect::DetectError;
use crate::{bilingual::Bilingual, seal::SealError};

/// Why the child cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error("time zone {name}: {error}")]
    TimeZone { name: String, error: jiff::Error },
    #[error("model: {0}")]
    Model(#[from] ModelError),
    #[error("{0}")]
    Detector(#[from] DetectError),
    #[error("sealed_original: {0}")]
    Sealing(SealError),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl Bilingual for Fatal {
    fn zh(&self) -> String {
        match self {
            Fatal::TimeZone { name, error } => format!("时区 {name} 无法使用:{error}"),
            Fatal::Model(error) => error.zh(),
            Fatal::Detector(error) => error.zh(),
            Fatal::Sealing(error) => format!("`sealed_original` 的公钥无法使用:{error}"),
            Fatal::Thread(error) => format!("无法启动线程:{error}"),
        }
    }
}

impl Bilingual for ModelError {
    fn zh(&self) -> String {
        match self {
            ModelError::Read { path, source } => {
                let hint = match source.kind() {
                    io::ErrorKind::NotFound => ",请获取模型,或更正 [vision] 的 `model`",
                    _ => "",
                };
                format!("模型文件 {} 无法读取:{source}{hint}", path.display())
            }
            ModelError::Manifest { path, reason } => {
                format!("模型清单 {} 有误:{reason}", path.display())
            }
            ModelError::Truncated {
                path,
                found,
                expected,
            } => format!(
                "模型文件 {} 不完整,{expected} 字节中只有 {found} 字节,请重新获取模型",
                path.display()
            ),
            ModelError::TooLarge { path, limit } => format!(
                "模型文件 {} 超过 {limit} 字节,不是清单所指的文件",
                path.display()
            ),
            ModelError::WrongHash {
                path,
                found,
                expected,
            } => format!(
                "模型文件 {} 的 SHA-256 为 {found},清单为 {expected},请重新获取模型,或为它另写清单",
                path.display()
            ),
            ModelError::Network { path, reason } => {
                format!("模型文件 {} 无法使用:{reason}", path.display())
            }
        }
    }
}

impl Bilingual for DetectError {
    fn zh(&self) -> String {
        match self {
            DetectError::Library { path, reason } => format!(
                "{} 无法使用:{reason};请将 [vision] 的 `onnxruntime` 设为 1.23 或更高版本的 libonnxruntime.so",
                path.display()
            ),
            DetectError::Refused { id, reason } => format!("模型 {id} 无法加载:{reason}"),
            DetectError::Memory { id, bytes, reason } => {
                format!("模型 {id} 加载所需内存过多,与其 {bytes} 字节的权重不符({reason})")
            }
            DetectError::Shape {
                id,
                what,
                found,
                expected,
            } => format!("模型 {id} 的 {what} 为 {found},与清单要求的 {expected} 不符"),
            DetectError::Run(reason) => format!("检测器运行失败:{reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn every_reason_is_told_in_both_languages() {
        let path = || "model.onnx".into();
        let reason = || "no such operator".to_owned();
        let id = || "nanodet".to_owned();
        assert_bilingual([
            ModelError::Read {
                path: path(),
                source: io::ErrorKind::NotFound.into(),
            },
            ModelError::Manifest {
                path: path(),
                reason: reason(),
            },
            ModelError::Truncated {
                path: path(),
                expected: 2,
                found: 1,
            },
            ModelError::TooLarge {
                path: path(),
                limit: 1,
            },
            ModelError::WrongHash {
                path: path(),
                expected: "00".into(),
                found: "ff".into(),
            },
            ModelError::Network {
                path: path(),
                reason: reason(),
            },
        ]);
        assert_bilingual([
            DetectError::Library {
                path: path(),
                reason: reason(),
            },
            DetectError::Refused {
                id: id(),
                reason: reason(),
            },
            DetectError::Memory {
                id: id(),
                bytes: 1,
                reason: reason(),
            },
            DetectError::Shape {
                id: id(),
                what: "input".into(),
                found: "1x3".into(),
                expected: "1x3x416x416".into(),
            },
            DetectError::Run(reason()),
        ]);
        let name = "Nowhere/Town".to_owned();
        let error = TimeZone::get(&name).unwrap_err();
        assert_bilingual([
            Fatal::TimeZone { name, error },
            Fatal::Model(ModelError::TooLarge {
                path: path(),
                limit: 1,
            }),
            Fatal::Detector(DetectError::Run(reason())),
            Fatal::Sealing(SealError::Damaged),
            Fatal::Thread(io::ErrorKind::OutOfMemory.into()),
        ]);
    }
}
