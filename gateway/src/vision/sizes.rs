//! What the sizes of compressed frames say, before a single pixel is decoded.
//!
//! An encoder spends bits on what it could not foretell: something that moves costs bits in the
//! frames between key frames, something that has come to lie there changes the size of every
//! later key frame. What is usual is learnt per camera, for each place after a key frame, while
//! nothing goes on: encoders with a fixed bit rate starve the frames after a key frame and let
//! them grow until the next.

/// Frames after a key frame whose usual size is remembered; 12 s at 25 a second.
const MAX_PLACES: usize = 300;
/// A frame is large if it is so many times the usual size, at first.
const LARGE: f64 = 2.0;
/// Each false alarm makes it this much harder to be large, up to the limit.
const HARDER: f64 = 1.5;
const LARGE_LIMIT: f64 = 8.0;
/// Frames in a row that must be large: one alone is a hiccup of the encoder.
const IN_A_ROW: u32 = 2;
/// Share of a new size in what is usual.
const LEARN: f64 = 0.05;
/// Frames whose sum is held against the usual sum: a third of a second at 25 a second.
const WINDOW: u32 = 8;
/// Sums, groups and key frames that must have been seen before any is suspicious.
const KNOWN: u32 = 6;
/// Suspicious is what lies so many usual deviations off, at first; it gets harder with each
/// false alarm up to the limit, and easier again with time.
const SUSPICIOUS: f64 = 4.0;
const SUSPICIOUS_LIMIT: f64 = 16.0;
const SUSPICIOUS_HARDER: f64 = 1.25;
const EASIER: f64 = 0.98;
/// No deviation is taken for less than this share of the usual: encoders are not that steady.
const LEAST_SPREAD: f64 = 0.01;

/// What a frame's size says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// Nothing.
    Usual,
    /// Something may have changed: worth a look when one is cheap.
    Suspicious,
    /// Something moves: worth a look at once.
    Striking,
}

/// One stream's sizes.
#[derive(Debug)]
pub struct Sizes {
    /// Frames since the key frame.
    place: usize,
    /// Usual size at each place, and of all.
    usual: Vec<f32>,
    mean: f64,
    large: f64,
    in_a_row: u32,
    suspicious: f64,
    /// Bytes and usual bytes of the frames in the window, and how many they are.
    window: (f64, f64, u32),
    /// Bytes and usual bytes since the key frame.
    group: (f64, f64),
    windows: Usual,
    groups: Usual,
    keys: Usual,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes {
            place: 0,
            usual: Vec::new(),
            mean: 0.0,
            large: LARGE,
            in_a_row: 0,
            suspicious: SUSPICIOUS,
            window: (0.0, 0.0, 0),
            group: (0.0, 0.0),
            windows: Usual::default(),
            groups: Usual::default(),
            keys: Usual::default(),
        }
    }
}

impl Sizes {
    /// A key frame; it ends the group before it. `calm`: nothing was seen to go on.
    pub fn key(&mut self, bytes: usize, calm: bool) -> Hint {
        let (group, expected) = std::mem::take(&mut self.group);
        (self.place, self.in_a_row, self.window) = (0, 0, (0.0, 0.0, 0));
        let grown = if expected > 0.0 {
            self.groups.off(group / expected, calm)
        } else {
            0.0
        };
        // A thing that comes to lie there may make a key frame smaller, too.
        let other = self.keys.off(bytes as f64, calm).abs();
        if grown.max(other) > self.suspicious {
            Hint::Suspicious
        } else {
            Hint::Usual
        }
    }

