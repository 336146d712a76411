//! What templates can name. Every name is always there, as `none` where there is nothing to say,
//! so that a name that is written wrongly is found when the profile is checked.

use minijinja::{Value, value::Serde};
use serde::Serialize;
use wangge_protocol::{AlertData, AlertState, EvidenceRef, Severity, SourceKind, Tier};

use crate::{
    config::{Profile, code::CodeTemplate},
    geo,
};

/// The station, for templates.
#[derive(Clone, Debug, Serialize)]
pub struct Home {
    pub station: String,
    pub station_name: String,
    /// IANA name.
    pub time_zone: String,
}

/// An alert as templates see it.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    #[serde(flatten)]
    home: Home,
    /// The alert for life.
    alert_id: String,
    /// The same in 32 hex digits: the foreign case number.
    number: String,
    /// The platform's own case number, once it is known.
    case_no: Option<String>,
    revision: u32,
    state: AlertState,
    kind: String,
    kind_zh: &'static str,
    severity: Severity,
    /// 1 for info to 4 for critical.
    severity_level: u8,
    device: String,
    rule: String,
    source: SourceKind,
    source_id: Option<String>,
    source_name: Option<String>,
    occurred_at: String,
    raised_at: String,
    cleared_at: Option<String>,
    text_zh: String,
    text_en: String,
    event_code: Option<String>,
    class: Option<String>,
    class_name: Option<String>,
    middle: Option<String>,
    subclass: Option<String>,
    /// Of the subclass; where there is none, what we call the kind.
    name: String,
    condition: Option<String>,
    condition_id: Option<String>,
    lon: f64,
    lat: f64,
    x: f64,
    y: f64,
    crs: &'static str,
    unit_grid: String,
    division: String,
    street: String,
    community: String,
    address: Option<String>,
    quantity: Option<String>,
    value: Option<f64>,
    unit: Option<String>,
    limit: Option<f64>,
    zone: Option<String>,
    label: Option<String>,
    score: Option<f32>,
    dwell_s: Option<f64>,
    model: Option<String>,
    model_hash: Option<String>,
    human_confirmed: bool,
    tier: Option<Tier>,
    escalated_from: Option<Tier>,
    deadline: Option<String>,
    pictures: Vec<Picture>,
}

#[derive(Clone, Debug, Serialize)]
struct Picture {
    sha256: String,
    bytes: u64,
    media_type: String,
    role: String,
    taken_at: String,
    file_name: String,
    /// What the platform called it when it was uploaded.
    upload: Option<String>,
}

impl Facts {
    /// What is known of an alert, in the words of `profile`.
    pub fn new(data: &AlertData, profile: &Profile, home: &Home) -> Facts {
        let code = profile.codes.get(&data.kind);
        let condition = profile.condition(data.kind, data.severity);
        let source = profile.sources.get(&data.source);
        let (x, y) = geo::from_wgs84(data.place.lon, data.place.lat, profile.crs);
        let digits = |n| data.place.unit_grid.chars().take(n).collect::<String>();
        let measured = data.measurement.as_ref();
        let seen = data.sighting.as_ref();
        let routing = data.routing.as_ref();
        Facts {
            home: home.clone(),
            alert_id: data.alert_id.clone(),
            number: data.alert_id.replace('-', ""),
            case_no: None,
            revision: data.revision,
            state: data.state,
            kind: data.kind.to_string(),
            kind_zh: data.kind.name_zh(),
            severity: data.severity,
            severity_level: match data.severity {
                Severity::Info => 1,
                Severity::Minor => 2,
                Severity::Major => 3,
                Severity::Critical => 4,
            },
            device: data.device.clone(),
            rule: data.rule.clone(),
            source: data.source,
            source_id: source.and_then(|s| s.id.clone()),
            source_name: source.map(|s| s.name.clone()),
            occurred_at: data.occurred_at.clone(),
            raised_at: data.raised_at.clone(),
            cleared_at: data.cleared_at.clone(),
            text_zh: data.text.zh.clone(),
            text_en: data.text.en.clone(),
            event_code: event_code(data, profile),
            class: code.map(|c| c.class.clone()),
            class_name: code.and_then(|c| c.class_name.clone()),
            middle: code.and_then(|c| c.middle.clone()),
            subclass: code.map(|c| c.subclass.clone()),
            name: code.map_or(data.kind.name_zh().to_owned(), |c| c.name.clone()),
            condition: condition.map(|c| c.name.clone()),
            condition_id: condition.and_then(|c| c.id.clone()),
            lon: data.place.lon,
            lat: data.place.lat,
            x,
            y,
            crs: profile.crs.slug(),
            unit_grid: data.place.unit_grid.clone(),
            division: digits(6),
            street: digits(9),
            community: digits(12),
            address: data.place.address.clone(),
            quantity: measured.map(|m| m.quantity.clone()),
            value: measured.map(|m| m.value),
            unit: measured.map(|m| m.unit.clone()),
            limit: measured.and_then(|m| m.limit),
            zone: seen.map(|s| s.zone.clone()),
            label: seen.map(|s| s.label.clone()),
            score: seen.map(|s| s.score),
            dwell_s: seen.map(|s| s.dwell_s),
            model: seen.map(|s| s.model.clone()),
            model_hash: seen.map(|s| s.model_hash.clone()),
            human_confirmed: seen.is_some_and(|s| s.human_confirmed),
            tier: routing.map(|r| r.tier),
            escalated_from: routing.and_then(|r| r.escalated_from),
            deadline: routing.and_then(|r| r.deadline.clone()),
            pictures: data.evidence.iter().map(picture).collect(),
        }
    }

