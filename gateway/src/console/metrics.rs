//! The status as Prometheus reads it (OpenMetrics text).

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use wangge_protocol::{ClockQuality, EventKind, Severity, SourceKind};

use super::{Status, VerdictsStatus};

/// Media type of the text.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of one moment.
pub(super) fn text(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("wangge");
    registry.register_collector(Box::new(Snapshot(status)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(Status);

type Labels<'l> = Vec<(&'static str, &'l str)>;

/// One metric with all its label sets; nothing is written when there are none.
fn family<'l>(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    (name, help): (&str, &str),
    values: impl IntoIterator<Item = (Labels<'l>, f64)>,
) -> fmt::Result {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        if labels.is_empty() {
            return sample(metric, kind, value);
        }
        sample(metric.encode_family(&labels)?, kind, value)?;
    }
    Ok(())
}

fn sample(metric: MetricEncoder<'_>, kind: MetricType, value: f64) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(metric),
        _ => ConstGauge::new(value).encode(metric),
    }
}

fn source_kind(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Mqtt => "mqtt",
        SourceKind::Modbus => "modbus",
        SourceKind::Camera => "camera",
        SourceKind::Gateway => "gateway",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Minor => "minor",
        Severity::Major => "major",
        Severity::Critical => "critical",
    }
}

