//! The demo's processes and their configuration.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use wangge_tests::{
    Process,
    gateway::Gateway,
    place,
    platform::{Platform, Received},
    rtsp::Camera,
};

use super::report::Report;
use crate::setup::Kit;

const STATION: &str = r#"# The demo's station, as `cargo xtask demo` wrote it.
[station]
id = "demo-kunming-01"
name = "翠湖社区城管工作室"
unit_grid = "530102001001001"
lon = 102.7036
lat = 25.0492
address = "翠湖北路（示例）"
"#;

/// Everything that needs no address: devices with the rules of their profiles, made quicker
/// where a profile waits for minutes, and the camera's zones for the footage at hand.
const DEVICES: &str = r#"
[[device]]
ids = "bin-{1..3}"
name = "翠湖北路垃圾箱 {id}"
profile = "wangge-bin"
height = "1.2m"
topic = "bins/{id}/up"

[[device]]
id = "meter-tcp"
profile = "tuf-2000m"
bus = "tcp"
unit_id = 1
every = "1s"
rule = [{ id = "burst", hold = "2s" }]

[[device]]
id = "meter-rtu"
profile = "tuf-2000m"
bus = "rtu"
unit_id = 1
every = "2s"
rule = [{ id = "burst", hold = "4s" }]

[[stream]]
name = "bins"
devices = ["bin-*"]

[[stream]]
name = "meters"
devices = ["meter-*"]
thin = "5s"
"#;

/// Fractions of the 768x576 picture of `vtest.avi`.
const ZONES: &str = r#"# The building's windows.
masks = [[[0.41, 0.05], [0.76, 0.05], [0.76, 0.15], [0.41, 0.15]]]

[[camera.zone]]
id = "forecourt"
kind = "public_space_encroachment"
labels = ["person"]
polygon = [[0.55, 0.33], [0.95, 0.30], [0.99, 0.85], [0.60, 0.62]]
dwell = "5s"

[[camera.zone]]
id = "no-parking"
kind = "vehicle_parking"
labels = ["car", "truck", "bus"]
polygon = [[0.80, 0.05], [1.0, 0.05], [1.0, 0.20], [0.80, 0.22]]
dwell = "10s"
"#;

const START: Duration = Duration::from_secs(20);

/// Everything that runs; fields end in the order in which they stand here.
pub struct Station {
    gateway: Gateway,
    devices: Process,
    camera: Camera,
    platform: Platform,
}

impl Station {
    /// Starts platform, camera and devices, then the gateway between them.
    ///
    /// # Errors
    /// One of them does not start; its last words are in the error.
    pub fn start(kit: &Kit, dir: &Path) -> Result<Station> {
        let platform = Platform::https(&dir.join("platform"))?;
        let clip = kit.footage.join("vtest-h264.mp4");
        let camera = Camera::start(&[("gate", &clip)], 0, None, &dir.join("camera.log"))?;
        let (field, line) = (place::free_port()?, dir.join("serial-line"));
        let (devices, meters) = simulate(dir, field, &line)?;
        let toml = format!(
            "[listen]\naddress = \"127.0.0.1:{field}\"\n\n\
             [[bus]]\nname = \"tcp\"\ntcp = \"{meters}\"\n\n\
             [[bus]]\nname = \"rtu\"\nserial = \"{line}\"\nbaud = 9600\n{DEVICES}\n\
             [vision]\nmodel = \"{model}\"\nonnxruntime = \"{onnxruntime}\"\n\n\
             [[camera]]\nid = \"gate\"\nname = \"停车场\"\nurl = \"{url}\"\n{ZONES}\n{uplink}",
            line = line.display(),
            model = kit.model.display(),
            onnxruntime = kit.onnxruntime.display(),
            url = camera.url("gate"),
            uplink = platform.uplink("streams = [\"bins\", \"meters\"]"),
        );
        let mut gateway = Gateway::of(STATION, dir, &toml)?;
        gateway.start()?;
        Ok(Station {
            gateway,
            devices,
            camera,
            platform,
        })
    }

    /// What a person should know at the start.
    pub fn greeting(&self) -> String {
        format!(
            "\n网格 Wangge: three bins (MQTT), two meters (Modbus TCP and RTU), one camera (RTSP), \
             a platform (HTTPS).\n  station file  {}\n  received      {}\n  camera        {}\n\
             Alerts follow as the platform stores them; Ctrl-C ends.\n",
            self.gateway.config().display(),
            self.platform.store().display(),
            self.camera.url("gate"),
        )
    }

    /// Fails when one of the processes has ended.
    ///
    /// # Errors
    /// Names it, with its last words.
    pub fn check(&mut self) -> Result<()> {
        let processes = [
            self.gateway.process()?,
            &mut self.devices,
            self.camera.process(),
            self.platform.process()?,
        ];
        for process in processes {
            process.still_running()?;
        }
        Ok(())
    }

    /// What the platform stored so far.
    ///
    /// # Errors
    /// Its store cannot be read.
    pub fn received(&self) -> Result<Received> {
        self.platform.received()
    }

    /// One line for the screen.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub fn state(&self, since: Duration, received: &Received) -> Result<String> {
        let streams = self.gateway.streams()?;
        let (mut delivered, mut held) = (0, 0);
        for account in streams.values() {
            delivered += account.out;
            held += account.held;
        }
        Ok(format!(
            "{} s · {} alerts raised · {delivered} records acknowledged, {held} held · {} pictures",
            since.as_secs(),
            received.raised().count(),
            received.pictures.len(),
        ))
    }

    /// The gateway's count held against the platform's store.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn report(&self) -> Result<Report> {
        // In this order: what is counted afterwards may be more, never less.
        let status = self.gateway.status()?;
        Report::new(&status, &self.received()?)
    }

    /// Stops in order: the gateway delivers what is left, then the rest.
    ///
    /// # Errors
    /// The gateway does not stop as it should.
    pub fn stop(mut self) -> Result<()> {
        self.gateway.stop()?;
        self.platform.stop()
    }
}

/// Starts simulated bins and meters; returns them and where the meters listen.
fn simulate(dir: &Path, field: u16, line: &Path) -> Result<(Process, String)> {
    let mut command = Command::new(place::program("wangge")?);
    command
        .arg("simulate")
        .args(["--mqtt", &format!("127.0.0.1:{field}")])
        .args(["--bins", "3", "--topic", "bins/{id}/up", "--every", "1"])
        .args(["--modbus-tcp", "127.0.0.1:0", "--meters", "1"])
        .arg("--pty")
        .arg(line)
        .args(["--scenario", "demo", "--fire", "--tilt", "--burst"]);
    let mut devices = Process::start("devices", &command, &dir.join("devices.log"))?;
    let address = devices.ready("the meters to listen", START, |log| {
        Ok(log
            .lines()
            .find_map(|l| l.strip_prefix("modbus-tcp ").map(str::to_owned)))
    })?;
    ensure!(!address.is_empty(), "the meters listen nowhere");
    devices
        .ready("the serial line", START, |_| {
            Ok(line.exists().then_some(()))
        })
        .context("simulated meters on a serial line")?;
    Ok((devices, address))
}
