//! What the receiver acknowledged, in a file, so that another run can ask for it again.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    ConformanceError,
    material::raw,
    peer::{Content, Parcel},
};

/// What a run leaves for the one after the receiver's restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    pub station: String,
    /// Messages whose receipts came.
    messages: Vec<Message>,
    /// SHA-256 of pictures whose receipts came, and their sizes.
    pub pictures: Vec<(String, u64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    id: String,
    content: Content,
    /// As it was sent.
    body: String,
}

impl Notes {
    pub fn new(station: &str) -> Self {
        Notes {
            station: station.to_owned(),
            messages: Vec::new(),
            pictures: Vec::new(),
        }
    }

    /// Keeps what was acknowledged.
    pub fn add(&mut self, parcel: &Parcel) {
        match (parcel.content, std::str::from_utf8(&parcel.bytes)) {
            (Content::Picture, _) => self
                .pictures
                .push((parcel.sha256.clone(), parcel.bytes.len() as u64)),
            (content, Ok(body)) => self.messages.push(Message {
                id: parcel.id.clone(),
                content,
                body: body.to_owned(),
            }),
            // What is no text was never acknowledged.
            _ => {}
        }
    }

    /// The messages, to be sent once more.
    pub fn messages(&self) -> Vec<Parcel> {
        self.messages
            .iter()
            .map(|m| raw(&m.id, m.content, m.body.clone().into_bytes()))
            .collect()
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), ConformanceError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        fs::write(file, text).map_err(|e| ConformanceError::Notes {
            file: file.to_owned(),
            reason: e.to_string(),
        })
    }

    /// # Errors
    /// The file cannot be read, or is none of ours.
    pub fn read(file: &Path) -> Result<Self, ConformanceError> {
        fs::read(file)
            .map_err(|e| e.to_string())
            .and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string()))
            .map_err(|reason| ConformanceError::Notes {
                file: file.to_owned(),
                reason,
            })
    }
}
