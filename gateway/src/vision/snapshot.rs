//! Cameras that are asked for a picture again and again, over HTTP or HTTPS.

use std::{
    convert::Infallible,
    error::Error as _,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use http_auth::{PasswordClient, PasswordParams};
use reqwest::{
    Client, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use rustls::ClientConfig;
use tokio::time::{MissedTickBehavior, timeout};
use url::Url;

use crate::{bilingual::Bilingual, feed::MAX_STILL};

use super::{
    lane::Lane,
    of_camera,
    rtsp::{self, ANSWER, BACKOFF},
    stills::{self, StillFault, Stills},
    trust::TlsFault,
};

/// A camera that refused our password is asked again only after this, and after four times as long
/// each further time, up to the second: cameras lock out whoever tries often. That makes four
/// tries in the first half hour.
pub const LOCKED_OUT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3600));
/// See [`LOCKED_OUT`].
const LONGER: u32 = 4;
/// Asking went well for so long; trying again begins with the first wait.
const HEALTHY: Duration = Duration::from_secs(30);
/// Letters of somebody else's text that are shown.
const MAX_SHOWN: usize = 100;

/// Why a camera gives no picture; see [`of_camera`].
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("does not answer at {0} ({1}); check address, cable and power")]
    Unreachable(String, String),
    #[error("wants user name and password; set `username` and `password_file`")]
    WantsLogin,
    #[error(
        "refuses user name or password; check them. It is asked again only in {} s, because cameras lock out whoever tries often", .0.as_secs()
    )]
    Unauthorised(Duration),
    #[error("wants a login that is neither Basic nor Digest ({0})")]
    StrangeLogin(String),
    #[error(
        "cannot be told user name or password: HTTP has no place for letters in them; change them"
    )]
    OddLetters,
    #[error("has no picture at this path (status {0}); check the path of `url`")]
    NotFound(u16),
    #[error("sends us elsewhere ({0}), which is not followed; write the right `url`")]
    Redirected(String),
    #[error("refuses with status {0}")]
    Refused(u16),
    #[error("did not send a whole picture within {} s", ANSWER.as_secs())]
    NoAnswer,
    #[error("{0}")]
    Tls(TlsFault),
    #[error("broke the protocol: {0}")]
    Protocol(String),
    #[error("{0}")]
    Still(#[from] StillFault),
}

impl Fault {
    /// What may befall a camera that is busy, and is over at the next asking.
    fn is_accident(&self) -> bool {
        matches!(
            self,
            Fault::Unreachable(..)
                | Fault::Refused(_)
                | Fault::NoAnswer
                | Fault::Protocol(_)
                | Fault::Still(_)
        )
    }
}

impl Bilingual for Fault {
    fn zh(&self) -> String {
        match self {
            Fault::Unreachable(at, why) => {
                format!("{at} 无法连接({why}),请检查地址、网线和电源")
            }
            Fault::WantsLogin => "需要用户名和密码,请设置 `username` 和 `password_file`".into(),
            Fault::Unauthorised(until) => format!(
                "用户名或密码错误,请检查;为免账号被锁定,{} 秒后才会再次尝试",
                until.as_secs()
            ),
            Fault::StrangeLogin(schemes) => {
                format!("登录方式既非 Basic 也非 Digest({schemes})")
            }
            Fault::OddLetters => "用户名或密码含有 HTTP 无法传输的字符,请更换".into(),
            Fault::NotFound(status) => {
                format!("该路径下没有图片(状态码 {status}),请检查 `url` 的路径")
            }
            Fault::Redirected(to) => {
                format!("要求转到其他地址({to}),网关不跟随跳转,请填写正确的 `url`")
            }
            Fault::Refused(status) => format!("拒绝访问(状态码 {status})"),
            Fault::NoAnswer => format!("{} 秒内未送达完整图片", ANSWER.as_secs()),
            Fault::Tls(fault) => fault.zh(),
            Fault::Protocol(what) => format!("HTTP 协议错误:{what}"),
            Fault::Still(fault) => fault.zh(),
        }
    }
}

