use super::*;

const FRAME: i64 = 40_000;
const SECOND: i64 = 1_000_000;

/// A camera of 25 frames a second with a key frame every `gop` frames.
struct Stream {
    gaze: Gaze,
    gop: i64,
    frame: i64,
    key_bytes: usize,
    /// Frames given to a decoder, what was kept and is caught up with included.
    decoded: usize,
    kept: usize,
    /// When each look at a picture was.
    looks: Vec<i64>,
}

impl Stream {
    fn new(gop: i64) -> Self {
        Stream {
            gaze: Gaze::default(),
            gop,
            frame: 0,
            key_bytes: 100_000,
            decoded: 0,
            kept: 0,
            looks: Vec::new(),
        }
    }

    /// Plays frames; all decoded ones are looked at and say `need`. Returns the decisions.
    fn play(&mut self, frames: i64, bytes: usize, need: Need) -> Vec<Decision> {
        (0..frames).map(|_| self.frame(bytes, need)).collect()
    }

    fn frame(&mut self, bytes: usize, need: Need) -> Decision {
        let pts = self.frame * FRAME;
        let key = self.frame % self.gop == 0;
        self.frame += 1;
        let bytes = if key { self.key_bytes } else { bytes };
        let decision = self.gaze.next(pts, bytes, key);
        if key {
            self.kept = 0;
        }
        match decision {
            Decision::Keep => {
                self.kept += 1;
                return decision;
            }
            Decision::Look => {
                self.kept += 1;
                self.decoded += 1;
            }
            Decision::Decode => self.decoded += 1,
            Decision::CatchUp => {
                self.decoded += self.kept + 1;
                self.kept = 0;
            }
        }
        self.looks.push(pts);
        self.gaze.looked(pts, need == Need::Attention, need);
        decision
    }

    fn quiet(gop: i64) -> Self {
        let mut stream = Stream::new(gop);
        // At least one whole group, and calm.
        stream.play(gop * (1 + 800 / gop), 10_000, Need::Idle);
        assert!(stream.gaze.quiet());
        stream.decoded = 0;
        stream.looks.clear();
        stream
    }

    fn longest_pause(&self) -> i64 {
        let pauses = self.looks.windows(2).map(|pair| pair[1] - pair[0]);
        pauses.max().unwrap_or(0)
    }
}

#[test]
fn a_scene_without_movement_costs_a_look_now_and_then() {
    let mut stream = Stream::quiet(50);
    let decisions = stream.play(25 * 600, 10_000, Need::Idle);
    // Ten minutes: with key frames every 2 s, one each 14 s.
    assert!((42..=43).contains(&stream.decoded), "{}", stream.decoded);
    assert!(
        decisions
            .iter()
            .all(|d| matches!(d, Decision::Keep | Decision::Look))
    );
    assert_eq!(stream.longest_pause(), 14 * SECOND);
}

#[test]
fn no_pause_is_longer_than_it_may_be_whatever_the_key_frame_interval() {
    for gop in [1, 10, 25, 37, 50, 62, 63, 100, 250, 299, 300] {
        let mut stream = Stream::quiet(gop);
        stream.play(25 * 300, 1000, Need::Idle);
        let pause = stream.longest_pause();
        assert!(pause <= LOOK.as_micros() as i64, "{gop}: {pause}");
    }
    for gop in [1, 10, 25, 37, 50, 62, 63, 100, 250] {
        let mut stream = Stream::quiet(gop);
        stream.play(25 * 15, 1000, Need::Followed);
        stream.looks.clear();
        stream.play(25 * 300, 1000, Need::Followed);
        let pause = stream.longest_pause();
        assert!(pause <= FOLLOW.as_micros() as i64, "{gop}: {pause}");
    }
}

#[test]
fn what_is_followed_costs_key_frames_only_if_they_come_often_enough() {
    for (gop, quiet) in [(62, true), (63, false), (250, false)] {
        let mut stream = Stream::quiet(gop);
        stream.play(25 * 30, 1000, Need::Followed);
        assert_eq!(stream.gaze.quiet(), quiet, "{gop}");
        // When it is over, looks are rare again.
        stream.play(25 * 40, 1000, Need::Idle);
        assert!(stream.gaze.quiet(), "{gop}");
    }
}

#[test]
fn what_is_kept_is_decoded_when_a_look_tells_that_key_frames_do_not_do() {
    let mut stream = Stream::quiet(100);
    while stream.frame(1000, Need::Followed) != Decision::Look {}
    assert_eq!(stream.frame(1000, Need::Followed), Decision::CatchUp);
    assert_eq!(stream.frame(1000, Need::Followed), Decision::Decode);
}

#[test]
fn movement_keeps_every_frame_decoded() {
    let mut stream = Stream::new(50);
    let decisions = stream.play(1500, 10_000, Need::Attention);
    assert!(decisions.iter().all(|d| *d == Decision::Decode));
}

