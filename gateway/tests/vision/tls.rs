//! Cameras behind TLS: whom the gateway believes, and what it says of the others.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wangge::config::{RtspTransport, Trust};
use wangge_protocol::EventKind;
use wangge_tests::{
    place,
    rtsp::Camera,
    snapshot::{self, Manner, pictures},
};

use crate::{
    rig::{Rig, camera, rtsp},
    stills::snapshot as snapshot_camera,
};

const LOGIN: (&str, &str) = ("viewer", "correct horse");
const DAY: Duration = Duration::from_secs(86_400);

/// A private CA and what it signs.
struct Authority {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A camera's certificate and key, as files, and its fingerprint.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    pin: [u8; 32],
}

impl Pair {
    fn files(&self) -> (&Path, &Path) {
        (&self.certificate, &self.key)
    }
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        Authority { dir, ca }
    }

    fn ca(&self) -> Trust {
        Trust {
            ca_file: Some(self.dir.path().join("ca.pem")),
            pin: None,
        }
    }

    fn write(&self, name: &str, certificate: &Certificate, key: &KeyPair) -> Pair {
        let path = |end: &str| self.dir.path().join(format!("{name}.{end}"));
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        Pair {
            certificate: path("pem"),
            key: path("key"),
            pin: Sha256::digest(certificate.der()).into(),
        }
    }

    /// A certificate for `address`, from some days after now until others.
    fn sign(&self, name: &str, address: &str, days: std::ops::Range<i64>) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::IpAddress(address.parse().unwrap())];
        let at = |days: i64| {
            let shift = DAY * days.unsigned_abs() as u32;
            let now = SystemTime::now();
            (if days < 0 { now - shift } else { now + shift }).into()
        };
        (params.not_before, params.not_after) = (at(days.start), at(days.end));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        self.write(name, &certificate, &key)
    }

    /// What cameras make themselves: a CA that vouches for itself.
    fn own(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec!["IPC".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write(name, &certificate, &key)
    }
}

fn rtsps(url: &str, trust: Trust) -> wangge::config::Camera {
    let url = url.replace("rtsp://", "rtsps://");
    camera(rtsp(&url, Some(LOGIN), RtspTransport::Tls(trust)))
}

#[tokio::test]
async fn an_rtsps_camera_by_its_ca_and_by_its_fingerprint() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let authority = Authority::new();
    let signed = authority.sign("signed", "127.0.0.1", -1..90);
    let own = authority.own("own");
    let pinned = Trust {
        ca_file: None,
        pin: Some(own.pin),
    };
    for (pair, trust) in [(signed, authority.ca()), (own, pinned)] {
        let log = authority.dir.path().join("log");
        let clips = [("cam", &*clip)];
        let server = Camera::start_tls(&clips, Some(LOGIN), pair.files(), &log).unwrap();
        let mut rig = Rig::start(vec![rtsps(&server.url("cam"), trust)]);
        rig.well().await;
        let (seen, _) = rig.picture().await;
        assert_eq!(&*seen.label, "person");
        rig.stop().await;
    }
}

#[tokio::test]
async fn an_rtsps_camera_that_cannot_be_trusted_is_not_played() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let authority = Authority::new();
    let own = authority.own("own");
    let log = authority.dir.path().join("log");
    let server = Camera::start_tls(&[("cam", &clip)], Some(LOGIN), own.files(), &log).unwrap();
    let mut rig = Rig::start(vec![rtsps(&server.url("cam"), authority.ca())]);
    let reason = rig.fault(EventKind::CameraFault).await;
    let digest: String = own.pin.iter().map(|b| format!("{b:02x}")).collect();
    // The sentence has what an installer must compare and copy.
    assert!(
        reason.contains(&format!("certificate_sha256 = \"{digest}\"")),
        "{reason}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_camera_that_speaks_no_tls_is_told_from_one_that_is_off() {
    let clip = place::clip("vtest-h264.mp4").unwrap();
    let authority = Authority::new();
    let log = authority.dir.path().join("log");
    let server = Camera::start(&[("cam", &clip)], 0, None, &log).unwrap();
    let mut rig = Rig::start(vec![rtsps(&server.url("cam"), authority.ca())]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("speaks no TLS at this port"), "{reason}");
    rig.stop().await;

    let port = place::free_port().unwrap();
    let url = format!("rtsp://127.0.0.1:{port}/cam");
    let mut rig = Rig::start(vec![rtsps(&url, authority.ca())]);
    let reason = rig.fault(EventKind::CameraFault).await;
    assert!(reason.contains("does not answer at"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let folder = authority.dir.path().join("pictures");
    pictures(&place::clip("vtest-h264.mp4").unwrap(), 5, 50, &folder).unwrap();
    let pin = |pin| Trust {
        ca_file: None,
        pin: Some(pin),
    };
    let good = authority.sign("good", "127.0.0.1", -1..90);
    let good_pin = good.pin;
    let cases = [
        (good, authority.ca(), None),
        (
            authority.sign("private", "127.0.0.1", -1..90),
            Trust::default(),
            Some("nobody vouches"),
        ),
        (
            authority.sign("expired", "127.0.0.1", -90..-1),
            authority.ca(),
            Some("expired on"),
        ),
        (
            authority.sign("early", "127.0.0.1", 1..90),
            authority.ca(),
            Some("not valid before"),
        ),
        (
            authority.sign("elsewhere", "192.0.2.1", -1..90),
            authority.ca(),
            Some("for another name"),
        ),
        (
            stranger.sign("stranger", "127.0.0.1", -1..90),
            authority.ca(),
            Some("nobody vouches"),
        ),
        (
            authority.sign("changed", "127.0.0.1", -1..90),
            pin(good_pin),
            Some("another certificate than the configured one"),
        ),
    ];
    for (pair, trust, says) in cases {
        let manner = Manner {
            pair: Some(pair.files()),
            ..Manner::default()
        };
        let log = pair.certificate.with_extension("log");
        let server = snapshot::Camera::start(&folder, &manner, &log).unwrap();
        let mut rig = Rig::start(vec![snapshot_camera(&server.url(), None, trust)]);
        match says {
            None => rig.well().await,
            Some(says) => {
                let reason = rig.fault(EventKind::CameraFault).await;
                assert!(reason.contains(says), "{says}: {reason}");
                assert!(server.asked().is_empty(), "{says}: nothing was asked");
            }
        }
        rig.stop().await;
    }
    // The very certificate is right whatever its dates and names.
    let old = authority.sign("old", "192.0.2.1", -90..-1);
    let manner = Manner {
        pair: Some(old.files()),
        ..Manner::default()
    };
    let log = authority.dir.path().join("old.log");
    let server = snapshot::Camera::start(&folder, &manner, &log).unwrap();
    let mut rig = Rig::start(vec![snapshot_camera(&server.url(), None, pin(old.pin))]);
    rig.well().await;
    rig.stop().await;
}
