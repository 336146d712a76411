//! A calendar in one clause, in Chinese and English.

use jiff::{Timestamp, tz::TimeZone};
use wangge_protocol::Text;

use super::{By, Calendar, Ended, State, Windows, timeline::earlier};

/// What a window or permit is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The permit's id or the window as written.
    pub name: String,
    pub text: Text,
}

impl Calendar {
    /// What permits a use.
    pub fn words(&self, by: By) -> Words {
        let say = |name: String, zh: String, en: String| Words {
            name,
            text: Text { zh, en },
        };
        match by {
            By::Window(i) => {
                let window = match &self.hours.windows {
                    Windows::Allowed(list) => list.get(i).map(ToString::to_string),
                    _ => None,
                };
                let name = window.unwrap_or_default();
                let (zh, en) = (format!("允许时段{name}"), format!("window {name}"));
                say(name, zh, en)
            }
            By::Permit(i) => {
                let Some(permit) = self.permits.get(i) else {
                    return say(String::new(), "许可".into(), "permit".into());
                };
                let id = &permit.id;
                match &permit.holder {
                    Some(holder) => say(
                        id.clone(),
                        format!("许可{id}({holder})"),
                        format!("permit {id} ({holder})"),
                    ),
                    None => say(id.clone(), format!("许可{id}"), format!("permit {id}")),
                }
            }
            By::Unwatched => say(
                "unwatched".into(),
                "非管控时段".into(),
                "outside the watched hours".into(),
            ),
        }
    }

    /// Why what is there at `at` counts against nobody; `None` in forbidden time.
    pub fn permitted(&self, state: State, at: Timestamp) -> Option<Text> {
        let clock = |moment| clock(&self.time_zone, moment, at);
        let since = |by| self.span_of(by, at).map(|s| s.from);
        match state {
            State::Forbidden => None,
            State::Open(By::Unwatched) => Some(Text {
                zh: "已不在管控时段".into(),
                en: "outside the watched hours".into(),
            }),
            State::SetUp(By::Unwatched) => {
                let end = since(By::Unwatched).map(clock).unwrap_or_default();
                Some(Text {
                    zh: format!("管控时段即将于{end}结束"),
                    en: format!("the watched hours are about to end at {end}"),
                })
            }
            State::TakeDown(By::Unwatched) => {
                let begin = self.span_of(By::Unwatched, at).map(|s| clock(s.to));
                let begin = begin.unwrap_or_default();
                Some(Text {
                    zh: format!("管控时段{begin}开始后的宽限"),
                    en: format!("grace after the watched hours began at {begin}"),
                })
            }
            State::Open(by) => {
                let Words { text, .. } = self.words(by);
                let since = since(by).map(clock).unwrap_or_default();
                Some(Text {
                    zh: format!("自{since}起允许({})", text.zh),
                    en: format!("permitted since {since} by {}", text.en),
                })
            }
            State::SetUp(by) => {
                let Words { text, .. } = self.words(by);
                let begin = since(by);
                let since = begin.map(|b| clock(earlier(b, self.hours.grace_in)));
                let (since, begin) = (
                    since.unwrap_or_default(),
                    begin.map(clock).unwrap_or_default(),
                );
                Some(Text {
                    zh: format!("自{since}起允许布置,{begin}开始({})", text.zh),
                    en: format!(
                        "set-up tolerated since {since}, use begins at {begin} ({})",
                        text.en
                    ),
                })
            }
            State::TakeDown(by) => {
                let Words { text, .. } = self.words(by);
                let end = self.span_of(by, at).map(|s| clock(s.to));
                let end = end.unwrap_or_default();
                Some(Text {
                    zh: format!("{end}结束后的收摊宽限({})", text.zh),
                    en: format!("take-down tolerated after use ended at {end} ({})", text.en),
                })
            }
        }
    }

    /// Since when it is forbidden, and what had permitted it before.
    pub fn forbidden(&self, ended: Ended, at: Timestamp) -> Text {
        let since = clock(&self.time_zone, ended.forbidden_since, at);
        let end = clock(&self.time_zone, ended.at, at);
        if ended.by == By::Unwatched {
            return Text {
                zh: format!("自{since}起为管控时段"),
                en: format!("forbidden since {since}"),
            };
        }
        let Words { text, .. } = self.words(ended.by);
        Text {
            zh: format!("自{since}起不允许({}于{end}结束)", text.zh),
            en: format!("forbidden since {since} ({} ended at {end})", text.en),
        }
    }
}

/// Local time: of the day if it is the same day as `beside`, else with its date.
pub fn clock(zone: &TimeZone, moment: Timestamp, beside: Timestamp) -> String {
    let (moment, beside) = (zone.to_datetime(moment), zone.to_datetime(beside));
    let time = format!("{:02}:{:02}", moment.hour(), moment.minute());
    if moment.date() == beside.date() {
        time
    } else {
        format!("{} {time}", moment.date())
    }
}
