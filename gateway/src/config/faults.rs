//! What is wrong with a file, printed the way a compiler does.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::width::columns;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The file cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub level: Level,
    /// File, or what else the text came from.
    pub file: Arc<str>,
    /// From 1; 0 when the fault is about the file as a whole.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Key path, e.g. `device[3].height`; empty for faults of syntax.
    pub key: String,
    /// One sentence.
    pub message: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line itself, for the picture with the caret.
    #[serde(skip)]
    pub(super) source_line: String,
    /// Characters to underline.
    #[serde(skip)]
    pub(super) width: usize,
}

impl Fault {
    /// A fault of the file as a whole.
    pub(super) fn of_file(file: &str, message: String, help: Option<String>) -> Self {
        Fault {
            level: Level::Error,
            file: file.into(),
            line: 0,
            column: 0,
            key: String::new(),
            message,
            help,
            source_line: String::new(),
            width: 0,
        }
    }
}

/// Long lines are cut around the fault, so that the caret stays visible.
const SHOWN_CHARS: usize = 100;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        writeln!(f, "{word}: {}", self.message)?;
        if self.line == 0 {
            writeln!(f, " --> {}", self.file)?;
        } else {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "{margin}--> {}:{}:{}", self.file, self.line, self.column)?;
            if !self.key.is_empty() {
                write!(f, " ({})", self.key)?;
            }
            writeln!(f)?;
            let chars: Vec<char> = self.source_line.chars().collect();
            let at = self.column.saturating_sub(1).min(chars.len());
            let from = at.saturating_sub(SHOWN_CHARS / 2);
            let to = chars.len().min(from + SHOWN_CHARS);
            let (before, rest) = (&chars[from..at], &chars[at..to]);
            let shown: String = chars[from..to].iter().collect();
            // A tab stays a tab, so that the caret lands under its character.
            let pad: String = before
                .iter()
                .map(|&c| match c {
                    '\t' => "\t".to_owned(),
                    c => " ".repeat(columns(c)),
                })
                .collect();
            let carets: usize = rest
                .iter()
                .take(self.width.max(1))
                .map(|&c| columns(c))
                .sum();
            writeln!(f, "{margin} |")?;
            writeln!(f, "{number} | {shown}")?;
            writeln!(f, "{margin} | {pad}{}", "^".repeat(carets.max(1)))?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "help: {help}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// Every fault and warning.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Those that make the file unusable.
    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter(|f| f.level == Level::Error)
    }

    /// Those that do not.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter(|f| f.level == Level::Warning)
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// In the order in which a person meets them: by file, then by place.
    pub(super) fn sort(&mut self) {
        self.0
            .sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        self.0.dedup();
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{fault}")?;
        }
        let (errors, warnings) = (self.errors().count(), self.warnings().count());
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        match (errors, warnings) {
            (0, 0) => Ok(()),
            (e, 0) => write!(f, "{}", plural(e, "error")),
            (0, w) => write!(f, "{}", plural(w, "warning")),
            (e, w) => write!(f, "{}, {}", plural(e, "error"), plural(w, "warning")),
        }
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(source_line: &str, column: usize, width: usize) -> Fault {
        Fault {
            level: Level::Error,
            file: "station.toml".into(),
            line: 7,
            column,
            key: "station.lon".into(),
            message: "the longitude is 181".into(),
            help: Some("for example `lon = 102.7`".into()),
            source_line: source_line.into(),
            width,
        }
    }

    #[test]
    fn shows_the_line_with_a_caret_under_the_value() {
        let text = fault("lon = 181", 7, 3).to_string();
        assert_eq!(
            text,
            "error: the longitude is 181\n --> station.toml:7:7 (station.lon)\n  |\n7 | lon = 181\n  |       ^^^\nhelp: for example `lon = 102.7`\n"
        );
    }

    #[test]
    fn caret_stands_right_after_chinese_and_tabs() {
        let text = fault("\tname = \"五华区\", lon = 181", 22, 3).to_string();
        let caret_line = text
            .lines()
            .find(|l| l.ends_with("^^^"))
            .expect("a caret line");
        // Tab, then 17 narrow characters and 3 wide ones before the value.
        assert_eq!(caret_line, format!("  | \t{}^^^", " ".repeat(17 + 6)));
    }

    #[test]
    fn long_lines_are_cut_around_the_fault() {
        let long = format!("{}181{}", "x".repeat(5_000), "y".repeat(5_000));
        let text = fault(&long, 5_001, 3).to_string();
        assert!(text.contains("181"));
        assert!(text.lines().all(|l| l.chars().count() < 120), "{text}");
    }

    #[test]
    fn a_place_beyond_the_line_does_not_panic() {
        let _ = fault("", 40, 9).to_string();
    }

    #[test]
    fn counts_errors_and_warnings() {
        let mut faults = Faults::default();
        faults.push(fault("lon = 181", 7, 3));
        let mut warning = fault("lon = 181", 7, 3);
        warning.level = Level::Warning;
        faults.push(warning);
        assert!(faults.to_string().ends_with("1 error, 1 warning"));
    }
}
