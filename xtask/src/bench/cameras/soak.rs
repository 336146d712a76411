//! Whether anything grows while cameras are watched for a long time.

use std::{
    fs,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wangge_tests::{gateway::Gateway, place, until, usage};

use super::{
    super::{Results, round, station::scratch},
    Mix, Shown,
    clips::Coding,
};
use crate::setup::Kit;

/// Between two rows.
const EVERY: Duration = Duration::from_secs(30);
const MIX: Mix = Mix {
    quiet: 8,
    events: 0,
    busy: 1,
};

/// What a process holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    resident: u64,
    files: usize,
    threads: usize,
}

impl Held {
    fn of(pid: u32) -> Result<Held> {
        let count = |what: &str| -> Result<usize> {
            let path = format!("/proc/{pid}/{what}");
            Ok(fs::read_dir(&path).with_context(|| path)?.count())
        };
        Ok(Held {
            resident: usage::of(pid).resident,
            files: count("fd")?,
            threads: count("task")?,
        })
    }
}

/// Eight quiet cameras and a busy one for so many minutes; every row goes into a CSV file. What
/// grew is told of the last three quarters: before that caches fill.
///
/// # Errors
/// A process fails, or the vision child was started again.
pub fn run(kit: &Kit, minutes: u64, results: &mut Results) -> Result<()> {
    let dir = scratch()?;
    let shown = Shown::start(kit, Coding::H264, MIX, &dir.path().join("cameras.log"))?;
    let toml = shown.configuration(kit);
    let mut gateway = Gateway::new(&dir.path().join("gateway"), &toml)?;
    gateway.start()?;
    let _server = shown.playing()?;
    let vision = until("the vision child", Duration::from_secs(5), || {
        gateway.vision()
    })?;
    let parent = gateway.process()?.id();

    let path = place::root().join("target/xtask-bench/soak.csv");
    let mut file = fs::File::create(&path)?;
    writeln!(
        file,
        "second,gateway_bytes,gateway_files,gateway_threads,vision_bytes,vision_files,vision_threads"
    )?;
    let (begun, mut rows) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(minutes * 60) {
        thread::sleep(EVERY);
        ensure!(
            gateway.vision()? == Some(vision),
            "the vision child was started again"
        );
        let second = begun.elapsed().as_secs_f64();
        let held = [Held::of(parent)?, Held::of(vision)?];
        write!(file, "{second:.0}")?;
        for h in held {
            write!(file, ",{},{},{}", h.resident, h.files, h.threads)?;
        }
        writeln!(file)?;
        rows.push((second, held));
    }
    gateway.stop()?;
    eprintln!("every row: {}", path.display());
    let warm = rows.split_off(rows.len() / 4);
    for (index, name) in ["gateway", "vision"].into_iter().enumerate() {
        let of = |(second, held): &(f64, [Held; 2])| Some((*second, *held.get(index)?));
        let own: Vec<(f64, Held)> = warm.iter().filter_map(of).collect();
        let (Some((_, first)), Some((_, last))) = (own.first(), own.last()) else {
            anyhow::bail!("too short: a row comes every {EVERY:?}");
        };
        let megabytes: Vec<_> = own
            .iter()
            .map(|(second, held)| (second / 3600.0, held.resident as f64 / 1e6))
            .collect();
        let most = megabytes.iter().map(|(_, mb)| *mb).fold(0.0, f64::max);
        results.add(
            &format!("soak_{minutes}_min_{name}"),
            json!({
                "resident_mb_first": round(first.resident as f64 / 1e6),
                "resident_mb_last": round(last.resident as f64 / 1e6),
                "resident_mb_most": round(most),
                "growth_mb_per_h": round(slope(&megabytes)),
                "files": [first.files, last.files],
                "threads": [first.threads, last.threads],
            }),
        );
    }
    Ok(())
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let square: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let product: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    if square > 0.0 { product / square } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_that_of_the_line_through_the_noise() {
        let points: Vec<_> = (0..100)
            .map(|i| {
                let noise = if i % 2 == 0 { 1.0 } else { -1.0 };
                (f64::from(i), 3.0 + 0.5 * f64::from(i) + noise)
            })
            .collect();
        assert!((slope(&points) - 0.5).abs() < 0.01);
        assert_eq!(slope(&[(1.0, 5.0)]), 0.0);
        assert_eq!(slope(&[]), 0.0);
    }

    #[test]
    fn what_a_process_holds_is_seen() {
        let held = Held::of(std::process::id()).unwrap();
        assert!(held.resident > 0 && held.files > 2 && held.threads > 0);
        assert!(Held::of(u32::MAX).is_err());
    }
}
