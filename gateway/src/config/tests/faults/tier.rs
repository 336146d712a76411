//! Tiers of uplinks, and case platforms.

use wangge_protocol::Tier;

use super::{bin, one, one_at};
use crate::config::{
    UplinkLink,
    tests::{BIN, STATION, Site},
};

fn push(lines: &str) -> String {
    bin(&format!(
        "[[uplink]]\nname = \"u\"\ntype = \"push\"\nurl = \"https://h/base\"\n{lines}\n"
    ))
}

#[test]
fn tiers() {
    let site = Site::new();
    let with = |lines: &str| {
        let own = STATION.replace("name = \"city\"\n", &format!("name = \"city\"\n{lines}\n"));
        format!("{own}{BIN}")
    };
    let tiers = |lines: &str| site.good(&with(lines)).uplinks[0].tiers.clone();
    assert_eq!(tiers(""), []);
    assert_eq!(tiers("tier = \"street\""), [Tier::Street]);
    assert_eq!(
        tiers("tier = [\"city\", \"street\", \"city\"]"),
        [Tier::Street, Tier::City]
    );
    let warnings = |lines: &str| {
        let faults = site.faults(&with(lines));
        let warnings = faults.warnings().map(|w| w.message.clone());
        warnings.collect::<Vec<_>>()
    };
    let holidays = "deadlines go by working days, and there is no table of holidays";
    assert_eq!(warnings("tier = [\"street\", \"city\"]"), [holidays]);
    assert_eq!(
        warnings("tier = \"street\""),
        [
            "no uplink has tier \"city\": its alerts go to \"street\"",
            holidays
        ]
    );
    assert_eq!(warnings("tier = \"community\"").len(), 3);
    assert_eq!(warnings(""), [""; 0]);
    one(
        &with("tier = []"),
        "uplink[1].tier",
        "is empty",
        "leave it out",
    );
    one(
        &bin(
            "[[uplink]]\nname = \"u\"\nurl = \"https://h\"\nalerts = false\nstreams = [\"s\"]\ntier = \"city\"\n[[stream]]\nname = \"s\"\n",
        ),
        "uplink[2].tier",
        "carries no alerts",
        "remove",
    );
    let faults = site.faults(&with("tier = \"county\"")).to_string();
    assert!(faults.contains("county"), "{faults}");
}

#[test]
fn case_platforms() {
    let site = Site::new();
    site.file("pw", "secret\n");
    let login = "username = \"u\"\npassword_file = \"pw\"";
    let config = site.good(&push(&format!("profile = \"eurbanmis\"\n{login}")));
    let UplinkLink::Push(target) = &config.uplinks[1].link else {
        panic!("{:?}", config.uplinks[1]);
    };
    assert_eq!(target.profile.id, "eurbanmis");
    assert_eq!(config.profile.id, "default");
    assert_eq!(target.home.station, "s1");
    one_at(
        &site,
        &push(login),
        "uplink[2].type",
        "the platform profile default has no [push]",
        "eurbanmis",
    );
    one_at(
        &site,
        &push("profile = \"yudao\""),
        "uplink[2].username",
        "the profile logs in",
        "password_file",
    );
    one_at(
        &site,
        &push(&format!("profile = \"eurbanmiss\"\n{login}")),
        "uplink[2].profile",
        "there is no platform profile \"eurbanmiss\"",
        "did you mean \"eurbanmis\"?",
    );
    one_at(
        &site,
        &push(&format!("profile = \"yudao\"\nclient_id = \"x\"\n{login}")),
        "uplink[2].client_id",
        "does nothing here",
        "remove",
    );
    one(
        &bin("[[uplink]]\nname = \"u\"\nurl = \"https://h\"\nprofile = \"yudao\"\n"),
        "uplink[2].profile",
        "it is for `type = \"push\"`",
        "remove",
    );
    site.file(
        "city.toml",
        "id = \"c\"\ncrs = \"wgs84\"\n[sources]\nmqtt = \"a\"\nmodbus = \"a\"\ncamera = \"a\"\ngateway = \"a\"\n[push]\nsuccess = []\n[push.report]\npath = \"/x\"\nform = { a = \"{{ adress }}\" }\n",
    );
    one_at(
        &site,
        &push("profile_file = \"city.toml\""),
        "uplink[2].profile_file",
        "city.toml:12: push.report.form.a: adress is not known",
        "",
    );
}
