//! Mosquitto, as a station's or a platform's broker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{Process, account::Gate, place};

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(10);
const TRIES: u32 = 3;

/// A broker on a port of its own that keeps both over restarts.
#[derive(Debug)]
pub struct Mosquitto {
    config: PathBuf,
    log: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Mosquitto {
    /// Starts a broker without limits on queues, open to all, with its files in `dir`; `more`
    /// are further lines of its configuration.
    ///
    /// # Errors
    /// Mosquitto is not installed or does not start.
    pub fn start(dir: &Path, more: &str) -> Result<Mosquitto> {
        Mosquitto::of(dir, |port| configuration(port, dir, more))
    }

    /// Starts a broker with a configuration of the caller's, for the port that it is given.
    ///
    /// # Errors
    /// Mosquitto is not installed or does not start.
    pub fn of(dir: &Path, configuration: impl Fn(u16) -> String) -> Result<Mosquitto> {
        fs::create_dir_all(dir)?;
        let (config, log) = (dir.join("mosquitto.conf"), dir.join("mosquitto.log"));
        let mut broker = Mosquitto {
            config,
            log,
            port: 0,
            process: None,
        };
        // Between finding a free port and listening on it another process may take it.
        let mut tries = 0;
        loop {
            broker.port = place::free_port()?;
            fs::write(&broker.config, configuration(broker.port))?;
            tries += 1;
            match broker.restart() {
                Ok(()) => return Ok(broker),
                Err(e) if tries == TRIES => return Err(e),
                Err(_) => {}
            }
        }
    }

    /// As it is shipped for a district (`deploy/mosquitto`), with accounts that the shipped tool
    /// made, on a port and in a folder of its own.
    ///
    /// # Errors
    /// Mosquitto, Python or openssl is missing, or it does not start.
    pub fn district(dir: &Path, stations: &[&str]) -> Result<(Mosquitto, Gate)> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("stations.txt"), stations.join("\n"))?;
        let plan = "name = \"district\"\n[[node]]\nname = \"n1\"\naddress = \"127.0.0.1\"\n";
        fs::write(dir.join("fleet.toml"), plan)?;
        let output = place::fleet_tool(dir, "build")
            .args(["--broker", "mosquitto"])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "wangge_fleet build: {said}");
        let shipped = place::root().join("deploy/mosquitto");
        let (node, store) = (dir.join("out/nodes/n1"), dir.join("store"));
        fs::copy(shipped.join("acl"), node.join("acl"))?;
        fs::create_dir_all(&store)?;
        let text = fs::read_to_string(shipped.join("wangge.conf"))?
            .replace("/etc/mosquitto/wangge", &node.display().to_string());
        let broker = Mosquitto::of(dir, |port| {
            // The last two lines stand in Debian's own file.
            format!(
                "{}{}persistence true\npersistence_location {}/\n",
                text.replace("listener 8883", &format!("listener {port} 127.0.0.1")),
                as_root(),
                store.display()
            )
        })?;
        let gate = Gate {
            port: broker.port(),
            ca: node.join("ca.pem"),
            passwords: dir.join("out/passwords"),
        };
        Ok((broker, gate))
    }

    /// Its process.
    ///
    /// # Errors
    /// It is not running.
    pub fn pid(&self) -> Result<u32> {
        let process = self.process.as_ref();
        Ok(process.context("mosquitto is not running")?.id())
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again, on the same port with the same files.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        // Debian puts the broker where an ordinary user's PATH does not look.
        let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"]
            .into_iter()
            .find(|p| Path::new(p).exists())
            .unwrap_or("mosquitto");
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config);
        let before = fs::read_to_string(&self.log).unwrap_or_default().len();
        let mut process = Process::start("mosquitto", &command, &self.log)?;
        // Its own word: somebody else might be listening on that port.
        process.ready("mosquitto to run", START, |log| {
            let fresh = log.get(before..).unwrap_or_default();
            Ok(fresh.contains(" running").then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it in order: it writes its store.
    ///
    /// # Errors
    /// It was not running or does not end.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("mosquitto is not running")?;
        process.stop(STOP)?;
        Ok(())
    }

    /// SIGKILL: what it had not written is lost.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("mosquitto is not running")?;
        process.kill()
    }

    /// Publishes one message at QoS 1 with `mosquitto_pub`.
    ///
    /// # Errors
    /// `mosquitto_pub` fails.
    pub fn publish(&self, topic: &str, payload: &[u8]) -> Result<()> {
        publish(self.port, topic, payload, &[])
    }
}

fn configuration(port: u16, dir: &Path, more: &str) -> String {
    let anonymous = if more.contains("allow_anonymous") {
        ""
    } else {
        "allow_anonymous true\n"
    };
    format!(
        "listener {port} 127.0.0.1\n{}{anonymous}set_tcp_nodelay true\npersistence true\n\
         persistence_location {}/\nmax_queued_messages 0\nmax_inflight_messages 100\n\
         log_type error\nlog_type warning\nlog_type notice\nlog_type information\n{more}\n",
        as_root(),
        dir.display(),
    )
}

/// Root may have made files that the broker's own user cannot read.
fn as_root() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "user root\n"
    } else {
        ""
    }
}

/// Publishes one message at QoS 1 to any broker on 127.0.0.1; `more` are further arguments of
/// `mosquitto_pub`.
///
/// # Errors
/// `mosquitto_pub` is not there or fails.
pub fn publish(port: u16, topic: &str, payload: &[u8], more: &[&str]) -> Result<()> {
    let mut child = Command::new("mosquitto_pub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-q",
            "1",
            "-t",
            topic,
            "-s",
        ])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start mosquitto_pub")?;
    if let Some(mut stdin) = child.stdin.take() {
        std::io::Write::write_all(&mut stdin, payload)?;
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "mosquitto_pub -t {topic}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
