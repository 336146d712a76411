//! Where a camera's pictures come from: exactly one of the ways, and only its own keys.

use std::{sync::Arc, time::Duration};

use super::{
    At, Checker, Seen, limits,
    link::{self, Keys},
    topic_fault,
};
use crate::config::{
    CameraInput, Device, DeviceLink, FolderPlay, RtspTransport, Trust, VideoDecoder, Zone,
    raw::{RawCamera, RawCameraMqtt, RawDecoder, RawTransport},
};

/// Default for `every`.
const EVERY: Duration = Duration::from_secs(2);
/// Schemes of `url`.
const SCHEMES: &[&str] = &["rtsp", "rtsps", "http", "https"];

/// `None`: reported.
pub(super) fn input(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawCamera,
    vias: &[Arc<str>],
) -> Option<CameraInput> {
    let given: Vec<&str> = [
        ("url", raw.url.is_some()),
        ("file", raw.file.is_some()),
        ("folder", raw.folder.is_some()),
        ("mqtt", raw.mqtt.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, there)| there.then_some(key))
    .collect();
    match given[..] {
        [] => {
            let ways = ["url", "file", "folder", "mqtt"];
            if !ways.iter().any(|key| cx.was_reported(at.key(key))) {
                let help = "for example `url = \"rtsp://192.168.1.20:554/Streaming/Channels/102\"`";
                let message = "the camera has neither `url` nor `file`, `folder` or `mqtt`";
                cx.error(at, message, help);
            }
            return None;
        }
        [first, second, ..] => {
            let message = format!("the camera has both `{first}` and `{second}`");
            cx.error(at.key(second), message, "keep one of them");
            return None;
        }
        [_] => {}
    }
    if let Some(url) = &raw.url {
        return of_url(cx, at, raw, url);
    }
    if let Some(file) = &raw.file {
        not_of_a_network(cx, at, raw, "the camera is a video file");
        only_for_folders(cx, at, raw);
        only_for_stills(cx, at, raw);
        return Some(CameraInput::File {
            path: cx.file(at.key("file"), file),
            repeat: raw.repeat.unwrap_or(false),
        });
    }
    if let Some(folder) = &raw.folder {
        not_of_a_network(cx, at, raw, "the camera is a folder of pictures");
        return of_folder(cx, at, raw, folder);
    }
    let mqtt = raw.mqtt.as_ref()?;
    not_of_a_network(cx, at, raw, "the broker has the login");
    only_for_folders(cx, at, raw);
    not_repeated(cx, at, raw);
    of_mqtt(cx, at, raw, mqtt, vias)
}

fn of_url(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawCamera,
    text: &str,
) -> Option<CameraInput> {
    not_repeated(cx, at, raw);
    only_for_folders(cx, at, raw);
    let url = link::url(cx, at.key("url"), Some(text), SCHEMES);
    let keys = Keys {
        username: raw.username.as_ref(),
        password: raw.password.as_ref(),
        password_file: raw.password_file.as_ref(),
        ..Keys::default()
    };
    let credentials = link::credentials(cx, at, keys);
    let trust = trust(cx, at, raw);
    let url = url?;
    let secure = matches!(url.scheme(), "rtsps" | "https");
    if !secure {
        let given = [
            ("ca_file", raw.ca_file.is_some()),
            ("certificate_sha256", raw.certificate_sha256.is_some()),
        ];
        cx.useless(at, &given, "the url is neither `rtsps://` nor `https://`");
    }
    if matches!(url.scheme(), "http" | "https") {
        let given = [("transport", raw.transport.is_some())];
        cx.useless(at, &given, "it is for `rtsp://`");
        return Some(CameraInput::Snapshot {
            url,
            credentials,
            trust,
            every: every(cx, at, raw),
        });
    }
    only_for_stills(cx, at, raw);
    let transport = match (secure, raw.transport) {
        (true, Some(RawTransport::Udp)) => {
            let message = "`udp` would send the pictures of an `rtsps://` camera in clear";
            cx.error(at.key("transport"), message, "remove it");
            RtspTransport::Tls(trust)
        }
        (true, _) => RtspTransport::Tls(trust),
        (false, None | Some(RawTransport::Tcp)) => RtspTransport::Tcp,
        (false, Some(RawTransport::Udp)) => RtspTransport::Udp,
    };
    Some(CameraInput::Rtsp {
        url,
        credentials,
        transport,
    })
}

