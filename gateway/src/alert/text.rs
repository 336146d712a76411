//! The one sentence that people read, in Chinese and English.

use std::time::Duration;

use wangge_protocol::{
    AlertMeasurement, AlertSighting, AlertState, EventKind, Overrun, SourceKind, Text, Tier,
    VerdictStatus,
};

use super::directory::Listed;
use crate::{bilingual::text, config::Condition, observation::Quantity, rules::Finding};

/// Why an alert says what it says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause<'a> {
    /// A rule found it.
    Found(&'a Finding, Option<&'a Condition>),
    /// Its device or camera is no longer configured.
    SubjectRemoved,
    /// Its rule is no longer configured.
    RuleRemoved,
    /// The platform decided so.
    Judged(VerdictStatus),
    /// It holds although the platform was done with it.
    Reopened(VerdictStatus),
    /// It goes on to another tier, because the one that had it let the deadline pass, or is no
    /// longer served.
    Escalated { from: Tier, to: Tier, late: bool },
}

/// "海棠路12号“3号垃圾箱”垃圾箱满溢:满溢度93%,限值90%。" and
/// "Bin overflow at 3号垃圾箱 (海棠路12号): fill 93 %, limit 90 %."
pub(super) fn compose(
    kind: EventKind,
    state: AlertState,
    subject: Listed<'_>,
    cause: Cause<'_>,
) -> Text {
    let Listed { name, where_, .. } = subject;
    let zh_state = match state {
        AlertState::Raised => "",
        AlertState::Updated => "仍在持续",
        AlertState::Cleared => "已解除",
    };
    let en_state = match state {
        AlertState::Raised => "",
        AlertState::Updated => " goes on",
        AlertState::Cleared => " is over",
    };
    let found = match (subject.source, state) {
        (SourceKind::Camera, AlertState::Raised) if !about_devices(kind) => "发现",
        _ => "",
    };
    let detail = detail(state, cause);
    let clause = |text: &str, colon: &str| match text {
        "" => String::new(),
        _ => format!("{colon}{text}"),
    };
    Text {
        zh: format!(
            "{where_}“{name}”{found}{}{zh_state}{}。",
            kind.name_zh(),
            clause(&detail.zh, ":")
        ),
        en: format!(
            "{}{en_state} at {name} ({where_}){}.",
            name_en(kind),
            clause(detail.en.trim_end_matches('.'), ": ")
        ),
    }
}

fn escalated(from: Tier, to: Tier, late: bool) -> Text {
    let (from_zh, to_zh) = (from.name_zh(), to.name_zh());
    let name = |tier| match tier {
        Tier::Community => "the community",
        Tier::Street => "the street office",
        Tier::City => "the city",
    };
    let (from, to) = (name(from), name(to));
    match late {
        true => text(
            format!("{from_zh}逾期未处置,转{to_zh}"),
            format!("not settled by {from} in time, now with {to}"),
        ),
        false => text(
            format!("{from_zh}不再受理,转{to_zh}"),
            format!("{from} no longer takes alerts, now with {to}"),
        ),
    }
}

/// Kinds about the equipment, which a camera does not "find".
fn about_devices(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::DeviceSilent
            | EventKind::DeviceQuarantined
            | EventKind::CameraFault
            | EventKind::VisionFault
            | EventKind::ConfigFault
            | EventKind::StorageFault
    )
}

/// The kind's name in English.
pub fn name_en(kind: EventKind) -> &'static str {
    match kind {
        EventKind::IllegalDumping => "Illegal dumping",
        EventKind::GarbageExposed => "Rubbish in the open",
        EventKind::BinOverflow => "Bin overflow",
        EventKind::BinFire => "Fire in a bin",
        EventKind::BinTilt => "Bin knocked over",
        EventKind::BatteryLow => "Low battery",
        EventKind::ShopOverflow => "Shop beyond its line",
        EventKind::StreetVendor => "Unlicensed street vendor",
        EventKind::StallLeftover => "Left behind by a stall",
        EventKind::RoadOccupation => "Road occupied",
        EventKind::GreenEncroachment => "Public green taken over",
        EventKind::PublicSpaceEncroachment => "Public space taken over",
        EventKind::VehicleParking => "Vehicle parked where none may stand",
        EventKind::NonmotorParking => "Bicycle or scooter parked where none may stand",
        EventKind::IllegalStructure => "Building without a permit",
        EventKind::MaterialPile => "Piled goods or material",
        EventKind::MessyWiring => "Wires across public space",
        EventKind::Flyposting => "Flyposting",
        EventKind::WaterLeak => "Suspected water leak",
        EventKind::BurstSuspected => "Suspected burst pipe",
        EventKind::MeterFault => "Meter fault",
        EventKind::DeviceSilent => "Device offline",
        EventKind::DeviceQuarantined => "Device quarantined",
        EventKind::CameraFault => "Camera fault",
        EventKind::VisionFault => "Picture analysis stopped",
        EventKind::ConfigFault => "Gateway configuration needs a look",
        EventKind::StorageFault => "Gateway storage fault",
    }
}

