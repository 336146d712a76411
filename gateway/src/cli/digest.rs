//! `wangge digest`.

use std::{collections::BTreeMap, path::Path};

use jiff::{ToSpan, civil::Date};
use serde_json::json;
use wangge_protocol::{Counts, EventKind, Tier};

use super::{
    UNREACHABLE, USAGE, complain, print,
    status::{Language, fetch, language},
    table::table,
};
use crate::{config, console::DigestPage, routing::DayRow};

/// How the figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
    Csv,
}

pub(super) fn digest(file: &Path, since: Option<&str>, format: Format) -> u8 {
    let address = match config::console_address(file) {
        Ok(address) => address,
        Err(reason) => {
            complain(&reason);
            return USAGE;
        }
    };
    let answer = fetch(address, "/digest").and_then(|body| {
        serde_json::from_str::<DigestPage>(&body)
            .map_err(|error| format!("what answers is no Wangge gateway ({error})"))
    });
    let page = match answer {
        Ok(page) => page,
        Err(reason) => {
            complain(&format!(
                "no gateway at {address}: {reason}; does `wangge run` run?"
            ));
            return UNREACHABLE;
        }
    };
    let since = match since {
        Some(text) => match text.parse::<Date>() {
            Ok(date) => date,
            Err(_) => {
                complain(&format!("--since {text}: a date is written 2026-11-26"));
                return USAGE;
            }
        },
        None => page.today.checked_sub(6.days()).unwrap_or(page.today),
    };
    let rows: Vec<DayRow> = page
        .rows
        .iter()
        .filter(|r| r.date >= since)
        .cloned()
        .collect();
    print(&match format {
        Format::Text => text(&page, since, &rows, language()),
        Format::Csv => csv(&rows),
        Format::Json => {
            let report = json!({
                "station": page.station, "from": since, "to": page.today,
                "open": page.open, "overdue": page.overdue, "rows": rows,
            });
            format!("{report:#}\n")
        }
    })
}

fn text(page: &DigestPage, since: Date, rows: &[DayRow], language: Language) -> String {
    let zh = language == Language::Chinese;
    let mut sums: BTreeMap<(EventKind, Tier), Counts> = BTreeMap::new();
    for row in rows {
        sums.entry((row.kind, row.tier))
            .or_default()
            .add(&row.counts);
    }
    let head = match zh {
        true => ["事件", "层级", "收到", "按期", "超期", "升级"],
        false => ["event", "tier", "received", "in time", "late", "escalated"],
    };
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let mut all = Counts::default();
    for ((kind, tier), counts) in &sums {
        all.add(counts);
        let names = match zh {
            true => [kind.name_zh(), tier.name_zh()],
            false => [kind.slug(), tier.slug()],
        };
        lines.push(line(names, counts));
    }
    lines.push(line([if zh { "合计" } else { "all" }, ""], &all));
    let (open, overdue) = (page.open, page.overdue);
    let title = match zh {
        true => format!(
            "{} {since} 至 {}:未结 {open} 件,其中逾期 {overdue} 件\n",
            page.station, page.today
        ),
        false => format!(
            "{} {since} to {}: {open} open, {overdue} of them past their deadline\n",
            page.station, page.today
        ),
    };
    format!("{title}{}", table(&lines))
}

fn line(names: [&str; 2], counts: &Counts) -> Vec<String> {
    let figures = [
        counts.received,
        counts.in_time,
        counts.late,
        counts.escalated,
    ];
    let names = names.iter().map(|name| (*name).to_owned());
    names.chain(figures.map(|n| n.to_string())).collect()
}

/// One line a day, kind and tier; slugs, so that nothing needs quotes.
fn csv(rows: &[DayRow]) -> String {
    let mut out = "date,kind,tier,received,in_time,late,escalated\n".to_owned();
    for row in rows {
        let c = &row.counts;
        out.push_str(&format!(
            "{},{},{},{},{},{},{}\n",
            row.date,
            row.kind,
            row.tier.slug(),
            c.received,
            c.in_time,
            c.late,
            c.escalated
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> DigestPage {
        let row = |date: &str, kind, tier, received| DayRow {
            date: date.parse().unwrap(),
            kind,
            tier,
            counts: Counts {
                received,
                in_time: 1,
                late: 1,
                escalated: 0,
            },
        };
        DigestPage {
            station: "s1".into(),
            today: "2026-11-26".parse().unwrap(),
            open: 3,
            overdue: 1,
            rows: vec![
                row("2026-11-25", EventKind::BinOverflow, Tier::Community, 2),
                row("2026-11-26", EventKind::BinOverflow, Tier::Community, 3),
                row("2026-11-26", EventKind::BinFire, Tier::City, 4),
            ],
        }
    }

    #[test]
    fn figures_as_people_and_programs_read_them() {
        let page = page();
        let since = "2026-11-20".parse().unwrap();
        let shown = text(&page, since, &page.rows, Language::English);
        assert!(
            shown.starts_with("s1 2026-11-20 to 2026-11-26: 3 open, 1 of them"),
            "{shown}"
        );
        let line = |name: &str| shown.lines().find(|l| l.contains(name)).unwrap().to_owned();
        let figures = |line: String| -> Vec<u32> {
            line.split_whitespace()
                .filter_map(|w| w.parse().ok())
                .collect()
        };
        assert_eq!(figures(line("bin_overflow")), [5, 2, 2, 0]);
        assert_eq!(figures(line("all")), [9, 3, 3, 0]);
        let shown = text(&page, since, &page.rows, Language::Chinese);
        for words in ["垃圾箱满溢", "社区", "按期", "合计", "其中逾期 1 件"] {
            assert!(shown.contains(words), "{shown}");
        }
        let table = csv(&page.rows);
        assert_eq!(table.lines().count(), 4);
        assert!(
            table.contains("2026-11-25,bin_overflow,community,2,1,1,0"),
            "{table}"
        );
    }
}
