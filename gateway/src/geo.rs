//! Coordinates as platforms want them, from the WGS-84 that the gateway keeps.

use std::f64::consts::{FRAC_PI_4, PI};

use serde::Deserialize;

use crate::config::Crs;

/// Krasovsky 1940 semi-major axis, m, and first eccentricity squared, as GCJ-02 uses them.
const GCJ_A: f64 = 6_378_245.0;
const GCJ_EE: f64 = 0.006_693_421_622_965_943;
/// WGS-84 semi-major axis, m (EPSG:3857 is spherical Mercator on it).
const WGS84_A: f64 = 6_378_137.0;
/// Latitude at which the Web Mercator square ends, degrees.
const MERCATOR_MAX_LAT: f64 = 85.051_128_779_806_59;

/// Converts WGS-84 degrees into (x, y) of `crs`: degrees rounded to seven decimals (1 cm), or
/// metres to two, of a city's grid to three.
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
        Crs::Grid(grid) => {
            let (x, y) = grid.from_wgs84(lon, lat);
            (x, y, 1e3)
        }
    };
    let round = |v: f64| (v * scale).round() / scale;
    (round(x), round(y))
}

/// A city's own plane: a transverse Mercator projection of CGCS2000 (Gauss-Krüger), and a shift,
/// turn and scale of it (a Helmert transformation with four parameters), as surveying offices give
/// them. Numbers, because each city has its own and most are not public.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Degrees east.
    pub central_meridian: f64,
    /// Metres added to the easting; 500,000 in the national zones.
    #[serde(default)]
    pub false_easting: f64,
    /// Metres added to the northing.
    #[serde(default)]
    pub false_northing: f64,
    /// Scale on the central meridian; 1 for Gauss-Krüger.
    #[serde(default = "one")]
    pub scale: f64,
    /// Then: metres.
    #[serde(default)]
    pub dx: f64,
    /// See `dx`.
    #[serde(default)]
    pub dy: f64,
    /// Counter-clockwise, seconds of arc.
    #[serde(default)]
    pub rotation: f64,
    /// Millionths by which lengths grow.
    #[serde(default)]
    pub ppm: f64,
}

fn one() -> f64 {
    1.0
}

/// Flattening of the GRS 80 ellipsoid, which CGCS2000 has.
const CGCS2000_F: f64 = 1.0 / 298.257_222_101;