fn detail(state: AlertState, cause: Cause<'_>) -> Text {
    let (finding, when) = match cause {
        Cause::Found(finding, when) => (finding, when),
        Cause::SubjectRemoved => {
            return text(
                "设备已从配置中移除",
                "the device was removed from the configuration",
            );
        }
        Cause::RuleRemoved => {
            return text(
                "规则已从配置中移除",
                "the rule was removed from the configuration",
            );
        }
        Cause::Judged(status) => return judged(status),
        Cause::Reopened(status) => {
            let before = judged(status);
            return text(
                format!("{},但情况仍然存在", before.zh),
                format!("{}, but it is still there", before.en),
            );
        }
        Cause::Escalated { from, to, late } => return escalated(from, to, late),
    };
    let over = state == AlertState::Cleared;
    if let Some(measurement) = &finding.measurement {
        return figure(measurement, when, over);
    }
    if let Some(sighting) = &finding.sighting {
        let Text { zh, en } = seen(sighting);
        return match &finding.reason {
            Some(why) => text(format!("{zh},{}", why.zh), format!("{en}, {}", why.en)),
            None => text(zh, en),
        };
    }
    if let Some(reason) = &finding.reason {
        return reason.clone();
    }
    match when {
        Some(Condition::Absence { .. }) if over => text("已恢复上报", "it reports again"),
        Some(Condition::Absence { after }) => {
            let span = span(*after);
            text(
                format!("超过{}没有数据", span.zh),
                format!("nothing heard for {}", span.en),
            )
        }
        Some(Condition::Presence { .. }) if over => text("区域内已清空", "the zone is empty"),
        Some(Condition::Health) | None if over => text("已恢复正常", "it works again"),
        _ => text("", ""),
    }
}

fn judged(status: VerdictStatus) -> Text {
    match status {
        VerdictStatus::Accepted => text("平台已受理", "the platform takes it on"),
        VerdictStatus::Rejected => text("平台不予立案", "the platform rejected it"),
        VerdictStatus::Filed => text("平台已立案", "the platform filed a case"),
        VerdictStatus::Resolved => text("平台已处置", "the platform dealt with it"),
        VerdictStatus::Closed => text("平台已结案", "the platform closed the case"),
    }
}

fn figure(measurement: &AlertMeasurement, when: Option<&Condition>, over: bool) -> Text {
    let quantity = Quantity::ALL
        .iter()
        .find(|q| q.slug() == measurement.quantity);
    let (zh, unit) = quantity.map_or(("数值", ""), |q| shown(*q));
    let en = &measurement.quantity;
    let value = number(measurement.value);
    let space = if unit.is_empty() { "" } else { " " };
    let now = text(
        format!("{zh}{value}{unit}"),
        format!("{en} {value}{space}{unit}"),
    );
    let Some(limit) = measurement.limit.filter(|_| !over) else {
        return now;
    };
    let limit = number(limit);
    match when {
        Some(Condition::Rate { .. }) => text(
            format!("{},变化达到每分钟{limit}{unit}", now.zh),
            format!(
                "{}, changing by {limit}{space}{unit} a minute or more",
                now.en
            ),
        ),
        Some(Condition::NightFlow { hold, .. }) => {
            let span = span(*hold);
            text(
                format!("夜间连续{}用水不断,{}", span.zh, now.zh),
                format!(
                    "water ran for {} of the night without a pause, {}",
                    span.en, now.en
                ),
            )
        }
        _ => text(
            format!("{},限值{limit}{unit}", now.zh),
            format!("{}, limit {limit}{space}{unit}", now.en),
        ),
    }
}

/// Chinese name and the unit as people write it.
fn shown(quantity: Quantity) -> (&'static str, &'static str) {
    match quantity {
        Quantity::Fill => ("满溢度", "%"),
        Quantity::Distance => ("距离", "mm"),
        Quantity::Temperature => ("温度", "°C"),
        Quantity::Tilt => ("倾角", "°"),
        Quantity::Battery => ("电量", "%"),
        Quantity::Voltage => ("电压", "V"),
        Quantity::Flow => ("流量", "m³/h"),
        Quantity::Volume => ("读数", "m³"),
        Quantity::Level => ("数值", ""),
    }
}

