//! Whether a camera still shows what it was put up for.

use std::time::Duration;

use crate::bilingual::Bilingual;

use super::luma::Luma;

/// What is wrong with the view must last so long before it is said, and be right again for so
/// long before that is.
const LASTS: Duration = Duration::from_secs(20);
/// A picture that does not change at all, for so long, is a picture of the past. Even a still
/// night has noise.
const FROZEN: Duration = Duration::from_secs(60);
/// Cells that may change in a frozen picture, share: the clock that the camera writes over it.
const OVERLAY: f32 = 0.02;
/// Darker than this, mean of 255, with this little contrast (standard deviation): nothing to see.
const BLACK: f32 = 10.0;
const BLACK_CONTRAST: f32 = 4.0;
/// Dark, but not black: a night camera whose infrared light does not burn.
const DARK: f32 = 32.0;
const DARK_CONTRAST: f32 = 9.0;
/// Sharpness, as share of what is usual: less is out of focus, if fine detail has lost more than
/// this factor of what coarse has. Fog takes both alike, a lens fine detail alone: 1.0 and 0.37
/// on clips of fog and of a lens out of focus.
const BLURRED: f32 = 0.4;
const FINE_ALONE: f32 = 0.6;
/// Side of coarse detail, cells.
const COARSE: usize = 8;
/// With so little sharpness and contrast, as share of the usual, something covers the lens.
const COVERED: f32 = 0.35;
const SAME_VIEW: f32 = 0.25;
/// The usual view is learnt within about this time, at first quickly.
const USUAL: Duration = Duration::from_secs(1800);
const FIRST: Duration = Duration::from_secs(10);
/// A picture of another shape than the one before counts so much, up to a limit, one of the same
/// shape takes one off, and more than so much is a camera that keeps no shape.
const RESHAPED: u32 = 2;
const RESHAPED_MOST: u32 = 20;
const SHAPELESS: u32 = 5;
/// Looks farther apart than this count as this far.
const MAX_STEP: Duration = Duration::from_secs(15);

/// What is wrong with a view; see [`super::of_camera`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impairment {
    #[error(
        "shows another view than it was set up for: turn it back, or draw its zones anew and restart"
    )]
    Moved,
    #[error("is covered or blinded: look at its lens")]
    Covered,
    #[error("is out of focus or dirty: clean the lens or focus it")]
    OutOfFocus,
    #[error("has sent the same picture for a minute although its clock runs: restart it")]
    Frozen,
    #[error("sends black pictures: check its exposure and lens cap")]
    Black,
    #[error("sees next to nothing in the dark: check its infrared light")]
    InfraredFailed,
    #[error(
        "sends pictures of ever another shape, so nothing new can be told from what was there: set one size"
    )]
    Shapeless,
}

impl Bilingual for Impairment {
    fn zh(&self) -> String {
        match self {
            Impairment::Moved => {
                "画面偏移,与安装时不一致:请将摄像机转回原位,或重新绘制区域并重启网关"
            }
            Impairment::Covered => "镜头被遮挡或被强光照射:请检查镜头",
            Impairment::OutOfFocus => "画面模糊:请清洁镜头或重新对焦",
            Impairment::Frozen => "画面冻结:一分钟内画面未变而时间仍在走,请重启摄像机",
            Impairment::Black => "黑屏:请检查曝光和镜头盖",
            Impairment::InfraredFailed => "补光失效,夜间几乎无法看清:请检查红外灯",
            Impairment::Shapeless => "画面比例不断变化,无法分辨新出现的物品:请固定分辨率",
        }
        .into()
    }
}

/// What is usual of one light: day and night are judged each by its own.
#[derive(Clone, Debug, Default)]
struct Usual {
    sharpness: f32,
    contrast: f32,
    /// Coarse and fine detail, see [`detail`].
    coarse: f32,
    fine: f32,
    steps: Vec<f32>,
    learnt: Duration,
}

/// Looks at every picture and says what lasts.
#[derive(Debug, Default)]
pub struct View {
    last: Option<(Duration, Luma)>,
    unchanged: Duration,
    /// See [`RESHAPED`].
    reshaped: u32,
    usual: Usual,
    /// What the newest pictures said, since when.
    saying: Option<(Option<Impairment>, Duration)>,
    told: Option<Impairment>,
}

