//! The uplink to a platform's own case interface, as a profile's `[push]` describes it. One alert
//! is one transaction: log in if need be, ask whether the case is there already, upload its
//! pictures, report it, and read the reply. Only a reply that says what the profile calls success
//! is a receipt; everything else is tried again, and then the question comes first.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::Pin,
    sync::Arc,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use minijinja::Value;
use rand::{SeedableRng, rngs::StdRng};
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    multipart,
};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::{
    sync::Mutex,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::{error, info, warn};
use url::form_urlencoded;
use wangge_protocol::{AlertData, CloudEvent, EvidenceRef, Receipt, ReceiptStatus, Tier};

use super::{
    fault::FaultKind,
    hex,
    https::{
        MAX_REPLY, Problem, REFUSED_LOGIN, REPLY_TIMEOUT, RETRY_TLS, SLOWEST_LINK, client, refusal,
        unanswered,
    },
    lane::Token,
    link::{Content, Parcel, Report},
};
use crate::{
    config::PushTarget,
    push::{
        self, Facts, Occasion,
        facts::{file_name, login_values, picture_values, token_values},
        reply::text_at,
        request::{MadeBody, Request},
    },
    spool::{Class, evidence::EvidenceStore},
};

/// Transactions at once: case platforms are slower than receivers, and sessions are few.
pub const CONCURRENT: usize = 2;
/// Uploads and case numbers that are remembered, so that a repeat is not a second upload.
const REMEMBERED: usize = 512;

type Reply = Pin<Box<dyn Future<Output = (Token, Result<Receipt, Problem>)> + Send>>;

/// See the module.
pub struct Push {
    name: String,
    desk: Arc<Desk>,
    agent: String,
    client: Option<reqwest::Client>,
    retry_at: Instant,
    failures: u32,
    requests: FuturesUnordered<Reply>,
    /// What was last complained about; a repeat is not news.
    complaint: Option<String>,
    rng: StdRng,
}

/// What every transaction needs.
struct Desk {
    name: String,
    target: PushTarget,
    push: Arc<push::Push>,
    tiers: Vec<Tier>,
    evidence: Arc<EvidenceStore>,
    session: Mutex<Session>,
    memory: Mutex<Memory>,
}

/// A log-in.
#[derive(Default)]
struct Session {
    /// Counts log-ins; 0 before the first.
    number: u64,
    live: bool,
    headers: HeaderMap,
    cookies: BTreeMap<String, String>,
}

/// What earlier transactions learnt; lost with a restart, and then asked for again.
#[derive(Default)]
struct Memory {
    uploads: HashMap<String, String>,
    cases: HashMap<String, String>,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Push {
    /// Reads the certificates in [`Push::next`].
    pub fn new(
        name: &str,
        station: &str,
        target: PushTarget,
        tiers: Vec<Tier>,
        evidence: Arc<EvidenceStore>,
        seed: u64,
    ) -> Self {
        Push {
            name: name.to_owned(),
            desk: Arc::new(Desk {
                name: name.to_owned(),
                push: target.push.clone(),
                target,
                tiers,
                evidence,
                session: Mutex::default(),
                memory: Mutex::default(),
            }),
            agent: format!("wangge/{} ({station})", env!("CARGO_PKG_VERSION")),
            client: None,
            retry_at: Instant::now(),
            failures: 0,
            requests: FuturesUnordered::new(),
            complaint: None,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// See [`super::link::Link::room`].
    pub fn room(&self) -> usize {
        match self.client {
            Some(_) => CONCURRENT.saturating_sub(self.requests.len()),
            None => 0,
        }
    }

    /// See [`super::link::Link::send`].
    pub fn send(&mut self, parcel: Parcel) {
        let Some(client) = self.client.clone() else {
            return;
        };
        let desk = self.desk.clone();
        self.requests.push(Box::pin(async move {
            let token = parcel.token.clone();
            (token, desk.deliver(&client, parcel).await)
        }));
    }

    /// See [`super::link::Link::next`].
    pub async fn next(&mut self) -> Report {
        loop {
            if self.client.is_none() {
                sleep_until(self.retry_at).await;
                if self.open() {
                    return Report::Connected;
                }
                continue;
            }
            match self.requests.next().await {
                Some((token, result)) => return self.report(token, result),
                // Nothing to wait for until something is sent.
                None => std::future::pending().await,
            }
        }
    }

    fn open(&mut self) -> bool {
        match client(&self.desk.target.tls, &self.agent) {
            Ok(client) => {
                self.client = Some(client);
                self.failures = 0;
                true
            }
            Err(text) => {
                self.later();
                self.complain(&text);
                false
            }
        }
    }

    fn later(&mut self) {
        self.retry_at = Instant::now() + RETRY_TLS.delay(self.failures, &mut self.rng);
        self.failures = self.failures.saturating_add(1);
    }

    fn report(&mut self, token: Token, result: Result<Receipt, Problem>) -> Report {
        match result {
            Ok(receipt) => {
                if self.complaint.take().is_some() {
                    info!(uplink = self.name, "the platform takes cases again");
                }
                Report::Answered(token, receipt)
            }
            Err(Problem::Refused(text)) => {
                self.complain(&text);
                Report::Refused(token, text)
            }
            Err(Problem::Failed(text)) => {
                self.complain(&text);
                Report::Failed(token)
            }
            Err(Problem::Login(text)) => {
                if self.complaint.as_deref() != Some(&text) {
                    error!(
                        uplink = self.name,
                        "{text}: nothing is delivered until user and password are right; asking again every {REFUSED_LOGIN:?}"
                    );
                    self.complaint = Some(text);
                }
                Report::Unanswered(token, Some(REFUSED_LOGIN))
            }
            Err(Problem::Busy(text, after)) => {
                self.complain(&text);
                Report::Unanswered(token, after)
            }
            Err(Problem::Unanswered(fault)) => {
                self.complain(&fault.text);
                if fault.kind == FaultKind::Tls {
                    // The files may have been mended meanwhile: read them again.
                    self.client = None;
                    self.later();
                    self.requests.clear();
                    return Report::Lost { closed: false };
                }
                Report::Unanswered(token, None)
            }
        }
    }

    /// What last went wrong.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    fn complain(&mut self, text: &str) {
        if self.complaint.as_deref() != Some(text) {
            warn!(uplink = self.name, "{text}; trying again, nothing is lost");
            self.complaint = Some(text.to_owned());
        }
    }
}

impl Desk {
    /// One parcel. The receipt is ours: the platform's word is in its own form.
    async fn deliver(&self, client: &reqwest::Client, parcel: Parcel) -> Result<Receipt, Problem> {
        let stored = |id: String, sha256: String| Receipt {
            id,
            sha256,
            status: ReceiptStatus::Stored,
            reason: None,
        };
        let (class, stream) = match parcel.content {
            // Pictures go with their case; the spool keeps them until it is there.
            Content::Picture { sha256, .. } => {
                return Ok(stored(sha256.to_string(), sha256.to_string()));
            }
            Content::Event { class, stream } => (class, stream),
        };
        let sha256 = hex(&Sha256::digest(&parcel.bytes));
        let event: CloudEvent<Json> = serde_json::from_slice(&parcel.bytes)
            .map_err(|e| Problem::Refused(format!("the message is no event: {e}")))?;
        let receipt = stored(event.id.clone(), sha256);
        match (class, stream.as_str()) {
            (Class::Alert, "alerts") => {}
            (Class::Gap, _) => {
                warn!(uplink = self.name, gap = %event.data, "records were dropped; a case platform cannot be told");
                return Ok(receipt);
            }
            // Digests and the like: there is no case to report.
            _ => return Ok(receipt),
        }
        let data: AlertData = serde_json::from_value(event.data)
            .map_err(|e| Problem::Refused(format!("the message is no alert: {e}")))?;
        self.alert(client, &data).await?;
        Ok(receipt)
    }

    async fn alert(&self, client: &reqwest::Client, data: &AlertData) -> Result<(), Problem> {
        let occasion = Occasion::of(data, &self.tiers);
        let profile = &self.target.profile;
        let Some(report) = self.push.of(occasion) else {
            return Ok(());
        };
        if !self.push.uncoded && !profile.codes.contains_key(&data.kind) {
            info!(uplink = self.name, kind = %data.kind, alert = data.alert_id, "the platform has no code for this kind; it is not told");
            return Ok(());
        }
        let mut facts = Facts::new(data, profile, &self.target.home);
        let mut case_no = self.memory.lock().await.cases.get(&data.alert_id).cloned();
        if let Some(lookup) = &self.push.lookup
            && case_no.is_none()
        {
            let reply = self
                .call(client, &lookup.request, &facts.values(), &[])
                .await?;
            if lookup.found.iter().all(|sign| sign.is_in(&reply)) {
                let pointer = lookup.case_no.as_deref();
                case_no = pointer.and_then(|pointer| text_at(&reply, pointer));
                if occasion == Occasion::Report {
                    info!(
                        uplink = self.name,
                        alert = data.alert_id,
                        case = case_no,
                        "the case is there already"
                    );
                    self.remember_case(data, case_no).await;
                    return Ok(());
                }
            } else if occasion != Occasion::Report {
                // What the platform never had, it need not hear more of.
                return Ok(());
            }
        }
        facts.set_case(case_no);
        let pictures = self.pictures(client, data, &mut facts, report.request.files.is_some());
        let files = pictures.await?;
        let reply = self
            .call(client, &report.request, &facts.values(), &files)
            .await?;
        let pointer = report.case_no.as_deref();
        let case_no = pointer.and_then(|pointer| text_at(&reply, pointer));
        info!(
            uplink = self.name,
            alert = data.alert_id,
            ?occasion,
            case = case_no,
            "taken"
        );
        self.remember_case(data, case_no).await;
        Ok(())
    }

    async fn remember_case(&self, data: &AlertData, case_no: Option<String>) {
        if let Some(case_no) = case_no {
            let mut memory = self.memory.lock().await;
            if memory.cases.len() >= REMEMBERED {
                memory.cases.clear();
            }
            memory.cases.insert(data.alert_id.clone(), case_no);
        }
    }

    /// Uploads what the platform wants before the case; returns the files that go with it.
    async fn pictures(
        &self,
        client: &reqwest::Client,
        data: &AlertData,
        facts: &mut Facts,
        with_case: bool,
    ) -> Result<Vec<File>, Problem> {
        let mut files = Vec::new();
        if self.push.picture.is_none() && !with_case {
            return Ok(files);
        }
        for evidence in &data.evidence {
            let known = self
                .memory
                .lock()
                .await
                .uploads
                .get(&evidence.sha256)
                .cloned();
            if let Some(upload) = &known {
                facts.set_upload(&evidence.sha256, upload);
                if !with_case {
                    continue;
                }
            }
            let Some(file) = self.read(evidence).await else {
                continue;
            };
            if let (Some(upload), None) = (&self.push.picture, known) {
                let values = picture_values(&self.target.home, evidence);
                let file = std::slice::from_ref(&file);
                let reply = self.call(client, &upload.request, &values, file).await?;
                let id = text_at(&reply, &upload.id).ok_or_else(|| {
                    Problem::Failed(format!(
                        "the platform took a picture, and its reply has nothing at {}",
                        upload.id
                    ))
                })?;
                facts.set_upload(&evidence.sha256, &id);
                let mut memory = self.memory.lock().await;
                if memory.uploads.len() >= REMEMBERED {
                    memory.uploads.clear();
                }
                memory.uploads.insert(evidence.sha256.clone(), id);
            }
            if with_case {
                files.push(file);
            }
        }
        Ok(files)
    }

    /// A picture that is gone or damaged does not keep its alert back.
    async fn read(&self, evidence: &EvidenceRef) -> Option<File> {
        let (store, sha256) = (self.evidence.clone(), evidence.sha256.clone());
        let read = spawn_blocking(move || {
            let bytes = store.read(&sha256).map_err(|e| e.to_string())?;
            if hex(&Sha256::digest(&bytes)) != sha256 {
                return Err("the file's content is not what its name says".to_owned());
            }
            Ok(bytes)
        });
        match read.await.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(bytes) => Some(File {
                name: file_name(evidence),
                media_type: evidence.media_type.clone(),
                bytes: bytes.into(),
            }),
            Err(reason) => {
                warn!(
                    uplink = self.name,
                    sha256 = evidence.sha256,
                    reason,
                    "a case goes without this picture"
                );
                None
            }
        }
    }

    /// One request in a session; a session that has expired is renewed once.
    async fn call(
        &self,
        client: &reqwest::Client,
        request: &Request,
        values: &Value,
        files: &[File],
    ) -> Result<Json, Problem> {
        let mut renewed = false;
        loop {
            let (number, headers) = self.session(client).await?;
            match self.exchange(client, request, values, files, headers).await {
                Err(Problem::Login(text)) if !renewed && self.push.login.is_some() => {
                    info!(uplink = self.name, "{text}: logging in again");
                    let mut session = self.session.lock().await;
                    // Another transaction may have renewed it meanwhile.
                    session.live &= session.number != number;
                    renewed = true;
                }
                result => return result,
            }
        }
    }

    /// The session's number and headers; logs in if there is none.
    async fn session(&self, client: &reqwest::Client) -> Result<(u64, HeaderMap), Problem> {
        let mut session = self.session.lock().await;
        if let Some(login) = &self.push.login
            && !session.live
        {
            let none = Default::default();
            let who = self.target.credentials.as_ref();
            let (user, password) = who.map_or((&none, &none), |c| (&c.username, &c.password));
            let values = login_values(&self.target.home, user, password);
            session.cookies.clear();
            session.headers.clear();
            let (reply, cookies) = self
                .ask(client, &login.request, &values, &[], HeaderMap::new())
                .await
                .and_then(|(reply, cookies)| Ok((self.judge(reply)?, cookies)))
                .map_err(login_failed)?;
            session.cookies.extend(cookies);
            if let Some((pointer, name, value)) = &login.token {
                let token = text_at(&reply, pointer).ok_or_else(|| {
                    Problem::Login(format!("the log-in's reply has no token at {pointer}"))
                })?;
                let value = value.text(&token_values(&token)).ok().flatten();
                let value = value.and_then(|v| HeaderValue::from_str(&v).ok());
                let name = HeaderName::from_bytes(name.as_bytes()).ok();
                let (Some(name), Some(mut value)) = (name, value) else {
                    return Err(Problem::Login("the token is no header".to_owned()));
                };
                value.set_sensitive(true);
                session.headers.insert(name, value);
            }
            session.number += 1;
            session.live = true;
        }
        let mut headers = session.headers.clone();
        if !session.cookies.is_empty() {
            let pairs = session.cookies.iter().map(|(n, v)| format!("{n}={v}"));
            let cookies = pairs.collect::<Vec<_>>().join("; ");
            if let Ok(mut value) = HeaderValue::from_str(&cookies) {
                value.set_sensitive(true);
                headers.insert(header::COOKIE, value);
            }
        }
        Ok((session.number, headers))
    }

    async fn exchange(
        &self,
        client: &reqwest::Client,
        request: &Request,
        values: &Value,
        files: &[File],
        headers: HeaderMap,
    ) -> Result<Json, Problem> {
        let (reply, cookies) = self.ask(client, request, values, files, headers).await?;
        let reply = self.judge(reply)?;
        if !cookies.is_empty() {
            self.session.lock().await.cookies.extend(cookies);
        }
        Ok(reply)
    }

    /// What a reply means, by the profile's signs.
    fn judge(&self, reply: Option<Json>) -> Result<Json, Problem> {
        let rules = &self.push.rules;
        let Some(reply) = reply else {
            return match rules.success.is_empty() {
                true => Ok(Json::Null),
                false => Err(Problem::Failed(
                    "the platform's reply is no JSON".to_owned(),
                )),
            };
        };
        let shown = || reply.to_string().chars().take(200).collect::<String>();
        if rules.expired.iter().any(|sign| sign.is_in(&reply)) {
            return Err(Problem::Login(format!(
                "the session has expired: {}",
                shown()
            )));
        }
        if rules.refused.iter().any(|sign| sign.is_in(&reply)) {
            return Err(Problem::Refused(format!(
                "the platform refuses: {}",
                shown()
            )));
        }
        if !rules.success.iter().all(|sign| sign.is_in(&reply)) {
            return Err(Problem::Failed(format!("the platform answers {}", shown())));
        }
        Ok(reply)
    }

    /// Sends a request; the reply's document, if it is one, and the cookies that it sets.
    async fn ask(
        &self,
        client: &reqwest::Client,
        request: &Request,
        values: &Value,
        files: &[File],
        headers: HeaderMap,
    ) -> Result<(Option<Json>, Vec<(String, String)>), Problem> {
        let request = self.build(client, request, values, files, headers)?;
        let mut reply = request
            .send()
            .await
            .map_err(|e| Problem::Unanswered(unanswered(&e)))?;
        let status = reply.status();
        if !status.is_success() {
            return Err(refusal(status, &reply));
        }
        let cookies = cookies(reply.headers());
        let mut body = Vec::new();
        while let Some(part) = reply
            .chunk()
            .await
            .map_err(|e| Problem::Unanswered(unanswered(&e)))?
        {
            body.extend_from_slice(&part);
            if body.len() > MAX_REPLY {
                let text = format!("the platform's reply has more than {MAX_REPLY} bytes");
                return Err(Problem::Failed(text));
            }
        }
        Ok((serde_json::from_slice(&body).ok(), cookies))
    }

    fn build(
        &self,
        client: &reqwest::Client,
        request: &Request,
        values: &Value,
        files: &[File],
        headers: HeaderMap,
    ) -> Result<reqwest::RequestBuilder, Problem> {
        // The profile was tried on samples, so that this is about this very alert.
        let made = request.make(values).map_err(|faults| {
            let reasons: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Problem::Refused(format!("the profile cannot say it: {}", reasons.join("; ")))
        })?;
        let mut url = self.target.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&made.path);
        }
        if !made.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&made.query);
        }
        let size: usize = files.iter().map(|file| file.bytes.len()).sum();
        let slow = std::time::Duration::from_secs(size as u64 / SLOWEST_LINK);
        let method = match made.method {
            push::request::Method::Get => Method::GET,
            push::request::Method::Post => Method::POST,
            push::request::Method::Put => Method::PUT,
        };
        let mut builder = client
            .request(method, url)
            .headers(headers)
            .timeout(REPLY_TIMEOUT + slow);
        for (name, value) in &made.headers {
            builder = builder.header(name, value);
        }
        Ok(match (made.body, &request.files) {
            (MadeBody::Json(json), _) => builder
                .header(header::CONTENT_TYPE, "application/json")
                .body(json.to_string()),
            (body, Some(part)) => {
                let mut form = multipart::Form::new();
                if let MadeBody::Form(fields) = body {
                    for (name, value) in fields {
                        form = form.text(name, value);
                    }
                }
                for file in files {
                    form = form.part(part.clone(), file.part());
                }
                builder.multipart(form)
            }
            (MadeBody::Form(fields), None) => builder
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(
                    form_urlencoded::Serializer::new(String::new())
                        .extend_pairs(&fields)
                        .finish(),
                ),
            (MadeBody::Empty, None) => builder,
        })
    }
}

/// A picture in memory.
struct File {
    name: String,
    media_type: String,
    bytes: bytes::Bytes,
}

impl File {
    fn part(&self) -> multipart::Part {
        let length = self.bytes.len() as u64;
        let body = reqwest::Body::from(self.bytes.clone());
        let part = multipart::Part::stream_with_length(body, length).file_name(self.name.clone());
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&self.media_type) {
            headers.insert(header::CONTENT_TYPE, value);
        }
        part.headers(headers)
    }
}

/// Whatever a log-in fails with, except that nobody answers, is about the log-in.
fn login_failed(problem: Problem) -> Problem {
    match problem {
        Problem::Failed(text) | Problem::Refused(text) | Problem::Login(text) => {
            Problem::Login(format!("the log-in fails: {text}"))
        }
        other => other,
    }
}

/// Names and values of the cookies that a reply sets; where and how long they are good for does
/// not matter to a client of one host that logs in again when it has to.
fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let set = headers.get_all(header::SET_COOKIE).iter();
    set.filter_map(|value| {
        let pair = value.to_str().ok()?.split(';').next()?;
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    })
    .collect()
}
