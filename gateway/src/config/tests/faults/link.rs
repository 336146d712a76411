//! Brokers, the listener, buses.

use super::{bin, meter, one, one_at};
use crate::config::tests::{BIN, STATION, Site};

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