impl View {
    /// What is wrong, if anything has been for long enough.
    pub fn look(&mut self, luma: &Luma, at: Duration) -> Option<Impairment> {
        if luma.width < 8 || luma.height < 8 {
            return self.told;
        }
        let passed = match &self.last {
            Some((last, before)) if before.like(luma) => {
                let passed = at.saturating_sub(*last).min(MAX_STEP);
                if identical(before, luma) {
                    self.unchanged += passed;
                } else {
                    self.unchanged = Duration::ZERO;
                }
                self.reshaped = self.reshaped.saturating_sub(1);
                passed
            }
            before => {
                if before.is_some() {
                    self.reshaped = (self.reshaped + RESHAPED).min(RESHAPED_MOST);
                }
                self.unchanged = Duration::ZERO;
                self.usual = Usual::default();
                Duration::ZERO
            }
        };
        self.last = Some((at, luma.clone()));
        let seen = self.judge(luma, passed);
        let now = match self.reshaped > SHAPELESS {
            true => Some(Impairment::Shapeless),
            false => seen,
        };
        match &mut self.saying {
            Some((what, since)) if *what == now => {
                let lasts = at.saturating_sub(*since) >= LASTS;
                if lasts || now == Some(Impairment::Frozen) {
                    self.told = now;
                }
            }
            saying => *saying = Some((now, at)),
        }
        self.told
    }

    /// The newest picture shows another view, whether that lasts or not.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.saying, Some((Some(Impairment::Moved), _)))
    }

    fn judge(&mut self, luma: &Luma, passed: Duration) -> Option<Impairment> {
        let (mean, contrast) = spread(luma);
        if mean < BLACK && contrast < BLACK_CONTRAST {
            return Some(Impairment::Black);
        }
        if self.unchanged >= FROZEN {
            return Some(Impairment::Frozen);
        }
        if mean < DARK && contrast < DARK_CONTRAST {
            return Some(Impairment::InfraredFailed);
        }
        let steps = steps(luma);
        let sharpness = steps.iter().map(|s| s.abs()).sum::<f32>() / steps.len().max(1) as f32;
        let now = Usual {
            sharpness,
            contrast,
            coarse: detail(luma, COARSE),
            fine: detail(luma, 1),
            steps,
            learnt: passed,
        };
        if self.usual.learnt < FIRST {
            self.learn(now, FIRST / 3);
            return None;
        }
        let blur = (now.fine / self.usual.fine) / (now.coarse / self.usual.coarse).min(1.0);
        let likeness = self.likeness(&now.steps, luma.width);
        let faint =
            contrast < COVERED * self.usual.contrast && sharpness < COVERED * self.usual.sharpness;
        // A dim evening is faint too, but the street is still to be seen in it.
        if faint && likeness < 2.0 * SAME_VIEW {
            return Some(Impairment::Covered);
        }
        if !faint && sharpness < BLURRED * self.usual.sharpness && blur < FINE_ALONE {
            return Some(Impairment::OutOfFocus);
        }
        if likeness < SAME_VIEW {
            return Some(Impairment::Moved);
        }
        self.learn(now, USUAL);
        None
    }

    /// Takes what is to be seen `now`, which counts for the time that it says was `learnt`.
    fn learn(&mut self, now: Usual, memory: Duration) {
        let usual = &mut self.usual;
        if usual.steps.len() != now.steps.len() {
            let learnt = Duration::ZERO;
            *usual = Usual { learnt, ..now };
            return;
        }
        let share = 1.0 - (-now.learnt.as_secs_f32() / memory.as_secs_f32()).exp();
        let towards = |was: &mut f32, is: f32| *was += (is - *was) * share;
        for (was, is) in usual.steps.iter_mut().zip(now.steps) {
            towards(was, is);
        }
        towards(&mut usual.sharpness, now.sharpness);
        towards(&mut usual.contrast, now.contrast);
        towards(&mut usual.coarse, now.coarse);
        towards(&mut usual.fine, now.fine);
        usual.learnt += now.learnt;
    }

    /// Correlation with the usual view, at its best over small shakes.
    fn likeness(&self, steps: &[f32], width: usize) -> f32 {
        let mut best = 0.0f32;
        for shift in [0, 1, 2, width, 2 * width] {
            for (earlier, later) in [(steps, &self.usual.steps[..]), (&self.usual.steps, steps)] {
                let pairs = earlier.iter().skip(shift).zip(later);
                let (mut product, mut a, mut b) = (0.0, 1e-3, 1e-3);
                for (x, y) in pairs {
                    product += x * y;
                    a += x * x;
                    b += y * y;
                }
                // An inverted pattern (infrared) is the same view.
                best = best.max((product / (a * b).sqrt()).abs());
            }
        }
        best
    }
}

/// Whether nothing changed but, at most, a clock in the picture.
fn identical(before: &Luma, now: &Luma) -> bool {
    let differing = before
        .pixels
        .iter()
        .zip(&now.pixels)
        .filter(|(a, b)| a != b)
        .count();
    differing as f32 <= OVERLAY * now.pixels.len() as f32
}

