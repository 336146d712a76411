//! The results as people read them.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use anyhow::{Result, ensure};

use super::{
    FALSE_PER_DAY, FALSE_PER_TEN, FLOOR,
    judge::{Found, Outcome, State},
    play::Played,
    scenario::What,
};

/// Sums over scenarios.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    scenarios: usize,
    seconds: f64,
    events: usize,
    found: usize,
    wrong: usize,
    judged: usize,
    attributed: usize,
}

impl Sum {
    fn of<'p>(played: impl Iterator<Item = &'p Played>) -> Sum {
        played.fold(Sum::default(), |mut sum, one| {
            let judged = one.outcome.found.iter().filter_map(|f| f.attribution);
            sum.scenarios += 1;
            sum.seconds += one.seconds;
            sum.events += one.outcome.events();
            sum.found += one.outcome.found.len();
            sum.wrong += one.outcome.wrong.len();
            sum.judged += judged.clone().count();
            sum.attributed += judged.filter(|right| *right).count();
            sum
        })
    }
}

/// False alarms per camera-day: the estimate and the upper end of what it may be, at 95 %.
///
/// The upper end is Poisson's: with none seen, three are possible.
fn per_day(alarms: usize, seconds: f64) -> (f64, f64) {
    let days = seconds / 86_400.0;
    (alarms as f64 / days, poisson_upper(alarms) / days)
}

