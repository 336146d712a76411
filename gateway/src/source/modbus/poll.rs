//! One poll of one unit: its requests, what it refuses, and the question that proves that an
//! answer is not a late one.
//!
//! A late answer of the same unit, function and length looks exactly like a good one on a serial
//! line, and behind a careless TCP converter too. So a unit that owes an answer is first asked
//! for a number of registers that no owed answer and no request of its plan has: only when that
//! very number comes back, or the unit refuses, is it believed again.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio_modbus::ExceptionCode;

use super::{
    link::{ConnectError, Link, ReadError},
    plan::{MAX_REGISTERS, Plan, Span},
};

/// Reads beyond the plan's own that one poll may spend on learning what a unit refuses; the
/// rest is for the next poll, so that nobody else waits long.
pub const MAX_LEARNING_READS: usize = 32;

/// Lengths of owed answers that are remembered; a unit answers late by one or two, not by more.
const MAX_OWED: usize = 8;

/// A unit as the bus knows it.
#[derive(Debug)]
pub struct Unit {
    pub id: u8,
    pub plan: Plan,
    /// What the last poll brought.
    pub reads: Vec<(Span, Vec<u16>)>,
    /// How many registers the answers have that may still come.
    owed: Vec<u16>,
}

/// What came of a poll.
#[derive(Debug)]
pub enum Outcome {
    /// `reads` has all that the unit gives; its slowest answer took this long.
    Answered { took: Duration },
    /// It answered, but gave nothing.
    Refused { took: Duration, code: ExceptionCode },
    /// It did not answer, or not so that it can be believed.
    Silent(ReadError),
    /// The bus is not there.
    Unreachable(ConnectError),
}

impl Unit {
    /// A unit that was never asked.
    pub fn new(id: u8, plan: Plan) -> Self {
        Unit {
            id,
            plan,
            reads: Vec::new(),
            owed: Vec::new(),
        }
    }

    /// Registers of `span` as last read.
    pub fn words(&self, span: &Span) -> Option<&[u16]> {
        let (read, words) = self.reads.iter().find(|(r, _)| r.covers(span))?;
        let start = usize::from(span.address - read.address);
        words.get(start..start + usize::from(span.count))
    }

    /// Polls it over `link`, which connects if it must, waiting `patience` for each answer.
    pub async fn poll(&mut self, link: &mut Link, patience: Duration) -> Outcome {
        self.reads.clear();
        if let Err(error) = link.connect().await {
            return Outcome::Unreachable(error);
        }
        // A connection that has worked may have been closed while nobody used it.
        let mut may_retry = link.is_proven();
        let mut took = Duration::ZERO;
        let mut refusal = None;
        let mut passed_over: Vec<Span> = Vec::new();
        let mut reads_left = self.plan.requests().len() + MAX_LEARNING_READS;
        loop {
            let proof = self.proof();
            let request = proof.or_else(|| {
                let reads = &self.reads;
                self.plan.next_unread(|span| {
                    let covers = |r: &Span| r.covers(span);
                    reads.iter().any(|(r, _)| covers(r)) || passed_over.iter().any(covers)
                })
            });
            let Some(request) = request else {
                break;
            };
            if reads_left == 0 {
                return self.result(took, refusal);
            }
            reads_left -= 1;
            let sent = Instant::now();
            let answer = link.read(self.id, request, patience).await;
            match answer {
                Ok(words) => {
                    took = took.max(sent.elapsed());
                    if proof.is_some() {
                        self.owed.clear();
                    } else {
                        self.reads.push((request, words));
                    }
                }
                Err(ReadError::Refused(code)) if !is_gateway(code) => {
                    took = took.max(sent.elapsed());
                    if proof.is_some() {
                        self.owed.clear();
                        continue;
                    }
                    refusal = Some(code);
                    if is_about_registers(code) {
                        if !self.plan.refused(&request) {
                            return self.result(took, refusal);
                        }
                    } else {
                        passed_over.push(request);
                    }
                }
                Err(ReadError::Lost(_)) if may_retry => {
                    may_retry = false;
                    if let Err(error) = link.connect().await {
                        return Outcome::Unreachable(error);
                    }
                    continue;
                }
                Err(error) => {
                    self.owes(request.count);
                    return Outcome::Silent(error);
                }
            }
            may_retry = false;
        }
        if passed_over.is_empty() {
            self.plan.settled();
        }
        self.result(took, refusal)
    }

    fn result(&self, took: Duration, refusal: Option<ExceptionCode>) -> Outcome {
        match refusal {
            Some(code) if self.reads.is_empty() => Outcome::Refused { took, code },
            _ => Outcome::Answered { took },
        }
    }

    /// An answer with so many registers may still come.
    pub fn owes(&mut self, registers: u16) {
        if self.owed.len() == MAX_OWED {
            self.owed.remove(0);
        }
        self.owed.push(registers);
    }

    /// The question to ask before any other while the unit owes an answer.
    fn proof(&self) -> Option<Span> {
        if self.owed.is_empty() {
            return None;
        }
        let first = self.plan.requests().first()?;
        let count = (1..=MAX_REGISTERS).find(|n| {
            !self.owed.contains(n) && self.plan.requests().iter().all(|r| r.count != *n)
        })?;
        Some(Span {
            table: first.table,
            // Stays within the table.
            address: first.address.min(u16::MAX - (count - 1)),
            count,
        })
    }
}

/// A gateway speaks for a unit that it cannot reach.
fn is_gateway(code: ExceptionCode) -> bool {
    matches!(
        code,
        ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetDevice
    )
}

/// Other registers, or fewer, may be allowed.
fn is_about_registers(code: ExceptionCode) -> bool {
    matches!(
        code,
        ExceptionCode::IllegalDataAddress | ExceptionCode::IllegalDataValue
    )
}

impl Outcome {
    /// Whether the connection itself broke, rather than the unit.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Outcome::Silent(ReadError::Lost(e)) if e.kind() != io::ErrorKind::NotConnected
        )
    }
}
