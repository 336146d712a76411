//! Columns that line up, Chinese included.

use crate::width::text_columns;

/// Writes rows under each other.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            let width = text_columns(cell);
            match widths.get_mut(i) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (cell, width) in row.iter().zip(&widths) {
            let pad = width.saturating_sub(text_columns(cell)) + 2;
            line.push_str(cell);
            line.push_str(&" ".repeat(pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_and_english_line_up() {
        let rows = [["来源", "12"], ["field", "7"]].map(|r| r.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "  来源   12\n  field  7\n");
    }
}
