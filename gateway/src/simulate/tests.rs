use std::sync::Arc;

use tokio_modbus::{
    ExceptionCode,
    client::{Reader, rtu, tcp},
    prelude::{Slave, SlaveContext},
};
use tokio_serial::SerialStream;

use super::*;
use crate::{
    clock::Clock,
    config,
    counters::SourceCounters,
    source::mqtt::{
        listener,
        testing::{Engine, bin_with_rate, eventually},
    },
};

fn args() -> Args {
    Args {
        mqtt: None,
        bins: 3,
        topic: "bins/{id}".to_owned(),
        password_file: None,
        every: 0.05,
        modbus_tcp: None,
        modbus_rtu: None,
        pty: None,
        baud: 9600,
        meters: 2,
        scenario: Scenario::Demo,
        fire: true,
        tilt: true,
        burst: true,
        leak: true,
    }
}

fn hours(h: f64) -> Duration {
    Duration::from_secs_f64(h * 3600.0)
}

/// Simulated time at so many real seconds of the demo.
fn demo(seconds: u64) -> Duration {
    Scenario::Demo.day_time(Duration::from_secs(seconds))
}

#[test]
fn in_the_demo_everything_happens_within_half_a_minute() {
    let bin = |index, burns, falls| Bin {
        id: format!("bin-{index}"),
        index,
        burns,
        falls,
    };
    let now = jiff::Timestamp::now();
    let first = bin(0, false, false);
    assert!(first.fill(demo(0)) < 90.0);
    assert!((1..30).any(|s| first.fill(demo(s)) >= 95.0), "no overflow");
    assert!((1..40).any(|s| first.fill(demo(s)) < 50.0), "never emptied");
    let burning = bin(1, true, false);
    assert!(burning.reading(1, demo(0), now).temperature < 40.0);
    assert!(burning.reading(1, demo(20), now).temperature >= 70.0);
    let fallen = bin(2, false, true);
    assert!(fallen.reading(1, demo(0), now).tilt < 30.0);
    assert!(fallen.reading(1, demo(20), now).tilt > 45.0);
    assert!(fallen.reading(1, demo(30), now).tilt < 30.0);
    let meter = Meter {
        family: Family::Tuf2000m,
        bursts: true,
        leaks: false,
    };
    assert!(meter.flow(demo(0)) < 10.0);
    assert!(meter.flow(demo(12)) > 80.0);
}

#[test]
fn a_meters_total_follows_its_flow_and_never_falls() {
    for (leaks, bursts) in [(false, false), (true, false), (false, true)] {
        let meter = Meter {
            family: Family::Electromagnetic,
            bursts,
            leaks,
        };
        let mut last = meter.total(Duration::ZERO);
        for step in 1..500 {
            let total = meter.total(hours(f64::from(step) * 0.13));
            assert!(total >= last);
            last = total;
        }
        if bursts {
            let hour = meter.total(hours(4.0)) - meter.total(hours(3.0));
            assert!((hour - meter.flow(hours(3.5))).abs() < 1e-6);
            continue;
        }
        // The day starts at six; at three at night only a leak flows.
        let night = meter.flow(hours(21.0));
        assert_eq!(night > 0.0, leaks);
        let hour = meter.total(hours(21.5)) - meter.total(hours(20.5));
        assert!((hour - night).abs() < 1e-9);
    }
}

#[tokio::test]
async fn bins_overflow_on_a_real_listener() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (engine, out) = Engine::prompt();
    let stop = CancellationToken::new();
    let counters = Arc::new(SourceCounters::default());
    let devices = ["bin-1", "bin-2", "bin-3"].map(|id| bin_with_rate(id, "ingest", 100.0));
    let listening = tokio::spawn(listener::run(
        socket,
        config::Listener {
            name: "ingest".into(),
            listen: address,
            passwords: devices
                .iter()
                .map(|d| (d.id.to_string(), "secret".to_owned()))
                .collect(),
            max_payload: 8192,
            max_connections: 10,
        },
        devices.to_vec(),
        Default::default(),
        out,
        Clock::start(),
        counters.clone(),
        stop.clone(),
    ));
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let args = Args {
        mqtt: Some(address.to_string()),
        password_file: Some(password),
        ..args()
    };
    let running = start(&args, stop.clone()).await.unwrap();
    // The test's bins are 1000 mm high, the simulated ones 1200: an empty one reads beyond.
    eventually("every bin speaks", || {
        ["bin-1", "bin-2", "bin-3"]
            .iter()
            .all(|id| engine.fills(id).len() >= 3)
    })
    .await;
    assert_eq!(counters.refused.get(), 0);
    stop.cancel();
    running.wait().await.unwrap();
    listening.await.unwrap();
}

