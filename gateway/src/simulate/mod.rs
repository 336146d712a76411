//! Devices that do not exist, on protocols that do: bins over MQTT, water meters over Modbus TCP
//! and RTU. For trying a station before its sensors hang, for the demo, and for tests.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

mod bins;
mod meters;
mod pty;

pub use bins::Bin;
pub use meters::{Family, Meter};
pub use pty::Line;

/// Most bins and most meters of one run: unit ids end at 247, and a bin is a connection.
const MAX_DEVICES: u8 = 247;

/// Play bins and water meters that speak real MQTT and real Modbus.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Broker or gateway listener that the bins publish to, HOST:PORT.
    #[arg(long, value_name = "HOST:PORT")]
    pub mqtt: Option<String>,
    /// How many bins: bin-1, bin-2, …
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_DEVICES)))]
    pub bins: u8,
    /// Topic of a bin; {id} is its id.
    #[arg(long, default_value = "bins/{id}/up")]
    pub topic: String,
    /// File with the password that the bins log in with, their id as user name.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Seconds between two readings of a bin.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub every: f64,
    /// Serve the meters over Modbus TCP here; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT")]
    pub modbus_tcp: Option<SocketAddr>,
    /// Serve the meters over Modbus RTU on this serial device.
    #[arg(long, value_name = "DEVICE", conflicts_with = "pty")]
    pub modbus_rtu: Option<PathBuf>,
    /// Serve the meters over Modbus RTU on a pseudo serial line, linked from this path.
    #[arg(long, value_name = "LINK")]
    pub pty: Option<PathBuf>,
    /// Speed of the serial line; a pseudo line keeps to it too.
    #[arg(long, default_value_t = 9600)]
    pub baud: u32,
    /// How many meters, units 1, 2, …: odd ones ultrasonic (TUF-2000M), even ones
    /// electromagnetic.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_DEVICES)))]
    pub meters: u8,
    /// What happens: a real day, or one so short that a bin overflows and a pipe bursts within
    /// half a minute.
    #[arg(long, value_enum, default_value_t = Scenario::Day)]
    pub scenario: Scenario,
    /// The second bin catches fire.
    #[arg(long)]
    pub fire: bool,
    /// The third bin is knocked over.
    #[arg(long)]
    pub tilt: bool,
    /// The first meter's pipe bursts.
    #[arg(long)]
    pub burst: bool,
    /// The second meter's water never stops.
    #[arg(long)]
    pub leak: bool,
}

/// How fast the simulated day goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// As on the street.
    Day,
    /// A day in two minutes.
    Demo,
}

impl Scenario {
    /// Simulated time for real time.
    fn day_time(self, real: Duration) -> Duration {
        real * self.speed()
    }

    /// How many times faster than real time the day goes by.
    fn speed(self) -> u32 {
        match self {
            Scenario::Day => 1,
            Scenario::Demo => 720,
        }
    }
}

/// What has been started; it goes on until its stop token.
#[derive(Debug)]
pub struct Running {
    /// Where the meters listen.
    pub modbus_tcp: Option<SocketAddr>,
    /// What the gateway opens to reach them.
    pub modbus_rtu: Option<PathBuf>,
    tasks: JoinSet<Result<()>>,
    /// Removes the link at the end.
    _line: Option<Line>,
}

impl Running {
    /// Waits for the end, or for the first that fails.
    pub async fn wait(mut self) -> Result<()> {
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Starts what `args` asks for.
///
/// # Errors
/// An address, file or device that cannot be used, named.
pub async fn start(args: &Args, stop: CancellationToken) -> Result<Running> {
    if args.mqtt.is_none()
        && args.modbus_tcp.is_none()
        && args.modbus_rtu.is_none()
        && args.pty.is_none()
    {
        bail!("nothing to do: give --mqtt, --modbus-tcp, --modbus-rtu or --pty");
    }
    let mut tasks = JoinSet::new();
    if let Some(broker) = &args.mqtt {
        let plan = bins::Plan::new(args, broker)?;
        tasks.spawn(plan.run(stop.clone()));
    }
    let plant = meters::Plant::new(args);
    let mut modbus_tcp = None;
    if let Some(address) = args.modbus_tcp {
        let socket = TcpListener::bind(address)
            .await
            .with_context(|| format!("{address}: cannot listen for Modbus TCP"))?;
        modbus_tcp = Some(socket.local_addr()?);
        tasks.spawn(plant.clone().serve_tcp(socket, stop.clone()));
    }
    let mut line = None;
    let mut modbus_rtu = args.modbus_rtu.clone();
    let server = match &args.pty {
        Some(link) => {
            let made = Line::new(Some(link), args.baud, &mut tasks, stop.clone())?;
            modbus_rtu = Some(made.path().to_owned());
            let server = made.server_path().to_owned();
            line = Some(made);
            Some(server)
        }
        None => args.modbus_rtu.clone(),
    };
    if let Some(path) = server {
        let serial = open_serial(&path, args.baud)?;
        tasks.spawn(plant.serve_rtu(serial, stop));
    }
    Ok(Running {
        modbus_tcp,
        modbus_rtu,
        tasks,
        _line: line,
    })
}

fn open_serial(path: &Path, baud: u32) -> Result<tokio_serial::SerialStream> {
    let builder = tokio_serial::new(path.to_string_lossy(), baud);
    tokio_serial::SerialStream::open(&builder)
        .with_context(|| format!("{}: cannot be opened as a serial line", path.display()))
}

/// Runs until SIGINT or SIGTERM; says on standard output where the meters are.
///
/// # Errors
/// As [`start`], and whatever ends a device.
pub async fn run(args: Args) -> Result<()> {
    let stop = CancellationToken::new();
    let running = start(&args, stop.clone()).await?;
    let mut out = std::io::stdout();
    if let Some(address) = running.modbus_tcp {
        writeln!(out, "modbus-tcp {address}")?;
    }
    if let Some(path) = &running.modbus_rtu {
        writeln!(out, "modbus-rtu {}", path.display())?;
    }
    out.flush()?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
    running.wait().await
}

#[cfg(test)]
mod tests;
