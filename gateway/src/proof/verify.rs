//! Verifies stored messages offline; pure.
//!
//! A chain is followed by hashes: each message names the SHA-256 of the one before it. So it does
//! not matter in which order messages come, repeats are no fault, and the chains of several
//! uplinks may lie in one place. What a chain alone cannot show is that messages are missing
//! after its newest; whoever noted a newest hash elsewhere can ask for it ([`Verifier::head`]).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use wangge_protocol::{EvidenceRef, Gap, Seal, TYPE_CLOCK, TYPE_GAP};

use super::{
    keys::Keys,
    message::{self, BEGINNING},
};

/// Types that are always sealed, whatever else is missing from the message.
const ALERTS: &str = "cn.wangge.alert.";

/// One stored message and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// For people, e.g. `events.jsonl line 7`.
    pub place: String,
    pub bytes: Vec<u8>,
    /// What is noted beside it, if anything is.
    pub noted: Option<Noted>,
}

/// What a store notes beside a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    pub id: Option<String>,
    pub event_type: Option<String>,
    pub sha256: Option<String>,
    /// When it was stored, Unix ms; a store that is written in order never goes back.
    pub received: Option<u64>,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    Sound,
    Missing,
    /// Its bytes are not what its name says.
    Changed,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// No message, or none that can be read.
    Unreadable,
    /// What is noted beside it does not belong to it.
    Misfiled,
    /// An alert without a seal.
    Unsigned,
    /// Its key is not among those given for its station.
    WrongKey,
    /// Its signature is not of its bytes.
    Altered,
    /// A message before it is not here, or was altered.
    Removed,
    /// Two messages come after the same one, or its number does not follow.
    Forked,
    /// It follows a message of another key, which did not hand over to its own.
    NotHandedOver,
    /// It stands at another place than it was stored at.
    Reordered,
    /// A picture that it names is not here.
    PictureMissing,
    /// A picture that it names has other bytes.
    PictureChanged,
    /// The hash that was asked for is not here.
    HeadMissing,
}

/// A broken link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a message, or the one after what is missing.
    pub place: String,
    pub what: What,
    /// In words.
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The message's number in the order of reading.
    #[serde(skip)]
    order: usize,
}

/// Messages that follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    pub station: String,
    pub keyid: String,
    pub first: u64,
    pub last: u64,
    /// SHA-256 of the newest message.
    pub head: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Messages read, repeats included.
    pub messages: u64,
    /// Sealed messages with a good signature, without repeats.
    pub sealed: u64,
    /// Of other kinds, which are not sealed.
    pub others: u64,
    /// Pictures found and looked at, small ones included; none if they were not asked for.
    pub pictures: u64,
    /// Of those that messages name, how many are there as their small picture alone.
    pub small_only: u64,
    pub chains: Vec<Chain>,
    /// The first broken link first.
    pub faults: Vec<Fault>,
    /// What is no fault and still worth knowing.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }
}

/// What every message has.
#[derive(Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    source: String,
}

#[derive(Deserialize)]
struct Alert {
    data: AlertData,
}

#[derive(Deserialize)]
struct AlertData {
    #[serde(default)]
    evidence: Vec<EvidenceRef>,
}

/// A message with a good signature.
#[derive(Debug)]
struct Link {
    place: String,
    order: usize,
    station: String,
    keyid: String,
    sequence: u64,
    previous: String,
}

/// Takes messages one by one and judges them at the end.
pub struct Verifier<'a> {
    keys: &'a Keys,
    /// Looks at a picture by its SHA-256.
    pictures: Option<&'a mut dyn FnMut(&str) -> Picture>,
    report: Report,
    links: HashMap<String, Link>,
    looked: HashMap<String, Picture>,
    /// Alerts that gap records say were given up, by station.
    gaps: BTreeMap<String, (u64, String)>,
    received: Option<(u64, String)>,
    heads: Vec<String>,
    is_part: bool,
}

impl std::fmt::Debug for Verifier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

impl<'a> Verifier<'a> {
    /// Believes `keys`; without `pictures` none is looked at.
    pub fn new(keys: &'a Keys, pictures: Option<&'a mut dyn FnMut(&str) -> Picture>) -> Self {
        Verifier {
            keys,
            pictures,
            report: Report::default(),
            links: HashMap::new(),
            looked: HashMap::new(),
            gaps: BTreeMap::new(),
            received: None,
            heads: Vec::new(),
            is_part: false,
        }
    }

