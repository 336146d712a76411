//! Reaching a case platform by a file: what a profile's `[push]` says, and the requests that come
//! of it. Pure; [`crate::uplink`] carries them.

pub mod facts;
pub mod reply;
pub mod request;
pub mod sample;
pub mod template;
#[cfg(test)]
mod tests;

use wangge_protocol::{AlertData, AlertState, Tier};

pub use facts::{Facts, Home};
use reply::Sign;
use request::Request;
use template::Template;

/// How a platform takes cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    pub login: Option<Login>,
    /// Asks whether a case is there already.
    pub lookup: Option<Lookup>,
    /// Takes one picture before the case that shows it.
    pub picture: Option<Upload>,
    /// A new case.
    pub report: Report,
    /// News of a case.
    pub update: Option<Report>,
    /// It is over.
    pub clear: Option<Report>,
    pub rules: Rules,
    /// Whether alerts whose kind has no code are reported.
    pub uncoded: bool,
}

/// What replies say, whatever was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// All of these: it worked.
    pub success: Vec<Sign>,
    /// Any of these: log in again. HTTP 401 and 403 say the same.
    pub expired: Vec<Sign>,
    /// Any of these: it will never take this.
    pub refused: Vec<Sign>,
}

/// How to log in. Cookies that the reply sets are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    pub request: Request,
    /// Where the reply has the token, and the header that carries it from then on.
    pub token: Option<(String, String, Template)>,
}

/// How to ask for a case by our number.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    pub request: Request,
    /// All of these: the case is there.
    pub found: Vec<Sign>,
    /// Where the reply has the platform's case number.
    pub case_no: Option<String>,
}

/// How to upload a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    pub request: Request,
    /// Where the reply says what the platform calls it.
    pub id: String,
}

/// A request about a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub request: Request,
    /// Where the reply has the platform's case number.
    pub case_no: Option<String>,
}

/// What a message means to a case platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A new case.
    Report,
    /// News of a case.
    Update,
    /// It is over.
    Clear,
}

impl Occasion {
    /// What a message means to the platform of an uplink with these tiers: a case begins when the
    /// alert is raised, or when it comes up to one of them.
    pub fn of(data: &AlertData, tiers: &[Tier]) -> Occasion {
        let comes_up = data.routing.as_ref().is_some_and(|routing| {
            routing
                .escalated_from
                .is_some_and(|from| tiers.contains(&routing.tier) && !tiers.contains(&from))
        });
        match data.state {
            AlertState::Raised => Occasion::Report,
            AlertState::Updated if comes_up => Occasion::Report,
            AlertState::Updated => Occasion::Update,
            AlertState::Cleared => Occasion::Clear,
        }
    }
}

impl Push {
    /// The request of an occasion, if the platform wants to know.
    pub fn of(&self, occasion: Occasion) -> Option<&Report> {
        match occasion {
            Occasion::Report => Some(&self.report),
            Occasion::Update => self.update.as_ref(),
            Occasion::Clear => self.clear.as_ref(),
        }
    }
}