#[test]
fn a_look_that_shows_movement_ends_the_quiet() {
    let mut stream = Stream::quiet(50);
    while stream.frame(10_000, Need::Attention) != Decision::Look {}
    let decisions = stream.play(100, 10_000, Need::Attention);
    // The key frame was looked at alone: a decoder that goes on begins with it.
    assert_eq!(decisions[0], Decision::CatchUp);
    assert!(decisions[1..].iter().all(|d| *d == Decision::Decode));
}

#[test]
fn frames_that_grow_end_the_quiet_before_the_next_key_frame() {
    let mut stream = Stream::quiet(50);
    stream.play(20, 10_000, Need::Idle);
    let decisions = stream.play(5, 25_000, Need::Attention);
    assert_eq!(
        decisions,
        [
            Decision::Keep,
            Decision::CatchUp,
            Decision::Decode,
            Decision::Decode,
            Decision::Decode
        ]
    );
    // All since the key frame.
    assert_eq!(stream.decoded, 25 + stream.looks.len() - 4);
}

#[test]
fn a_key_frame_of_another_size_is_looked_at_at_once() {
    for bytes in [90_000, 110_000] {
        let mut stream = Stream::quiet(50);
        stream.key_bytes = bytes;
        let decisions = stream.play(50, 10_000, Need::Idle);
        assert!(decisions.contains(&Decision::Look), "{bytes}");
        // It was looked at in vain: that size is soon usual.
        stream.play(25 * 60, 10_000, Need::Idle);
        stream.decoded = 0;
        stream.play(25 * 600, 10_000, Need::Idle);
        assert!(stream.decoded <= 44, "{}", stream.decoded);
    }
}

#[test]
fn a_slow_change_is_looked_at_with_the_next_key_frame() {
    let mut stream = Stream::quiet(50);
    stream.play(50, 11_500, Need::Idle);
    let decisions = stream.play(1, 11_500, Need::Idle);
    assert_eq!(decisions, [Decision::Look]);
}

#[test]
fn sizes_that_rise_from_one_key_frame_to_the_next_are_usual() {
    // As x264 gives a still scene at a fixed bit rate.
    let mut stream = Stream::new(50);
    let mut gop = || -> Vec<Decision> {
        let sizes = (0..50).map(|i| 1000 + i * 400);
        sizes.map(|bytes| stream.frame(bytes, Need::Idle)).collect()
    };
    for _ in 0..5 {
        gop();
    }
    let quiet = (0..5)
        .flat_map(|_| gop())
        .all(|d| d != Decision::CatchUp && d != Decision::Decode);
    assert!(quiet);
}

#[test]
fn one_large_frame_is_a_hiccup() {
    let mut stream = Stream::quiet(50);
    stream.play(20, 10_000, Need::Idle);
    assert_eq!(stream.frame(50_000, Need::Idle), Decision::Keep);
    assert_eq!(stream.frame(10_000, Need::Idle), Decision::Keep);
}

#[test]
fn false_alarms_by_size_become_rarer() {
    let mut stream = Stream::quiet(50);
    let mut alarms = 0;
    for _ in 0..40 {
        let mut decisions = stream.play(240, 10_000, Need::Idle);
        // As an encoder does at night: noise, then none.
        decisions.extend(stream.play(10, 40_000, Need::Idle));
        let woken = decisions.iter().filter(|d| **d == Decision::CatchUp);
        alarms += woken.count();
    }
    assert!((1..=10).contains(&alarms), "{alarms}");
}

#[test]
fn key_frames_too_far_apart_keep_every_frame_decoded() {
    for (gop, quiet) in [(300, true), (301, false), (3000, false)] {
        let mut stream = Stream::new(gop);
        let decisions = stream.play(gop * 6, 1000, Need::Idle);
        assert_eq!(decisions.contains(&Decision::Keep), quiet, "{gop}");
        assert_eq!(stream.gaze.hopeless(), !quiet, "{gop}");
        if !quiet {
            assert!(decisions.iter().all(|d| *d == Decision::Decode));
        }
    }
}

/// Smart codecs send a key frame when they like: every frame is either looked at in time or
/// decoded, and none is decoded twice but the key frames.
#[test]
fn key_frames_without_any_regularity_are_never_a_blind_time() {
    let mut stream = Stream::new(i64::MAX);
    let mut keys = 0;
    for length in [50, 250, 40, 1000, 280, 300, 60, 2000, 50, 50, 50, 50, 290] {
        stream.gop = i64::MAX;
        stream.frame += stream.frame % 2;
        let begin = stream.frame;
        // A key frame here, and then none for so long.
        for _ in 0..length {
            let pts = stream.frame * FRAME;
            let key = stream.frame == begin;
            keys += usize::from(key);
            let decision = stream.gaze.next(pts, if key { 90_000 } else { 1000 }, key);
            if decision != Decision::Keep {
                stream.looks.push(pts);
                stream.gaze.looked(pts, false, Need::Idle);
            }
            stream.frame += 1;
        }
    }
    assert!(keys == 13 && stream.longest_pause() <= LOOK.as_micros() as i64);
}

