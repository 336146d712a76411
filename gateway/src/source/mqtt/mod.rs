//! Devices that publish over MQTT, through a broker ([`client`]) or straight to the gateway
//! ([`listener`]).
pub mod guard;
pub mod intake;
pub mod payload;
#[cfg(test)]
mod testing;
