//! Seals and dates what the engine sends: the chain and the clock's trust together.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;
use wangge_protocol::{ClockQuality, ClockRecord, CloudEvent, SCHEMA_CLOCK, TYPE_CLOCK};

use super::{
    chain::{Made, Sealer},
    key::Identity,
};
use crate::{
    clock::{Change, Doubt, Reading, Stamp, StateChange, Trust, Uptime},
    config::Config,
};

/// See the module.
#[derive(Debug)]
pub struct Notary {
    sealer: Sealer,
    trust: Trust,
    /// Whether the log says that the clock is believed.
    told: Option<bool>,
    station: Arc<str>,
    /// By their index.
    uplinks: Vec<Arc<str>>,
}

impl Notary {
    /// Goes on from the spool's state. Without a key messages go unsealed.
    pub fn restore(
        config: &Config,
        identity: Option<Arc<Identity>>,
        state: &[(Vec<u8>, Vec<u8>)],
    ) -> Notary {
        let made = Made {
            software: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: config.hash.clone(),
        };
        Notary {
            sealer: Sealer::restore(identity, made, state),
            trust: Trust::restore(&Uptime::now().boot, state),
            told: None,
            station: config.station.id.clone(),
            uplinks: config.uplinks.iter().map(|u| u.name.clone()).collect(),
        }
    }

    /// From now on messages are made by this configuration.
    pub fn reconfigure(&mut self, config: &Config) {
        self.sealer.reconfigure(config.hash.clone());
    }

    /// Name of the key, if there is one.
    pub fn key(&self) -> Option<&str> {
        self.sealer.key()
    }

    /// How far the clock is believed.
    pub fn quality(&self) -> ClockQuality {
        self.trust.quality()
    }

    /// The clock, if it is not believed.
    pub fn doubt(&self) -> Option<Doubt> {
        self.trust.doubt()
    }

    /// What unsealed messages say of the clock: nothing while it is believed, to save bytes. What
    /// must be stored with them is appended to `state`.
    pub fn stamp(&mut self, state: &mut Vec<StateChange>) -> Option<Stamp> {
        (!self.trust.is_known()).then(|| self.trust.stamp(state))
    }

    /// Looks at the clocks. What must be stored is appended to `state`.
    pub fn observe(&mut self, reading: Reading, state: &mut Vec<StateChange>) -> Option<Change> {
        let change = self.trust.observe(reading, state);
        let (clock, quality) = (reading.wall, self.trust.quality());
        let known = quality != ClockQuality::Unknown;
        if self.told.replace(known) == Some(known) {
            return change;
        }
        if known {
            tracing::info!(%clock, ?quality, "the clock is believed");
        } else {
            tracing::error!(%clock, "the clock is not believed: it leapt, or says a time before this program was built or before one that was right; alerts say so, and what depends on the time of day raises none");
        }
        change
    }

    /// The message for an uplink, as the next of its chain, with its id. `again` for the second
    /// and further uplinks that get it. What must be stored with it is appended to `state`.
    pub fn seal(
        &mut self,
        uplink: u8,
        (id, body): (&str, &[u8]),
        again: bool,
        state: &mut Vec<StateChange>,
    ) -> (String, Vec<u8>) {
        let name = self.uplinks.get(usize::from(uplink)).cloned();
        let stamp = self.trust.stamp(state);
        let sealed = self
            .sealer
            .seal(&name.unwrap_or_default(), (id, body), again, &stamp);
        state.extend(sealed.state_change);
        (sealed.id, sealed.body)
    }

    /// The message that tells of a change of the clock: its id and its bytes.
    pub fn clock_message(&self, change: &Change, made: Timestamp) -> (String, Vec<u8>) {
        let id = Uuid::now_v7().to_string();
        let event = CloudEvent {
            specversion: "1.0".into(),
            id: id.clone(),
            source: format!("/stations/{}", self.station),
            event_type: TYPE_CLOCK.into(),
            subject: change.boot.to_string(),
            time: made.to_string(),
            datacontenttype: "application/json".into(),
            dataschema: SCHEMA_CLOCK.into(),
            data: ClockRecord {
                boot: change.boot.to_string(),
                booted_at: change.booted_at.to_string(),
                offset_ms: i64::try_from(change.offset.as_millis()).unwrap_or(i64::MAX),
                quality: change.quality,
            },
        };
        // Strings and numbers: this cannot fail.
        (id, serde_json::to_vec(&event).unwrap_or_default())
    }
}