fn of_folder(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawCamera,
    folder: &str,
) -> Option<CameraInput> {
    let path = cx.path(folder);
    let reason = match std::fs::read_dir(&path) {
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = reason {
        let message = format!("cannot read `folder` {}: {reason}", path.display());
        let help = "it must be there when the gateway starts; the gateway's user must be allowed to list it";
        cx.error(at.key("folder"), message, help);
    }
    let play = match (raw.watch.unwrap_or(false), raw.repeat.unwrap_or(false)) {
        (true, true) => {
            let message = "a folder is either watched or played again and again";
            cx.error(at.key("watch"), message, "keep `watch` or `repeat`");
            return None;
        }
        (true, false) => FolderPlay::Watch,
        (false, true) => FolderPlay::Repeat,
        (false, false) => FolderPlay::Once,
    };
    Some(CameraInput::Folder {
        path,
        play,
        every: every(cx, at, raw),
    })
}

fn of_mqtt(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawCamera,
    mqtt: &RawCameraMqtt,
    vias: &[Arc<str>],
) -> Option<CameraInput> {
    let every = every(cx, at, raw);
    let table = at.key("mqtt");
    let via = match &mqtt.broker {
        Some(name) if vias.iter().any(|via| **via == **name) => Some(name.as_str().into()),
        Some(name) => {
            let known = vias.iter().map(|via| &**via);
            let table_names = "a `[[broker]]` or `[listen]`";
            cx.unknown(table.key("broker"), "broker", name, known, table_names);
            None
        }
        None => match vias {
            [one] => Some(Arc::clone(one)),
            [] => {
                let help = "add a `[[broker]]`, or `[listen]` for the gateway's own";
                cx.error(table, "there is no broker for the camera's pictures", help);
                None
            }
            _ => {
                let names: Vec<_> = vias.iter().map(|via| &**via).collect();
                let message = "which broker the camera publishes to is not said";
                let help = format!("add `broker = \"…\"`; known: {}", names.join(", "));
                cx.error(table, message, help);
                None
            }
        },
    };
    let topic = mqtt.topic.clone()?;
    if let Some(reason) = topic_fault(&topic) {
        let message = format!("`topic` is \"{topic}\": {reason}");
        cx.error(
            table.key("topic"),
            message,
            "e.g. `topic = \"cams/gate/jpeg\"`",
        );
    }
    Some(CameraInput::Mqtt {
        via: via?,
        topic,
        every,
    })
}

/// A topic belongs to one camera, and to no device.
pub(super) fn topic_is_free(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    input: &CameraInput,
    devices: &[Arc<Device>],
    seen: &mut Seen,
) {
    let CameraInput::Mqtt { via, topic, .. } = input else {
        return;
    };
    let table = at.key("mqtt");
    let at = table.key("topic");
    cx.unique(seen, at, "topic", &format!("{via} {topic}"));
    let device = devices.iter().find(|device| {
        matches!(&device.link, DeviceLink::Mqtt { via: v, topic: t } if v == via && t == topic)
    });
    if let Some(device) = device {
        let message = format!("\"{topic}\" is the topic of device \"{}\"", device.id);
        cx.error(at, message, "give the camera a topic of its own");
    }
}

/// Presence needs two pictures at least.
pub(super) fn zones_can_be_met(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    input: &CameraInput,
    zones: &[Zone],
) {
    let Some(every) = input.every() else { return };
    for zone in zones.iter().filter(|zone| zone.dwell < every) {
        let message = format!(
            "zone \"{}\" cannot tell {} from {}, the time between two pictures",
            zone.id,
            super::units::show_duration(zone.dwell),
            super::units::show_duration(every),
        );
        cx.warn(at, message, "make `every` shorter or `dwell` longer");
    }
}

fn every(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCamera) -> Duration {
    cx.duration(
        at.key("every"),
        raw.every.as_ref(),
        EVERY,
        &limits::STILL_EVERY,
    )
}

fn trust(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCamera) -> Trust {
    if raw.ca_file.is_some() && raw.certificate_sha256.is_some() {
        let message = "`certificate_sha256` names the one certificate that is right, so `ca_file` does nothing";
        cx.error(at.key("ca_file"), message, "keep one of them");
    }
    let keys = Keys {
        ca_file: raw.ca_file.as_ref(),
        ..Keys::default()
    };
    let pin = raw.certificate_sha256.as_deref().and_then(|text| {
        let pin = fingerprint(text);
        if pin.is_none() {
            let message = "`certificate_sha256` is no SHA-256: it has 64 hex digits, in pairs with or without colons between them";
            let help = "`openssl x509 -in camera.pem -noout -fingerprint -sha256` prints it; so does the camera's fault while it is not trusted";
            cx.error(at.key("certificate_sha256"), message, help);
        }
        pin
    });
    Trust {
        ca_file: link::tls(cx, at, keys).ca_file,
        pin,
    }
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits = if text.contains(':') {
        let pairs: Vec<&str> = text.split(':').collect();
        if pairs.iter().any(|pair| pair.len() != 2) {
            return None;
        }
        pairs.concat()
    } else {
        text.to_owned()
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

fn not_of_a_network(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCamera, why: &str) {
    let given = [
        ("username", raw.username.is_some()),
        ("password", raw.password.is_some()),
        ("password_file", raw.password_file.is_some()),
        ("ca_file", raw.ca_file.is_some()),
        ("certificate_sha256", raw.certificate_sha256.is_some()),
        ("transport", raw.transport.is_some()),
    ];
    cx.useless(at, &given, why);
}

fn not_repeated(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCamera) {
    let given = [("repeat", raw.repeat.is_some())];
    cx.useless(at, &given, "it is for video files and folders");
}

fn only_for_folders(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCamera) {
    let given = [("watch", raw.watch.is_some())];
    cx.useless(at, &given, "it is for folders");
}

fn only_for_stills(cx: &mut Checker<'_, '_>, at: At<'_>, raw: &RawCamera) {
    let given = [("every", raw.every.is_some())];
    cx.useless(
        at,
        &given,
        "video has its own clock; how often the detector looks is `fps`",
    );
}

pub(super) fn decoder(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: Option<RawDecoder>,
) -> VideoDecoder {
    match raw {
        None | Some(RawDecoder::Software) => VideoDecoder::Software,
        Some(RawDecoder::Auto) => VideoDecoder::Auto,
        Some(RawDecoder::V4l2m2m) => VideoDecoder::V4l2m2m,
        Some(RawDecoder::Rkmpp) => VideoDecoder::Rkmpp,
        Some(RawDecoder::Qsv) => VideoDecoder::Qsv,
        Some(RawDecoder::Vaapi) => {
            let message = "VA-API is not supported: its pictures stay in the graphics memory";
            let help = "Intel: `decoder = \"qsv\"`; others: `decoder = \"software\"`";
            cx.error(at, message, help);
            VideoDecoder::Software
        }
    }
}
