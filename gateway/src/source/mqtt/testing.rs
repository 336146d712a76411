//! What the tests of this module share.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    config::{Device, DeviceLink, DeviceProfile, Payload},
    observation::{Ack, Arrival, Health, Quantity, Value},
};

/// A bin of 1000 mm that publishes our JSON on `bins/ID` by way of `via`.
pub fn bin(id: &str, via: &str) -> Arc<Device> {
    bin_with_rate(id, via, 10.0)
}

pub fn bin_with_rate(id: &str, via: &str, max_rate: f64) -> Arc<Device> {
    Arc::new(Device {
        id: id.into(),
        name: None,
        profile: Arc::new(DeviceProfile {
            name: "test-bin".to_owned(),
            title: "Test bin".to_owned(),
            payload: Some(Payload::Wangge),
            points: Vec::new(),
            rules: Vec::new(),
            needs_height: true,
            full_at_mm: 100.0,
        }),
        link: DeviceLink::Mqtt {
            via: via.into(),
            topic: format!("bins/{id}"),
        },
        height_mm: Some(1000.0),
        rules: Vec::new(),
        unit_grid: "420111001002001".to_owned(),
        lon: 114.4,
        lat: 30.3,
        address: None,
        max_rate,
    })
}

/// Polls `what` until it is true; panics with `name` after ten seconds.
pub async fn eventually(name: &str, mut what: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "still not so: {name}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Stands where the pipeline stands: keeps what arrives, and calls back when told to.
#[derive(Clone, Debug, Default)]
pub struct Engine(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    fills: Vec<(String, f64)>,
    faults: Vec<(String, String)>,
    waiting: Vec<Ack>,
    /// Acknowledge on arrival.
    prompt: bool,
}

impl Engine {
    /// Acknowledges whatever arrives, at once.
    pub fn prompt() -> (Engine, mpsc::Sender<Arrival>) {
        let (engine, out) = Engine::held();
        engine.0.lock().unwrap().prompt = true;
        (engine, out)
    }

    /// Acknowledges only on [`Engine::commit`].
    pub fn held() -> (Engine, mpsc::Sender<Arrival>) {
        let engine = Engine::default();
        let (out, mut arrivals) = mpsc::channel::<Arrival>(64);
        let kept = engine.0.clone();
        tokio::spawn(async move {
            while let Some(arrival) = arrivals.recv().await {
                let mut kept = kept.lock().unwrap();
                for o in &arrival.observations {
                    let subject = arrival.subject.to_string();
                    match &o.value {
                        Value::Measurement {
                            quantity: Quantity::Fill,
                            value,
                        } => kept.fills.push((subject, *value)),
                        Value::Health(Health::Fault { reason, .. }) => {
                            kept.faults.push((subject, reason.clone()));
                        }
                        _ => {}
                    }
                }
                match arrival.ack {
                    Some(ack) if kept.prompt => ack.done(),
                    Some(ack) => kept.waiting.push(ack),
                    None => {}
                }
            }
        });
        (engine, out)
    }

    /// Everything that waits is on disk now.
    pub fn commit(&self) -> usize {
        let waiting = self.waiting_acks();
        let n = waiting.len();
        waiting.into_iter().for_each(Ack::done);
        n
    }

    /// From now on everything is acknowledged on arrival.
    pub fn be_prompt(&self) {
        self.0.lock().unwrap().prompt = true;
    }

    /// Takes the right to acknowledge away from the engine.
    pub fn waiting_acks(&self) -> Vec<Ack> {
        std::mem::take(&mut self.0.lock().unwrap().waiting)
    }

    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap().waiting.len()
    }

    /// Fill levels of `device`, in the order of arrival.
    pub fn fills(&self, device: &str) -> Vec<f64> {
        let kept = self.0.lock().unwrap();
        let of = kept.fills.iter().filter(|(d, _)| d == device);
        of.map(|(_, fill)| *fill).collect()
    }

    /// Reported faults of `device`.
    pub fn faults(&self, device: &str) -> Vec<String> {
        let kept = self.0.lock().unwrap();
        let of = kept.faults.iter().filter(|(d, _)| d == device);
        of.map(|(_, reason)| reason.clone()).collect()
    }
}
