//! Who is let in at all.
//!
//! Any page in a browser on this machine can send requests to a loopback port. What keeps it out:
//! it has no token; its Origin is not ours; and a name that resolves to 127.0.0.1 (rebinding) is
//! not a Host of ours.

use super::refusal::Refusal;
use crate::host::Host;
use althing_operations::Caller;
use althing_protocol::{Error, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Served without a token: whether the process lives and takes requests, nothing else.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];
const GRPC: &str = "application/grpc";

struct Guard {
    host: Arc<Host>,
    port: u16,
}

/// Puts the guard before everything in `router`, what it does not know included.
pub(crate) fn protect(router: Router, host: Arc<Host>, address: SocketAddr) -> Router {
    let guard = Arc::new(Guard { host, port: address.port() });
    router.layer(from_fn_with_state(guard, watch))
}

async fn watch(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(GRPC.as_bytes()));
    let mut response = match guard.admit(&request) {
        Ok(caller) => {
            request.extensions_mut().extend(caller.map(with_caller).unwrap_or_default());
            next.run(request).await
        }
        Err(refusal) if is_grpc => althing_rpc::to_status(refusal.error()).into_http(),
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn with_caller(caller: Caller) -> axum::http::Extensions {
    let mut extensions = axum::http::Extensions::new();
    extensions.insert(caller);
    extensions
}

impl Guard {
    fn admit(&self, request: &Request) -> Result<Option<Caller>, Refusal> {
        let authority = request.uri().authority().map(|authority| authority.as_str());
        check_host(request.headers(), authority, self.port)?;
        check_origin(request.headers(), self.port)?;
        if OPEN_PATHS.contains(&request.uri().path()) {
            return Ok(None);
        }
        let token = bearer(request.headers());
        match token.and_then(|token| self.host.callers.authenticate(token)) {
            Some(caller) => Ok(Some(caller)),
            None => Err(Refusal::with_status(unknown_token(token), StatusCode::UNAUTHORIZED)),
        }
    }
}

fn unknown_token(token: Option<&str>) -> Error {
    Error::denied(match token {
        Some(_) => {
            "token: not one of this node, or revoked; action:token.create.v1 makes one".to_owned()
        }
        None => format!(
            "token: missing; send `authorization: Bearer TOKEN`, the one in \
             DATA/callers/{}.token or one that action:token.create.v1 made",
            crate::callers::LOCAL
        ),
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = only(headers, header::AUTHORIZATION).ok()??;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// HTTP/1 says where it wants to go in `Host`, HTTP/2 in the authority, and a client may say both.
fn check_host(headers: &HeaderMap, authority: Option<&str>, port: u16) -> Result<()> {
    let host = only(headers, header::HOST)?;
    let named = [authority, host];
    let mut named = named.into_iter().flatten().peekable();
    if named.peek().is_none() {
        return Err(Error::denied(
            "host: missing; send the header `host` with this node's address",
        ));
    }
    match named.find(|host| !is_own(host, port)) {
        Some(foreign) => Err(Error::denied(format!(
            "host {foreign:?}: is not this node; use http://127.0.0.1:{port}"
        ))),
        None => Ok(()),
    }
}

fn check_origin(headers: &HeaderMap, port: u16) -> Result<()> {
    match only(headers, header::ORIGIN)? {
        None => Ok(()),
        Some(origin) => {
            let own = origin.strip_prefix("http://").is_some_and(|host| is_own(host, port));
            own.then_some(()).ok_or_else(|| {
                Error::denied(format!(
                    "origin {origin:?}: pages from elsewhere may not use this node; open \
                     http://127.0.0.1:{port}"
                ))
            })
        }
    }
}

/// Whether `host` names the loopback interface and our port.
fn is_own(host: &str, port: u16) -> bool {
    const HTTP_PORT: u16 = 80;
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback() && address.port() == port;
    }
    let (name, given) = match host.rsplit_once(':') {
        Some((name, digits)) if !name.ends_with(':') && !host.ends_with(']') => {
            (name, digits.parse().ok())
        }
        _ => (host, Some(HTTP_PORT)),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback && given == Some(port)
}

/// The value of a header that must not be there twice.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>> {
    let mut values = headers.get_all(&name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Error::invalid(format!("header {name}: is there twice; send it once")));
    }
    let text = first.map(|value| value.to_str()).transpose();
    text.map_err(|_| Error::invalid(format!("header {name}: has bytes that are not ASCII text")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts() {
        for own in
            ["127.0.0.1:3000", "localhost:3000", "LOCALHOST:3000", "[::1]:3000", "127.0.0.9:3000"]
        {
            assert!(is_own(own, 3000), "{own}");
        }
        for foreign in [
            "",
            ":3000",
            "evil.example",
            "evil.example:3000",
            "127.0.0.1",
            "localhost",
            "[::1]",
            "127.0.0.1:3001",
            "localhost:03000x",
            "localhost.evil.example:3000",
            "127.0.0.1.evil:3000",
            "192.168.1.4:3000",
            "[::2]:3000",
            "0.0.0.0:3000",
            "localhost:3000:3000",
            "user@localhost:3000",
        ] {
            assert!(!is_own(foreign, 3000), "{foreign}");
        }
        assert!(is_own("localhost", 80) && is_own("[::1]", 80) && is_own("127.0.0.1", 80));
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn host_and_authority_must_both_be_ours() {
        let own = "127.0.0.1:3000";
        let foreign = headers(&[(header::HOST, "evil.example:3000")]);
        assert!(check_host(&foreign, None, 3000).is_err());
        assert!(check_host(&foreign, Some(own), 3000).is_err());
        assert!(check_host(&HeaderMap::new(), Some(own), 3000).is_ok());
        assert!(check_host(&HeaderMap::new(), None, 3000).is_err());
        let twice = headers(&[(header::HOST, own), (header::HOST, "evil.example")]);
        assert!(check_host(&twice, None, 3000).is_err());
    }

    #[test]
    fn origins() {
        for own in ["http://127.0.0.1:3000", "http://localhost:3000"] {
            assert!(check_origin(&headers(&[(header::ORIGIN, own)]), 3000).is_ok(), "{own}");
        }
        for foreign in
            ["null", "https://localhost:3000", "http://localhost:8080", "http://evil.example"]
        {
            assert!(
                check_origin(&headers(&[(header::ORIGIN, foreign)]), 3000).is_err(),
                "{foreign}"
            );
        }
        assert!(check_origin(&HeaderMap::new(), 3000).is_ok());
    }

    #[test]
    fn bearers() {
        let of = |value| headers(&[(header::AUTHORIZATION, value)]);
        assert_eq!(bearer(&of("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&of("bearer  abc ")), Some("abc"));
        assert_eq!(bearer(&of("Basic abc")), None);
        assert_eq!(bearer(&of("abc")), None);
    }
}
