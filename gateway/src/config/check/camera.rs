//! Cameras, their zones, and the process that looks at them.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use wangge_models::Manifest;
use wangge_protocol::EventKind;

use super::{
    At, Checker, Seen, device, installed, limits,
    link::{self, Keys},
    polygon, rule, station,
};
use crate::config::{
    Camera, CameraInput, Condition, Device, RtspTransport, Rule, Station, Vision, Zone,
    raw::{RawCamera, RawConfig, RawTransport, RawZone},
};
use crate::vision::wire::OBJECT;

/// Default for `fps`.
const FPS: f64 = 5.0;
/// Default for `dwell`.
const DWELL: Duration = Duration::from_secs(20);
/// Default for `grace`.
const GRACE: Duration = Duration::from_secs(10);

/// The vision table, and what its model can see.
pub(super) struct Checked {
    pub(super) vision: Vision,
    /// `None` when the manifest could not be read.
    labels: Option<BTreeSet<String>>,
}

pub(super) fn vision(cx: &mut Checker<'_, '_>, raw: &RawConfig) -> Option<Checked> {
    let root = At::Root;
    let at = root.key("vision");
    let written = raw.vision.as_ref();
    if raw.camera.is_empty() {
        if written.is_some() {
            cx.warn(at, "`[vision]` without a camera does nothing", "");
        }
        return None;
    }
    let given = |value: Option<&str>, installed: fn() -> PathBuf| match value {
        Some(value) => value.to_owned(),
        None => installed().display().to_string(),
    };
    let model = given(written.and_then(|v| v.model.as_deref()), installed::model);
    let library = given(
        written.and_then(|v| v.onnxruntime.as_deref()),
        installed::onnxruntime,
    );
    let manifest = cx.read_text(at.key("model"), &model, limits::FILE_BYTES);
    let onnxruntime = cx.file(at.key("onnxruntime"), &library);
    let shadow = written.and_then(|v| v.shadow.as_ref());
    let shadow = shadow.and_then(|s| s.model.as_deref()).map(|model| {
        let table = at.key("shadow");
        if let Some(text) = cx.read_text(table.key("model"), model, limits::FILE_BYTES) {
            labels(cx, table.key("model"), &text);
        }
        cx.path(model)
    });
    Some(Checked {
        vision: Vision {
            model: cx.path(&model),
            shadow,
            onnxruntime,
            threads: written.and_then(|v| v.threads).unwrap_or(1),
            memory_limit: cx.size(
                at.key("memory_limit"),
                written.and_then(|v| v.memory_limit.as_ref()),
                512_000_000,
                &limits::VISION_MEMORY,
            ),
        },
        labels: manifest.and_then(|text| labels(cx, at.key("model"), &text)),
    })
}

/// Labels of a model's manifest; the weights are checked by whoever loads them.
fn labels(cx: &mut Checker<'_, '_>, at: At<'_>, manifest: &str) -> Option<BTreeSet<String>> {
    match Manifest::parse(manifest) {
        Ok(manifest) => Some(manifest.labels.into_iter().collect()),
        Err(reason) => {
            let message = format!("the model's manifest is unusable: {}", reason.trim());
            cx.error(at, message, "it is the TOML file beside the weights");
            None
        }
    }
}

/// What `wangge check` tries besides: are the weights those that the manifest names?
pub(super) fn model_loads(cx: &mut Checker<'_, '_>, vision: &Vision) {
    let root = At::Root;
    let table = root.key("vision");
    if let Err(error) = wangge_models::load(&vision.model) {
        let message = format!("the model cannot be used: {error}");
        cx.error(table.key("model"), message, "fetch the weights again");
    }
    if let Some(Err(error)) = vision.shadow.as_deref().map(wangge_models::load) {
        let message = format!("the shadow model cannot be used: {error}");
        let shadow = table.key("shadow");
        cx.error(shadow.key("model"), message, "fetch the weights again");
    }
}

