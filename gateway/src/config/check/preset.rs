//! What zones look for, in everyday words.

use std::collections::BTreeSet;

use super::{At, Checker, Seen};

/// An everyday word, the labels that it stands for (COCO's), and whether anything new that
/// stays belongs to it too.
struct Preset {
    word: &'static str,
    labels: &'static [&'static str],
    objects: bool,
}

/// Electric scooters, the usual non-motor vehicle, are `motorcycle` to COCO's models. Boxes and
/// material have no label, so static change stands for them.
const PRESETS: &[Preset] = &[
    Preset {
        word: "vehicle",
        labels: &["car", "bus", "truck"],
        objects: false,
    },
    Preset {
        word: "nonmotor",
        labels: &["bicycle", "motorcycle"],
        objects: false,
    },
    Preset {
        word: "stall",
        labels: &["chair", "dining table", "umbrella", "bench", "suitcase"],
        objects: true,
    },
    Preset {
        word: "pile",
        labels: &[],
        objects: true,
    },
    Preset {
        word: "people",
        labels: &["person"],
        objects: false,
    },
];

/// What the words of a zone come to.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) labels: Vec<String>,
    pub(super) objects: bool,
}

/// Expands words to labels; of these the model's own, if it is known.
pub(super) fn expand(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    words: &[String],
    known: Option<&BTreeSet<String>>,
) -> Wanted {
    let mut wanted = Wanted::default();
    let mut seen = Seen::new();
    for (i, word) in words.iter().enumerate() {
        let at = at.index(i);
        cx.unique(&mut seen, at, "word", word);
        let Some(preset) = PRESETS.iter().find(|p| p.word == word) else {
            let all = PRESETS.iter().map(|p| p.word);
            cx.unknown(at, "kind of thing", word, all, "");
            continue;
        };
        let has = |label: &&&str| known.is_none_or(|known| known.contains(**label));
        let labels: Vec<_> = preset.labels.iter().filter(has).collect();
        if labels.is_empty() && !preset.objects {
            let message = format!("the model has no label for \"{word}\"");
            let help = format!("it stands for {}", preset.labels.join(", "));
            cx.error(at, message, help);
        }
        for label in labels {
            if !wanted.labels.iter().any(|l| l == label) {
                wanted.labels.push((*label).to_owned());
            }
        }
        wanted.objects |= preset.objects;
    }
    wanted
}
