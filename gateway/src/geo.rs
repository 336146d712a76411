//! Coordinates as platforms want them, from the WGS-84 that the gateway keeps.

use std::f64::consts::{FRAC_PI_4, PI};

use crate::config::Crs;

/// Krasovsky 1940 semi-major axis, m, and first eccentricity squared, as GCJ-02 uses them.
const GCJ_A: f64 = 6_378_245.0;
const GCJ_EE: f64 = 0.006_693_421_622_965_943;
/// WGS-84 semi-major axis, m (EPSG:3857 is spherical Mercator on it).
const WGS84_A: f64 = 6_378_137.0;
/// Latitude at which the Web Mercator square ends, degrees.
const MERCATOR_MAX_LAT: f64 = 85.051_128_779_806_59;

/// Converts WGS-84 degrees into (x, y) of `crs`: degrees rounded to seven decimals (1 cm), or
/// metres to two.
pub fn from_wgs84(lon: f64, lat: f64, crs: Crs) -> (f64, f64) {
    let (x, y, scale) = match crs {
        Crs::Wgs84 => (lon, lat, 1e7),
        Crs::Gcj02 => {
            let (x, y) = gcj02(lon, lat);
            (x, y, 1e7)
        }
        Crs::Epsg3857 => {
            let (x, y) = web_mercator(lon, lat);
            (x, y, 1e2)
        }
    };
    let round = |v: f64| (v * scale).round() / scale;
    (round(x), round(y))
}

/// GCJ-02 by the published approximation that map services use; outside its rectangle around
/// China it is WGS-84. Nobody publishes the real algorithm; copies agree to about a metre.
pub fn gcj02(lon: f64, lat: f64) -> (f64, f64) {
    if !(72.004..=137.8347).contains(&lon) || !(0.8293..=55.8271).contains(&lat) {
        return (lon, lat);
    }
    let (x, y) = (lon - 105.0, lat - 35.0);
    let wave = |v: f64, a: f64, b: f64, k: f64| {
        (a * (v * PI / k).sin() + b * (v * PI / (3.0 * k)).sin()) * 2.0 / 3.0
    };
    let common = (20.0 * (6.0 * x * PI).sin() + 20.0 * (2.0 * x * PI).sin()) * 2.0 / 3.0;
    let d_lat = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + common
        + wave(y, 20.0, 40.0, 1.0)
        + (160.0 * (y / 12.0 * PI).sin() + 320.0 * (y * PI / 30.0).sin()) * 2.0 / 3.0;
    let d_lon = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + common
        + wave(x, 20.0, 40.0, 1.0)
        + (150.0 * (x / 12.0 * PI).sin() + 300.0 * (x / 30.0 * PI).sin()) * 2.0 / 3.0;
    let phi = lat.to_radians();
    let magic = 1.0 - GCJ_EE * phi.sin().powi(2);
    let meridian = GCJ_A * (1.0 - GCJ_EE) / (magic * magic.sqrt());
    let parallel = GCJ_A / magic.sqrt() * phi.cos();
    (
        lon + (d_lon / parallel).to_degrees(),
        lat + (d_lat / meridian).to_degrees(),
    )
}

/// EPSG:3857, metres; latitudes beyond the square's edge are put on it.
pub fn web_mercator(lon: f64, lat: f64) -> (f64, f64) {
    let lat = lat.clamp(-MERCATOR_MAX_LAT, MERCATOR_MAX_LAT);
    (
        WGS84_A * lon.to_radians(),
        WGS84_A * (FRAC_PI_4 + lat.to_radians() / 2.0).tan().ln(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: (f64, f64), b: (f64, f64), tolerance: f64) {
        assert!(
            (a.0 - b.0).abs() <= tolerance && (a.1 - b.1).abs() <= tolerance,
            "{a:?} is not {b:?}"
        );
    }

    #[test]
    fn gcj02_vectors() {
        // README of the public coord-convert library.
        close(
            gcj02(120.0, 40.0),
            (120.005_675_683_554_86, 40.001_304_789_601_9),
            1e-9,
        );
        // The public gcoord library, an implementation by others.
        for (from, to) in [
            (
                (116.404, 39.915),
                (116.410_244_499_169_38, 39.916_404_281_501_64),
            ),
            (
                (102.712_345, 25.04),
                (102.713_786_692_837_32, 25.037_027_343_054_38),
            ),
            (
                (87.6168, 43.8256),
                (87.619_649_949_469_26, 43.826_805_393_111_19),
            ),
            (
                (126.63, 45.75),
                (126.635_942_390_487_6, 45.751_935_204_908_385),
            ),
        ] {
            close(gcj02(from.0, from.1), to, 1e-9);
        }
        // Alibaba Cloud's documentation has one point in both systems, converted by the real
        // algorithm: a metre away from the approximation, where WGS-84 is 500 m away.
        close(
            gcj02(120.021_519, 30.281_543),
            (120.026_268, 30.279_164),
            1.5e-5,
        );
        // Not in China: Tokyo, Sydney, the null island.
        for (lon, lat) in [(139.69, 35.69), (151.2, -33.87), (0.0, 0.0)] {
            assert_eq!(gcj02(lon, lat), (lon, lat));
        }
    }

    #[test]
    fn web_mercator_vectors() {
        // A deployed city platform's own sample, Wuhan.
        close(
            web_mercator(114.412_9, 30.341_5),
            (12_736_381.64, 3_547_519.05),
            6.0,
        );
        // The gcoord library.
        close(
            web_mercator(102.712_345, 25.04),
            (11_433_885.943_583_04, 2_880_658.523_364_058),
            1e-6,
        );
        // The square's corner, EPSG:3857's own bounds.
        close(
            web_mercator(180.0, MERCATOR_MAX_LAT),
            (20_037_508.342_789_244, 20_037_508.342_789_244),
            1e-6,
        );
        assert!(web_mercator(0.0, 90.0).1.is_finite());
        close(web_mercator(0.0, 0.0), (0.0, 0.0), 1e-8);
    }

    #[test]
    fn output_is_rounded_but_never_below_six_decimals() {
        assert_eq!(
            from_wgs84(102.712_345_678_9, 25.0, Crs::Wgs84),
            (102.712_345_7, 25.0)
        );
        assert_eq!(
            from_wgs84(120.0, 40.0, Crs::Gcj02),
            (120.005_675_7, 40.001_304_8)
        );
        let (x, _) = from_wgs84(114.412_9, 30.341_5, Crs::Epsg3857);
        assert_eq!(x, (x * 100.0).round() / 100.0);
    }
}