    /// What is given is a part of a chain: what came before its first message is not missed.
    pub fn part(&mut self) {
        self.is_part = true;
    }

    /// A message with this SHA-256 must be there.
    pub fn head(&mut self, sha256: &str) {
        self.heads.push(sha256.to_ascii_lowercase());
    }

    /// Something that should be a message and cannot even be taken out of its file.
    pub fn unreadable(&mut self, place: &str, why: &str) {
        self.report.messages += 1;
        self.fault(place, What::Unreadable, why.to_owned(), None);
    }

    /// Takes the next message.
    pub fn take(&mut self, stored: &Stored) {
        self.report.messages += 1;
        self.in_order(stored);
        let hash = message::sha256(&stored.bytes);
        let envelope = match serde_json::from_slice::<Envelope>(&stored.bytes) {
            Ok(envelope) => envelope,
            Err(why) => {
                let text = format!("it is no message: {why}");
                return self.fault(&stored.place, What::Unreadable, text, None);
            }
        };
        if let Some(text) = stored
            .noted
            .as_ref()
            .and_then(|n| n.contradicts(&envelope, &hash))
        {
            self.fault(&stored.place, What::Misfiled, text, None);
        }
        let station = envelope.source.trim_start_matches("/stations/").to_owned();
        let must = envelope.event_type.starts_with(ALERTS) || envelope.event_type == TYPE_CLOCK;
        // By the bytes: a seal that was damaged is still one.
        let has = |name: &[u8]| stored.bytes.windows(name.len()).any(|part| part == name);
        if !(must || has(b"\"signature\":") || has(b"\"sequence\":")) {
            self.report.others += 1;
            self.note_gap(&envelope, station, &stored.bytes);
            return;
        }
        if self.links.contains_key(&hash) {
            return; // The same bytes once more.
        }
        let seal = match serde_json::from_slice::<Seal>(&stored.bytes) {
            Ok(seal) => seal,
            Err(_) => {
                let text = "it has no seal, or not all of it".to_owned();
                return self.fault(&stored.place, What::Unsigned, text, Some((&station, None)));
            }
        };
        let sequence = seal.sequence.parse::<u64>().unwrap_or(0);
        let named = Some((station.as_str(), Some(sequence)));
        let Some(key) = self.keys.find(&station, &seal.keyid) else {
            let text = format!(
                "it is signed with key {}, which is not among the keys given for station {station}",
                seal.keyid
            );
            return self.fault(&stored.place, What::WrongKey, text, named);
        };
        if !message::is_signed_by(&stored.bytes, key) {
            let text = "its signature does not match its bytes: it was altered".to_owned();
            return self.fault(&stored.place, What::Altered, text, named);
        }
        self.report.sealed += 1;
        self.look_at_pictures(stored, &station, sequence);
        let link = Link {
            place: stored.place.clone(),
            order: self.order(),
            station,
            keyid: seal.keyid,
            sequence,
            previous: seal.previous,
        };
        self.links.insert(hash, link);
    }

    /// A store that is written in order has times that never go back.
    fn in_order(&mut self, stored: &Stored) {
        let Some(received) = stored.noted.as_ref().and_then(|n| n.received) else {
            return;
        };
        if let Some((before, place)) = &self.received
            && received < *before
        {
            let text = format!(
                "it was stored before {place}, which stands above it: lines were moved, or the receiver's clock was set back"
            );
            self.fault(&stored.place, What::Reordered, text, None);
        }
        self.received = Some((received, stored.place.clone()));
    }

    fn note_gap(&mut self, envelope: &Envelope, station: String, bytes: &[u8]) {
        #[derive(Deserialize)]
        struct Event {
            data: Gap,
        }
        if envelope.event_type != TYPE_GAP {
            return;
        }
        if let Ok(Event { data }) = serde_json::from_slice(bytes)
            && matches!(data.class.as_str(), "alert" | "unknown")
        {
            let (count, reason) = self.gaps.entry(station).or_default();
            *count += data.count;
            *reason = data.reason;
        }
    }

