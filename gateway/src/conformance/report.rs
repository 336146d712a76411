//! What became of each clause, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    clause::Duty,
    exam::{Finding, Miss},
};

/// Every clause and what became of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where.
    pub target: String,
    /// As whom.
    pub station: String,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Whether every clause that must hold was seen to hold, or could not be tried.
    pub fn holds(&self) -> bool {
        self.failed(Duty::Must) == 0
    }

    /// Ids of the clauses that do not hold.
    pub fn failures(&self) -> Vec<&'static str> {
        self.findings
            .iter()
            .filter(|f| matches!(f.outcome, Err(Miss::Fails(_))))
            .map(|f| f.clause.id())
            .collect()
    }

    fn failed(&self, duty: Duty) -> usize {
        let fails =
            |f: &&Finding| f.clause.duty() == duty && matches!(f.outcome, Err(Miss::Fails(_)));
        self.findings.iter().filter(fails).count()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let clauses: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let (status, said) = status(finding);
                let clause = finding.clause;
                json!({
                    "clause": clause.id(),
                    "duty": clause.duty().word(),
                    "title": clause.title(),
                    "title_zh": clause.title_zh(),
                    "wants": clause.wants(),
                    "status": status,
                    "said": said,
                    "steps": finding.trail,
                })
            })
            .collect();
        json!({
            "contract": "v1",
            "target": self.target,
            "station": self.station,
            "holds": self.holds(),
            "clauses": clauses,
        })
    }

    /// The last lines for people.
    pub fn summary(&self) -> String {
        let count = |wanted: &str| {
            let is = |f: &&Finding| status(f).0 == wanted;
            self.findings.iter().filter(is).count()
        };
        let mut text = format!(
            "\n{} pass, {} fail, {} not offered, {} skipped\n",
            count("PASS"),
            count("FAIL"),
            count("NOT OFFERED"),
            count("SKIPPED")
        );
        let untried: Vec<&str> = self
            .findings
            .iter()
            .filter(|f| f.clause.duty() == Duty::Must && matches!(f.outcome, Err(Miss::Skipped(_))))
            .map(|f| f.clause.id())
            .collect();
        // Writing to a String cannot fail.
        let _ = match self.failed(Duty::Must) {
            0 => writeln!(
                text,
                "Every clause that must hold and could be tried holds. 必须条款（已测部分）全部符合。"
            ),
            n => writeln!(
                text,
                "{n} of the clauses that must hold do not. {n} 项必须条款不符合。"
            ),
        };
        if !untried.is_empty() {
            let _ = writeln!(text, "Not tried yet 尚未测试: {}", untried.join(", "));
        }
        text
    }
}

/// One clause for people: a line, and where it does not hold, what happened.
pub(super) fn lines(finding: &Finding) -> String {
    let clause = finding.clause;
    let (status, said) = status(finding);
    let mut text = format!(
        "{status:<12} {:<5} {:<7} {}  {}\n",
        clause.id(),
        clause.duty().word(),
        clause.title(),
        clause.title_zh()
    );
    if let Some(said) = said {
        let _ = writeln!(text, "             {said}");
    }
    if matches!(finding.outcome, Err(Miss::Fails(_))) {
        for step in &finding.trail {
            let _ = writeln!(text, "             sent   {}", step.sent);
            let _ = writeln!(text, "             came   {}", step.came);
        }
        let _ = writeln!(text, "             wanted {}", clause.wants());
    }
    text
}

fn status(finding: &Finding) -> (&'static str, Option<&str>) {
    match &finding.outcome {
        Ok(()) => ("PASS", None),
        Err(Miss::Fails(why)) => ("FAIL", Some(why)),
        Err(Miss::NotOffered(why)) => ("NOT OFFERED", Some(why)),
        Err(Miss::Skipped(why)) => ("SKIPPED", Some(why)),
    }
}