fn spread(luma: &Luma) -> (f32, f32) {
    let n = luma.pixels.len().max(1) as f32;
    let mean = luma.pixels.iter().map(|p| f32::from(*p)).sum::<f32>() / n;
    let square = |p: &u8| (f32::from(*p) - mean).powi(2);
    let variance = luma.pixels.iter().map(square).sum::<f32>() / n;
    (mean, variance.sqrt())
}

/// Mean step to the right, brightness averaged over squares of `side` cells.
fn detail(luma: &Luma, side: usize) -> f32 {
    let (mut sum, mut count) = (0.0, 0);
    let area = (side * side) as f32;
    for band in luma.pixels.chunks_exact(luma.width.max(1) * side) {
        let mut before = None;
        for column in 0..luma.width / side {
            let rows = band.chunks_exact(luma.width);
            let square = rows.flat_map(|row| row.iter().skip(column * side).take(side));
            let mean = square.map(|p| f32::from(*p)).sum::<f32>() / area;
            if let Some(before) = before.replace(mean) {
                sum += f32::abs(mean - before);
                count += 1;
            }
        }
    }
    // Never nothing: it is divided by.
    (sum / count.max(1) as f32).max(1e-3)
}

/// Brightness steps to the right, without those that noise makes.
fn steps(luma: &Luma) -> Vec<f32> {
    luma.pixels
        .chunks_exact(luma.width.max(1))
        .flat_map(|row| {
            row.windows(2).map(|pair| match pair {
                [a, b] => {
                    let step = f32::from(*b) - f32::from(*a);
                    if step.abs() > 3.0 { step } else { 0.0 }
                }
                _ => 0.0,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 160;
    const H: usize = 90;

    struct Camera {
        view: View,
        frame: u64,
        random: u64,
    }

    impl Camera {
        fn new() -> Self {
            let mut camera = Camera {
                view: View::default(),
                frame: 0,
                random: 42,
            };
            assert_eq!(camera.run(60, street), None);
            camera
        }

        fn run(&mut self, seconds: u64, paint: impl Fn(usize, usize) -> f32) -> Option<Impairment> {
            self.run_noisy(seconds, 2.0, paint)
        }

        /// Two looks a second; what was told last.
        fn run_noisy(
            &mut self,
            seconds: u64,
            noise: f32,
            paint: impl Fn(usize, usize) -> f32,
        ) -> Option<Impairment> {
            let mut told = None;
            for _ in 0..seconds * 2 {
                self.frame += 1;
                let mut pixels = Vec::new();
                for i in 0..W * H {
                    self.random = self
                        .random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let grain = (self.random >> 40) as f32 / 8_388_608.0 - 1.0;
                    pixels.push((paint(i % W, i / W) + noise * grain).clamp(0.0, 255.0) as u8);
                }
                let luma = Luma {
                    width: W,
                    height: H,
                    pixels,
                };
                told = self
                    .view
                    .look(&luma, Duration::from_millis(self.frame * 500));
            }
            told
        }
    }

    /// Windows, a kerb, paving.
    fn street(x: usize, y: usize) -> f32 {
        let window = (x % 24 < 12) && (y % 20 < 11) && y < 50;
        let paving = if (x / 5 + y / 4).is_multiple_of(2) {
            12.0
        } else {
            0.0
        };
        if window {
            60.0
        } else {
            120.0 + paving + (x * 31 % 17) as f32
        }
    }

    #[test]
    fn a_good_view_is_good_by_day_night_and_exposure() {
        let mut camera = Camera::new();
        assert_eq!(camera.run(120, street), None);
        assert_eq!(camera.run(60, |x, y| street(x, y) * 0.5), None);
        assert_eq!(camera.run(60, |x, y| street(x, y) * 1.4), None);
        assert_eq!(
            camera.run(60, |x, y| 200.0 - street(x, y) * 0.8),
            None,
            "infrared"
        );
        // Someone fills a third of the picture.
        let lorry = |x: usize, y: usize| if x > 100 { 90.0 } else { street(x, y) };
        assert_eq!(camera.run(60, lorry), None);
    }

    #[test]
    fn each_fault_is_named_and_ends() {
        use Impairment::*;
        let turned = |x: usize, y: usize| street(x * 2 / 3 + 37, y / 2 + 31);
        let blurred = |x: usize, y: usize| {
            let around = (0..9).map(|dx| (0..9).map(|dy| street(x + dx, y + dy)).sum::<f32>());
            around.sum::<f32>() / 81.0
        };
        let hand = |x: usize, _: usize| 70.0 + x as f32 / 20.0;
        let black = |_: usize, _: usize| 2.0;
        let dark = |x: usize, y: usize| 18.0 + street(x, y) / 30.0;
        type Painted<'a> = &'a dyn Fn(usize, usize) -> f32;
        let cases: [(Painted<'_>, Impairment); 5] = [
            (&turned, Moved),
            (&blurred, OutOfFocus),
            (&hand, Covered),
            (&black, Black),
            (&dark, InfraredFailed),
        ];
        for (paint, fault) in cases {
            let mut camera = Camera::new();
            assert_eq!(
                camera.run(LASTS.as_secs() - 2, paint),
                None,
                "{fault:?} too early"
            );
            assert_eq!(camera.run(6, paint), Some(fault));
            assert_eq!(
                camera.run(LASTS.as_secs() - 2, street),
                Some(fault),
                "{fault:?} too short"
            );
            assert_eq!(camera.run(6, street), None, "{fault:?} is over");
        }
    }

    #[test]
    fn fog_is_no_fault_of_the_lens() {
        let mut camera = Camera::new();
        for (second, thick) in [(0, 0.3), (30, 0.6), (60, 0.75), (120, 0.6), (150, 0.3)] {
            // Thicker the farther away, as the upper part of a picture is.
            let fog = |x: usize, y: usize| {
                let thick: f32 = thick * (1.35 - 0.7 * y as f32 / H as f32);
                street(x, y) * (1.0 - thick) + 175.0 * thick
            };
            assert_eq!(camera.run(30, fog), None, "from {second} s");
        }
    }

    #[test]
    fn a_frozen_picture_with_a_running_clock_is_frozen_and_a_still_night_is_not() {
        let mut camera = Camera::new();
        let mut told = None;
        for second in 0..80u64 {
            let clock = |x: usize, y: usize| match (x < 20 && y < 6, second % 2) {
                (true, 0) => 255.0,
                (true, _) => 0.0,
                _ => street(x, y),
            };
            told = camera.run_noisy(1, 0.0, clock);
            assert!(second > 58 || told.is_none(), "after {second} s");
        }
        assert_eq!(told, Some(Impairment::Frozen));
        assert_eq!(camera.run(30, street), None);
        assert_eq!(
            camera.run_noisy(300, 0.8, |x, y| 40.0 + street(x, y) / 3.0),
            None
        );
    }

    #[test]
    fn a_moment_is_nothing() {
        let mut camera = Camera::new();
        for _ in 0..20 {
            assert_eq!(camera.run(10, |_, _| 100.0), None);
            assert_eq!(camera.run(10, street), None);
        }
    }

    #[test]
    fn a_camera_that_keeps_no_shape_is_told_and_one_that_changes_it_once_is_not() {
        let mut view = View::default();
        let mut random = 1u32;
        let mut run = |seconds: u64, from: u64, height: &dyn Fn(u64) -> usize| {
            let mut told = None;
            for look in from * 2..(from + seconds) * 2 {
                let height = height(look);
                let pixels = (0..W * height).map(|i| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    street(i % W, i / W) as u8 + (random >> 31) as u8
                });
                let luma = Luma {
                    width: W,
                    height,
                    pixels: pixels.collect(),
                };
                told = view.look(&luma, Duration::from_millis(look * 500));
            }
            told
        };
        assert_eq!(run(30, 0, &|_| 90), None);
        assert_eq!(run(60, 30, &|_| 120), None);
        let ever_another = |look: u64| [90, 90, 100, 120][look as usize % 4];
        assert_eq!(run(10, 90, &ever_another), None);
        assert_eq!(run(20, 100, &ever_another), Some(Impairment::Shapeless));
        assert_eq!(run(40, 120, &|_| 90), None);
    }

    #[test]
    fn tiny_and_changing_pictures_do_not_panic() {
        let mut view = View::default();
        for (width, height) in [(0, 0), (1, 1), (7, 9), (8, 8), (160, 90), (90, 160)] {
            let luma = Luma {
                width,
                height,
                pixels: vec![100; width * height],
            };
            for second in 0..100 {
                view.look(&luma, Duration::from_secs(second));
            }
        }
    }

    #[test]
    fn every_impairment_is_told_in_both_languages() {
        crate::bilingual::assert_bilingual([
            Impairment::Moved,
            Impairment::Covered,
            Impairment::OutOfFocus,
            Impairment::Frozen,
            Impairment::Black,
            Impairment::InfraredFailed,
            Impairment::Shapeless,
        ]);
    }
}
