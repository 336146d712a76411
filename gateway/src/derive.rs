//! From a decoded figure to observations: marks what cannot be true, and adds what follows
//! from it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    config::Device,
    observation::{Observation, Quality, Quantity, Value},
};

/// Pushes one measurement of `device`, marked [`Quality::Implausible`] where its quantity
/// cannot have that value, and the fill of a bin that follows from a believable distance.
///
/// `value` is in [`Quantity::unit`]; `quality` is what the source thinks of it so far and is
/// only ever made worse. The fill is left out where the device has no height, where the
/// distance is not believed, and where `out` already holds a fill that the device itself sent
/// for the same time.
pub fn finish_as(
    device: &Device,
    subject: &Arc<str>,
    at: Timestamp,
    quantity: Quantity,
    value: f64,
    quality: Quality,
    out: &mut Vec<Observation>,
) {
    let quality = if is_plausible(quantity, value) {
        quality
    } else {
        Quality::Implausible
    };
    let push = |quantity, value, out: &mut Vec<Observation>| {
        out.push(Observation {
            subject: subject.clone(),
            at,
            value: Value::Measurement { quantity, value },
            quality,
        });
    };
    push(quantity, value, out);
    if quantity != Quantity::Distance || quality == Quality::Implausible {
        return;
    }
    let fill = device
        .height_mm
        .and_then(|height| fill_percent(height, device.profile.full_at_mm, value));
    if let Some(fill) = fill
        && !out.iter().any(|o| is_fill(o, subject, at))
    {
        push(Quantity::Fill, fill, out);
    }
}

fn is_fill(o: &Observation, subject: &Arc<str>, at: Timestamp) -> bool {
    let Value::Measurement { quantity, .. } = o.value else {
        return false;
    };
    quantity == Quantity::Fill && o.at == at && o.subject == *subject
}

/// [`finish_as`] for a value that the source has no doubt about.
pub fn finish(
    device: &Device,
    subject: &Arc<str>,
    at: Timestamp,
    quantity: Quantity,
    value: f64,
    out: &mut Vec<Observation>,
) {
    finish_as(device, subject, at, quantity, value, Quality::Good, out);
}

/// Whether any device could report this; false for NaN.
pub fn is_plausible(quantity: Quantity, value: f64) -> bool {
    let (low, high) = quantity.plausible();
    (low..=high).contains(&value)
}

/// Fill in percent of a bin whose floor is `height_mm` below the sensor and which is full at
/// `full_at_mm`; `None` where those leave no room to measure.
pub fn fill_percent(height_mm: f64, full_at_mm: f64, distance_mm: f64) -> Option<f64> {
    let span = height_mm - full_at_mm;
    (span > 0.0 && distance_mm.is_finite())
        .then(|| ((height_mm - distance_mm) / span * 100.0).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{DeviceLink, DeviceProfile};

    fn bin(height_mm: Option<f64>) -> Device {
        Device {
            id: "bin-1".into(),
            name: None,
            profile: Arc::new(DeviceProfile {
                name: "bin".into(),
                title: String::new(),
                payload: None,
                points: Vec::new(),
                rules: Vec::new(),
                needs_height: true,
                full_at_mm: 200.0,
            }),
            link: DeviceLink::Modbus {
                bus: "bus".into(),
                unit_id: 1,
                every: Duration::from_secs(1),
            },
            height_mm,
            rules: Vec::new(),
            unit_grid: String::new(),
            lon: 0.0,
            lat: 0.0,
            address: None,
            max_rate: 1.0,
        }
    }

    fn observed(
        height: Option<f64>,
        readings: &[(Quantity, f64)],
    ) -> Vec<(Quantity, f64, Quality)> {
        let device = bin(height);
        let mut out = Vec::new();
        for &(quantity, value) in readings {
            finish(
                &device,
                &device.id,
                Timestamp::UNIX_EPOCH,
                quantity,
                value,
                &mut out,
            );
        }
        out.into_iter()
            .map(|o| match o.value {
                Value::Measurement { quantity, value } => (quantity, value, o.quality),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn fill_follows_from_distance() {
        use Quality::Good;
        use Quantity::{Distance, Fill};
        for (distance, fill) in [
            (1200.0, 0.0),
            (700.0, 50.0),
            (200.0, 100.0),
            (0.0, 100.0),
            (2116.0, 0.0),
        ] {
            assert_eq!(
                observed(Some(1200.0), &[(Distance, distance)]),
                [(Distance, distance, Good), (Fill, fill, Good)]
            );
        }
        assert_eq!(
            observed(None, &[(Distance, 700.0)]),
            [(Distance, 700.0, Good)]
        );
        // A height inside the blind zone says nothing.
        assert_eq!(
            observed(Some(200.0), &[(Distance, 100.0)]),
            [(Distance, 100.0, Good)]
        );
        // What the device says itself comes first.
        assert_eq!(
            observed(Some(1200.0), &[(Fill, 42.0), (Distance, 700.0)]),
            [(Fill, 42.0, Good), (Distance, 700.0, Good)]
        );
    }

    #[test]
    fn what_cannot_be_is_marked_at_the_limit_and_beyond() {
        for quantity in Quantity::ALL.iter().copied() {
            let (low, high) = quantity.plausible();
            for value in [low, high, low.midpoint(high)] {
                assert!(is_plausible(quantity, value), "{quantity:?} {value}");
            }
            assert!(!is_plausible(quantity, f64::NAN));
            if quantity != Quantity::Level {
                for value in [low - 1.0, high + 1.0, high * 10.0, f64::INFINITY] {
                    assert!(!is_plausible(quantity, value), "{quantity:?} {value}");
                }
            }
        }
        assert_eq!(
            observed(Some(1200.0), &[(Quantity::Distance, 65_535.0)]),
            [(Quantity::Distance, 65_535.0, Quality::Implausible)]
        );
    }
}