    fn look_at_pictures(&mut self, stored: &Stored, station: &str, sequence: u64) {
        let Some(look) = &mut self.pictures else {
            return;
        };
        let evidence = serde_json::from_slice::<Alert>(&stored.bytes)
            .map_or_else(|_| Vec::new(), |alert| alert.data.evidence);
        let mut bad = Vec::new();
        let (looked, pictures) = (&mut self.looked, &mut self.report.pictures);
        let mut find = |sha256: &str| {
            *looked.entry(sha256.to_owned()).or_insert_with(|| {
                let found = look(sha256);
                *pictures += u64::from(found != Picture::Missing);
                found
            })
        };
        for picture in evidence {
            let (full, small) = (
                find(&picture.sha256),
                picture.thumbnail.as_deref().map(&mut find),
            );
            let (sha256, role) = (&picture.sha256, &picture.role);
            match (full, small) {
                (Picture::Changed, _) => bad.push((
                    What::PictureChanged,
                    format!("its picture {sha256} ({role}) has other bytes: it was altered or swapped"),
                )),
                (_, Some(Picture::Changed)) => bad.push((
                    What::PictureChanged,
                    format!("the small one of its picture {sha256} ({role}) has other bytes: it was altered or swapped"),
                )),
                (Picture::Missing, Some(Picture::Sound)) => self.report.small_only += 1,
                (Picture::Missing, _) => bad.push((
                    What::PictureMissing,
                    format!("its picture {sha256} ({role}) is not there"),
                )),
                (Picture::Sound, _) => {}
            }
        }
        for (what, text) in bad {
            self.fault(&stored.place, what, text, Some((station, Some(sequence))));
        }
    }

    fn order(&self) -> usize {
        usize::try_from(self.report.messages).unwrap_or(usize::MAX)
    }

    fn fault(&mut self, place: &str, what: What, text: String, of: Option<(&str, Option<u64>)>) {
        let order = self.order();
        self.report.faults.push(Fault {
            place: place.to_owned(),
            what,
            text,
            station: of.map(|(station, _)| station.to_owned()),
            sequence: of.and_then(|(_, sequence)| sequence),
            order,
        });
    }

    /// Follows the chains and says what was found.
    pub fn finish(mut self) -> Report {
        // Who comes after whom.
        let mut after = HashMap::<&str, Vec<&str>>::new();
        for (hash, link) in &self.links {
            if link.previous != BEGINNING {
                after.entry(&link.previous).or_default().push(hash);
            }
        }
        let mut faults = Vec::new();
        for (hash, link) in &self.links {
            faults.extend(self.joint(link));
            let mut next = after.get(hash.as_str()).cloned().unwrap_or_default();
            if next.len() > 1 {
                next.sort_by_key(|hash| self.links[*hash].order);
                let twice = &self.links[next[1]];
                let text = format!(
                    "it and {} both come after {}: the station's key was used at two places, or its storage was set back",
                    self.links[next[0]].place, link.place
                );
                faults.push(twice.fault(What::Forked, text));
            }
        }
        self.report.chains = self.chains(&after);
        self.report.faults.extend(faults);
        for head in std::mem::take(&mut self.heads) {
            if !self.links.contains_key(&head) {
                let text = format!(
                    "no message has the hash {head}: the newest messages are missing, or all were replaced"
                );
                self.report.messages += 1; // Behind all others.
                self.fault("the end", What::HeadMissing, text, None);
                self.report.messages -= 1;
            }
        }
        self.report
            .faults
            .sort_by_key(|fault| (fault.order, fault.what));
        let begun = |report: &Report| {
            let mut begun = BTreeMap::<_, u32>::new();
            for chain in report.chains.iter().filter(|chain| chain.first == 1) {
                *begun
                    .entry((chain.station.clone(), chain.keyid.clone()))
                    .or_default() += 1;
            }
            begun
        };
        let mut changes: Vec<_> = self
            .links
            .values()
            .filter_map(|link| Some((link, self.links.get(&link.previous)?)))
            .filter(|(link, before)| link.keyid != before.keyid)
            .filter(|(link, before)| self.keys.led(&link.station, &before.keyid, &link.keyid))
            .collect();
        changes.sort_by_key(|(link, _)| link.order);
        for (link, before) in changes {
            self.report.notes.push(format!(
                "station {} changed its key at sequence {}: {} signed for {}",
                link.station, link.sequence, before.keyid, link.keyid
            ));
        }
        for ((station, keyid), count) in begun(&self.report) {
            if count > 1 {
                self.report.notes.push(format!(
                    "station {station} began {count} chains with key {keyid}: one for each uplink that comes here, and one more whenever its storage was lost"
                ));
            }
        }
        self.report
    }

