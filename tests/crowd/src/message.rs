//! An alert with its picture, as a station sends them.

use serde_json::json;
use uuid::Uuid;
use wangge_tests::platform::sha256;

/// One alert and what it names.
pub struct Alert {
    pub id: String,
    pub body: Vec<u8>,
    pub sha256: String,
    pub picture: Option<Picture>,
}

/// Bytes that look like a picture to everything but an eye, no two alike.
#[derive(Clone)]
pub struct Picture {
    pub sha256: String,
    pub bytes: Vec<u8>,
}

/// Makes an alert of a camera; `noise` is the picture's content, if it has one.
pub fn alert(station: &str, noise: &[u8]) -> Alert {
    let (id, alert_id) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let now = jiff::Timestamp::now().to_string();
    let picture = (!noise.is_empty()).then(|| {
        let mut bytes = noise.to_vec();
        let mark = id.as_bytes();
        let length = mark.len().min(bytes.len());
        bytes[..length].copy_from_slice(&mark[..length]);
        Picture {
            sha256: sha256(&bytes),
            bytes,
        }
    });
    let evidence: Vec<_> = picture
        .iter()
        .map(|p| {
            json!({ "sha256": p.sha256, "bytes": p.bytes.len(), "media_type": "image/jpeg",
                    "role": "scene", "taken_at": now })
        })
        .collect();
    let body = json!({
        "specversion": "1.0", "id": id, "source": format!("/stations/{station}"),
        "type": "cn.wangge.alert.raised.v1", "subject": alert_id, "time": now,
        "datacontenttype": "application/json", "dataschema": "urn:wangge:schema:alert:1",
        "data": {
            "alert_id": alert_id, "revision": 1, "state": "raised", "kind": "illegal_dumping",
            "severity": "major", "station": station, "device": "gate", "source": "camera",
            "rule": "zone:corner", "occurred_at": now, "raised_at": now,
            "text": { "zh": "测试：有人在“corner”区域乱倒垃圾。", "en": "Test: dumping in the zone corner." },
            "place": { "lon": 102.7036, "lat": 25.0492, "unit_grid": "530102001001001" },
            "platform": { "profile": "default", "source_name": "测试", "crs": "wgs84", "x": 102.7036, "y": 25.0492 },
            "sighting": { "zone": "corner", "label": "object", "score": 0.71, "bbox": [0.1, 0.2, 0.3, 0.4],
                "dwell_s": 31.5, "track": 17, "model": "nanodet_g_416", "model_hash": "0123456789abcdef",
                "human_confirmed": false },
            "evidence": evidence,
        }
    })
    .to_string()
    .into_bytes();
    Alert {
        id,
        sha256: sha256(&body),
        body,
        picture,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wangge_protocol::{AlertData, CloudEvent};

    #[test]
    fn an_alert_is_one() {
        let alert = alert("st-1", &[7; 100]);
        let read: CloudEvent<AlertData> = serde_json::from_slice(&alert.body).unwrap();
        let picture = alert.picture.unwrap();
        assert_eq!(read.id, alert.id);
        assert_eq!(read.data.evidence[0].sha256, picture.sha256);
        assert_ne!(
            picture.bytes,
            super::alert("st-1", &[7; 100]).picture.unwrap().bytes
        );
    }
}
