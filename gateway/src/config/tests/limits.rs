//! Every limit: at it, one beyond, ten times beyond.

use super::{BIN, METER, STATION, Site};
use crate::config::limits;

/// `text` for `n` must be good, and have one error for `more` and for ten times `n`.
fn limit(name: &str, n: usize, text: impl Fn(usize) -> String) {
    let site = Site::new();
    site.vision();
    let good = site.inspect(&text(n));
    assert!(good.config.is_some(), "{name} at {n}: {}", good.faults);
    for beyond in [n + 1, n * 10] {
        let faults = site.faults(&text(beyond));
        assert!(
            faults.errors().count() > 0,
            "{name} at {beyond} was accepted"
        );
        assert!(faults.errors().count() <= 2, "{name} at {beyond}: {faults}");
    }
}

fn repeat(n: usize, table: impl Fn(usize) -> String) -> String {
    (0..n).map(table).collect()
}

#[test]
fn counts_of_tables() {
    limit("brokers", limits::MAX_BROKERS, |n| {
        let brokers = repeat(n, |i| {
            format!("[[broker]]\nname = \"b{i}\"\nurl = \"mqtt://h\"\n")
        });
        format!("{STATION}{BIN}via = \"listen\"\n{brokers}")
    });
    limit("buses", limits::MAX_BUSES, |n| {
        format!(
            "{STATION}{BIN}{}",
            repeat(n, |i| format!("[[bus]]\nname = \"b{i}\"\ntcp = \"h\"\n"))
        )
    });
    limit("cameras", limits::MAX_CAMERAS, |n| {
        let cameras = repeat(n, |i| {
            format!("[[camera]]\nid = \"c{i}\"\nurl = \"rtsp://h/\"\n")
        });
        format!(
            "{STATION}{BIN}[vision]\nmodel = \"model.toml\"\nonnxruntime = \"libonnxruntime.so\"\n{cameras}"
        )
    });
    limit("streams", limits::MAX_STREAMS, |n| {
        format!(
            "{STATION}{BIN}{}",
            repeat(n, |i| format!("[[stream]]\nname = \"s{i}\"\n"))
        )
    });
    // The station has one already.
    limit("uplinks", limits::MAX_UPLINKS, |n| {
        format!(
            "{STATION}{BIN}{}",
            repeat(n - 1, |i| format!(
                "[[uplink]]\nname = \"u{i}\"\nurl = \"https://h\"\n"
            ))
        )
    });
    limit("profiles", limits::MAX_PROFILES, |n| {
        format!(
            "{STATION}{BIN}{}",
            repeat(n, |i| format!("[profile.p{i}]\npayload = \"wangge\"\n"))
        )
    });
}

#[test]
fn devices_written_and_made() {
    limit("devices in a row", limits::MAX_DEVICES, |n| {
        let row = format!(
            "[[device]]\nids = \"d-{{1..{n}}}\"\nprofile = \"wangge-bin\"\nheight = \"1m\"\n"
        );
        format!("{STATION}{row}")
    });
    limit("devices in two rows", limits::MAX_DEVICES, |n| {
        let row = |name: &str, n: usize| {
            format!(
                "[[device]]\nids = \"{name}-{{1..{n}}}\"\nprofile = \"wangge-bin\"\nheight = \"1m\"\n"
            )
        };
        format!("{STATION}{}{}", row("a", 9_000), row("b", n - 9_000))
    });
}

