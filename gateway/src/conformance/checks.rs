//! How each clause is tried.

mod extras;
mod messages;
mod pictures;
mod receipts;

use super::{
    clause::Clause,
    exam::{Exam, Outcome},
};

/// Tries one clause.
pub async fn check(exam: &mut Exam, clause: Clause) -> Outcome {
    match clause {
        Clause::Receipt => receipts::echoed(exam).await,
        Clause::HashOfBytes => receipts::hash_of_bytes(exam).await,
        Clause::Repeat => receipts::repeat(exam).await,
        Clause::OtherBytes => receipts::other_bytes(exam).await,
        Clause::AtOnce => receipts::at_once(exam).await,
        Clause::AnyOrder => receipts::any_order(exam).await,
        Clause::Durable => receipts::durable(exam).await,
        Clause::Life => messages::life(exam).await,
        Clause::Readings => messages::readings(exam).await,
        Clause::Gaps => messages::gaps(exam).await,
        Clause::Clock => messages::clock(exam).await,
        Clause::Sealed => messages::sealed(exam).await,
        Clause::UnknownKeys => messages::unknown_keys(exam).await,
        Clause::LargestMessage => messages::largest(exam).await,
        Clause::Unreadable => messages::unreadable(exam).await,
        Clause::AgainstSchema => messages::against_schema(exam).await,
        Clause::TooLarge => messages::too_large(exam).await,
        Clause::Parallel => messages::parallel(exam).await,
        Clause::Picture => pictures::picture(exam).await,
        Clause::WrongHash => pictures::wrong_hash(exam).await,
        Clause::Missing => pictures::missing(exam).await,
        Clause::LargestPicture => pictures::largest(exam).await,
        Clause::Pieces => pictures::pieces(exam).await,
        Clause::Thumbnail => pictures::thumbnail(exam).await,
        Clause::Token => extras::token(exam).await,
        Clause::NotRetained => extras::not_retained(exam).await,
        Clause::Digests => extras::digests(exam).await,
        Clause::Inbox => extras::inbox(exam).await,
        Clause::Answers => extras::answers(exam).await,
    }
}
