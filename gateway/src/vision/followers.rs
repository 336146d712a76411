//! Decoders that follow streams: as many as there is memory for.
//!
//! A decoder keeps pictures of its own, by far the largest part of a camera's memory. When the
//! light is switched, or the station begins, something goes on before all cameras at once. Who
//! finds no room is looked at with each key frame, which needs a decoder only for that moment;
//! those that have been followed for long make way.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    decode::{Decoder, Format},
    depacket::Coding,
    memory,
};
use crate::config::limits;

/// Of a picture whose size is not known yet.
pub const USUAL_PIXELS: usize = 1920 * 1080;

/// What is left for decoders of the 150 MB, and of the 6 MB for each camera, that a station may
/// take...
const ROOM: u64 = 45_000_000;
const ROOM_A_CAMERA: u64 = 2_000_000;
/// ...and what the rest is for at most: networks, pictures, and frames that are kept compressed.
const OTHERS: u64 = 130_000_000;
const OTHERS_A_CAMERA: u64 = 4_000_000;
/// How long one that is followed need not make way: for somebody who was quiet until now, and for
/// those that would only like to be followed, too.
const STAY: Duration = Duration::from_secs(2);
const LONG_STAY: Duration = Duration::from_secs(10);
/// Who has not asked for so long waits no more. Key frames come every 12 s at least.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a camera asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Something has just begun there.
    New,
    /// Something has been going on for long.
    Old,
    /// A recording, which nobody else competes with.
    Recorded,
}

/// Who is followed; pure but for the moments it is given.
#[derive(Debug)]
struct Room {
    bytes: u64,
    places: Vec<Place>,
    waiting: Vec<Waiting>,
}

/// Somebody who found no room.
#[derive(Debug)]
struct Waiting {
    camera: u16,
    since: Instant,
    asked: Instant,
}

#[derive(Debug)]
struct Place {
    camera: u16,
    bytes: u64,
    since: Instant,
}

impl Room {
    fn has(&self, camera: u16) -> bool {
        self.places.iter().any(|place| place.camera == camera)
    }

    fn taken(&self) -> u64 {
        self.places.iter().map(|place| place.bytes).sum()
    }

    /// A place for a decoder of so many bytes. Others make way for it, those first that have
    /// been there longest; where that is not enough, nobody does. One alone always finds room.
    fn admit(&mut self, camera: u16, bytes: u64, claim: Claim, now: Instant) -> bool {
        if self.has(camera) {
            return true;
        }
        let has_room = match claim {
            Claim::Recorded => true,
            Claim::New => self.make_way(bytes, STAY, now),
            Claim::Old => self.is_next(camera, now) && self.make_way(bytes, LONG_STAY, now),
        };
        if !has_room {
            self.wait(camera, now);
            return false;
        }
        self.waiting.retain(|waiting| waiting.camera != camera);
        self.places.push(Place {
            camera,
            bytes: if claim == Claim::Recorded { 0 } else { bytes },
            since: now,
        });
        true
    }

    /// Gives up as many of the oldest places as so many bytes need, or none if one of them has not
    /// been there for `stay`.
    fn make_way(&mut self, bytes: u64, stay: Duration, now: Instant) -> bool {
        self.places.sort_by_key(|place| place.since);
        let mut taken = self.taken();
        let mut gone = 0;
        for oldest in &self.places {
            if taken + bytes <= self.bytes {
                break;
            }
            if now.saturating_duration_since(oldest.since) < stay {
                return false;
            }
            taken -= oldest.bytes;
            gone += 1;
        }
        self.places.drain(..gone);
        true
    }

    /// Whether nobody has waited longer. Whoever asks first each time would be the only one to
    /// find room otherwise.
    fn is_next(&mut self, camera: u16, now: Instant) -> bool {
        self.waiting
            .retain(|w| now.saturating_duration_since(w.asked) < PATIENCE);
        let longest = self.waiting.iter().min_by_key(|w| w.since);
        longest.is_none_or(|longest| longest.camera == camera)
    }

    fn wait(&mut self, camera: u16, now: Instant) {
        match self.waiting.iter_mut().find(|w| w.camera == camera) {
            Some(waiting) => waiting.asked = now,
            None => self.waiting.push(Waiting {
                camera,
                since: now,
                asked: now,
            }),
        }
    }

    /// What a camera's decoder takes, now that the size of its pictures is known. One that proves
    /// too large for the room beside others leaves it.
    fn resized(&mut self, camera: u16, bytes: u64) {
        let Some(place) = self.places.iter_mut().find(|p| p.camera == camera) else {
            return;
        };
        if place.bytes > 0 {
            place.bytes = bytes;
        }
        if self.taken() > self.bytes && self.places.len() > 1 {
            self.leave(camera);
        }
    }

