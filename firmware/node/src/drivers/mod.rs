//! Sensors, each from its own words to a reading that the bin understands.

mod accelerometer;
mod echo;
#[cfg(test)]
mod fake;
mod on_i2c;
mod serial_ultrasonic;
mod shared;
mod thermometer;
mod time_of_flight;

pub use accelerometer::Accelerometer;
pub use echo::echo;
pub use on_i2c::{OnI2c, without_i2c};
pub use serial_ultrasonic::SerialUltrasonic;
pub use shared::{Failed, Shared};
pub use thermometer::temperature;
pub use time_of_flight::TimeOfFlight;
