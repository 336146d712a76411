//! Alerts that go from memory while the spool refuses.

use super::*;

/// The record that the spool will have under this number.
fn refused(seq: Seq) -> Record {
    entry(Class::Alert, seq, &[]).record
}

#[test]
fn what_was_receipted_from_memory_is_settled_when_the_spool_has_it_and_not_sent_again() {
    let mut q = queue(Border::Receipt, Vec::new());
    q.live(refused(7));
    let sent = drain(&mut q, S);
    assert_eq!(sent.len(), 1);
    assert_ne!(sent, [alert(7)], "the spool has nothing under that number");
    assert!(q.receipt(&stored(7), S));
    assert!(q.take_settled().is_empty());
    feed(&mut q, vec![entry(Class::Alert, 7, &[])]);
    assert_eq!(drain(&mut q, 2 * S), []);
    assert_eq!(q.take_settled(), [7]);
    // Once: a later record under that name is another one.
    feed(
        &mut q,
        vec![entry(Class::Alert, 7, &[]), entry(Class::Alert, 8, &[])],
    );
    assert_eq!(drain(&mut q, 2 * S), [alert(8)]);
}

#[test]
fn what_has_no_receipt_yet_goes_on_from_the_spool() {
    let mut q = queue(Border::Receipt, Vec::new());
    q.live(refused(7));
    q.live(refused(8));
    assert_eq!(drain(&mut q, S).len(), 2);
    feed(
        &mut q,
        vec![entry(Class::Alert, 7, &[]), entry(Class::Alert, 8, &[])],
    );
    assert_eq!(drain(&mut q, 2 * S), [alert(7), alert(8)]);
    // The receipt for the first sending is as good as one for the second.
    assert!(q.receipt(&stored(7), 3 * S));
    assert!(q.receipt(&stored(8), 3 * S));
    let mut settled = q.take_settled();
    settled.sort_unstable();
    assert_eq!(settled, [7, 8]);
}

#[test]
fn it_waits_for_the_connection_is_repeated_and_keeps_its_order() {
    let mut q = Queue::new(Border::Receipt, true, Pieces::of(PIECE), Arc::default(), 1);
    for seq in [7, 8, 9] {
        q.live(refused(seq));
    }
    assert_eq!(drain(&mut q, S), []);
    q.connected();
    let sent = drain(&mut q, S);
    assert_eq!(sent.len(), 3);
    assert!(sent.is_sorted());
    q.lost(2 * S, true);
    q.connected();
    assert_eq!(drain(&mut q, 3 * S), sent);
}

#[test]
fn a_refusal_ends_it_and_gives_nothing_up_that_is_on_disk() {
    let mut q = queue(Border::Receipt, Vec::new());
    q.live(refused(7));
    let mut now = S;
    for _ in 0..STRIKES {
        assert_eq!(drain(&mut q, now).len(), 1);
        q.receipt(&about(7, ReceiptStatus::Refused), now);
        now += 100 * S;
    }
    assert_eq!(drain(&mut q, now), []);
    assert!(q.take_poison().is_empty());
    feed(&mut q, vec![entry(Class::Alert, 7, &[])]);
    assert_eq!(
        drain(&mut q, now),
        [alert(7)],
        "on disk it has its own three tries"
    );
}

#[test]
fn readings_never_go_from_memory() {
    let mut q = queue(Border::Receipt, Vec::new());
    q.live(entry(Class::Telemetry, 7, &[]).record);
    assert_eq!(drain(&mut q, S), []);
}
