//! The ledger as a table for people, and as JSON.

use std::{collections::BTreeMap, io, path::Path};

use jiff::civil::Date;
use serde::Serialize;

use super::ledger::{Compared, Ledger, Line, Side};

/// What a zone's day came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    pub day: String,
    /// `model` or `zone`.
    pub compared: String,
    pub camera: String,
    pub zone: String,
    pub kind: String,
    /// Alerts of the live side.
    pub live: u64,
    /// Alerts that the shadow would have raised.
    pub shadow: u64,
    /// Alerts of the live side that the shadow has too.
    pub both: u64,
    /// Alerts of the live side alone: missed by the shadow, or false.
    pub only_live: u64,
    /// Of the shadow alone: false, or missed by the live side.
    pub only_shadow: u64,
    /// Mean longest stay of an alert, seconds.
    pub live_dwell_s: f64,
    pub shadow_dwell_s: f64,
}

/// A camera's looks of a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Looks {
    pub day: String,
    pub camera: String,
    pub live: u64,
    pub shadow: u64,
}

/// Some days of a ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// First day that is in it.
    pub since: String,
    pub rows: Vec<Row>,
    pub looks: Vec<Looks>,
    /// Lines of the ledger that could not be read.
    pub damaged: u64,
}

impl Report {
    /// Reads a ledger from the day `since` on.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(folder: &Path, since: Date) -> io::Result<Self> {
        let contents = Ledger::new(folder.to_path_buf()).read()?;
        Ok(Self::of(&contents.lines, contents.damaged, since))
    }

    fn of(lines: &[Line], damaged: u64, since: Date) -> Self {
        let since = since.to_string();
        let mut rows: BTreeMap<_, Row> = BTreeMap::new();
        let mut looks: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        // Days are written so that they sort as text.
        for line in lines.iter().filter(|l| *l.day() >= *since) {
            match line {
                Line::Looks {
                    day,
                    camera,
                    live,
                    shadow,
                } => {
                    let sum = looks.entry((day.clone(), camera.clone())).or_default();
                    *sum = (sum.0 + live, sum.1 + shadow);
                }
                Line::Alert {
                    day,
                    compared,
                    side,
                    camera,
                    zone,
                    kind,
                    dwell_s,
                    matched,
                    ..
                } => {
                    let key = (day.clone(), *compared, camera.clone(), zone.clone());
                    let row = rows.entry(key).or_insert_with(|| Row {
                        day: day.clone(),
                        compared: match compared {
                            Compared::Model => "model".into(),
                            Compared::Zone => "zone".into(),
                        },
                        camera: camera.clone(),
                        zone: zone.clone(),
                        kind: kind.slug().into(),
                        ..Row::default()
                    });
                    row.add(*side, *matched, *dwell_s);
                }
            }
        }
        let looks = looks
            .into_iter()
            .map(|((day, camera), (live, shadow))| Looks {
                day,
                camera,
                live,
                shadow,
            });
        Report {
            since,
            rows: rows.into_values().collect(),
            looks: looks.collect(),
            damaged,
        }
    }

    /// The cells of the table, headings first, in Chinese and English.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let heading = [
            "日期 day",
            "对比 compared",
            "相机 camera",
            "区域 zone",
            "类型 kind",
            "现用 live",
            "影子 shadow",
            "都有 both",
            "仅现用 only live",
            "仅影子 only shadow",
            "停留 dwell s (live/shadow)",
        ];
        let mut cells = vec![heading.map(str::to_owned).to_vec()];
        cells.extend(self.rows.iter().map(|row| {
            vec![
                row.day.clone(),
                row.compared.clone(),
                row.camera.clone(),
                row.zone.clone(),
                row.kind.clone(),
                row.live.to_string(),
                row.shadow.to_string(),
                row.both.to_string(),
                row.only_live.to_string(),
                row.only_shadow.to_string(),
                format!("{:.0}/{:.0}", row.live_dwell_s, row.shadow_dwell_s),
            ]
        }));
        cells
    }

    /// What the shadow would have done, in two sentences, and how far to believe it.
    pub fn verdict(&self) -> String {
        let sum = |of: fn(&Row) -> u64| self.rows.iter().map(of).sum::<u64>();
        let (live, shadow) = (sum(|r| r.live), sum(|r| r.shadow));
        let (both, missed, more) = (
            sum(|r| r.both),
            sum(|r| r.only_live),
            sum(|r| r.only_shadow),
        );
        let mut text = format!(
            "自 {since} 起:影子会报 {shadow} 次,现用 {live} 次;其中 {both} 次相同,影子会少报 {missed} 次、多报 {more} 次。\n\
             Since {since}: the shadow would have raised {shadow} alerts, the live side raised {live}; {both} of these are the same, the shadow would have missed {missed} and raised {more} more.\n",
            since = self.since
        );
        let looks = self
            .looks
            .iter()
            .fold((0, 0), |(l, s), x| (l + x.live, s + x.shadow));
        if looks.0 > 0 {
            let share = looks.1 as f64 * 100.0 / looks.0 as f64;
            text += &format!(
                "影子模型看了 {share:.0}% 的画面。The shadow model had time for {share:.0} % of the live model's looks{}.\n",
                if share < 90.0 {
                    "; what it missed may be for want of time"
                } else {
                    ""
                }
            );
        }
        if self.damaged > 0 {
            text += &format!(
                "{0} 行无法读取。{0} lines could not be read.\n",
                self.damaged
            );
        }
        text
    }
}

impl Row {
    fn add(&mut self, side: Side, matched: bool, dwell_s: f64) {
        let (count, mean) = match side {
            Side::Live => (&mut self.live, &mut self.live_dwell_s),
            Side::Shadow => (&mut self.shadow, &mut self.shadow_dwell_s),
        };
        *count += 1;
        *mean += (dwell_s - *mean) / *count as f64;
        match (side, matched) {
            (Side::Live, true) => self.both += 1,
            (Side::Live, false) => self.only_live += 1,
            (Side::Shadow, true) => {}
            (Side::Shadow, false) => self.only_shadow += 1,
        }
    }
}
