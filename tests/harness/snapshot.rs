//! A camera that is asked for pictures over HTTP, and all that such a camera may get wrong.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{Process, place};

const START: Duration = Duration::from_secs(30);

/// How a camera is.
#[derive(Clone, Debug, Default)]
pub struct Manner<'a> {
    /// User name and password.
    pub login: Option<(&'a str, &'a str)>,
    /// `basic` or `digest`; `digest` if left out.
    pub scheme: Option<&'a str>,
    /// PEM files of certificate and key: it speaks TLS.
    pub pair: Option<(&'a Path, &'a Path)>,
    /// What it does instead of sending a picture; see the peer for the names.
    pub fault: Option<&'a str>,
}

/// A running camera.
#[derive(Debug)]
pub struct Camera {
    process: Process,
    port: u16,
    secure: bool,
}

impl Camera {
    /// Sends the pictures of a folder, in the order of their names, one each time it is asked.
    ///
    /// # Errors
    /// Python is missing, or the folder holds no picture.
    pub fn start(folder: &Path, manner: &Manner<'_>, log: &Path) -> Result<Camera> {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(place::peer("http_camera.py"));
        if let Some((user, password)) = manner.login {
            command.args(["--user", user, "--password", password]);
            command.args(["--scheme", manner.scheme.unwrap_or("digest")]);
        }
        if let Some((certificate, key)) = manner.pair {
            command.arg("--certificate").arg(certificate);
            command.arg("--key").arg(key);
        }
        if let Some(fault) = manner.fault {
            command.args(["--fault", fault]);
        }
        command.arg(folder);
        let mut process = Process::start("http camera", &command, log)?;
        let port = process.ready("the camera to listen", START, |log| {
            let port = log.lines().find_map(|line| line.strip_prefix("READY "));
            Ok(port.and_then(|port| port.trim().parse().ok()))
        })?;
        Ok(Camera {
            process,
            port,
            secure: manner.pair.is_some(),
        })
    }

    /// The URL of its pictures, as Hikvision has it.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!(
            "{scheme}://127.0.0.1:{}/ISAPI/Streaming/channels/101/picture",
            self.port
        )
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it was asked so far, a line each: `open`, `good` or `wrong` login.
    pub fn asked(&self) -> Vec<String> {
        let log = self.process.log();
        let lines = log.lines().filter_map(|line| line.strip_prefix("ASKED "));
        lines.map(str::to_owned).collect()
    }
}

/// Makes a folder of JPEG pictures out of a clip, `1.jpg` to `N.jpg`.
///
/// # Errors
/// `ffmpeg` is missing, or fails.
pub fn pictures(clip: &Path, per_second: u32, count: u32, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(clip)
        .args(["-vf", &format!("fps={per_second}"), "-q:v", "4"])
        .args(["-frames:v", &count.to_string()])
        .arg(folder.join("%d.jpg"))
        .status()
        .context("ffmpeg")?;
    ensure!(status.success(), "ffmpeg: {status}");
    Ok(())
}
