//! Sensors, each from its own words to a reading that the bin understands.

mod accelerometer;
mod echo;
#[cfg(test)]
mod fake;
mod serial_ultrasonic;
mod shared;
mod thermometer;
mod time_of_flight;

pub use accelerometer::Accelerometer;
pub use echo::echo;
pub use serial_ultrasonic::SerialUltrasonic;
pub use shared::{Failed, Shared};
pub use thermometer::temperature;
pub use time_of_flight::TimeOfFlight;