    fn is_recorded(&self, camera: u16) -> bool {
        let mut places = self.places.iter();
        places.any(|place| place.camera == camera && place.bytes == 0)
    }

    fn leave(&mut self, camera: u16) {
        self.places.retain(|place| place.camera != camera);
        self.waiting.retain(|waiting| waiting.camera != camera);
    }
}

/// Decoders by camera, of those that are followed.
#[derive(Debug)]
pub struct Followers {
    inner: Mutex<Inner>,
    /// Resident bytes beyond which nobody is followed beside others. What a decoder takes is
    /// reckoned, and a stream that refers to many pictures takes more.
    alarm: u64,
}

#[derive(Debug)]
struct Inner {
    room: Room,
    /// Those that are not at work.
    idle: Vec<(u16, Decoder)>,
}

impl Followers {
    /// Of so many cameras, in a process that may have `limit` bytes.
    pub fn new(cameras: usize, limit: u64) -> Self {
        let room = Room {
            bytes: room(cameras, limit),
            places: Vec::new(),
            waiting: Vec::new(),
        };
        let idle = Vec::new();
        Followers {
            inner: Mutex::new(Inner { room, idle }),
            alarm: limit / 4 * 3,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this camera is followed.
    pub fn has(&self, camera: u16) -> bool {
        self.lock().room.has(camera)
    }

    /// Asks for room for a decoder of about so many bytes; false if there is none.
    pub fn admit(&self, camera: u16, bytes: u64, claim: Claim) -> bool {
        let mut inner = self.lock();
        let beside_others = !inner.room.has(camera) && !inner.room.places.is_empty();
        if beside_others && claim != Claim::Recorded && self.is_alarmed() {
            return false;
        }
        let admitted = inner.room.admit(camera, bytes, claim, Instant::now());
        sweep(inner);
        admitted
    }

    /// The camera's decoder, if it has one.
    pub fn take(&self, camera: u16) -> Option<Decoder> {
        let mut inner = self.lock();
        let index = inner.idle.iter().position(|(of, _)| *of == camera)?;
        Some(inner.idle.swap_remove(index).1)
    }

    /// Gives it back after work; `bytes` is what it takes. If it had to make way meanwhile, it
    /// ends.
    pub fn put(&self, camera: u16, decoder: Decoder, bytes: u64) {
        let mut inner = self.lock();
        inner.room.resized(camera, bytes);
        if inner.room.places.len() > 1 && !inner.room.is_recorded(camera) && self.is_alarmed() {
            inner.room.leave(camera);
        }
        inner.idle.push((camera, decoder));
        sweep(inner);
    }

    fn is_alarmed(&self) -> bool {
        memory::resident() > self.alarm
    }

    /// The camera is followed no longer.
    pub fn release(&self, camera: u16) {
        let mut inner = self.lock();
        inner.room.leave(camera);
        sweep(inner);
    }
}

/// Ends the decoders of those that have no place; nobody waits meanwhile.
fn sweep(mut guard: MutexGuard<'_, Inner>) {
    let Inner { room, idle } = &mut *guard;
    let gone: Vec<_> = idle
        .extract_if(.., |(camera, _)| !room.has(*camera))
        .collect();
    drop(guard);
    drop(gone);
}

/// What a decoder takes for each pixel of its pictures, bytes: of the 1.5 of each picture, several
/// times as many. Measured with streams that refer to the picture before, as cameras' do.
pub fn bytes_a_pixel(format: &Format) -> u64 {
    match format {
        Format::Coding(Coding::H264) => 5,
        Format::Coding(Coding::H265) | Format::File(_) => 13,
        Format::Jpeg => 3,
    }
}

/// Bytes that decoders of streams may take together. Half of what an installer gives beyond the
/// usual `[vision] memory_limit` is for them.
fn room(cameras: usize, limit: u64) -> u64 {
    const USUAL: u64 = limits::USUAL_VISION_MEMORY;
    let cameras = cameras as u64;
    let promised = ROOM + ROOM_A_CAMERA * cameras;
    let others = OTHERS + OTHERS_A_CAMERA * cameras;
    let left = limit.min(USUAL).saturating_sub(others);
    promised.min(left) + limit.saturating_sub(USUAL) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn full(cameras: u16, now: Instant) -> Room {
        let mut room = Room {
            bytes: 10 * MB * u64::from(cameras),
            places: Vec::new(),
            waiting: Vec::new(),
        };
        for camera in 0..cameras {
            let since = now + Duration::from_millis(u64::from(camera));
            assert!(room.admit(camera, 10 * MB, Claim::New, since));
        }
        room
    }

    #[test]
    fn the_room_holds_its_bytes_and_not_one_more() {
        let now = Instant::now();
        for (bytes, admitted) in [(10 * MB, true), (10 * MB + 1, false), (100 * MB, false)] {
            let mut room = full(3, now);
            room.leave(1);
            assert_eq!(room.admit(7, bytes, Claim::New, now), admitted, "{bytes}");
            assert_eq!(room.has(7), admitted);
            assert!(room.has(0) && room.has(2), "nobody makes way in vain");
            assert!(room.taken() <= room.bytes);
        }
    }

    #[test]
    fn who_was_followed_longest_makes_way_sooner_for_what_is_new() {
        let now = Instant::now();
        let just = Duration::from_millis(1);
        for (claim, stay) in [(Claim::New, STAY), (Claim::Old, LONG_STAY)] {
            let mut room = full(3, now);
            assert!(!room.admit(7, 10 * MB, claim, now + stay - just));
            assert!(room.admit(7, 10 * MB, claim, now + stay));
            assert!(!room.has(0) && room.has(1) && room.has(2) && room.has(7));
            // Whoever came next has not stayed long enough yet.
            assert!(!room.admit(8, 15 * MB, claim, now + stay));
            // Two make way for one that is larger.
            let later = now + stay + Duration::from_secs(1);
            assert!(room.admit(8, 15 * MB, claim, later));
            assert!(!room.has(1) && !room.has(2) && room.has(7));
        }
    }

    #[test]
    fn however_many_ask_all_of_them_are_followed_in_turn() {
        let mut now = Instant::now();
        let mut room = full(4, now);
        let mut followed = [Duration::ZERO; 12];
        for _ in 0..600 {
            now += Duration::from_secs(2);
            for camera in 0..12 {
                room.admit(camera, 10 * MB, Claim::Old, now);
            }
            assert!(room.taken() <= room.bytes);
            for place in &room.places {
                followed[usize::from(place.camera)] += Duration::from_secs(2);
            }
        }
        // A third of 20 minutes each.
        let fair = Duration::from_secs(350)..Duration::from_secs(450);
        assert!(followed.iter().all(|f| fair.contains(f)), "{followed:?}");
    }

    #[test]
    fn who_no_longer_asks_is_not_waited_for() {
        let now = Instant::now();
        for (after, admitted) in [
            (PATIENCE - Duration::from_millis(1), false),
            (PATIENCE, true),
        ] {
            let mut room = full(1, now);
            assert!(!room.admit(7, 10 * MB, Claim::Old, now));
            assert!(!room.admit(8, 10 * MB, Claim::Old, now));
            assert_eq!(room.admit(8, 10 * MB, Claim::Old, now + after), admitted);
            // What is new does not wait behind either.
            assert!(admitted || room.admit(9, 10 * MB, Claim::New, now + after));
        }
    }

    #[test]
    fn one_that_is_larger_than_the_room_is_followed_alone() {
        let now = Instant::now();
        let mut room = full(2, now);
        assert!(!room.admit(7, 90 * MB, Claim::Old, now));
        let later = now + LONG_STAY + Duration::from_secs(1);
        assert!(room.admit(7, 90 * MB, Claim::Old, later));
        assert_eq!(room.places.len(), 1);
        // It was taken for a usual one and found to be larger: beside others it leaves.
        let mut room = full(3, now);
        room.resized(1, 90 * MB);
        assert!(room.has(0) && !room.has(1) && room.has(2));
        let mut room = full(1, now);
        room.resized(0, 90 * MB);
        assert!(room.has(0));
    }

    #[test]
    fn recordings_always_find_room() {
        let now = Instant::now();
        let mut room = full(2, now);
        for camera in 10..200 {
            assert!(room.admit(camera, 10 * MB, Claim::Recorded, now));
            room.resized(camera, 90 * MB);
            assert!(room.has(camera));
        }
    }

    #[test]
    fn the_room_is_what_the_station_was_promised_or_was_given_beyond() {
        for (cameras, limit, expected) in [
            (1, 512, 47),
            (8, 512, 61),
            (36, 512, 117),
            (64, 512, 126),
            (1, 128, 0),
            (8, 200, 38),
            (8, 1_000, 61 + 244),
            (64, 64_000, 126 + 31_744),
        ] {
            let got = room(cameras, limit * MB);
            assert_eq!(got, expected * MB, "{cameras} cameras, {limit} MB");
        }
    }
}
