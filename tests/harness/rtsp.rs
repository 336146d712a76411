//! A camera: GStreamer's RTSP server playing footage.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{Process, place};

const START: Duration = Duration::from_secs(30);

/// A running camera.
#[derive(Debug)]
pub struct Camera {
    process: Process,
    port: u16,
}

impl Camera {
    /// Serves each (name, file) at `rtsp://127.0.0.1:PORT/name`, for ever. `port` zero takes any;
    /// a login makes it ask for Digest credentials.
    ///
    /// # Errors
    /// GStreamer's server or its Python bindings are missing, or a file is no video.
    pub fn start(
        clips: &[(&str, &Path)],
        port: u16,
        login: Option<(&str, &str)>,
        log: &Path,
    ) -> Result<Camera> {
        Self::serve(clips, port, login, None, log)
    }

    /// The same in TLS, at `rtsps://127.0.0.1:PORT/name`; `pair` are PEM files of certificate
    /// and key.
    ///
    /// # Errors
    /// As [`Camera::start`].
    pub fn start_tls(
        clips: &[(&str, &Path)],
        login: Option<(&str, &str)>,
        pair: (&Path, &Path),
        log: &Path,
    ) -> Result<Camera> {
        Self::serve(clips, 0, login, Some(pair), log)
    }

    fn serve(
        clips: &[(&str, &Path)],
        port: u16,
        login: Option<(&str, &str)>,
        pair: Option<(&Path, &Path)>,
        log: &Path,
    ) -> Result<Camera> {
        // Debian's interpreter is the one that has GStreamer's bindings.
        let mut command = Command::new("/usr/bin/python3");
        command.arg(place::peer("rtsp_server.py"));
        command.args(["--port", &port.to_string()]);
        if let Some((user, password)) = login {
            command.args(["--user", user, "--password", password]);
        }
        if let Some((certificate, key)) = pair {
            command.arg("--certificate").arg(certificate);
            command.arg("--key").arg(key);
        }
        for (name, file) in clips {
            command.arg(format!("{name}={}", file.display()));
        }
        // An earlier run's word must not pass for this one's.
        let before = std::fs::read_to_string(log).unwrap_or_default().len();
        let mut process = Process::start("rtsp server", &command, log)?;
        let port = process.ready("the camera to listen", START, |log| {
            Ok(log
                .get(before..)
                .unwrap_or_default()
                .lines()
                .find_map(|line| {
                    line.strip_prefix("READY ")
                        .and_then(|port| port.trim().parse().ok())
                }))
        })?;
        Ok(Camera { process, port })
    }

    /// The URL of one of its clips.
    pub fn url(&self, name: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{name}", self.port)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, to be stopped or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
