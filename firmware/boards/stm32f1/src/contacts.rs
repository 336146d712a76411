//! The two contacts: a meter's pulses, looked at every millisecond, or a bin's lid.

use core::cell::RefCell;

use critical_section::Mutex;
use heapless::Deque;
use stm32f1xx_hal::gpio::{Input, PB0, PB1, PullUp};
use wangge_node::meter::{Edge, Pulses};

/// Pulses that wait for the main loop, which may send an answer for 2.3 s: more than ten a
/// second are not to be had from a reed contact.
const WAITING: usize = 32;

/// The pins; a closed contact pulls them low.
struct Contacts {
    first: PB0<Input<PullUp>>,
    second: PB1<Input<PullUp>>,
    pulses: Pulses,
    debounce_ms: u16,
    waiting: Deque<(Edge, u64), WAITING>,
}

static CONTACTS: Mutex<RefCell<Option<Contacts>>> = Mutex::new(RefCell::new(None));

/// From now on they are looked at.
pub fn start(first: PB0<Input<PullUp>>, second: PB1<Input<PullUp>>) {
    let contacts = Contacts {
        first,
        second,
        pulses: Pulses::default(),
        debounce_ms: 20,
        waiting: Deque::new(),
    };
    critical_section::with(|cs| CONTACTS.borrow_ref_mut(cs).replace(contacts));
}

/// Looks at them; `now` in ms.
pub fn sample(now: u64) {
    critical_section::with(|cs| {
        let mut contacts = CONTACTS.borrow_ref_mut(cs);
        let Some(contacts) = contacts.as_mut() else {
            return;
        };
        // A second contact that is not fitted stays open: all water then runs forwards.
        let (first, second) = (contacts.first.is_low(), contacts.second.is_low());
        let edge = contacts
            .pulses
            .sample(first, Some(second), contacts.debounce_ms, now);
        if let Some(edge) = edge {
            let _ = contacts.waiting.push_back((edge, now));
        }
    });
}

/// The oldest pulse that waits, and when it came, ms.
pub fn next_pulse(debounce_ms: u16) -> Option<(Edge, u64)> {
    critical_section::with(|cs| {
        let mut contacts = CONTACTS.borrow_ref_mut(cs);
        let contacts = contacts.as_mut()?;
        contacts.debounce_ms = debounce_ms;
        contacts.waiting.pop_front()
    })
}

/// Whether the first contact is closed.
pub fn is_closed() -> Option<bool> {
    critical_section::with(|cs| Some(CONTACTS.borrow_ref(cs).as_ref()?.first.is_low()))
}
