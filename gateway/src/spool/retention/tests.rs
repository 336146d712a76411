//! Terms with a counted age; wall time has no part in it.

use super::*;
use crate::{audit, config::Retention, spool::record::unhex};

const HOUR: u64 = 3_600;

struct Room {
    dir: tempfile::TempDir,
    evidence: EvidenceStore,
    keeping: Keeping,
    hours: u64,
}

fn terms() -> Retention {
    let hours = |hours: u64| Duration::from_secs(hours * HOUR);
    Retention {
        default: hours(100),
        unconfirmed: hours(24),
        kinds: [(EventKind::IllegalDumping, hours(200))].into(),
        sealed: hours(72),
    }
}

fn uptime(hours: u64) -> Uptime {
    Uptime {
        boot: "this-one".into(),
        since_boot: Duration::from_secs(hours * HOUR),
    }
}

fn keeping(dir: &Path, hours: u64) -> Keeping {
    let audit = Audit::new(&dir.join("audit"));
    Keeping::open(dir, terms(), Arc::new(Mutex::new(audit)), uptime(hours))
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Room {
            evidence: EvidenceStore::open(&dir.path().join("evidence")).unwrap(),
            keeping: keeping(dir.path(), 0),
            hours: 0,
            dir,
        }
    }

    fn put(&self, bytes: &[u8]) -> [u8; 32] {
        let taken = Timestamp::UNIX_EPOCH;
        let evidence = self.evidence.put(bytes, "image/jpeg", "scene", taken);
        unhex(&evidence.unwrap().sha256).unwrap()
    }

    fn release(&mut self, hash: [u8; 32], kind: EventKind, is_confirmed: bool, is_last: bool) {
        let released = Released {
            hash,
            kind: Some(kind),
            is_confirmed,
            is_last,
        };
        let now = uptime(self.hours);
        self.keeping.released(&self.evidence, vec![released], now);
    }

    /// Sweeps after so many hours more; returns how many files went.
    fn after(&mut self, hours: u64, named: &[[u8; 32]]) -> u64 {
        self.hours += hours;
        let now = uptime(self.hours);
        let named = |hash: &[u8; 32]| named.contains(hash);
        let swept = self.keeping.sweep(&self.evidence, named, now);
        swept.unwrap().deleted
    }

    fn holds(&self, hash: &[u8; 32]) -> bool {
        self.evidence.holds(&hex::encode(hash))
    }

    fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let dir = audit::audit_dir(self.dir.path());
        assert!(audit::verify(&dir, None).unwrap().is_sound());
        audit::read(&dir, |_, _, line| lines.push(line.to_owned())).unwrap();
        lines
    }
}

#[test]
fn each_class_has_its_term_and_each_deletion_its_entry() {
    let mut room = Room::new();
    let [default, kind, given_up, orphan] =
        [&b"default"[..], b"kind", b"given up", b"orphan"].map(|bytes| room.put(bytes));
    room.release(default, EventKind::RoadOccupation, true, true);
    room.release(kind, EventKind::IllegalDumping, true, true);
    room.release(given_up, EventKind::IllegalDumping, false, true);
    assert_eq!(room.after(0, &[]), 0);
    for (hours, goes) in [
        (1, None),
        (1, Some(orphan)),
        (22, None),
        (1, Some(given_up)),
    ] {
        assert_eq!(
            room.after(hours, &[]),
            u64::from(goes.is_some()),
            "{}",
            room.hours
        );
        assert!(goes.is_none_or(|hash| !room.holds(&hash)));
    }
    assert_eq!(
        room.after(75, &[]),
        0,
        "at the term itself it is still there"
    );
    assert_eq!(room.after(1, &[]), 1);
    assert!(!room.holds(&default) && room.holds(&kind));
    assert_eq!((room.after(99, &[]), room.after(1, &[])), (0, 1));
    let log = room.log();
    assert_eq!(log.len(), 4);
    for (line, hash, words) in [
        (&log[0], orphan, "named by no alert"),
        (&log[1], given_up, "never confirmed"),
        (&log[2], default, "road_occupation"),
        (&log[3], kind, "illegal_dumping"),
    ] {
        assert!(
            line.contains(&hex::encode(hash)) && line.contains(words),
            "{line}"
        );
    }
    assert_eq!(room.evidence.bytes(), 0);
}

#[test]
fn what_an_undelivered_alert_names_stays_for_ever() {
    let mut room = Room::new();
    let waiting = room.put(b"waiting");
    assert_eq!(room.after(100_000, &[waiting]), 0);
    assert!(room.holds(&waiting));
    // One of two receivers has it; the other has not.
    room.release(waiting, EventKind::IllegalDumping, true, false);
    assert_eq!(room.after(100_000, &[waiting]), 0);
    // The other one is given up: the receipt of the first still counts.
    room.release(waiting, EventKind::IllegalDumping, false, true);
    assert_eq!((room.after(200, &[]), room.after(1, &[])), (0, 1));
}

