//! Every kind of mistake: the place, the sentence, the advice.

use super::{BIN, METER, STATION, Site};

/// A text that should have exactly one error; `(key, message, help)`, the last two in part.
fn one(text: &str, key: &str, message: &str, help: &str) {
    one_at(&Site::new(), text, key, message, help);
}

fn one_at(site: &Site, text: &str, key: &str, message: &str, help: &str) {
    let faults = site.faults(text);
    let errors: Vec<_> = faults.errors().collect();
    let [error] = errors.as_slice() else {
        panic!(
            "{} errors, wanted one about {key}:\n{faults}\nin\n{text}",
            errors.len()
        );
    };
    assert_eq!(error.key, key, "{faults}");
    assert!(
        error.message.contains(message),
        "wanted {message:?}:\n{faults}"
    );
    let found = error.help.as_deref().unwrap_or_default();
    assert!(found.contains(help), "wanted {help:?}:\n{faults}");
    assert!(error.line > 0 && error.column > 0, "{faults}");
}

/// The station with one line replaced.
fn station(from: &str, to: &str) -> String {
    assert!(STATION.contains(from), "{from}");
    format!("{}{BIN}", STATION.replace(from, to))
}

fn bin(more: &str) -> String {
    format!("{STATION}{BIN}{more}\n")
}

fn meter(more: &str) -> String {
    format!("{STATION}{METER}{more}\n{BIN}")
}

fn camera(site: &Site, lines: &str, zone: &str) -> String {
    let vision = site.vision();
    format!("{STATION}{BIN}{vision}[[camera]]\nid = \"gate\"\n{lines}\n[[camera.zone]]\n{zone}\n")
}

const RTSP: &str = "url = \"rtsp://10.0.0.9/s\"";
const ZONE: &str = "id = \"z\"\nkind = \"garbage_exposed\"\npolygon = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\nlabels = [\"person\"]";

#[test]
fn a_good_station_has_neither_error_nor_warning() {
    let site = Site::new();
    let text = camera(&site, RTSP, ZONE);
    let faults = site.faults(&format!("{text}{METER}"));
    assert_eq!(faults.iter().count(), 0, "{faults}");
}

#[test]
fn all_faults_at_once_in_the_order_of_the_file() {
    let text = "[station]\nid = \"a b\"\nunit_grid = \"53\"\nlon = 181\nlat = \"x\"\nzone = 1\n\
                [storage]\nquota = 3\n[[device]]\nid = \"d\"\nprofile = \"nope\"\n[devcie]\n";
    let faults = Site::new().faults(text);
    let lines: Vec<usize> = faults.errors().map(|f| f.line).collect();
    // Line 7 holds the missing path.
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 11, 12], "{faults}");
    assert!(faults.to_string().contains("9 errors"), "{faults}");
}

