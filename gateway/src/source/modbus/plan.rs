//! Which registers to ask a unit for, in as few requests as its habits allow. Pure.
//!
//! Neighbours share a request when the hole between them is small; a request never asks for more
//! than [`MAX_REGISTERS`]. When the unit refuses a request, [`Plan::refused`] halves it until
//! the part that is at fault stands alone: that part is then left out, and the rest is put
//! together again. When every half is accepted, nothing was bad but the size or a hole, and the
//! cut stays.

use std::collections::BTreeSet;

use crate::config::{RegisterPart, RegisterTable};

use super::decode::width;

/// Most registers in one request: Modbus Application Protocol V1.1b3 §6.3 and §6.4.
pub const MAX_REGISTERS: u16 = 125;

/// Largest run of unwanted registers that is read along rather than asked around. Another
/// request costs at least 8 + 5 bytes and a turnaround, eight registers cost 16 bytes.
pub const MAX_HOLE: u16 = 8;

/// Registers that only make sense together: `address .. end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub table: RegisterTable,
    pub address: u16,
    pub count: u16,
}

impl Span {
    /// Registers of one part of a point.
    pub fn of(part: &RegisterPart) -> Self {
        Span {
            table: part.table,
            address: part.address,
            count: width(part.format),
        }
    }

    /// First register after it; 65,536 at most.
    pub fn end(&self) -> u32 {
        u32::from(self.address) + u32::from(self.count)
    }

    /// Whether `inner` lies wholly within.
    pub fn covers(&self, inner: &Span) -> bool {
        self.table == inner.table && self.address <= inner.address && inner.end() <= self.end()
    }

    fn overlaps(&self, other: &Span) -> bool {
        self.table == other.table
            && u32::from(self.address) < other.end()
            && u32::from(other.address) < self.end()
    }
}

/// The requests for one unit, and what it has taught us.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Wanted, sorted, without duplicates.
    spans: Vec<Span>,
    /// What to ask for now.
    requests: Vec<Span>,
    /// Refused even when asked alone.
    bad: BTreeSet<Span>,
    /// Parts of a refused tangle of overlapping spans: each is asked for by itself.
    alone: BTreeSet<Span>,
    /// No request may run across one of these addresses.
    cuts: BTreeSet<(RegisterTable, u16)>,
    /// Cuts of the search that is going on; dropped if it finds something bad.
    search: Vec<(RegisterTable, u16)>,
    found_bad: bool,
}

