//! `wangge draw`: a page on which zones, masks and taped points are drawn over the camera's view.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;
use wangge_protocol::EventKind;
use zune_jpeg::{JpegDecoder, zune_core::bytestream::ZCursor};

use super::{
    CONFIG, USAGE, camera, complain, ground::limited, print, run::block_on, run::start_log, status,
};
use crate::{
    alert,
    config::{self, Camera, CameraInput, Config, limits},
    feed::Feed,
    source::vision::{Launch, PROGRAM, look},
    vision::wire::Overview,
};

/// The page; `@DATA@` stands for what it shows.
const PAGE: &str = include_str!("draw/page.html");
/// What a camera can tell, the usual first, and what is usually looked for then; nothing where
/// whatever is new and stays counts by itself.
const KINDS: &[(EventKind, Option<&str>)] = &[
    (EventKind::IllegalDumping, None),
    (EventKind::GarbageExposed, None),
    (EventKind::PublicSpaceEncroachment, Some("stall")),
    (EventKind::StreetVendor, Some("stall")),
    (EventKind::ShopOverflow, Some("stall")),
    (EventKind::RoadOccupation, Some("stall")),
    (EventKind::VehicleParking, Some("vehicle")),
    (EventKind::NonmotorParking, Some("nonmotor")),
    (EventKind::MaterialPile, None),
    (EventKind::GreenEncroachment, Some("vehicle")),
];

#[derive(Debug, Args)]
pub struct DrawArgs {
    /// The station's file; the camera stands in it, with or without zones.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// The camera to draw on.
    #[arg(long, value_name = "ID")]
    camera: String,
    /// A JPEG of the camera's whole view instead of opening the camera. It goes into the page as
    /// it is.
    #[arg(long, value_name = "FILE.jpg")]
    still: Option<PathBuf>,
    /// Where the page goes; ID.html when left out.
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
}

pub(super) fn draw(args: &DrawArgs) -> u8 {
    start_log(LevelFilter::ERROR, false);
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(faults) => {
            complain(&format!("the configuration cannot be used\n\n{faults}"));
            return USAGE;
        }
    };
    let camera = match camera(&config, &args.config, &args.camera) {
        Ok(camera) => camera,
        Err(reason) => {
            complain(&reason);
            return USAGE;
        }
    };
    let view = match &args.still {
        Some(path) => still(path).map_err(|reason| complain(&reason)),
        None => live(&config, camera),
    };
    let view = match view {
        Ok(view) => view,
        Err(code) => return code,
    };
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{}.html", camera.id)));
    if let Err(e) = fs::write(&out, page(camera, &view)) {
        return complain(&format!("{}: {e}", out.display()));
    }
    let (shown, width, height) = (out.display(), view.width, view.height);
    print(&match status::chinese() {
        true => format!(
            "{shown}:摄像机 {} 的画面,{width} × {height}。用浏览器打开,画出区域,把右侧内容抄入 {},再运行 wangge check。\n",
            camera.id,
            args.config.display()
        ),
        false => format!(
            "{shown}: the view of camera {}, {width} × {height}. Open it in a browser, draw, copy the lines into {}, then `wangge check`.\n",
            camera.id,
            args.config.display()
        ),
    })
}

/// The camera's view now, by the station's own child: masked, and nobody to be recognised; or the
/// exit code, where the reason has been told.
fn live(config: &Config, camera: &Arc<Camera>) -> Result<Overview, u8> {
    if let CameraInput::Mqtt { topic, .. } = &camera.input {
        return Err(complain(&format!(
            "camera {} publishes its pictures on {topic} and cannot be opened: save one of them and give it with --still",
            camera.id
        )));
    }
    let Some(vision) = config.vision.clone() else {
        return Err(complain("the configuration has no vision"));
    };
    let program =
        std::env::current_exe().map_err(|e| complain(&format!("cannot find own program: {e}")))?;
    let launch = Launch {
        program: program.with_file_name(PROGRAM),
        vision,
        state: Arc::default(),
        feed: Feed::default(),
    };
    let mut view = None;
    let code = block_on(async {
        view = Some(look::look(&launch, Arc::clone(camera), &config.calendars).await?);
        Ok(())
    });
    view.ok_or(code)
}

/// A picture from a file, as it is.
fn still(path: &Path) -> Result<Overview, String> {
    let shown = path.display();
    let jpeg = limited(path).map_err(|e| format!("{shown}: {e}"))?;
    let mut decoder = JpegDecoder::new(ZCursor::new(&jpeg));
    decoder
        .decode_headers()
        .map_err(|e| format!("{shown} is no JPEG that can be read: {e}"))?;
    let (width, height) = decoder.dimensions().ok_or(format!("{shown} has no size"))?;
    // A JPEG has at most 65,535 pixels a side.
    let (width, height) = (width as u32, height as u32);
    Ok(Overview {
        jpeg,
        width,
        height,
    })
}

fn page(camera: &Camera, view: &Overview) -> String {
    // In a script element only its end could end it.
    let data = data(camera, view).to_string().replace('<', "\\u003c");
    PAGE.replacen("@DATA@", &data, 1)
}

/// What the page knows: names, picture, and what the file has already.
fn data(camera: &Camera, view: &Overview) -> Value {
    let zones = camera.zones.iter().map(|zone| {
        json!({
            "id": zone.id,
            "kind": zone.kind.slug(),
            "polygon": zone.polygon,
            "fixtures": zone.fixtures,
        })
    });
    let points = camera.ground.iter().flat_map(|(survey, _)| &survey.points);
    let points = points.map(|point| json!({ "image": point.image, "metres": point.metres }));
    let kinds = KINDS.iter().map(|(kind, what)| {
        json!({
            "slug": kind.slug(),
            "zh": kind.name_zh(),
            "en": alert::name_en(*kind),
            "what": what,
        })
    });
    json!({
        "camera": camera.id,
        "name": camera.name,
        "picture": [view.width, view.height],
        "corners": limits::CORNERS.end(),
        "jpeg": format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(&view.jpeg)),
        "zones": zones.collect::<Vec<_>>(),
        "masks": camera.masks,
        "ground": points.collect::<Vec<_>>(),
        "kinds": kinds.collect::<Vec<_>>(),
    })
}