fn flag(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

/// Verdicts since the start, and how right each rule was.
fn verdicts(e: &mut DescriptorEncoder<'_>, v: &VerdictsStatus) -> fmt::Result {
    use MetricType::{Counter, Gauge};
    let statuses = v.by_status.iter();
    let statuses = statuses.map(|(status, n)| (vec![("status", status.as_str())], *n as f64));
    let m = ("verdicts", "Verdicts that stand, by what was decided");
    family(e, Counter, m, statuses)?;
    let answers = v.answers.iter();
    let answers = answers.map(|(result, n)| (vec![("result", result.as_str())], *n as f64));
    let m = ("answers", "Answers to verdicts and commands");
    family(e, Counter, m, answers)?;
    let judged = v.precision.iter().flat_map(|p| {
        [("right", p.right), ("wrong", p.wrong)].map(|(is, n)| {
            let (subject, rule) = (p.subject.as_str(), p.rule.as_str());
            (
                vec![("subject", subject), ("rule", rule), ("is", is)],
                n as f64,
            )
        })
    });
    let m = ("judged_alerts", "Alerts by the verdict that stands");
    family(e, Gauge, m, judged)?;
    let silences = v.silences.len() as f64;
    let m = ("silences", "Rules that are silent by command");
    family(e, Gauge, m, [(vec![], silences)])
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge};
        let Snapshot(s) = self;
        let e = &mut encoder;
        let build = [(vec![("version", s.version.as_str())], 1.0)];
        family(e, Gauge, ("build", "The running version"), build)?;
        let uptime = [(vec![], s.uptime_s as f64)];
        family(e, Gauge, ("uptime_seconds", "Since the start"), uptime)?;

        let known = flag(s.proof.clock != ClockQuality::Unknown);
        let m = ("clock_known", "Whether the time of day is believed");
        family(e, Gauge, m, [(vec![], known)])?;
        let m = ("alerts_signed", "Whether alerts are signed");
        family(e, Gauge, m, [(vec![], flag(s.proof.key.is_some()))])?;

        let sources = |value: fn(&super::SourceStatus) -> u64| {
            s.sources.iter().map(move |source| {
                let kind = source_kind(source.kind);
                let labels = vec![("source", source.name.as_str()), ("kind", kind)];
                (labels, value(source) as f64)
            })
        };
        let m = (
            "source_received",
            "Messages, replies or frames that came in",
        );
        family(e, Counter, m, sources(|s| s.received))?;
        let m = ("source_accepted", "Passed on to the rules");
        family(e, Counter, m, sources(|s| s.accepted))?;
        let m = (
            "source_refused",
            "Not believed: garbage, unknown, flood, implausible",
        );
        family(e, Counter, m, sources(|s| s.refused))?;
        let m = ("source_faults", "Connections lost or refused, time-outs");
        family(e, Counter, m, sources(|s| s.faults))?;

        let cameras = s.cameras.iter().map(|camera| {
            let labels = vec![("camera", camera.id.as_str())];
            (labels, flag(camera.fault.is_none()))
        });
        family(
            e,
            Gauge,
            ("camera_up", "Whether it gives usable pictures"),
            cameras,
        )?;
        if let Some(vision) = &s.vision {
            let m = ("vision_up", "Whether the picture analysis runs");
            family(e, Gauge, m, [(vec![], flag(vision.pid.is_some()))])?;
            let m = ("vision_restarts", "How often it was started again");
            family(e, Counter, m, [(vec![], vision.restarts as f64)])?;
            let resident = vision.resident.map(|bytes| (vec![], bytes as f64));
            family(
                e,
                Gauge,
                ("vision_resident_bytes", "Its resident memory"),
                resident,
            )?;
        }

        let storage = &s.storage;
        let m = ("storage_bytes", "Records and pictures on disk");
        family(e, Gauge, m, [(vec![], storage.bytes as f64)])?;
        let m = ("storage_quota_bytes", "The most they may take");
        family(e, Gauge, m, [(vec![], storage.quota as f64)])?;
        let m = ("storage_syncs", "Group commits");
        family(e, Counter, m, [(vec![], storage.syncs as f64)])?;
        let m = ("storage_refusing", "Whether nothing is accepted");
        family(e, Gauge, m, [(vec![], flag(storage.refusing.is_some()))])?;
        let m = (
            "storage_used_bytes",
            "Of them, what counts against the quota",
        );
        family(e, Gauge, m, [(vec![], storage.used as f64)])?;
        let m = ("storage_watermark_bytes", "Above it only alerts are taken");
        family(e, Gauge, m, [(vec![], storage.watermark as f64)])?;
        let classes = |value: fn(&crate::spool::ClassUse) -> u64| {
            storage
                .classes
                .iter()
                .map(move |(name, class)| (vec![("class", name.as_str())], value(class) as f64))
        };
        let m = ("storage_class_records", "Records, or pictures, held");
        family(e, Gauge, m, classes(|c| c.records))?;
        let m = ("storage_class_bytes", "Their bytes");
        family(e, Gauge, m, classes(|c| c.bytes))?;
        let m = ("storage_class_limit_bytes", "The most the class may take");
        family(e, Gauge, m, classes(|c| c.limit))?;
        let m = ("storage_rotations", "Databases replaced by a fresh one");
        family(e, Counter, m, [(vec![], storage.rotations as f64)])?;
        let hours = storage.hours_left.map(|hours| (vec![], hours));
        let m = (
            "storage_hours_left",
            "Hours until only alerts are taken, if nothing is delivered from now on",
        );
        family(e, Gauge, m, hours)?;

        let streams = |value: fn(&crate::spool::StreamAccount) -> u64| {
            s.streams.iter().map(move |(name, account)| {
                (vec![("stream", name.as_str())], value(account) as f64)
            })
        };
        let m = ("stream_in", "Taken; equals out + held + dropped");
        family(e, Counter, m, streams(|a| a.accepted))?;
        let m = ("stream_out", "Delivered, with receipt");
        family(e, Counter, m, streams(|a| a.receipted))?;
        let m = ("stream_held", "On disk, waiting for delivery");
        family(e, Gauge, m, streams(|a| a.held))?;
        let m = ("stream_dropped", "Given up, and reported as a gap");
        family(e, Counter, m, streams(|a| a.dropped))?;
        let m = (
            "streams_unbalanced",
            "Streams whose account does not add up: a fault of the program",
        );
        let unbalanced = s.unbalanced().count();
        family(e, Gauge, m, [(vec![], unbalanced as f64)])?;

        let uplinks = |value: fn(&super::UplinkStatus) -> f64| {
            s.uplinks
                .iter()
                .map(move |uplink| (vec![("uplink", uplink.name.as_str())], value(uplink)))
        };
        let m = ("uplink_connected", "Whether the other side answers");
        family(e, Gauge, m, uplinks(|u| flag(u.connected)))?;
        let m = ("uplink_sent", "Messages sent, repeats included");
        family(e, Counter, m, uplinks(|u| u.sent as f64))?;
        let m = ("uplink_receipted", "Receipts that settled something");
        family(e, Counter, m, uplinks(|u| u.receipted as f64))?;
        let m = ("uplink_strange_receipts", "Receipts for nothing we hold");
        family(e, Counter, m, uplinks(|u| u.strange_receipts as f64))?;
        let m = ("uplink_poisoned", "Messages that the platform never takes");
        family(e, Counter, m, uplinks(|u| u.poisoned as f64))?;
        let m = ("uplink_came", "Verdicts and commands that came");
        family(e, Counter, m, uplinks(|u| u.came as f64))?;
        let m = ("uplink_garbled", "What came and cannot be answered");
        family(e, Counter, m, uplinks(|u| u.garbled as f64))?;
        let m = ("uplink_deferred", "What came and was too much");
        family(e, Counter, m, uplinks(|u| u.deferred as f64))?;
        let m = (
            "uplink_faults",
            "Connections lost or refused, time-outs, errors",
        );
        family(e, Counter, m, uplinks(|u| u.faults as f64))?;
        let m = ("uplink_bytes", "Bytes over the line, both ways, about");
        family(e, Counter, m, uplinks(|u| u.carried as f64))?;
        let budgets = |value: fn(&super::BudgetStatus) -> f64| {
            s.uplinks.iter().filter_map(move |u| {
                let budget = u.budget.as_ref()?;
                let labels = vec![("uplink", u.name.as_str()), ("per", budget.per.as_str())];
                Some((labels, value(budget)))
            })
        };
        let m = ("uplink_budget_bytes", "Bytes that the line may carry");
        family(e, Gauge, m, budgets(|b| b.bytes as f64))?;
        let m = ("uplink_budget_spent_bytes", "Bytes of it that are spent");
        family(e, Gauge, m, budgets(|b| b.spent as f64))?;

        verdicts(e, &s.verdicts)?;
        let totals = s.totals.iter().flat_map(|total| {
            let states = [
                ("raised", total.raised),
                ("updated", total.updated),
                ("cleared", total.cleared),
            ];
            states.map(|(state, n)| {
                let source = source_kind(total.source);
                let labels = vec![
                    ("kind", total.kind.slug()),
                    ("source", source),
                    ("state", state),
                ];
                (labels, n as f64)
            })
        });
        let m = ("alert_messages", "Alert messages made since the start");
        family(e, Counter, m, totals)?;
        let mut open: BTreeMap<(EventKind, Severity), u64> = BTreeMap::new();
        for alert in &s.alerts {
            *open.entry((alert.kind, alert.severity)).or_default() += 1;
        }
        let open = open.into_iter().map(|((kind, sev), n)| {
            (
                vec![("kind", kind.slug()), ("severity", severity(sev))],
                n as f64,
            )
        });
        family(
            e,
            Gauge,
            ("alerts_open", "Alerts that have not ended"),
            open,
        )
    }
}
