//! What somebody may have meant.

/// The known word nearest to a misspelt one, if any is near enough to be worth saying.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
        // A third of the letters may be wrong; short words allow one.
        .filter(|(distance, k)| {
            *distance <= (k.chars().count().max(word.chars().count()) / 3).max(1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_mistakes_and_nothing_else() {
        let known = ["height", "profile", "unit_id", "via", "topic"];
        for (typed, meant) in [
            ("hieght", Some("height")),
            ("Height", Some("height")),
            ("profil", Some("profile")),
            ("unitid", Some("unit_id")),
            ("vai", Some("via")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }
}
