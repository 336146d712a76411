use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;

fn pair(seed: u8) -> (Ed25519KeyPair, CommandKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let key = CommandKey::new(pair.public_key().as_ref().try_into().unwrap());
    (pair, key)
}

fn sign(pair: &Ed25519KeyPair, mut command: Command) -> Command {
    command.signature = URL_SAFE_NO_PAD.encode(pair.sign(command.signed_text().as_bytes()));
    command
}

fn now() -> Now {
    Now {
        wall: "2026-11-26T02:00:00Z".parse().unwrap(),
        mono: Duration::from_secs(100),
    }
}

fn silence(key: &CommandKey) -> Command {
    Command {
        id: "c1".into(),
        station: "haitang".into(),
        command: CommandVerb::Silence,
        device: Some("bin-1".into()),
        zone: None,
        rule: Some("full".into()),
        until: Some("2026-11-26T08:00:00Z".into()),
        by: Some("指挥中心".into()),
        not_after: "2026-11-26T02:10:00Z".into(),
        keyid: key.id.clone(),
        signature: String::new(),
    }
}

fn clerk(keys: Vec<CommandKey>) -> Clerk {
    let config = Commands {
        keys,
        max_silence: Duration::from_secs(24 * 3_600),
    };
    Clerk::restore(&"haitang".into(), &config, &[])
}

fn refused(clerk: &mut Clerk, command: &Command) -> AnswerResult {
    clerk.check(command, now(), true).unwrap_err().result
}

#[test]
fn a_signed_command_is_taken_once() {
    let (pair, key) = pair(1);
    let mut clerk = clerk(vec![key.clone()]);
    let command = sign(&pair, silence(&key));
    let (order, changes) = clerk.check(&command, now(), true).unwrap();
    assert_eq!(
        order,
        Order::Silence {
            device: "bin-1".into(),
            rule: "full".into(),
            until: "2026-11-26T08:00:00Z".parse().unwrap()
        }
    );
    assert_eq!(refused(&mut clerk, &command), AnswerResult::Repeated);
    // A restart does not forget.
    let state: Vec<_> = changes.into_iter().map(|(k, v)| (k, v.unwrap())).collect();
    let config = Commands {
        keys: vec![key],
        max_silence: Duration::from_secs(3_600),
    };
    let mut clerk = Clerk::restore(&"haitang".into(), &config, &state);
    assert_eq!(refused(&mut clerk, &command), AnswerResult::Repeated);
}

#[test]
fn every_signed_value_is_covered() {
    let (pair, key) = pair(1);
    let good = sign(&pair, silence(&key));
    let alter: [fn(&mut Command); 9] = [
        |c| c.id = "c2".into(),
        |c| c.station = "other".into(),
        |c| c.command = CommandVerb::Reload,
        |c| c.device = None,
        |c| c.zone = Some("z".into()),
        |c| c.rule = Some("silent".into()),
        |c| c.until = Some("2026-11-26T09:00:00Z".into()),
        |c| c.by = None,
        |c| c.not_after = "2026-11-26T03:00:00Z".into(),
    ];
    for alter in alter {
        let mut bad = good.clone();
        alter(&mut bad);
        let refusal = clerk(vec![key.clone()])
            .check(&bad, now(), true)
            .unwrap_err();
        assert_eq!(refusal.result, AnswerResult::Forbidden, "{bad:?}");
        assert!(!refusal.is_signed);
    }
    // Moving a value to its neighbour's line does not keep the signed text.
    let mut moved = good;
    moved.zone = moved.device.take();
    assert_eq!(
        refused(&mut clerk(vec![key]), &moved),
        AnswerResult::Forbidden
    );
}

#[test]
fn strangers_are_refused() {
    let (one, key) = pair(1);
    let (two, other) = pair(2);
    // Another's signature under our key's id, a key that is not known, nonsense, nothing.
    let forged = sign(&two, silence(&key));
    let unknown = sign(&two, silence(&other));
    let mut nonsense = silence(&key);
    nonsense.signature = "!".repeat(86);
    for command in [forged, unknown, nonsense, silence(&key)] {
        let result = refused(&mut clerk(vec![key.clone()]), &command);
        assert_eq!(result, AnswerResult::Forbidden);
    }
    let good = sign(&one, silence(&key));
    let nobody = clerk(Vec::new()).check(&good, now(), true).unwrap_err();
    assert!(nobody.reason.contains("takes no commands"));
    // Keys can be changed: both go for a while.
    assert!(clerk(vec![other, key]).check(&good, now(), true).is_ok());
}

