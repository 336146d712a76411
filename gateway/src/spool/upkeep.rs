//! What the spool does for itself: a fresh database in time (R10), room among the pictures.

use std::time::{Duration, Instant};

use super::{
    SpoolError,
    age::Uptime,
    home::Rotated,
    quota::Disk,
    rotate::Wear,
    worker::{Outage, Worker},
};

/// After looking for pictures to delete in vain, and after a rotation that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(600);

impl Worker {
    /// How fast it fills, and whether the database has to be replaced.
    pub(super) fn look(&mut self, now: Instant) {
        let taken = self.taken + self.evidence.taken();
        self.gauge.sample(now - self.began, taken);
        let Ok(store) = &mut self.store else { return };
        let age = self.keeping.age(Uptime::now());
        let Some(born) = store.born(age) else {
            // Made by an earlier version, or the station's age began anew.
            if let Err(error) = store.stage_born(age) {
                self.fail(error);
            }
            return;
        };
        let wear = Wear {
            age: age.saturating_sub(born),
            disk: store.disk_bytes(),
            live: store.live_bytes(),
            is_tight: self.disk != Disk::Roomy,
        };
        if now >= self.rotate_after
            && let Some(why) = wear.is_due()
            && !matches!(self.rotate(why), Ok(true))
        {
            self.rotate_after = now + FAILED_PAUSE;
        }
    }

    /// Moves what is live into a fresh database (R10); false if there is no room for it.
    pub(super) fn rotate(&mut self, why: &str) -> Result<bool, SpoolError> {
        let began = Instant::now();
        // Nothing is staged and nobody waits while it is done.
        self.commit()?;
        let age = self.keeping.age(Uptime::now());
        let Ok(store) = &self.store else {
            return Ok(false);
        };
        let before = store.disk_bytes();
        let outage = Outage {
            why: "the database is being replaced".into(),
            rewrite: false,
            accounts: store.accounts(),
            retry: Instant::now(),
        };
        let accounts = outage.accounts.clone();
        let Ok(store) = std::mem::replace(&mut self.store, Err(outage)) else {
            return Ok(false);
        };
        let rotated = self.keeper.rotate(store, age).and_then(|rotated| {
            Ok(match rotated {
                Rotated::NoRoom(store) => (store, false),
                Rotated::Done(mut store) => {
                    store.resume(&accounts)?;
                    (store, true)
                }
            })
        });
        match rotated {
            Ok((store, is_done)) => {
                let (after, took) = (store.disk_bytes(), began.elapsed());
                match is_done {
                    true => tracing::info!(why, before, after, ?took, "the database was replaced"),
                    false => tracing::warn!(why, before, "no room to replace the database"),
                }
                self.rotations += u64::from(is_done);
                self.disk = self.keeper.disk();
                self.store = Ok(*store);
                Ok(is_done)
            }
            Err(error) => {
                // The old one or the new one is whole; opening again finds out which.
                tracing::error!(why, %error, "the database could not be replaced");
                Err(error)
            }
        }
    }

    /// Deletes pictures of delivered alerts before their term, where undelivered records or new
    /// pictures need the room.
    pub(super) fn relieve(&mut self, incoming: u64) {
        let now = Instant::now();
        let Ok(store) = &self.store else { return };
        let pictures = self.evidence.bytes();
        let used = store.live_bytes() + pictures + incoming;
        let step = self.quota.all / 50;
        let over = used.saturating_sub(self.quota.watermark());
        // New pictures come without asking, so there is always room for some.
        let crowded =
            (pictures + step.min(self.quota.pictures / 10)).saturating_sub(self.quota.pictures);
        let wanted = over.max(crowded);
        if wanted == 0 || now < self.relieve_after {
            return;
        }
        let named = |hash: &[u8; 32]| store.names_picture(hash);
        let freed = self
            .keeping
            .make_room(&self.evidence, named, wanted + step, Uptime::now());
        match freed {
            Ok(0) => self.relieve_after = now + FAILED_PAUSE,
            Ok(freed) => tracing::warn!(
                freed,
                "pictures of delivered alerts were deleted before their term to make room"
            ),
            Err(error) => {
                self.relieve_after = now + FAILED_PAUSE;
                tracing::warn!(%error, "no room could be made among the pictures");
            }
        }
    }
}
