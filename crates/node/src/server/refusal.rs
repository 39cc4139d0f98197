//! Our errors as HTTP responses.

use althing_protocol::{Error, Kind};
use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// An error on its way out: `{"error": {"kind", "message", "retry_after_ms"}}`.
#[derive(Debug)]
pub(crate) struct Refusal {
    error: Error,
    status: StatusCode,
}

impl Refusal {
    /// An error whose status says more than its kind does.
    pub(crate) fn with_status(error: Error, status: StatusCode) -> Self {
        Self { error, status }
    }

    pub(crate) fn error(&self) -> &Error {
        &self.error
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Denied => StatusCode::FORBIDDEN,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            Kind::ContractViolation | Kind::GuestFailed => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { error, status }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut headers: Vec<(HeaderName, String)> = Vec::new();
        if let Some(ms) = self.error.retry_after_ms {
            headers.push((header::RETRY_AFTER, ms.div_ceil(1_000).max(1).to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.push((header::WWW_AUTHENTICATE, "Bearer".into()));
        }
        let body = Json(json!({ "error": shown(&self.error) }));
        let mut response = (self.status, body).into_response();
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// An error as JSON shows it.
pub(crate) fn shown(error: &Error) -> Value {
    let mut shown = Map::new();
    shown.insert("kind".into(), error.kind.name().into());
    shown.insert("message".into(), error.message.as_str().into());
    if let Some(ms) = error.retry_after_ms {
        shown.insert("retry_after_ms".into(), ms.into());
    }
    shown.into()
}
