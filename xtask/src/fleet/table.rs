//! The figures for people, brokers side by side.

use std::fmt::Write as _;

use serde_json::Value;

use super::Broker;

/// Phase, figure, unit, what it is called.
const LINES: &[(&str, &str, &str, &str)] = &[
    ("connect", "connected", "", "connections"),
    ("connect", "failed", "", "attempts that failed"),
    ("connect", "per_s", "/s", "connections made"),
    ("connect", "ms.p50", "ms", "TCP to subscription p50"),
    ("connect", "ms.p99", "ms", "TCP to subscription p99"),
    ("connect", "broker_kib_each", "KiB", "broker's memory each"),
    ("connect", "broker_cpu_ms_each", "ms", "broker's CPU each"),
    ("idle", "broker_cores", "cores", "broker idle, pings only"),
    ("steady", "alerts", "", "alerts with a picture"),
    ("steady", "all_receipted", "", "all have their receipt"),
    (
        "steady",
        "raise_to_receipt_ms.p50",
        "ms",
        "raise to receipt p50",
    ),
    (
        "steady",
        "raise_to_receipt_ms.p95",
        "ms",
        "raise to receipt p95",
    ),
    (
        "steady",
        "raise_to_receipt_ms.p99",
        "ms",
        "raise to receipt p99",
    ),
    ("steady", "repeats", "", "sent again"),
    ("steady", "broker_cores", "cores", "broker"),
    ("outage", "minutes", "min", "outage"),
    ("outage", "backlog", "", "alerts of that time"),
    ("outage", "delivered", "", "of them delivered"),
    (
        "outage",
        "all_reconnected_after_s",
        "s",
        "all connected after",
    ),
    ("outage", "attempts_failed", "", "attempts that failed"),
    ("outage", "drained_after_s", "s", "all delivered after"),
    ("outage", "drained_per_s", "/s", "delivered"),
    (
        "outage",
        "live_raise_to_receipt_ms.p50",
        "ms",
        "fresh alerts meanwhile p50",
    ),
    (
        "outage",
        "live_raise_to_receipt_ms.p99",
        "ms",
        "fresh alerts meanwhile p99",
    ),
    ("outage", "repeats", "", "sent again"),
    (
        "outage",
        "peak_rss_mib_all",
        "MiB",
        "broker's memory at most",
    ),
    (
        "park",
        "alerts_per_s",
        "/s",
        "kept for a receiver that is away",
    ),
    ("park", "bytes_each_all_disks", "B", "on all disks, each"),
];

/// A line a figure, a column a broker, and the first as a multiple of the second.
pub fn render(report: &[(Broker, Vec<Value>)]) -> String {
    let mut text = String::new();
    let _ = write!(text, "{:8} {:34}", "phase", "figure");
    for (broker, _) in report {
        let _ = write!(text, " {:>12}", broker.name());
    }
    let _ = writeln!(text, "{}", if report.len() == 2 { "    ratio" } else { "" });
    for (phase, path, unit, title) in LINES {
        let values: Vec<Option<&Value>> = report
            .iter()
            .map(|(_, figures)| find(figures, phase, path))
            .collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(text, "{phase:8} {:34}", format!("{title} {unit}"));
        for value in &values {
            let shown = value.map_or_else(|| "-".to_owned(), ToString::to_string);
            let _ = write!(text, " {shown:>12}");
        }
        let numbers: Vec<f64> = values.iter().filter_map(|v| v.as_ref()?.as_f64()).collect();
        if let [first, second] = numbers[..]
            && second > 0.0
        {
            let _ = write!(text, " {:>8.2}", first / second);
        }
        text.push('\n');
    }
    text
}

fn find<'v>(figures: &'v [Value], phase: &str, path: &str) -> Option<&'v Value> {
    let told = figures.iter().find(|f| f["phase"] == phase)?;
    let value = path
        .split('.')
        .try_fold(told, |value, key| value.get(key))?;
    (!value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_stand_side_by_side_with_their_ratio() {
        let told =
            |p50: f64| vec![json!({ "phase": "steady", "raise_to_receipt_ms": { "p50": p50 } })];
        let text = render(&[(Broker::Nats, told(30.0)), (Broker::Mosquitto, told(10.0))]);
        let line = text.lines().find(|l| l.contains("p50")).unwrap();
        assert!(
            line.contains("30.0") && line.contains("10.0") && line.ends_with("3.00"),
            "{text}"
        );
        assert!(!text.contains("outage"), "{text}");
    }
}
