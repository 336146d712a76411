//! What a child was told, and whether it is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read},
    path::Path,
};

use wangge::spool::{Entry, Lane, Rung, Spool, SpoolError, check};
use wangge_protocol::{CloudEvent, Gap};

use crate::{
    Failure,
    work::{ALERTS, GAPS, Plan, TELEMETRY, number_of, open, record, runtime, storage},
};

/// What a child said on its standard output.
#[derive(Debug, Default)]
pub struct Told {
    /// Acknowledged: its own number and the spool's.
    pub appended: BTreeMap<u64, u64>,
    /// Perhaps settled.
    pub settled: BTreeSet<u64>,
    /// Acknowledged after the first refusal.
    pub after_refusal: u64,
}

impl Told {
    /// Reads to the end; `each` hears of every line.
    pub fn read(out: impl Read, mut each: impl FnMut()) -> Told {
        let mut told = Told::default();
        let mut refused = false;
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            each();
            let mut words = line.split(' ');
            let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
            match words.next() {
                Some("a") => {
                    let (at, seq) = (number(words.next()), number(words.next()));
                    told.appended.extend(at.zip(seq));
                    told.after_refusal += u64::from(refused);
                }
                Some("s") => told.settled.extend(number(words.next())),
                Some("refused") => refused = true,
                _ => {}
            }
        }
        told
    }
}

/// How the database may have been opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// As it was, without the ladder.
    AtOnce,
    /// Over any rung of it that loses nothing.
    Recovered,
}

/// Checks and opens the spool in `dir`: nothing that was acknowledged is gone or changed, pictures
/// are there, batches are whole, and the accounts add up.
pub fn verify(
    dir: &Path,
    seed: u64,
    plan: Plan,
    told: &Told,
    opening: Opening,
) -> Result<String, Failure> {
    match check(&storage(dir, plan).path) {
        Ok(report) if report.is_sound() => {}
        Ok(report) if opening == Opening::AtOnce => return Err(report.to_string().into()),
        Ok(_) => {}
        // It failed before there was anything.
        Err(SpoolError::Missing(_)) if told.appended.is_empty() => {}
        Err(error) => return Err(error.into()),
    }
    let (spool, recovery) = open(dir, plan)?;
    if recovery.lost > 0 || recovery.unreadable > 0 || recovery.evidence_missing > 0 {
        return Err(format!("{recovery:?}").into());
    }
    if opening == Opening::AtOnce && recovery.rung != Rung::AsItWas {
        return Err(format!("{recovery:?}").into());
    }
    let found = runtime().block_on(async {
        let found = holds(&spool, seed, told).await?;
        accounted(&spool).await?;
        // And it works on, over a rotation too.
        spool.rotate().await?;
        let again = holds(&spool, seed, told).await?;
        if again != found {
            return Err(format!("{found} held, {again} after a rotation").into());
        }
        accounted(&spool).await?;
        spool.close().await?;
        Ok::<_, Failure>(found)
    })?;
    Ok(format!(
        "{} acknowledged, {} settled, {found} held, opened in {:?}",
        told.appended.len(),
        told.settled.len(),
        recovery.took
    ))
}

async fn holds(spool: &Spool, seed: u64, told: &Told) -> Result<usize, Failure> {
    let mut found = BTreeMap::new();
    for lane in [ALERTS, TELEMETRY] {
        for entry in all(spool, lane).await? {
            let at = number_of(&entry).ok_or("a strange id")?;
            if found.insert(at, entry).is_some() {
                return Err(format!("record {at} is there twice").into());
            }
        }
    }
    let gaps = gaps(spool).await?;
    let mut thinned = 0;
    for (at, seq) in &told.appended {
        let expected = record(seed, *at);
        let in_gap = |gap: &Gap| {
            gap.class == "telemetry"
                && gap.reason == "quota"
                && (gap.first_seq..=gap.last_seq).contains(seq)
        };
        match found.get(at) {
            Some(read) if read.record.body == expected.body && read.seq == *seq => {}
            Some(_) => return Err(format!("record {at} reads back as something else").into()),
            None if told.settled.contains(at) => {}
            None if expected.lane == TELEMETRY && gaps.iter().any(in_gap) => thinned += 1,
            None => return Err(format!("record {at} was acknowledged and is gone").into()),
        }
    }
    let in_gaps: u64 = gaps.iter().map(|gap| gap.count).sum();
    if thinned > in_gaps {
        return Err(format!("{thinned} were thinned, the gap records say {in_gaps}").into());
    }
    // Batches are whole: their state is there with them.
    let state = spool.state().await?;
    let newest = match state.first() {
        Some((_, newest)) => std::str::from_utf8(newest)?.parse()?,
        None => 0,
    };
    for (at, read) in &found {
        for picture in &read.record.evidence {
            spool.evidence().read(&picture.sha256)?;
        }
        if *at >= newest {
            return Err(format!("record {at} is there without its state, {newest}").into());
        }
    }
    Ok(found.len())
}

/// The accounts of a spool, against what it holds: every stream adds up, and what is called held
/// is there. Called after every fault.
pub async fn accounted(spool: &Spool) -> Result<(), Failure> {
    let stats = spool.stats().await?;
    let mut held = BTreeMap::<String, u64>::new();
    for lane in [ALERTS, GAPS, TELEMETRY] {
        for entry in all(spool, lane).await? {
            *held.entry(entry.record.stream).or_default() += u64::from(entry.record.count);
        }
    }
    for (stream, account) in &stats.streams {
        let counted = held.get(stream).copied().unwrap_or(0);
        if !account.is_balanced() || account.held != counted {
            return Err(format!("{stream}: {account:?}, {counted} are there").into());
        }
    }
    Ok(())
}

/// Everything in a lane.
pub async fn all(spool: &Spool, lane: Lane) -> Result<Vec<Entry>, Failure> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.seq);
        let more = spool.peek(lane, after, 500).await?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more);
    }
}

async fn gaps(spool: &Spool) -> Result<Vec<Gap>, Failure> {
    let entries = all(spool, GAPS).await?;
    let read = |entry: &Entry| {
        let event = serde_json::from_slice::<CloudEvent<Gap>>(&entry.record.body);
        Ok(event?.data)
    };
    entries.iter().map(read).collect()
}