    /// A frame between key frames.
    pub fn between(&mut self, bytes: usize, calm: bool) -> Hint {
        let bytes = bytes as f64;
        let here = self.usual.get(self.place).map_or(0.0, |u| f64::from(*u));
        // Where nothing was learnt yet, nothing is large.
        let large = here > 0.0 && bytes > here.max(self.mean) * self.large;
        self.in_a_row = if large { self.in_a_row + 1 } else { 0 };
        let mut off = 0.0;
        if here > 0.0 {
            self.group.0 += bytes;
            self.group.1 += here;
            let (sum, expected, frames) = &mut self.window;
            (*sum, *expected, *frames) = (*sum + bytes, *expected + here, *frames + 1);
            if *frames == WINDOW {
                let share = *sum / *expected;
                self.window = (0.0, 0.0, 0);
                off = self.windows.off(share, calm);
            }
        }
        if calm && !large {
            self.learn(bytes);
        }
        self.place += 1;
        if self.in_a_row >= IN_A_ROW {
            Hint::Striking
        } else if off > self.suspicious {
            Hint::Suspicious
        } else {
            Hint::Usual
        }
    }

    fn learn(&mut self, bytes: f64) {
        if self.place < MAX_PLACES && self.usual.len() <= self.place {
            self.usual.resize(self.place + 1, 0.0);
        }
        if let Some(usual) = self.usual.get_mut(self.place) {
            *usual = towards(f64::from(*usual), bytes) as f32;
        }
        self.mean = towards(self.mean, bytes);
    }

    /// A look followed a hint; was anything there?
    pub fn judged(&mut self, hint: Hint, rightly: bool) {
        match (hint, rightly) {
            (Hint::Usual, _) => {}
            (Hint::Striking, false) => self.large = (self.large * HARDER).min(LARGE_LIMIT),
            (Hint::Striking, true) => self.large = (self.large / HARDER).max(LARGE),
            (Hint::Suspicious, false) => {
                self.suspicious = (self.suspicious * SUSPICIOUS_HARDER).min(SUSPICIOUS_LIMIT);
            }
            (Hint::Suspicious, true) => {
                self.suspicious = (self.suspicious / SUSPICIOUS_HARDER).max(SUSPICIOUS);
            }
        }
        if hint != Hint::Usual {
            for usual in [&mut self.keys, &mut self.groups, &mut self.windows] {
                usual.accept();
            }
        }
    }

    /// A look that no size had asked for found nothing.
    pub fn quiet_look(&mut self) {
        self.suspicious = (self.suspicious * EASIER).max(SUSPICIOUS);
        self.large = (self.large * EASIER).max(LARGE);
    }
}

fn towards(usual: f64, now: f64) -> f64 {
    if usual == 0.0 {
        now
    } else {
        usual + (now - usual) * LEARN
    }
}

/// What a figure usually is and how far it usually is off.
#[derive(Debug, Default)]
struct Usual {
    mean: f64,
    spread: f64,
    seen: u32,
    last: f64,
}

impl Usual {
    /// How many usual deviations this one is off; zero while too few are known.
    fn off(&mut self, now: f64, learn: bool) -> f64 {
        self.last = now;
        let spread = self.spread.max(LEAST_SPREAD * self.mean);
        let off = if self.seen >= KNOWN && spread > 0.0 {
            (now - self.mean) / spread
        } else {
            0.0
        };
        if !learn {
            return off;
        }
        self.seen = self.seen.saturating_add(1);
        // Quickly at first; and one far off must not move what is usual by much.
        let share = LEARN.max(1.0 / f64::from(self.seen));
        let mut step = now - self.mean;
        if self.seen > KNOWN {
            step = step.clamp(-SUSPICIOUS * spread, SUSPICIOUS * spread);
        }
        if self.seen > 1 {
            self.spread += (step.abs() - self.spread) * share;
        }
        self.mean += step * share;
        off
    }

