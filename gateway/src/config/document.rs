//! A TOML text with the place of everything in it.

use std::{collections::HashSet, fmt, ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::faults::{Fault, Faults, Level};

pub(super) type Table<'a> = DeTable<'a>;

/// A key path, as a chain of borrowed steps, so that checking ten thousand devices allocates
/// nothing for the paths that are fine.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> At<'a> {
        At::Key(self, key)
    }

    pub(super) fn index(&'a self, index: usize) -> At<'a> {
        At::Index(self, index)
    }

    /// The last key, for sentences like "for example `height = …`".
    pub(super) fn last_key(&self) -> &str {
        match self {
            At::Root => "",
            At::Key(_, key) => key,
            At::Index(up, _) => up.last_key(),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Key(At::Root, key) => write!(f, "{key}"),
            At::Key(up, key) => write!(f, "{up}.{key}"),
            // People count from one.
            At::Index(up, index) => write!(f, "{up}[{}]", index + 1),
        }
    }
}

/// A parsed text; `root` loses what the shape check found wrong, so the rest can be typed.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    origin: Arc<str>,
    line_starts: Vec<usize>,
    /// Key paths at which something was wrong and has been taken out.
    removed: HashSet<String>,
    pub(super) root: Spanned<DeTable<'a>>,
}

impl<'a> Document<'a> {
    /// First 16 hex digits of the text's SHA-256.
    pub(super) fn hash(&self) -> String {
        let mut hash = crate::proof::message::sha256(self.text.as_bytes());
        hash.truncate(16);
        hash
    }

    /// Parses; every fault of syntax is reported, and what could be read is kept.
    pub(super) fn parse(text: &'a str, origin: &str, faults: &mut Faults) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Document {
            text,
            origin: origin.into(),
            line_starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(i, _)| i + 1))
                .collect(),
            removed: HashSet::new(),
            root,
        };
        let mut last_line = 0;
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let line = document.line_of(span.start);
            // After one fault in a line the parser is guessing.
            if line == last_line {
                continue;
            }
            last_line = line;
            let message = format!("this is not TOML: {}", error.message());
            faults.push(document.fault_in(span, String::new(), message, None, Level::Error));
        }
        document
    }

    /// 1-based line of a byte.
    fn line_of(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= byte)
    }

    pub(super) fn fault_in(
        &self,
        span: Range<usize>,
        key: String,
        message: String,
        help: Option<String>,
        level: Level,
    ) -> Fault {
        let line = self.line_of(span.start);
        let start = self
            .line_starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or("");
        let source_line = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        let chars = |range: Range<usize>| self.text.get(range).map_or(0, |s| s.chars().count());
        let line_end = start + source_line.len();
        Fault {
            level,
            file: self.origin.clone(),
            line,
            column: chars(start..span.start) + 1,
            key,
            message,
            help,
            source_line: masked(source_line),
            width: chars(span.start..span.end.min(line_end)).max(1),
        }
    }

    /// A fault at a key path; where the path leads nowhere, at the nearest table above.
    pub(super) fn fault_at(
        &self,
        at: At<'_>,
        message: String,
        help: Option<String>,
        level: Level,
    ) -> Fault {
        self.fault_in(self.span(at), at.to_string(), message, help, level)
    }

    /// 1-based line of what stands at a key path.
    pub(super) fn line(&self, at: At<'_>) -> usize {
        self.line_of(self.span(at).start)
    }

    /// Whether something was taken out here, so that its absence is no second fault.
    pub(super) fn removed(&self, at: At<'_>) -> bool {
        !self.removed.is_empty() && self.removed.contains(&at.to_string())
    }

    pub(super) fn mark_removed(&mut self, paths: HashSet<String>) {
        self.removed = paths;
    }

    /// Whether something stands at exactly this key path.
    pub(super) fn has(&self, at: At<'_>) -> bool {
        self.value(at).is_some()
    }

    /// The text that stands at a key path.
    pub(super) fn text_at(&self, at: At<'_>) -> Option<&str> {
        self.value(at)?.get_ref().as_str()
    }

    fn span(&self, at: At<'_>) -> Range<usize> {
        match at {
            At::Root => 0..0,
            At::Key(up, _) | At::Index(up, _) => match self.value(at) {
                Some(value) => value.span(),
                None => self.span(*up),
            },
        }
    }

    fn value(&self, at: At<'_>) -> Option<&Spanned<DeValue<'a>>> {
        match at {
            At::Root => None,
            At::Key(At::Root, key) => get(self.root.get_ref(), key),
            At::Key(up, key) => get(self.value(*up)?.get_ref().as_table()?, key),
            At::Index(up, index) => self.value(*up)?.get_ref().as_array()?.get(index),
        }
    }
}

/// A line as it may be shown: faults go to logs, and passwords must not. The length stays, so that
/// the caret stands right.
fn masked(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    // A key with such a word in it; `password_file = "…"` names a file, which helps to see.
    let is_key = |at: &usize| {
        let word = lower.get(*at..).unwrap_or_default();
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        let (word, after) = word.split_at(end.unwrap_or(word.len()));
        after.trim_start().starts_with('=') && !word.contains("_file")
    };
    let secret = ["passw", "token", "secret"]
        .into_iter()
        .flat_map(|word| lower.match_indices(word).map(|(at, _)| at))
        .filter(is_key)
        .min();
    let mut shown = String::with_capacity(line.len());
    let mut quote = None;
    for (i, c) in line.char_indices() {
        let after_secret = secret.is_some_and(|at| i > at);
        match quote {
            Some(end) if c == end => {
                quote = None;
                shown.push(c);
            }
            Some(_) if after_secret => shown.push('*'),
            Some(_) => shown.push(c),
            None => {
                if matches!(c, '"' | '\'') {
                    quote = Some(c);
                }
                shown.push(c);
            }
        }
    }
    // User and password in a URL.
    if let Some((before, rest)) = shown.split_once("://")
        && let Some((user, after)) = rest.rsplit_once('@')
    {
        let stars = "*".repeat(user.chars().count());
        shown = format!("{before}://{stars}@{after}");
    }
    shown
}

fn get<'t, 'a>(table: &'t DeTable<'a>, key: &str) -> Option<&'t Spanned<DeValue<'a>>> {
    table.get(key)
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn passwords_are_not_shown() {
        for (line, shown) in [
            ("password = \"hunter2\"", "password = \"*******\""),
            ("passwrd = 'hunter2'", "passwrd = '*******'"),
            (
                "x = { name = \"a\", password = \"b c\" }",
                "x = { name = \"a\", password = \"***\" }",
            ),
            ("password = \"hunter2", "password = \"*******"),
            ("api_token = \"abc\"", "api_token = \"***\""),
            (
                "password_file = \"secrets/a\"",
                "password_file = \"secrets/a\"",
            ),
            (
                "url = \"rtsp://u:p@1.2.3.4/\"",
                "url = \"rtsp://***@1.2.3.4/\"",
            ),
            ("url = \"rtsp://u:p@q@h/\"", "url = \"rtsp://*****@h/\""),
            ("name = \"五华区\"", "name = \"五华区\""),
        ] {
            assert_eq!(masked(line), shown);
            assert_eq!(masked(line).chars().count(), line.chars().count());
        }
    }
}
