//! The file of permits and the table of holidays, looked at while the station runs.
//!
//! A file that cannot be used changes nothing: the permits that went before go on, and an alert
//! about the gateway says what is wrong, in which line.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use wangge_protocol::{EventKind, Text};

use crate::{
    bilingual::text,
    calendar::Permit,
    clock::Clock,
    config::{Calendars, Faults},
    observation::{Arrival, Health, Observation, Quality, Value},
};

/// How often the file is looked at.
pub const POLL: Duration = Duration::from_secs(30);
/// Subject of what is said about permits.
pub const PERMITS: &str = "permits";
/// Subject of what is said about holidays.
pub const HOLIDAYS: &str = "holidays";

/// Looks at the file, and tells rules and child what changes.
#[derive(Debug)]
pub struct Watcher {
    calendars: Calendars,
    out: mpsc::Sender<Arrival>,
    to_child: watch::Sender<Arc<[Permit]>>,
    clock: Clock,
    /// What was said last of each subject.
    permits: Option<Health>,
    holidays: Option<Health>,
}

impl Watcher {
    /// A watcher, and where the child's permits come from. The rules know those in `known`.
    pub fn new(
        calendars: Calendars,
        known: Arc<[Permit]>,
        out: mpsc::Sender<Arrival>,
        clock: Clock,
    ) -> (Watcher, watch::Receiver<Arc<[Permit]>>) {
        let (to_child, child) = watch::channel(known);
        let watcher = Watcher {
            calendars,
            out,
            to_child,
            clock,
            permits: None,
            holidays: None,
        };
        (watcher, child)
    }

    /// Looks once and again for ever; returns when nobody listens any more.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(POLL).await;
            if self.look().await.is_err() {
                return;
            }
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub async fn look(&mut self) -> Result<(), mpsc::error::SendError<Arrival>> {
        let calendars = self.calendars.clone();
        // It waits for the disk.
        let read = tokio::task::spawn_blocking(move || calendars.read_permits()).await;
        let health = match read {
            Ok(Ok(permits)) => {
                let changed = self.to_child.send_if_modified(|known| {
                    let changed = **known != *permits;
                    known.clone_from(&permits);
                    changed
                });
                if changed {
                    tracing::info!(permits = permits.len(), "permits taken up");
                    self.say(PERMITS, Value::Permits(permits)).await?;
                }
                Health::Ok
            }
            Ok(Err(faults)) => fault(sentence(&faults)),
            Err(panic) => fault(text(
                format!("读取许可文件时出错:{panic}"),
                panic.to_string(),
            )),
        };
        if self.permits.as_ref() != Some(&health) {
            // That all is well is no news, unless it was not.
            let is_news = health != Health::Ok || self.permits.is_some();
            if let Health::Fault { reason, .. } = &health {
                tracing::warn!("permits: {}; those that went before go on", reason.en);
            }
            self.permits = Some(health.clone());
            if is_news || self.calendars.permits_file.is_some() {
                self.say(PERMITS, Value::Health(health)).await?;
            }
        }
        self.look_at_holidays(self.clock.now().wall).await
    }

    async fn look_at_holidays(
        &mut self,
        now: Timestamp,
    ) -> Result<(), mpsc::error::SendError<Arrival>> {
        let health = match self.calendars.days_end(now) {
            Some(end) => fault(end),
            None => Health::Ok,
        };
        if self.holidays.as_ref() == Some(&health) || self.calendars.days.valid_until.is_none() {
            return Ok(());
        }
        if let Health::Fault { reason, .. } = &health {
            tracing::warn!("holidays: {}", reason.en);
        }
        self.holidays = Some(health.clone());
        self.say(HOLIDAYS, Value::Health(health)).await
    }

    async fn say(
        &self,
        subject: &str,
        value: Value,
    ) -> Result<(), mpsc::error::SendError<Arrival>> {
        let now = self.clock.now().wall;
        let subject: Arc<str> = subject.into();
        let observation = Observation {
            subject: subject.clone(),
            at: now,
            value,
            quality: Quality::Good,
        };
        let arrival = Arrival {
            subject,
            device_time: None,
            received: now,
            observations: vec![observation],
            payload: None,
            ack: None,
        };
        self.out.send(arrival).await
    }
}

fn fault(reason: Text) -> Health {
    Health::Fault {
        what: EventKind::ConfigFault,
        reason,
    }
}