pub(super) fn cameras(
    cx: &mut Checker<'_, '_>,
    raw: &RawConfig,
    station: &Station,
    devices: &[Arc<Device>],
    vision: Option<&Checked>,
) -> Vec<Arc<Camera>> {
    let root = At::Root;
    let list = root.key("camera");
    let mut seen = Seen::new();
    let mut cameras = Vec::new();
    for (i, raw) in raw.camera.iter().enumerate() {
        let at = list.index(i);
        let id = cx.id(at.key("id"), raw.id.as_ref());
        cx.unique(&mut seen, at.key("id"), "camera", &id);
        if !id.is_empty() && devices.iter().any(|d| d.id == id) {
            let message = format!("\"{id}\" is a device already");
            cx.error(
                at.key("id"),
                message,
                "alerts name devices and cameras alike by their id",
            );
        }
        let labels = vision.and_then(|v| v.labels.as_ref());
        if let Some(input) = input(cx, at, raw) {
            cameras.push(Arc::new(camera(cx, at, raw, id, input, station, labels)));
        }
    }
    cameras
}

fn camera(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawCamera,
    id: Arc<str>,
    input: CameraInput,
    station: &Station,
    labels: Option<&BTreeSet<String>>,
) -> Camera {
    if let Some(grid) = &raw.unit_grid {
        station::unit_grid(cx, at.key("unit_grid"), grid);
    }
    device::half_a_place(cx, at, raw.lon, raw.lat);
    let (zones, mut rules) = zones(cx, at, &raw.zone, labels);
    if zones.is_empty() && raw.zone.is_empty() {
        let help = "add a `[[camera.zone]]` to look for something";
        cx.warn(
            at,
            format!("camera \"{id}\" has no zone, so only its health is watched"),
            help,
        );
    }
    rules.push(Arc::new(Rule {
        id: "health".to_owned(),
        kind: EventKind::CameraFault,
        severity: EventKind::CameraFault.default_severity(),
        when: Condition::Health,
        update_every: rule::UPDATE_EVERY,
    }));
    let masks = polygons(cx, at.key("masks"), &raw.masks, "mask");
    let address = cx.optional_text(
        at.key("address"),
        raw.address.as_ref(),
        &limits::ADDRESS_CHARS,
    );
    Camera {
        id,
        name: cx.optional_text(at.key("name"), raw.name.as_ref(), &limits::NAME_CHARS),
        input,
        zones,
        masks,
        fps: raw.fps.unwrap_or(FPS) as f32,
        rules,
        unit_grid: raw.unit_grid.as_ref().unwrap_or(&station.unit_grid).clone(),
        lon: raw.lon.unwrap_or(station.lon),
        lat: raw.lat.unwrap_or(station.lat),
        address: address.or_else(|| station.address.clone()),
    }
}

/// A list of polygons, each called `what`.
fn polygons(
    cx: &mut Checker<'_, '_>,
    list: At<'_>,
    raw: &[Vec<[f64; 2]>],
    what: &str,
) -> Vec<Vec<[f32; 2]>> {
    let mut polygons = Vec::new();
    for (i, corners) in raw.iter().enumerate() {
        let at = list.index(i);
        if limits::CORNERS.contains(&corners.len()) {
            polygons.push(polygon::polygon(cx, at, corners));
        } else {
            let (low, high) = (limits::CORNERS.start(), limits::CORNERS.end());
            let n = corners.len();
            let message = format!("the {what} has {n} corners, it must have {low} to {high}");
            cx.error(at, message, "");
        }
    }
    polygons
}

