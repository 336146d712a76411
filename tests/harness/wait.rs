//! Waiting for a condition instead of sleeping for luck.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer.
///
/// # Errors
/// `ask` fails (nothing more to wait for), or `within` passes; the error says `what` was awaited.
pub fn until<T>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= end {
            bail!("waited {within:?} in vain for {what}");
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_and_says_what_was_awaited() {
        let error = until("Godot", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert!(error.to_string().contains("Godot"));
    }

    #[test]
    fn stops_asking_at_the_first_answer() {
        let mut asked = 0;
        let answer = until("three", Duration::from_secs(5), || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(answer.unwrap(), 3);
    }
}
