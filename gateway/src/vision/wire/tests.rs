use super::*;

fn sighting(picture: usize) -> Report {
    Report::Sighting(Sighting {
        camera: 1,
        zone: 2,
        shadow: false,
        present: true,
        label: "person".into(),
        score: 0.5,
        bbox: [0.1, 0.2, 0.3, 0.4],
        track: 9,
        dwell_us: 1_000_000,
        at_us: -1,
        left_behind: false,
        pictures: vec![Picture {
            role: Role::Scene,
            at_us: 0,
            jpeg: vec![7; picture],
            sealed: None,
            thumbnail: None,
        }],
        story: None,
        overrun: None,
    })
}

#[test]
fn what_is_written_is_read() {
    let mut pipe = Vec::new();
    write(&mut pipe, &sighting(1000)).unwrap();
    write(
        &mut pipe,
        &Report::Progress(vec![CameraProgress::default()]),
    )
    .unwrap();
    let mut pipe = pipe.as_slice();
    assert_eq!(read::<Report>(&mut pipe).unwrap(), sighting(1000));
    assert!(matches!(read(&mut pipe).unwrap(), Report::Progress(p) if p.len() == 1));
    let end = read::<Report>(&mut pipe).unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn messages_up_to_the_limit_pass_and_no_longer_ones() {
    let overhead = encode(&sighting(MAX_MESSAGE / 2)).unwrap().len() - MAX_MESSAGE / 2;
    let largest = MAX_MESSAGE - overhead;
    assert!(encode(&sighting(largest)).is_ok());
    assert!(encode(&sighting(largest + 1)).is_err());
    assert!(encode(&sighting(MAX_MESSAGE * 10)).is_err());

    for length in [MAX_MESSAGE as u32 + 1, u32::MAX] {
        let bytes = length.to_be_bytes();
        let e = read::<Report>(&mut bytes.as_slice()).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn published_pictures_up_to_the_limit_pass_and_no_longer_ones() {
    for bytes in [0, 1, MAX_STILL] {
        let mut pipe = still_header(513, bytes).to_vec();
        pipe.extend(vec![9; bytes]);
        let down = read_down(&mut pipe.as_slice()).unwrap();
        assert_eq!(down, Down::Still(513, vec![9; bytes]));
    }
    for bytes in [MAX_STILL + 1, MAX_STILL * 10] {
        let header = still_header(0, bytes);
        let e = read_down(&mut header.as_slice()).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    }
    let torn = [0, 0, 0, 1, 0, 0];
    assert!(read_down(&mut torn.as_slice()).is_err());
}

#[test]
fn garbage_is_an_error() {
    let mut bytes = 5u32.to_be_bytes().to_vec();
    bytes.extend([0xff; 5]);
    let e = read::<Report>(&mut bytes.as_slice()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn debug_output_keeps_secrets() {
    let input = Input::Rtsp {
        url: "rtsp://10.0.0.1/".into(),
        username: Some("operator-7".into()),
        password: Some("hunter2".into()),
        udp: false,
        trust: None,
    };
    let text = format!("{input:?}");
    assert!(text.contains("10.0.0.1") && !text.contains("hunter2") && !text.contains("operator-7"));
}
