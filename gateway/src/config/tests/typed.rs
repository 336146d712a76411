//! What a good file becomes.

use std::time::Duration;

use wangge_protocol::{EventKind, Severity};

use super::{BIN, METER, STATION, Site};
use crate::{
    config::{
        Among, Border, BusLink, CameraInput, Condition, DeviceLink, FolderPlay, Parity, Payload,
        RegisterFormat, RtspTransport, Side, Trust, UplinkLink,
    },
    observation::Quantity,
};

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = Site::new().good(&format!("{STATION}{BIN}{METER}"));
    assert_eq!(config.station.name, "s1");
    assert_eq!(config.storage.quota.all, 2_000_000_000);
    assert_eq!(config.storage.commit_interval, Duration::from_millis(4));
    assert_eq!(
        config.storage.retention.default,
        Duration::from_secs(30 * 86_400)
    );
    assert_eq!(config.stop_deadline, Duration::from_secs(10));
    assert_eq!(
        config.console,
        Some("127.0.0.1:9464".parse().expect("an address"))
    );
    let listener = config.listener.expect("a listener");
    assert_eq!(&*listener.name, "listen");
    assert_eq!(listener.max_payload, 64_000);
    assert_eq!(listener.max_connections, 1_000);
    let bin = &config.devices[0];
    let DeviceLink::Mqtt { via, topic } = &bin.link else {
        panic!("{:?}", bin.link);
    };
    assert_eq!((&**via, topic.as_str()), ("listen", "bins/bin-1/up"));
    assert_eq!(bin.height_mm, Some(1_200.0));
    assert_eq!(bin.max_rate, 2.0);
    assert_eq!(bin.unit_grid, "530102001001001");
    let meter = &config.devices[1];
    let DeviceLink::Modbus {
        bus,
        unit_id,
        every,
    } = &meter.link
    else {
        panic!("{:?}", meter.link);
    };
    assert_eq!(
        (&**bus, *unit_id, *every),
        ("meters", 1, Duration::from_secs(10))
    );
    assert!(
        matches!(&config.buses[0].link, BusLink::Tcp { host, port: 502 } if host == "192.168.1.5")
    );
    let uplink = &config.uplinks[0];
    assert_eq!((uplink.border, uplink.alerts), (Border::Receipt, true));
    assert_eq!(config.profile.id, "default");
}

#[test]
fn every_device_can_be_quarantined() {
    let config = Site::new().good(&format!("{STATION}{BIN}{METER}"));
    for device in &config.devices {
        let health: Vec<_> = device
            .rules
            .iter()
            .filter(|r| r.when == Condition::Health)
            .collect();
        assert_eq!(health.len(), 1, "{}", device.id);
        assert_eq!(health[0].kind, EventKind::DeviceQuarantined);
    }
}

#[test]
fn rows_of_devices_and_units() {
    let text = format!(
        "{STATION}\n[[device]]\nids = \"bin-{{001..200}}\"\nprofile = \"wangge-bin\"\nheight = \"1m\"\n\
         name = \"桶 {{id}}\"\ntopic = \"north/{{id}}/up\"\n\
         [[bus]]\nname = \"m\"\nserial = \"/dev/ttyUSB0\"\nparity = \"even\"\n\
         [[device]]\nids = \"meter-{{48..50}}\"\nprofile = \"tuf-2000m\"\nunit_id = \"11..13\"\n"
    );
    let config = Site::new().good(&text);
    assert_eq!(config.devices.len(), 203);
    let last = &config.devices[199];
    assert_eq!(&*last.id, "bin-200");
    assert_eq!(last.name.as_deref(), Some("桶 bin-200"));
    assert!(matches!(&last.link, DeviceLink::Mqtt { topic, .. } if topic == "north/bin-200/up"));
    let meter = &config.devices[202];
    assert_eq!(&*meter.id, "meter-50");
    assert!(matches!(meter.link, DeviceLink::Modbus { unit_id: 13, .. }));
    let BusLink::Rtu {
        baud,
        parity,
        stop_bits,
        ..
    } = &config.buses[0].link
    else {
        panic!("{:?}", config.buses[0]);
    };
    assert_eq!((*baud, *parity, *stop_bits), (9_600, Parity::Even, 1));
}

