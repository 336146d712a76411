//! `wangge verdicts`: what the platform decided, as the running gateway tells it.

use std::path::Path;

use super::{
    print,
    status::{Language, ask, language},
    table::table,
};
use crate::console::{Precision, VerdictsStatus};

/// Letters of a reason in a column.
const REASON: usize = 40;

pub(super) fn verdicts(file: Option<&Path>, url: Option<&str>, as_json: bool) -> u8 {
    let status = match ask(file, url) {
        Ok((_, status)) => status,
        Err(code) => return code,
    };
    if as_json {
        let json = serde_json::to_string_pretty(&status.verdicts).unwrap_or_default();
        return print(&format!("{json}\n"));
    }
    print(&page(&status.verdicts, language()))
}

fn page(verdicts: &VerdictsStatus, language: Language) -> String {
    let chinese = language == Language::Chinese;
    let word = |zh: &'static str, en: &'static str| if chinese { zh } else { en };
    let mut page = String::new();
    let mut section = |title: &str, none: &str, rows: Vec<Vec<String>>| {
        if rows.len() < 2 {
            page.push_str(&format!("{title}: {none}\n"));
        } else {
            page.push_str(&format!("{title}\n{}", table(&rows)));
        }
        page.push('\n');
    };
    let head = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();

    let mut recent = vec![match chinese {
        true => head(&["时间", "结论", "设备", "规则", "事件", "案卷", "理由"]),
        false => head(&[
            "decided", "verdict", "subject", "rule", "kind", "case", "reason",
        ]),
    }];
    recent.extend(verdicts.recent.iter().map(|v| {
        vec![
            short(&v.at),
            word(v.status.name_zh(), v.status.slug()).to_owned(),
            v.subject.clone(),
            v.rule.clone(),
            word(v.kind.name_zh(), v.kind.slug()).to_owned(),
            v.case_no.clone().unwrap_or_else(|| "-".to_owned()),
            v.reason
                .iter()
                .flat_map(|r| r.chars())
                .take(REASON)
                .collect(),
        ]
    }));
    section(
        word("最近的结论", "latest verdicts"),
        word("无", "none yet"),
        recent,
    );

    let mut precision = vec![match chinese {
        true => head(&["设备", "规则", "属实", "不属实", "属实率", "95% 区间"]),
        false => head(&[
            "subject",
            "rule",
            "right",
            "wrong",
            "share",
            "95 % interval",
        ]),
    }];
    precision.extend(verdicts.precision.iter().map(|p| {
        vec![
            p.subject.clone(),
            p.rule.clone(),
            p.right.to_string(),
            p.wrong.to_string(),
            p.share.map_or_else(String::new, percent),
            interval(p),
        ]
    }));
    section(
        word("各规则的属实率", "how right the rules were"),
        word("尚无结论", "nothing judged yet"),
        precision,
    );

    let mut silences = vec![match chinese {
        true => head(&["设备", "规则", "静默至"]),
        false => head(&["subject", "rule", "silent until"]),
    }];
    silences.extend(
        verdicts
            .silences
            .iter()
            .map(|s| vec![s.subject.clone(), s.rule.clone(), short(&s.until)]),
    );
    section(
        word("静默的规则", "silent rules"),
        word("无", "none"),
        silences,
    );
    page
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn interval(p: &Precision) -> String {
    p.interval.map_or_else(String::new, |(low, high)| {
        format!("{:.0}-{:.0} %", low * 100.0, high * 100.0)
    })
}

/// Whole seconds are enough for people.
fn short(time: &str) -> String {
    let time = time.split('.').next().unwrap_or_default();
    time.trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use wangge_protocol::{EventKind, VerdictStatus};

    use super::*;
    use crate::console::{RecentVerdict, SilenceStatus};

    fn some() -> VerdictsStatus {
        VerdictsStatus {
            recent: vec![RecentVerdict {
                alert: "0190".into(),
                subject: "gate".into(),
                rule: "zone:yard".into(),
                kind: EventKind::IllegalDumping,
                status: VerdictStatus::Rejected,
                at: "2026-11-26T02:00:00.5Z".into(),
                reason: Some("树影".into()),
                case_no: None,
                picture: None,
                by: None,
            }],
            precision: vec![Precision {
                subject: "gate".into(),
                rule: "zone:yard".into(),
                right: 8,
                wrong: 2,
                share: Some(0.8),
                interval: Some((0.4902, 0.9433)),
            }],
            silences: vec![SilenceStatus {
                subject: "gate".into(),
                rule: "zone:yard".into(),
                until: "2026-11-26T08:00:00Z".into(),
            }],
            ..VerdictsStatus::default()
        }
    }

    #[test]
    fn people_read_it_in_their_language() {
        let english = page(&some(), Language::English);
        for part in [
            "2026-11-26T02:00:00  rejected  gate     zone:yard  illegal_dumping  -     树影",
            "gate     zone:yard  8      2      80 %   49-94 %",
            "gate     zone:yard  2026-11-26T08:00:00",
        ] {
            assert!(english.contains(part), "no {part:?} in\n{english}");
        }
        let chinese = page(&some(), Language::Chinese);
        for part in ["不予立案", "属实率", "静默至"] {
            assert!(chinese.contains(part), "no {part:?} in\n{chinese}");
        }
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let page = page(&VerdictsStatus::default(), Language::English);
        assert!(page.contains("latest verdicts: none yet"), "{page}");
        assert!(page.contains("silent rules: none"), "{page}");
    }
}