#[test]
fn wall_time_deletes_nothing() {
    let mut room = Room::new();
    let [delivered, orphan] = [&b"delivered"[..], b"orphan"].map(|bytes| room.put(bytes));
    room.release(delivered, EventKind::RoadOccupation, true, true);
    room.after(0, &[]);
    // As after the clock jumped: files that seem years old, or of a year to come.
    let year = Duration::from_secs(365 * 24 * HOUR);
    let now = std::time::SystemTime::now();
    for stamp in [now - year, now + year] {
        for hash in [&delivered, &orphan] {
            let file = File::open(room.evidence.path(&hex::encode(hash))).unwrap();
            file.set_modified(stamp).unwrap();
        }
        assert_eq!(room.after(0, &[]), 0);
    }
    assert!(room.holds(&delivered) && room.holds(&orphan));
    // The count alone decides, and goes on under the wrong clock.
    assert_eq!(room.after(2, &[]), 1);
    assert_eq!(room.after(99, &[]), 1);
}

#[test]
fn terms_go_on_over_a_restart_and_start_anew_when_the_count_is_lost() {
    let mut room = Room::new();
    let [first, second] = [&b"first"[..], b"second"].map(|bytes| room.put(bytes));
    room.release(first, EventKind::IllegalDumping, true, true);
    room.release(second, EventKind::IllegalDumping, true, true);
    room.after(150, &[]);
    room.keeping = keeping(room.dir.path(), room.hours);
    assert_eq!((room.after(50, &[]), room.after(1, &[])), (0, 2));

    // Everything that was known is gone: the whole default term again, not an orphan's.
    let third = room.put(b"third");
    room.release(third, EventKind::IllegalDumping, true, true);
    room.after(90, &[]);
    for name in ["age", "retention"] {
        fs::remove_file(room.dir.path().join(name)).unwrap();
    }
    room.keeping = keeping(room.dir.path(), room.hours);
    assert_eq!((room.after(0, &[]), room.after(100, &[])), (0, 0));
    assert_eq!(room.after(1, &[]), 1);

    // The age alone is lost: what was noted then lies in the future.
    let fourth = room.put(b"fourth");
    room.release(fourth, EventKind::RoadOccupation, true, true);
    room.after(1, &[]);
    fs::remove_file(room.dir.path().join("age")).unwrap();
    room.keeping = keeping(room.dir.path(), room.hours);
    assert_eq!((room.after(0, &[]), room.after(100, &[])), (0, 0));
    assert!(room.holds(&fourth));
    assert_eq!(room.after(1, &[]), 1);
}

#[test]
fn a_picture_stored_again_stays_until_its_new_alert_names_it() {
    let mut room = Room::new();
    let picture = room.put(b"picture");
    room.release(picture, EventKind::RoadOccupation, false, true);
    assert_eq!(room.after(24, &[]), 0);
    room.put(b"picture");
    assert_eq!(room.after(2, &[]), 0, "it is wanted again");
    assert!(room.holds(&picture));
}

#[test]
fn a_sealed_original_goes_at_its_term_whatever_its_alert_does() {
    let mut room = Room::new();
    let audit = room.keeping.audit.clone();
    let sealed = super::super::SealedStore::open(&room.dir.path().join("sealed"), audit).unwrap();
    let picture = room.put(b"picture");
    sealed
        .put(&hex::encode(picture), b"only for the key")
        .unwrap();
    let path = sealed
        .dir()
        .join(format!("{0:.2}/{0}.sealed", hex::encode(picture)));
    assert_eq!(room.after(0, &[picture]), 0);
    assert_eq!(
        (room.after(72, &[picture]), room.after(1, &[picture])),
        (0, 1)
    );
    assert!(!path.exists() && room.holds(&picture));
    let log = room.log();
    assert!(
        log[0].contains("\"sealed\"") && log[1].contains("sealed original"),
        "{log:?}"
    );
}

#[test]
fn what_cannot_be_noted_is_not_deleted() {
    let mut room = Room::new();
    let picture = room.put(b"picture");
    room.after(0, &[]);
    // A file where the log's directory must be.
    fs::write(room.dir.path().join("audit"), "").unwrap();
    assert_eq!(room.after(2, &[]), 0);
    assert!(room.holds(&picture));
    fs::remove_file(room.dir.path().join("audit")).unwrap();
    assert_eq!(room.after(0, &[]), 1);
    assert_eq!(room.log().len(), 1);
}

#[test]
fn torn_and_foreign_lines_are_passed_over() {
    let mut room = Room::new();
    let picture = room.put(b"picture");
    room.release(picture, EventKind::RoadOccupation, true, true);
    let path = room.dir.path().join("retention");
    let text = fs::read_to_string(&path).unwrap();
    for (torn, known) in [
        (text.clone(), 1),
        (text[..text.len() - 30].to_owned(), 0),
        (text.replace("road_occupation", "no_such_kind"), 0),
        (text.replace("delivered", "nonsense"), 0),
        ("\n\n\0\n".to_owned(), 0),
    ] {
        fs::write(&path, &torn).unwrap();
        room.keeping = keeping(room.dir.path(), 0);
        assert_eq!(room.keeping.known.len(), known, "{torn:?}");
        assert_eq!(room.after(0, &[]), 0);
    }
    assert!(room.holds(&picture));
}
