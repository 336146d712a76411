//! `wangge status`: asks the running gateway and shows its answer.

mod page;
#[cfg(test)]
mod tests;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::Path,
    time::Duration,
};

pub(super) use page::{Language, language};

use super::{FAILED, OK, UNREACHABLE, USAGE, complain, print};
use crate::{config, console::Status};

/// A local answer takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer; ten thousand open alerts fit.
const MOST: u64 = 16_000_000;

pub(super) fn status(file: Option<&Path>, url: Option<&str>, as_json: bool) -> u8 {
    let (body, status) = match ask(file, url) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let printed = if as_json {
        print(&format!("{body}\n"))
    } else {
        print(&page::show(&status, language()))
    };
    match printed {
        OK if status.refusing() => FAILED,
        code => code,
    }
}

/// The running gateway's answer, as it came and as it reads; or, after a complaint, the exit code.
pub(super) fn ask(file: Option<&Path>, url: Option<&str>) -> Result<(String, Status), u8> {
    let address = match file {
        Some(file) => config::console_address(file),
        None => address(url.unwrap_or("http://127.0.0.1:9464")),
    };
    let address = match address {
        Ok(address) => address,
        Err(reason) => {
            complain(&reason);
            return Err(USAGE);
        }
    };
    let answer =
        fetch(address, "/status").and_then(|body| match serde_json::from_str::<Status>(&body) {
            Ok(status) => Ok((body, status)),
            Err(error) => Err(format!("what answers is no Wangge gateway ({error})")),
        });
    answer.map_err(|reason| {
        complain(&format!(
            "no gateway at {address}: {reason}; does `wangge run` run?"
        ));
        UNREACHABLE
    })
}

/// Whether people are spoken to in Chinese.
pub(super) fn chinese() -> bool {
    language() == Language::Chinese
}

fn address(url: &str) -> Result<SocketAddr, String> {
    let fault = || format!("\"{url}\" is no address of a console, e.g. http://127.0.0.1:9464");
    let parsed = url::Url::parse(url).map_err(|_| fault())?;
    let host = parsed.host_str().filter(|_| parsed.scheme() == "http");
    let host = host.ok_or_else(fault)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = parsed.port_or_known_default().ok_or_else(fault)?;
    let mut found = (host, port).to_socket_addrs().map_err(|_| fault())?;
    found.next().ok_or_else(fault)
}

/// One request; HTTP/1.0, so the answer is plain and ends with the connection.
pub(super) fn fetch(address: SocketAddr, path: &str) -> Result<String, String> {
    let text = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(text)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(text)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).map_err(text)?;
    let answer = String::from_utf8(answer).map_err(|_| "the answer is no text")?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it hung up")?;
    let first = head.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) != Some("200") {
        return Err(format!("it answered \"{first}\" {}", body.trim()));
    }
    Ok(body.to_owned())
}
