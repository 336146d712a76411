//! The tables that a station has one of, streams and uplinks.

use super::{bin, one, one_at, station};
use crate::config::tests::Site;

#[test]
fn the_station() {
    one(
        &station("\"s1\"", "\"s 1\""),
        "station.id",
        "contains ' '",
        "put other words into `name`",
    );
    one(
        &station("\"s1\"", "\"工作室\""),
        "station.id",
        "contains '工'",
        "letters",
    );
    one(
        &station("\"s1\"", "\"\""),
        "station.id",
        "1 to 64 characters",
        "",
    );
    one(
        &station("\"s1\"", "\"..\""),
        "station.id",
        "not start with a dot",
        "",
    );
    one(
        &station("102.7", "181"),
        "station.lon",
        "from -180 to 180",
        "102.7",
    );
    one(
        &station("25.05", "-90.1"),
        "station.lat",
        "from -90 to 90",
        "",
    );
    one(
        &station("[storage]", "time_zone = \"Asia/Shanghia\"\n[storage]"),
        "station.time_zone",
        "no time zone",
        "Asia/Shanghai",
    );
    for (grid, message) in [
        ("53010200100100", "has 14 digits"),
        ("5301020010010011", "has 16 digits"),
        ("53010200100100x", "digits only"),
        ("５３０１０２００１００１００１", "digits only"),
        ("990102001001001", "no division starts with 99"),
        ("530000001001001", "names a province"),
    ] {
        one(
            &station("530102001001001", grid),
            "station.unit_grid",
            message,
            "15 digits",
        );
    }
    one(
        &station("\"data\"", "\"/\""),
        "storage.path",
        "directory of its own",
        "/var/lib/wangge",
    );
    one(
        &station("\"data\"", "\"\""),
        "storage.path",
        "directory of its own",
        "",
    );
    one(
        &bin("[platform]\nprofile = \"defualt\""),
        "platform.profile",
        "no platform profile",
        "did you mean \"default\"?",
    );
}

#[test]
fn the_console_and_its_port() {
    one(
        &bin("[console]\nlisten = \"0.0.0.0:9464\""),
        "console.listen",
        "no log-in",
        "127.0.0.1:9464",
    );
    one(
        &bin("[console]\nlisten = \"localhost:9464\""),
        "console.listen",
        "no address and port",
        "",
    );
    one(
        &bin("[console]\nlisten = \"127.0.0.1:1883\""),
        "console.listen",
        "both want 127.0.0.1:1883",
        "another port",
    );
    let site = Site::new();
    site.file("pw", "bin-1:x");
    let wide = bin("[console]\nlisten = \"127.0.0.1:1883\"").replace(
        "address = \"127.0.0.1:1883\"",
        "address = \"0.0.0.0:1883\"\npassword_file = \"pw\"",
    );
    one_at(&site, &wide, "console.listen", "both want", "");
    assert_eq!(site.good(&bin("[console]\nlisten = \"off\"")).console, None);
}

#[test]
fn streams_and_uplinks() {
    let stream = |lines: &str| {
        bin(&format!(
            "[[stream]]\nname = \"s\"\n{lines}\n[[uplink]]\nname = \"u\"\nurl = \"http://127.0.0.1:1\"\nstreams = [\"s\"]"
        ))
    };
    one(
        &stream("devices = [\"bin-2\"]"),
        "stream[1].devices[1]",
        "no device \"bin-2\"",
        "did you mean \"bin-1\"?",
    );
    one(
        &stream("devices = [\"meter-*\"]"),
        "stream[1].devices[1]",
        "no device's id fits",
        "",
    );
    one(
        &stream("devices = [\"bin-1\", \"bin-1\"]"),
        "stream[1].devices[2]",
        "twice",
        "",
    );
    one(
        &stream("fields = [\"fill\"]"),
        "stream[1].fields[1]",
        "no JSON pointer",
        "\"/fill\"",
    );
    one(
        &stream("fields = [\"/fill\", \"/fill\"]"),
        "stream[1].fields[2]",
        "twice",
        "",
    );
    one(
        &stream("[[stream]]\nname = \"s\""),
        "stream[2].name",
        "stream \"s\" is there twice",
        "",
    );
    one(
        &bin(
            "[[stream]]\nname = \"alerts\"\n[[uplink]]\nname = \"u\"\nurl = \"http://127.0.0.1:1\"\nstreams = [\"alerts\"]",
        ),
        "stream[1].name",
        "alerts' own account",
        "",
    );
    let uplink = |lines: &str| bin(&format!("[[uplink]]\nname = \"u\"\n{lines}"));
    let key = |k: &str| format!("uplink[2].{k}");
    one(
        &uplink("url = \"https://h\"\nalerts = false"),
        &key("alerts"),
        "nothing to send",
        "streams",
    );
    one(
        &uplink("url = \"https://h\"\nstreams = [\"s\"]"),
        &key("streams[1]"),
        "no stream \"s\"",
        "[[stream]]",
    );
    one(
        &uplink("url = \"ftp://h\""),
        &key("url"),
        "must start with mqtts://",
        "",
    );
    one(
        &uplink("url = \"https://h/?a=1\""),
        &key("url"),
        "`?` or `#`",
        "",
    );
    one(
        &uplink("url = \"https://h\"\nusername = \"u\""),
        &key("username"),
        "it is for MQTT",
        "",
    );
    one(
        &uplink("url = \"https://h\"\nborder = \"broker\""),
        &key("border"),
        "it is for MQTT",
        "",
    );
    one(
        &uplink("url = \"mqtts://h\"\ntoken_file = \"t\""),
        &key("token_file"),
        "MQTT takes a password",
        "",
    );
    one(
        &uplink("url = \"mqtts://h\"\ntopic_prefix = \"a/#\""),
        &key("topic_prefix"),
        "wildcard",
        "",
    );
    one(
        &uplink("url = \"mqtts://h\"\nborder = \"brokr\""),
        &key("border"),
        "cannot be",
        "did you mean \"broker\"?",
    );
    one(
        &uplink("url = \"https://h\"").replace("\"u\"", "\"city\""),
        &key("name"),
        "uplink \"city\" is there twice",
        "",
    );
}
