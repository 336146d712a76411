//! What the line to a platform can bear: pieces, thumbnails, windows, a budget.

use super::{At, Checker, calendar};
use crate::{
    calendar::{Calendar, Hours, Windows},
    config::{
        Station, limits,
        line::{self, Budget, Line, Period, Pictures},
        raw::{RawPictures, RawUplink},
        units,
    },
};

/// Where the days of windows come from.
#[derive(Clone, Copy)]
pub(super) struct Local<'s> {
    pub station: &'s Station,
    pub days: &'s std::sync::Arc<crate::calendar::Days>,
}

pub(super) fn line(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawUplink,
    local: Local<'_>,
    is_border: bool,
) -> Line {
    if is_border && raw.chunk.is_some() {
        cx.warn(
            at.key("chunk"),
            "pictures go whole where the broker is the border: nobody answers about pieces",
            "leave `chunk` out, or deliver by receipt",
        );
    }
    let pictures = match raw.pictures {
        None | Some(RawPictures::Full) => Pictures::Full,
        Some(RawPictures::ThumbnailFirst) => Pictures::ThumbnailFirst,
        Some(RawPictures::ThumbnailOnly) => Pictures::ThumbnailOnly,
    };
    if is_border && pictures == Pictures::ThumbnailOnly {
        cx.warn(
            at.key("pictures"),
            "nobody can ask for a picture where the broker is the border",
            "use `thumbnail-first`, or deliver by receipt",
        );
    }
    let windows = raw.windows.as_ref().map(|texts| {
        let windows = calendar::windows(cx, at.key("windows"), texts);
        Calendar {
            place: at.last_key().into(),
            hours: Hours {
                windows: Windows::Allowed(windows),
                ..Hours::default()
            },
            days: local.days.clone(),
            permits: Vec::new(),
            time_zone: local.station.time_zone.clone(),
        }
    });
    let budget = raw
        .budget
        .as_ref()
        .and_then(|text| budget(cx, at.key("budget"), text));
    if budget.is_some() && pictures == Pictures::Full {
        cx.warn(
            at.key("budget"),
            "a whole picture goes with each alert, also when the budget is spent",
            "set `pictures = \"thumbnail-first\"`",
        );
    }
    Line {
        chunk: cx.size(
            at.key("chunk"),
            raw.chunk.as_ref(),
            line::CHUNK,
            &limits::CHUNK,
        ),
        pictures,
        budget,
        windows,
        time_zone: local.station.time_zone.clone(),
    }
}

/// `200MiB/month`, `5MiB/day`.
fn budget(cx: &mut Checker<'_, '_>, at: At<'_>, text: &str) -> Option<Budget> {
    let help = "for example \"200MiB/month\" or \"5MiB/day\"";
    let Some((size, per)) = text.split_once('/') else {
        let message = format!("`budget` is \"{text}\": it does not say for how long");
        cx.error(at, message, help);
        return None;
    };
    let per = match per {
        "day" => Period::Day,
        "month" => Period::Month,
        other => {
            let message = format!("`budget` is \"{text}\": there is no time \"{other}\"");
            cx.error(at, message, help);
            return None;
        }
    };
    let bytes = cx.quantity(at, size, units::size, units::show_size, &limits::BUDGET)?;
    Some(Budget { bytes, per })
}
