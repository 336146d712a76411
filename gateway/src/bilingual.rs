//! What people are told, in Chinese and in English.

use std::fmt::Display;

use wangge_protocol::Text;

/// Says the same in both languages. `Display` is the English, and what logs have.
pub trait Bilingual: Display {
    /// The Chinese. What comes from outside, an address, a status or the system's own words,
    /// stands in it as it is.
    fn zh(&self) -> String;

    /// Both.
    fn told(&self) -> Text {
        text(self.zh(), self.to_string())
    }
}

/// The same sentence in two languages.
pub fn text(zh: impl Into<String>, en: impl Into<String>) -> Text {
    Text {
        zh: zh.into(),
        en: en.into(),
    }
}

/// Whether any of it is Chinese.
#[cfg(test)]
pub fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

/// Fails for a sentence that says in one language what it should say in the other. Nothing in it
/// may come from outside in Chinese.
#[cfg(test)]
pub fn assert_bilingual<T: Bilingual>(all: impl IntoIterator<Item = T>) {
    for said in all {
        let Text { zh, en } = said.told();
        assert!(is_chinese(&zh) && !zh.contains(&en), "{zh:?} for {en:?}");
        assert!(!en.is_empty() && !is_chinese(&en), "{en:?}");
    }
}
