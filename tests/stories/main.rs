//! The product as built, from end to end, against real peers.
//!
//! One file per story. Run them with `cargo xtask test stories`, which does the set-up.

mod bad_input;
mod camera_faults;
mod child_killed;
mod clock;
mod disk;
mod drawing;
mod fleet;
mod isolation;
mod lines;
mod offline;
mod proof;
mod random_kills;
mod readme;
mod retune;
mod salvage;
mod stopping;
mod tiers;
mod verdicts;
mod whole_station;
mod words;
