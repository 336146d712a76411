//! The public keys that are believed, and which of them handed over to which.

use std::collections::{BTreeMap, BTreeSet};

use super::{handover::Handover, key::PublicKey};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// By key id; a key without a station speaks for any.
    keys: BTreeMap<String, (PublicKey, BTreeSet<Option<String>>)>,
    /// Station and new key's id: the id of the old one, which signed for it.
    before: BTreeMap<(String, String), String>,
}

impl Keys {
    /// Believes a key, for one station or for any.
    pub fn add(&mut self, station: Option<&str>, key: PublicKey) {
        let entry = self.keys.entry(key.id());
        let (_, stations) = entry.or_insert_with(|| (key, BTreeSet::new()));
        stations.insert(station.map(str::to_owned));
    }

    /// Reads a list: a station's id and its key in base64 on each line, or what a station says
    /// when its key hands over to another ([`Handover`]); `#` begins a remark.
    ///
    /// # Errors
    /// The line that is something else, and why.
    pub fn parse(text: &str) -> Result<Keys, String> {
        let mut keys = Keys::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let fault = |why: String| format!("line {number}: {why}");
            if let Some(handover) = Handover::parse(line) {
                let handover = handover.map_err(|e| fault(e.to_string()))?;
                keys.hand_over(&handover).map_err(fault)?;
                continue;
            }
            let (station, key) = line
                .rsplit_once(char::is_whitespace)
                .ok_or_else(|| fault("there must be a station's id and its key".into()))?;
            let key = key.parse::<PublicKey>().map_err(|e| fault(e.to_string()))?;
            keys.add(Some(station.trim()), key);
        }
        if keys.keys.is_empty() {
            return Err("it holds no key".to_owned());
        }
        Ok(keys)
    }

    /// Believes the new key because the old one, which is believed, signed for it.
    fn hand_over(&mut self, handover: &Handover) -> Result<(), String> {
        let Handover {
            station, new, old, ..
        } = handover;
        let Some(key) = self.find(station, old) else {
            return Err(format!(
                "key {old}, which hands over here, does not stand above for station {station}"
            ));
        };
        if !handover.is_signed_by(key) {
            return Err(format!(
                "it is not signed by key {old}, or was altered: nobody handed over to key {}",
                new.id()
            ));
        }
        let at = (station.clone(), new.id());
        if self.before.get(&at) == Some(old) {
            return Ok(()); // The same line once more.
        }
        if self.find(station, &at.1).is_some() {
            return Err(format!(
                "key {} was believed before key {old} handed over to it: leave the line that gives it alone out",
                at.1
            ));
        }
        let mut others = self.before.iter();
        if let Some(((_, other), _)) = others.find(|((of, _), by)| of == station && *by == old) {
            return Err(format!(
                "key {old} handed over to key {other} already: it was used at two places"
            ));
        }
        self.add(Some(station), *new);
        self.before.insert(at, old.clone());
        Ok(())
    }

    /// The key of this name, if it may speak for the station.
    pub fn find(&self, station: &str, keyid: &str) -> Option<&PublicKey> {
        let (key, stations) = self.keys.get(keyid)?;
        let ours = stations.contains(&None) || stations.contains(&Some(station.to_owned()));
        ours.then_some(key)
    }

    /// Whether one key of a station handed over to another, by others between them or directly.
    pub fn led(&self, station: &str, from: &str, to: &str) -> bool {
        let mut at = to;
        // A key is believed before it hands over, and never handed over to again: no circles.
        while let Some(before) = self.before.get(&(station.to_owned(), at.to_owned())) {
            if before == from {
                return true;
            }
            at = before;
        }
        false
    }
}
