//! Devices and their ids.

use super::{bin, meter, one};
use crate::config::tests::Site;

#[test]
fn devices() {
    one(
        &bin(
            "[[device]]\nid = \"bin-1\"\nprofile = \"wangge-bin\"\nheight = \"1m\"\ntopic = \"t\"",
        ),
        "device[2].id",
        "device \"bin-1\" is there twice",
        "the first is in line",
    );
    one(
        &bin(
            "[[device]]\nids = \"bin-{0..3}\"\nprofile = \"wangge-bin\"\nheight = \"1m\"\ntopic = \"x/{id}\"",
        ),
        "device[2].ids",
        "device \"bin-1\" is there twice",
        "",
    );
    one(
        &bin(
            "[[device]]\nid = \"b\"\nprofile = \"wangge-bin\"\nheight = \"1m\"\ntopic = \"bins/bin-1/up\"",
        ),
        "device[2].topic",
        "bins/bin-1/up\" is there twice",
        "",
    );
    one(
        &bin("").replace("wangge-bin", "wangge-bni"),
        "device[1].profile",
        "no profile \"wangge-bni\"",
        "did you mean \"wangge-bin\"?",
    );
    one(
        &bin("via = \"lisen\""),
        "device[1].via",
        "no broker \"lisen\"",
        "did you mean \"listen\"?",
    );
    one(
        &bin("ids = \"b-{1..2}\""),
        "device[1].ids",
        "both `id` and `ids`",
        "",
    );
    one(
        &bin("").replace("id = \"bin-1\"", "id = \"bin-{1..2}\""),
        "device[1].id",
        "a range belongs in `ids`",
        "ids = ",
    );
    one(
        &bin("").replace("id = \"bin-1\"", "ids = \"bin-{2..1}\""),
        "device[1].ids",
        "backwards",
        "",
    );
    one(
        &bin("topic = \"t\"").replace("id = \"bin-1\"", "ids = \"bin-{1..9}\""),
        "device[1].topic",
        "share one topic",
        "{id}",
    );
    for (topic, message) in [
        ("bins/+/up", "wildcard"),
        ("bins/#", "wildcard"),
        ("$SYS/x", "belong to the broker"),
        ("", "1 to 256"),
        ("a//b", "empty level"),
        ("/a", "empty level"),
    ] {
        one(
            &bin(&format!("topic = \"{topic}\"")),
            "device[1].topic",
            message,
            "bins/{id}/up",
        );
    }
    one(
        &bin("unit_id = 1"),
        "device[1].unit_id",
        "does nothing here",
        "remove",
    );
    one(
        &meter("topic = \"x\""),
        "device[1].topic",
        "speak Modbus",
        "",
    );
    one(
        &bin("").replace("[listen]\naddress = \"127.0.0.1:1883\"\n", ""),
        "device[1]",
        "no broker for this device",
        "[[broker]]",
    );
    one(
        &bin("[[broker]]\nname = \"b\"\nurl = \"mqtt://127.0.0.1\""),
        "device[1]",
        "there are several",
        "one of b, listen",
    );
    one(
        &bin("").replace("1.2m", "150mm"),
        "device[1].height",
        "always be full",
        "",
    );
    one(
        &bin("").replace("1.2m", "1.2"),
        "device[1].height",
        "has no unit",
        "100mm",
    );
    one(
        &bin("").replace("1.2m", "4ft"),
        "device[1].height",
        "unit is unknown",
        "",
    );
    one(
        &bin("lon = 102.7"),
        "device[1].lon",
        "`lon` without `lat`",
        "",
    );
    one(
        &bin("unit_grid = \"1\""),
        "device[1].unit_grid",
        "has 1 digits",
        "",
    );
}

#[test]
fn unit_ids() {
    for bad in ["0", "248", "-1", "300"] {
        let text = meter("").replace("unit_id = 1", &format!("unit_id = {bad}"));
        one(&text, "device[1].unit_id", "from 1 to 247", "");
    }
    let row = |unit: &str| {
        meter("")
            .replace("id = \"meter-1\"", "ids = \"m-{1..3}\"")
            .replace("unit_id = 1", &format!("unit_id = {unit}"))
    };
    Site::new().good(&row("\"245..247\""));
    one(
        &row("\"246..248\""),
        "device[1].unit_id",
        "no range from 1 to 247",
        "1..200",
    );
    one(
        &row("\"1..4\""),
        "device[1].unit_id",
        "4 unit ids for 3 devices",
        "",
    );
    one(&row("\"3\""), "device[1].unit_id", "no range", "");
    one(
        &row("7"),
        "device[1].unit_id",
        "cannot share one unit id",
        "1..3",
    );
    let twice = meter("[[device]]\nid = \"m2\"\nprofile = \"tuf-2000m\"\nunit_id = 1");
    one(
        &twice,
        "device[2].unit_id",
        "unit id on bus \"meters 1\" is there twice",
        "",
    );
}