    /// The platform's case number.
    pub fn set_case(&mut self, case_no: Option<String>) {
        self.case_no = case_no;
    }

    /// What the platform calls an uploaded picture.
    pub fn set_upload(&mut self, sha256: &str, upload: &str) {
        for picture in &mut self.pictures {
            if picture.sha256 == sha256 {
                picture.upload = Some(upload.to_owned());
            }
        }
    }

    /// For templates.
    pub fn values(&self) -> Value {
        Value::from(Serde(self))
    }
}

/// One picture on its way, for the upload's own templates.
pub fn picture_values(home: &Home, evidence: &EvidenceRef) -> Value {
    #[derive(Serialize)]
    struct One {
        #[serde(flatten)]
        home: Home,
        picture: Picture,
    }
    Value::from(Serde(One {
        home: home.clone(),
        picture: picture(evidence),
    }))
}

/// Who logs in, for the log-in's own templates.
pub fn login_values(home: &Home, username: &str, password: &str) -> Value {
    #[derive(Serialize)]
    struct Login<'a> {
        #[serde(flatten)]
        home: &'a Home,
        username: &'a str,
        password: &'a str,
    }
    Value::from(Serde(Login {
        home,
        username,
        password,
    }))
}

/// The token of a log-in, for the header that carries it.
pub fn token_values(token: &str) -> Value {
    #[derive(Serialize)]
    struct Token<'a> {
        token: &'a str,
    }
    Value::from(Serde(Token { token }))
}

fn picture(evidence: &EvidenceRef) -> Picture {
    Picture {
        sha256: evidence.sha256.clone(),
        bytes: evidence.bytes,
        media_type: evidence.media_type.clone(),
        role: evidence.role.clone(),
        taken_at: evidence.taken_at.clone(),
        file_name: file_name(evidence),
        upload: None,
    }
}

/// A name for the file of a picture, in which nothing of the alert stands.
pub fn file_name(evidence: &EvidenceRef) -> String {
    let extension = match evidence.media_type.as_str() {
        "image/png" => "png",
        _ => "jpg",
    };
    let start: String = evidence.sha256.chars().take(16).collect();
    format!("{start}.{extension}")
}

/// The code of the alert where the station's own profile made it; a profile of the uplink's own
/// can make one without a sequence number only, because it has no place to count.
fn event_code(data: &AlertData, profile: &Profile) -> Option<String> {
    if data.platform.profile == profile.id {
        return data.platform.event_code.clone();
    }
    let code = profile.codes.get(&data.kind)?;
    let template = CodeTemplate::parse(&profile.event_code).ok()?;
    let made = template.code(&data.place.unit_grid, code.words(), |_| None)?;
    made.series.is_none().then_some(made.text)
}
