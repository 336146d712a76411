//! What an export found, in the words of the person who started it.

use super::{
    ExportReport,
    Origin::{self, Carved, Held, Quarantined, Unacknowledged},
    Progress,
};

impl ExportReport {
    /// The report for people, in Chinese or English.
    pub fn words(&self, chinese: bool) -> String {
        let of = |origin: Origin| self.origins.get(&origin).copied().unwrap_or(0);
        let pick = |zh: String, en: String| if chinese { zh } else { en };
        let Progress { records, pictures } = self.written;
        let out = self.out.display();
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
        if let Some(why) = &self.damaged {
            text += &pick(
                format!("  数据库已损坏：{why}\n"),
                format!("  DAMAGED: {why}\n"),
            );
        }
        for (n, zh, en) in [
            (
                self.lost,
                "条已确认的记录在数据库中读不到",
                "acknowledged records are not readable in the database",
            ),
            (
                self.unreadable,
                "条记录校验和错误",
                "records with a wrong checksum",
            ),
        ] {
            if n > 0 {
                text += &format!("  {n} {}\n", if chinese { zh } else { en });
            }
        }
        for sha256 in &self.missing_pictures {
            text += &pick(
                format!("  缺少图片 {sha256}\n"),
                format!("  MISSING picture {sha256}\n"),
            );
        }
        let (zh, en) = match self.is_whole() {
            true => ("完整", "everything is there"),
            false => ("不完整", "NOT everything is there"),
        };
        text + if chinese { zh } else { en } + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_learns_what_is_there_and_what_is_not() {
        let whole = ExportReport {
            out: "/media/usb".into(),
            written: Progress {
                records: 7,
                pictures: 2,
            },
            origins: [(Held, 7)].into(),
            ..ExportReport::default()
        };
        let text = whole.words(false);
        assert!(text.contains("/media/usb: 7 records, 2 pictures"), "{text}");
        assert!(text.contains("7 waiting for delivery"), "{text}");
        assert!(text.ends_with("everything is there\n"), "{text}");
        assert!(whole.words(true).ends_with("完整\n"));
        let torn = ExportReport {
            damaged: Some("a bad page".into()),
            lost: 3,
            unreadable: 1,
            origins: [(Held, 4), (Carved, 3)].into(),
            missing_pictures: vec!["ab".repeat(32)],
            ..whole
        };
        for (text, parts) in [
            (
                torn.words(false),
                [
                    "3 found in the bare file",
                    "DAMAGED: a bad page",
                    "MISSING picture abab",
                    "NOT",
                ],
            ),
            (
                torn.words(true),
                [
                    "从损坏的文件中找回",
                    "a bad page",
                    "缺少图片 abab",
                    "不完整",
                ],
            ),
        ] {
            for part in parts {
                assert!(text.contains(part), "no {part:?} in\n{text}");
            }
        }
    }
}