impl Grid {
    /// Whether it can be one.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(format!(
                "grid.{name} is {value}; it must be from {low} to {high}"
            ))
        };
        within("central_meridian", self.central_meridian, -180.0, 180.0)?;
        within("scale", self.scale, 0.99, 1.01)?;
        within("rotation", self.rotation, -648_000.0, 648_000.0)?;
        within("ppm", self.ppm, -10_000.0, 10_000.0)?;
        for (name, metres) in [
            ("false_easting", self.false_easting),
            ("false_northing", self.false_northing),
            ("dx", self.dx),
            ("dy", self.dy),
        ] {
            within(name, metres, -1e8, 1e8)?;
        }
        Ok(())
    }

    /// Easting and northing, metres. Krüger's series to the fourth power of the third flattening:
    /// below a millimetre within ten degrees of the central meridian.
    pub fn from_wgs84(&self, lon: f64, lat: f64) -> (f64, f64) {
        let n = CGCS2000_F / (2.0 - CGCS2000_F);
        let (n2, n3, n4) = (n * n, n * n * n, n * n * n * n);
        let radius = WGS84_A / (1.0 + n) * (1.0 + n2 / 4.0 + n4 / 64.0);
        let alpha = [
            n / 2.0 - n2 * 2.0 / 3.0 + n3 * 5.0 / 16.0 + n4 * 41.0 / 180.0,
            n2 * 13.0 / 48.0 - n3 * 3.0 / 5.0 + n4 * 557.0 / 1440.0,
            n3 * 61.0 / 240.0 - n4 * 103.0 / 140.0,
            n4 * 49_561.0 / 161_280.0,
        ];
        let (phi, lambda) = (lat.to_radians(), (lon - self.central_meridian).to_radians());
        let e = (CGCS2000_F * (2.0 - CGCS2000_F)).sqrt();
        let sin = phi.sin();
        // The tangent of the conformal latitude.
        let t = (sin.atanh() - e * (e * sin).atanh()).sinh();
        let xi = t.atan2(lambda.cos());
        let eta = (lambda.sin() / t.hypot(lambda.cos())).asinh();
        let (mut x, mut y) = (eta, xi);
        for (j, a) in (1..).map(f64::from).zip(alpha) {
            x += a * (2.0 * j * xi).cos() * (2.0 * j * eta).sinh();
            y += a * (2.0 * j * xi).sin() * (2.0 * j * eta).cosh();
        }
        let east = self.scale * radius * x + self.false_easting;
        let north = self.scale * radius * y + self.false_northing;
        let (sin, cos) = (self.rotation / 3_600.0).to_radians().sin_cos();
        let grown = 1.0 + self.ppm * 1e-6;
        (
            self.dx + grown * (cos * east - sin * north),
            self.dy + grown * (sin * east + cos * north),
        )
    }
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

    const GAUSS_KRUEGER_102: Grid = Grid {
        central_meridian: 102.0,
        false_easting: 500_000.0,
        false_northing: 0.0,
        scale: 1.0,
        dx: 0.0,
        dy: 0.0,
        rotation: 0.0,
        ppm: 0.0,
    };

    #[test]
    fn a_citys_grid() {
        // PROJ 9.5.1: +proj=tmerc +lat_0=0 +lon_0=102 +k=1 +x_0=500000 +ellps=GRS80.
        for (lon, lat, there) in [
            (102.712_345, 25.04, (571_889.190_035, 2_770_674.249_832)),
            (102.0, 50.0, (500_000.0, 5_540_847.041_561)),
        ] {
            close(GAUSS_KRUEGER_102.from_wgs84(lon, lat), there, 1e-4);
        }
        // Symmetric about it.
        let (west, _) = GAUSS_KRUEGER_102.from_wgs84(101.3, 25.0);
        let (east, _) = GAUSS_KRUEGER_102.from_wgs84(102.7, 25.0);
        assert!((west + east - 1_000_000.0).abs() < 1e-6);
        // Shift, turn, scale.
        let turned = Grid {
            dx: 1_000.0,
            dy: -2_000.0,
            rotation: 90.0 * 3_600.0,
            ppm: 100.0,
            ..GAUSS_KRUEGER_102
        };
        let (x, y) = GAUSS_KRUEGER_102.from_wgs84(102.5, 25.0);
        close(
            turned.from_wgs84(102.5, 25.0),
            (1_000.0 - y * 1.000_1, -2_000.0 + x * 1.000_1),
            1e-6,
        );
        assert!(GAUSS_KRUEGER_102.check().is_ok());
        for bad in [
            Grid {
                central_meridian: 181.0,
                ..GAUSS_KRUEGER_102
            },
            Grid {
                scale: f64::NAN,
                ..GAUSS_KRUEGER_102
            },
            Grid {
                dx: f64::INFINITY,
                ..GAUSS_KRUEGER_102
            },
        ] {
            assert!(bad.check().is_err());
        }
    }

    /// GCJ-02 back to WGS-84: the shift changes so slowly that a few rounds find it.
    fn from_gcj02(x: f64, y: f64) -> (f64, f64) {
        let (mut lon, mut lat) = (x, y);
        for _ in 0..20 {
            let (gx, gy) = gcj02(lon, lat);
            (lon, lat) = (lon + x - gx, lat + y - gy);
        }
        (lon, lat)
    }

    proptest::proptest! {
        #[test]
        fn there_and_back(lon in 73.0..135.0_f64, lat in 3.5..53.5_f64) {
            let (x, y) = gcj02(lon, lat);
            // Shifted, by less than a kilometre and a half.
            proptest::prop_assert!((x - lon).abs() < 0.015 && (y - lat).abs() < 0.015);
            close(from_gcj02(x, y), (lon, lat), 1e-9);
            let (x, y) = web_mercator(lon, lat);
            let back = (
                (x / WGS84_A).to_degrees(),
                (2.0 * (y / WGS84_A).exp().atan() - PI / 2.0).to_degrees(),
            );
            close(back, (lon, lat), 1e-9);
        }

        #[test]
        fn outside_china_gcj02_is_wgs84(lon in -180.0..180.0_f64, lat in -85.0..85.0_f64) {
            let inside = (72.004..=137.8347).contains(&lon) && (0.8293..=55.8271).contains(&lat);
            proptest::prop_assert_eq!(gcj02(lon, lat) == (lon, lat), !inside);
        }

        /// A metre on the ground is a metre in the grid, near its meridian.
        #[test]
        fn a_grid_keeps_lengths(lon in 101.0..103.0_f64, lat in 20.0..30.0_f64) {
            let a = GAUSS_KRUEGER_102.from_wgs84(lon, lat);
            let b = GAUSS_KRUEGER_102.from_wgs84(lon, lat + 1e-4);
            let length = (b.0 - a.0).hypot(b.1 - a.1);
            let sin2 = lat.to_radians().sin().powi(2);
            let e2 = CGCS2000_F * (2.0 - CGCS2000_F);
            let arc = WGS84_A * (1.0 - e2) / (1.0 - e2 * sin2).powf(1.5) * 1e-4_f64.to_radians();
            proptest::prop_assert!((length / arc - 1.0).abs() < 2e-4, "{} {}", length, arc);
        }
    }
}
