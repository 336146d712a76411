//! Event codes built by a profile's template.

use thiserror::Error;

/// Digits that a sequence number may have; deployed platforms use five to seven.
pub const SEQUENCE_DIGITS: std::ops::RangeInclusive<usize> = 1..=9;

/// A template such as `{division}{class}{subclass}{sequence:6}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The first six digits of the unit grid (GB/T 2260).
    Division,
    Class,
    /// 中类, between class and subclass.
    Middle,
    Subclass,
    Sequence(usize),
}

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error(
        "event_code: a brace has no partner; write {{division}}, {{class}}, {{subclass}} or {{sequence:6}}"
    )]
    Brace,
    /// A name that means nothing.
    #[error(
        "event_code: {{{0}}} is unknown; use division, class, middle, subclass or sequence:N (N from 1 to 9)"
    )]
    Unknown(String),
    /// Two sequence numbers.
    #[error("event_code: only one {{sequence:N}} can be used")]
    Sequences,
}

/// A code, and the number it used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The finished code.
    pub text: String,
    /// Series (the code without its number) and number, where the template counts.
    pub series: Option<(String, u64)>,
}

impl CodeTemplate {
    /// Reads a template; an empty one makes no codes.
    pub fn parse(text: &str) -> Result<CodeTemplate, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, after) = rest.split_at(open);
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            let (name, after) = after
                .strip_prefix('{')
                .and_then(|a| a.split_once('}'))
                .ok_or(TemplateError::Brace)?;
            parts.push(match name {
                "division" => Part::Division,
                "class" => Part::Class,
                "middle" => Part::Middle,
                "subclass" => Part::Subclass,
                _ => name
                    .strip_prefix("sequence:")
                    .and_then(|n| n.parse().ok())
                    .filter(|n| SEQUENCE_DIGITS.contains(n))
                    .map(Part::Sequence)
                    .ok_or_else(|| TemplateError::Unknown(name.into()))?,
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        let sequences = parts.iter().filter(|p| matches!(p, Part::Sequence(_)));
        if sequences.count() > 1 {
            return Err(TemplateError::Sequences);
        }
        Ok(CodeTemplate { parts })
    }

    /// Whether it has a 中类 in it.
    pub fn has_middle(&self) -> bool {
        self.parts.contains(&Part::Middle)
    }

    /// The code of one event; `last` gives the number that a series used last. After all
    /// digits are nines the series starts again at 1. `None` if the template is empty.
    pub fn code(
        &self,
        unit_grid: &str,
        [class, middle, subclass]: [&str; 3],
        last: impl Fn(&str) -> Option<u64>,
    ) -> Option<Code> {
        if self.parts.is_empty() {
            return None;
        }
        let write = |sequence: Option<u64>| -> String {
            self.parts
                .iter()
                .map(|part| match part {
                    Part::Literal(text) => text.clone(),
                    Part::Division => unit_grid.chars().take(6).collect(),
                    Part::Class => class.into(),
                    Part::Middle => middle.into(),
                    Part::Subclass => subclass.into(),
                    Part::Sequence(width) => {
                        sequence.map_or(String::new(), |n| format!("{n:0width$}"))
                    }
                })
                .collect()
        };
        let series = write(None);
        let width = self.parts.iter().find_map(|part| match part {
            Part::Sequence(width) => Some(*width),
            _ => None,
        });
        let Some(width) = width else {
            return Some(Code {
                text: series,
                series: None,
            });
        };
        let end = 10_u64.pow(width as u32);
        let number = match last(&series) {
            Some(n) if n + 1 < end => n + 1,
            _ => 1,
        };
        Some(Code {
            text: write(Some(number)),
            series: Some((series, number)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: &str = "530102001002001";

    #[test]
    fn templates_make_codes() {
        let classic = CodeTemplate::parse("{division}{class}{subclass}").unwrap();
        let code = classic.code(GRID, ["01", "", "02"], |_| None).unwrap();
        assert_eq!(code.text, "5301020102");
        assert_eq!(code.series, None);
        let newer = CodeTemplate::parse("{division}{class}-{subclass}{sequence:5}").unwrap();
        for (last, text, number) in [
            (None, "53010201-08000001", 1),
            (Some(41), "53010201-08000042", 42),
            (Some(99_998), "53010201-08099999", 99_999),
            (Some(99_999), "53010201-08000001", 1),
            (Some(u64::MAX - 1), "53010201-08000001", 1),
        ] {
            let code = newer
                .code(GRID, ["01", "", "080"], |series| {
                    assert_eq!(series, "53010201-080");
                    last
                })
                .unwrap();
            assert_eq!(code.text, text);
            assert_eq!(code.series, Some(("53010201-080".into(), number)));
        }
        // The shapes that deployed platforms have: 16 = 6+2+2+6, 16 = 6+2+3+5, 18 = 6+2+2+2+6.
        for (template, words, text) in [
            (
                "{division}{class}{subclass}{sequence:6}",
                ["01", "", "02"],
                "5301020102000007",
            ),
            (
                "{division}{class}{subclass}{sequence:5}",
                ["01", "", "080"],
                "5301020108000007",
            ),
            (
                "{division}{class}{middle}{subclass}{sequence:6}",
                ["01", "03", "02"],
                "530102010302000007",
            ),
        ] {
            let template = CodeTemplate::parse(template).unwrap();
            let code = template.code(GRID, words, |_| Some(6)).unwrap();
            assert_eq!(code.text, text);
        }
        let none = CodeTemplate::parse("").unwrap();
        assert_eq!(none.code(GRID, ["01", "", "02"], |_| None), None);
    }

    #[test]
    fn wrong_templates_are_refused() {
        for text in ["{class", "class}", "{class}}", "{{class}", "{"] {
            assert!(CodeTemplate::parse(text).is_err(), "{text}");
        }
        for text in [
            "{}",
            "{klass}",
            "{sequence}",
            "{sequence:0}",
            "{sequence:10}",
            "{sequence:x}",
        ] {
            let name = &text[1..text.len() - 1];
            assert_eq!(
                CodeTemplate::parse(text),
                Err(TemplateError::Unknown(name.into())),
                "{text}"
            );
        }
        assert_eq!(
            CodeTemplate::parse("{sequence:2}{sequence:3}"),
            Err(TemplateError::Sequences)
        );
    }
}