#[test]
fn counts_within_tables() {
    let rule = |i: usize| {
        format!(
            "[[device.rule]]\nid = \"r{i}\"\nkind = \"device_silent\"\ntype = \"absence\"\nafter = \"1h\"\n"
        )
    };
    // Those of the profile count too.
    let site = Site::new();
    let own = site.good(&format!("{STATION}{BIN}")).devices[0].rules.len();
    limit("rules", limits::MAX_RULES - own, |n| {
        format!("{STATION}{BIN}{}", repeat(n, rule))
    });
    let zones = |n: usize, points: usize, labels: usize| {
        let corners: Vec<String> = (0..points)
            .map(|i| {
                let angle = i as f64 / points as f64 * std::f64::consts::TAU;
                format!("[{}, {}]", 0.5 + 0.4 * angle.cos(), 0.5 + 0.4 * angle.sin())
            })
            .collect();
        let all = wangge_models::Manifest::parse(super::MANIFEST)
            .expect("a manifest")
            .labels;
        let labels: Vec<String> = all
            .iter()
            .cycle()
            .take(labels)
            .map(|l| format!("{l:?}"))
            .collect();
        let zone = repeat(n, |i| {
            format!(
                "[[camera.zone]]\nid = \"z{i}\"\nkind = \"garbage_exposed\"\npolygon = [{}]\nlabels = [{}]\n",
                corners.join(","),
                labels.join(",")
            )
        });
        format!(
            "{STATION}{BIN}[vision]\nmodel = \"model.toml\"\nonnxruntime = \"libonnxruntime.so\"\n[[camera]]\nid = \"c\"\nurl = \"rtsp://h/\"\n{zone}"
        )
    };
    limit("zones", limits::MAX_ZONES, |n| zones(n, 3, 1));
    limit("corners", *limits::CORNERS.end(), |n| zones(1, n, 1));
    let labels = |n: usize| zones(1, 3, n);
    let site = Site::new();
    site.vision();
    site.good(&labels(limits::MAX_LABELS));
    for n in [limits::MAX_LABELS + 1, limits::MAX_LABELS * 10] {
        assert!(
            site.faults(&labels(n)).to_string().contains("at most 32"),
            "{n}"
        );
    }
    limit("masks", limits::MAX_MASKS, |n| {
        let masks = repeat(n, |_| "[[0, 0], [1, 0], [1, 1]],".to_owned());
        zones(1, 3, 1).replace(
            "[[camera.zone]]",
            &format!("masks = [{masks}]\n[[camera.zone]]"),
        )
    });
    limit("fields", limits::MAX_FIELDS, |n| {
        let fields = repeat(n, |i| format!("\"/f{i}\","));
        format!("{STATION}{BIN}[[stream]]\nname = \"s\"\nfields = [{fields}]\n")
    });
    limit("points", limits::MAX_POINTS, |n| {
        let points = repeat(n, |i| {
            format!(
                "[[profile.p.point]]\nname = \"p{i}\"\nquantity = \"level\"\nparts = [{{ address = {i}, format = \"u16\" }}]\n"
            )
        });
        format!("{STATION}{BIN}[profile.p]\n{points}")
    });
    limit("parts", limits::MAX_PARTS, |n| {
        let parts = repeat(n, |i| format!("{{ address = {i}, format = \"u16\" }},"));
        format!(
            "{STATION}{BIN}[profile.p]\n[[profile.p.point]]\nquantity = \"level\"\nparts = [{parts}]\n"
        )
    });
}

#[test]
fn values_in_one_payload() {
    // There are fewer quantities than the limit, and each may stand there once.
    let quantities = crate::observation::Quantity::ALL;
    assert!(quantities.len() <= limits::MAX_VALUES);
    let site = Site::new();
    let values = |n: usize| {
        let values = repeat(n, |i| {
            let quantity = quantities[i % quantities.len()].slug();
            format!("{{ quantity = \"{quantity}\", pointer = \"/v{i}\" }},")
        });
        format!(
            "{STATION}{BIN}[profile.p]\npayload = {{ json_pointer = {{ values = [{values}] }} }}\n"
        )
    };
    site.good(&values(quantities.len()));
    assert!(
        site.faults(&values(limits::MAX_VALUES + 1))
            .to_string()
            .contains("at most 32")
    );
}

#[test]
fn lengths_of_text() {
    limit("id", *limits::ID_CHARS.end(), |n| {
        format!("{STATION}{BIN}").replace("bin-1", &"x".repeat(n))
    });
    limit("name", *limits::NAME_CHARS.end(), |n| {
        format!("{STATION}{BIN}name = \"{}\"\n", "桶".repeat(n))
    });
    limit("address", *limits::ADDRESS_CHARS.end(), |n| {
        format!("{STATION}{BIN}address = \"{}\"\n", "路".repeat(n))
    });
    limit("topic", *limits::TOPIC_BYTES.end(), |n| {
        format!("{STATION}{BIN}topic = \"{}\"\n", "t".repeat(n))
    });
    limit("client id", 128, |n| {
        format!(
            "{STATION}{BIN}[[uplink]]\nname = \"u\"\nurl = \"mqtts://h\"\nclient_id = \"{}\"\n",
            "c".repeat(n)
        )
    });
}

