//! Every fault of a slave, on TCP and RTU: the right class, never another register's value, back
//! within two cycles, and hardly any cost to the others.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    super::{
        link::{Link, ReadError},
        plan::Span,
    },
    Running, device, figures, registers, rtu,
    slave::{Act, Framing, Scripted, content, pty},
    tcp,
};
use crate::{
    config::{BusLink, RegisterTable},
    observation::Quality,
};

const TIMEOUT: Duration = Duration::from_millis(200);

fn span(address: u16, count: u16) -> Span {
    Span {
        table: RegisterTable::Holding,
        address,
        count,
    }
}

/// Starts the slave and says how to reach it; what is returned second must live on.
async fn serve(
    scripted: Scripted,
    framing: Framing,
) -> (BusLink, Option<tokio_serial::SerialStream>) {
    match framing {
        Framing::Tcp => (tcp(scripted.serve_tcp().await), None),
        Framing::Rtu => {
            let (ours, path, theirs) = pty();
            tokio::spawn(scripted.serve(ours, Framing::Rtu));
            (rtu(path), Some(theirs))
        }
    }
}

type Class = fn(&ReadError) -> bool;

fn table(framing: Framing) -> Vec<(Act, Class)> {
    let mut rows: Vec<(Act, Class)> = vec![
        (Act::Exception(2), |e| matches!(e, ReadError::Refused(_))),
        (Act::Exception(6), |e| matches!(e, ReadError::Refused(_))),
        (Act::Short, |e| {
            matches!(e, ReadError::Length { asked: 2, got: 1 })
        }),
        (Act::Long, |e| {
            matches!(e, ReadError::Length { asked: 2, got: 3 })
        }),
        (Act::WrongUnit, |e| matches!(e, ReadError::Mismatch(_))),
        (Act::WrongFunction, |e| matches!(e, ReadError::Mismatch(_))),
        (Act::Dribble, |e| matches!(e, ReadError::Incomplete { .. })),
        (Act::Silence, |e| matches!(e, ReadError::Silent(_))),
        (Act::Late(TIMEOUT * 5 / 4), |e| {
            matches!(e, ReadError::Silent(_))
        }),
        (Act::Late(TIMEOUT * 9 / 4), |e| {
            matches!(e, ReadError::Silent(_))
        }),
        // Just when the next cycle asks the same unit again.
        (Act::Late(EVERY + TIMEOUT / 10), |e| {
            matches!(e, ReadError::Silent(_))
        }),
    ];
    match framing {
        Framing::Tcp => rows.extend([
            (
                Act::WrongTransaction,
                (|e| matches!(e, ReadError::Mismatch(_))) as Class,
            ),
            (Act::Close, |e| matches!(e, ReadError::Lost(_))),
            (Act::Garbage, |e| {
                matches!(e, ReadError::Garbled(_) | ReadError::Incomplete { .. })
            }),
        ]),
        Framing::Rtu => rows.extend([
            (
                Act::BadCrc,
                (|e| matches!(e, ReadError::Incomplete { .. } | ReadError::Garbled(_))) as Class,
            ),
            (Act::Garbage, |e| {
                matches!(e, ReadError::Garbled(_) | ReadError::Incomplete { .. })
            }),
        ]),
    }
    rows
}

