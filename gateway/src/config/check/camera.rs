//! Cameras, their zones, and the process that looks at them.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use wangge_models::Manifest;
use wangge_protocol::EventKind;

use super::{
    At, Checker, Seen, calendar, device, ground, input, installed, limits, polygon, preset,
    privacy, rule, station,
};
use crate::calendar::Windows;
use crate::config::{
    Among, Camera, CameraInput, Condition, Device, Rule, Station, Vision, Zone,
    raw::{RawCamera, RawConfig, RawVision, RawZone},
};
use crate::vision::wire::OBJECT;

/// Default for `fps`.
const FPS: f64 = 5.0;
/// Default for `dwell`.
const DWELL: Duration = Duration::from_secs(20);
/// Default for `grace`.
const GRACE: Duration = Duration::from_secs(10);
/// End of a take-down rule's id, after its zone's.
const TAKE_DOWN: &str = ":take_down";

/// The vision table, and what its model can see.
pub(super) struct Checked {
    pub(super) vision: Vision,
    /// `None` when the manifest could not be read.
    pub(super) labels: Option<BTreeSet<String>>,
}

pub(super) fn vision(cx: &mut Checker<'_, '_>, raw: &RawConfig) -> Option<Checked> {
    let root = At::Root;
    let at = root.key("vision");
    let written = raw.vision.as_ref();
    if raw.camera.is_empty() {
        if written.is_some() {
            cx.warn(at, "`[vision]` without a camera does nothing", "");
        }
        privacy::sealed_for(cx, raw.privacy.as_ref(), false);
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
    let sealed_for = privacy::sealed_for(cx, raw.privacy.as_ref(), true);
    let shadow = written.and_then(|v| v.shadow.as_ref());
    let shadow = shadow.and_then(|s| s.model.as_deref()).map(|model| {
        let table = at.key("shadow");
        if let Some(text) = cx.read_text(table.key("model"), model, limits::FILE_BYTES) {
            labels(cx, table.key("model"), &text);
        }
        cx.path(model)
    });
    let memory_limit = cx.size(
        at.key("memory_limit"),
        written.and_then(|v| v.memory_limit.as_ref()),
        limits::USUAL_VISION_MEMORY,
        &limits::VISION_MEMORY,
    );
    let cameras = raw.camera.len();
    let promised = limits::promised_vision_memory(cameras).min(limits::USUAL_VISION_MEMORY);
    if memory_limit < promised {
        let message = format!(
            "too little for {cameras} camera{}: when something goes on before many at once, all are \
             away while the process that looks at them is started again",
            if cameras == 1 { "" } else { "s" }
        );
        let help = format!("give it at least {}MB", promised / 1_000_000);
        cx.warn(at.key("memory_limit"), message, help);
    }
    Some(Checked {
        vision: Vision {
            model: cx.path(&model),
            litter_model: litter_model(cx, at, written),
            shadow,
            onnxruntime,
            threads: written.and_then(|v| v.threads).unwrap_or(1),
            memory_limit,
            decoder: input::decoder(cx, at.key("decoder"), written.and_then(|v| v.decoder)),
            sealed_for,
            // Known when the uplinks are.
            thumbnails: false,
        },
        labels: manifest.and_then(|text| labels(cx, at.key("model"), &text)),
    })
}

/// The manifest of a model that knows rubbish. Without one, stories go without its opinion.
fn litter_model(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    written: Option<&RawVision>,
) -> Option<PathBuf> {
    let Some(given) = written.and_then(|v| v.litter_model.as_deref()) else {
        return Some(installed::litter_model()).filter(|path| path.exists());
    };
    let at = at.key("litter_model");
    let manifest = cx.read_text(at, given, limits::FILE_BYTES)?;
    labels(cx, at, &manifest)?;
    Some(cx.path(given))
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

/// What a zone may refer to.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Of the model; `None` when its manifest could not be read.
    pub(super) labels: Option<&'a BTreeSet<String>>,
    pub(super) devices: &'a [Arc<Device>],
    /// Holidays and permits of the station's own file.
    pub(super) own: &'a calendar::Own,
}

pub(super) fn cameras(
    cx: &mut Checker<'_, '_>,
    raw: &RawConfig,
    station: &Station,
    vias: &[Arc<str>],
    known: Known<'_>,
) -> Vec<Arc<Camera>> {
    let root = At::Root;
    let list = root.key("camera");
    let mut seen = Seen::new();
    let mut topics = Seen::new();
    let mut cameras = Vec::new();
    for (i, raw) in raw.camera.iter().enumerate() {
        let at = list.index(i);
        let id = cx.id(at.key("id"), raw.id.as_ref());
        cx.unique(&mut seen, at.key("id"), "camera", &id);
        if !id.is_empty() && known.devices.iter().any(|d| d.id == id) {
            let message = format!("\"{id}\" is a device already");
            cx.error(
                at.key("id"),
                message,
                "alerts name devices and cameras alike by their id",
            );
        }
        if let Some(input) = input::input(cx, at, raw, vias) {
            input::topic_is_free(cx, at, &input, known.devices, &mut topics);
            cameras.push(Arc::new(camera(cx, at, raw, id, input, station, known)));
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
    known: Known<'_>,
) -> Camera {
    if let Some(grid) = &raw.unit_grid {
        station::unit_grid(cx, at.key("unit_grid"), grid);
    }
    device::half_a_place(cx, at, raw.lon, raw.lat);
    let ground = ground::ground(cx, at.key("ground"), raw.ground.as_ref());
    let on = ground::Camera {
        ground: ground.as_ref(),
        asked: raw.ground.is_some() || cx.was_reported(at.key("ground")),
    };
    let (zones, mut rules) = zones(cx, at, &raw.zone, (&id, station), known, on);
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
    input::zones_can_be_met(cx, at, &input, &zones);
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
        ground,
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

fn zones(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &[RawZone],
    (camera, station): (&str, &Station),
    known: Known<'_>,
    on: ground::Camera<'_>,
) -> (Vec<Zone>, Vec<Arc<Rule>>) {
    let list = at.key("zone");
    let mut seen = Seen::new();
    let mut zones = Vec::new();
    let mut rules = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = list.index(i);
        let id = cx.id(at.key("id"), raw.id.as_ref());
        cx.unique(&mut seen, at.key("id"), "zone", &id);
        let most = limits::ZONE_ID_CHARS;
        if id.len() > most && id.len() <= *limits::ID_CHARS.end() {
            let message = format!("a zone's `id` has at most {most} characters");
            cx.error(at.key("id"), message, "");
        }
        let front = ground::front(cx, at, raw, on);
        let polygon = ground::area(cx, at, raw, front.as_ref());
        let mut wanted = raw.labels.clone().unwrap_or_default();
        zone_labels(cx, at.key("labels"), &wanted, known.labels);
        let bins = bins(cx, at.key("bins"), &raw.bins, known.devices);
        let words = raw.what.as_deref().unwrap_or_default();
        let asked = preset::expand(cx, at.key("what"), words, known.labels);
        for label in asked.labels {
            if !wanted.contains(&label) {
                wanted.push(label);
            }
        }
        let dwell = cx.duration(at.key("dwell"), raw.dwell.as_ref(), DWELL, &limits::DWELL);
        let grace = cx.duration(at.key("grace"), raw.grace.as_ref(), GRACE, &limits::GRACE);
        let place = format!("{camera}/{id}");
        let calendar = Arc::new(calendar::zone(cx, at, raw, place, station, known.own));
        let (Some(kind), Some(polygon)) = (raw.kind, polygon) else {
            continue;
        };
        let left_behind = matches!(
            kind,
            EventKind::IllegalDumping | EventKind::GarbageExposed | EventKind::MaterialPile
        );
        let anything = left_behind || raw.line.is_some();
        let named = raw.labels.is_some() || raw.what.is_some();
        let objects = raw.objects.unwrap_or(asked.objects || (anything && !named));
        let reported = ["labels", "what"].map(|key| cx.was_reported(at.key(key)));
        if wanted.is_empty() && !objects && words.is_empty() && !reported.contains(&true) {
            let help = "say `what` it looks for, name `labels` of the model, or set `objects = \
                        true` for anything new that stays";
            cx.error(at, format!("zone \"{id}\" looks for nothing"), help);
        }
        let is_stall = matches!(kind, EventKind::StreetVendor | EventKind::ShopOverflow);
        let is_allowed = matches!(calendar.hours.windows, Windows::Allowed(_));
        let take_down = raw.take_down.unwrap_or(is_stall && is_allowed);
        if take_down && !is_allowed {
            let help = "say when things may be there: `allowed = [\"17:00-22:00\"]`";
            let message = "`take_down` without `allowed` never comes";
            cx.error(at.key("take_down"), message, help);
        }
        let fixtures = polygons(cx, at.key("fixtures"), &raw.fixtures, "fixture");
        let mut counts = wanted.clone();
        counts.extend(objects.then(|| OBJECT.to_owned()));
        let rule = |id: String, kind: EventKind, severity, labels, among| {
            let when = Condition::Presence {
                zone: raw.id.as_deref().unwrap_or_default().into(),
                labels,
                dwell,
                grace,
                bins: bins.clone(),
                among,
                calendar: calendar.clone(),
            };
            Arc::new(Rule {
                id,
                kind,
                severity,
                when,
                update_every: rule::UPDATE_EVERY,
            })
        };
        let severity = raw.severity.unwrap_or(kind.default_severity());
        let among = if take_down {
            Among::Arrived
        } else {
            Among::All
        };
        let main = rule(format!("zone:{id}"), kind, severity, counts, among);
        let tried = raw.shadow.unwrap_or(false);
        if !tried {
            rules.push(Arc::clone(&main));
        }
        if take_down && !tried {
            let id = format!("zone:{id}{TAKE_DOWN}");
            let kind = EventKind::StallLeftover;
            let severity = raw.severity.unwrap_or(kind.default_severity());
            rules.push(rule(id, kind, severity, Vec::new(), Among::LeftBehind));
        }
        zones.push(Zone {
            shadow: tried.then_some(main),
            id,
            kind,
            polygon,
            front: front.map(Arc::new),
            labels: wanted,
            // What is left may be of no class, unless somebody said that it does not count.
            objects: objects || (take_down && raw.objects.is_none()),
            fixtures,
            crop: raw.crop.unwrap_or(false),
            dwell,
            take_down,
            calendar,
        });
    }
    (zones, rules)
}

/// Devices beside a zone.
fn bins(
    cx: &mut Checker<'_, '_>,
    list: At<'_>,
    wanted: &[String],
    devices: &[Arc<Device>],
) -> Vec<Arc<str>> {
    let mut seen = Seen::new();
    let mut found = Vec::new();
    for (i, id) in wanted.iter().enumerate() {
        let at = list.index(i);
        cx.unique(&mut seen, at, "bin", id);
        let Some(device) = devices.iter().find(|d| *d.id == **id) else {
            let all = devices.iter().map(|d| &*d.id);
            cx.unknown(at, "device named", id, all, "`[[device]]` tables");
            continue;
        };
        if !device
            .rules
            .iter()
            .any(|r| r.kind == EventKind::BinOverflow)
        {
            let message = format!("device \"{id}\" has no rule that says when it is full");
            let help = "name a bin, or give the device a rule with `kind = \"bin_overflow\"`";
            cx.error(at, message, help);
        }
        found.push(Arc::clone(&device.id));
    }
    found
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
