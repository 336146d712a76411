//! What came of it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{
    journal::Row,
    selftest::{Finding, Verdict},
};

/// What came of one board.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// As in the log.
    pub row: Row,
    /// Lines of the self-test; none if it was not reached.
    pub findings: Vec<Finding>,
    /// The label's picture.
    pub label: Option<PathBuf>,
    /// Why it failed before the self-test said so.
    pub error: Option<String>,
    /// The exit code that the error asks for, or 0.
    pub code: u8,
    /// No other board would fare better.
    pub is_fatal: bool,
}

impl Outcome {
    /// Whether the board can leave the bench.
    pub fn passed(&self) -> bool {
        let failed = self.findings.iter().any(|f| f.verdict == Verdict::Fail);
        self.error.is_none() && !failed
    }

    fn json(&self) -> Value {
        let lines: Vec<Value> = self
            .findings
            .iter()
            .map(|f| {
                json!({
                    "check": f.check.slug(),
                    "verdict": f.verdict,
                    "value": f.value,
                    "expected": f.expected,
                })
            })
            .collect();
        json!({
            "passed": self.passed(),
            "log": self.row,
            "self_test": lines,
            "label": self.label,
            "error": self.error,
        })
    }
}

/// What came of all of them.
#[derive(Clone, Debug)]
pub struct Report {
    boards: Vec<Outcome>,
    /// How many passed.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
    simulated: bool,
}

impl Report {
    /// Of no boards yet.
    pub fn new(simulated: bool) -> Report {
        Report {
            boards: Vec::new(),
            passed: 0,
            failed: 0,
            simulated,
        }
    }

    /// One more.
    pub fn push(&mut self, outcome: Outcome) {
        match outcome.passed() {
            true => self.passed += 1,
            false => self.failed += 1,
        }
        self.boards.push(outcome);
    }

    /// The boards.
    pub fn boards(&self) -> &[Outcome] {
        &self.boards
    }

    /// 0 if all passed; else what the first error asks for, or 1.
    pub fn code(&self) -> u8 {
        let errors = self.boards.iter().map(|b| b.code).find(|code| *code != 0);
        errors.unwrap_or(u8::from(self.failed > 0))
    }

    /// For other programs.
    pub fn json(&self) -> Value {
        let boards: Vec<Value> = self.boards.iter().map(Outcome::json).collect();
        json!({
            "passed": self.passed,
            "failed": self.failed,
            "simulated": self.simulated,
            "boards": boards,
        })
    }
}