async fn has_its_class(act: Act, class: Class, framing: Framing) {
    let scripted = Scripted::new(move |_, nth| if nth == 1 { act } else { Act::Good });
    let (target, _keep) = serve(scripted, framing).await;
    let mut link = Link::new(target, TIMEOUT);
    link.connect().await.unwrap();
    assert_eq!(
        link.read(1, span(10, 2), TIMEOUT).await.unwrap(),
        [content(1, 10), content(1, 11)]
    );
    let error = link.read(1, span(30, 2), TIMEOUT).await.unwrap_err();
    assert!(class(&error), "{act:?} on {framing:?} gave {error:?}");
    // Whatever came late or was wrong, another length is never confused with it.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        link.connect().await.unwrap();
        match link.read(1, span(50, 3), TIMEOUT).await {
            Ok(words) => {
                assert_eq!(words, [content(1, 50), content(1, 51), content(1, 52)]);
                return;
            }
            Err(error) => assert!(
                Instant::now() < deadline,
                "{act:?} on {framing:?} never recovered: {error:?}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_class() {
    let mut all = tokio::task::JoinSet::new();
    for framing in [Framing::Tcp, Framing::Rtu] {
        for (act, class) in table(framing) {
            all.spawn(has_its_class(act, class, framing));
        }
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

const EVERY: Duration = Duration::from_millis(800);

/// Both blocks of a unit ask for two registers, so that the late answer to the second fits the
/// first of the next poll.
async fn costs_little(act: Act, framing: Framing) {
    let scripted = Scripted::new(move |unit, nth| {
        if unit == 1 && nth == 7 {
            act
        } else {
            Act::Good
        }
    });
    let (target, _keep) = serve(scripted, framing).await;
    let points = || registers([10, 11, 30, 31]);
    let devices = (1..=3)
        .map(|unit| device(&unit.to_string(), unit, EVERY, points()))
        .collect();
    let mut bus = Running::start(target, TIMEOUT, devices);
    let mut last = [None::<Instant>; 4];
    let mut gaps = [Duration::ZERO; 4];
    let mut polls = [0; 4];
    while polls[1] < 9 {
        let arrival = bus.next().await;
        let unit: u8 = arrival.subject.parse().unwrap();
        if act == Act::Dribble && figures(&arrival).is_empty() {
            continue; // it was reported as silent while it dribbled
        }
        let expected: Vec<_> = [10, 11, 30, 31]
            .map(|a| (f64::from(content(unit, a)), Quality::Good))
            .to_vec();
        let got = figures(&arrival);
        // An exception loses the block that it was about, for that poll.
        let lost_a_block = matches!(act, Act::Exception(_)) && unit == 1 && got.len() == 2;
        assert!(
            got == expected || (lost_a_block && got.iter().all(|g| expected.contains(g))),
            "{act:?} on {framing:?}: {got:?}"
        );
        let now = Instant::now();
        let i = usize::from(unit);
        // The first cycle starts up.
        if let Some(before) = last[i].replace(now)
            && polls[i] > 1
        {
            gaps[i] = gaps[i].max(now - before);
        }
        polls[i] += 1;
    }
    // Two cycles after the fault is over; a unit dribbles its 9 or 13 bytes to the end.
    let lasts = match act {
        Act::Dribble => Duration::from_millis(200) * 13,
        _ => Duration::ZERO,
    };
    assert!(
        gaps[1] < lasts + EVERY * 7 / 2,
        "{act:?} on {framing:?}: back after {:?}",
        gaps[1]
    );
    for gap in &gaps[2..] {
        assert!(
            *gap < EVERY * 5 / 2,
            "{act:?} on {framing:?} kept others waiting for {gap:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_costs_little_and_no_value_is_ever_anothers() {
    let mut all = tokio::task::JoinSet::new();
    for framing in [Framing::Tcp, Framing::Rtu] {
        for (act, _) in table(framing) {
            all.spawn(costs_little(act, framing));
        }
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

/// The control: without the guards, the same slave does get a wrong value believed, so the
/// tests above would notice.
#[tokio::test(flavor = "multi_thread")]
async fn the_bare_library_believes_a_late_answer() {
    use tokio_modbus::prelude::*;
    let scripted = Scripted::new(|_, nth| {
        if nth == 0 {
            Act::Late(TIMEOUT * 2)
        } else {
            Act::Good
        }
    });
    let (ours, path, theirs) = pty();
    tokio::spawn(scripted.serve(ours, Framing::Rtu));
    drop(path);
    let mut context = rtu::attach_slave(theirs, Slave(1));
    let late = tokio::time::timeout(TIMEOUT, context.read_holding_registers(10, 2)).await;
    assert!(late.is_err());
    let words = context
        .read_holding_registers(30, 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(words, [content(1, 10), content(1, 11)]);
}

/// A slave that always answers after the time-out is silent, never wrong.
async fn is_silent_when_always_late(framing: Framing) {
    let scripted = Scripted::new(|unit, _| {
        if unit == 1 {
            Act::Late(TIMEOUT * 3 / 2)
        } else {
            Act::Good
        }
    });
    let (target, _keep) = serve(scripted, framing).await;
    let devices = vec![
        device("1", 1, EVERY, registers([10, 11, 30, 31])),
        device("2", 2, EVERY, registers([10, 11, 30, 31])),
    ];
    let mut bus = Running::start(target, TIMEOUT, devices);
    let (mut good, mut silent) = (0, 0);
    while good < 8 || silent < 1 {
        let arrival = bus.next().await;
        if *arrival.subject == *"1" {
            assert!(figures(&arrival).is_empty(), "{arrival:?}");
            silent += 1;
        } else {
            good += 1;
            let got = figures(&arrival);
            assert_eq!(got[0], (f64::from(content(2, 10)), Quality::Good));
            assert_eq!(got.len(), 4);
        }
    }
    assert_eq!(silent, 1, "said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_always_late_unit_never_gets_a_value_through() {
    tokio::join!(
        is_silent_when_always_late(Framing::Tcp),
        is_silent_when_always_late(Framing::Rtu)
    );
}

#[tokio::test]
async fn a_port_that_is_not_there_is_named() {
    let mut link = Link::new(rtu(PathBuf::from("/dev/wangge-no-such-port")), TIMEOUT);
    let error = link.connect().await.unwrap_err().to_string();
    assert!(error.contains("/dev/wangge-no-such-port"), "{error}");
    let port = wangge_tests::place::free_port().unwrap();
    let mut link = Link::new(tcp(port), TIMEOUT);
    let error = link.connect().await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
}
