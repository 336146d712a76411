//! Why a connection fails, in words that say what to do.

use std::{error::Error, fmt, io};

use jiff::Timestamp;
use rustls::CertificateError;
use rustls_pki_types::UnixTime;

use crate::clock;

/// What sort of failure it is, because the next attempt depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The host is there, nobody listens on the port.
    Refused,
    /// The other side closed an open connection.
    Closed,
    /// No answer in time.
    Silent,
    /// TLS: certificates, names, clocks.
    Tls,
    /// User name, password or token are not accepted.
    Login,
    /// The other side does not speak as expected.
    Protocol,
    /// Name resolution, routing and whatever else.
    Other,
}

/// A failure and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub text: String,
}

impl Fault {
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Fault {
            kind,
            text: text.into(),
        }
    }

    /// Looks through the whole chain of causes for the one that explains it.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        if let Some(tls) = find(error, &|e| e.downcast_ref::<rustls::Error>().map(tls_text)) {
            return Fault::new(FaultKind::Tls, tls);
        }
        let kind = find(error, &|e| {
            let kind = e.downcast_ref::<io::Error>()?.kind();
            Some(match kind {
                io::ErrorKind::ConnectionRefused => FaultKind::Refused,
                io::ErrorKind::TimedOut => FaultKind::Silent,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => FaultKind::Closed,
                _ => return None,
            })
        });
        Fault::new(kind.unwrap_or(FaultKind::Other), chain(error))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The error and its causes on one line, without those that repeat the one before.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    // rustls adds an address for programmers.
    match text.split_once(" without sending TLS close_notify") {
        Some((closed, _)) => closed.to_owned(),
        None => text,
    }
}

type Look<'a, T> = &'a dyn Fn(&(dyn Error + 'static)) -> Option<T>;

/// Depth-first through sources and through what an `io::Error` wraps, which is not its source.
fn find<T>(error: &(dyn Error + 'static), look: Look<'_, T>) -> Option<T> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = look(error) {
            return Some(found);
        }
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| find(inner, look)) {
            return Some(found);
        }
        at = error.source();
    }
    None
}

fn tls_text(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("TLS: {error}");
    };
    let bound = match why {
        CertificateError::ExpiredContext { not_after, .. } => Some(Bound::Until(*not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => Some(Bound::From(*not_before)),
        _ => None,
    };
    if let Some(bound) = bound {
        let text = dates(bound, Timestamp::now(), clock::synchronised());
        return format!("TLS: {text} ({error})");
    }
    let hint = match why {
        CertificateError::Expired => {
            "the server's certificate has expired, or this gateway's clock is wrong; check `date`, then renew the certificate"
        }
        CertificateError::NotValidYet => {
            "the server's certificate is not valid yet, so this gateway's clock is probably behind; check `date`"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate was not issued by a CA that is trusted here; set ca_file to the CA of this platform"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name; use the host name that the certificate holds"
        }
        CertificateError::Revoked => "the server's certificate was revoked",
        _ => "the server's certificate is not acceptable",
    };
    format!("TLS: {hint} ({error})")
}

/// The date that a certificate fails by.
#[derive(Clone, Copy, Debug)]
enum Bound {
    From(UnixTime),
    Until(UnixTime),
}

/// What a certificate's dates and the station's clock say of each other, and which is to be
/// mended.
fn dates(bound: Bound, wall: Timestamp, synchronised: bool) -> String {
    let second = |time: UnixTime| {
        let seconds = i64::try_from(time.as_secs()).ok();
        let time = seconds.and_then(|s| Timestamp::from_second(s).ok());
        time.unwrap_or(Timestamp::MAX)
    };
    let (valid, at) = match bound {
        Bound::From(time) => ("valid from", second(time)),
        Bound::Until(time) => ("valid until", second(time)),
    };
    let mend = if wall < clock::built() {
        "the clock is wrong, because this program is younger; start a time service (chrony or systemd-timesyncd) or set the clock"
    } else if synchronised {
        match bound {
            Bound::From(_) => {
                "a time source vouches for the clock, so the certificate is for later"
            }
            Bound::Until(_) => "a time source vouches for the clock, so renew the certificate",
        }
    } else {
        "no time source vouches for the clock, so it may be wrong: check `timedatectl`, start a time service or set the clock, and only then renew the certificate"
    };
    format!(
        "this station's clock says {wall:.0}, and the server's certificate is {valid} {at}: {mend}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_answer_is_told_without_an_address_for_programmers() {
        let text = "peer closed connection without sending TLS close_notify: https://docs.rs/x";
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
        let fault = Fault::of(&error);
        assert_eq!(fault.text, "peer closed connection");
        assert_eq!(fault.kind, FaultKind::Closed);
    }

    #[test]
    fn a_wrong_clock_is_named_before_a_certificate_is_blamed() {
        let unix = |text: &str| {
            let at: Timestamp = text.parse().unwrap();
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second() as u64))
        };
        let year = jiff::SignedDuration::from_hours(365 * 24);
        let from = Bound::From(unix("2026-11-01T00:00:00Z"));
        let until = Bound::Until(unix("2027-02-01T00:00:00Z"));
        let epoch = "1970-01-01T00:10:00Z".parse().unwrap();
        let text = dates(from, epoch, true);
        assert!(
            text.contains("clock says 1970-01-01T00:10:00Z")
                && text.contains("valid from 2026-11-01T00:00:00Z")
                && text.contains("the clock is wrong"),
            "{text}"
        );
        let later = clock::built() + year;
        assert!(dates(until, later, false).contains("check `timedatectl`"));
        assert!(dates(until, later, true).contains("renew the certificate"));
        assert!(!dates(until, later, true).contains("timedatectl"));
        assert!(dates(from, later, true).contains("for later"));
    }
}
