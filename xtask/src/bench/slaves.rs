//! Modbus TCP slaves that keep the score of how they are polled.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

/// What a slave saw. A poll is a read that covers register 0.
#[derive(Clone, Copy, Debug, Default)]
struct Slave {
    seq: u16,
    polls: u64,
    missed: u64,
    last: Option<Instant>,
}

/// Slaves on ports of 127.0.0.1; they go on until the process ends.
#[derive(Debug)]
pub struct Slaves {
    /// First port and unit id of each slave.
    pub first_port: u16,
    period: Duration,
    table: Arc<Mutex<Vec<Slave>>>,
    dead: usize,
}

/// The score since the last one was taken.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Score {
    /// Polls of living slaves.
    pub polls: u64,
    /// Polls that a gap between two left out, or that a silent slave never had.
    pub missed: u64,
}

impl Slaves {
    /// `count` units of 20 holding registers behind one port; the last `dead` never answer.
    ///
    /// # Errors
    /// No port is free.
    pub fn units(count: usize, dead: usize, period: Duration) -> Result<Slaves> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let slaves = Slaves {
            first_port: listener.local_addr()?.port(),
            period,
            table: Arc::new(Mutex::new(vec![Slave::default(); count])),
            dead,
        };
        slaves.serve(listener, 0, count - dead);
        Ok(slaves)
    }

    /// `count` slaves, each unit 1 behind a port of its own, in a row from `first_port`.
    ///
    /// # Errors
    /// No such row of ports is free.
    pub fn ports(count: usize, period: Duration) -> Result<Slaves> {
        let row = wangge_tests::until("a row of free ports", Duration::from_secs(10), || {
            let first = wangge_tests::place::free_port()?;
            let row: Option<Vec<TcpListener>> = (0..count)
                .map(|i| {
                    let port = first.checked_add(u16::try_from(i).ok()?)?;
                    TcpListener::bind(("127.0.0.1", port)).ok()
                })
                .collect();
            Ok(row.map(|row| (first, row)))
        })?;
        let slaves = Slaves {
            first_port: row.0,
            period,
            table: Arc::new(Mutex::new(vec![Slave::default(); count])),
            dead: 0,
        };
        for (i, listener) in row.1.into_iter().enumerate() {
            slaves.serve(listener, i, 1);
        }
        Ok(slaves)
    }

    fn serve(&self, listener: TcpListener, first: usize, units: usize) {
        let (table, period) = (self.table.clone(), self.period);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let table = table.clone();
                thread::spawn(move || answer(stream, &table, first, units, period));
            }
        });
    }

    /// Takes the score and starts a new one.
    pub fn score(&self, window: Duration) -> Score {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let living = table.len() - self.dead;
        let wanted = (window.as_secs_f64() / self.period.as_secs_f64()) as u64;
        let mut score = Score::default();
        for slave in &mut table[..living] {
            score.polls += slave.polls;
            score.missed += if slave.polls == 0 {
                wanted
            } else {
                slave.missed
            };
            (slave.polls, slave.missed) = (0, 0);
        }
        score
    }

    /// True once every living slave has been polled.
    pub fn all_polled(&self) -> bool {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table[..table.len() - self.dead]
            .iter()
            .all(|s| s.last.is_some())
    }
}

fn answer(
    mut stream: TcpStream,
    table: &Mutex<Vec<Slave>>,
    first: usize,
    units: usize,
    period: Duration,
) {
    let _ = stream.set_nodelay(true);
    let begun = Instant::now();
    let mut request = [0; 12];
    // Whatever is no read of registers ends the connection: nothing else may come.
    while stream.read_exact(&mut request).is_ok() {
        let [.., unit, function, a1, a0, n1, n0] = request;
        let (address, n) = (u16::from_be_bytes([a1, a0]), u16::from_be_bytes([n1, n0]));
        let index = usize::from(unit).wrapping_sub(1);
        if function != 3 || !(1..=125).contains(&n) {
            return;
        }
        if index >= units {
            continue;
        }
        let values = {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            let slave = &mut table[first + index];
            if address == 0 {
                poll(slave, period);
            }
            registers(slave.seq, begun, address, n)
        };
        let mut reply = request[..4].to_vec();
        reply.extend((3 + 2 * n).to_be_bytes());
        reply.extend([unit, function, (2 * n) as u8]);
        reply.extend(values.iter().flat_map(|v| v.to_be_bytes()));
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

fn poll(slave: &mut Slave, period: Duration) {
    let now = Instant::now();
    if let Some(last) = slave.last {
        let periods = ((now - last).as_secs_f64() / period.as_secs_f64()).round() as u64;
        slave.missed += periods.saturating_sub(1);
    }
    slave.last = Some(now);
    slave.polls += 1;
    slave.seq = slave.seq.wrapping_add(1);
}

/// 0: polls so far, 1: milliseconds, 2: level x10, 3: temperature x10, then a pattern.
fn registers(seq: u16, begun: Instant, address: u16, n: u16) -> Vec<u16> {
    (address..address + n)
        .map(|a| match a {
            0 => seq,
            1 => begun.elapsed().as_millis() as u16,
            2 => seq.wrapping_mul(37) % 1000,
            3 => (seq % 500).wrapping_sub(100),
            other => other,
        })
        .collect()
}
