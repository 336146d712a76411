//! Water meters over Modbus, in the two families that the gateway has profiles for.

use std::{
    future::{Ready, ready},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, time::Instant};
use tokio_modbus::{
    ExceptionCode, Request, Response, SlaveRequest,
    server::{Service, rtu, tcp},
};
use tokio_serial::SerialStream;
use tokio_util::sync::CancellationToken;

use super::{Args, Scenario};

/// What the meters had counted before, m³.
const COUNTED_BEFORE: f64 = 12_345.5;
/// Flow of a burst main, m³/h, and when it bursts, in simulated time.
const BURST_FLOW: f64 = 85.0;
const BURST_AT: Duration = Duration::from_secs(2 * 3600);
/// A tap that drips for ever is less; a broken valve is more.
const LEAK_FLOW: f64 = 0.4;
const DAY_MINUTES: u64 = 24 * 60;
/// Registers in one request at most (Modbus application protocol 1.1b3, 6.3).
const MAX_QUANTITY: u16 = 125;

/// How a meter lays out its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// TUF-2000M: flow REAL4 at 1, positive total LONG at 9 and REAL4 at 11 in the vendor's
    /// 1-based table, one less on the wire; low word first.
    Tuf2000m,
    /// Domestic electromagnetic converter: flow REAL4 at 0x1010, total LONG at 0x1018 and REAL4
    /// at 0x101A, units (0: m³/h, m³) at 0x1020 and 0x1021; low word first.
    Electromagnetic,
}

/// One meter's day.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    pub family: Family,
    pub bursts: bool,
    pub leaks: bool,
}

impl Meter {
    /// Flow after so much simulated time, m³/h.
    pub fn flow(&self, day: Duration) -> f64 {
        if self.bursts && day >= BURST_AT {
            BURST_FLOW
        } else {
            self.used(day)
        }
    }

    /// Flow without a burst: nothing at night, peaks at 7 and 19 o'clock; the run starts at six.
    fn used(&self, day: Duration) -> f64 {
        let hour = (day.as_secs_f64() / 3600.0 + 6.0) % 24.0;
        let peak = |at: f64| (-(hour - at).powi(2) / 4.0).exp();
        let used = if (1.0..5.0).contains(&hour) {
            0.0
        } else {
            0.3 + 3.0 * peak(7.0) + 4.0 * peak(19.0)
        };
        used + if self.leaks { LEAK_FLOW } else { 0.0 }
    }

    /// Total after so much simulated time, m³.
    pub fn total(&self, day: Duration) -> f64 {
        let whole = if self.bursts { day.min(BURST_AT) } else { day };
        let burst = BURST_FLOW * (day - whole).as_secs_f64() / 3600.0;
        // Minute by minute, whole days at once.
        let sum = |minutes: u64| -> f64 {
            let flows = (0..minutes).map(|m| self.used(Duration::from_secs(m * 60)));
            flows.sum::<f64>() / 60.0
        };
        let minutes = whole.as_secs() / 60;
        let days = (minutes / DAY_MINUTES) as f64 * sum(DAY_MINUTES);
        let rest = whole.as_secs_f64() - (minutes * 60) as f64;
        let begun = self.used(Duration::from_secs(minutes * 60)) * rest / 3600.0;
        COUNTED_BEFORE + days + sum(minutes % DAY_MINUTES) + begun + burst
    }