    /// Whether a message follows the one that it names.
    fn joint(&self, link: &Link) -> Option<Fault> {
        if link.previous == BEGINNING {
            let text = "it says that it is the first, and has another number".to_owned();
            return (link.sequence != 1).then(|| link.fault(What::Forked, text));
        }
        let Some(before) = self.links.get(&link.previous) else {
            if self.is_part && self.last_before(link).is_none() {
                return None;
            }
            return Some(link.fault(What::Removed, self.missing(link)));
        };
        let follows = before.sequence + 1 == link.sequence && before.station == link.station;
        if !follows {
            let text = format!("it does not follow {}, which it names", before.place);
            return Some(link.fault(What::Forked, text));
        }
        if before.keyid == link.keyid || self.keys.led(&link.station, &before.keyid, &link.keyid) {
            return None;
        }
        let text = format!(
            "key {} goes on with the chain of key {}, which did not hand over to it",
            link.keyid, before.keyid
        );
        Some(link.fault(What::NotHandedOver, text))
    }

    /// The highest number below a message's that is there.
    fn last_before(&self, link: &Link) -> Option<u64> {
        let same = self.links.values().filter(|other| {
            let is_ours = other.keyid == link.keyid
                || self.keys.led(&link.station, &other.keyid, &link.keyid);
            other.station == link.station && is_ours && other.sequence < link.sequence
        });
        same.map(|other| other.sequence).max()
    }

    /// What is missing before a message, as far as that can be told.
    fn missing(&self, link: &Link) -> String {
        let last = self.last_before(link).unwrap_or(0);
        let (from, to) = (last + 1, link.sequence.saturating_sub(1));
        let numbers = match to.saturating_sub(from) {
            0 => format!("sequence {to} is missing or was altered"),
            _ => format!("sequence {from} to {to} are missing or were altered"),
        };
        match self.gaps.get(&link.station) {
            Some((count, reason)) => format!(
                "{numbers}; gap records, which are not signed, say that the station gave up {count} (the last: {reason})"
            ),
            None => numbers,
        }
    }

    /// The pieces that hang together.
    fn chains(&self, after: &HashMap<&str, Vec<&str>>) -> Vec<Chain> {
        let mut starts: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| !self.links.contains_key(&link.previous))
            .collect();
        starts.sort_by_key(|(_, link)| link.order);
        let piece = |(hash, start): (&String, &Link)| {
            let mut head = hash.as_str();
            while let Some(next) = after.get(head).and_then(|next| next.first()) {
                head = next;
            }
            Chain {
                station: start.station.clone(),
                keyid: start.keyid.clone(),
                first: start.sequence,
                last: self
                    .links
                    .get(head)
                    .map_or(start.sequence, |link| link.sequence),
                head: head.to_owned(),
            }
        };
        starts.into_iter().map(piece).collect()
    }
}

impl Link {
    fn fault(&self, what: What, text: String) -> Fault {
        Fault {
            place: self.place.clone(),
            what,
            text,
            station: Some(self.station.clone()),
            sequence: Some(self.sequence),
            order: self.order,
        }
    }
}

impl Noted {
    /// What of it does not belong to the message.
    fn contradicts(&self, envelope: &Envelope, sha256: &str) -> Option<String> {
        let differs = |noted: &Option<String>, is: &str| noted.as_ref().is_some_and(|n| n != is);
        let what = [
            (differs(&self.sha256, sha256), "hash"),
            (differs(&self.id, &envelope.id), "id"),
            (differs(&self.event_type, &envelope.event_type), "type"),
        ];
        let (_, what) = what.iter().find(|(differs, _)| *differs)?;
        Some(format!("the {what} that is noted beside it is not its own"))
    }
}

#[cfg(test)]
mod tests;
