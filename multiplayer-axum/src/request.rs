//! What a request says of whoever sent it.

use axum::http::{HeaderMap, header};
use sandbox_agent_multiplayer::{ConnectionRequest, Error};
use serde_json::{Map, Value};

use crate::options::HostOptions;

/// The parameters of a URL, in their order.
pub(crate) type Query = Vec<(String, String)>;

/// Who wants to come in, by headers and URL.
pub(crate) fn of(
    workspace: &str,
    headers: &HeaderMap,
    query: Query,
    options: &HostOptions,
) -> ConnectionRequest {
    let mut request = ConnectionRequest::new(workspace);
    let mut params = Map::new();
    for (name, value) in query {
        if options.token_parameter.as_ref() == Some(&name) {
            request = request.token(value);
        } else {
            params.insert(name, Value::String(value));
        }
    }
    if let Some(token) = bearer(headers) {
        request = request.token(token);
    }
    request.params(Value::Object(params))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// An error where a browser acts for a page that has no business here. Who is no browser names no page.
pub(crate) fn check_origin(headers: &HeaderMap, options: &HostOptions) -> Result<(), Error> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own =
        origin.split_once("://").is_some_and(|(_, at)| !at.is_empty() && at == host.to_ascii_lowercase());
    if own || options.any_origin || options.origins.contains(&origin) {
        return Ok(());
    }
    Err(Error::refused(format!("pages of {origin:?} may not come in; the host has to allow their origin")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_page_of_another_host_is_refused() {
        let check = |origin, options: &HostOptions| {
            check_origin(&headers(&[("host", "Here:8080"), ("origin", origin)]), options).is_ok()
        };
        let options = HostOptions::default();
        assert!(check_origin(&headers(&[("host", "here:8080")]), &options).is_ok(), "no browser");
        assert!(check("http://here:8080", &options));
        for other in ["http://here", "http://here:8081", "https://evil.example", "null", "", "http://"] {
            assert!(!check(other, &options), "{other}");
        }
        let options = options.allow_origin("https://App.example");
        assert!(check("https://app.example", &options) && !check("http://app.example", &options));
        assert!(check("https://evil.example", &options.allow_any_origin()));
    }

    #[test]
    fn a_url_has_no_token_unless_told() {
        let query =
            || vec![("access_token".to_owned(), "t".to_owned()), ("name".to_owned(), "Ada".to_owned())];
        let request = of("w", &HeaderMap::new(), query(), &HostOptions::default());
        assert_eq!((request.token.as_deref(), request.param("name")), (None, Some("Ada")));
        let options = HostOptions::default().token_parameter("access_token");
        let request = of("w", &HeaderMap::new(), query(), &options);
        assert_eq!((request.token.as_deref(), request.param("access_token")), (Some("t"), None));
        let request = of("w", &headers(&[("authorization", "bearer  h")]), query(), &options);
        assert_eq!(request.token.as_deref(), Some("h"), "the header counts first");
    }
}
