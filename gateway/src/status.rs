//! Reads what the console shows from the running stages.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use wangge_protocol::ClockQuality;

use crate::{
    console::{self, Status},
    pipeline::Running,
    source,
};

/// A spool that does not answer within this is reported as such, not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The console's way to the running gateway.
pub fn reader(running: Running) -> console::StatusSource {
    let running = Arc::new(running);
    Arc::new(move || {
        let running = running.clone();
        Box::pin(async move { read(&running).await })
    })
}

/// A clock that nobody believes must be seen to.
fn clock_notice(quality: ClockQuality) -> Option<String> {
    let now = jiff::Timestamp::now();
    (quality == ClockQuality::Unknown).then(|| {
        format!(
            "时钟不可信，显示为 {now:.0}，请检查校时服务 | the clock is not to be believed, it says {now:.0}: check the time service (`timedatectl`)"
        )
    })
}

async fn read(running: &Running) -> Status {
    let mono = running.clock.now().mono;
    let stats = tokio::time::timeout(PATIENCE, running.spool.stats()).await;
    let (stats, silent) = match stats {
        Ok(Ok(stats)) => (stats, None),
        Ok(Err(fault)) => (Default::default(), Some(fault.to_string())),
        Err(_) => (
            Default::default(),
            Some("the disk does not answer".to_owned()),
        ),
    };
    let progress = running
        .progress
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: mono.as_secs(),
        station: console::StationStatus {
            id: running.config.station.id.to_string(),
            name: running.config.station.name.clone(),
        },
        sources: running
            .sources
            .iter()
            .map(|(name, kind, counters)| console::SourceStatus::new(name, *kind, counters))
            .collect(),
        cameras: running
            .config
            .cameras
            .iter()
            .map(|c| console::CameraStatus {
                id: c.id.to_string(),
                fault: progress.faults.get(&c.id).cloned(),
            })
            .collect(),
        vision: running.vision.as_ref().map(|state| {
            let child = state.get();
            console::VisionStatus {
                pid: child.pid,
                restarts: child.restarts,
                resident: child.resident,
                last_error: child.last_error,
                weaknesses: child.weaknesses,
            }
        }),
        storage: console::StorageStatus {
            bytes: stats.bytes,
            quota: stats.quota,
            used: stats.used,
            watermark: stats.watermark,
            classes: stats.classes,
            syncs: stats.syncs,
            rotations: stats.rotations,
            hours_left: stats.hours_left,
            refusing: stats.refusing.or(progress.refused).or(silent),
        },
        notices: source::vision::CALENDAR_PARTS
            .iter()
            .filter_map(|part| Some(format!("{part}: {}", progress.faults.get(*part)?)))
            .chain(clock_notice(progress.clock))
            .collect(),
        streams: stats.streams,
        digest: console::DigestPage {
            station: running.config.station.name.clone(),
            today: running
                .config
                .station
                .time_zone
                .to_datetime(running.clock.now().wall)
                .date(),
            open: progress.open.len(),
            overdue: progress.open.iter().filter(|alert| alert.overdue).count(),
            rows: progress.days.to_vec(),
        },
        uplinks: running
            .uplinks
            .iter()
            .map(|(name, counters)| console::UplinkStatus::new(name, counters))
            .collect(),
        verdicts: progress.verdicts,
        alerts: progress.open,
        totals: progress
            .alerts
            .iter()
            .map(|((kind, source), count)| console::AlertTotal {
                kind: *kind,
                source: *source,
                raised: count.raised,
                updated: count.updated,
                cleared: count.cleared,
            })
            .collect(),
    }
}