/// How to reach a camera.
#[derive(Clone)]
pub struct Address {
    /// Without user and password.
    pub url: Url,
    /// User name and password.
    pub login: Option<(String, String)>,
    pub tls: Arc<ClientConfig>,
    pub every: Duration,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("url", &self.url.as_str())
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// Asks the camera for ever.
pub async fn poll(address: Address, lane: Arc<Lane>) -> ! {
    let mut stills = Stills::new(lane, address.every);
    let mut wait = BACKOFF.0;
    let mut locked = LOCKED_OUT.0;
    loop {
        let begun = Instant::now();
        let mut fault = match poll_while_well(&address, &mut stills).await {
            Ok(never) => match never {},
            Err(fault) => fault,
        };
        if begun.elapsed() > HEALTHY || stills.is_well() {
            (wait, locked) = (BACKOFF.0, LOCKED_OUT.0);
        }
        let accident = stills.is_well() && fault.is_accident();
        let pause = if let Fault::Unauthorised(until) = &mut fault {
            *until = locked;
            locked = (locked * LONGER).min(LOCKED_OUT.1);
            *until
        } else {
            let pause = wait.max(address.every);
            wait = (wait * 2).min(BACKOFF.1);
            pause
        };
        if !accident {
            stills.fault(of_camera(&fault));
        }
        // Many cameras behind one switch come back together; they need not be asked together.
        tokio::time::sleep(pause.mul_f64(rand::random_range(1.0..1.2))).await;
    }
}

async fn poll_while_well(address: &Address, stills: &mut Stills) -> Result<Infallible, Fault> {
    let client = client(address)?;
    let mut login = Login::default();
    let mut tick = tokio::time::interval(address.every);
    // A slow camera is not asked faster afterwards.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let fetched = timeout(ANSWER, fetch(&client, address, &mut login)).await;
        let jpeg = fetched.map_err(|_| Fault::NoAnswer)??;
        // What is wrong with it was said; the next may be better.
        stills.take(&jpeg);
    }
}

fn client(address: &Address) -> Result<Client, Fault> {
    Client::builder()
        .tls_backend_preconfigured((*address.tls).clone())
        .user_agent("wangge")
        .connect_timeout(ANSWER)
        // Only the configured host is asked, whoever sends us elsewhere.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(1)
        .build()
        .map_err(|e| Fault::Protocol(e.to_string()))
}

/// How the camera wants to be told who asks.
#[derive(Default)]
struct Login(Option<PasswordClient>);

impl Login {
    /// Takes the camera's challenge.
    fn challenge(&mut self, headers: &HeaderMap) -> Result<(), Fault> {
        let challenges = || headers.get_all(header::WWW_AUTHENTICATE);
        let client = PasswordClient::try_from(challenges()).map_err(|_| {
            let schemes = challenges().iter().filter_map(|value| value.to_str().ok());
            let schemes: Vec<_> = schemes
                .filter_map(|value| value.split_whitespace().next())
                .collect();
            Fault::StrangeLogin(shown(&schemes.join(", ")))
        })?;
        self.0 = Some(client);
        Ok(())
    }

