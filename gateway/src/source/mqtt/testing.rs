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
                            kept.faults.push((subject, reason.en.clone()));
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

/// A Mosquitto of our own, killed when dropped.
#[derive(Debug)]
pub struct Mosquitto {
    pub port: u16,
    dir: tempfile::TempDir,
    child: Option<std::process::Child>,
}

impl Mosquitto {
    /// Starts one with these extra lines of configuration; `DIR` in them is its folder.
    pub async fn start(config: &str, files: &[(&str, &str)]) -> Mosquitto {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let port = wangge_tests::place::free_port().unwrap();
        let path = dir.path().to_str().unwrap();
        let config = format!(
            "user root\nlistener {port} 127.0.0.1\npersistence true\n\
             persistence_location {path}/\nautosave_interval 0\n\
             max_inflight_messages 100\nmax_queued_messages 0\n{}\n",
            config.replace("DIR", path)
        );
        std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let mut broker = Mosquitto {
            port,
            dir,
            child: None,
        };
        broker.restart().await;
        broker
    }

    /// Starts it (again) on the same port with what it kept.
    pub async fn restart(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = std::process::Command::new("mosquitto")
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("mosquitto (Debian package) is needed");
        self.child = Some(child);
        let port = self.port;
        eventually("mosquitto listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
    }

    /// Has it write what it holds to its disk, and waits until it is there.
    pub async fn save(&self) {
        let file = self.dir.path().join("mosquitto.db");
        let written = || std::fs::metadata(&file).and_then(|m| m.modified()).ok();
        let before = written();
        let pid = self.child.as_ref().unwrap().id();
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
        eventually("mosquitto has saved", || written() != before).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Publishes with the real tool; true if it says that it worked.
    pub async fn publish(&self, args: &[&str]) -> bool {
        publish(self.port, args).await
    }

    /// Its folder, for files named in the configuration.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `mosquitto_pub` to a port of this machine.
pub async fn publish(port: u16, args: &[&str]) -> bool {
    let output = tokio::process::Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .expect("mosquitto_pub (Debian package mosquitto-clients) is needed");
    output.status.success()
}