/// The mean at which so few events, or fewer, come with a probability of 5 %.
fn poisson_upper(events: usize) -> f64 {
    let at_most = |mean: f64| {
        let mut term = (-mean).exp();
        let mut sum = term;
        for k in 1..=events {
            term *= mean / k as f64;
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 10.0 + 3.0 * events as f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most(middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// One scenario in a line.
pub fn line(played: &Played) -> String {
    let outcome = &played.outcome;
    let mut line = format!(
        "{:28} {}/{} found, {} false, {:.0} s in {:.1} s",
        played.name,
        outcome.found.len(),
        outcome.events(),
        outcome.wrong.len(),
        played.seconds,
        played.took.as_secs_f64(),
    );
    for fault in faults(outcome) {
        let _ = write!(line, "\n    {fault}");
    }
    line
}

/// What was missed, false or said of the wrong one.
fn faults(outcome: &Outcome) -> Vec<String> {
    let missed = outcome
        .missed
        .iter()
        .map(|e| format!("missed: {}", asked(e)));
    let wrong = outcome.wrong.iter().map(|said| {
        let state = match said.state {
            State::Cleared => "end",
            State::Raised | State::Updated => "begin",
        };
        format!("false at {:.0} s ({state}): {}", said.at, said.text)
    });
    let actors = outcome
        .found
        .iter()
        .filter(|found| found.attribution == Some(false))
        .map(|found| {
            format!(
                "wrong actor: {}, told at {:.0} s",
                asked(&found.event),
                found.at
            )
        });
    missed.chain(wrong).chain(actors).collect()
}

fn asked(event: &super::scenario::Event) -> String {
    let about = event
        .zone
        .as_deref()
        .or(event.kind.as_deref())
        .unwrap_or("camera");
    let what = match event.what {
        What::Raised => "begin",
        What::Cleared => "end",
    };
    let actor = event
        .actor
        .as_deref()
        .map_or(String::new(), |a| format!(", actor {a}"));
    format!("{about} {what} {:.0}–{:.0} s{actor}", event.from, event.by)
}

/// All results.
pub struct Report<'p> {
    played: &'p [Played],
    skipped: &'p [String],
    took: Duration,
}

impl<'p> Report<'p> {
    pub fn new(played: &'p [Played], skipped: &'p [String], took: Duration) -> Self {
        Report {
            played,
            skipped,
            took,
        }
    }

    /// For the terminal.
    pub fn text(&self) -> String {
        let mut text = String::from("\n");
        for (name, sum) in self.sums() {
            let _ = writeln!(text, "{name:16} {}", sum_line(&sum));
        }
        if let Some(sentence) = self.quiet() {
            let _ = writeln!(text, "{sentence}");
        }
        for reason in self.skipped {
            let _ = writeln!(text, "skipped: {reason}");
        }
        let _ = writeln!(text, "replayed in {:.0} s", self.took.as_secs_f64());
        text
    }

    fn sums(&self) -> Vec<(String, Sum)> {
        let short = || self.played.iter().filter(|p| !p.quiet);
        let tags: BTreeSet<&str> = short()
            .flat_map(|p| p.tags.iter().map(String::as_str))
            .collect();
        let mut sums: Vec<_> = tags
            .into_iter()
            .map(|tag| {
                let tagged = short().filter(|p| p.tags.iter().any(|t| t == tag));
                (tag.to_owned(), Sum::of(tagged))
            })
            .collect();
        if short().next().is_some() {
            sums.push(("all".into(), Sum::of(short())));
        }
        sums
    }

    fn quiet(&self) -> Option<String> {
        let sum = Sum::of(self.played.iter().filter(|p| p.quiet));
        (sum.scenarios > 0).then(|| {
            let (rate, upper) = per_day(sum.wrong, sum.seconds);
            format!(
                "quiet hours: {} false alarms in {:.1} h: {rate:.1} per camera-day, below {upper:.1} with 95 % confidence",
                sum.wrong,
                sum.seconds / 3600.0,
            )
        })
    }

    /// For `docs/`: `origin` says what made it.
    pub fn markdown(&self, origin: &str) -> String {
        let mut text = format!(
            "{origin}\n\n| scenario | conditions | events found | time to alert, s | actor right | false |\n|---|---|---|---|---|---|\n"
        );
        for played in self.played {
            let outcome = &played.outcome;
            let delays: Vec<String> = outcome.found.iter().map(delay).collect();
            let sum = Sum::of(std::iter::once(played));
            let _ = writeln!(
                text,
                "| `{}`: {} | {} | {} | {} | {} | {} |",
                played.name,
                played.title,
                played.tags.join(", "),
                of(sum.found, sum.events),
                delays.join(", "),
                of(sum.attributed, sum.judged),
                sum.wrong,
            );
        }
        let sums = self.sums();
        if !sums.is_empty() {
            text.push_str("\n| conditions | scenarios | events found | actor right | false |\n|---|---|---|---|---|\n");
        }
        for (name, sum) in sums {
            let _ = writeln!(
                text,
                "| {name} | {} | {} | {} | {} |",
                sum.scenarios,
                of(sum.found, sum.events),
                of(sum.attributed, sum.judged),
                sum.wrong
            );
        }
        if let Some(sentence) = self.quiet() {
            let _ = writeln!(text, "\n{sentence}");
        }
        let faults: Vec<String> = self
            .played
            .iter()
            .flat_map(|played| {
                faults(&played.outcome)
                    .into_iter()
                    .map(|f| format!("- `{}`: {f}", played.name))
            })
            .collect();
        if !faults.is_empty() {
            let _ = writeln!(text, "\nWhere it went wrong:\n\n{}", faults.join("\n"));
        }
        for reason in self.skipped {
            let _ = writeln!(text, "\nSkipped: {reason}");
        }
        text
    }

    /// Fails when the floor is not reached.
    ///
    /// # Errors
    /// Too few events found, or too many false alarms.
    pub fn judge(&self, quiet_hours: bool) -> Result<()> {
        if quiet_hours {
            let sum = Sum::of(self.played.iter());
            let (rate, _) = per_day(sum.wrong, sum.seconds);
            ensure!(
                rate <= FALSE_PER_DAY,
                "{rate:.1} false alarms per camera-day; at most {FALSE_PER_DAY} are allowed"
            );
            return Ok(());
        }
        let sum = Sum::of(self.played.iter());
        let share = sum.found as f64 / sum.events.max(1) as f64;
        ensure!(
            sum.events == 0 || share >= FLOOR,
            "{} of {} events found; at least {:.0} % are needed",
            sum.found,
            sum.events,
            FLOOR * 100.0
        );
        let most = (FALSE_PER_TEN * sum.scenarios as f64 / 10.0).ceil() as usize;
        ensure!(
            sum.wrong <= most,
            "{} false alarms in {} scenarios; at most {most} are allowed",
            sum.wrong,
            sum.scenarios
        );
        Ok(())
    }
}

fn delay(found: &Found) -> String {
    format!("{:.0}", found.at - found.event.from)
}

fn of(some: usize, all: usize) -> String {
    match all {
        0 => "–".into(),
        _ => format!("{some} of {all}"),
    }
}

fn sum_line(sum: &Sum) -> String {
    format!(
        "{:3} scenarios: {} events found, {} false, actor right in {}",
        sum.scenarios,
        of(sum.found, sum.events),
        sum.wrong,
        of(sum.attributed, sum.judged)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_is_poissons() {
        // Exact 95 % upper limits, e.g. Gehrels 1986, table 1.
        for (events, upper) in [(0, 2.996), (1, 4.744), (5, 10.51)] {
            assert!((poisson_upper(events) - upper).abs() < 0.01, "{events}");
        }
        let (rate, upper) = per_day(0, 8.0 * 3600.0);
        assert!(rate == 0.0 && (upper - 8.99).abs() < 0.01);
    }
}