/// File, line and reason of the first fault, and how many more there are. The reason itself is
/// English, as `wangge check` says it.
fn sentence(faults: &Faults) -> Text {
    let mut all = faults.errors();
    let Some(first) = all.next() else {
        return text("许可文件无法使用", "the permits cannot be used");
    };
    let (file, message) = (&first.file, &first.message);
    let (zh, en) = match first.line {
        0 => (format!("{file} "), file.to_string()),
        line => (
            format!("{file} 第 {line} 行"),
            format!("{file} line {line}"),
        ),
    };
    let (more_zh, more_en) = match all.count() {
        0 => Default::default(),
        more => (format!("(另有 {more} 处)"), format!(" (and {more} more)")),
    };
    text(
        format!("许可文件 {zh}有误:{message}{more_zh}"),
        format!("{en}: {message}{more_en}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Days;

    struct Rig {
        dir: tempfile::TempDir,
        watcher: Watcher,
        arrivals: mpsc::Receiver<Arrival>,
        child: watch::Receiver<Arc<[Permit]>>,
    }

    fn rig(edit: impl FnOnce(&mut Calendars)) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let mut calendars = Calendars {
            permits_file: Some(dir.path().join("permits.toml")),
            zones: vec!["gate/stall".to_owned()].into(),
            ..Calendars::default()
        };
        edit(&mut calendars);
        let (out, arrivals) = mpsc::channel(8);
        let known = calendars.permits.clone();
        let (watcher, child) = Watcher::new(calendars, known, out, Clock::start());
        Rig {
            dir,
            watcher,
            arrivals,
            child,
        }
    }

    impl Rig {
        async fn look(&mut self, file: Option<&str>) -> Vec<(String, Value)> {
            if let Some(text) = file {
                std::fs::write(self.dir.path().join("permits.toml"), text).unwrap();
            }
            self.watcher.look().await.unwrap();
            let mut said = Vec::new();
            while let Ok(arrival) = self.arrivals.try_recv() {
                let observation = arrival.observations.into_iter().next().unwrap();
                said.push((observation.subject.to_string(), observation.value));
            }
            said
        }

        fn ids(&self) -> Vec<String> {
            self.child.borrow().iter().map(|p| p.id.clone()).collect()
        }
    }

    const GOOD: &str = "[[permit]]\nid = \"N1\"\nzones = [\"gate/stall\"]\n\
                        from = \"2026-10-01\"\nto = \"2026-10-07\"\n";

    #[tokio::test]
    async fn a_broken_file_keeps_the_permits_and_says_the_line() {
        let mut rig = rig(|_| {});
        let said = rig.look(Some(GOOD)).await;
        assert!(
            matches!(&said[..], [(_, Value::Permits(p)), (_, Value::Health(Health::Ok))] if p.len() == 1),
            "{said:?}"
        );
        assert!(rig.child.has_changed().unwrap());
        rig.child.mark_unchanged();
        assert!(rig.look(None).await.is_empty(), "no news");
        for (broken, line, expect) in [
            ("[[permit]\n", 1, ""),
            (
                &*GOOD.replace("2026-10-07", "2026-02-29"),
                5,
                "`to`: there is no day 2026-02-29",
            ),
            (&*GOOD.replace("stall", "stal"), 3, ""),
        ] {
            let said = rig.look(Some(broken)).await;
            let [(subject, Value::Health(Health::Fault { what, reason }))] = &said[..] else {
                panic!("{said:?}");
            };
            assert_eq!((&**subject, *what), ("permits", EventKind::ConfigFault));
            let en = format!("permits.toml line {line}: {expect}");
            assert!(reason.en.contains(&en), "{reason:?}");
            let zh = format!("permits.toml 第 {line} 行有误:{expect}");
            assert!(
                reason.zh.starts_with("许可文件 ") && reason.zh.contains(&zh),
                "{reason:?}"
            );
            assert_eq!(rig.ids(), ["N1"]);
            assert!(!rig.child.has_changed().unwrap(), "the old ones go on");
        }
        let said = rig.look(Some(&GOOD.replace("N1", "N2"))).await;
        assert!(
            matches!(
                &said[..],
                [(_, Value::Permits(_)), (_, Value::Health(Health::Ok))]
            ),
            "{said:?}"
        );
        assert_eq!(rig.ids(), ["N2"]);
        std::fs::remove_file(rig.dir.path().join("permits.toml")).unwrap();
        let said = rig.look(None).await;
        assert!(matches!(
            &said[..],
            [(_, Value::Health(Health::Fault { .. }))]
        ));
        assert_eq!(rig.ids(), ["N2"]);
    }

    #[tokio::test]
    async fn the_end_of_the_holidays_is_told_a_fortnight_before() {
        for (days, told) in [(15, false), (14, true), (0, true), (-1, true)] {
            let mut rig = rig(|c| {
                let today = c.time_zone.to_datetime(Timestamp::now()).date();
                c.permits_file = None;
                c.days = Arc::new(Days {
                    valid_until: Some(today.checked_add(jiff::Span::new().days(days)).unwrap()),
                    ..Days::default()
                });
            });
            let said = rig.look(None).await;
            let is_told = said.iter().any(|(subject, value)| {
                subject == HOLIDAYS && matches!(value, Value::Health(Health::Fault { .. }))
            });
            assert_eq!(is_told, told, "{days} days before: {said:?}");
            assert!(rig.look(None).await.is_empty(), "said once");
        }
    }
}
