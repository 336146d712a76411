//! From a contact's levels to pulses with a direction.

/// What a level change meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// One pulse forwards.
    Forward,
    /// One pulse backwards.
    Backward,
}

/// Debounces a reed contact, and tells the direction by a second one a quarter turn behind, if
/// it is fitted.
///
/// A level counts once it has been the same for the debounce time, and a pulse when the first
/// contact closes; the second contact is then open if the water runs forwards.
#[derive(Debug, Default)]
pub struct Pulses {
    stable: bool,
    /// The other level, and since when, ms.
    candidate: Option<u64>,
}

impl Pulses {
    /// The contacts' levels at `now`, ms; call it every millisecond or so. `second` is `None`
    /// where there is one contact only, whose pulses all count forwards.
    pub fn sample(
        &mut self,
        closed: bool,
        second: Option<bool>,
        debounce_ms: u16,
        now: u64,
    ) -> Option<Edge> {
        if closed == self.stable {
            self.candidate = None;
            return None;
        }
        let since = *self.candidate.get_or_insert(now);
        if now.saturating_sub(since) < u64::from(debounce_ms) {
            return None;
        }
        self.stable = closed;
        self.candidate = None;
        if !closed {
            return None;
        }
        Some(match second {
            Some(true) => Edge::Backward,
            _ => Edge::Forward,
        })
    }
}
