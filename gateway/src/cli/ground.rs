//! `wangge ground`: what a camera's taped points are worth.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{CONFIG, FAILED, USAGE, complain, print};
use crate::{
    config::{self, Camera},
    vision::ground::{
        Fit, Front, Survey,
        chart::{self, Still},
    },
};

/// Largest still, bytes.
pub const MAX_STILL: u64 = 32_000_000;
/// Longest side of a still, pixels.
pub const MAX_SIDE: usize = 16_384;
/// Rows of a line's table.
const ROWS: usize = 8;

#[derive(Debug, Args)]
pub struct GroundArgs {
    /// The station's file.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// One camera; all that have `ground` when left out.
    #[arg(long, value_name = "ID")]
    camera: Option<String>,
    /// Draw grid, points, lines and errors into this JPEG; needs `--camera` if several have
    /// `ground`.
    #[arg(long, value_name = "FILE.jpg")]
    picture: Option<PathBuf>,
    /// A JPEG of the camera's view to draw on. The camera's masks are blacked out; take one
    /// without people.
    #[arg(long, value_name = "FILE.jpg", requires = "picture")]
    still: Option<PathBuf>,
}

pub(super) fn ground(args: &GroundArgs) -> u8 {
    let inspection = config::inspect(&args.config, false);
    let Some(config) = inspection.config else {
        print(&format!("{}\n", inspection.faults));
        return USAGE;
    };
    let wanted = |camera: &Camera| args.camera.as_ref().is_none_or(|id| **id == *camera.id);
    let mut found: Vec<(&Camera, &Survey, &Fit)> = Vec::new();
    for camera in config.cameras.iter().filter(|camera| wanted(camera)) {
        if let Some((survey, fit)) = &camera.ground {
            found.push((camera, survey, fit));
        }
    }
    if found.is_empty() {
        let which = match &args.camera {
            Some(id) => format!("camera \"{id}\" is not there, or has no `ground`"),
            None => "no camera has `ground`".to_owned(),
        };
        complain(&format!(
            "{which}; see `[[camera]]` in the configuration guide"
        ));
        return USAGE;
    }
    let pages: Vec<String> = found
        .iter()
        .map(|(c, survey, fit)| page(c, survey, fit))
        .collect();
    let code = print(&pages.join("\n"));
    match (&args.picture, &found[..]) {
        (None, _) => code,
        (Some(to), [(camera, survey, fit)]) => {
            match draw(camera, survey, fit, args.still.as_deref(), to) {
                Ok(()) => code,
                Err(reason) => {
                    complain(&reason);
                    FAILED
                }
            }
        }
        (Some(_), _) => {
            complain("several cameras have `ground`: choose one with --camera for --picture");
            USAGE
        }
    }
}

/// What there is to say about a camera's ground.
fn page(camera: &Camera, survey: &Survey, fit: &Fit) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // A String takes everything.
        let _ = writeln!(text, "{words}");
    };
    line(format!(
        "camera {}: {} points",
        camera.id,
        survey.points.len()
    ));
    line("  point       image            metres        off by".into());
    for (index, (point, residual)) in survey.points.iter().zip(&fit.residuals).enumerate() {
        let ([x, y], [east, north]) = (point.image, point.metres);
        line(format!(
            "  {:>5}   {x:.3}, {y:.3}   {east:>7.2}, {north:>7.2}   {:>5.1} px {:>6.1} cm",
            index + 1,
            residual.pixels,
            residual.metres * 100.0,
        ));
    }
    if survey.points.len() == 4 {
        line("  four points always fit: a fifth and sixth would show a mistake".into());
    }
    match fit.lens {
        Some(lens) => line(format!(
            "  lens: bends straight lines ({lens:+.3}), taken into account"
        )),
        None => line(format!(
            "  lens: taken as straight; bending of up to about {:.0} % at the corners is within the errors",
            200.0 * survey.lens_doubt(),
        )),
    }
    match fit.plane.pose() {
        Some(pose) => line(format!(
            "  camera: {:.1} m ± {:.1} m above the ground, {:.0}° down, {:.0}° wide, as the points have it; where that is not so, a figure or a unit is wrong",
            pose.height,
            pose.error,
            pose.tilt.to_degrees(),
            pose.width.to_degrees(),
        )),
        None => line("  camera: the points do not tell how high it hangs".into()),
    }
    if fit.inflation > 1.05 {
        let times = fit.inflation;
        line(format!(
            "  the points fit {times:.1} times worse than stated, so errors are {times:.1} times larger"
        ));
    }
    if let Some(doubt) = &fit.doubtful {
        line(format!("  {doubt}"));
    }
    for zone in &camera.zones {
        if let Some(front) = &zone.front {
            line(String::new());
            line(format!("  zone {}: {}", zone.id, verdict(front)));
            line("    along     metres            image         error".into());
            let stations = front.stations();
            for station in stations
                .iter()
                .step_by(stations.len().div_ceil(ROWS).max(1))
            {
                let ([x, y], [u, v]) = (station.metres, station.image);
                line(format!(
                    "    {:>5.1} m   {x:>6.2}, {y:>6.2}   {u:.3}, {v:.3}   ± {:.2} m{}",
                    station.along,
                    station.error,
                    if station.error > front.tolerance() {
                        "  cannot measure here"
                    } else {
                        ""
                    },
                ));
            }
        }
    }
    text
}

fn verdict(front: &Front) -> String {
    let stations = front.stations();
    let errors = || stations.iter().map(|s| s.error);
    let (best, worst) = (
        errors().fold(f64::INFINITY, f64::min),
        errors().fold(0.0, f64::max),
    );
    let (limit, tolerance) = (front.limit(), front.tolerance());
    if worst <= tolerance {
        format!("measurable to ± {worst:.2} m along its line {limit} m from the shop-front")
    } else {
        format!(
            "cannot measure everywhere: ± {best:.2} m at best and ± {worst:.2} m at worst, the tolerance is {tolerance:.2} m"
        )
    }
}

fn draw(
    camera: &Camera,
    survey: &Survey,
    fit: &Fit,
    still: Option<&Path>,
    to: &Path,
) -> Result<(), String> {
    let still = still.map(read).transpose()?;
    let fronts: Vec<&Front> = camera
        .zones
        .iter()
        .filter_map(|z| z.front.as_deref())
        .collect();
    let jpeg = chart::jpeg(survey, fit, &fronts, &camera.masks, still.as_ref())
        .map_err(|e| e.to_string())?;
    std::fs::write(to, jpeg).map_err(|e| format!("{}: {e}", to.display()))
}

fn read(path: &Path) -> Result<Still, String> {
    let shown = path.display();
    let bytes = limited(path).map_err(|e| format!("{shown}: {e}"))?;
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder
        .decode()
        .map_err(|e| format!("{shown} is no JPEG that can be read: {e}"))?;
    let (width, height) = decoder.dimensions().ok_or(format!("{shown} has no size"))?;
    Ok(Still {
        width,
        height,
        pixels,
    })
}

pub(super) fn limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_STILL + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_STILL {
        let message = format!("it is larger than {} MB", MAX_STILL / 1_000_000);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}
