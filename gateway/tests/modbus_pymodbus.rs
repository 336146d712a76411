//! The Modbus source against pymodbus: another implementation wrote the registers.
//!
//! `WANGGE_PYTHON` names a Python that has pymodbus 3.16 and pyserial; else `python3` is tried.

#![expect(clippy::unwrap_used, reason = "a test may panic in its helpers too")]

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc,
};
use tokio_serial::{SerialPort as _, SerialStream};
use tokio_util::sync::CancellationToken;
use wangge::{
    clock::Clock,
    config::{
        Bus, BusLink, ByteOrder, Device, DeviceLink, DeviceProfile, Parity, Point, RegisterFormat,
        RegisterPart, RegisterTable,
    },
    counters::SourceCounters,
    observation::{Arrival, Health, Quantity, Value},
    source::modbus,
};

/// A Python may take its time to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the server and gives its first word; it ends when the child is dropped.
async fn serve(arguments: &[&str]) -> (Child, String) {
    let python = std::env::var_os("WANGGE_PYTHON").unwrap_or_else(|| "python3".into());
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/peers/pymodbus_server.py"
    );
    let mut child = Command::new(&python)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", python.display()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .expect("pymodbus starts in time")
        .unwrap()
        .unwrap_or_else(|| {
            panic!(
                "{} has no working pymodbus: `python3 -m venv V && V/bin/pip install \
                 'pymodbus==3.16.*' pyserial`, then set WANGGE_PYTHON=V/bin/python",
                python.display()
            )
        });
    (child, line)
}

/// The figures that the script wrote, in its order.
fn expected() -> Vec<(RegisterFormat, ByteOrder, f64)> {
    use ByteOrder::{Abcd, Badc, Cdab};
    use RegisterFormat::{Bcd, F32, F64, I16, I32, I64, U16, U32, U64};
    vec![
        (U16, Abcd, 54_321.0),
        (I16, Abcd, -1234.0),
        (U32, Abcd, 4_000_000_001.0),
        (U32, Cdab, 4_000_000_001.0),
        (I32, Abcd, -2_000_000_001.0),
        (I32, Cdab, -2_000_000_001.0),
        (F32, Abcd, -12.5),
        (F32, Cdab, -12.5),
        (U64, Abcd, 9_007_199_254_740_991.0),
        (U64, Cdab, 9_007_199_254_740_991.0),
        (I64, Abcd, -9_007_199_254_740_991.0),
        (I64, Cdab, -9_007_199_254_740_991.0),
        (F64, Abcd, std::f64::consts::PI),
        (F64, Cdab, std::f64::consts::PI),
        (F32, Badc, -12.5),
        (Bcd(2), Abcd, 123_456.0),
    ]
}

fn width(format: RegisterFormat) -> u16 {
    use RegisterFormat::{F32, F64, I32, I64, U32, U64};
    match format {
        U32 | I32 | F32 => 2,
        U64 | I64 | F64 => 4,
        RegisterFormat::Bcd(n) => n.into(),
        _ => 1,
    }
}

/// Every expected figure from both tables, and one beyond the end, which is illegal.
fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for table in [RegisterTable::Holding, RegisterTable::Input] {
        let mut address = 0;
        let beyond = (RegisterFormat::U16, ByteOrder::Abcd, 0.0);
        for (format, order, _) in expected().into_iter().chain([beyond]) {
            points.push(Point {
                quantity: Quantity::Level,
                name: format!("{table:?}-{address}"),
                parts: vec![RegisterPart {
                    table,
                    address,
                    format,
                    order,
                    scale: 1.0,
                }],
                scale: 1.0,
                offset: 0.0,
                totaliser: None,
            });
            address += width(format);
        }
    }
    points
}

fn device(unit_id: u8) -> Arc<Device> {
    Arc::new(Device {
        id: format!("unit-{unit_id}").into(),
        name: None,
        profile: Arc::new(DeviceProfile {
            name: "every-format".into(),
            title: String::new(),
            payload: None,
            points: points(),
            rules: Vec::new(),
            needs_height: false,
            full_at_mm: 0.0,
        }),
        link: DeviceLink::Modbus {
            bus: "bus".into(),
            unit_id,
            every: Duration::from_millis(500),
        },
        height_mm: None,
        rules: Vec::new(),
        unit_grid: String::new(),
        lon: 0.0,
        lat: 0.0,
        address: None,
        max_rate: 10.0,
    })
}

/// Unit 1 gives every figure, its illegal register alone is missing; unit 9 does not exist.
async fn check(link: BusLink) {
    let bus = Bus {
        name: "bus".into(),
        link,
        timeout: Duration::from_millis(500),
    };
    let (out, mut arrivals) = mpsc::channel::<Arrival>(64);
    let stop = CancellationToken::new();
    let task = tokio::spawn(modbus::run(
        bus,
        vec![device(1), device(9)],
        mpsc::channel(1).1,
        out,
        Clock::start(),
        Arc::new(SourceCounters::default()),
        stop.clone(),
    ));
    let wanted: Vec<f64> = [expected(), expected()]
        .concat()
        .into_iter()
        .map(|(_, _, value)| value)
        .collect();
    let (mut good, mut is_silent, mut illegal) = (0, false, 0);
    while good < 4 || !is_silent {
        let arrival = tokio::time::timeout(PATIENCE, arrivals.recv())
            .await
            .expect("an arrival in time")
            .expect("the bus runs");
        for o in &arrival.observations {
            if let Value::Health(Health::Fault { reason, .. }) = &o.value {
                match &*arrival.subject {
                    "unit-9" => is_silent = true,
                    _ => illegal += usize::from(reason.en.contains("refuses holding register")),
                }
            }
        }
        if &*arrival.subject == "unit-1" {
            let figures: Vec<f64> = arrival
                .observations
                .iter()
                .filter_map(|o| match o.value {
                    Value::Measurement { value, .. } => Some(value),
                    _ => None,
                })
                .collect();
            assert_eq!(figures, wanted);
            good += 1;
        }
    }
    assert_eq!(illegal, 1, "the register beyond the end, once");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_read_from_pymodbus_over_tcp() {
    let (_child, line) = serve(&["tcp"]).await;
    let port = line.strip_prefix("PORT ").unwrap().parse().unwrap();
    check(BusLink::Tcp {
        host: "127.0.0.1".into(),
        port,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_read_from_pymodbus_over_rtu() {
    // Two terminals, joined like the two ends of a line.
    let (mut here, ours) = SerialStream::pair().unwrap();
    let (mut there, theirs) = SerialStream::pair().unwrap();
    let (path, peer) = (PathBuf::from(ours.name().unwrap()), theirs.name().unwrap());
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut here, &mut there).await });
    let (_child, line) = serve(&["rtu", &peer]).await;
    assert_eq!(line, "READY");
    check(BusLink::Rtu {
        path,
        baud: 115_200,
        parity: Parity::None,
        stop_bits: 1,
    })
    .await;
}