#[test]
fn device_rules_change_those_of_the_profile() {
    let text = format!(
        "{STATION}{BIN}\n\
         [[device.rule]]\nid = \"overflow\"\nraise = 75\nclear = 65\nseverity = \"major\"\n\
         [[device.rule]]\nid = \"silent\"\nenabled = false\n\
         [[device.rule]]\nid = \"heat\"\nkind = \"bin_fire\"\ntype = \"rate\"\nquantity = \"temperature\"\nper_minute = 10\nwindow = \"2m\"\n"
    );
    let config = Site::new().good(&text);
    let rules = &config.devices[0].rules;
    let rule = |id: &str| rules.iter().find(|r| r.id == id);
    let overflow = rule("overflow").expect("the profile's rule");
    assert_eq!(overflow.severity, Severity::Major);
    let Condition::Threshold {
        quantity,
        side,
        raise,
        clear,
        ..
    } = overflow.when
    else {
        panic!("{overflow:?}");
    };
    assert_eq!(
        (quantity, side, raise, clear),
        (Quantity::Fill, Side::Above, 75.0, 65.0)
    );
    assert!(rule("silent").is_none());
    let heat = rule("heat").expect("a rule of its own");
    assert_eq!(heat.severity, Severity::Critical);
    assert!(rule("health").is_some());
}

#[test]
fn each_camera_has_its_way_in() {
    let site = Site::new();
    std::fs::create_dir(site.path().join("in")).unwrap();
    let input = |lines: &str| {
        let text = format!(
            "{STATION}{}\n[[camera]]\nid = \"gate\"\n{lines}\n",
            site.vision()
        );
        site.good(&text).cameras[0].input.clone()
    };
    let colons = ["AB"; 32].join(":");
    let CameraInput::Rtsp { transport, .. } = input(&format!(
        "url = \"rtsps://c/s\"\ncertificate_sha256 = \"{colons}\""
    )) else {
        panic!("not RTSP");
    };
    let pin = Some([0xab; 32]);
    assert_eq!(transport, RtspTransport::Tls(Trust { ca_file: None, pin }));
    let CameraInput::Snapshot {
        url, every, trust, ..
    } = input("url = \"https://c/cgi-bin/snapshot.cgi?channel=1\"")
    else {
        panic!("no snapshots");
    };
    assert_eq!(url.query(), Some("channel=1"));
    assert_eq!((every, trust), (Duration::from_secs(2), Trust::default()));
    let CameraInput::Mqtt { via, topic, every } =
        input("mqtt = { topic = \"cams/gate\" }\nevery = \"5s\"")
    else {
        panic!("not MQTT");
    };
    assert_eq!(
        (&*via, &*topic, every.as_secs()),
        ("listen", "cams/gate", 5)
    );
    for (lines, wanted) in [
        ("", FolderPlay::Once),
        ("repeat = true", FolderPlay::Repeat),
        ("watch = true", FolderPlay::Watch),
    ] {
        let CameraInput::Folder { play, path, .. } = input(&format!("folder = \"in\"\n{lines}"))
        else {
            panic!("no folder");
        };
        assert_eq!((play, path), (wanted, site.path().join("in")));
    }
}

