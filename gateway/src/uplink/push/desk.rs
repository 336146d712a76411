//! One alert as a transaction of several requests.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::{sync::Mutex, task::spawn_blocking};
use tracing::{info, warn};
use wangge_protocol::{
    AlertData, CloudEvent, EvidenceRef, Receipt, ReceiptStatus, TYPE_CLEARED, TYPE_RAISED,
    TYPE_UPDATED, Tier,
};

use super::{
    super::{
        client::Problem,
        link::{Content, Parcel},
    },
    wire::{File, Wire},
};
use crate::{
    config::PushTarget,
    push::{
        Facts, Occasion,
        facts::{file_name, picture_values},
        reply::text_at,
    },
    spool::{Class, evidence::EvidenceStore},
};

/// Uploads and case numbers that are remembered, so that a repeat is not a second upload.
const REMEMBERED: usize = 512;

/// What every transaction needs.
pub(super) struct Desk {
    wire: Wire,
    tiers: Vec<Tier>,
    evidence: Arc<EvidenceStore>,
    memory: Mutex<Memory>,
}

/// What earlier transactions learnt; lost with a restart, and then asked for again.
#[derive(Default)]
struct Memory {
    uploads: HashMap<String, String>,
    cases: HashMap<String, String>,
}

impl Desk {
    pub(super) fn new(
        name: &str,
        target: PushTarget,
        tiers: Vec<Tier>,
        evidence: Arc<EvidenceStore>,
    ) -> Self {
        Desk {
            wire: Wire::new(name, target),
            tiers,
            evidence,
            memory: Mutex::default(),
        }
    }

    /// One parcel. The receipt is ours: the platform's word is in its own form.
    pub(super) async fn deliver(
        &self,
        client: &reqwest::Client,
        parcel: Parcel,
    ) -> Result<Receipt, Problem> {
        let stored = |id: String, sha256: String| Receipt {
            id,
            sha256,
            status: ReceiptStatus::Stored,
            reason: None,
            offset: None,
        };
        let class = match parcel.content {
            // Pictures go with their case; the spool keeps them until it is there.
            Content::Picture { sha256, .. } => {
                return Ok(stored(sha256.to_string(), sha256.to_string()));
            }
            Content::Event { class, .. } => class,
        };
        let sha256 = hex::encode(Sha256::digest(&parcel.bytes));
        let event: CloudEvent<Json> = serde_json::from_slice(&parcel.bytes)
            .map_err(|e| Problem::Refused(format!("the message is no event: {e}")))?;
        let receipt = stored(event.id.clone(), sha256);
        if class == Class::Gap {
            warn!(uplink = self.wire.name, gap = %event.data, "records were dropped; a case platform cannot be told");
            return Ok(receipt);
        }
        // Digests, settings of the clock and the like: there is no case to report.
        let of_alerts = [TYPE_RAISED, TYPE_UPDATED, TYPE_CLEARED];
        if !of_alerts.contains(&event.event_type.as_str()) {
            return Ok(receipt);
        }
        let data: AlertData = serde_json::from_value(event.data)
            .map_err(|e| Problem::Refused(format!("the message is no alert: {e}")))?;
        self.alert(client, &data).await?;
        Ok(receipt)
    }

