//! Counting what libtest prints.

use std::fmt;

/// What a suite's output says so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that ran and held.
    pub passed: u64,
    /// Tests that ran and did not, or could not be run.
    pub failed: u64,
    /// Why tests did not run; they count as neither.
    pub skipped: Vec<String>,
    section: Section,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Tests,
    /// What passing tests said.
    Successes,
    /// What failing tests said.
    Failures,
}

impl Tally {
    /// Takes one line of output; true when a reader should see it.
    pub fn read(&mut self, line: &str) -> bool {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.section = Section::Tests;
            self.passed += count(counts, " passed");
            self.failed += count(counts, " failed");
            return true;
        }
        match line {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Failures,
            _ => {}
        }
        if self.section == Section::Successes
            && let Some(reason) = line.strip_prefix("skipped: ")
        {
            self.skipped.push(reason.to_owned());
        }
        if let Some(ignored) = line
            .strip_prefix("test ")
            .filter(|l| l.contains(" ... ignored"))
        {
            self.skipped.push(ignored.to_owned());
        }
        self.section != Section::Successes && !line.is_empty()
    }

    /// The suite's command ended.
    pub fn end(&mut self, suite: &str, success: bool) {
        // A skipped test returns early, which libtest calls a success.
        let early = self
            .skipped
            .iter()
            .filter(|s| !s.contains(" ... ignored"))
            .count();
        self.passed = self.passed.saturating_sub(early as u64);
        if !success && self.failed == 0 {
            eprintln!("{suite}: could not be built or ended before its tests did");
            self.failed = 1;
        }
    }

    /// Adds another suite's.
    pub fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped.iter().cloned());
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped.len() {
            0 => Ok(()),
            n => write!(f, ", {n} skipped"),
        }
    }
}

/// The number before `what` in `ok. 3 passed; 1 failed; …`.
fn count(line: &str, what: &str) -> u64 {
    line.split(';')
        .find_map(|part| part.strip_suffix(what))
        .and_then(|part| part.rsplit(' ').next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str, success: bool) -> Tally {
        let mut tally = Tally::default();
        for line in output.lines() {
            tally.read(line);
        }
        tally.end("unit", success);
        tally
    }

    #[test]
    fn counts_over_several_binaries() {
        let output = "test a ... ok\n\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
        let tally = tally(output, false);
        assert_eq!((tally.passed, tally.failed), (4, 2));
    }

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        let output = "test a ... ok\ntest b ... ignored, slow\n\nsuccesses:\n\n---- a stdout ----\nskipped: no picodet model\n\n\
            successes:\n    a\n\ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n";
        let tally = tally(output, true);
        assert_eq!((tally.passed, tally.failed, tally.skipped.len()), (0, 0, 2));
    }

    #[test]
    fn what_cannot_be_built_has_failed() {
        assert_eq!(tally("", false).failed, 1);
    }

    #[test]
    fn only_what_failing_tests_said_is_shown() {
        let mut tally = Tally::default();
        assert!(tally.read("test a ... ok"));
        assert!(!tally.read("successes:"));
        assert!(!tally.read("chatter"));
        assert!(tally.read("failures:"));
        assert!(tally.read("the reason"));
    }
}
