//! A cluster of three NATS servers, configured by the tool that operators use.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{Process, account::Gate, place, platform::Platform, until};

const START: Duration = Duration::from_secs(20);
/// Electing leaders and catching up, on a busy machine.
const SETTLE: Duration = Duration::from_secs(60);
const TRIES: u32 = 3;

/// Three servers that keep ports and files over restarts.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    mqtt: u16,
    /// Further ports: clients, routes, monitor.
    ports: [u16; 3],
    process: Option<Process>,
}

impl Cluster {
    /// Makes accounts for the stations, starts all nodes and waits until the streams have a
    /// replica on each.
    ///
    /// # Errors
    /// `nats-server`, `openssl` or Python is missing, or the cluster does not come up.
    pub fn start(dir: &Path, stations: &[&str]) -> Result<Cluster> {
        fs::create_dir_all(dir)?;
        let mut cluster = Cluster {
            dir: dir.to_owned(),
            nodes: Vec::new(),
        };
        cluster.list(stations)?;
        // Between finding a free port and listening on it another process may take it.
        for tries in 1.. {
            match cluster.begin() {
                Ok(()) => break,
                Err(e) if tries == TRIES => return Err(e),
                Err(_) => cluster.nodes.clear(),
            }
        }
        cluster.tool("apply", &[])?;
        cluster.whole()?;
        Ok(cluster)
    }

    fn begin(&mut self) -> Result<()> {
        for n in 1..=3 {
            self.nodes.push(Node {
                name: format!("n{n}"),
                mqtt: place::free_port()?,
                ports: [
                    place::free_port()?,
                    place::free_port()?,
                    place::free_port()?,
                ],
                process: None,
            });
        }
        let mut toml = format!(
            "name = \"story\"\netc = \"{}\"\n\n[storage]\nfile = \"2 GiB\"\nmessages = \"1 GiB\"\nsessions = \"256 MiB\"\n",
            self.dir.join("out/nodes").display()
        );
        for node in &self.nodes {
            let [client, routes, monitor] = node.ports;
            let store = self.dir.join("store").join(&node.name);
            fs::create_dir_all(&store)?;
            write!(
                toml,
                "\n[[node]]\nname = \"{}\"\naddress = \"127.0.0.1\"\nmqtt = {}\nclient = {client}\n\
                 routes = {routes}\nmonitor = {monitor}\nstore = \"{}\"\n",
                node.name,
                node.mqtt,
                store.display()
            )?;
        }
        fs::write(self.dir.join("fleet.toml"), toml)?;
        self.tool("build", &[])?;
        for n in 0..self.nodes.len() {
            self.spawn(n)?;
        }
        for n in 0..self.nodes.len() {
            self.listening(n)?;
        }
        Ok(())
    }

