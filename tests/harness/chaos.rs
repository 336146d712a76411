//! Faults at random that can be had again.

use std::{env, ops::RangeInclusive, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// A seeded source of moments and choices.
#[derive(Debug)]
pub struct Chaos {
    rng: StdRng,
}

impl Chaos {
    /// Uses `$WANGGE_SEED` if it is set, else a new seed; prints it so that a failing run can be
    /// had again.
    pub fn new(story: &str) -> Chaos {
        let seed = env::var("WANGGE_SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(rand::random);
        eprintln!("{story}: WANGGE_SEED={seed}");
        Chaos {
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// A pause within the range of milliseconds.
    pub fn pause(&mut self, millis: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(millis))
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[self.rng.random_range(0..several.len())]
    }
}
