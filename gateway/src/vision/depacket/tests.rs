use super::*;

const SPS: &[u8] = &[0x67, 1, 2, 3];
const PPS: &[u8] = &[0x68, 4];
// The first bit behind the header says that a slice begins its picture.
const IDR: &[u8] = &[0x65, 0x89, 9, 9, 9];
const P: &[u8] = &[0x41, 0x88, 8];
const B: &[u8] = &[0x01, 0x87];

fn h264() -> Depacketizer {
    Depacketizer::new(Coding::H264, std::iter::empty())
}

fn annex_b(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter()
        .flat_map(|n| [&START_CODE, *n].concat())
        .collect()
}

/// A NAL unit cut into fragments of `size`.
fn fragments(nal: &[u8], size: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<_> = nal[1..].chunks(size).collect();
    let last = pieces.len() - 1;
    let flags = |i| if i == 0 { 0x80 } else { 0 } | if i == last { 0x40 } else { 0 };
    let header = |i| [(nal[0] & 0xe0) | 28, (nal[0] & 0x1f) | flags(i)];
    pieces
        .iter()
        .enumerate()
        .map(|(i, p)| [&header(i), *p].concat())
        .collect()
}

#[test]
fn single_nals_make_a_unit_at_the_mark() {
    let mut d = h264();
    for nal in [SPS, PPS] {
        assert_eq!(d.take(nal, 100, false, false).unwrap(), Pushed::default());
    }
    let pushed = d.take(IDR, 100, true, false).unwrap();
    assert_eq!(
        pushed.units,
        [AccessUnit {
            data: annex_b(&[SPS, PPS, IDR]),
            timestamp: 100,
            key: true,
            disposable: false
        }]
    );
    let pushed = d.take(P, 200, true, false).unwrap();
    assert!(!pushed.units[0].key && !pushed.units[0].disposable);
    let pushed = d.take(B, 300, true, false).unwrap();
    assert!(pushed.units[0].disposable);
}

#[test]
fn parameter_sets_of_the_sdp_go_before_a_key_frame_that_has_none() {
    let mut d = Depacketizer::new(Coding::H264, [SPS, PPS].into_iter());
    let pushed = d.take(IDR, 0, true, false).unwrap();
    assert_eq!(pushed.units[0].data, annex_b(&[SPS, PPS, IDR]));
    assert_eq!(
        d.take(P, 1, true, false).unwrap().units[0].data,
        annex_b(&[P])
    );
}

#[test]
fn sets_that_a_key_frame_lacks_come_from_the_sdp() {
    for (brought, expected) in [
        (PPS, [SPS, PPS, PPS, IDR]),
        // Before what refers to them, in their order.
        (SPS, [SPS, PPS, SPS, IDR]),
    ] {
        let mut d = Depacketizer::new(Coding::H264, [SPS, PPS].into_iter());
        d.take(brought, 0, false, false).unwrap();
        let pushed = d.take(IDR, 0, true, false).unwrap();
        assert_eq!(pushed.units[0].data, annex_b(&expected));
    }
}

#[test]
fn newer_parameter_sets_replace_older_ones() {
    let mut d = Depacketizer::new(Coding::H264, [SPS, PPS].into_iter());
    let newer: &[u8] = &[0x67, 5, 5];
    d.take(newer, 0, false, false).unwrap();
    d.take(PPS, 0, false, false).unwrap();
    d.take(IDR, 0, true, false).unwrap();
    let pushed = d.take(IDR, 1, true, false).unwrap();
    assert_eq!(pushed.units[0].data, annex_b(&[newer, PPS, IDR]));
}

#[test]
fn fragments_and_aggregates_are_put_together() {
    let mut d = h264();
    let mut aggregate = vec![24];
    for nal in [SPS, PPS] {
        aggregate.extend((nal.len() as u16).to_be_bytes());
        aggregate.extend(nal);
    }
    d.take(&aggregate, 5, false, false).unwrap();
    let mut done = Vec::new();
    let parts = fragments(IDR, 2);
    for (i, part) in parts.iter().enumerate() {
        done.extend(d.take(part, 5, i == parts.len() - 1, false).unwrap().units);
    }
    assert_eq!(done[0].data, annex_b(&[SPS, PPS, IDR]));
    assert!(done[0].key);
}

