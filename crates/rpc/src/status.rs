//! Our errors as gRPC statuses, and back, without loss.

use althing_protocol::{Error, Kind};
use std::error::Error as _;
use tonic::{Code, Status, metadata::MetadataValue};

const KIND: &str = "althing-kind";
const RETRY_AFTER_MS: &str = "althing-retry-after-ms";

/// The status for `error`.
pub fn to_status(error: &Error) -> Status {
    let code = match error.kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Denied => Code::PermissionDenied,
        Kind::Conflict => Code::Aborted,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::ContractViolation | Kind::GuestFailed => Code::FailedPrecondition,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    };
    let mut status = Status::new(code, &error.message);
    let metadata = status.metadata_mut();
    metadata.insert(KIND, MetadataValue::from_static(error.kind.name()));
    if let Some(ms) = error.retry_after_ms {
        metadata.insert(RETRY_AFTER_MS, ms.into());
    }
    status
}

/// The error of `status`. One that does not come from our own code, but from the transport or
/// something on the way, gets the kind that says whether trying again makes sense.
pub fn from_status(status: &Status) -> Error {
    let text = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
    let named = text(KIND).and_then(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name));
    let Some(kind) = named else { return foreign(status) };
    let error = Error::new(kind, status.message());
    Error { retry_after_ms: text(RETRY_AFTER_MS).and_then(|ms| ms.parse().ok()), ..error }
}

fn foreign(status: &Status) -> Error {
    let kind = match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Kind::Invalid,
        Code::NotFound => Kind::NotFound,
        Code::Unauthenticated | Code::PermissionDenied => Kind::Denied,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => Kind::Conflict,
        Code::ResourceExhausted => Kind::Exhausted,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Kind::Unavailable,
        // A connection that breaks in the middle of a call: its cause hangs on the status.
        Code::Unknown | Code::Internal if status.source().is_some() => Kind::Unavailable,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Kind::Internal,
    };
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    Error::new(kind, format!("gRPC: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives() {
        for kind in Kind::ALL {
            for retry_after_ms in [None, Some(0), Some(7), Some(u64::MAX)] {
                let message = "key \"/ä/\u{0}\n%41\": reason; remedy";
                let error = Error { retry_after_ms, ..Error::new(kind, message) };
                assert_eq!(from_status(&to_status(&error)), error);
            }
        }
    }

    #[test]
    fn every_kind_survives_http_headers() {
        for kind in Kind::ALL {
            let error = Error::new(kind, "größer\nals % 100\u{1f980}").retry_after_ms(3);
            let mut headers = tonic::codegen::http::HeaderMap::new();
            assert!(to_status(&error).add_header(&mut headers).is_ok());
            let received = Status::from_header_map(&headers);
            assert_eq!(received.as_ref().map(from_status), Some(error));
        }
    }

    #[test]
    fn a_broken_transport_is_worth_another_try() {
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert_eq!(from_status(&broken).kind, Kind::Unavailable);
        assert_eq!(from_status(&Status::unavailable("no")).kind, Kind::Unavailable);
        assert_eq!(from_status(&Status::unknown("panic")).kind, Kind::Internal);
        assert_eq!(from_status(&Status::unauthenticated("token")).kind, Kind::Denied);
    }
}