#[test]
fn cameras_get_a_rule_a_zone_and_one_for_their_health() {
    let site = Site::new();
    site.file("cam", "secret\n");
    let text = format!(
        "{STATION}{}\n[[camera]]\nid = \"gate\"\nurl = \"rtsp://10.0.0.9:554/s\"\nusername = \"u\"\npassword_file = \"cam\"\ntransport = \"udp\"\nlon = 102.71\nlat = 25.06\n\
         masks = [[[0, 0], [0.2, 0], [0.2, 0.2]]]\n\
         [[camera.zone]]\nid = \"corner\"\nkind = \"garbage_exposed\"\npolygon = [[0.1, 0.2], [0.9, 0.2], [0.5, 0.9]]\nlabels = [\"person\", \"car\"]\ndwell = \"30s\"\n",
        site.vision()
    );
    let config = site.good(&text);
    let camera = &config.cameras[0];
    let CameraInput::Rtsp {
        url,
        credentials,
        transport,
    } = &camera.input
    else {
        panic!("{:?}", camera.input);
    };
    assert_eq!(url.as_str(), "rtsp://10.0.0.9:554/s");
    assert_eq!(*transport, RtspTransport::Udp);
    let credentials = credentials.as_ref().expect("credentials");
    assert_eq!(
        (credentials.username.as_str(), credentials.password.as_str()),
        ("u", "secret")
    );
    assert_eq!((camera.lon, camera.lat, camera.fps), (102.71, 25.06, 5.0));
    assert_eq!(camera.masks.len(), 1);
    let [presence, health] = camera.rules.as_slice() else {
        panic!("{:?}", camera.rules);
    };
    assert_eq!(
        (presence.id.as_str(), presence.kind),
        ("zone:corner", EventKind::GarbageExposed)
    );
    let Condition::Presence {
        zone,
        labels,
        dwell,
        grace,
        bins,
        among,
        calendar,
    } = &presence.when
    else {
        panic!("{presence:?}");
    };
    assert_eq!((&**zone, labels.len(), bins.len()), ("corner", 2, 0));
    assert_eq!(*among, Among::All);
    assert!(calendar.is_plain() && &*calendar.place == "gate/corner");
    assert_eq!(
        (*dwell, *grace),
        (Duration::from_secs(30), Duration::from_secs(10))
    );
    assert_eq!(
        (health.kind, &health.when),
        (EventKind::CameraFault, &Condition::Health)
    );
    let vision = config.vision.expect("vision");
    assert_eq!((vision.threads, vision.memory_limit), (1, 512_000_000));
    assert_eq!(vision.shadow, None);
    assert_eq!(camera.zones[0].shadow, None);
}

#[test]
fn a_shadow_zone_has_its_rule_to_itself() {
    let site = Site::new();
    let text = format!(
        "{STATION}{}[vision.shadow]\nmodel = \"model.toml\"\n[[camera]]\nid = \"gate\"\nurl = \"rtsp://10.0.0.9:554/s\"\n\
         [[camera.zone]]\nid = \"tried\"\nshadow = true\nkind = \"garbage_exposed\"\npolygon = [[0.1, 0.2], [0.9, 0.2], [0.5, 0.9]]\nlabels = [\"person\"]\ndwell = \"7s\"\n",
        site.vision()
    );
    let config = site.good(&text);
    let camera = &config.cameras[0];
    assert!(camera.rules.iter().all(|rule| rule.id == "health"));
    let rule = camera.zones[0].shadow.as_ref().expect("a rule");
    assert!(matches!(rule.when, Condition::Presence { dwell, .. } if dwell.as_secs() == 7));
    let shadow = config.vision.and_then(|v| v.shadow).expect("a model");
    assert!(shadow.ends_with("model.toml"));
}

#[test]
fn profiles_of_the_file_itself() {
    let text = format!(
        "{STATION}\n[[device]]\nid = \"b\"\nprofile = \"lora\"\nheight = \"1m\"\n\
         [profile.lora]\ntitle = \"LoRaWAN bin\"\nneeds_height = true\nfull_at_mm = 250\n\
         payload = {{ json_pointer = {{ id = \"/dev\", values = [{{ quantity = \"distance\", pointer = \"/object/d\", scale = 10 }}] }} }}\n\
         [[profile.lora.rule]]\nid = \"full\"\nkind = \"bin_overflow\"\ntype = \"threshold\"\nquantity = \"fill\"\nraise = 90\nclear = 80\n"
    );
    let config = Site::new().good(&text);
    let profile = &config.devices[0].profile;
    let Some(Payload::JsonPointer(mapping)) = &profile.payload else {
        panic!("{profile:?}");
    };
    assert_eq!(mapping.id.as_deref(), Some("/dev"));
    assert_eq!(
        (mapping.values[0].scale, mapping.values[0].offset),
        (10.0, 0.0)
    );
    assert_eq!(
        (profile.title.as_str(), profile.full_at_mm),
        ("LoRaWAN bin", 250.0)
    );
}