impl Plan {
    /// Plans for these parts; an empty plan has no requests.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a RegisterPart>) -> Self {
        let spans: BTreeSet<Span> = parts
            .into_iter()
            .map(Span::of)
            .filter(|s| s.count > 0)
            .collect();
        let mut plan = Plan {
            spans: spans.into_iter().collect(),
            requests: Vec::new(),
            bad: BTreeSet::new(),
            alone: BTreeSet::new(),
            cuts: BTreeSet::new(),
            search: Vec::new(),
            found_bad: false,
        };
        plan.arrange();
        plan
    }

    /// What to ask for, each with at most [`MAX_REGISTERS`]. Never empty unless nothing is
    /// wanted: where the unit refused everything, the first span is tried for ever.
    pub fn requests(&self) -> &[Span] {
        &self.requests
    }

    /// The first request with something wanted that has not been `read` yet.
    pub fn next_unread(&self, read: impl Fn(&Span) -> bool) -> Option<Span> {
        let hopeless = self.is_hopeless();
        self.requests
            .iter()
            .find(|r| {
                self.wanted_in(r)
                    .any(|s| !read(s) && (hopeless || !self.bad.contains(s)))
            })
            .copied()
    }

    /// The unit answered `request` with "illegal address" or "illegal value". False: there is
    /// nothing left to try for now.
    pub fn refused(&mut self, request: &Span) -> bool {
        if self.is_hopeless() {
            return false;
        }
        let inside: Vec<Span> = self.wanted_in(request).copied().collect();
        match best_cut(&inside) {
            Some(cut) => self.search.push((request.table, cut)),
            None if inside.len() > 1 && !self.alone.contains(request) => self.alone.extend(inside),
            None => {
                self.found_bad = true;
                self.bad.insert(*request);
            }
        }
        self.arrange();
        !self.is_hopeless()
    }

    /// The unit answered every request of this plan: a search, if one was going on, is over.
    pub fn settled(&mut self) {
        if !self.search.is_empty() || self.found_bad {
            if !self.found_bad {
                self.cuts.extend(self.search.iter());
            }
            self.search.clear();
            self.found_bad = false;
            self.arrange();
        }
        // What was refused before was answered after all: try everything again.
        if self.is_hopeless() {
            self.forget();
        }
    }

    /// Every span was refused.
    fn is_hopeless(&self) -> bool {
        !self.spans.is_empty() && self.bad.len() == self.spans.len()
    }

    /// Whether anything was learnt.
    pub fn has_learnt(&self) -> bool {
        !(self.bad.is_empty()
            && self.alone.is_empty()
            && self.cuts.is_empty()
            && self.search.is_empty())
    }

    /// Starts afresh: the unit may be another one now.
    pub fn forget(&mut self) {
        self.bad.clear();
        self.alone.clear();
        self.cuts.clear();
        self.search.clear();
        self.found_bad = false;
        self.arrange();
    }

    fn wanted_in(&self, request: &Span) -> impl Iterator<Item = &Span> {
        let request = *request;
        self.spans.iter().filter(move |s| request.covers(s))
    }

    fn arrange(&mut self) {
        let mut requests: Vec<Span> = Vec::with_capacity(self.requests.len());
        for span in self.spans.iter().filter(|s| !self.bad.contains(*s)) {
            match requests.last_mut() {
                Some(last) if self.joins(last, span) => {
                    let end = last.end().max(span.end());
                    // At most MAX_REGISTERS, as `joins` checked.
                    last.count = (end - u32::from(last.address)) as u16;
                }
                _ => requests.push(*span),
            }
        }
        if requests.is_empty() {
            requests.extend(self.spans.first());
        }
        self.requests = requests;
    }

    fn joins(&self, last: &Span, span: &Span) -> bool {
        let whole = Span {
            table: last.table,
            address: last.address,
            count: u16::try_from(last.end().max(span.end()) - u32::from(last.address))
                .unwrap_or(u16::MAX),
        };
        last.table == span.table
            && whole.count <= MAX_REGISTERS
            && !self.alone.contains(last)
            && !self.alone.contains(span)
            && u32::from(span.address) <= last.end() + u32::from(MAX_HOLE)
            && !self.bad.iter().any(|bad| whole.overlaps(bad))
            && !self.cuts.iter().chain(&self.search).any(|(table, cut)| {
                *table == whole.table && *cut > whole.address && u32::from(*cut) < whole.end()
            })
    }
}

