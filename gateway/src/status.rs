//! Reads what the console shows from the running stages.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use wangge_protocol::{ClockQuality, Text};

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

/// A clock that nobody believes, and alerts that nobody can prove, must be seen to.
fn proof_notices(proof: &console::ProofStatus) -> Vec<String> {
    let now = jiff::Timestamp::now();
    let mut notices = Vec::new();
    if proof.clock == ClockQuality::Unknown {
        notices.push(format!(
            "时钟不可信，显示为 {now:.0}，请检查校时服务 | the clock is not to be believed, it says {now:.0}: check the time service (`timedatectl`)"
        ));
    }
    if proof.key.is_none() {
        notices.push(
            "告警未签名：密钥不可用，见日志 | alerts are not signed: the key cannot be used, see the log".to_owned(),
        );
    }
    notices
}

/// The English and the Chinese.
fn apart(said: Option<Text>) -> (Option<String>, Option<String>) {
    said.map(|Text { zh, en }| (en, zh)).unzip()
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
            .map(|c| {
                let (fault, fault_zh) = apart(progress.faults.get(&c.id).cloned());
                console::CameraStatus {
                    id: c.id.to_string(),
                    fault,
                    fault_zh,
                }
            })
            .collect(),
        vision: running.vision.as_ref().map(|state| {
            let child = state.get();
            let (last_error, last_error_zh) = apart(child.last_error);
            console::VisionStatus {
                pid: child.pid,
                restarts: child.restarts,
                resident: child.resident,
                last_error,
                last_error_zh,
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
        proof: progress.proof.clone(),
        notices: source::vision::CALENDAR_PARTS
            .iter()
            .filter_map(|part| {
                let Text { zh, en } = progress.faults.get(*part)?;
                Some(format!("{zh} | {part}: {en}"))
            })
            .chain(proof_notices(&progress.proof))
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
