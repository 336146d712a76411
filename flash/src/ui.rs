//! What is shown while it works.

use std::{cell::RefCell, fmt, io::Write, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    lang::Lang,
    selftest::{Finding, Verdict},
};

/// Where text goes, and in which language.
pub struct Ui {
    /// Language.
    pub lang: Lang,
    out: RefCell<Box<dyn Write>>,
}

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ui({:?})", self.lang)
    }
}

impl Ui {
    /// Text goes to `out`.
    pub fn new(lang: Lang, out: impl Write + 'static) -> Ui {
        Ui {
            lang,
            out: RefCell::new(Box::new(out)),
        }
    }

    /// One line of text. A reader that has gone is no reason to leave a board half written.
    pub fn say(&self, text: &str) {
        let _ = writeln!(self.out.borrow_mut(), "{text}");
    }

    /// Text in the language that was chosen.
    pub fn tell(&self, en: &str, zh: &str) {
        self.say(self.lang.of(en, zh));
    }

    /// A bar with percent, bytes and seconds; nothing where nobody watches.
    pub fn bar(&self, name: &str, total: usize) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let template = "  {msg:10} [{bar:30}] {percent:>3} %  {bytes}/{total_bytes}  {elapsed}";
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(name.to_owned());
        bar
    }

    /// A stage that ended.
    pub fn done(&self, name: &str, bytes: usize, took: Duration) {
        let name = pad(name, 10);
        self.say(&format!(
            "  {name} {bytes:7} B  {:5.1} s",
            took.as_secs_f32()
        ));
    }

    /// A line of the self-test, with what to do if it did not pass.
    pub fn finding(&self, finding: &Finding) {
        let verdict = match finding.verdict {
            Verdict::Pass => self.lang.of("ok", "通过"),
            Verdict::Attention => self.lang.of("look", "注意"),
            Verdict::Fail => self.lang.of("FAIL", "失败"),
        };
        self.say(&format!(
            "  {} {} {} ({})",
            pad(verdict, 5),
            pad(finding.check.name(self.lang), 16),
            pad(&finding.value, 16),
            finding.expected
        ));
        if finding.verdict != Verdict::Pass {
            self.say(&format!("        -> {}", finding.check.advice(self.lang)));
        }
    }
}

/// Fills text up to a width; Chinese characters are two columns wide.
fn pad(text: &str, width: usize) -> String {
    let columns: usize = text
        .chars()
        .map(|letter| if letter >= '\u{2E80}' { 2 } else { 1 })
        .sum();
    let spaces = " ".repeat(width.saturating_sub(columns));
    format!("{text}{spaces}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_in_both_languages() {
        assert_eq!(pad("ok", 5), "ok   ");
        assert_eq!(pad("通过", 5), "通过 ");
        assert_eq!(pad("longer than that", 5), "longer than that");
    }
}