#[test]
fn a_new_timestamp_ends_a_unit_whose_mark_is_missing() {
    let mut d = h264();
    d.take(P, 1, false, false).unwrap();
    let pushed = d.take(P, 2, true, false).unwrap();
    assert_eq!(
        pushed.units.iter().map(|u| u.timestamp).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_unit_that_lacks_a_packet_is_lost_and_the_next_is_whole() {
    let mut d = h264();
    let parts = fragments(IDR, 2);
    d.take(&parts[0], 5, false, false).unwrap();
    // parts[1] is lost; what follows says so.
    let pushed = d.take(&parts[2 - 1], 5, true, true).unwrap();
    assert_eq!((pushed.units.len(), pushed.lost), (0, 1));
    assert_eq!(d.take(P, 6, true, false).unwrap().units.len(), 1);
}

#[test]
fn a_fragment_without_its_start_is_lost() {
    let mut d = h264();
    let parts = fragments(IDR, 2);
    let pushed = d.take(&parts[1], 5, true, false).unwrap();
    assert_eq!((pushed.units.len(), pushed.lost), (0, 1));
}

#[test]
fn h265_key_frames_fragments_and_parameter_sets() {
    let (vps, sps, pps): (&[u8], &[u8], &[u8]) = (&[0x40, 1, 1], &[0x42, 1, 2], &[0x44, 1, 3]);
    let idr: &[u8] = &[19 << 1, 1, 7, 7, 7];
    let trail: &[u8] = &[1 << 1, 1, 6];
    let mut d = Depacketizer::new(Coding::H265, [vps, sps, pps].into_iter());
    let start = [49 << 1, 1, 0x80 | 19, 7];
    let end = [49 << 1, 1, 0x40 | 19, 7, 7];
    d.take(&start, 0, false, false).unwrap();
    let pushed = d.take(&end, 0, true, false).unwrap();
    assert_eq!(pushed.units[0].data, annex_b(&[vps, sps, pps, idr]));
    assert!(pushed.units[0].key);
    let pushed = d.take(trail, 1, true, false).unwrap();
    assert!(!pushed.units[0].key && !pushed.units[0].disposable);
    let mut aggregate = vec![48 << 1, 1];
    aggregate.extend([0, 3]);
    aggregate.extend(trail);
    let pushed = d.take(&aggregate, 2, true, false).unwrap();
    assert_eq!(pushed.units[0].data, annex_b(&[trail]));
}

#[test]
fn a_recovery_point_counts_as_key_frame() {
    let mut d = h264();
    d.take(&[6, 6, 1, 0], 0, false, false).unwrap();
    assert!(d.take(P, 0, true, false).unwrap().units[0].key);
}

#[test]
fn an_endless_unit_stops_at_the_limit() {
    let chunk = [vec![0x41], vec![0; 60_000]].concat();
    let whole = MAX_UNIT / (chunk.len() + START_CODE.len());
    let mut d = h264();
    for i in 0..whole {
        assert!(
            d.take(&chunk, 0, false, false).is_ok(),
            "packet {i} of {whole}"
        );
    }
    assert_eq!(
        d.take(&chunk, 0, false, false),
        Err(DepacketError::TooLarge)
    );

    // The same in fragments that never end, ten times over.
    let mut d = h264();
    let start = [vec![0x7c, 0x85], vec![0; 60_000]].concat();
    let middle = [vec![0x7c, 0x05], vec![0; 60_000]].concat();
    d.take(&start, 0, false, false).unwrap();
    let refused =
        (0..10 * MAX_UNIT / middle.len()).find_map(|_| d.take(&middle, 0, false, false).err());
    assert_eq!(refused, Some(DepacketError::TooLarge));
    assert!(d.unit.data.capacity() <= 2 * MAX_UNIT);
}

#[test]
fn malformed_packets_cost_their_picture_and_many_the_stream() {
    for payload in [&[28u8][..], &[24, 0, 9, 1], &[25, 1, 2], &[29, 1, 2]] {
        let mut d = h264();
        for packet in 0..i64::from(MAX_MALFORMED) {
            let pushed = d.take(payload, packet, true, false).unwrap();
            assert_eq!((pushed.units.len(), pushed.lost), (0, 1), "{payload:?}");
        }
        // A whole picture, and it begins again.
        assert_eq!(d.take(P, 99, true, false).unwrap().units.len(), 1);
        for packet in 0..i64::from(MAX_MALFORMED) {
            d.take(payload, 100 + packet, true, false).unwrap();
        }
        assert!(
            matches!(
                d.take(payload, 999, true, false),
                Err(DepacketError::Malformed(_))
            ),
            "{payload:?}"
        );
    }
    assert_eq!(h264().take(&[], 0, true, false).unwrap(), Pushed::default());
}

#[test]
fn reserved_packet_types_are_passed_over() {
    for (coding, reserved, picture) in [
        (Coding::H264, &[0u8, 1][..], P),
        (Coding::H264, &[30, 7, 7], P),
        (Coding::H264, &[31, 1, 2], P),
        (Coding::H265, &[51 << 1, 1, 2], &[1 << 1, 1, 6][..]),
        (Coding::H265, &[63 << 1, 1, 2], &[1 << 1, 1, 6]),
    ] {
        let mut d = Depacketizer::new(coding, std::iter::empty());
        for _ in 0..10 * MAX_MALFORMED {
            d.take(reserved, 5, false, false).unwrap();
        }
        let pushed = d.take(picture, 5, true, false).unwrap();
        assert_eq!(pushed.units[0].data, annex_b(&[picture]));
    }
}

proptest::proptest! {
    #[test]
    fn no_packet_makes_it_panic(
        packets in proptest::collection::vec(
            (proptest::collection::vec(proptest::num::u8::ANY, 0..40), 0i64..3, proptest::bool::ANY, proptest::bool::ANY),
            0..40,
        ),
        h265 in proptest::bool::ANY,
    ) {
        let coding = if h265 { Coding::H265 } else { Coding::H264 };
        let mut d = Depacketizer::new(coding, std::iter::empty());
        for (payload, timestamp, mark, loss) in packets {
            let _ = d.take(&payload, timestamp, mark, loss);
        }
    }
}

#[test]
fn a_mark_on_every_packet_ends_no_fragment() {
    let mut d = h264();
    let mut units = Vec::new();
    for timestamp in [0, 9000] {
        for nal in [SPS, PPS] {
            units.extend(d.take(nal, timestamp, true, false).unwrap().units);
        }
        for part in fragments(IDR, 2) {
            let pushed = d.take(&part, timestamp, true, false).unwrap();
            assert_eq!(pushed.lost, 0);
            units.extend(pushed.units);
        }
    }
    assert_eq!(units.len(), 2);
    assert!(
        units
            .iter()
            .all(|u| u.data == annex_b(&[SPS, PPS, IDR]) && u.key)
    );
}

#[test]
fn marks_behind_each_slice_cost_one_picture() {
    for (coding, first, rest) in [
        (Coding::H264, &[0x41, 0x88][..], &[0x41, 0x08][..]),
        (Coding::H265, &[0x02, 1, 0x88][..], &[0x02, 1, 0x08][..]),
    ] {
        let mut d = Depacketizer::new(coding, std::iter::empty());
        let mut whole = 0;
        let mut lost = 0;
        for picture in 0..10 {
            for slice in [first, rest, rest] {
                let pushed = d.take(slice, picture * 9000, true, false).unwrap();
                lost += pushed.lost;
                whole += pushed.units.len();
                for unit in pushed.units.iter().filter(|u| u.timestamp > 0) {
                    assert_eq!(unit.data, annex_b(&[first, rest, rest]), "{coding:?}");
                }
            }
        }
        // The first one came in pieces, the last one is still open.
        assert_eq!((whole, lost), (9, 1), "{coding:?}");
    }
}

#[test]
fn fields_with_marks_of_their_own_are_two_units() {
    let mut d = h264();
    let field: &[u8] = &[0x41, 0x88];
    for _ in 0..3 {
        let pushed = d.take(field, 100, true, false).unwrap();
        assert_eq!(pushed.units.len(), 1);
    }
}

#[test]
fn a_clock_that_runs_on_within_a_picture_does_not_cut_it() {
    let first: &[u8] = &[0x41, 0x88, 1, 2, 3, 4];
    let rest: &[u8] = &[0x41, 0x08];
    let mut d = h264();
    let mut units = Vec::new();
    for picture in 0..3 {
        let begun = picture * 9000;
        let parts = [fragments(first, 2), vec![rest.to_vec(), rest.to_vec()]].concat();
        for (offset, part) in (0..).zip(&parts) {
            let pushed = d.take(part, begun + offset, false, false).unwrap();
            assert_eq!(pushed.lost, 0);
            units.extend(pushed.units);
        }
    }
    let times: Vec<_> = units.iter().map(|u| u.timestamp).collect();
    assert_eq!(times, [0, 9000]);
    assert!(
        units
            .iter()
            .all(|u| u.data == annex_b(&[first, rest, rest]))
    );
    // After a loss a timestamp is all there is to go by.
    d.take(first, 90_000, false, false).unwrap();
    let pushed = d.take(rest, 99_000, true, true).unwrap();
    assert_eq!((pushed.units.len(), pushed.lost), (0, 2));
}

#[test]
fn every_fault_is_told_in_both_languages() {
    crate::bilingual::assert_bilingual([
        DepacketError::TooLarge,
        DepacketError::Malformed("packet type"),
    ]);
}