/// Flow and total as a client reads them from unit 1 and 2, low word first.
async fn check_meters(context: &mut (impl Reader + SlaveContext)) {
    let float = |high: u16, low: u16| f32::from_bits(u32::from(high) << 16 | u32::from(low));
    context.set_slave(Slave(1));
    let words = context
        .read_holding_registers(0, 12)
        .await
        .unwrap()
        .unwrap();
    assert!(
        (0.2..100.0).contains(&float(words[1], words[0])),
        "{words:?}"
    );
    assert!(u32::from(words[9]) << 16 | u32::from(words[8]) >= 12_345);
    assert!((0.0..1.0).contains(&float(words[11], words[10])));
    context.set_slave(Slave(2));
    let words = context
        .read_input_registers(0x1010, 12)
        .await
        .unwrap()
        .unwrap();
    assert!(
        (0.2..100.0).contains(&float(words[1], words[0])),
        "{words:?}"
    );
    assert!(u32::from(words[9]) << 16 | u32::from(words[8]) >= 12_345);
    assert_eq!(
        context.read_holding_registers(0, 2).await.unwrap(),
        Err(ExceptionCode::IllegalDataAddress)
    );
}

#[tokio::test]
async fn meters_answer_over_tcp() {
    let args = Args {
        modbus_tcp: Some("127.0.0.1:0".parse().unwrap()),
        ..args()
    };
    let stop = CancellationToken::new();
    let running = start(&args, stop.clone()).await.unwrap();
    let address = running.modbus_tcp.unwrap();
    let mut context = tcp::connect(address).await.unwrap();
    check_meters(&mut context).await;
    context.set_slave(Slave(3));
    assert_eq!(
        context.read_holding_registers(0, 2).await.unwrap(),
        Err(ExceptionCode::GatewayTargetDevice)
    );
    stop.cancel();
    running.wait().await.unwrap();
}

#[tokio::test]
async fn meters_answer_on_a_line_of_our_own_and_keep_silent_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("meters");
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    let args = Args {
        pty: Some(link.clone()),
        baud: 57_600,
        ..args()
    };
    let stop = CancellationToken::new();
    let running = start(&args, stop.clone()).await.unwrap();
    assert_eq!(running.modbus_rtu.as_deref(), Some(link.as_path()));
    // Twice: a gateway that restarts opens the line again.
    for _ in 0..2 {
        let path = link.to_str().unwrap();
        let serial = SerialStream::open(&tokio_serial::new(path, 57_600)).unwrap();
        let mut context = rtu::attach(serial);
        check_meters(&mut context).await;
        context.set_slave(Slave(9));
        let silence = tokio::time::timeout(
            Duration::from_millis(300),
            context.read_holding_registers(0, 2),
        );
        assert!(silence.await.is_err(), "unit 9 does not exist");
    }
    // mbpoll knows the vendor's 1-based numbers.
    let output = tokio::process::Command::new("mbpoll")
        .args([
            "-m", "rtu", "-b", "57600", "-P", "none", "-a", "1", "-r", "1", "-c", "1",
        ])
        .args(["-t", "4:float", "-1", link.to_str().unwrap()])
        .output()
        .await
        .expect("mbpoll (Debian package) is needed");
    let text = String::from_utf8_lossy(&output.stdout);
    let value = text.lines().find_map(|line| line.strip_prefix("[1]: "));
    let flow: f32 = value
        .unwrap_or_else(|| panic!("{text}"))
        .trim()
        .parse()
        .unwrap();
    assert!((0.2..100.0).contains(&flow), "{text}");

    stop.cancel();
    running.wait().await.unwrap();
    assert!(!link.is_symlink(), "the link is left behind");
}

#[tokio::test]
async fn a_line_takes_the_time_that_its_speed_takes() {
    let mut tasks = JoinSet::new();
    let stop = CancellationToken::new();
    let line = Line::new(None, 9600, &mut tasks, stop.clone()).unwrap();
    let open = |path: &Path| SerialStream::open(&tokio_serial::new(path.to_string_lossy(), 9600));
    let mut a = open(line.path()).unwrap();
    let mut b = open(line.server_path()).unwrap();
    let start = std::time::Instant::now();
    tokio::io::AsyncWriteExt::write_all(&mut a, &[7; 100])
        .await
        .unwrap();
    let mut got = [0; 100];
    tokio::io::AsyncReadExt::read_exact(&mut b, &mut got)
        .await
        .unwrap();
    let took = start.elapsed();
    assert_eq!(got, [7; 100]);
    // 100 bytes of 11 bits at 9600: 115 ms.
    assert!(took >= Duration::from_millis(110), "{took:?}");
    stop.cancel();
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let address = taken.local_addr().unwrap();
    for (args, want) in [
        (args(), "nothing to do"),
        (
            Args {
                mqtt: Some("nowhere".to_owned()),
                ..args()
            },
            "HOST:PORT",
        ),
        (
            Args {
                mqtt: Some("h:1".to_owned()),
                every: 0.0,
                ..args()
            },
            "--every 0",
        ),
        (
            Args {
                modbus_tcp: Some(address),
                ..args()
            },
            "cannot listen",
        ),
        (
            Args {
                modbus_rtu: Some("/nonexistent".into()),
                ..args()
            },
            "/nonexistent",
        ),
        (
            Args {
                pty: Some(file.clone()),
                ..args()
            },
            "cannot be made a link",
        ),
    ] {
        let fault = start(&args, CancellationToken::new()).await.unwrap_err();
        let text = format!("{fault:#}");
        assert!(text.contains(want), "{text:?} lacks {want:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}
