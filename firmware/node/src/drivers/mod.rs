//! Sensors, each from its own words to a reading that the bin understands.

mod echo;
mod serial_ultrasonic;

pub use echo::echo;
pub use serial_ultrasonic::SerialUltrasonic;
