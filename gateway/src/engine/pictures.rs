//! Which of an alert's pictures go to an uplink with it, which afterwards, which on request.

use wangge_protocol::EvidenceRef;

use crate::{
    config::line::Pictures,
    spool::{Class, KEPT, Lane, Record, evidence::EvidenceStore},
};

/// Stream of the records that stand for pictures which come later.
pub const STREAM: &str = "pictures";
/// Role of a small picture.
const THUMBNAIL: &str = "thumbnail";

/// An alert's pictures as one uplink gets them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// For the alert's record: those that go before it, and those that are only kept.
    pub with_alert: Vec<EvidenceRef>,
    /// Those that follow by themselves.
    pub later: Vec<EvidenceRef>,
}

impl Share {
    /// Divides an alert's pictures. One without a small picture goes itself.
    pub fn of(pictures: Pictures, evidence: &[EvidenceRef], store: &EvidenceStore) -> Self {
        let mut share = Share::default();
        for full in evidence {
            let mut full = full.clone();
            let small = full.thumbnail.take().filter(|_| pictures.are_small());
            let small = small.and_then(|sha256| Some((store.size(&sha256)?, sha256)));
            let Some((bytes, sha256)) = small else {
                share.with_alert.push(full);
                continue;
            };
            share.with_alert.push(EvidenceRef {
                sha256,
                bytes,
                role: THUMBNAIL.to_owned(),
                ..full.clone()
            });
            if pictures.come_later() {
                share.later.push(full);
            } else {
                share.with_alert.push(EvidenceRef {
                    role: KEPT.to_owned(),
                    ..full
                });
            }
        }
        share
    }

    /// The record that stands for what follows, if anything does.
    pub fn later_record(self, uplink: u8, event_id: &str) -> Option<Record> {
        (!self.later.is_empty()).then(|| Record {
            lane: Lane {
                uplink,
                class: Class::Telemetry,
            },
            stream: STREAM.to_owned(),
            id: event_id.to_owned(),
            count: 1,
            evidence: self.later,
            // It is never sent; the pictures are.
            body: b"{}".to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn pictures_are_divided_as_the_line_bears_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = EvidenceStore::open(dir.path()).unwrap();
        let put = |bytes: &[u8], role| {
            store
                .put(bytes, "image/jpeg", role, Timestamp::UNIX_EPOCH)
                .unwrap()
        };
        let small = put(b"small", "thumbnail");
        let mut with = put(b"large", "scene");
        with.thumbnail = Some(small.sha256.clone());
        let without = put(b"other", "after");
        let mut gone = put(b"third", "before");
        gone.thumbnail = Some("0".repeat(64));
        let evidence = [with.clone(), without.clone(), gone.clone()];
        let names = |list: &[EvidenceRef]| {
            let name = |e: &EvidenceRef| (e.sha256.clone(), e.role.clone(), e.bytes);
            list.iter().map(name).collect::<Vec<_>>()
        };
        let full = |e: &EvidenceRef, role: &str| (e.sha256.clone(), role.to_owned(), 5);
        for (pictures, with_alert, later) in [
            (
                Pictures::Full,
                vec![
                    full(&with, "scene"),
                    full(&without, "after"),
                    full(&gone, "before"),
                ],
                vec![],
            ),
            (
                Pictures::ThumbnailFirst,
                vec![
                    full(&small, "thumbnail"),
                    full(&without, "after"),
                    full(&gone, "before"),
                ],
                vec![full(&with, "scene")],
            ),
            (
                Pictures::ThumbnailOnly,
                vec![
                    full(&small, "thumbnail"),
                    full(&with, KEPT),
                    full(&without, "after"),
                    full(&gone, "before"),
                ],
                vec![],
            ),
        ] {
            let share = Share::of(pictures, &evidence, &store);
            assert_eq!(names(&share.with_alert), with_alert, "{pictures:?}");
            assert_eq!(names(&share.later), later, "{pictures:?}");
            let record = share.later_record(3, "id");
            assert_eq!(record.is_some(), pictures.come_later());
        }
    }
}