#[test]
fn what_is_kept_is_limited() {
    let each = (MAX_KEPT - 100_000) / 49;
    for (bytes, quiet) in [(each, true), (each + 1000, false), (each * 10, false)] {
        let mut stream = Stream::new(50);
        let decisions = stream.play(2000, bytes, Need::Idle);
        assert_eq!(!decisions.contains(&Decision::CatchUp), quiet, "{bytes}");
        assert!(stream.kept <= MAX_KEPT_FRAMES);
    }
}

#[test]
fn a_decoder_that_needs_more_than_a_key_frame_gets_every_frame() {
    let mut stream = Stream::quiet(50);
    stream.gaze.nothing_seen();
    let decisions = stream.play(500, 10_000, Need::Idle);
    assert_eq!(
        decisions.iter().filter(|d| **d == Decision::Keep).count(),
        0
    );
    assert!(stream.gaze.hopeless());
}

#[test]
fn a_new_time_base_does_not_confuse_it() {
    let mut stream = Stream::new(50);
    stream.frame = 1_000_000;
    stream.play(500, 10_000, Need::Idle);
    stream.frame = 0;
    stream.play(500, 10_000, Need::Idle);
    stream.decoded = 0;
    stream.play(1400, 10_000, Need::Idle);
    assert!((4..=5).contains(&stream.decoded), "{}", stream.decoded);
}

/// What became of recorded sizes.
#[derive(Debug, Default)]
struct Outcome {
    frames: usize,
    decoded: usize,
    /// Frames that moved, and those of them that were decoded.
    moving: (usize, usize),
    /// Frames from each beginning of movement to the first decoded picture at or after it.
    delays: Vec<usize>,
}

/// Plays a recording (see `recorded/README.md`) twice, the first time to learn; a decoded frame
/// wakes if it is one that moves.
fn recorded(text: &str, fps: i64) -> Outcome {
    let mut gaze = Gaze::default();
    let mut outcome = Outcome::default();
    let mut index = 0;
    for round in 0..2 {
        outcome = Outcome::default();
        let (mut still, mut waits, mut kept) = (0, None::<usize>, Vec::new());
        for line in text.lines() {
            for (place, word) in line.split(' ').enumerate() {
                let moves = word.ends_with('*');
                let bytes = word.trim_end_matches('*').parse().unwrap();
                let pts = index * SECOND / fps;
                index += 1;
                outcome.frames += 1;
                outcome.moving.0 += usize::from(moves);
                if moves && still >= 2 * fps && round > 0 {
                    waits = Some(0);
                }
                still = if moves { 0 } else { still + 1 };
                if place == 0 {
                    kept.clear();
                }
                kept.push(moves);
                let decision = gaze.next(pts, bytes, place == 0);
                let decoded: Vec<bool> = match decision {
                    Decision::Keep => Vec::new(),
                    // Decoded for this look alone, and still kept.
                    Decision::Look => vec![moves],
                    Decision::Decode => vec![moves],
                    Decision::CatchUp => std::mem::take(&mut kept),
                };
                outcome.decoded += decoded.len();
                outcome.moving.1 += decoded.iter().filter(|m| **m).count();
                if !decoded.is_empty() {
                    let seen = decoded.contains(&true);
                    outcome.delays.extend(waits.take());
                    let need = if seen { Need::Attention } else { Need::Idle };
                    gaze.looked(pts, seen, need);
                }
                waits = waits.map(|frames| frames + 1);
            }
        }
    }
    outcome
}

#[test]
fn people_who_come_into_a_still_scene_are_noticed_by_size() {
    for text in [
        include_str!("recorded/people-h264.txt"),
        include_str!("recorded/people-h265.txt"),
    ] {
        let outcome = recorded(text, 10);
        assert!(outcome.delays.len() >= 5, "{outcome:?}");
        // Never later than with the next key frame, and mostly within a second.
        assert!(outcome.delays.iter().all(|d| *d <= 20), "{outcome:?}");
        let soon = outcome.delays.iter().filter(|d| **d <= 10).count();
        assert!(soon * 4 >= outcome.delays.len() * 3, "{outcome:?}");
        let (moving, seen) = outcome.moving;
        assert!(seen * 20 >= moving * 19, "{outcome:?}");
    }
}

#[test]
fn recorded_noise_costs_looks_only() {
    let mut gaze = Gaze::default();
    let text = include_str!("recorded/noise-h264.txt");
    let (mut index, mut decoded) = (0, 0);
    for _ in 0..30 {
        // The first group is the encoder's start; a camera's never comes again.
        for line in text.lines().skip(1) {
            for (place, word) in line.split(' ').enumerate() {
                let pts = index * FRAME;
                index += 1;
                if gaze.next(pts, word.parse().unwrap(), place == 0) != Decision::Keep {
                    decoded += 1;
                    gaze.looked(pts, false, Need::Idle);
                }
            }
        }
    }
    // Nine minutes. Scheduled looks are 4.3 a minute.
    assert!(decoded < 110 + 9 * 6, "{decoded}");
}
