//! Other gateways doing the same work in the same run, by the harness of the side-by-side
//! measurements (`bench.py`; its README says how to set it up).

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wangge_tests::place;

/// Contestant and scenario with arguments; ours comes first in each, and ratios are to it.
const RUNS: &[(&str, &[&str], &[&str])] = &[
    (
        "mqtt",
        &["--runs", "1"],
        &["wangge", "mosquitto-bridge", "nodered", "thingsboard"],
    ),
    (
        "ladder",
        &["--runs", "1"],
        &["wangge", "direct", "mosquitto-bridge", "nodered"],
    ),
    (
        "modbus",
        &["--runs", "1"],
        &["wangge", "nodered", "thingsboard"],
    ),
    (
        "modbus",
        &[
            "--runs", "1", "--layout", "units", "--slaves", "50", "--delay", "5", "--dead", "5",
        ],
        &["wangge", "nodered", "thingsboard"],
    ),
    (
        "offline",
        &["--runs", "1", "--kill-peer", "--outage", "60"],
        &["wangge", "mosquitto-bridge", "nodered", "thingsboard"],
    ),
];
/// What is compared, and under which names rows are the same work.
const FIGURES: &[&str] = &[
    "p50_ms",
    "p99_ms",
    "cpu_peer",
    "rss_peer_mb",
    "sustained",
    "polls_per_s",
    "missed",
    "sent",
    "lost",
    "dup",
];
const SAME: &[&str] = &["scenario", "rate", "slaves", "layout", "dead", "kill_peer"];

/// Runs every contestant and prints figures and ratios to ours.
///
/// # Errors
/// The harness is not set up, or a run fails.
pub fn run(folder: &Path) -> Result<()> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("no folder {}", folder.display()))?;
    let out = place::root().join("target/xtask-bench/peers");
    fs::create_dir_all(&out)?;
    let home = std::env::var_os("PEERS_HOME").map_or_else(|| out.join("home"), Into::into);
    bash(&folder, &home, &out, "setup.sh", &[])?;
    let results = out.join("results.jsonl");
    let already = fs::read_to_string(&results)
        .unwrap_or_default()
        .lines()
        .count();
    for (scenario, arguments, contestants) in RUNS {
        for contestant in *contestants {
            let mut all = vec![*scenario, *contestant];
            all.extend(*arguments);
            eprintln!("== {}", all.join(" "));
            if let Err(e) = bash(&folder, &home, &out, "bench.py", &all) {
                // One that cannot do the work must not hide what the others do.
                eprintln!("{contestant}: {e:#}");
            }
        }
    }
    let text = fs::read_to_string(&results).context("no results")?;
    let rows: Vec<Value> = text
        .lines()
        .skip(already)
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    ensure!(!rows.is_empty(), "no contestant finished a run");
    print(&rows);
    eprintln!("raw results: {}", results.display());
    Ok(())
}

fn bash(folder: &Path, home: &Path, out: &Path, script: &str, arguments: &[&str]) -> Result<()> {
    let interpreter = if script.ends_with(".py") {
        "python3"
    } else {
        "bash"
    };
    let status = Command::new(interpreter)
        .arg(folder.join(script))
        .args(arguments)
        .env("PEERS_HOME", home)
        .env("PEERS_OUT", out)
        .env("PEERS_CONTESTANTS", place::root().join("tests/bench"))
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {script}"))?;
    ensure!(status.success(), "{script} failed ({status})");
    Ok(())
}

fn print(rows: &[Value]) {
    let same = |a: &Value, b: &Value| SAME.iter().all(|k| a.get(k) == b.get(k));
    let shown = rows.iter().filter(|r| r["scenario"] != "ladder-step");
    for row in shown {
        let ours = rows
            .iter()
            .find(|r| r["contestant"] == "wangge" && same(r, row));
        let mut line = String::new();
        for key in SAME {
            if let Some(value) = row.get(key) {
                line += &format!("{key}={value} ");
            }
        }
        line += &format!("{}:", row["contestant"]);
        for figure in FIGURES {
            let Some(value) = row.get(figure).and_then(Value::as_f64) else {
                continue;
            };
            line += &format!(" {figure}={value}");
            let base = ours.and_then(|r| r.get(figure)).and_then(Value::as_f64);
            if let Some(base) = base.filter(|b| *b > 0.0 && row["contestant"] != "wangge") {
                line += &format!(" (x{:.2})", value / base);
            }
        }
        println!("{line}");
    }
}