#[test]
fn register_addresses_are_wire_addresses() {
    let text = format!(
        "{STATION}{METER}\n[profile.m]\n[[profile.m.point]]\nquantity = \"volume\"\nname = \"total\"\nparts = [\n\
         {{ address = 1, base = 1, format = \"bcd2\", order = \"badc\" }},\n\
         {{ address = 0x1010, table = \"input\", format = \"bit15\", scale = 0.001 }},\n]\n\
         totaliser = {{ rollover = 1e8, max_per_hour = 50 }}\n\
         [[device]]\nid = \"m2\"\nprofile = \"m\"\nunit_id = 2\n"
    );
    let config = Site::new().good(&text);
    let point = &config.devices[1].profile.points[0];
    assert_eq!(point.name, "total");
    assert_eq!(
        (point.parts[0].address, point.parts[0].format),
        (0, RegisterFormat::Bcd(2))
    );
    assert_eq!(
        (point.parts[1].address, point.parts[1].format),
        (0x1010, RegisterFormat::Bit(15))
    );
    let totaliser = point.totaliser.expect("a totaliser");
    assert_eq!(
        (totaliser.rollover, totaliser.max_per_hour),
        (Some(1e8), 50.0)
    );
}

#[test]
fn uplinks_and_streams() {
    let site = Site::new();
    site.file("token", "abc\n");
    let text = format!(
        "{STATION}{BIN}\n[[stream]]\nname = \"bins\"\ndevices = [\"bin-*\"]\nthin = \"1m\"\nbatch = false\nfields = [\"/fill\"]\n\
         [[uplink]]\nname = \"p\"\nurl = \"https://platform.example/w\"\ntoken_file = \"token\"\nalerts = false\nstreams = [\"bins\"]\n\
         [[uplink]]\nname = \"q\"\nurl = \"mqtts://[::1]\"\nborder = \"broker\"\n"
    );
    let config = site.good(&text);
    let stream = &config.streams[0];
    assert_eq!(
        (stream.devices.len(), stream.batch, stream.thin),
        (1, false, Duration::from_secs(60))
    );
    let UplinkLink::Https { token, .. } = &config.uplinks[1].link else {
        panic!("{:?}", config.uplinks[1]);
    };
    assert_eq!(token.as_deref(), Some("abc"));
    assert_eq!(&*config.uplinks[1].streams[0], "bins");
    let UplinkLink::Mqtt { addr, prefix } = &config.uplinks[2].link else {
        panic!("{:?}", config.uplinks[2]);
    };
    assert_eq!(
        (addr.host.as_str(), addr.port, addr.tls.is_some()),
        ("::1", 8883, true)
    );
    assert_eq!(
        (addr.client_id.as_str(), prefix.as_str()),
        ("wangge-s1-q", "wangge/v1/s1")
    );
    assert_eq!(config.uplinks[2].border, Border::Broker);
}

#[test]
fn passwords_are_never_printed() {
    let site = Site::new();
    site.file("pw", "canary-7f3a\n");
    site.file("devices", "bin-1:canary-7f3a\n");
    let text = format!(
        "{STATION}password_file = \"devices\"\n{BIN}via = \"listen\"\n[[broker]]\nname = \"b\"\nurl = \"mqtt://127.0.0.1\"\nusername = \"u\"\npassword_file = \"pw\"\n"
    );
    let config = site.good(&text);
    let passwords = &config.listener.as_ref().expect("a listener").passwords;
    assert_eq!(
        passwords.get("bin-1").map(String::as_str),
        Some("canary-7f3a")
    );
    assert!(!format!("{:?}", config.brokers).contains("canary"));
}