    /// Registers from `address` on, or the exception that the real one answers.
    fn read(
        &self,
        day: Duration,
        speed: u32,
        address: u16,
        quantity: u16,
    ) -> Result<Vec<u16>, ExceptionCode> {
        if quantity == 0 || quantity > MAX_QUANTITY {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let (base, size) = match self.family {
            Family::Tuf2000m => (0, 256),
            Family::Electromagnetic => (0x1000, 64),
        };
        let first = address
            .checked_sub(base)
            .filter(|first| first + quantity <= size)
            .ok_or(ExceptionCode::IllegalDataAddress)?;
        // Whoever reads lives in real time, and a total must not run ahead of its flow.
        let total = COUNTED_BEFORE + (self.total(day) - COUNTED_BEFORE) / f64::from(speed);
        let flow = (self.flow(day) as f32).to_bits();
        let whole = total.trunc() as u32;
        let part = (total.fract() as f32).to_bits();
        let [at_flow, at_whole, at_part] = match self.family {
            Family::Tuf2000m => [0, 8, 10],
            Family::Electromagnetic => [0x10, 0x18, 0x1a],
        };
        let layout = [(at_flow, flow), (at_whole, whole), (at_part, part)];
        let value = |register: u16| {
            layout
                .iter()
                .find_map(|(at, value)| match register.checked_sub(*at)? {
                    0 => Some(*value as u16),
                    1 => Some((value >> 16) as u16),
                    _ => None,
                })
                .unwrap_or(0)
        };
        Ok((first..first + quantity).map(value).collect())
    }
}

/// All meters of a run, by unit id from 1.
#[derive(Clone)]
pub(super) struct Plant {
    meters: Arc<[Meter]>,
    start: Instant,
    scenario: Scenario,
    /// On a serial line others may be addressed, and only they answer then; a TCP gateway says
    /// that there is nobody.
    shared_line: bool,
    /// Somebody has asked, which is worth one log line.
    asked: Arc<AtomicBool>,
}

impl Plant {
    pub(super) fn new(args: &Args) -> Plant {
        let last = args.meters - 1;
        let meters = (0..args.meters)
            .map(|index| Meter {
                family: if index % 2 == 0 {
                    Family::Tuf2000m
                } else {
                    Family::Electromagnetic
                },
                bursts: args.burst && index == 0,
                leaks: args.leak && index == 1.min(last),
            })
            .collect();
        Plant {
            meters,
            start: Instant::now(),
            scenario: args.scenario,
            shared_line: false,
            asked: Arc::default(),
        }
    }

    pub(super) async fn serve_tcp(
        self,
        socket: TcpListener,
        stop: CancellationToken,
    ) -> Result<()> {
        let server = tcp::Server::new(socket);
        let connected = |stream, peer: SocketAddr| {
            let plant = self.clone();
            ready(tcp::accept_tcp_connection(stream, peer, |_| {
                Ok(Some(plant.clone()))
            }))
        };
        let fault = |error| tracing::warn!(%error, "Modbus TCP connection");
        server
            .serve_until(&connected, fault, stop.cancelled_owned())
            .await
            .context("Modbus TCP server")?;
        Ok(())
    }

    pub(super) async fn serve_rtu(
        mut self,
        serial: SerialStream,
        stop: CancellationToken,
    ) -> Result<()> {
        self.shared_line = true;
        rtu::Server::new(serial)
            .serve_until(self, stop.cancelled_owned())
            .await
            .context("Modbus RTU server")?;
        Ok(())
    }

    fn answer(&self, asked: &SlaveRequest<'_>) -> Result<Option<Response>, ExceptionCode> {
        let index = usize::from(asked.slave).checked_sub(1);
        let Some(meter) = index.and_then(|index| self.meters.get(index)) else {
            return if self.shared_line {
                Ok(None)
            } else {
                Err(ExceptionCode::GatewayTargetDevice)
            };
        };
        if !self.asked.swap(true, Ordering::Relaxed) {
            tracing::info!(unit = asked.slave, "the meters are being read");
        }
        let day = self.scenario.day_time(self.start.elapsed());
        let speed = self.scenario.speed();
        match asked.request {
            Request::ReadHoldingRegisters(address, quantity) => meter
                .read(day, speed, address, quantity)
                .map(|words| Some(Response::ReadHoldingRegisters(words))),
            Request::ReadInputRegisters(address, quantity) => meter
                .read(day, speed, address, quantity)
                .map(|words| Some(Response::ReadInputRegisters(words))),
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }
}

impl Service for Plant {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Self::Response, Self::Exception>>;

    fn call(&self, asked: Self::Request) -> Self::Future {
        ready(self.answer(&asked))
    }
}
