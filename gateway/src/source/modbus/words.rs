//! What goes wrong on a bus, in Chinese.

use tokio_modbus::ExceptionCode;

use super::link::{ConnectError, ReadError};
use crate::bilingual::Bilingual;

impl Bilingual for ConnectError {
    fn zh(&self) -> String {
        format!("无法连接 {}:{}", self.target, self.source)
    }
}

impl Bilingual for ReadError {
    fn zh(&self) -> String {
        match self {
            ReadError::Refused(code) => format!("单元拒绝读取({})", refusal_zh(*code)),
            ReadError::Silent(within) => format!("{within:?} 内无应答"),
            ReadError::Incomplete { bytes, within } => {
                format!("{within:?} 内收到 {bytes} 字节,但没有完整有效的报文")
            }
            ReadError::Garbled(error) => format!("应答报文无法解析:{error}"),
            ReadError::Mismatch(error) => format!("应答与请求不符:{error}"),
            ReadError::Length { asked, got } => {
                format!("请求 {asked} 个寄存器,应答 {got} 个")
            }
            ReadError::Lost(error) => format!("连接断开:{error}"),
        }
    }
}

/// What a unit refuses with, as the manuals of meters call it.
pub fn refusal_zh(code: ExceptionCode) -> String {
    let name = match code {
        ExceptionCode::IllegalFunction => "非法功能码",
        ExceptionCode::IllegalDataAddress => "非法数据地址",
        ExceptionCode::IllegalDataValue => "非法数据值",
        ExceptionCode::ServerDeviceFailure => "从站设备故障",
        ExceptionCode::Acknowledge => "从站已确认,处理中",
        ExceptionCode::ServerDeviceBusy => "从站设备忙",
        ExceptionCode::MemoryParityError => "存储奇偶校验错误",
        ExceptionCode::GatewayPathUnavailable => "网关路径不可用",
        ExceptionCode::GatewayTargetDevice => "网关目标设备无应答",
        ExceptionCode::Custom(_) => "异常码",
    };
    format!("{name} 0x{:02X}", u8::from(code))
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use tokio_modbus::{ProtocolError, Response};

    use super::*;
    use crate::bilingual::{assert_bilingual, is_chinese};

    #[test]
    fn every_fault_is_told_in_both_languages() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_bilingual([ConnectError {
            target: "192.0.2.1:502".into(),
            source: broken(),
        }]);
        let within = Duration::from_millis(500);
        assert_bilingual([
            ReadError::Refused(ExceptionCode::IllegalDataAddress),
            ReadError::Silent(within),
            ReadError::Incomplete { bytes: 3, within },
            ReadError::Garbled(broken()),
            ReadError::Mismatch(ProtocolError::HeaderMismatch {
                message: "transaction 3".into(),
                result: Ok(Response::ReadHoldingRegisters(Vec::new())),
            }),
            ReadError::Length { asked: 2, got: 1 },
            ReadError::Lost(broken()),
        ]);
    }

    #[test]
    fn every_refusal_has_a_name_of_its_own() {
        let mut names: Vec<_> = (1..=12)
            .map(|code| refusal_zh(ExceptionCode::new(code)))
            .collect();
        assert!(names.iter().all(|name| is_chinese(name)), "{names:?}");
        assert_eq!(names[1], "非法数据地址 0x02");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 12);
    }
}
