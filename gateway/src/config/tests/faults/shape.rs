//! Syntax, unknown keys, wrong types, what is missing.

use super::{bin, meter, one, station};
use crate::config::tests::Site;

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