    /// Replaces the list of stations; [`Cluster::tool`] `build` and [`Cluster::reload`] follow.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn list(&self, stations: &[&str]) -> Result<()> {
        Ok(fs::write(
            self.dir.join("stations.txt"),
            stations.join("\n") + "\n",
        )?)
    }

    fn spawn(&mut self, n: usize) -> Result<()> {
        // Debian puts it where an ordinary user's PATH does not look.
        let program = ["/usr/sbin/nats-server", "/usr/bin/nats-server"]
            .into_iter()
            .find(|p| Path::new(p).exists())
            .unwrap_or("nats-server");
        let node = &mut self.nodes[n];
        let mut command = Command::new(program);
        let config = self.dir.join("out/nodes").join(&node.name);
        command.arg("-c").arg(config.join("nats-server.conf"));
        let log = self.dir.join(&node.name).with_extension("log");
        node.process = Some(Process::start(&node.name, &command, &log)?);
        Ok(())
    }

    fn listening(&mut self, n: usize) -> Result<()> {
        let (mqtt, process) = (self.nodes[n].mqtt, self.process(n)?);
        process.ready("the node to listen", START, |_| {
            Ok(std::net::TcpStream::connect(("127.0.0.1", mqtt))
                .ok()
                .map(drop))
        })
    }

    /// Where node `n` of 0, 1, 2 takes MQTT in TLS on 127.0.0.1.
    pub fn port(&self, n: usize) -> u16 {
        self.nodes[n].mqtt
    }

    /// The running server of a node.
    ///
    /// # Errors
    /// It is not running.
    pub fn process(&mut self, n: usize) -> Result<&mut Process> {
        let node = &mut self.nodes[n];
        node.process
            .as_mut()
            .with_context(|| format!("node {} is not running", node.name))
    }

    /// Process ids of all nodes.
    ///
    /// # Errors
    /// One is not running.
    pub fn pids(&mut self) -> Result<Vec<u32>> {
        (0..self.nodes.len())
            .map(|n| Ok(self.process(n)?.id()))
            .collect()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self, n: usize) -> Result<()> {
        self.process(n)?.kill()?;
        self.nodes[n].process = None;
        Ok(())
    }

    /// Starts a node again with the files it had.
    ///
    /// # Errors
    /// It does not start.
    pub fn revive(&mut self, n: usize) -> Result<()> {
        self.spawn(n)?;
        self.listening(n)
    }

    /// Lets every running node read its configuration again.
    ///
    /// # Errors
    /// A node that should run does not.
    pub fn reload(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                process.signal(rustix::process::Signal::HUP)?;
            }
        }
        Ok(())
    }

    /// Runs a command of `deploy/fleet/wangge_fleet`; returns what it printed.
    ///
    /// # Errors
    /// It fails; its words are in the error.
    pub fn tool(&self, command: &str, arguments: &[&str]) -> Result<String> {
        let output = self.ask(command, arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "wangge_fleet {command}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    fn ask(&self, command: &str, arguments: &[&str]) -> Result<Output> {
        place::fleet_tool(&self.dir, command)
            .args(arguments)
            .output()
            .context("cannot start python3")
    }

    /// Waits until every node has every message.
    ///
    /// # Errors
    /// It does not within a minute; says what was seen last.
    pub fn whole(&self) -> Result<()> {
        let mut last = String::new();
        until("a whole cluster", SETTLE, || {
            let output = self.ask("status", &[])?;
            last = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            Ok(output.status.success().then_some(()))
        })
        .with_context(|| format!("the cluster said: {last}"))
    }

    /// The node that leads the stream of messages.
    ///
    /// # Errors
    /// None does within a minute.
    pub fn leader(&self) -> Result<usize> {
        until("a leader of the stream", SETTLE, || {
            let text = String::from_utf8_lossy(&self.ask("status", &[])?.stdout).into_owned();
            let name = text.lines().next().and_then(|l| l.rsplit("leader ").next());
            Ok(self.nodes.iter().position(|n| Some(&*n.name) == name))
        })
    }

    /// Messages in the stream that not every receiver has acknowledged.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn held(&self) -> Result<u64> {
        // A replica that is behind makes the command fail; the leader's count is right then, too.
        let output = self.ask("status", &[])?;
        let text = String::from_utf8_lossy(&output.stdout);
        let count = text
            .strip_prefix("$MQTT_msgs: ")
            .and_then(|t| t.split_once(' '));
        match count.and_then(|(count, _)| count.parse().ok()) {
            Some(count) => Ok(count),
            None => bail!(
                "no count in: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// Bytes of all files that the nodes keep.
    pub fn stored(&self) -> u64 {
        place::folder_bytes(&self.dir.join("store"))
    }

    /// A file that the tool made.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join("out").join(name)
    }

    /// A password that the tool made.
    ///
    /// # Errors
    /// There is no such account.
    pub fn password(&self, user: &str) -> Result<String> {
        let path = self.file("passwords").join(user);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim().to_owned())
    }

    /// How others reach node `n`.
    pub fn gate(&self, n: usize) -> Gate {
        Gate {
            port: self.port(n),
            ca: self.file("ca/ca.pem"),
            passwords: self.file("passwords"),
        }
    }

    /// The reference receiver, on node `n`.
    ///
    /// # Errors
    /// It does not start.
    pub fn platform(&self, dir: &Path, n: usize) -> Result<Platform> {
        let login = [
            "platform",
            &*self.file("passwords/platform").to_string_lossy(),
        ]
        .map(str::to_owned);
        let [user, password] = login;
        Platform::mqtts(dir, self.port(n), &self.file("ca/ca.pem"), [user, password])
    }

    /// `[[uplink]]` of a station by way of node `n`, as the tool wrote it; its files go into `dir`.
    ///
    /// # Errors
    /// There is no such station.
    pub fn uplink(&self, station: &str, n: usize, dir: &Path) -> Result<String> {
        fs::create_dir_all(dir)?;
        let password = self.file("passwords").join(station);
        // A copy keeps the mode.
        fs::copy(&password, dir.join("city.password"))
            .with_context(|| password.display().to_string())?;
        fs::copy(self.file("ca/ca.pem"), dir.join("city-ca.pem"))?;
        let text = fs::read_to_string(self.file("stations").join(format!("{station}.toml")))?;
        let (written, wanted) = (self.port(0), self.port(n));
        Ok(text.replace(&format!(":{written}\""), &format!(":{wanted}\"")))
    }
}