#[test]
fn a_command_is_for_one_station_and_one_time() {
    let (pair, key) = pair(1);
    let signed = |alter: fn(&mut Command)| {
        let mut command = silence(&key);
        alter(&mut command);
        sign(&pair, command)
    };
    for (command, result) in [
        (
            signed(|c| c.station = "other".into()),
            AnswerResult::Forbidden,
        ),
        (
            signed(|c| c.not_after = "2026-11-26T01:59:59Z".into()),
            AnswerResult::Expired,
        ),
        (
            signed(|c| c.not_after = "soon".into()),
            AnswerResult::Invalid,
        ),
        (
            signed(|c| c.not_after = "2026-11-27T02:00:01Z".into()),
            AnswerResult::Invalid,
        ),
        (signed(|c| c.rule = None), AnswerResult::Invalid),
        (signed(|c| c.device = None), AnswerResult::Invalid),
        (
            signed(|c| c.until = Some("2026-11-27T02:00:01Z".into())),
            AnswerResult::Invalid,
        ),
        (
            signed(|c| c.until = Some("2027-11-27T02:00:00Z".into())),
            AnswerResult::Invalid,
        ),
        (signed(|c| c.until = None), AnswerResult::Invalid),
        (
            signed(|c| c.by = Some("a\nb".into())),
            AnswerResult::Invalid,
        ),
        (
            signed(|c| c.by = Some("x".repeat(65))),
            AnswerResult::Invalid,
        ),
    ] {
        let mut clerk = clerk(vec![key.clone()]);
        assert_eq!(refused(&mut clerk, &command), result, "{command:?}");
        // What was refused is not used up.
        assert!(
            clerk
                .check(&sign(&pair, silence(&key)), now(), true)
                .is_ok()
        );
    }
    for at_limit in [
        signed(|c| c.not_after = "2026-11-27T02:00:00Z".into()),
        signed(|c| c.until = Some("2026-11-27T02:00:00Z".into())),
        signed(|c| c.not_after = "2026-11-26T02:00:00Z".into()),
    ] {
        assert!(
            clerk(vec![key.clone()])
                .check(&at_limit, now(), true)
                .is_ok()
        );
    }
}

#[test]
fn a_clock_that_is_not_believed_takes_no_commands() {
    let (pair, key) = pair(1);
    let mut clerk = clerk(vec![key.clone()]);
    let command = sign(&pair, silence(&key));
    let refusal = clerk.check(&command, now(), false).unwrap_err();
    assert_eq!(refusal.result, AnswerResult::Failed);
    assert!(refusal.reason.contains("clock"), "{}", refusal.reason);
    // It was not used up.
    assert!(clerk.check(&command, now(), true).is_ok());
}

#[test]
fn pictures_and_reloads_have_an_hourly_limit() {
    let (pair, key) = pair(1);
    let mut clerk = clerk(vec![key.clone()]);
    let mut ask = |n: usize, verb, later: u64| {
        let mut command = silence(&key);
        command.id = format!("{n}");
        command.command = verb;
        command.zone = Some("yard".into());
        let mut now = now();
        now.mono += Duration::from_secs(later);
        clerk
            .check(&sign(&pair, command), now, true)
            .map_err(|r| r.result)
    };
    for n in 0..PICTURES_PER_HOUR {
        assert!(ask(n, CommandVerb::Picture, 0).is_ok());
    }
    assert_eq!(
        ask(500, CommandVerb::Picture, 3_599),
        Err(AnswerResult::Failed)
    );
    assert!(ask(501, CommandVerb::Reload, 3_599).is_ok());
    assert!(ask(502, CommandVerb::Picture, 3_601).is_ok());
}

#[test]
fn memory_of_commands_is_bounded() {
    let (pair, key) = pair(1);
    let mut clerk = clerk(vec![key.clone()]);
    let named = |id: String| {
        let mut command = silence(&key);
        command.id = id;
        sign(&pair, command)
    };
    for n in 0..MAX_SEEN {
        assert!(clerk.check(&named(format!("{n}")), now(), true).is_ok());
    }
    assert_eq!(
        refused(&mut clerk, &named("more".into())),
        AnswerResult::Failed
    );
    // Ten minutes later they have all expired and the oldest makes way.
    let mut later = now();
    later.wall += SignedDuration::from_mins(11);
    let mut fresh = silence(&key);
    fresh.id = "fresh".into();
    fresh.not_after = "2026-11-26T03:00:00Z".into();
    let (_, changes) = clerk.check(&sign(&pair, fresh), later, true).unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].1, None);
    assert_eq!(clerk.seen.len(), MAX_SEEN);
}
