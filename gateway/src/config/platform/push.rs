//! `[push]`: requests and the signs of replies, each tried on sample alerts of every kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use minijinja::Value;
use serde::Deserialize;
use toml::Spanned;
use wangge_protocol::{AlertState, EventKind};

use super::{
    Profile,
    check::{Check, Text},
};
use crate::push::{
    Facts, Login, Lookup, Occasion, Push, Report, Rules, Upload,
    facts::{login_values, picture_values, token_values},
    reply::{Sign, Test},
    request::{Body, MAX_FIELDS, Method, Node, Request},
    sample,
    template::Template,
};

/// Signs of one list.
pub const MAX_SIGNS: usize = 16;
/// Largest JSON document in a profile, bytes.
pub const MAX_JSON: usize = 32_768;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPush {
    uncoded: Option<Text>,
    success: Option<Vec<RawSign>>,
    #[serde(default)]
    expired: Vec<RawSign>,
    #[serde(default)]
    refused: Vec<RawSign>,
    login: Option<RawCall>,
    lookup: Option<RawCall>,
    picture: Option<RawCall>,
    report: RawCall,
    update: Option<RawCall>,
    clear: Option<RawCall>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCall {
    method: Option<Text>,
    path: Text,
    #[serde(default)]
    query: BTreeMap<Text, Text>,
    #[serde(default)]
    headers: BTreeMap<Text, Text>,
    form: Option<BTreeMap<Text, Text>>,
    json: Option<Text>,
    files: Option<Text>,
    case_no: Option<Text>,
    #[serde(default)]
    found: Vec<RawSign>,
    id: Option<Text>,
    token: Option<Text>,
    token_header: Option<Text>,
    token_value: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSign {
    pointer: Text,
    equals: Option<toml::Value>,
    differs: Option<toml::Value>,
    contains: Option<Text>,
    present: Option<bool>,
}

/// A request, and where its parts are written.
struct Call {
    name: &'static str,
    request: Request,
    parts: BTreeMap<String, Range<usize>>,
    whole: Range<usize>,
}

impl Call {
    fn span(&self, part: &str) -> Range<usize> {
        let json = part.starts_with("json").then(|| self.parts.get("json"));
        let span = self.parts.get(part).or(json.flatten());
        span.cloned().unwrap_or_else(|| self.whole.clone())
    }
}

impl Check<'_> {
    /// Reads `[push]` and tries it on samples, in the words of the rest of the profile.
    pub(super) fn push(&mut self, raw: RawPush, profile: &Profile) -> Option<Push> {
        if raw.success.is_none() {
            let message = "push.success is missing: say how a reply tells that it worked, e.g. \
                           [{ pointer = \"/code\", equals = 0 }]; with [] any HTTP 2xx does";
            self.fault(raw.report.path.span(), message.to_owned());
        }
        let rules = Rules {
            success: self.signs("push.success", raw.success.unwrap_or_default()),
            expired: self.signs("push.expired", raw.expired),
            refused: self.signs("push.refused", raw.refused),
        };
        let uncoded = match raw.uncoded.as_ref().map(|t| t.get_ref().as_str()) {
            None | Some("send") => true,
            Some("skip") => false,
            Some(other) => {
                let message = format!("push.uncoded is {other:?}; use send or skip");
                let span = raw.uncoded.as_ref().map(Spanned::span).unwrap_or_default();
                self.fault(span, message);
                true
            }
        };
        let login = raw.login.and_then(|raw| self.login(raw));
        let lookup = raw.lookup.and_then(|raw| self.lookup(raw));
        let picture = raw.picture.and_then(|raw| self.upload(raw));
        let report = self.report("push.report", raw.report);
        let update = raw.update.and_then(|raw| self.report("push.update", raw));
        let clear = raw.clear.and_then(|raw| self.report("push.clear", raw));
        if !self.faults.is_empty() {
            // What cannot be read cannot be tried.
            return None;
        }
        let reports = [
            (Occasion::Report, &report),
            (Occasion::Update, &update),
            (Occasion::Clear, &clear),
        ];
        for (occasion, (call, _)) in reports.iter().filter_map(|(o, r)| Some((*o, r.as_ref()?))) {
            self.try_on_alerts(call, occasion, profile, uncoded);
        }
        if let Some((call, _)) = &lookup {
            self.try_on_alerts(call, Occasion::Report, profile, uncoded);
        }
        Some(Push {
            login: login.map(|(_, login)| login),
            lookup: lookup.map(|(_, lookup)| lookup),
            picture: picture.map(|(_, picture)| picture),
            report: report?.1,
            update: update.map(|(_, report)| report),
            clear: clear.map(|(_, report)| report),
            rules,
            uncoded,
        })
    }

    fn try_on_alerts(&mut self, call: &Call, occasion: Occasion, profile: &Profile, uncoded: bool) {
        let state = match occasion {
            Occasion::Report => AlertState::Raised,
            Occasion::Update => AlertState::Updated,
            Occasion::Clear => AlertState::Cleared,
        };
        let mut told = BTreeSet::new();
        for kind in EventKind::ALL {
            if !uncoded && !profile.codes.contains_key(kind) {
                continue;
            }
            for full in [true, false] {
                let data = sample::alert(*kind, state, full, profile);
                let facts = Facts::new(&data, profile, &sample::home());
                for error in call
                    .request
                    .make(&facts.values())
                    .err()
                    .into_iter()
                    .flatten()
                {
                    if told.insert(error.part.clone()) {
                        let name = call.name;
                        let message = format!("{name}.{error} (tried on an alert of kind {kind})");
                        self.fault(call.span(&error.part), message);
                    }
                }
            }
        }
    }

    fn try_on(&mut self, call: &Call, values: &Value) {
        for error in call.request.make(values).err().into_iter().flatten() {
            let message = format!("{}.{error}", call.name);
            self.fault(call.span(&error.part), message);
        }
    }

    fn login(&mut self, raw: RawCall) -> Option<(Call, Login)> {
        let token = match (&raw.token, &raw.token_header) {
            (None, None) => None,
            (Some(pointer), Some(header)) => {
                let pointer = self.pointer("push.login.token", pointer);
                let value = raw.token_value.as_ref();
                let value = match value {
                    None => Template::parse("{{ token }}").ok(),
                    Some(text) => self.template("push.login.token_value", text),
                };
                self.header("push.login.token_header", header);
                if let (Some(value), Some(text)) = (&value, &raw.token_value)
                    && let Err(error) = value.text(&token_values("0123456789"))
                {
                    self.fault(text.span(), format!("push.login.token_value: {error}"));
                }
                pointer
                    .zip(value)
                    .map(|(pointer, value)| (pointer, header.get_ref().clone(), value))
            }
            (Some(text), None) | (None, Some(text)) => {
                let message = "push.login: token (where the reply has it) and token_header (which \
                               carries it) go together";
                self.fault(text.span(), message.to_owned());
                None
            }
        };
        self.useless(&raw, "push.login", &["token"]);
        let call = self.call("push.login", raw)?;
        self.try_on(&call, &login_values(&sample::home(), "user", "password"));
        let request = call.request.clone();
        Some((call, Login { request, token }))
    }

    fn lookup(&mut self, mut raw: RawCall) -> Option<(Call, Lookup)> {
        self.useless(&raw, "push.lookup", &["found", "case_no"]);
        let found = std::mem::take(&mut raw.found);
        if found.is_empty() {
            let message = "push.lookup needs found = [{ pointer = …, … }]: what the reply says when \
                           the case is there";
            self.fault(raw.path.span(), message.to_owned());
        }
        let found = self.signs("push.lookup.found", found);
        let case_no = self.case_no("push.lookup.case_no", &raw);
        let call = self.call("push.lookup", raw)?;
        let request = call.request.clone();
        Some((
            call,
            Lookup {
                request,
                found,
                case_no,
            },
        ))
    }

    fn upload(&mut self, raw: RawCall) -> Option<(Call, Upload)> {
        self.useless(&raw, "push.picture", &["id"]);
        if raw.files.is_none() {
            let message = "push.picture needs files = \"file\": the name of the part that carries \
                           the picture";
            self.fault(raw.path.span(), message.to_owned());
        }
        let id = match &raw.id {
            Some(text) => self.pointer("push.picture.id", text),
            None => {
                let message = "push.picture needs id = \"/data\": where the reply says what the \
                               platform calls the picture";
                self.fault(raw.path.span(), message.to_owned());
                None
            }
        };
        let call = self.call("push.picture", raw)?;
        self.try_on(&call, &picture_values(&sample::home(), &sample::picture()));
        let request = call.request.clone();
        Some((call, Upload { request, id: id? }))
    }

    fn report(&mut self, name: &'static str, raw: RawCall) -> Option<(Call, Report)> {
        self.useless(&raw, name, &["case_no"]);
        let case_no = self.case_no(&format!("{name}.case_no"), &raw);
        let call = self.call(name, raw)?;
        let request = call.request.clone();
        Some((call, Report { request, case_no }))
    }

    fn case_no(&mut self, key: &str, raw: &RawCall) -> Option<String> {
        let text = raw.case_no.as_ref()?;
        self.pointer(key, text)
    }

    /// Keys that say nothing in this table.
    fn useless(&mut self, raw: &RawCall, name: &str, used: &[&str]) {
        let written = [
            ("case_no", raw.case_no.as_ref().map(Spanned::span)),
            ("found", raw.found.first().map(|sign| sign.pointer.span())),
            ("id", raw.id.as_ref().map(Spanned::span)),
            ("token", raw.token.as_ref().map(Spanned::span)),
        ];
        for (key, span) in written {
            if let Some(span) = span
                && !used.contains(&key)
            {
                self.fault(span, format!("{name}.{key} does nothing there; remove it"));
            }
        }
    }

    fn call(&mut self, name: &'static str, raw: RawCall) -> Option<Call> {
        let before = self.faults.len();
        let mut parts = BTreeMap::new();
        let whole = raw.path.span();
        let given = raw.method.as_ref().map(|m| m.get_ref().as_str());
        let method = match given {
            Some("GET") => Method::Get,
            None | Some("POST") => Method::Post,
            Some("PUT") => Method::Put,
            Some(other) => {
                let message = format!("{name}.method is {other:?}; use GET, POST or PUT");
                self.fault(whole.clone(), message);
                Method::Post
            }
        };
        let path = self.path(name, &raw.path);
        let query = self.fields(name, "query", raw.query, &mut parts);
        for key in raw.headers.keys() {
            self.header(&format!("{name}.headers"), key);
        }
        let headers = self.fields(name, "headers", raw.headers, &mut parts);
        let body = match (raw.form, raw.json) {
            (None, None) => Body::Empty,
            (Some(form), None) => Body::Form(self.fields(name, "form", form, &mut parts)),
            (None, Some(json)) => {
                parts.insert("json".to_owned(), json.span());
                self.json(name, &json).map_or(Body::Empty, Body::Json)
            }
            (Some(_), Some(json)) => {
                let message = format!("{name} has both form and json; a request has one body");
                self.fault(json.span(), message);
                Body::Empty
            }
        };
        if method == Method::Get && (body != Body::Empty || raw.files.is_some()) {
            let message = format!("{name}: a GET request has no body; write method = \"POST\"");
            self.fault(whole.clone(), message);
        }
        if let (Some(files), Body::Json(_)) = (&raw.files, &body) {
            let message = format!("{name}.files goes with form, not with json");
            self.fault(files.span(), message);
        }
        let files = raw.files.map(|files| self.text("files", files, 64));
        (self.faults.len() == before).then_some(Call {
            name,
            request: Request {
                method,
                path,
                query,
                headers,
                body,
                files,
            },
            parts,
            whole,
        })
    }

    /// Segments; what a template makes of one cannot become another.
    fn path(&mut self, name: &str, text: &Text) -> Vec<Template> {
        let written = text.get_ref();
        if !written.starts_with('/') || written.contains(['?', '#']) {
            let message = format!(
                "{name}.path is {written:?}; it begins with a slash and is put behind the uplink's \
                 url, and what follows a ? goes into query = {{ … }}"
            );
            self.fault(text.span(), message);
        }
        let segments = written.trim_start_matches('/').split('/');
        let templates: Vec<_> = segments.map(Template::parse).collect();
        let mut path = Vec::new();
        for template in templates {
            match template {
                Ok(template) => path.push(template),
                Err(error) => self.fault(text.span(), format!("{name}.path: {error}")),
            }
        }
        path
    }

    fn fields(
        &mut self,
        name: &str,
        what: &str,
        raw: BTreeMap<Text, Text>,
        parts: &mut BTreeMap<String, Range<usize>>,
    ) -> Vec<(String, Template)> {
        let many = raw.len();
        let mut fields = Vec::new();
        for (i, (key, text)) in raw.into_iter().enumerate() {
            if i == MAX_FIELDS {
                let message =
                    format!("{name}.{what} has {many} fields; at most {MAX_FIELDS} are possible");
                self.fault(key.span(), message);
            }
            let key = key.into_inner();
            let at = format!("{what}.{key}");
            let template = self.template(&format!("{name}.{at}"), &text);
            parts.insert(at, text.span());
            fields.extend(template.map(|template| (key, template)));
        }
        fields
    }

    fn template(&mut self, key: &str, text: &Text) -> Option<Template> {
        match Template::parse(text.get_ref()) {
            Ok(template) => Some(template),
            Err(error) => {
                self.fault(text.span(), format!("{key}: {error}"));
                None
            }
        }
    }

    fn json(&mut self, name: &str, text: &Text) -> Option<Node> {
        let bytes = text.get_ref().len();
        if bytes > MAX_JSON {
            let message = format!("{name}.json has {bytes} bytes; at most {MAX_JSON} are possible");
            self.fault(text.span(), message);
            return None;
        }
        let read = serde_json::from_str(text.get_ref()).map_err(|e| {
            format!("{name}.json is no JSON: {e}; templates stand in strings: \"{{{{ x }}}}\"")
        });
        let node = read.and_then(|json| Node::parse(&json).map_err(|e| format!("{name}.{e}")));
        match node {
            Ok(node) => Some(node),
            Err(message) => {
                self.fault(text.span(), message);
                None
            }
        }
    }

    fn header(&mut self, key: &str, name: &Text) {
        if reqwest::header::HeaderName::from_bytes(name.get_ref().as_bytes()).is_err() {
            let message = format!("{key}: {:?} is no name of a header", name.get_ref());
            self.fault(name.span(), message);
        }
    }

    fn pointer(&mut self, key: &str, text: &Text) -> Option<String> {
        let pointer = text.get_ref();
        if pointer.is_empty() || pointer.starts_with('/') {
            return Some(pointer.clone());
        }
        let message =
            format!("{key} is {pointer:?}; a JSON pointer begins with a slash: \"/data/id\"");
        self.fault(text.span(), message);
        None
    }

    fn signs(&mut self, key: &str, raw: Vec<RawSign>) -> Vec<Sign> {
        let many = raw.len();
        let mut signs = Vec::new();
        for (i, raw) in raw.into_iter().enumerate() {
            if i == MAX_SIGNS {
                let message = format!("{key} has {many} signs; at most {MAX_SIGNS} are possible");
                self.fault(raw.pointer.span(), message);
            }
            let pointer = self.pointer(key, &raw.pointer);
            let span = raw.pointer.span();
            let mut tests = Vec::new();
            for (value, test) in [
                (raw.equals, Test::Equals as fn(_) -> _),
                (raw.differs, Test::Differs),
            ] {
                match value.map(serde_json::to_value) {
                    Some(Ok(json)) if json.is_string() || json.is_number() || json.is_boolean() => {
                        tests.push(test(json));
                    }
                    Some(_) => {
                        let message = format!("{key}: a value is a text, a number, true or false");
                        self.fault(span.clone(), message);
                    }
                    None => {}
                }
            }
            tests.extend(raw.contains.map(|text| Test::Contains(text.into_inner())));
            tests.extend(raw.present.filter(|present| *present).map(|_| Test::There));
            match (tests.len(), tests.pop(), pointer) {
                (1, Some(test), Some(pointer)) => signs.push(Sign { pointer, test }),
                (1, ..) => {}
                _ => {
                    let message = format!(
                        "{key}: a sign has one of equals, differs, contains or present = true"
                    );
                    self.fault(span, message);
                }
            }
        }
        signs
    }
}
