//! `wangge profile check` and `wangge profile render`.

use std::{fs, path::Path};

use serde_json::json;
use wangge_protocol::{AlertState, EventKind};

use super::{FAILED, USAGE, complain, print};
use crate::{
    config::{Profile, platform},
    push::{
        Facts, Occasion, Push,
        facts::{login_values, picture_values},
        request::{Made, MadeBody, Request},
        sample,
    },
};

/// Of a profile file, bytes.
const MOST: u64 = 1_000_000;

/// A profile that ships with the gateway by its name, or a file.
fn load(file: &Path) -> Result<Profile, u8> {
    let name = file.display().to_string();
    let shipped = platform::SHIPPED.iter().find(|(known, _)| *known == name);
    let text = match shipped {
        Some((_, text)) if !file.exists() => (*text).to_owned(),
        _ => {
            let large = fs::metadata(file).is_ok_and(|meta| meta.len() > MOST);
            let read = match large {
                true => Err(format!("it has more than {MOST} bytes")),
                false => fs::read_to_string(file).map_err(|e| e.to_string()),
            };
            read.map_err(|reason| {
                complain(&format!("cannot read {name}: {reason}"));
                FAILED
            })?
        }
    };
    platform::parse(&text, &name).map_err(|error| {
        complain(&error.to_string());
        USAGE
    })
}

pub(super) fn check(file: &Path) -> u8 {
    let profile = match load(file) {
        Ok(profile) => profile,
        Err(code) => return code,
    };
    let without: Vec<&str> = EventKind::ALL
        .iter()
        .filter(|kind| !profile.codes.contains_key(kind))
        .map(|kind| kind.slug())
        .collect();
    let mut page = format!(
        "{}: profile {} is good: {} kinds have a code, crs {}\n",
        file.display(),
        profile.id,
        profile.codes.len(),
        profile.crs.slug(),
    );
    if let Some(push) = &profile.push {
        let fate = if push.uncoded {
            "reported without one"
        } else {
            "not reported"
        };
        page.push_str(&format!(
            "kinds without a code, {fate}: {}\n",
            without.join(", ")
        ));
    }
    print(&page)
}

pub(super) fn render(file: &Path, kind: &str, state: State, url: &str) -> u8 {
    let profile = match load(file) {
        Ok(profile) => profile,
        Err(code) => return code,
    };
    let Ok(kind) = kind.parse::<EventKind>() else {
        let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.slug()).collect();
        complain(&format!(
            "there is no kind {kind:?}; known are {}",
            known.join(", ")
        ));
        return USAGE;
    };
    let Some(push) = &profile.push else {
        complain(&format!(
            "{} has no [push]: nothing is rendered",
            file.display()
        ));
        return USAGE;
    };
    match pages(&profile, push, kind, state.into(), url) {
        Ok(text) => print(&text),
        Err(reason) => {
            complain(&reason);
            FAILED
        }
    }
}

/// What a sample alert says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum State {
    Raised,
    Updated,
    Cleared,
}

impl From<State> for AlertState {
    fn from(state: State) -> AlertState {
        match state {
            State::Raised => AlertState::Raised,
            State::Updated => AlertState::Updated,
            State::Cleared => AlertState::Cleared,
        }
    }
}

