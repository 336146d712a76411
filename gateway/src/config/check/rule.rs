//! Rules: what a type needs, what it cannot use, and limits that could never be crossed.

use std::time::Duration;

use jiff::civil::Time;

use super::{At, Checker, limits, suggest};
use crate::{
    config::{
        Condition, Rule, Side,
        raw::{RawRule, RawRuleType, RawSide},
    },
    observation::Quantity,
};

/// Default for `update_every`.
pub(super) const UPDATE_EVERY: Duration = Duration::from_secs(600);

/// A profile's rule with a device's changes.
pub(super) fn merge(base: &RawRule, over: &RawRule) -> RawRule {
    let RawRule {
        id: _,
        enabled,
        kind,
        severity,
        rule_type: _,
        quantity,
        side,
        raise,
        clear,
        hold,
        per_minute,
        window,
        after,
        from,
        to,
        min_flow,
        flow,
        update_every,
    } = over.clone();
    RawRule {
        id: base.id.clone(),
        enabled: enabled.or(base.enabled),
        kind: kind.or(base.kind),
        severity: severity.or(base.severity),
        rule_type: base.rule_type,
        quantity: quantity.or(base.quantity),
        side: side.or(base.side),
        raise: raise.or(base.raise),
        clear: clear.or(base.clear),
        hold: hold.or_else(|| base.hold.clone()),
        per_minute: per_minute.or(base.per_minute),
        window: window.or_else(|| base.window.clone()),
        after: after.or_else(|| base.after.clone()),
        from: from.or_else(|| base.from.clone()),
        to: to.or_else(|| base.to.clone()),
        min_flow: min_flow.or(base.min_flow),
        flow: flow.or(base.flow),
        update_every: update_every.or_else(|| base.update_every.clone()),
    }
}

/// Fields that each type has, besides those of every rule.
fn fields(rule_type: RawRuleType) -> &'static [&'static str] {
    match rule_type {
        RawRuleType::Threshold => &["quantity", "side", "raise", "clear", "hold"],
        RawRuleType::Rate => &["quantity", "per_minute", "window"],
        RawRuleType::Absence => &["after"],
        RawRuleType::NightFlow => &["from", "to", "min_flow", "hold"],
        RawRuleType::Burst => &["flow", "hold"],
        RawRuleType::Health => &[],
    }
}

fn type_name(rule_type: RawRuleType) -> &'static str {
    match rule_type {
        RawRuleType::Threshold => "threshold",
        RawRuleType::Rate => "rate",
        RawRuleType::Absence => "absence",
        RawRuleType::NightFlow => "night_flow",
        RawRuleType::Burst => "burst",
        RawRuleType::Health => "health",
    }
}

fn written(raw: &RawRule) -> [(&'static str, bool); 11] {
    [
        ("quantity", raw.quantity.is_some()),
        ("side", raw.side.is_some()),
        ("raise", raw.raise.is_some()),
        ("clear", raw.clear.is_some()),
        ("hold", raw.hold.is_some()),
        ("per_minute", raw.per_minute.is_some()),
        ("window", raw.window.is_some()),
        ("after", raw.after.is_some()),
        ("from", raw.from.is_some()),
        ("to", raw.to.is_some()),
        ("min_flow", raw.min_flow.is_some()),
    ]
}

/// One rule; `None` if it is switched off or at fault. `quantities` is what the device measures,
/// where its profile says so.
pub(super) fn rule(
    cx: &mut Checker<'_, '_>,
    at: At<'_>,
    raw: &RawRule,
    quantities: Option<&[Quantity]>,
) -> Option<Rule> {
    let id = raw.id.clone()?;
    if !cx.id_text(at.key("id"), &id) {
        return None;
    }
    let Some(rule_type) = raw.rule_type else {
        if !cx.was_reported(at.key("type")) {
            cx.error(
                at,
                format!("rule \"{id}\" needs a `type`"),
                "for example `type = \"threshold\"`",
            );
        }
        return None;
    };
    let known = fields(rule_type);
    let name = type_name(rule_type);
    let others = written(raw)
        .into_iter()
        .chain([("flow", raw.flow.is_some())]);
    for (key, present) in others {
        if present && !known.contains(&key) {
            let message = format!("`{key}` does nothing in a rule of type {name}");
            let help = match suggest::nearest(key, known.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None if known.is_empty() => "remove it".to_owned(),
                None => format!("that type has {}", known.join(", ")),
            };
            cx.error(at.key(key), message, help);
        }
    }
    let kind = raw.kind;
    if kind.is_none() && !cx.was_reported(at.key("kind")) {
        cx.error(
            at,
            format!("rule \"{id}\" needs a `kind`"),
            "for example `kind = \"bin_overflow\"`",
        );
    }
    let when = Fields {
        cx,
        at,
        raw,
        name,
        quantities,
    }
    .condition(rule_type);
    let update_every = cx.duration(
        at.key("update_every"),
        raw.update_every.as_ref(),
        UPDATE_EVERY,
        &limits::UPDATE_EVERY,
    );
    let kind = kind?;
    let rule = Rule {
        id,
        kind,
        severity: raw.severity.unwrap_or(kind.default_severity()),
        when: when?,
        update_every,
    };
    raw.enabled.unwrap_or(true).then_some(rule)
}

struct Fields<'f, 'c, 'd> {
    cx: &'f mut Checker<'c, 'd>,
    at: At<'f>,
    raw: &'f RawRule,
    name: &'static str,
    quantities: Option<&'f [Quantity]>,
}