fn seen(sighting: &AlertSighting) -> Text {
    let span = span(Duration::try_from_secs_f64(sighting.dwell_s).unwrap_or_default());
    if let Some(bin) = &sighting.full_bin {
        return text(
            format!("旁边的垃圾箱{bin}已满,外溢{}", span.zh),
            format!("beside it bin {bin} is full, there for {}", span.en),
        );
    }
    if let Some(overrun) = &sighting.overrun {
        return over_line(overrun, &span);
    }
    let Some(story) = &sighting.story else {
        return text(
            format!("{}停留{}", label_zh(&sighting.label), span.zh),
            format!("{} there for {}", sighting.label, span.en),
        );
    };
    let (who_zh, who_en) = match &story.actor {
        Some(actor) => (
            format!("疑由{}遗留", label_zh(&actor.label)),
            format!("apparently left by a {}", actor.label),
        ),
        None => ("未见责任人".into(), "no actor seen".into()),
    };
    let (what_zh, what_en) = match &story.litter {
        Some(litter) if litter.likely => ("新出现疑似袋装垃圾", "what looks like bagged rubbish"),
        _ => ("新出现物品", "something new"),
    };
    text(
        format!("{what_zh}滞留{},{who_zh}", span.zh),
        format!("{what_en} there for {}, {who_en}", span.en),
    )
}

fn over_line(overrun: &Overrun, span: &Text) -> Text {
    let (metres, error) = (overrun.metres, overrun.error_m);
    // The line of one metre has a name of its own.
    let line = match number(overrun.limit_m).as_str() {
        "0" => "门前界线".to_owned(),
        "1" => "一米线".to_owned(),
        limit => format!("{limit}米线"),
    };
    text(
        format!(
            "超出{line} {metres:.2} m ± {error:.2} m, 沿街 {:.1} m, 持续 {}",
            overrun.along_m, span.en
        ),
        format!(
            "{metres:.2} m ± {error:.2} m over the line along {:.1} m for {}",
            overrun.along_m, span.en
        ),
    )
}

/// Detector labels (COCO's) that matter in a street, in Chinese; others stay as they are.
fn label_zh(label: &str) -> &str {
    match label {
        "person" => "人员",
        "bicycle" => "自行车",
        "motorcycle" => "摩托车或电动车",
        "car" => "汽车",
        "bus" => "大客车",
        "truck" => "货车",
        "bench" => "长凳",
        "chair" => "椅子",
        "couch" => "沙发",
        "bed" => "床",
        "dining table" => "桌子",
        "umbrella" => "遮阳伞",
        "backpack" => "背包",
        "handbag" => "提包",
        "suitcase" => "箱包",
        "bottle" => "瓶子",
        "potted plant" => "盆栽",
        "tv" => "电视机",
        "refrigerator" => "冰箱",
        "dog" => "犬只",
        "object" => "物品",
        other => other,
    }
}

/// Up to three decimals for small figures, one for large ones, no trailing zeros.
fn number(value: f64) -> String {
    let decimals = if value.abs() < 1.0 { 3 } else { 1 };
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" | "" => "0".into(),
        text => text.into(),
    }
}

/// In the unit that gives at least two of it, rounded down.
fn span(duration: Duration) -> Text {
    let seconds = duration.as_secs();
    let (n, zh, en) = match seconds {
        0..120 => (seconds, "秒", "s"),
        120..7_200 => (seconds / 60, "分钟", "min"),
        7_200..172_800 => (seconds / 3_600, "小时", "h"),
        _ => (seconds / 86_400, "天", "d"),
    };
    text(format!("{n}{zh}"), format!("{n} {en}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_short() {
        for (value, shown) in [
            (93.0, "93"),
            (93.46, "93.5"),
            (0.02, "0.02"),
            (0.0004, "0"),
            (-0.0004, "0"),
            (-12.5, "-12.5"),
            (100.0, "100"),
            (1e9, "1000000000"),
        ] {
            assert_eq!(number(value), shown);
        }
        for (seconds, zh, en) in [
            (0, "0秒", "0 s"),
            (119, "119秒", "119 s"),
            (120, "2分钟", "2 min"),
            (7_199, "119分钟", "119 min"),
            (7_200, "2小时", "2 h"),
            (172_800, "2天", "2 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text(zh, en));
        }
    }

    #[test]
    fn metres_over_a_line_are_told_with_their_error() {
        let over = |limit_m| Overrun {
            metres: 0.618,
            error_m: 0.151,
            along_m: 3.96,
            along_error_m: 0.2,
            limit_m,
        };
        let seven = span(Duration::from_secs(7 * 60 + 20));
        let told = over_line(&over(1.0), &seven);
        assert_eq!(
            told.zh,
            "超出一米线 0.62 m ± 0.15 m, 沿街 4.0 m, 持续 7 min"
        );
        assert_eq!(
            told.en,
            "0.62 m ± 0.15 m over the line along 4.0 m for 7 min"
        );
        for (limit, zh) in [(0.0, "超出门前界线 "), (1.5, "超出1.5米线 ")] {
            assert!(over_line(&over(limit), &seven).zh.starts_with(zh));
        }
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut names: Vec<_> = EventKind::ALL.iter().map(|k| name_en(*k)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventKind::ALL.len());
    }
}
