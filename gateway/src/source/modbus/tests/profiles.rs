//! The meter profiles that ship, from their files to figures.

use std::{path::Path, sync::Arc};

use crate::{
    config::{self, Condition, Device},
    observation::Quantity,
    source::modbus::{
        decode,
        plan::{Plan, Span},
    },
};

fn meter(profile: &str) -> Arc<Device> {
    let text = format!(
        r#"
        [station]
        id = "s"
        name = "s"
        unit_grid = "530102001001001"
        lon = 102.7
        lat = 25.05
        [storage]
        path = "spool"
        [[bus]]
        name = "bus"
        tcp = "127.0.0.1:502"
        [[device]]
        id = "meter"
        profile = "{profile}"
        bus = "bus"
        unit_id = 1
        [[uplink]]
        name = "city"
        url = "mqtt://127.0.0.1:1884"
        "#
    );
    let config = config::parse(&text, "test", Path::new("/")).unwrap_or_else(|f| panic!("{f}"));
    config.devices[0].clone()
}

/// Flow and total of a meter whose registers hold `image` from its first request on.
fn read(device: &Device, asked: (u16, u16), image: &[u16]) -> Vec<(Quantity, f64)> {
    let points = &device.profile.points;
    let plan = Plan::new(points.iter().flat_map(|p| &p.parts));
    let [request] = plan.requests() else {
        panic!("one request is enough: {:?}", plan.requests());
    };
    assert_eq!(request.table, points[0].parts[0].table);
    assert_eq!((request.address, request.count), asked);
    points
        .iter()
        .map(|p| {
            let figure = decode::point(p, |part| {
                let span = Span::of(part);
                let start = usize::from(span.address - request.address);
                image.get(start..start + usize::from(span.count))
            });
            (p.quantity, figure.unwrap())
        })
        .collect()
}

#[test]
fn the_electromagnetic_meter() {
    let device = meter("electromagnetic-meter");
    let mut image = [0xEEEE; 12];
    image[..2].copy_from_slice(&[0x0000, 0xC148]); // -12.5 as its answer C4 0B has it
    image[8..10].copy_from_slice(&[0xE240, 0x0001]); // 123456
    image[10..].copy_from_slice(&[0x0000, 0x3F40]); // 0.75
    assert_eq!(
        read(&device, (0x1010, 12), &image),
        [(Quantity::Flow, -12.5), (Quantity::Volume, 123_456.75)]
    );
    has_the_default_rules(&device);
}

#[test]
fn the_tuf_2000m() {
    let device = meter("tuf-2000m");
    let mut image = [0xEEEE; 12];
    image[..2].copy_from_slice(&[0x0000, 0x3FC0]); // document registers 1 and 2: 1.5
    image[8..10].copy_from_slice(&[0xFFFF, 0x0000]); // 9 and 10: 65535
    image[10..].copy_from_slice(&[0x0000, 0x3E80]); // 11 and 12: 0.25
    assert_eq!(
        read(&device, (0, 12), &image),
        [(Quantity::Flow, 1.5), (Quantity::Volume, 65_535.25)]
    );
    has_the_default_rules(&device);
}

#[test]
fn our_own_meter_node() {
    let device = meter("wangge-meter-node");
    let mut image = [0xEEEE; 10];
    image[..4].copy_from_slice(&[0, 0, 0x0001, 0xE240]); // 123,456 litres
    image[8..].copy_from_slice(&[0xFFFF, 0xFC18]); // 1,000 litres an hour backwards
    assert_eq!(
        read(&device, (60, 10), &image),
        [(Quantity::Volume, 123.456), (Quantity::Flow, -1.0)]
    );
    has_the_default_rules(&device);
    image[..4].fill(0xFFFF);
    let lost = read(&device, (60, 10), &image)[0].1;
    let (_, most) = Quantity::Volume.plausible();
    assert!(lost > most, "a lost total is believed: {lost}");
}

fn has_the_default_rules(device: &Device) {
    for (what, is_it) in [
        (
            "leak",
            (|c| matches!(c, Condition::NightFlow { .. })) as fn(&Condition) -> bool,
        ),
        ("burst", |c| matches!(c, Condition::Burst { .. })),
        ("silent", |c| matches!(c, Condition::Absence { .. })),
        ("health", |c| matches!(c, Condition::Health)),
    ] {
        assert!(
            device.rules.iter().any(|r| r.id == what && is_it(&r.when)),
            "{what}"
        );
    }
    assert!(device.profile.points.iter().any(|p| p.totaliser.is_some()));
}
