//! Whole buses against real servers, and against scripted slaves for the faults that no real
//! one produces.

mod faults;
mod profiles;
mod slave;
mod stations;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    clock::Clock,
    config::{
        Bus, BusLink, ByteOrder, Device, DeviceLink, DeviceProfile, Parity, Point, RegisterFormat,
        RegisterPart, RegisterTable,
    },
    counters::SourceCounters,
    observation::{Arrival, Health, Quality, Quantity, Value},
};

/// Whatever is waited for comes within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn part(address: u16, format: RegisterFormat) -> RegisterPart {
    RegisterPart {
        table: RegisterTable::Holding,
        address,
        format,
        order: ByteOrder::Abcd,
        scale: 1.0,
    }
}

fn point(name: &str, part: RegisterPart) -> Point {
    Point {
        quantity: Quantity::Level,
        name: name.into(),
        parts: vec![part],
        scale: 1.0,
        offset: 0.0,
        totaliser: None,
    }
}

/// Points named after their registers, 16 bits each.
fn registers(addresses: impl IntoIterator<Item = u16>) -> Vec<Point> {
    addresses
        .into_iter()
        .map(|a| point(&a.to_string(), part(a, RegisterFormat::U16)))
        .collect()
}

fn device(id: &str, unit_id: u8, every: Duration, points: Vec<Point>) -> Arc<Device> {
    Arc::new(Device {
        id: id.into(),
        name: None,
        profile: Arc::new(DeviceProfile {
            name: "test".into(),
            title: String::new(),
            payload: None,
            points,
            rules: Vec::new(),
            needs_height: false,
            full_at_mm: 0.0,
        }),
        link: DeviceLink::Modbus {
            bus: "bus".into(),
            unit_id,
            every,
        },
        height_mm: None,
        rules: Vec::new(),
        unit_grid: String::new(),
        lon: 0.0,
        lat: 0.0,
        address: None,
        max_rate: 100.0,
    })
}

fn tcp(port: u16) -> BusLink {
    BusLink::Tcp {
        host: "127.0.0.1".into(),
        port,
    }
}

fn rtu(path: impl Into<std::path::PathBuf>) -> BusLink {
    BusLink::Rtu {
        path: path.into(),
        baud: 115_200,
        parity: Parity::None,
        stop_bits: 1,
    }
}

/// A running bus.
struct Running {
    arrivals: mpsc::Receiver<Arrival>,
    counters: Arc<SourceCounters>,
    _stop: DropGuard,
}

impl Running {
    fn start(link: BusLink, timeout: Duration, devices: Vec<Arc<Device>>) -> Self {
        let bus = Bus {
            name: "bus".into(),
            link,
            timeout,
        };
        let (out, arrivals) = mpsc::channel(1024);
        let (_, errands) = mpsc::channel(1);
        let counters = Arc::new(SourceCounters::default());
        let stop = CancellationToken::new();
        tokio::spawn(super::run(
            bus,
            devices,
            errands,
            out,
            Clock::start(),
            counters.clone(),
            stop.clone(),
        ));
        Running {
            arrivals,
            counters,
            _stop: stop.drop_guard(),
        }
    }

    async fn next(&mut self) -> Arrival {
        tokio::time::timeout(PATIENCE, self.arrivals.recv())
            .await
            .expect("an arrival in time")
            .expect("the bus runs")
    }

    /// The next arrival that `wanted` makes something of.
    async fn find<T>(&mut self, mut wanted: impl FnMut(&Arrival) -> Option<T>) -> T {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let arrival = self.arrivals.recv().await.expect("the bus runs");
                if let Some(found) = wanted(&arrival) {
                    return found;
                }
            }
        })
        .await
        .expect("the arrival that was waited for")
    }

    /// The next word on the health of `id`.
    async fn health(&mut self, id: &str) -> Health {
        self.find(|a| (*a.subject == *id).then(|| health(a)).flatten())
            .await
    }
}

fn health(arrival: &Arrival) -> Option<Health> {
    arrival.observations.iter().find_map(|o| match &o.value {
        Value::Health(health) => Some(health.clone()),
        _ => None,
    })
}

fn figures(arrival: &Arrival) -> Vec<(f64, Quality)> {
    arrival
        .observations
        .iter()
        .filter_map(|o| match o.value {
            Value::Measurement { value, .. } => Some((value, o.quality)),
            _ => None,
        })
        .collect()
}

fn payload(arrival: &Arrival) -> serde_json::Value {
    let raw = arrival.payload.as_ref().expect("a payload");
    serde_json::from_str(raw.get()).expect("valid JSON")
}
