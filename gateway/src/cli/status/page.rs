//! The status as people read it, in Chinese or English.

use wangge_protocol::ClockQuality;

use crate::{cli::table::table, console::Status};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Language {
    English,
    Chinese,
}

/// The language of the person's terminal.
pub(in crate::cli) fn language() -> Language {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    match locale {
        Some(locale) if locale.starts_with("zh") => Language::Chinese,
        _ => Language::English,
    }
}

struct Words {
    running: &'static str,
    clock: [&'static str; 3],
    key: &'static str,
    unsigned: &'static str,
    sources: [&'static str; 5],
    cameras: &'static str,
    usable: &'static str,
    vision: &'static str,
    down: &'static str,
    restarts: &'static str,
    weakness: &'static str,
    storage: &'static str,
    hours_left: &'static str,
    only_alerts: &'static str,
    classes: [&'static str; 5],
    class_names: [(&'static str, &'static str); 4],
    unbalanced: &'static str,
    refusing: &'static str,
    notice: &'static str,
    streams: [&'static str; 5],
    uplinks: [&'static str; 5],
    connected: &'static str,
    away: &'static str,
    alerts: &'static str,
    budget: &'static str,
    day: &'static str,
    month: &'static str,
    spent: &'static str,
    window: &'static str,
    verdicts: [&'static str; 4],
    silent: &'static str,
    reloaded: &'static str,
    overdue: &'static str,
}

const EN: Words = Words {
    running: "running for",
    clock: ["clock synchronised", "clock held", "CLOCK NOT BELIEVED"],
    key: "key",
    unsigned: "ALERTS NOT SIGNED",
    sources: ["source", "received", "accepted", "refused", "faults"],
    cameras: "cameras",
    usable: "good",
    vision: "picture analysis",
    down: "DOWN",
    restarts: "restarts",
    weakness: "does without",
    storage: "storage",
    hours_left: "hours left if nothing is delivered",
    only_alerts: "ONLY ALERTS ARE TAKEN: the storage is nearly full",
    classes: ["kept", "number", "MB", "at most MB", "%"],
    class_names: [
        ("alert", "alerts"),
        ("gap", "gaps, answers"),
        ("telemetry", "readings"),
        ("picture", "pictures"),
    ],
    unbalanced: "THE ACCOUNT DOES NOT ADD UP, a fault of the program",
    refusing: "NOTHING IS ACCEPTED",
    notice: "to be seen to",
    streams: ["stream", "in", "out", "held", "dropped"],
    uplinks: ["uplink", "state", "sent", "receipts", "faults"],
    connected: "connected",
    away: "AWAY",
    alerts: "open alerts",
    budget: "line budget",
    day: "a day",
    month: "a month",
    spent: "spent: alerts only",
    window: "outside its window: alerts go, readings and full pictures wait",
    verdicts: [
        "verdicts",
        "alerts were right",
        "of",
        "see `wangge verdicts`",
    ],
    silent: "silent by command",
    reloaded: "configuration read again",
    overdue: "overdue",
};

const ZH: Words = Words {
    running: "已运行",
    clock: ["时钟已同步", "时钟未同步", "时钟不可信"],
    key: "密钥",
    unsigned: "告警未签名",
    sources: ["来源", "收到", "接受", "拒绝", "故障"],
    cameras: "摄像头",
    usable: "正常",
    vision: "视频分析",
    down: "已停止",
    restarts: "重启次数",
    weakness: "受限",
    storage: "存储",
    hours_left: "小时后写满（若无法送达）",
    only_alerts: "存储将满，仅接收告警",
    classes: ["留存", "数量", "MB", "上限 MB", "%"],
    class_names: [
        ("alert", "告警"),
        ("gap", "缺失与答复"),
        ("telemetry", "读数"),
        ("picture", "图片"),
    ],
    unbalanced: "账目不平（程序缺陷）",
    refusing: "已停止接收数据",
    notice: "待处理",
    streams: ["数据流", "接收", "送达", "待发", "丢弃"],
    uplinks: ["上联", "状态", "已发", "回执", "故障"],
    connected: "已连接",
    away: "未连接",
    alerts: "未结束的告警",
    budget: "流量额度",
    day: "每日",
    month: "每月",
    spent: "已用完：仅发送告警",
    window: "不在传输时段：告警照发，读数和原图等待",
    verdicts: ["平台结论", "个告警属实", "共", "详见 `wangge verdicts`"],
    silent: "按指令静默",
    reloaded: "配置重新读取",
    overdue: "已逾期",
};

/// The whole status.
pub(super) fn show(status: &Status, language: Language) -> String {
    let w = match language {
        Language::English => &EN,
        Language::Chinese => &ZH,
    };
    let mut page = format!(
        "{} ({}), wangge {}, {} {}, {}, {}\n",
        status.station.name,
        status.station.id,
        status.version,
        w.running,
        duration(status.uptime_s),
        w.clock[match status.proof.clock {
            ClockQuality::Synchronised => 0,
            ClockQuality::Held => 1,
            ClockQuality::Unknown => 2,
        }],
        match &status.proof.key {
            Some(key) => format!("{} {key}", w.key),
            None => w.unsigned.to_owned(),
        }
    );
    storage(&mut page, status, w);
    section(
        &mut page,
        w.sources,
        status.sources.iter().map(|s| {
            let counts = [s.received, s.accepted, s.refused, s.faults];
            row(&s.name, counts)
        }),
    );
    section(
        &mut page,
        w.uplinks,
        status.uplinks.iter().map(|u| {
            let state = if u.connected { w.connected } else { w.away };
            let mut cells = row(&u.name, [u.sent, u.receipted, u.faults]);
            cells.insert(1, state.to_owned());
            cells.extend(u.last_error.clone().filter(|_| !u.connected));
            cells
        }),
    );
    lines(&mut page, status, w);
    section(
        &mut page,
        w.streams,
        status
            .streams
            .iter()
            .map(|(name, a)| row(name, [a.accepted, a.receipted, a.held, a.dropped])),
    );
    cameras(&mut page, status, w, language);
    verdicts(&mut page, status, w);
    alerts(&mut page, status, w, language);
    page
}

fn verdicts(page: &mut String, status: &Status, w: &Words) {
    let v = &status.verdicts;
    let right: u64 = v.precision.iter().map(|p| p.right).sum();
    let judged = right + v.precision.iter().map(|p| p.wrong).sum::<u64>();
    if judged > 0 {
        let [title, were_right, of, see] = w.verdicts;
        page.push_str(&format!(
            "\n{title}: {right} {were_right}, {of} {judged}; {see}\n"
        ));
    }
    for silence in &v.silences {
        let until = silence.until.split('.').next().unwrap_or_default();
        let (subject, rule) = (&silence.subject, &silence.rule);
        page.push_str(&format!("{}: {subject} {rule} -> {until}\n", w.silent));
    }
    if let Some(said) = &v.reloaded {
        page.push_str(&format!("{}: {said}\n", w.reloaded));
    }
}

fn row<const N: usize>(name: &str, counts: [u64; N]) -> Vec<String> {
    let counts = counts.iter().map(u64::to_string);
    std::iter::once(name.to_owned()).chain(counts).collect()
}

/// A table with its header, if there is anything in it.
fn section(page: &mut String, header: [&str; 5], rows: impl Iterator<Item = Vec<String>>) {
    let mut all = vec![header.map(str::to_owned).to_vec()];
    all.extend(rows);
    if all.len() > 1 {
        page.push('\n');
        page.push_str(&table(&all));
    }
}

/// Budgets and windows, of those uplinks that have some.
fn lines(page: &mut String, status: &Status, w: &Words) {
    for u in &status.uplinks {
        if let Some(b) = &u.budget {
            let (spent, of) = (b.spent as f64 / 1e6, b.bytes as f64 / 1e6);
            let per = match b.per.as_str() {
                "day" => w.day,
                _ => w.month,
            };
            let percent = 100.0 * b.spent as f64 / b.bytes.max(1) as f64;
            page.push_str(&format!(
                "{} {}: {spent:.1} / {of:.0} MB {per} ({percent:.0} %)",
                w.budget, u.name
            ));
            if b.spent >= b.bytes {
                page.push_str(&format!(", {}", w.spent));
            }
            page.push('\n');
        }
        if u.window_open == Some(false) {
            page.push_str(&format!("{}: {}\n", u.name, w.window));
        }
    }
}

fn storage(page: &mut String, status: &Status, w: &Words) {
    let s = &status.storage;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (used, quota) = (mb(s.bytes), mb(s.quota));
    page.push_str(&format!("{}: {used:.1} / {quota:.0} MB", w.storage));
    if let Some(hours) = s.hours_left {
        page.push_str(&format!(", {hours:.0} {}", w.hours_left));
    }
    page.push('\n');
    if let Some(reason) = &s.refusing {
        page.push_str(&format!("{}: {reason}\n", w.refusing));
    }
    if s.watermark > 0 && s.used > s.watermark {
        page.push_str(&format!("{}\n", w.only_alerts));
    }
    for stream in status.unbalanced() {
        page.push_str(&format!("{stream}: {}\n", w.unbalanced));
    }
    for notice in &status.notices {
        page.push_str(&format!("{}: {notice}\n", w.notice));
    }
    let classes = w.class_names.iter().filter_map(|(name, shown)| {
        let class = s.classes.get(*name)?;
        let share = class.bytes as f64 * 100.0 / class.limit.max(1) as f64;
        Some(vec![
            (*shown).to_owned(),
            class.records.to_string(),
            format!("{:.1}", mb(class.bytes)),
            format!("{:.0}", mb(class.limit)),
            format!("{share:.0}"),
        ])
    });
    section(page, w.classes, classes);
}

fn cameras(page: &mut String, status: &Status, w: &Words, language: Language) {
    // A gateway of an older version says it in English only.
    let said = |en: &Option<String>, zh: &Option<String>| match language {
        Language::English => en.clone(),
        Language::Chinese => zh.clone().or_else(|| en.clone()),
    };
    if let Some(vision) = &status.vision {
        let state = match (vision.pid, said(&vision.last_error, &vision.last_error_zh)) {
            (Some(pid), _) => format!("pid {pid}"),
            (None, Some(error)) => format!("{} ({error})", w.down),
            (None, None) => w.down.to_owned(),
        };
        let (title, restarts) = (w.vision, w.restarts);
        page.push_str(&format!(
            "\n{title}: {state}, {restarts} {}\n",
            vision.restarts
        ));
        for weakness in &vision.weaknesses {
            page.push_str(&format!("  {}: {weakness}\n", w.weakness));
        }
    }
    if !status.cameras.is_empty() {
        page.push_str(&format!("\n{}\n", w.cameras));
        let rows = status.cameras.iter().map(|camera| {
            let fault = said(&camera.fault, &camera.fault_zh);
            vec![
                camera.id.clone(),
                fault.unwrap_or_else(|| w.usable.to_owned()),
            ]
        });
        page.push_str(&table(&rows.collect::<Vec<_>>()));
    }
}

fn alerts(page: &mut String, status: &Status, w: &Words, language: Language) {
    page.push_str(&format!("\n{}: {}\n", w.alerts, status.alerts.len()));
    let rows = status.alerts.iter().map(|alert| {
        let kind = match language {
            Language::English => alert.kind.slug(),
            Language::Chinese => alert.kind.name_zh(),
        };
        // Whole seconds are enough for people.
        let since = alert.since.split('.').next().unwrap_or_default();
        let since = since.trim_end_matches('Z');
        let mut cells = [since, &alert.subject, kind, &alert.id]
            .map(str::to_owned)
            .to_vec();
        if let Some(tier) = alert.tier {
            let name = match language {
                Language::English => tier.slug(),
                Language::Chinese => tier.name_zh(),
            };
            cells.push(name.to_owned());
            let until = alert.deadline.as_deref().and_then(|at| at.get(..16));
            cells.push(match until {
                Some(until) => format!("≤ {until}Z"),
                None if alert.overdue => w.overdue.to_owned(),
                None => String::new(),
            });
        }
        cells
    });
    page.push_str(&table(&rows.collect::<Vec<_>>()));
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}
