use super::*;
use crate::config::{JsonMapping, JsonValueMapping};

const MAX: usize = 8192;

fn wangge(text: &str) -> Result<Parsed<'_>, PayloadError> {
    parse(&Payload::Wangge, text.as_bytes(), MAX)
}

fn refused(text: &str) -> String {
    wangge(text).unwrap_err().to_string()
}

#[test]
fn our_own_json_is_read_whole_and_kept_as_it_came() {
    let text = r#"{"id":"bin-1","seq":7,"time":"2026-03-01T08:00:00+08:00","fill":81.5,"battery":90,"tilt":true,"note":{"a":[1,2]}}"#;
    let got = wangge(text).unwrap();
    assert_eq!(got.id.as_deref(), Some("bin-1"));
    assert_eq!(got.seq, Some(7));
    assert_eq!(got.time, Some("2026-03-01T00:00:00Z".parse().unwrap()));
    assert_eq!(
        got.values.iter().collect::<Vec<_>>(),
        [
            (Quantity::Fill, 81.5),
            (Quantity::Tilt, 90.0),
            (Quantity::Battery, 90.0)
        ]
    );
    assert_eq!(got.payload.get(), text);
}

#[test]
fn times_are_taken_in_all_three_forms() {
    let want: Timestamp = "2026-03-01T00:00:00.5Z".parse().unwrap();
    for time in [
        r#""2026-03-01T00:00:00.500Z""#,
        "1772323200.5",
        "1772323200500",
    ] {
        let text = format!(r#"{{"fill":1,"time":{time}}}"#);
        assert_eq!(wangge(&text).unwrap().time, Some(want), "{time}");
    }
    for time in [
        "\"yesterday\"",
        "\"2026-03-01T00:00:00\"",
        "1e30",
        "true",
        "null",
        "18446744073709551615",
    ] {
        let text = format!(r#"{{"fill":1,"time":{time}}}"#);
        let fault = wangge(&text).unwrap_err().to_string();
        assert!(fault.starts_with("/time: "), "{fault}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_pointer() {
    for (text, want) in [
        (r#"{"fill":"81"}"#, "/fill: "),
        (r#"{"fill":null}"#, "/fill: "),
        (r#"{"fill":true}"#, "/fill: "),
        (r#"{"fill":NaN}"#, "/fill: "),
        (r#"{"fill":1e999}"#, "/fill: "),
        (r#"{"fill":[1]}"#, "/fill: "),
        (r#"{"seq":-1,"fill":1}"#, "/seq: "),
        (r#"{"seq":1.5,"fill":1}"#, "/seq: "),
        (r#"{"id":5,"fill":1}"#, "/id: "),
        (r#"{"id":"","fill":1}"#, "/id: "),
        (r#"{"fill":1,"fill":2}"#, "/fill: stands there twice"),
        (r#"{"id":"a","id":"a"}"#, "/id: stands there twice"),
        (r#"{"fill":1,"a/b":1,"a/b":2}"#, "/a~1b: stands there twice"),
        ("[1]", "expected a JSON object"),
        ("5", "expected a JSON object"),
        ("{}", "no fields"),
        (r#"{"fill":1} x"#, "trailing"),
        (r#"{"fill":1"#, "EOF"),
    ] {
        let fault = refused(text);
        assert!(fault.contains(want), "{text}: {fault:?} lacks {want:?}");
    }
}

#[test]
fn limits_hold_at_the_limit_and_beyond() {
    let sized = |n: usize| format!(r#"{{"fill":1,"x":"{}"}}"#, "y".repeat(n - 17));
    for (len, good) in [(MAX, true), (MAX + 1, false), (MAX * 10, false)] {
        let text = sized(len);
        assert_eq!(text.len(), len);
        let got = wangge(&text);
        assert_eq!(got.is_ok(), good, "{len} bytes");
        if let Err(e) = got {
            assert_eq!(e, PayloadError::TooLarge { len, max: MAX });
        }
    }

    for (depth, good) in [
        (MAX_DEPTH, true),
        (MAX_DEPTH + 1, false),
        (MAX_DEPTH * 10, false),
    ] {
        let inner = depth - 1;
        let text = format!(
            r#"{{"fill":1,"x":{}{}}}"#,
            "[".repeat(inner),
            "]".repeat(inner)
        );
        assert_eq!(wangge(&text).is_ok(), good, "depth {depth}");
        let mapping = Payload::JsonPointer(mapping("/fill"));
        assert_eq!(parse(&mapping, text.as_bytes(), MAX).is_ok(), good);
    }

    for (fields, good) in [
        (MAX_FIELDS, true),
        (MAX_FIELDS + 1, false),
        (MAX_FIELDS * 10, false),
    ] {
        let mut text = r#"{"fill":1"#.to_owned();
        for i in 1..fields {
            text += &format!(r#","f{i}":0"#);
        }
        text.push('}');
        assert_eq!(wangge(&text).is_ok(), good, "{fields} fields");
    }

    for (len, good) in [(MAX_ID, true), (MAX_ID + 1, false), (MAX_ID * 10, false)] {
        let text = format!(r#"{{"id":"{}","fill":1}}"#, "i".repeat(len));
        assert_eq!(wangge(&text).is_ok(), good, "id of {len} bytes");
    }
}

#[test]
fn brackets_in_strings_are_no_nesting() {
    let text = format!(r#"{{"fill":1,"x":"\"{}"}}"#, "[{".repeat(100));
    assert!(wangge(&text).is_ok());
}

#[test]
fn empty_and_invalid_utf8_are_refused() {
    assert_eq!(wangge("").unwrap_err(), PayloadError::Empty);
    let bytes = b"{\"fill\":1,\"x\":\"\xff\"}";
    assert_eq!(
        parse(&Payload::Wangge, bytes, MAX).unwrap_err(),
        PayloadError::NotUtf8 { at: 16 }
    );
}

fn mapping(pointer: &str) -> JsonMapping {
    JsonMapping {
        values: vec![JsonValueMapping {
            quantity: Quantity::Fill,
            pointer: pointer.to_owned(),
            scale: 1.0,
            offset: 0.0,
        }],
        ..JsonMapping::default()
    }
}

#[test]
fn foreign_json_is_read_through_pointers() {
    // The shape of a ChirpStack uplink with a decoded object.
    let text = r#"{"deviceInfo":{"devEui":"24e124"},"fCnt":12,"time":"2026-03-01T00:00:00Z","object":{"distance":"211.6","tilt":true,"battery":null,"a/b":3.5}}"#;
    let value = |quantity, pointer: &str, scale, offset| JsonValueMapping {
        quantity,
        pointer: pointer.to_owned(),
        scale,
        offset,
    };
    let map = JsonMapping {
        id: Some("/deviceInfo/devEui".to_owned()),
        time: Some("/time".to_owned()),
        seq: Some("/fCnt".to_owned()),
        values: vec![
            value(Quantity::Distance, "/object/distance", 10.0, 0.0),
            value(Quantity::Tilt, "/object/tilt", 1.0, 0.0),
            value(Quantity::Battery, "/object/battery", 1.0, 0.0),
            value(Quantity::Voltage, "/object/a~1b", 1.0, 0.1),
            value(Quantity::Temperature, "/object/none", 1.0, 0.0),
        ],
    };
    let got = parse(&Payload::JsonPointer(map), text.as_bytes(), MAX).unwrap();
    assert_eq!(got.id.as_deref(), Some("24e124"));
    assert_eq!(got.seq, Some(12));
    assert!(got.time.is_some());
    assert_eq!(got.values.get(Quantity::Distance), Some(2116.0));
    assert_eq!(got.values.get(Quantity::Tilt), Some(90.0));
    assert_eq!(got.values.get(Quantity::Battery), None);
    assert_eq!(got.values.get(Quantity::Voltage), Some(3.6));
    assert_eq!(got.payload.get(), text);
}

#[test]
fn foreign_json_with_a_fault_names_the_pointer() {
    let refuse = |text: &str| {
        parse(
            &Payload::JsonPointer(mapping("/d/fill")),
            text.as_bytes(),
            MAX,
        )
        .unwrap_err()
        .to_string()
    };
    for (text, want) in [
        (r#"{"d":{"fill":"full"}}"#, "/d/fill: a finite number"),
        (r#"{"d":{"fill":"NaN"}}"#, "/d/fill: a finite number"),
        (r#"{"d":{"fill":true}}"#, "/d/fill: a finite number"),
        (r#"{"d":{"fill":{}}}"#, "/d/fill: a finite number"),
        (
            r#"{"d":{"fill":1,"fill":2}}"#,
            "\"fill\" stands there twice",
        ),
        (r#"{"x":1}"#, "none of the mapped values"),
        ("hello", "expected value"),
    ] {
        let fault = refuse(text);
        assert!(fault.contains(want), "{text}: {fault:?} lacks {want:?}");
    }
}

#[test]
fn foreign_json_that_is_no_object_is_wrapped_for_forwarding() {
    let got = parse(&Payload::JsonPointer(mapping("/0")), b"[42]", MAX).unwrap();
    assert_eq!(got.values.get(Quantity::Fill), Some(42.0));
    assert_eq!(got.payload.get(), r#"{"payload":[42]}"#);
}

fn em400(hex: &str) -> Result<Parsed<'static>, PayloadError> {
    let hex: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes: Vec<u8> = hex
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    em400::parse(&bytes)
}

#[test]
fn em400_reads_the_vendors_vectors() {
    let got = em400("01755C 03670101 04824408 050001").unwrap();
    assert_eq!(
        got.values.iter().collect::<Vec<_>>(),
        [
            (Quantity::Distance, 2116.0),
            (Quantity::Temperature, 25.7),
            (Quantity::Tilt, 90.0),
            (Quantity::Battery, 92.0)
        ]
    );
    assert_eq!(
        got.payload.get(),
        r#"{"battery":92,"distance":2116,"position":"tilt","temperature":25.7}"#
    );

    let got = em400("8367e80001 8482410601").unwrap();
    assert_eq!(got.values.get(Quantity::Temperature), Some(23.2));
    assert_eq!(got.values.get(Quantity::Distance), Some(1601.0));
    assert!(got.payload.get().contains(r#""distance_alarm":true"#));

    let got = em400("0367f6ff").unwrap();
    assert_eq!(got.values.get(Quantity::Temperature), Some(-1.0));
}

#[test]
fn em400_nb_iot_frames_lose_their_identities() {
    let mut bytes = vec![NB, 0, 1, 0, 99, 0, 0, 7, 1];
    bytes.extend(b"01010110");
    bytes.extend(b"6749D19012340000"); // SN
    bytes.extend(b"868508065600000"); // IMEI
    bytes.extend(b"460041234500000"); // IMSI
    bytes.extend(b"89860412345678901234"); // ICCID
    bytes.push(21);
    bytes.extend([0, 3, 0x01, 0x75, 0x5c]);
    let got = parse(&Payload::Em400, &bytes, MAX).unwrap();
    assert_eq!(got.values.get(Quantity::Battery), Some(92.0));
    assert_eq!(got.payload.get(), r#"{"battery":92}"#);
    let all = format!("{got:?}");
    for secret in ["6749", "8685", "4600", "8986"] {
        assert!(!all.contains(secret), "{all}");
    }

    // Too short and too long.
    for wrong in [
        &bytes[..bytes.len() - 1],
        &bytes[..50],
        &[&bytes[..], &[0]].concat(),
    ] {
        assert!(parse(&Payload::Em400, wrong, MAX).is_err());
    }
    // The join message has the serial number in the channels.
    let got = em400("ff0bff ff0101 ff166749d19012340000 ff090300 ff0a0101 ff0f00").unwrap();
    assert_eq!(got.payload.get(), "{}");
}

const NB: u8 = 0x02;

#[test]
fn em400_faults_name_the_byte() {
    for (hex, want) in [
        ("0175", "byte 2: the value ends early"),
        ("01755c 0367", "byte 5: the value ends early"),
        ("01755c 0a0b00", "byte 3: channel 0a 0b is unknown"),
        ("050007", "byte 2: position 7"),
        ("01", "byte 1: the value ends early"),
    ] {
        let fault = em400(hex).unwrap_err().to_string();
        assert!(fault.contains(want), "{hex}: {fault}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        for profile in [Payload::Wangge, Payload::Em400, Payload::JsonPointer(mapping("/fill"))] {
            if let Ok(parsed) = parse(&profile, &bytes, MAX) {
                assert!(parsed.payload.get().starts_with('{'));
            }
        }
    }

    #[test]
    fn em400_takes_any_cut_of_a_good_frame_without_panic(cut in 0usize..14) {
        let bytes = [0x01, 0x75, 0x5c, 0x03, 0x67, 0x01, 0x01, 0x04, 0x82, 0x44, 0x08, 0x05, 0x00, 0x01];
        let _ = em400::parse(&bytes[..cut]);
    }
}

#[test]
fn every_fault_is_told_in_both_languages() {
    use crate::bilingual::assert_bilingual;
    let torn = [
        Torn::Position(2),
        Torn::Channel {
            channel: 1,
            kind: 2,
        },
        Torn::ShortFrame(86),
        Torn::LongFrame,
        Torn::ShortValue,
    ];
    assert_bilingual(torn);
    let expected = [
        Expected::Id,
        Expected::Seq,
        Expected::Time,
        Expected::Figure,
    ];
    assert_bilingual(expected);
    assert_bilingual([
        PayloadError::Empty,
        PayloadError::TooLarge { len: 2, max: 1 },
        PayloadError::NotUtf8 { at: 1 },
        PayloadError::TooDeep,
        PayloadError::NothingMapped("/a, /b".into()),
        PayloadError::Mapped {
            pointer: "/fill".into(),
            expected: Expected::Figure,
            found: "\"x\"".into(),
        },
        PayloadError::Tlv {
            at: 3,
            what: Torn::ShortValue,
        },
    ]);
    // The parser's own words are all that the English has.
    let json = PayloadError::Json("/fill: expected value".into());
    assert_eq!(json.zh(), "JSON 有误:/fill: expected value");
}
