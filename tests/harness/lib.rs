//! Starts and stops the real peers that the stories run against.
