//! As much of HTTP as asking a process on this machine for its status takes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

const ANSWER: Duration = Duration::from_secs(10);

/// `GET http://127.0.0.1:PORT/path`; the body of a 200.
///
/// # Errors
/// Nobody answers, or not with 200.
pub fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .context("no HTTP answer")?;
    let status = String::from_utf8_lossy(&answer[..head]).into_owned();
    ensure!(
        status.starts_with("HTTP/1.1 200"),
        "GET {path}: {}",
        status.lines().next().unwrap_or_default()
    );
    ensure!(
        !status.to_ascii_lowercase().contains("transfer-encoding"),
        "GET {path}: a chunked body, which this reader cannot read"
    );
    Ok(answer.split_off(head + 4))
}
