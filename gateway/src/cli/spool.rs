//! `wangge spool`.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::{FAILED, OK, complain, print, status::chinese, storage_path};
use crate::spool::{self, ExportReport, Progress};

/// How often an export says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(2);

pub(super) fn check(path: Option<&Path>, config_file: &Path, as_json: bool) -> u8 {
    let path = match storage_path(path, config_file) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let report = match spool::check(&path) {
        Ok(report) => report,
        Err(error) => return complain(&error.to_string()),
    };
    let text = if as_json {
        json(&report, report.is_sound(), "sound")
    } else {
        format!("{report}\n")
    };
    verdict(&text, report.is_sound())
}

pub(super) fn export(path: Option<&Path>, config_file: &Path, out: &Path, as_json: bool) -> u8 {
    let path = match storage_path(path, config_file) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let mut said = Instant::now();
    let mut say = |progress: Progress| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            let Progress { records, pictures } = progress;
            let text = match chinese() {
                true => format!("已导出 {records} 条记录，{pictures} 张图片\n"),
                false => format!("{records} records, {pictures} pictures so far\n"),
            };
            // Nobody may be reading it.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    };
    let report = match spool::export(&path, out, &mut say) {
        Ok(report) => report,
        Err(error) => return complain(&error.to_string()),
    };
    let text = if as_json {
        json(&report, report.is_whole(), "whole")
    } else {
        words(&report, chinese())
    };
    verdict(&text, report.is_whole())
}

fn json(report: &impl serde::Serialize, is_good: bool, word: &str) -> String {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value[word] = is_good.into();
    format!("{value}\n")
}

fn verdict(text: &str, is_good: bool) -> u8 {
    match print(text) {
        OK if is_good => OK,
        _ => FAILED,
    }
}

/// The report for people.
fn words(report: &ExportReport, chinese: bool) -> String {
    use spool::Origin::{Carved, Held, Quarantined, Unacknowledged};
    let of = |origin| report.origins.get(&origin).copied().unwrap_or(0);
    let pick = |zh: String, en: String| if chinese { zh } else { en };
    let Progress { records, pictures } = report.written;
    let out = report.out.display();
    let mut text = pick(
        format!("已导出到 {out}：{records} 条记录，{pictures} 张图片；清单见 index.jsonl\n"),
        format!("{out}: {records} records, {pictures} pictures; index.jsonl lists them\n"),
    );
    let origins = [
        (Held, "待送达", "waiting for delivery"),
        (
            Unacknowledged,
            "未向来源确认",
            "never acknowledged to their source",
        ),
        (
            Quarantined,
            "来自隔离的数据库，可能已送达",
            "from databases in quarantine; they may have been delivered",
        ),
        (
            Carved,
            "从损坏的文件中找回，可能已送达",
            "found in the bare file; they may have been delivered",
        ),
    ];
    for (origin, zh, en) in origins {
        match of(origin) {
            0 => {}
            n => text += &format!("  {n:>8} {}\n", if chinese { zh } else { en }),
        }
    }
    if let Some(why) = &report.damaged {
        text += &pick(
            format!("  数据库已损坏：{why}\n"),
            format!("  DAMAGED: {why}\n"),
        );
    }
    for (n, zh, en) in [
        (
            report.lost,
            "条已确认的记录在数据库中读不到",
            "acknowledged records are not readable in the database",
        ),
        (
            report.unreadable,
            "条记录校验和错误",
            "records with a wrong checksum",
        ),
    ] {
        if n > 0 {
            text += &format!("  {n} {}\n", if chinese { zh } else { en });
        }
    }
    for sha256 in &report.missing_pictures {
        text += &pick(
            format!("  缺少图片 {sha256}\n"),
            format!("  MISSING picture {sha256}\n"),
        );
    }
    let (zh, en) = match report.is_whole() {
        true => ("完整", "everything is there"),
        false => ("不完整", "NOT everything is there"),
    };
    text + if chinese { zh } else { en } + "\n"
}