/// For each figure: text with it in place, smallest, just below, largest, just above, ten times.
#[test]
fn figures() {
    let storage = |key: &str, v: &str| {
        format!("{STATION}{BIN}").replace("[storage]", &format!("[storage]\n{key} = {v}"))
    };
    let bin = |key: &str, v: &str| {
        format!("{STATION}{BIN}").replace("height = \"1.2m\"", &format!("{key} = {v}"))
    };
    let bin_with = |key: &str, v: &str| format!("{STATION}{BIN}{key} = {v}\n");
    let listen = |key: &str, v: &str| format!("{STATION}{key} = {v}\n{BIN}");
    let bus = |key: &str, v: &str| {
        format!("{STATION}{BIN}{METER}").replace("[[bus]]", &format!("[[bus]]\n{key} = {v}"))
    };
    let meter = |key: &str, v: &str| format!("{STATION}{BIN}{METER}{key} = {v}\n");
    let stream =
        |key: &str, v: &str| format!("{STATION}{BIN}[[stream]]\nname = \"s\"\n{key} = {v}\n");
    let stop = |key: &str, v: &str| format!("{STATION}{BIN}[stop]\n{key} = {v}\n");
    let rule = |key: &str, v: &str| {
        format!("{STATION}{BIN}[[device.rule]]\nid = \"overflow\"\n{key} = {v}\n")
    };
    let silent = |key: &str, v: &str| {
        format!("{STATION}{BIN}[[device.rule]]\nid = \"silent\"\n{key} = {v}\n")
    };
    let rate = |key: &str, v: &str| {
        format!(
            "{STATION}{BIN}[[device.rule]]\nid = \"r\"\nkind = \"bin_fire\"\ntype = \"rate\"\nquantity = \"temperature\"\nper_minute = 5\n{key} = {v}\n"
        )
    };
    let vision = |key: &str, v: &str| {
        format!(
            "{STATION}{BIN}[[camera]]\nid = \"c\"\nurl = \"rtsp://h/\"\n[vision]\nmodel = \"model.toml\"\nonnxruntime = \"libonnxruntime.so\"\n{key} = {v}\n"
        )
    };
    let camera = |key: &str, v: &str| {
        vision("threads", "1").replace("id = \"c\"", &format!("id = \"c\"\n{key} = {v}"))
    };
    let still = |key: &str, v: &str| camera(key, v).replace("rtsp://h/", "http://h/");
    let zone = |key: &str, v: &str| {
        format!(
            "{}[[camera.zone]]\nid = \"z\"\nkind = \"garbage_exposed\"\npolygon = [[0, 0], [1, 0], [1, 1]]\nlabels = [\"person\"]\n{key} = {v}\n",
            camera("fps", "5")
        )
    };
    let retention = |key: &str, v: &str| format!("{STATION}{BIN}[retention]\n{key} = {v}\n");
    let public = crate::seal::SecretKey::generate().recipient();
    let sealed = |key: &str, v: &str| {
        format!(
            "{}[privacy]\nsealed_original = {{ recipient = \"{public}\", {key} = {v} }}\n",
            camera("fps", "5")
        )
    };
    type Text<'t> = &'t dyn Fn(&str, &str) -> String;
    let cases: &[(Text<'_>, &str, &[&str], &[&str])] = &[
        (
            &storage,
            "quota",
            &["\"64MB\"", "\"4TB\""],
            &["\"63MB\"", "\"4.1TB\"", "\"40TB\"", "\"0B\""],
        ),
        // Of the usual 2 GB.
        (
            &storage,
            "telemetry_quota",
            &["\"16MB\"", "\"1.7GB\""],
            &["\"15MB\"", "\"1.8GB\"", "\"17GB\"", "\"0B\""],
        ),
        (
            &storage,
            "picture_quota",
            &["\"16MB\"", "\"1.7GB\""],
            &["\"15MB\"", "\"1.8GB\"", "\"17GB\"", "\"0B\""],
        ),
        (
            &retention,
            "default",
            &["\"1h\"", "\"365d\""],
            &["\"59m\"", "\"366d\"", "\"3650d\""],
        ),
        (
            &retention,
            "unconfirmed",
            &["\"1h\"", "\"365d\""],
            &["\"59m\"", "\"366d\"", "\"3650d\""],
        ),
        (
            &retention,
            "kinds.illegal_dumping",
            &["\"1h\"", "\"365d\""],
            &["\"59m\"", "\"366d\"", "\"3650d\""],
        ),
        (
            &sealed,
            "keep",
            &["\"1h\"", "\"30d\""],
            &["\"59m\"", "\"31d\"", "\"300d\""],
        ),
        (
            &storage,
            "commit_interval",
            &["\"0s\"", "\"1s\""],
            &["\"1001ms\"", "\"10s\""],
        ),
        (
            &listen,
            "max_payload",
            &["\"64B\"", "\"1MB\""],
            &["\"63B\"", "\"1001KB\"", "\"10MB\""],
        ),
        (
            &listen,
            "max_connections",
            &["1", "10000"],
            &["0", "10001", "100000"],
        ),
        (
            &bin,
            "height",
            &["\"151mm\"", "\"10m\""],
            &["\"99mm\"", "\"10.001m\"", "\"100m\""],
        ),
        (
            &bin_with,
            "max_rate",
            &["0.001", "1000"],
            &["0", "1000.1", "10000"],
        ),
        (
            &bus,
            "timeout",
            &["\"20ms\"", "\"60s\""],
            &["\"19ms\"", "\"61s\"", "\"10m\""],
        ),
        (
            &meter,
            "every",
            &["\"100ms\"", "\"24h\""],
            &["\"99ms\"", "\"25h\"", "\"240h\""],
        ),
        (
            &stream,
            "thin",
            &["\"0s\"", "\"24h\""],
            &["\"25h\"", "\"240h\""],
        ),
        (
            &stop,
            "deadline",
            &["\"1s\"", "\"300s\""],
            &["\"999ms\"", "\"301s\"", "\"3000s\""],
        ),
        (&rule, "hold", &["\"0s\"", "\"7d\""], &["\"8d\"", "\"70d\""]),
        (
            &rule,
            "update_every",
            &["\"1s\"", "\"7d\""],
            &["\"0s\"", "\"8d\"", "\"70d\""],
        ),
        (
            &silent,
            "after",
            &["\"1s\"", "\"30d\""],
            &["\"999ms\"", "\"31d\"", "\"300d\""],
        ),
        (
            &rate,
            "window",
            &["\"1s\"", "\"24h\""],
            &["\"999ms\"", "\"25h\"", "\"240h\""],
        ),
        (&vision, "threads", &["1", "16"], &["0", "17", "160"]),
        (
            &vision,
            "memory_limit",
            &["\"128MB\"", "\"64GB\""],
            &["\"127MB\"", "\"65GB\"", "\"640GB\""],
        ),
        (&camera, "fps", &["0.1", "30"], &["0", "31", "300"]),
        (
            &still,
            "every",
            &["\"100ms\"", "\"60s\""],
            &["\"99ms\"", "\"61s\"", "\"10m\""],
        ),
        (
            &zone,
            "dwell",
            &["\"100ms\"", "\"24h\""],
            &["\"99ms\"", "\"25h\"", "\"240h\""],
        ),
        (
            &zone,
            "grace",
            &["\"100ms\"", "\"24h\""],
            &["\"99ms\"", "\"25h\"", "\"240h\""],
        ),
    ];
    let site = Site::new();
    site.vision();
    for (text, key, good, bad) in cases {
        for value in *good {
            let found = site.inspect(&text(key, value));
            assert!(found.config.is_some(), "{key} = {value}: {}", found.faults);
        }
        for value in *bad {
            let faults = site.faults(&text(key, value));
            let errors: Vec<_> = faults.errors().collect();
            assert_eq!(errors.len(), 1, "{key} = {value}: {faults}");
            assert!(errors[0].key.ends_with(key), "{faults}");
            assert!(errors[0].message.contains("must be from"), "{faults}");
        }
    }
}
