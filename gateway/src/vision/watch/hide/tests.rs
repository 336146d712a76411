//! Hiding, on real footage: every head of a few frames, boxed by hand, must be coarse.

use ac_ffmpeg::codec::video::VideoFrame;

use super::*;
use crate::vision::{
    decode::{Decoder, Format, Scalers, Unit},
    detect, pixelate, plate,
    recent::Recent,
};

/// Heads in `vtest` (768 x 576, 10 frames a second), by frame: left, top, right, bottom in pixels.
const HEADS: &[(usize, &[[usize; 4]])] = &[
    (
        50,
        &[
            [379, 180, 391, 192],
            [412, 181, 424, 193],
            [433, 175, 445, 187],
            [519, 217, 531, 229],
            [559, 214, 574, 229],
            [683, 257, 696, 271],
        ],
    ),
    (
        400,
        &[
            [597, 140, 609, 152],
            [284, 201, 297, 214],
            [712, 301, 727, 315],
        ],
    ),
    (
        650,
        &[
            [146, 149, 158, 161],
            [224, 155, 235, 167],
            [324, 156, 336, 168],
            [478, 225, 490, 237],
            [647, 193, 660, 206],
            [341, 372, 369, 397],
        ],
    ),
];
/// Frames between two looks, as at five looks a second.
const STEP: usize = 2;
/// Blocks are eight pixels wide at least, so of a hidden head this share of neighbours is equal.
const COARSE: f32 = 0.8;

fn share_of_equal_neighbours(canvas: &Canvas, [left, top, right, bottom]: [usize; 4]) -> f32 {
    let pixel = |x: usize, y: usize| &canvas.pixels[(y * canvas.width + x) * 3..][..3];
    let (mut equal, mut all) = (0, 0);
    for y in top..bottom {
        for x in left..right - 1 {
            equal += u32::from(pixel(x, y) == pixel(x + 1, y));
            all += 1;
        }
    }
    equal as f32 / all as f32
}

fn canvas_of(frame: &VideoFrame) -> Canvas {
    let (width, height) = (frame.width(), frame.height());
    let scaled = Scalers::default()
        .scale(frame, Packed::Rgb, width, height)
        .unwrap();
    let mut canvas = Canvas::new(width, height);
    let planes = scaled.planes();
    let rows = canvas.pixels.chunks_exact_mut(width * 3);
    for (row, line) in rows.zip(planes[0].lines()) {
        row.copy_from_slice(&line[..width * 3]);
    }
    canvas
}

/// Calls `each` with every frame of the footage and its number.
fn play(mut each: impl FnMut(usize, &VideoFrame)) {
    use ac_ffmpeg::format::{demuxer::Demuxer, io::IO};
    let clip = wangge_tests::place::clip("vtest-h264.mp4").unwrap();
    let io = IO::from_seekable_read_stream(std::fs::File::open(clip).unwrap());
    let demuxer = Demuxer::builder().build(io).unwrap();
    let mut demuxer = demuxer.find_stream_info(None).map_err(|(_, e)| e).unwrap();
    let parameters = demuxer.streams()[0].codec_parameters();
    let format = Format::File(Box::new(parameters.into_video_codec_parameters().unwrap()));
    let mut decoder = Decoder::open(&format).unwrap();
    let mut number = 0;
    while let Some(packet) = demuxer.take().unwrap() {
        let unit = Unit::from_file(packet).unwrap();
        let decoded = decoder.decode(&unit, |frame| {
            each(number, &frame);
            number += 1;
        });
        decoded.unwrap();
    }
}

#[test]
fn every_head_is_coarse() {
    let mut detector = detect::tests::shared();
    let labels = detector.manifest.labels.clone();
    let mut recent = Recent::default();
    let (mut once, mut with_recent, mut all, mut covered) = (0, 0, 0, 0.0);
    play(|number, frame| {
        let next = HEADS
            .iter()
            .find(|(at, _)| (*at..*at + 1).contains(&number));
        let soon = HEADS
            .iter()
            .any(|(at, _)| number < *at && number + 10 >= *at && (*at - number) % STEP == 0);
        if !soon && next.is_none() {
            return;
        }
        let canvas = canvas_of(frame);
        let pts = number as i64 * 100_000;
        let placement = Placement::new(&detector.manifest.input, frame.width(), frame.height());
        let bgr = detector.packed() == Packed::Bgr;
        let (width, height) = (placement.width, placement.height);
        let small = canvas.part(0..canvas.width, 0..canvas.height, width, height, bgr);
        let found = detector.look(&small, width * 3, placement).unwrap();
        recent.note(pts, hidden(&found, &labels).collect());
        let Some((_, heads)) = next else { return };
        let alone = sensitive(&canvas, &mut detector).unwrap();
        let mut more = alone.clone();
        more.extend(recent.around(pts));
        let hide = |found: &[(Sensitive, Bbox)]| {
            let mut canvas = canvas.clone();
            pixelate::hide(&mut canvas, found);
            canvas
        };
        let (alone, more) = (hide(&alone), hide(&more));
        for head in *heads {
            all += 1;
            assert!(
                share_of_equal_neighbours(&canvas, *head) < COARSE,
                "a head with detail, before"
            );
            once += u32::from(share_of_equal_neighbours(&alone, *head) >= COARSE);
            let hidden = share_of_equal_neighbours(&more, *head) >= COARSE;
            with_recent += u32::from(hidden);
            if !hidden {
                println!("frame {number}: the head at {head:?} is to be seen");
            }
        }
        let changed = canvas.pixels.as_chunks::<3>().0.iter();
        let changed = changed.zip(more.pixels.as_chunks::<3>().0);
        let changed = changed.filter(|(before, after)| before != after).count();
        covered += changed as f32 / (canvas.width * canvas.height) as f32;
    });
    println!(
        "heads hidden: {with_recent} of {all}; by the picture's own look alone {once}; {:.1} % of the pictures is coarse",
        100.0 * covered / HEADS.len() as f32
    );
    assert_eq!(all, 15);
    assert_eq!(with_recent, all);
    // And the pictures still show something.
    assert!(covered / (HEADS.len() as f32) < 0.25);
}

#[test]
fn plates_are_no_reason_to_hide_a_street_without_any() {
    let mut canvas = None;
    play(|number, frame| {
        if number == 400 {
            canvas = Some(canvas_of(frame));
        }
    });
    let found = plate::plates(&canvas.unwrap(), &[]);
    let area: f32 = found.iter().map(|[l, t, r, b]| (r - l) * (b - t)).sum();
    println!("{found:?}: {area}");
    assert!(area < 0.02, "{area} of the picture: {found:?}");
}