/// Where to cut a refused request: at its widest hole, else nearest the middle; `None` where
/// its spans overlap from end to end, so that it is one thing.
fn best_cut(inside: &[Span]) -> Option<u16> {
    let first = inside.first()?;
    let last_end = inside.iter().map(Span::end).max()?;
    let middle = (u32::from(first.address) + last_end) / 2;
    let mut covered = first.end();
    let mut best: Option<(u32, std::cmp::Reverse<u32>, u16)> = None;
    for span in inside.get(1..)? {
        let at = u32::from(span.address);
        if at >= covered {
            let candidate = (
                at - covered,
                std::cmp::Reverse(at.abs_diff(middle)),
                span.address,
            );
            best = best.max(Some(candidate));
        }
        covered = covered.max(span.end());
    }
    best.map(|(_, _, cut)| cut)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{ByteOrder, RegisterFormat};

    fn part(table: RegisterTable, address: u16, registers: u8) -> RegisterPart {
        RegisterPart {
            table,
            address,
            format: RegisterFormat::Bcd(registers),
            order: ByteOrder::Abcd,
            scale: 1.0,
        }
    }

    fn holding(wanted: &[(u16, u8)]) -> Vec<RegisterPart> {
        wanted
            .iter()
            .map(|(a, n)| part(RegisterTable::Holding, *a, *n))
            .collect()
    }

    fn asked(plan: &Plan) -> Vec<(u16, u16)> {
        plan.requests()
            .iter()
            .map(|r| (r.address, r.count))
            .collect()
    }

    /// A unit with forbidden registers and a longest answer.
    struct Unit {
        illegal: BTreeSet<u16>,
        longest: u16,
    }

    impl Unit {
        fn allows(&self, request: &Span) -> bool {
            request.count <= self.longest
                && (u32::from(request.address)..request.end())
                    .all(|r| !self.illegal.contains(&(r as u16)))
        }
    }

    /// One poll as the bus task does it; how many requests it took.
    fn poll(plan: &mut Plan, unit: &Unit) -> (Vec<Span>, usize) {
        let (mut read, mut requests): (Vec<Span>, usize) = (Vec::new(), 0);
        while let Some(request) = plan.next_unread(|s| read.iter().any(|r| r.covers(s))) {
            requests += 1;
            assert!(requests < 2000, "does not end: {plan:?}");
            if unit.allows(&request) {
                read.push(request);
            } else if !plan.refused(&request) {
                return (read, requests);
            }
        }
        plan.settled();
        (read, requests)
    }

    #[test]
    fn neighbours_share_a_request() {
        let plan = Plan::new(&holding(&[(0, 2), (2, 2), (4, 1), (12, 1), (22, 1)]));
        // 5..12 is a hole of seven, 13..22 one of nine.
        assert_eq!(asked(&plan), [(0, 13), (22, 1)]);
        let plan = Plan::new(&holding(&[(0, 1), (9, 1), (19, 1)]));
        assert_eq!(asked(&plan), [(0, 10), (19, 1)]);
    }

    #[test]
    fn the_cap_holds_at_the_limit_and_beyond() {
        let wanted = |n: u16| holding(&(0..n).map(|a| (a, 1)).collect::<Vec<_>>());
        assert_eq!(asked(&Plan::new(&wanted(125))), [(0, 125)]);
        assert_eq!(asked(&Plan::new(&wanted(126))), [(0, 125), (125, 1)]);
        assert_eq!(Plan::new(&wanted(1250)).requests().len(), 10);
        // No figure is torn apart by the cap, and the last register of all is reachable.
        assert_eq!(
            asked(&Plan::new(&holding(&[(0, 124), (124, 2)]))),
            [(0, 124), (124, 2)]
        );
        assert_eq!(asked(&Plan::new(&holding(&[(65_532, 4)]))), [(65_532, 4)]);
    }

    #[test]
    fn tables_do_not_mix() {
        let parts = [
            part(RegisterTable::Input, 0, 1),
            part(RegisterTable::Holding, 1, 1),
            part(RegisterTable::Input, 1, 1),
        ];
        let plan = Plan::new(&parts);
        assert_eq!(plan.requests().len(), 2);
        assert!(Plan::new(&[]).requests().is_empty());
    }

    #[test]
    fn one_bad_register_loses_only_itself() {
        let mut plan = Plan::new(&holding(&(0..100).map(|a| (a, 1)).collect::<Vec<_>>()));
        let unit = Unit {
            illegal: [37].into(),
            longest: 125,
        };
        let (read, requests) = poll(&mut plan, &unit);
        assert_eq!(read.iter().map(|r| r.count).sum::<u16>(), 99);
        assert!(requests <= 16, "{requests}");
        assert_eq!(plan.bad.len(), 1);
        assert_eq!(asked(&plan), [(0, 37), (38, 62)]);
        assert_eq!(poll(&mut plan, &unit).1, 2);
    }

    #[test]
    fn a_short_limit_is_learnt_and_an_illegal_hole_is_cut() {
        let mut plan = Plan::new(&holding(&(0..100).map(|a| (a, 1)).collect::<Vec<_>>()));
        let unit = Unit {
            illegal: BTreeSet::new(),
            longest: 30,
        };
        poll(&mut plan, &unit);
        assert_eq!(plan.bad.len(), 0);
        assert_eq!(poll(&mut plan, &unit).1, 4);

        let mut plan = Plan::new(&holding(&[(0, 2), (6, 2)]));
        let unit = Unit {
            illegal: [3].into(),
            longest: 125,
        };
        poll(&mut plan, &unit);
        assert_eq!(plan.bad.len(), 0);
        assert_eq!(asked(&plan), [(0, 2), (6, 2)]);
    }

    #[test]
    fn a_unit_that_refuses_everything_is_still_asked_and_can_come_back() {
        let mut plan = Plan::new(&holding(&[(0, 2), (2, 2), (4, 2)]));
        let mut unit = Unit {
            illegal: (0..10).collect(),
            longest: 125,
        };
        assert!(poll(&mut plan, &unit).0.is_empty());
        assert_eq!(poll(&mut plan, &unit).1, 1);
        unit.illegal.clear();
        poll(&mut plan, &unit);
        assert_eq!(asked(&plan), [(0, 6)]);
        assert!(!plan.has_learnt());
    }

    fn wanted() -> impl Strategy<Value = Vec<RegisterPart>> {
        proptest::collection::vec((any::<bool>(), 0u16..400, 1u8..=4), 1..60).prop_map(|v| {
            v.into_iter()
                .map(|(input, address, count)| {
                    let table = if input {
                        RegisterTable::Input
                    } else {
                        RegisterTable::Holding
                    };
                    part(table, address, count)
                })
                .collect()
        })
    }

    fn check_shape(plan: &Plan, parts: &[RegisterPart]) {
        let wanted: BTreeSet<Span> = parts.iter().map(Span::of).collect();
        for request in plan.requests() {
            assert!(request.count <= MAX_REGISTERS && request.count > 0);
            // Every register of a request is wanted or lies in a short hole between such.
            let mut hole = 0;
            for register in u32::from(request.address)..request.end() {
                let is_wanted = wanted.iter().any(|s| {
                    s.table == request.table
                        && u32::from(s.address) <= register
                        && register < s.end()
                });
                hole = if is_wanted { 0 } else { hole + 1 };
                assert!(hole <= MAX_HOLE);
            }
            assert_eq!(hole, 0, "trailing registers");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_part_lies_in_one_request(parts in wanted()) {
            let plan = Plan::new(&parts);
            check_shape(&plan, &parts);
            for p in &parts {
                let n = plan.requests().iter().filter(|r| r.covers(&Span::of(p))).count();
                prop_assert!(n >= 1);
            }
        }

        #[test]
        fn learning_ends_and_loses_nothing_good(
            parts in wanted(),
            illegal in proptest::collection::btree_set(0u16..400, 0..30),
            longest in 4u16..=125,
        ) {
            let unit = Unit { illegal, longest };
            let mut plan = Plan::new(&parts);
            // Each search ends with something learnt for good, so a few polls do.
            for _ in 0..80 {
                poll(&mut plan, &unit);
                check_shape(&plan, &parts);
            }
            let (read, requests) = poll(&mut plan, &unit);
            for p in &parts {
                let span = Span::of(p);
                prop_assert_eq!(
                    read.iter().any(|r| r.covers(&span)),
                    unit.allows(&span),
                    "{:?}", span
                );
            }
            // Nothing is refused any more.
            prop_assert!(requests == read.len() || read.is_empty());
        }
    }
}