fn input(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCamera) -> Option<CameraInput> {
    let of_url = [
        ("username", raw.username.is_some()),
        ("password", raw.password.is_some()),
        ("password_file", raw.password_file.is_some()),
        ("transport", raw.transport.is_some()),
    ];
    match (&raw.url, &raw.file) {
        (Some(url), None) => {
            let only_for_files = [("repeat", raw.repeat.is_some())];
            cx.useless(at, &only_for_files, "it is for video files");
            let url = link::url(cx, at.key("url"), Some(url), &["rtsp"]);
            let keys = Keys {
                username: raw.username.as_ref(),
                password: raw.password.as_ref(),
                password_file: raw.password_file.as_ref(),
                ..Keys::default()
            };
            let credentials = link::credentials(cx, at, keys);
            Some(CameraInput::Rtsp {
                url: url?,
                credentials,
                transport: match raw.transport {
                    None | Some(RawTransport::Tcp) => RtspTransport::Tcp,
                    Some(RawTransport::Udp) => RtspTransport::Udp,
                },
            })
        }
        (None, Some(file)) => {
            cx.useless(at, &of_url, "the camera is a video file");
            Some(CameraInput::File {
                path: cx.file(at.key("file"), file),
                repeat: raw.repeat.unwrap_or(false),
            })
        }
        (Some(_), Some(_)) => {
            cx.error(
                at.key("file"),
                "the camera has both `url` and `file`",
                "keep one of them",
            );
            None
        }
        (None, None) => {
            if !cx.was_reported(at.key("url")) && !cx.was_reported(at.key("file")) {
                let help = "for example `url = \"rtsp://192.168.1.20:554/Streaming/Channels/102\"`";
                cx.error(at, "the camera has neither `url` nor `file`", help);
            }
            None
        }
    }
}

fn zones(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &[RawZone],
    labels: Option<&BTreeSet<String>>,
) -> (Vec<Zone>, Vec<Arc<Rule>>) {
    let list = at.key("zone");
    let mut seen = Seen::new();
    let mut zones = Vec::new();
    let mut rules = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = list.index(i);
        let id = cx.id(at.key("id"), raw.id.as_ref());
        cx.unique(&mut seen, at.key("id"), "zone", &id);
        let polygon = raw
            .polygon
            .as_deref()
            .map(|corners| polygon::polygon(cx, at.key("polygon"), corners));
        let wanted = raw.labels.clone().unwrap_or_default();
        zone_labels(cx, at.key("labels"), &wanted, labels);
        let dwell = cx.duration(at.key("dwell"), raw.dwell.as_ref(), DWELL, &limits::DWELL);
        let grace = cx.duration(at.key("grace"), raw.grace.as_ref(), GRACE, &limits::GRACE);
        let (Some(kind), Some(polygon)) = (raw.kind, polygon) else {
            continue;
        };
        let left_behind = matches!(
            kind,
            EventKind::IllegalDumping | EventKind::GarbageExposed | EventKind::MaterialPile
        );
        let objects = raw.objects.unwrap_or(left_behind && raw.labels.is_none());
        if wanted.is_empty() && !objects && !cx.was_reported(at.key("labels")) {
            let help =
                "name `labels` of the model, or set `objects = true` for anything new that stays";
            cx.error(at, format!("zone \"{id}\" looks for nothing"), help);
        }
        let fixtures = polygons(cx, at.key("fixtures"), &raw.fixtures, "fixture");
        if !objects && !raw.fixtures.is_empty() {
            cx.warn(
                at.key("fixtures"),
                "`fixtures` without `objects` do nothing",
                "",
            );
        }
        let mut counts = wanted.clone();
        counts.extend(objects.then(|| OBJECT.to_owned()));
        let rule = Arc::new(Rule {
            id: format!("zone:{id}"),
            kind,
            severity: raw.severity.unwrap_or(kind.default_severity()),
            when: Condition::Presence {
                zone: id.clone(),
                labels: counts,
                dwell,
                grace,
            },
            update_every: rule::UPDATE_EVERY,
        });
        let tried = raw.shadow.unwrap_or(false);
        if !tried {
            rules.push(Arc::clone(&rule));
        }
        zones.push(Zone {
            shadow: tried.then_some(rule),
            id,
            kind,
            polygon,
            labels: wanted,
            objects,
            fixtures,
            dwell,
        });
    }
    (zones, rules)
}

fn zone_labels(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    wanted: &[String],
    known: Option<&BTreeSet<String>>,
) {
    let mut seen = Seen::new();
    for (i, label) in wanted.iter().enumerate() {
        let at = at.index(i);
        cx.unique(&mut seen, at, "label", label);
        if let Some(known) = known
            && !known.contains(label)
        {
            let all = known.iter().map(String::as_str);
            cx.unknown(
                at,
                "label in the model named",
                label,
                all,
                "labels to the model",
            );
        }
    }
}
