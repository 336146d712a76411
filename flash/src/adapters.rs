//! Serial adapters that are plugged in.

use std::path::Path;

use serialport::{SerialPortType, UsbPortInfo};

/// Where Linux lists serial ports.
const SYS: &str = "/sys/class/tty";

/// A serial adapter.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Adapter {
    /// Its device, e.g. `/dev/ttyUSB0`.
    pub path: String,
    /// `VID:PID`, hex; empty for a port that is no USB device.
    pub usb: String,
    /// What it calls itself, or the chip that is behind its number.
    pub product: String,
    /// Its serial number, if it has one.
    pub serial: String,
}

/// All serial ports, USB adapters first.
///
/// # Errors
/// The system does not list them.
pub fn list() -> serialport::Result<Vec<Adapter>> {
    // The library takes the folder for granted.
    if !Path::new(SYS).is_dir() {
        return Ok(Vec::new());
    }
    let mut all: Vec<Adapter> = serialport::available_ports()?
        .into_iter()
        .map(|port| match port.port_type {
            SerialPortType::UsbPort(usb) => of_usb(port.port_name, &usb),
            _ => Adapter {
                path: port.port_name,
                usb: String::new(),
                product: "serial port".to_owned(),
                serial: String::new(),
            },
        })
        .collect();
    all.sort_by_key(|adapter| (adapter.usb.is_empty(), adapter.path.clone()));
    Ok(all)
}

/// The only USB adapter, if there is exactly one.
pub fn only(all: &[Adapter]) -> Option<&Adapter> {
    let mut usb = all.iter().filter(|adapter| !adapter.usb.is_empty());
    match (usb.next(), usb.next()) {
        (Some(adapter), None) => Some(adapter),
        _ => None,
    }
}

fn of_usb(path: String, usb: &UsbPortInfo) -> Adapter {
    let known = match (usb.vid, usb.pid) {
        (0x1A86, 0x7523 | 0x5523) => "CH340",
        (0x1A86, 0x55D3 | 0x55D4) => "CH343",
        (0x0403, 0x6001) => "FT232R",
        (0x0403, 0x6015) => "FT231X",
        (0x10C4, 0xEA60) => "CP2102",
        (0x067B, 0x2303 | 0x23A3) => "PL2303",
        (0x0483, 0x374B | 0x3752 | 0x374E) => "ST-LINK's serial port",
        _ => "USB serial adapter",
    };
    Adapter {
        path,
        usb: format!("{:04x}:{:04x}", usb.vid, usb.pid),
        product: usb.product.clone().unwrap_or_else(|| known.to_owned()),
        serial: usb.serial_number.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usb(path: &str, vid: u16, pid: u16, product: Option<&str>) -> Adapter {
        let info = UsbPortInfo {
            vid,
            pid,
            serial_number: None,
            manufacturer: None,
            product: product.map(str::to_owned),
        };
        of_usb(path.to_owned(), &info)
    }

    #[test]
    fn an_adapter_is_named() {
        let ch340 = usb("/dev/ttyUSB0", 0x1A86, 0x7523, None);
        assert_eq!(
            (ch340.usb.as_str(), ch340.product.as_str()),
            ("1a86:7523", "CH340")
        );
        assert_eq!(usb("/dev/ttyUSB1", 1, 2, Some("Mine")).product, "Mine");
    }

    #[test]
    fn one_is_chosen_only_where_there_is_no_doubt() {
        let (one, two) = (usb("a", 1, 2, None), usb("b", 1, 2, None));
        let plain = Adapter {
            usb: String::new(),
            ..usb("/dev/ttyS0", 1, 2, None)
        };
        assert_eq!(only(&[]), None);
        assert_eq!(only(std::slice::from_ref(&plain)), None);
        assert_eq!(only(&[plain, one.clone()]), Some(&one));
        assert_eq!(only(&[one, two]), None);
    }

    #[test]
    fn this_machine_can_be_asked() {
        assert!(list().is_ok());
    }
}
