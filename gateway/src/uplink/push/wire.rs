//! Requests in a session, and what replies mean.

use std::{collections::BTreeMap, time::Duration};

use minijinja::Value;
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    multipart,
};
use serde_json::Value as Json;
use tokio::sync::Mutex;
use tracing::info;
use url::form_urlencoded;

use super::super::{
    client::Problem,
    https::{MAX_REPLY, REPLY_TIMEOUT, SLOWEST_LINK, refusal, unanswered},
};
use crate::{
    config::PushTarget,
    push::{
        facts::{login_values, token_values},
        reply::text_at,
        request::{self, MadeBody, Request},
    },
};

/// A platform and the session with it.
pub(super) struct Wire {
    pub(super) name: String,
    pub(super) target: PushTarget,
    session: Mutex<Session>,
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

impl Wire {
    pub(super) fn new(name: &str, target: PushTarget) -> Self {
        Wire {
            name: name.to_owned(),
            target,
            session: Mutex::default(),
        }
    }

    /// One request in a session; a session that has expired is renewed once.
    pub(super) async fn call(
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
                Err(Problem::Login(text)) if !renewed && self.target.push.login.is_some() => {
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
        if let Some(login) = &self.target.push.login
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
        let rules = &self.target.push.rules;
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
        let slow = Duration::from_secs(size as u64 / SLOWEST_LINK);
        let method = match made.method {
            request::Method::Get => Method::GET,
            request::Method::Post => Method::POST,
            request::Method::Put => Method::PUT,
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
pub(super) struct File {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) bytes: bytes::Bytes,
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