#[test]
fn syntax() {
    let faults = Site::new().faults("[station\nid = \"s\"\n");
    let first = faults.errors().next().expect("a fault");
    assert_eq!(first.line, 1, "{faults}");
    assert!(first.message.contains("not TOML"), "{faults}");
    let faults = Site::new().faults("[station]\nid = \"a\"\nid = \"b\"\nlon = 1 2\n");
    let lines: Vec<usize> = faults.errors().map(|f| f.line).collect();
    assert_eq!(lines, [3, 4], "both faults, {faults}");
    let deep = format!("a = {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(Site::new().faults(&deep).errors().count() >= 1);
}

#[test]
fn unknown_keys() {
    one(
        &station("lat =", "latt = 1\nlat ="),
        "station.latt",
        "unknown key",
        "did you mean `lat`?",
    );
    one(
        &bin("colour = \"red\""),
        "device[1].colour",
        "unknown key",
        "known here: address, bus",
    );
    one(
        &bin("[cosnole]"),
        "cosnole",
        "unknown key",
        "did you mean `console`?",
    );
    one(
        &bin("[devices]"),
        "devices",
        "unknown key",
        "did you mean `device`?",
    );
    one(
        &bin("[[device.rule]]\nid = \"overflow\"\nrise = 3"),
        "device[1].rule[1].rise",
        "unknown key",
        "did you mean `raise`?",
    );
    // A misspelt key that is needed is one fault, not two.
    one(
        &station("unit_grid", "unitgrid"),
        "station.unitgrid",
        "unknown key",
        "did you mean `unit_grid`?",
    );
    one(
        &bin("").replace("height", "hieght"),
        "device[1].hieght",
        "unknown key",
        "did you mean `height`?",
    );
}

#[test]
fn wrong_types() {
    one(
        &station("lat = 25.05", "lat = \"25\""),
        "station.lat",
        "must be a number, not text in quotes",
        "`lat = 25.05`",
    );
    one(
        &station("path = \"data\"", "path = 1"),
        "storage.path",
        "must be text in quotes, not a whole number",
        "path = ",
    );
    one(
        &station("[storage]", "[storage]\ncommit_interval = 5"),
        "storage.commit_interval",
        "must be text",
        "",
    );
    one(
        &station("lat = 25.05", "lat = nan"),
        "station.lat",
        "finite",
        "",
    );
    one(
        &station("lat = 25.05", "lat = 2024-01-01"),
        "station.lat",
        "not a date",
        "",
    );
    one(
        &station("[[uplink]]", "[uplink]"),
        "uplink",
        "must be a list, not a table",
        "",
    );
    one(&bin("rule = 3"), "device[1].rule", "must be a list", "");
    one(
        &meter("every = true"),
        "device[1].every",
        "not true or false",
        "10s",
    );
    one(
        &meter("").replace("unit_id = 1", "unit_id = 1.5"),
        "device[1].unit_id",
        "must be a whole number or text in quotes",
        "",
    );
    one(
        &bin("lon = \"x\"\nlat = 25.0"),
        "device[1].lon",
        "must be a number",
        "",
    );
}

#[test]
fn missing_keys_and_tables() {
    one(
        &station("unit_grid = \"530102001001001\"\n", ""),
        "station.unit_grid",
        "`unit_grid` is missing",
        "530102001001001",
    );
    one(
        &station("[storage]\npath = \"data\"\n", ""),
        "storage",
        "there is no `[storage]` table",
        "",
    );
    one(
        &station("name = \"city\"\n", ""),
        "uplink[1].name",
        "`name` is missing",
        "city",
    );
    one(
        &bin("").replace("profile = \"wangge-bin\"\n", ""),
        "device[1].profile",
        "missing",
        "wangge-bin",
    );
    one(
        &bin("").replace("id = \"bin-1\"\n", ""),
        "device[1]",
        "no id",
        "bin-{001..200}",
    );
    one(
        &meter("").replace("unit_id = 1\n", ""),
        "device[1]",
        "`unit_id` is missing",
        "unit_id = 1",
    );
    one(
        &bin("").replace("height = \"1.2m\"\n", ""),
        "device[1]",
        "needs the bin's `height`",
        "1.2m",
    );
}

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
fn brokers() {
    let broker = |lines: &str| {
        bin(&format!("via = \"b\"\n[[broker]]\nname = \"b\"\n{lines}"))
            .replace("[listen]\naddress = \"127.0.0.1:1883\"\n", "")
    };
    one(
        &broker("url = \"tcp://h:1883\""),
        "broker[1].url",
        "must start with mqtt:// or mqtts://",
        "perhaps \"mqtt://h:1883\"",
    );
    one(
        &broker("url = \"broker:1883\""),
        "broker[1].url",
        "must start with",
        "perhaps \"mqtt://broker:1883\"",
    );
    one(
        &broker("url = \"mqtt://\""),
        "broker[1].url",
        "names no host",
        "",
    );
    one(
        &broker("url = \"mqtt://h:99999\""),
        "broker[1].url",
        "no URL",
        "",
    );
    one(
        &broker("url = \"mqtt://h/path\""),
        "broker[1].url",
        "no path",
        "",
    );
    one(
        &broker("url = \"mqtt://u:p@h\""),
        "broker[1].url",
        "in the URL",
        "password_file",
    );
    one(
        &broker("url = \"mqtt://h\"\nusername = \"u\""),
        "broker[1].username",
        "without a password",
        "password_file",
    );
    one(
        &broker("url = \"mqtt://127.0.0.1\"\npassword = \"p\""),
        "broker[1].password",
        "without `username`",
        "",
    );
    one(
        &broker("url = \"mqtts://h\"\nca_file = \"ca\""),
        "broker[1].ca_file",
        "cannot read",
        "relative paths start at",
    );
    one(
        &bin("[[broker]]\nname = \"listen\"\nurl = \"mqtt://h\"\n")
            .replace("height", "via = \"listen\"\nheight"),
        "listen.name",
        "broker \"listen\" is there twice",
        "",
    );
    let site = Site::new();
    let faults = site.faults(&broker(
        "url = \"mqtt://h\"\nusername = \"u\"\npassword = \"p\"",
    ));
    assert_eq!(
        faults.warnings().count(),
        2,
        "in clear, and in the file: {faults}"
    );
    assert_eq!(faults.errors().count(), 0, "{faults}");
}

#[test]
fn listening_beyond_this_machine_needs_passwords() {
    let site = Site::new();
    let wide = STATION.replace("127.0.0.1:1883", "0.0.0.0:1883");
    one(
        &format!("{wide}{BIN}"),
        "listen.address",
        "could speak for a device",
        "password_file",
    );
    let with = format!("{wide}password_file = \"pw\"\n{BIN}");
    site.file("pw", "# ours\nbin-1:x\n\n");
    site.good(&with);
    site.file("pw", "bin-2:x\n");
    one_at(
        &site,
        &with,
        "listen.password_file",
        "have no password, bin-1",
        "DEVICE-ID:PASSWORD",
    );
    site.file("pw", "bin-1:x\nbin-1:y\n");
    one_at(
        &site,
        &with,
        "listen.password_file",
        "line 2: a second password",
        "",
    );
    site.file("pw", "bin-1:x\nhunter2\n");
    one_at(&site, &with, "listen.password_file", "line 2 is not", "");
    assert!(!site.faults(&with).to_string().contains("hunter2"));
}

#[test]
fn buses() {
    one(
        &meter("").replace("tcp = \"192.168.1.5\"\n", ""),
        "bus[1]",
        "neither `tcp` nor `serial`",
        "192.168.1.5:502",
    );
    one(
        &meter("").replace("tcp = ", "serial = \"/dev/x\"\ntcp = "),
        "bus[1]",
        "both",
        "",
    );
    one(
        &meter("").replace("192.168.1.5", "http://x/"),
        "bus[1].tcp",
        "no host and port",
        "",
    );
    one(
        &meter("").replace("tcp = ", "baud = 9600\ntcp = "),
        "bus[1].baud",
        "does nothing here",
        "remove",
    );
    one(
        &meter("").replace("tcp = \"192.168.1.5\"", "serial = \"/dev/x\"\nbaud = 9601"),
        "bus[1].baud",
        "9601, which it cannot be",
        "9600",
    );
    one(
        &meter("").replace(
            "tcp = \"192.168.1.5\"",
            "serial = \"/dev/x\"\nparity = \"evne\"",
        ),
        "bus[1].parity",
        "cannot be \"evne\"",
        "did you mean \"even\"?",
    );
    one(
        &meter("").replace(
            "tcp = \"192.168.1.5\"",
            "serial = \"/dev/x\"\nstop_bits = 3",
        ),
        "bus[1].stop_bits",
        "from 1 to 2",
        "",
    );
    let two = meter("bus = \"meters\"").replace("[[bus]]", "[[bus]]\nname = \"a\"\nserial = \"/dev/x\"\n[[bus]]\nname = \"b\"\nserial = \"/dev/x\"\n[[bus]]");
    one(&two, "bus[2].serial", "serial line", "the first is in line");
}

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

#[test]
fn rules() {
    let rule = |lines: &str| bin(&format!("[[device.rule]]\n{lines}"));
    let at = "device[1].rule[1]";
    let key = |k: &str| format!("{at}.{k}");
    one(
        &rule("id = \"overflwo\"\nraise = 80"),
        &key("id"),
        "no rule in profile",
        "did you mean \"overflow\"?",
    );
    one(
        &rule("id = \"overflow\"\nraise = 70"),
        &key("raise"),
        "must be cleared below that, not at 80",
        "clear = 63.0",
    );
    one(
        &rule("id = \"overflow\"\nraise = 70\nclear = 71"),
        &key("clear"),
        "must be cleared below that",
        "",
    );
    one(
        &rule("id = \"overflow\"\nside = \"below\""),
        &key("raise"),
        "must be cleared above that",
        "",
    );
    one(
        &rule("id = \"overflow\"\nraise = 101"),
        &key("raise"),
        "goes from 0 to 100 %",
        "",
    );
    one(
        &rule("id = \"overflow\"\nafter = \"3h\""),
        &key("after"),
        "does nothing in a rule of type threshold",
        "quantity, side",
    );
    one(
        &rule("id = \"overflow\"\ntype = \"rate\""),
        &key("type"),
        "another type",
        "another id",
    );
    let own = "id = \"x\"\nkind = \"bin_fire\"\n";
    one(&rule(own), at, "needs a `type`", "threshold");
    one(
        &rule(&format!("{own}type = \"presence\"")),
        &key("type"),
        "cannot be \"presence\"",
        "threshold",
    );
    one(
        &rule("id = \"x\"\ntype = \"health\""),
        at,
        "needs a `kind`",
        "kind = ",
    );
    one(
        &rule("id = \"x\"\nkind = \"bin_fier\"\ntype = \"health\""),
        &key("kind"),
        "cannot be",
        "did you mean \"bin_fire\"?",
    );
    one(
        &rule(&format!("{own}type = \"absence\"")),
        at,
        "of type absence needs `after`",
        "3h",
    );
    one(
        &rule(&format!(
            "{own}type = \"rate\"\nquantity = \"fill\"\nper_minute = 0\nwindow = \"1m\""
        )),
        &key("per_minute"),
        "always reached",
        "",
    );
    one(
        &rule(&format!("{own}type = \"burst\"\nflow = 0")),
        &key("flow"),
        "more than 0",
        "",
    );
    let night = "type = \"night_flow\"\nmin_flow = 0.1\n";
    one(
        &rule(&format!(
            "{own}{night}from = \"02:00\"\nto = \"05:00\"\nhold = \"4h\""
        )),
        &key("hold"),
        "180 minutes",
        "shorter",
    );
    one(
        &rule(&format!(
            "{own}{night}from = \"02:00\"\nto = \"02:00\"\nhold = \"1h\""
        )),
        &key("to"),
        "ends when it begins",
        "",
    );
    one(
        &rule(&format!(
            "{own}{night}from = \"25:00\"\nto = \"05:00\"\nhold = \"1h\""
        )),
        &key("from"),
        "no time of day",
        "02:00",
    );
    one(
        &rule("id = \"overflow\"\n[[device.rule]]\nid = \"overflow\""),
        "device[1].rule[2].id",
        "rule \"overflow\" is there twice",
        "",
    );
    let text = meter(
        "[[device.rule]]\nid = \"full\"\nkind = \"bin_overflow\"\ntype = \"threshold\"\nquantity = \"fill\"\nraise = 9\nclear = 8",
    );
    one(&text, &key("quantity"), "measures no fill", "flow, volume");
}

#[test]
fn profiles() {
    let profile = |lines: &str| bin(&format!("[profile.x]\n{lines}"));
    one(&profile(""), "profile.x", "neither", "payload = \"wangge\"");
    one(
        &profile("payload = \"wange\""),
        "profile.x.payload",
        "cannot be \"wange\"",
        "did you mean \"wangge\"?",
    );
    one(
        &profile("payload = { json_pointr = {} }"),
        "profile.x.payload.json_pointr",
        "unknown key",
        "json_pointer",
    );
    one(
        &profile(
            "payload = \"wangge\"\n[[profile.x.point]]\nquantity = \"flow\"\nparts = [{ address = 1, format = \"f32\" }]",
        ),
        "profile.x",
        "both",
        "two profiles",
    );
    one(
        &profile(
            "payload = { json_pointer = { values = [{ quantity = \"fill\", pointer = \"a.b\" }] } }",
        ),
        "profile.x.payload.json_pointer.values[1].pointer",
        "no JSON pointer",
        "\"/a/b\"",
    );
    one(
        &profile("payload = { json_pointer = { values = [] } }"),
        "profile.x.payload.json_pointer.values",
        "at least 1",
        "",
    );
    one(
        &bin("[profile.wangge-bin]\npayload = \"wangge\""),
        "profile.wangge-bin",
        "ships with the gateway",
        "another name",
    );
    one(
        &bin("[profile.\"a b\"]\npayload = \"wangge\""),
        "profile.a b",
        "contains ' '",
        "",
    );
    let point = |part: &str| {
        profile(&format!(
            "[[profile.x.point]]\nquantity = \"flow\"\nparts = [{{ {part} }}]"
        ))
    };
    let key = |k: &str| format!("profile.x.point[1].parts[1].{k}");
    one(
        &point("address = 1, format = \"f23\""),
        &key("format"),
        "no register format \"f23\"",
        "",
    );
    one(
        &point("address = 1, format = \"bcd5\""),
        &key("format"),
        "no register format",
        "",
    );
    one(
        &point("address = 1, format = \"bit16\""),
        &key("format"),
        "no register format",
        "",
    );
    one(
        &point("address = 0, base = 1, format = \"u16\""),
        &key("address"),
        "leaves the table",
        "",
    );
    one(
        &point("address = 65535, format = \"u32\""),
        &key("address"),
        "leaves the table",
        "",
    );
    one(
        &point("address = 70000, format = \"u16\""),
        &key("address"),
        "from 0 to 65536",
        "",
    );
    one(
        &point("address = 1, base = 2, format = \"u16\""),
        &key("base"),
        "from 0 to 1",
        "",
    );
    one(
        &point("address = 1, format = \"u16\", order = \"abdc\""),
        &key("order"),
        "cannot be",
        "",
    );
    one(
        &point("address = 1, format = \"u16\", scale = 0"),
        &key("scale"),
        "0",
        "",
    );
}

#[test]
fn cameras() {
    let site = Site::new();
    let one =
        |text: &str, key: &str, message: &str, help: &str| one_at(&site, text, key, message, help);
    one(
        &camera(&site, "", ZONE),
        "camera[1]",
        "neither `url` nor `file`",
        "rtsp://",
    );
    one(
        &camera(&site, "url = \"rtsp://u:p@h/\"", ZONE),
        "camera[1].url",
        "in the URL",
        "password_file",
    );
    one(
        &camera(&site, "url = \"http://h/\"", ZONE),
        "camera[1].url",
        "must start with rtsp://",
        "",
    );
    one(
        &camera(&site, "file = \"none.mp4\"", ZONE),
        "camera[1].file",
        "cannot read",
        "relative paths",
    );
    one(
        &camera(&site, &format!("{RTSP}\nfile = \"model.toml\""), ZONE),
        "camera[1].file",
        "both `url` and `file`",
        "",
    );
    one(
        &camera(&site, &format!("{RTSP}\nrepeat = true"), ZONE),
        "camera[1].repeat",
        "video files",
        "",
    );
    one(
        &camera(&site, "file = \"model.toml\"\ntransport = \"tcp\"", ZONE),
        "camera[1].transport",
        "video file",
        "",
    );
    one(
        &camera(&site, &format!("{RTSP}\ntransport = \"upd\""), ZONE),
        "camera[1].transport",
        "cannot be \"upd\"",
        "did you mean \"udp\"?",
    );
    one(
        &camera(&site, RTSP, ZONE).replace("\"gate\"", "\"bin-1\""),
        "camera[1].id",
        "is a device already",
        "",
    );
    let twice = camera(&site, RTSP, ZONE) + "[[camera]]\nid = \"gate\"\nurl = \"rtsp://h/\"\n";
    one(&twice, "camera[2].id", "camera \"gate\" is there twice", "");
    one(
        &camera(&site, &format!("{RTSP}\nmasks = [[[0, 0], [1, 1]]]"), ZONE),
        "camera[1].masks[1]",
        "2 corners",
        "",
    );
}

#[test]
fn zones() {
    let site = Site::new();
    let zone = |from: &str, to: &str| {
        assert!(ZONE.contains(from), "{from}");
        camera(&site, RTSP, &ZONE.replace(from, to))
    };
    let one = |text: &str, key: &str, message: &str, help: &str| {
        one_at(&site, text, &format!("camera[1].zone{key}"), message, help);
    };
    let polygon = "[[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]";
    one(
        &zone(polygon, "[[0.1, 0.1], [0.9, 0.1]]"),
        "[1].polygon",
        "has 2 entries, at least 3",
        "",
    );
    one(
        &zone(polygon, "[[0, 0], [1, 1], [1, 0], [0, 1]]"),
        "[1].polygon",
        "crosses itself: side 1 meets side 3",
        "walk around",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, 1.9]"),
        "[1].polygon[3]",
        "corner 3 at [0.5, 1.9] is outside",
        "divide pixels",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, -0.1]"),
        "[1].polygon[3]",
        "outside",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, 0.9, 1]"),
        "[1].polygon[3]",
        "has 3 entries, at most 2",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5]"),
        "[1].polygon[3]",
        "has 1 entries, at least 2",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "\"x\""),
        "[1].polygon[3]",
        "must be a list",
        "",
    );
    one(
        &zone("[0.5, 0.9]", "[0.5, 0.1001]"),
        "[1].polygon",
        "no area",
        "",
    );
    one(
        &zone("garbage_exposed", "garbage"),
        "[1].kind",
        "cannot be \"garbage\"",
        "one of illegal_dumping",
    );
    one(
        &zone("\"person\"", "\"persn\""),
        "[1].labels[1]",
        "no label in the model named \"persn\"",
        "did you mean \"person\"?",
    );
    one(
        &zone("\"person\"", "\"person\", \"person\""),
        "[1].labels[2]",
        "twice",
        "",
    );
    one(
        &zone("[\"person\"]", "[]"),
        "[1].labels",
        "at least 1",
        "person",
    );
    one(
        &zone("id = \"z\"", "id = \"z\"\ndwell = \"0s\""),
        "[1].dwell",
        "from 100ms to 1d",
        "",
    );
    let twice = zone("", "") + &format!("[[camera.zone]]\n{ZONE}\n");
    one(&twice, "[2].id", "zone \"z\" is there twice", "");
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

#[test]
fn warnings_do_not_stop_a_station() {
    let site = Site::new();
    for (text, message) in [
        (bin("[[stream]]\nname = \"s\""), "no uplink carries stream"),
        (
            bin("[[bus]]\nname = \"m\"\ntcp = \"h\""),
            "bus \"m\": no device uses it",
        ),
        (STATION.to_owned(), "listener: no device uses it"),
        (
            station("http://127.0.0.1:8080", "http://10.0.0.1"),
            "in clear",
        ),
        (
            station(
                "[[uplink]]\nname = \"city\"\nurl = \"http://127.0.0.1:8080\"\n",
                "",
            ),
            "alerts go nowhere",
        ),
    ] {
        let inspection = site.inspect(&text);
        assert!(inspection.config.is_some(), "{}", inspection.faults);
        let shown = inspection.faults.to_string();
        assert!(shown.contains(message), "wanted {message:?}: {shown}");
        assert_eq!(inspection.faults.warnings().count(), 1, "{shown}");
    }
}
