//! English and Chinese.

use std::env;

/// The language that the tool speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// 中文。
    Zh,
}

impl Lang {
    /// What the environment asks for: `LC_ALL`, `LC_MESSAGES`, `LANG`, the first that is set.
    pub fn of_environment() -> Lang {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(|name| env::var(name).ok())
            .find(|value| !value.is_empty());
        Lang::of_locale(&set.unwrap_or_default())
    }

    fn of_locale(locale: &str) -> Lang {
        match locale.starts_with("zh") {
            true => Lang::Zh,
            false => Lang::En,
        }
    }

    /// One of two texts.
    pub fn of<T>(self, en: T, zh: T) -> T {
        match self {
            Lang::En => en,
            Lang::Zh => zh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_its_language() {
        for (locale, lang) in [
            ("zh_CN.UTF-8", Lang::Zh),
            ("zh", Lang::Zh),
            ("en_GB.UTF-8", Lang::En),
            ("C", Lang::En),
            ("", Lang::En),
        ] {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
    }
}
