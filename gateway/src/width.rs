//! How wide text is in a terminal.

/// Columns that a character takes in a terminal: Chinese takes two.
pub(crate) fn columns(c: char) -> usize {
    match c as u32 {
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x3fffd => 2,
        _ => 1,
    }
}

/// Columns that a text takes.
pub(crate) fn text_columns(text: &str) -> usize {
    text.chars().map(columns).sum()
}