    fn answer(&mut self, address: &Address) -> Result<Option<HeaderValue>, Fault> {
        let (Some(client), Some((username, password))) = (&mut self.0, &address.login) else {
            return Ok(None);
        };
        let mut uri = address.url.path().to_owned();
        if let Some(query) = address.url.query() {
            uri.push('?');
            uri.push_str(query);
        }
        let answer = client.respond(&PasswordParams {
            username,
            password,
            uri: &uri,
            method: "GET",
            body: Some(&[]),
        });
        let answer = answer.map_err(|e| Fault::StrangeLogin(shown(&e)))?;
        let mut value = HeaderValue::from_str(&answer).map_err(|_| Fault::OddLetters)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// One picture's bytes. The login is tried once: with a nonce that has grown old, twice.
async fn fetch(client: &Client, address: &Address, login: &mut Login) -> Result<Vec<u8>, Fault> {
    let first = ask(client, address, login).await?;
    if first.status() != StatusCode::UNAUTHORIZED {
        return body(first).await;
    }
    if address.login.is_none() {
        return Err(Fault::WantsLogin);
    }
    login.challenge(first.headers())?;
    let second = ask(client, address, login).await?;
    if second.status() == StatusCode::UNAUTHORIZED {
        return Err(Fault::Unauthorised(Duration::ZERO));
    }
    body(second).await
}

/// Asks once, and once more where the camera hung up: many do so on a connection that they had
/// promised to keep, just when it is used again.
async fn ask(client: &Client, address: &Address, login: &mut Login) -> Result<Response, Fault> {
    match send(client, address, login).await? {
        Err(e) if e.is_request() && !e.is_connect() && !e.is_timeout() => {
            send(client, address, login).await?
        }
        answer => answer,
    }
    .map_err(|e| fault(&e, &address.url))
}

async fn send(
    client: &Client,
    address: &Address,
    login: &mut Login,
) -> Result<reqwest::Result<Response>, Fault> {
    let mut request = client.get(address.url.clone());
    if let Some(answer) = login.answer(address)? {
        request = request.header(header::AUTHORIZATION, answer);
    }
    Ok(request.send().await)
}

async fn body(mut response: Response) -> Result<Vec<u8>, Fault> {
    let status = response.status();
    match status.as_u16() {
        200 => {}
        300..400 => {
            let to = response.headers().get(header::LOCATION);
            let to = to.and_then(|to| to.to_str().ok()).unwrap_or("?");
            // What follows the path may be a ticket.
            let to = to.split(['?', '#']).next().unwrap_or_default();
            return Err(Fault::Redirected(shown(to)));
        }
        404 | 410 => return Err(Fault::NotFound(status.as_u16())),
        other => return Err(Fault::Refused(other)),
    }
    let announced = response.content_length().unwrap_or(0);
    if announced > MAX_STILL as u64 {
        return Err(StillFault::TooLarge.into());
    }
    let url = response.url().clone();
    let mut jpeg = Vec::with_capacity(announced as usize);
    while let Some(chunk) = response.chunk().await.map_err(|e| fault(&e, &url))? {
        if jpeg.len() + chunk.len() > MAX_STILL {
            return Err(StillFault::TooLarge.into());
        }
        jpeg.extend_from_slice(&chunk);
        // No need to wait for the end of what is no picture: it may have none.
        if jpeg.len() >= 3 && !stills::begins_as_jpeg(&jpeg) {
            return Err(StillFault::NotJpeg(stills::looks_like(&jpeg)).into());
        }
    }
    Ok(jpeg)
}

/// What went wrong, in words for people.
fn fault(error: &reqwest::Error, url: &Url) -> Fault {
    let mut innermost = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let tls = e
            .downcast_ref::<rustls::Error>()
            .map(TlsFault::of)
            .or_else(|| e.downcast_ref::<io::Error>().and_then(TlsFault::of_io));
        if let Some(tls) = tls {
            return Fault::Tls(tls);
        }
        innermost = e.to_string();
        source = e.source();
    }
    if error.is_timeout() {
        return Fault::NoAnswer;
    }
    if error.is_connect() {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        return Fault::Unreachable(format!("{host}:{port}"), shown(&innermost));
    }
    Fault::Protocol(shown(&innermost))
}

fn shown(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(MAX_SHOWN).map(printable).collect()
}

/// Waits between tries after `fault`, for RTSP too.
pub(super) fn pause(fault: &rtsp::Fault, usual: Duration, refusals: &mut u32) -> Duration {
    if !matches!(
        fault,
        rtsp::Fault::Unauthorised | rtsp::Fault::NotAllowed(_)
    ) {
        return usual;
    }
    let (first, longest) = LOCKED_OUT;
    let wait = first.saturating_mul(LONGER.saturating_pow(*refusals));
    *refusals += 1;
    wait.min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bilingual::assert_bilingual;

    #[test]
    fn every_fault_is_told_in_both_languages() {
        assert_bilingual([
            Fault::Unreachable("192.0.2.1:80".into(), "connection refused".into()),
            Fault::WantsLogin,
            Fault::Unauthorised(LOCKED_OUT.0),
            Fault::StrangeLogin("Negotiate".into()),
            Fault::OddLetters,
            Fault::NotFound(404),
            Fault::Redirected("/login".into()),
            Fault::Refused(500),
            Fault::NoAnswer,
            Fault::Tls(TlsFault::NotTls),
            Fault::Protocol("no status line".into()),
            Fault::Still(StillFault::CutOff),
        ]);
    }
}