    async fn alert(&self, client: &reqwest::Client, data: &AlertData) -> Result<(), Problem> {
        let occasion = Occasion::of(data, &self.tiers);
        let profile = &self.wire.target.profile;
        let Some(report) = self.wire.target.push.of(occasion) else {
            return Ok(());
        };
        if !self.wire.target.push.uncoded && !profile.codes.contains_key(&data.kind) {
            info!(uplink = self.wire.name, kind = %data.kind, alert = data.alert_id, "the platform has no code for this kind; it is not told");
            return Ok(());
        }
        let mut facts = Facts::new(data, profile, &self.wire.target.home);
        let mut case_no = self.memory.lock().await.cases.get(&data.alert_id).cloned();
        if let Some(lookup) = &self.wire.target.push.lookup
            && case_no.is_none()
        {
            let reply = self
                .wire
                .call(client, &lookup.request, &facts.values(), &[])
                .await?;
            if lookup.found.iter().all(|sign| sign.is_in(&reply)) {
                let pointer = lookup.case_no.as_deref();
                case_no = pointer.and_then(|pointer| text_at(&reply, pointer));
                if occasion == Occasion::Report {
                    info!(
                        uplink = self.wire.name,
                        alert = data.alert_id,
                        case = case_no,
                        "the case is there already"
                    );
                    self.remember_case(data, case_no).await;
                    return Ok(());
                }
            } else if occasion != Occasion::Report {
                // What the platform never had, it need not hear more of.
                return Ok(());
            }
        }
        facts.set_case(case_no);
        let pictures = self.pictures(client, data, &mut facts, report.request.files.is_some());
        let files = pictures.await?;
        let reply = self
            .wire
            .call(client, &report.request, &facts.values(), &files)
            .await?;
        let pointer = report.case_no.as_deref();
        let case_no = pointer.and_then(|pointer| text_at(&reply, pointer));
        info!(
            uplink = self.wire.name,
            alert = data.alert_id,
            ?occasion,
            case = case_no,
            "taken"
        );
        self.remember_case(data, case_no).await;
        Ok(())
    }

    async fn remember_case(&self, data: &AlertData, case_no: Option<String>) {
        if let Some(case_no) = case_no {
            let mut memory = self.memory.lock().await;
            if memory.cases.len() >= REMEMBERED {
                memory.cases.clear();
            }
            memory.cases.insert(data.alert_id.clone(), case_no);
        }
    }

    /// Uploads what the platform wants before the case; returns the files that go with it.
    async fn pictures(
        &self,
        client: &reqwest::Client,
        data: &AlertData,
        facts: &mut Facts,
        with_case: bool,
    ) -> Result<Vec<File>, Problem> {
        let mut files = Vec::new();
        if self.wire.target.push.picture.is_none() && !with_case {
            return Ok(files);
        }
        for evidence in &data.evidence {
            let known = self
                .memory
                .lock()
                .await
                .uploads
                .get(&evidence.sha256)
                .cloned();
            if let Some(upload) = &known {
                facts.set_upload(&evidence.sha256, upload);
                if !with_case {
                    continue;
                }
            }
            let Some(file) = self.read(evidence).await else {
                continue;
            };
            if let (Some(upload), None) = (&self.wire.target.push.picture, known) {
                let values = picture_values(&self.wire.target.home, evidence);
                let file = std::slice::from_ref(&file);
                let reply = self
                    .wire
                    .call(client, &upload.request, &values, file)
                    .await?;
                let id = text_at(&reply, &upload.id).ok_or_else(|| {
                    Problem::Failed(format!(
                        "the platform took a picture, and its reply has nothing at {}",
                        upload.id
                    ))
                })?;
                facts.set_upload(&evidence.sha256, &id);
                let mut memory = self.memory.lock().await;
                if memory.uploads.len() >= REMEMBERED {
                    memory.uploads.clear();
                }
                memory.uploads.insert(evidence.sha256.clone(), id);
            }
            if with_case {
                files.push(file);
            }
        }
        Ok(files)
    }

    /// A picture that is gone or damaged does not keep its alert back.
    async fn read(&self, evidence: &EvidenceRef) -> Option<File> {
        let (store, sha256) = (self.evidence.clone(), evidence.sha256.clone());
        let read = spawn_blocking(move || {
            let bytes = store.read(&sha256).map_err(|e| e.to_string())?;
            if hex::encode(Sha256::digest(&bytes)) != sha256 {
                return Err("the file's content is not what its name says".to_owned());
            }
            Ok(bytes)
        });
        match read.await.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(bytes) => Some(File {
                name: file_name(evidence),
                media_type: evidence.media_type.clone(),
                bytes: bytes.into(),
            }),
            Err(reason) => {
                warn!(
                    uplink = self.wire.name,
                    sha256 = evidence.sha256,
                    reason,
                    "a case goes without this picture"
                );
                None
            }
        }
    }
}
