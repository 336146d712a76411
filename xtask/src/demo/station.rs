//! The demo's processes and their configuration.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, anyhow};
use wangge_tests::{
    Process,
    gateway::Gateway,
    place,
    platform::{Platform, Received},
    rtsp::Camera,
};

use super::report::Report;
use crate::setup::Kit;

const STATION: &str = r#"# The demo's station, as `cargo xtask demo` wrote it.
[station]
id = "demo-kunming-01"
name = "翠湖社区城管工作室"
unit_grid = "530102001001001"
lon = 102.7036
lat = 25.0492
address = "翠湖北路示例"
"#;

/// Everything that runs. Fields end in the order in which they stand here.
pub struct Station {
    gateway: Gateway,
    devices: Vec<Process>,
    camera: Camera,
    platform: Platform,
}
