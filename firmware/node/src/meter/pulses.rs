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
    /// Not known before it has been still for the first time: a contact that is closed at the
    /// start was counted before.
    stable: Option<bool>,
    /// A level that may become the next stable one, and since when, ms.
    candidate: Option<(bool, u64)>,
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
        if self.stable == Some(closed) {
            self.candidate = None;
            return None;
        }
        match self.candidate {
            Some((level, since)) if level == closed => {
                if now.saturating_sub(since) < u64::from(debounce_ms) {
                    return None;
                }
            }
            _ => {
                self.candidate = Some((closed, now));
                return None;
            }
        }
        let first = self.stable.replace(closed).is_none();
        self.candidate = None;
        if first || !closed {
            return None;
        }
        Some(match second {
            Some(true) => Edge::Backward,
            _ => Edge::Forward,
        })
    }
}