    /// It was looked at: what was unusual is half usual now.
    fn accept(&mut self) {
        if self.seen >= KNOWN {
            self.mean += (self.last - self.mean) / 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that vary by `spread` of themselves, the same in every run.
    struct Noise(u64);

    impl Noise {
        fn around(&mut self, mean: f64, spread: f64) -> usize {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
            let unit = (self.0 >> 33) as f64 / f64::from(1u32 << 30) - 1.0;
            (mean * (1.0 + spread * unit)) as usize
        }
    }

    /// Plays groups of 50 frames; returns the highest hint of each.
    fn play(
        sizes: &mut Sizes,
        noise: &mut Noise,
        groups: usize,
        key: f64,
        between: f64,
    ) -> Vec<Hint> {
        (0..groups)
            .map(|_| {
                let mut highest = sizes.key(noise.around(key, 0.01), true);
                for _ in 0..49 {
                    highest = highest.max(sizes.between(noise.around(between, 0.2), true));
                }
                highest
            })
            .collect()
    }

    #[test]
    fn steady_noise_is_usual() {
        let (mut sizes, mut noise) = (Sizes::default(), Noise(7));
        play(&mut sizes, &mut noise, 20, 300_000.0, 16_000.0);
        let hints = play(&mut sizes, &mut noise, 300, 300_000.0, 16_000.0);
        let suspicious = hints.iter().filter(|h| **h != Hint::Usual).count();
        assert!(suspicious <= 6, "{suspicious} of 300");
    }

    #[test]
    fn a_key_frame_that_changes_a_little_for_good_is_suspicious_until_it_was_looked_at() {
        for change in [0.9, 1.1] {
            let (mut sizes, mut noise) = (Sizes::default(), Noise(7));
            play(&mut sizes, &mut noise, 30, 300_000.0, 16_000.0);
            let mut looks = 0;
            for _ in 0..20 {
                let hint = sizes.key(noise.around(300_000.0 * change, 0.01), true);
                if hint == Hint::Suspicious {
                    looks += 1;
                    sizes.judged(hint, true);
                }
                for _ in 0..49 {
                    sizes.between(noise.around(16_000.0, 0.2), true);
                }
            }
            assert!((1..=6).contains(&looks), "{change}: {looks}");
        }
    }

    #[test]
    fn frames_that_grow_by_a_third_are_suspicious_and_that_double_are_striking() {
        for (growth, expect) in [(1.33, Hint::Suspicious), (2.6, Hint::Striking)] {
            let (mut sizes, mut noise) = (Sizes::default(), Noise(7));
            play(&mut sizes, &mut noise, 30, 300_000.0, 16_000.0);
            let hints = play(&mut sizes, &mut noise, 1, 300_000.0, 16_000.0 * growth);
            assert_eq!(hints, [expect]);
        }
    }

    #[test]
    fn a_slow_change_shows_in_the_sum_of_a_group() {
        let (mut sizes, mut noise) = (Sizes::default(), Noise(7));
        // Too short for a window, so that the group alone can tell.
        let mut group = |bytes: f64| {
            let hint = sizes.key(300_000, true);
            for _ in 0..WINDOW - 1 {
                let between = sizes.between(noise.around(bytes, 0.2), true);
                assert_eq!(between, Hint::Usual);
            }
            hint
        };
        for _ in 0..40 {
            group(16_000.0);
        }
        assert_eq!(group(22_000.0), Hint::Usual, "of the group before");
        assert_eq!(group(16_000.0), Hint::Suspicious);
    }

    #[test]
    fn false_suspicions_become_rarer_and_time_forgives() {
        let mut sizes = Sizes::default();
        for _ in 0..100 {
            sizes.judged(Hint::Suspicious, false);
            sizes.judged(Hint::Striking, false);
        }
        assert_eq!(sizes.suspicious, SUSPICIOUS_LIMIT);
        assert_eq!(sizes.large, LARGE_LIMIT);
        for _ in 0..100 {
            sizes.quiet_look();
        }
        assert_eq!(sizes.suspicious, SUSPICIOUS);
        assert_eq!(sizes.large, LARGE);
    }

    #[test]
    fn memory_does_not_grow_with_the_group() {
        let mut sizes = Sizes::default();
        sizes.key(1, true);
        for _ in 0..10 * MAX_PLACES {
            sizes.between(1000, true);
        }
        assert_eq!(sizes.usual.len(), MAX_PLACES);
    }
}
