//! Why a connection to a broker ended, in words that say what to do.

use std::time::Duration;

use rumqttc::{ConnectReturnCode, ConnectionError, StateError, mqttbytes};

use crate::tls::TlsError;

/// Why a connection did not come about, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("TLS cannot be set up: {0}")]
    TlsSetup(#[from] TlsError),
    #[error("the TLS handshake failed: {0}; check ca_file, the host name and both clocks")]
    Tls(String),
    #[error("the broker refuses user name or password")]
    Login,
    #[error("the broker refuses the connection: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("the broker does not answer in time")]
    Timeout,
    #[error("the broker sent a packet of {len} bytes, at most {max} are taken")]
    Oversize { len: usize, max: usize },
    #[error("the broker does not speak MQTT 3.1.1 as expected: {0}")]
    Protocol(String),
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error(
        "a message did not reach the disk within {0:?}; connecting again makes the broker repeat it"
    )]
    Stalled(Duration),
    #[error("the pipeline has ended")]
    PipelineEnded,
}

impl Fault {
    /// Sorts what `rumqttc` says; `max` is the packet limit it was given.
    pub fn from_poll(error: ConnectionError, max: usize) -> Fault {
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
            ) => Fault::Login,
            ConnectionError::ConnectionRefused(code) => Fault::Refused(code),
            ConnectionError::Tls(rumqttc::TlsError::Io(e)) => Fault::Tls(e.to_string()),
            ConnectionError::Tls(e) => Fault::Tls(e.to_string()),
            ConnectionError::Io(e) => Fault::Unreachable(e.to_string()),
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => Fault::Timeout,
            ConnectionError::NotConnAck(packet) => {
                Fault::Protocol(format!("no CONNACK but {packet:?}"))
            }
            ConnectionError::RequestsDone => Fault::Lost("closed by ourselves".to_owned()),
            ConnectionError::MqttState(state) => match state {
                StateError::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded(len)) => {
                    Fault::Oversize { len, max }
                }
                StateError::Deserialization(mqttbytes::Error::Io(e)) | StateError::Io(e) => {
                    Fault::Lost(e.to_string())
                }
                StateError::ConnectionAborted => Fault::Lost("the broker closed it".to_owned()),
                StateError::AwaitPingResp => Fault::Timeout,
                other => Fault::Protocol(other.to_string()),
            },
        }
    }
}