fn pages(
    profile: &Profile,
    push: &Push,
    kind: EventKind,
    state: AlertState,
    url: &str,
) -> Result<String, String> {
    let home = sample::home();
    let data = sample::alert(kind, state, true, profile);
    let mut facts = Facts::new(&data, profile, &home);
    let mut page = String::new();
    let mut show = |name: &str, request: &Request, values: &minijinja::Value| {
        let made = request.make(values).map_err(|faults| {
            let reasons = faults.iter().map(|fault| format!("{name}.{fault}"));
            reasons.collect::<Vec<_>>().join("\n")
        })?;
        page.push_str(&shown(name, &made, request.files.as_deref(), url));
        Ok::<(), String>(())
    };
    if let Some(login) = &push.login {
        show(
            "login",
            &login.request,
            &login_values(&home, "USER", "PASSWORD"),
        )?;
    }
    if !push.uncoded && !profile.codes.contains_key(&kind) {
        return Ok(format!(
            "{page}# {kind} has no code, so it is not reported\n"
        ));
    }
    if let Some(lookup) = &push.lookup {
        show("lookup", &lookup.request, &facts.values())?;
    }
    let occasion = Occasion::of(&data, &[]);
    let Some(report) = push.of(occasion) else {
        return Ok(format!("{page}# the platform is not told of {state:?}\n"));
    };
    facts.set_case(Some("CASE-NUMBER".into()));
    if let Some(upload) = &push.picture {
        let picture = sample::picture();
        show("picture", &upload.request, &picture_values(&home, &picture))?;
        facts.set_upload(&picture.sha256, "NAME-OF-THE-UPLOAD");
    }
    let name = match occasion {
        Occasion::Report => "report",
        Occasion::Update => "update",
        Occasion::Clear => "clear",
    };
    show(name, &report.request, &facts.values())?;
    Ok(page)
}

/// A request as people read it: not yet encoded, one field a line.
fn shown(name: &str, made: &Made, files: Option<&str>, url: &str) -> String {
    let mut out = format!("# {name}\n{} {url}", made.method.name());
    for segment in &made.path {
        out.push('/');
        out.push_str(segment);
    }
    for (i, (name, value)) in made.query.iter().enumerate() {
        out.push_str(if i == 0 { "?" } else { "&" });
        out.push_str(&format!("{name}={value}"));
    }
    out.push('\n');
    for (name, value) in &made.headers {
        out.push_str(&format!("{name}: {value}\n"));
    }
    match &made.body {
        MadeBody::Empty => {}
        MadeBody::Form(fields) => {
            for (name, value) in fields {
                // A value with a line break must not look like two fields.
                out.push_str(&format!("  {name} = {}\n", json!(value)));
            }
        }
        MadeBody::Json(json) => {
            let text = format!("{json:#}");
            let lines = text.lines().map(|line| format!("  {line}\n"));
            out.push_str(&lines.collect::<String>());
        }
    }
    if let Some(part) = files {
        out.push_str(&format!("  {part} = (each picture as a file)\n"));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(name: &str, kind: EventKind, state: AlertState) -> String {
        let profile = load(Path::new(name)).unwrap();
        let push = profile.push.clone().unwrap();
        pages(&profile, &push, kind, state, "https://h").unwrap()
    }

    #[test]
    fn what_would_be_sent() {
        let page = rendered("eurbanmis", EventKind::IllegalDumping, AlertState::Raised);
        for line in [
            "POST https://h/login/validpassword",
            "  password = \"PASSWORD\"",
            "POST https://h/home/mis/rec/saverec",
            "  subTypeName = \"暴露垃圾\"",
            "  coordinateX = \"11433885.94\"",
            "  otherTaskNum = \"01936b2a7c4e7a108b1c0123456789ac\"",
            "  files = (each picture as a file)",
        ] {
            assert!(page.contains(line), "{line}\nis not in\n{page}");
        }
        let page = rendered("yudao", EventKind::IllegalDumping, AlertState::Cleared);
        assert!(page.contains("\"handleStatus\": \"cleared\""), "{page}");
        let page = rendered("yudao", EventKind::IllegalDumping, AlertState::Raised);
        let report = page.split("# report\n").nth(1).unwrap();
        let body = report.split_once("tenant-id: 1\n").unwrap().1;
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            json["incidentCoordX"],
            json!(102.712_345),
            "a number stays one"
        );
        assert_eq!(json["fileUrls"], json!(["NAME-OF-THE-UPLOAD"]));
        assert_eq!(json["evtCode"], json!("5301020100200042"));
        let page = rendered("eurbanmis", EventKind::CameraFault, AlertState::Raised);
        assert!(page.contains("has no code"), "{page}");
    }
}
