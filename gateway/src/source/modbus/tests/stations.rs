//! Buses with the library's own server behind them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_modbus::ExceptionCode;
use wangge_protocol::EventKind;

use super::{
    Running, device, figures, health, part, payload, point, registers, rtu,
    slave::{Bank, content, plug, pty},
    tcp,
};
use crate::{
    config::{ByteOrder, Point, RegisterFormat, RegisterPart, RegisterTable, Totaliser},
    observation::{Health, Quality, Quantity},
};

const EVERY: Duration = Duration::from_millis(400);
const TIMEOUT: Duration = Duration::from_millis(500);

fn is_fault(health: &Health, kind: EventKind) -> bool {
    matches!(health, Health::Fault { what, .. } if *what == kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_is_read_over_tcp_and_rtu() {
    // Flow -12.5 (CDAB), total 1234 + 0.5, and an input register.
    let bank = || {
        Bank::new(|unit, address, count| {
            let image = |a: u16| match a {
                0x1010 => 0x0000,
                0x1011 => 0xC148,
                0x1018 => 1234,
                0x101A => 0x0000,
                0x101B => 0x3F00,
                _ => 0,
            };
            (unit == 7).then(|| Ok((address..address + count).map(image).collect()))
        })
    };
    let cdab = |address, format| RegisterPart {
        order: ByteOrder::Cdab,
        ..part(address, format)
    };
    let points = vec![
        Point {
            quantity: Quantity::Flow,
            ..point("flow", cdab(0x1010, RegisterFormat::F32))
        },
        Point {
            quantity: Quantity::Volume,
            parts: vec![
                cdab(0x1018, RegisterFormat::I32),
                cdab(0x101A, RegisterFormat::F32),
            ],
            totaliser: Some(Totaliser {
                rollover: None,
                max_per_hour: 10.0,
            }),
            ..point("total", part(0, RegisterFormat::U16))
        },
        point(
            "status \"x\"",
            RegisterPart {
                table: RegisterTable::Input,
                ..part(5, RegisterFormat::U16)
            },
        ),
    ];
    let (ours, path, _theirs) = pty();
    bank().serve_rtu(ours);
    for link in [tcp(bank().serve_tcp().await), rtu(path)] {
        let mut bus = Running::start(link, TIMEOUT, vec![device("m", 7, EVERY, points.clone())]);
        for _ in 0..3 {
            let arrival = bus.next().await;
            assert_eq!(
                figures(&arrival),
                [
                    (-12.5, Quality::Good),
                    (1234.5, Quality::Good),
                    (0.0, Quality::Good)
                ]
            );
            assert_eq!(
                payload(&arrival),
                serde_json::json!({"flow": -12.5, "total": 1234.5, "status \"x\"": 0})
            );
            assert_eq!(health(&arrival), None);
        }
        assert_eq!(bus.counters.refused.get(), 0);
        assert_eq!(bus.counters.faults.get(), 0);
        assert!(bus.counters.accepted.get() >= 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_units_cost_the_live_ones_no_poll() {
    let port = Bank::of_units(|unit| unit <= 18).serve_tcp().await;
    let devices = (1..=20)
        .map(|unit| device(&unit.to_string(), unit, EVERY, registers(0..20)))
        .collect();
    let mut bus = Running::start(tcp(port), TIMEOUT, devices);
    let mut last = [None::<Instant>; 21];
    let (mut polls, mut silent) = (0, 0);
    while polls < 18 * 12 || silent < 2 {
        let arrival = bus.next().await;
        let unit: usize = arrival.subject.parse().unwrap();
        if unit > 18 {
            assert!(is_fault(
                &health(&arrival).unwrap(),
                EventKind::DeviceSilent
            ));
            silent += 1;
            assert!(silent <= 2, "reported once each");
            continue;
        }
        let now = Instant::now();
        if let Some(before) = last[unit].replace(now) {
            assert!(now - before < EVERY * 2, "unit {unit}: {:?}", now - before);
        }
        polls += 1;
    }
    assert_eq!(bus.counters.missed.get(), 0);
}

/// A converter that serves one connection at a time: probes have to use the gaps.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_one_connection_is_polled_over_it() {
    let inner = Bank::of_units(|unit| unit != 2).serve_tcp().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let busy = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            if busy.swap(true, Ordering::SeqCst) {
                continue; // closes it
            }
            let busy = busy.clone();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", inner))
                    .await
                    .unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                busy.store(false, Ordering::SeqCst);
            });
        }
    });
    let devices = (1..=4)
        .map(|unit| device(&unit.to_string(), unit, EVERY, registers([unit.into()])))
        .collect();
    let mut bus = Running::start(tcp(port), EVERY / 2, devices);
    let (mut polls, mut silent) = ([0; 5], false);
    while polls[1] < 12 || polls[3] < 8 || polls[4] < 8 || !silent {
        let arrival = bus.next().await;
        let unit: u8 = arrival.subject.parse().unwrap();
        if unit == 2 {
            silent = true;
            continue;
        }
        assert_eq!(
            figures(&arrival),
            [(f64::from(content(unit, unit.into())), Quality::Good)]
        );
        polls[usize::from(unit)] += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_return_are_each_reported_once() {
    let every = EVERY / 2;
    let alive = Arc::new(AtomicBool::new(true));
    let switch = alive.clone();
    let port = Bank::of_units(move |unit| unit == 1 || switch.load(Ordering::SeqCst))
        .serve_tcp()
        .await;
    let devices = vec![
        device("1", 1, every, registers([0])),
        device("2", 2, every, registers([0])),
    ];
    let mut bus = Running::start(tcp(port), every / 2, devices);
    bus.find(|a| (*a.subject == *"2").then_some(())).await;
    alive.store(false, Ordering::SeqCst);
    let said = bus.health("2").await;
    let Health::Fault { what, reason } = said else {
        panic!("{said:?}");
    };
    assert_eq!(what, EventKind::DeviceSilent);
    assert!(reason.en.contains("unit 2 on bus bus"), "{reason:?}");
    assert!(reason.zh.starts_with("总线 bus 单元 2:"), "{reason:?}");
    assert!(reason.zh.ends_with("内无应答"), "{reason:?}");
    // Nothing more from it while others go on.
    let mut others = 0;
    while others < 10 {
        let arrival = bus.next().await;
        assert_eq!(*arrival.subject, *"1");
        others += 1;
    }
    alive.store(true, Ordering::SeqCst);
    assert_eq!(bus.health("2").await, Health::Ok);
    for _ in 0..10 {
        assert_eq!(health(&bus.next().await), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_register_loses_only_itself_and_is_reported_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let port = Bank::new(move |unit, address, n| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(if (address..address + n).contains(&13) {
            Err(ExceptionCode::IllegalDataAddress)
        } else {
            Ok((address..address + n).map(|a| content(unit, a)).collect())
        })
    })
    .serve_tcp()
    .await;
    let mut bus = Running::start(
        tcp(port),
        TIMEOUT,
        vec![device("m", 1, EVERY, registers(0..40))],
    );
    let first = bus.next().await;
    assert_eq!(figures(&first).len(), 39, "already in the first poll");
    assert!(payload(&first).get("13").is_none());
    let Some(Health::Fault { what, reason }) = health(&first) else {
        panic!("{first:?}");
    };
    assert_eq!(what, EventKind::MeterFault);
    assert!(reason.en.contains("holding register 13"), "{reason:?}");
    assert!(reason.zh.contains("保持寄存器 13"), "{reason:?}");
    bus.next().await;
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..5 {
        let arrival = bus.next().await;
        assert_eq!(figures(&arrival).len(), 39);
        assert_eq!(health(&arrival), None);
    }
    assert_eq!(
        asked.load(Ordering::SeqCst) - before,
        10,
        "two requests a poll"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_refuses_everything_is_reported_as_refusing() {
    let port = Bank::new(|_, _, _| Some(Err(ExceptionCode::IllegalFunction)))
        .serve_tcp()
        .await;
    let mut bus = Running::start(
        tcp(port),
        TIMEOUT,
        vec![device("m", 1, EVERY, registers([3]))],
    );
    let Health::Fault { what, reason } = bus.health("m").await else {
        panic!()
    };
    assert_eq!(what, EventKind::DeviceSilent);
    assert!(reason.en.contains("refuses every read"), "{reason:?}");
    assert!(reason.zh.contains("非法功能码 0x01"), "{reason:?}");
    assert_eq!(bus.counters.accepted.get(), 0);
    assert!(bus.counters.refused.get() >= 3);
    assert_eq!(bus.counters.faults.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_falls_is_implausible_and_reported_once() {
    let total = Arc::new(AtomicU16::new(5000));
    let value = total.clone();
    let port = Bank::new(move |_, _, n| Some(Ok(vec![value.load(Ordering::SeqCst); n.into()])))
        .serve_tcp()
        .await;
    let points = vec![Point {
        quantity: Quantity::Volume,
        totaliser: Some(Totaliser {
            rollover: None,
            max_per_hour: 10.0,
        }),
        ..point("total", part(0, RegisterFormat::U16))
    }];
    let mut bus = Running::start(tcp(port), TIMEOUT, vec![device("m", 1, EVERY, points)]);
    assert_eq!(figures(&bus.next().await), [(5000.0, Quality::Good)]);
    total.store(300, Ordering::SeqCst);
    let fallen = bus
        .find(|a| (figures(a)[0].0 == 300.0).then(|| (figures(a), health(a))))
        .await;
    assert_eq!(fallen.0, [(300.0, Quality::Implausible)]);
    assert!(is_fault(&fallen.1.unwrap(), EventKind::MeterFault));
    for _ in 0..3 {
        let arrival = bus.next().await;
        assert_eq!(figures(&arrival), [(300.0, Quality::Implausible)]);
        assert_eq!(health(&arrival), None);
    }
    total.store(5001, Ordering::SeqCst);
    assert_eq!(bus.health("m").await, Health::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_costs_at_most_a_poll() {
    let port = wangge_tests::place::free_port().unwrap();
    // Nobody listens yet: reported as unreachable, with the address.
    let mut bus = Running::start(
        tcp(port),
        TIMEOUT,
        vec![device("m", 1, EVERY, registers([3]))],
    );
    let Health::Fault { what, reason } = bus.health("m").await else {
        panic!()
    };
    assert_eq!(what, EventKind::DeviceSilent);
    let target = format!("127.0.0.1:{port}");
    assert!(reason.en.contains(&target), "{reason:?}");
    assert!(
        reason.zh.contains(&format!("无法连接 {target}:")),
        "{reason:?}"
    );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    let inner = Bank::of_units(|_| true).serve_tcp().await;
    let down = tokio_util::sync::CancellationToken::new();
    let token = down.clone();
    tokio::spawn(async move {
        let mut first = true;
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let token = if std::mem::take(&mut first) {
                token.clone()
            } else {
                Default::default()
            };
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", inner))
                    .await
                    .unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => (),
                    () = token.cancelled() => (),
                }
            });
        }
    });
    assert_eq!(bus.health("m").await, Health::Ok);
    bus.next().await;
    let faults = bus.counters.faults.get();
    // The idle connection is closed: the next poll notices, connects and asks again.
    down.cancel();
    for _ in 0..5 {
        assert_eq!(figures(&bus.next().await), [(1003.0, Quality::Good)]);
    }
    assert_eq!(bus.counters.faults.get(), faults);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_is_unplugged_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adapter");
    let bank = || Bank::of_units(|unit| unit == 1);
    let (ours, target, theirs) = pty();
    plug(&path, &target);
    let server = bank().serve_rtu(ours);
    let mut bus = Running::start(
        rtu(&path),
        TIMEOUT,
        vec![device("m", 1, EVERY, registers([3]))],
    );
    assert_eq!(figures(&bus.next().await), [(1003.0, Quality::Good)]);
    // Pulled out: the terminal hangs up and its name goes away.
    server.abort();
    let _ = server.await;
    drop(theirs);
    std::fs::remove_file(&path).unwrap();
    let said = bus.health("m").await;
    assert!(is_fault(&said, EventKind::DeviceSilent), "{said:?}");
    // Back as another terminal under the same name.
    let (ours, target, _theirs) = pty();
    plug(&path, &target);
    bank().serve_rtu(ours);
    let back = Instant::now();
    assert_eq!(bus.health("m").await, Health::Ok);
    assert!(
        back.elapsed() < Duration::from_secs(10),
        "{:?}",
        back.elapsed()
    );
    assert_eq!(figures(&bus.next().await), [(1003.0, Quality::Good)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_share_a_unit_keep_their_own_periods() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let port = Bank::new(move |unit, address, n| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(Ok((address..address + n)
            .map(|a| content(unit, a))
            .collect()))
    })
    .serve_tcp()
    .await;
    let devices = vec![
        device("often", 1, EVERY, registers([0, 1])),
        device("seldom", 1, EVERY * 4, registers([2])),
    ];
    let mut bus = Running::start(tcp(port), TIMEOUT, devices);
    let (mut often, mut seldom) = (0, 0);
    while seldom < 3 {
        match &*bus.next().await.subject {
            "often" => often += 1,
            _ => seldom += 1,
        }
    }
    assert!((8..=10).contains(&often), "{often}");
    assert!(
        asked.load(Ordering::SeqCst) <= often + 1,
        "one request a poll"
    );
}