impl Fields<'_, '_, '_> {
    fn needed<T>(&mut self, key: &str, value: Option<T>, sample: &str) -> Option<T> {
        if value.is_none() && !self.cx.was_reported(self.at.key(key)) {
            let message = format!("a rule of type {} needs `{key}`", self.name);
            let help = format!("for example `{key} = {sample}`");
            self.cx.error(self.at, message, help);
        }
        value
    }

    fn condition(mut self, rule_type: RawRuleType) -> Option<Condition> {
        match rule_type {
            RawRuleType::Threshold => self.threshold(),
            RawRuleType::Rate => self.rate(),
            RawRuleType::Absence => {
                let after = self.needed("after", self.raw.after.as_ref(), "\"3h\"")?;
                let (low, at) = (*limits::ABSENCE.start(), self.at.key("after"));
                Some(Condition::Absence {
                    after: self.cx.duration(at, Some(after), low, &limits::ABSENCE),
                })
            }
            RawRuleType::NightFlow => self.night_flow(),
            RawRuleType::Burst => {
                self.measured(Quantity::Flow, "type");
                let flow = self.needed("flow", self.raw.flow, "20.0")?;
                self.positive("flow", flow);
                Some(Condition::Burst {
                    flow,
                    hold: self.hold(),
                })
            }
            RawRuleType::Health => Some(Condition::Health),
        }
    }

    fn threshold(&mut self) -> Option<Condition> {
        let quantity = self.quantity();
        let raise = self.needed("raise", self.raw.raise, "90.0");
        let clear = self.needed("clear", self.raw.clear, "80.0");
        let hold = self.hold();
        let (quantity, raise, clear) = (quantity?, raise?, clear?);
        self.within(quantity, "raise", raise);
        self.within(quantity, "clear", clear);
        let side = match self.raw.side {
            None | Some(RawSide::Above) => Side::Above,
            Some(RawSide::Below) => Side::Below,
        };
        let wrong = match side {
            Side::Above => clear >= raise,
            Side::Below => clear <= raise,
        };
        if wrong {
            let (word, other) = match side {
                Side::Above => ("below", "above"),
                Side::Below => ("above", "below"),
            };
            let message = format!(
                "the rule is raised {other} {raise}, so it must be cleared {word} that, not at {clear}"
            );
            // A device that only moves `raise` has to be told about the `clear` of its profile.
            let own_clear = self.cx.document.has(self.at.key("clear"));
            let key = if own_clear { "clear" } else { "raise" };
            let room = (raise * 0.1).abs().max(1.0).round();
            let example = match side {
                Side::Above => raise - room,
                Side::Below => raise + room,
            };
            let help = format!(
                "for example `clear = {example:?}`; some room keeps the alert from coming and \
                 going with every reading"
            );
            self.cx.error(self.at.key(key), message, help);
        }
        Some(Condition::Threshold {
            quantity,
            side,
            raise,
            clear,
            hold,
        })
    }

    fn rate(&mut self) -> Option<Condition> {
        let quantity = self.quantity();
        let per_minute = self.needed("per_minute", self.raw.per_minute, "10.0");
        let window = self.needed("window", self.raw.window.as_ref(), "\"2m\"");
        let (quantity, per_minute, window) = (quantity?, per_minute?, window?);
        if per_minute == 0.0 {
            let message = "a change of 0 a minute is always reached";
            self.cx.error(
                self.at.key("per_minute"),
                message,
                "positive for a rise, negative for a fall",
            );
        }
        let (low, at) = (*limits::RATE_WINDOW.start(), self.at.key("window"));
        Some(Condition::Rate {
            quantity,
            per_minute,
            window: self
                .cx
                .duration(at, Some(window), low, &limits::RATE_WINDOW),
        })
    }

    fn night_flow(&mut self) -> Option<Condition> {
        self.measured(Quantity::Flow, "type");
        let from = self.needed("from", self.raw.from.as_ref(), "\"02:00\"");
        let to = self.needed("to", self.raw.to.as_ref(), "\"05:00\"");
        let min_flow = self.needed("min_flow", self.raw.min_flow, "0.05");
        let hold = self.needed("hold", self.raw.hold.as_ref(), "\"2h\"");
        let from = from.and_then(|text| self.time("from", text));
        let to = to.and_then(|text| self.time("to", text));
        let (from, to, min_flow, hold) = (from?, to?, min_flow?, hold?);
        self.positive("min_flow", min_flow);
        let at = self.at.key("hold");
        let hold = self
            .cx
            .duration(at, Some(hold), Duration::ZERO, &limits::HOLD);
        let night = night(from, to);
        if night.is_zero() {
            self.cx
                .error(self.at.key("to"), "the night ends when it begins", "");
        } else if hold > night {
            let minutes = night.as_secs() / 60;
            let message = format!("the night has {minutes} minutes, so this is never reached");
            self.cx
                .error(at, message, "a shorter `hold`, or a longer night");
        }
        Some(Condition::NightFlow {
            from,
            to,
            min_flow,
            hold,
        })
    }

    fn hold(&mut self) -> Duration {
        let at = self.at.key("hold");
        self.cx
            .duration(at, self.raw.hold.as_ref(), Duration::ZERO, &limits::HOLD)
    }

    fn quantity(&mut self) -> Option<Quantity> {
        let quantity = self.needed("quantity", self.raw.quantity, "\"fill\"")?;
        self.measured(quantity, "quantity");
        Some(quantity)
    }

    /// A rule about something that the device never reports would be silent for ever.
    fn measured(&mut self, quantity: Quantity, key: &str) {
        let Some(quantities) = self.quantities else {
            return;
        };
        if !quantities.contains(&quantity) {
            let known: Vec<&str> = quantities.iter().map(|q| q.slug()).collect();
            let message = format!(
                "the profile measures no {}, so the rule never fires",
                quantity.slug()
            );
            self.cx.error(
                self.at.key(key),
                message,
                format!("it measures {}", known.join(", ")),
            );
        }
    }

    /// A limit outside what the quantity can be is never crossed.
    fn within(&mut self, quantity: Quantity, key: &str, value: f64) {
        let (low, high) = quantity.plausible();
        if !(low..=high).contains(&value) {
            let (slug, unit) = (quantity.slug(), quantity.unit());
            let message =
                format!("`{key}` is {value}, but {slug} goes from {low} to {high} {unit}");
            self.cx.error(self.at.key(key), message, "");
        }
    }

    fn positive(&mut self, key: &str, value: f64) {
        if value <= 0.0 {
            let message = format!("`{key}` is {value}, it must be more than 0 m³/h");
            self.cx.error(self.at.key(key), message, "");
        }
    }

    fn time(&mut self, key: &str, text: &str) -> Option<Time> {
        let time = text
            .split_once(':')
            .filter(|(h, m)| h.len() == 2 && m.len() == 2)
            .and_then(|(h, m)| Time::new(h.parse().ok()?, m.parse().ok()?, 0, 0).ok());
        if time.is_none() {
            let message = format!("`{key}` is \"{text}\", which is no time of day");
            self.cx
                .error(self.at.key(key), message, "for example \"02:00\"");
        }
        time
    }
}

/// Length of a night that may pass midnight.
fn night(from: Time, to: Time) -> Duration {
    const DAY: i64 = 86_400;
    let seconds = |t: Time| i64::from(t.hour()) * 3_600 + i64::from(t.minute()) * 60;
    let length = (seconds(to) - seconds(from)).rem_euclid(DAY);
    Duration::from_secs(length.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nights_pass_midnight() {
        let t = |h| Time::new(h, 0, 0, 0).expect("a time");
        assert_eq!(night(t(2), t(5)), Duration::from_secs(3 * 3_600));
        assert_eq!(night(t(22), t(4)), Duration::from_secs(6 * 3_600));
        assert_eq!(night(t(3), t(3)), Duration::ZERO);
    }
}
