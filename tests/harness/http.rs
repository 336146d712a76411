//! As much of HTTP as asking a process on this machine takes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const ANSWER: Duration = Duration::from_secs(30);

/// `GET http://127.0.0.1:PORT/path`; the body of a 200.
///
/// # Errors
/// Nobody answers, or not with 200.
pub fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let (status, body) = ask(port, &request)?;
    ensure!(status.starts_with("HTTP/1.1 200"), "GET {path}: {status}");
    Ok(body)
}

/// Posts JSON; the JSON of the answer, whatever its status.
///
/// # Errors
/// Nobody answers, or not with JSON.
pub fn post(port: u16, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, answer) = ask(port, &request)?;
    serde_json::from_slice(&answer).with_context(|| format!("POST {path}: {status}"))
}

/// The first line of the answer, and its body.
fn ask(port: u16, request: &str) -> Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(request.as_bytes())?;
    let mut stream = BufReader::new(stream);
    let mut fields = String::new();
    while !fields.ends_with("\r\n\r\n") {
        ensure!(
            stream.read_line(&mut fields)? > 0,
            "no HTTP answer: {fields}"
        );
    }
    let lower = fields.to_ascii_lowercase();
    ensure!(
        !lower.contains("transfer-encoding"),
        "a chunked body, which this reader cannot read: {fields}"
    );
    let mut body = Vec::new();
    let length = lower
        .lines()
        .find_map(|l| l.strip_prefix("content-length:"));
    match length.map(|l| l.trim().parse()).transpose()? {
        // Not everybody closes when asked to.
        Some(length) => stream.take(length).read_to_end(&mut body)?,
        None => stream.read_to_end(&mut body)?,
    };
    fields.truncate(fields.find("\r\n").unwrap_or(fields.len()));
    Ok((fields, body))
}
