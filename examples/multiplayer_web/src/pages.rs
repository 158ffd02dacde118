//! The page's files, and the headers that keep others out of it.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::sandbox::Sandbox;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal: $file:literal, $kind:ident;)+) => {
        const FILES: &[(&str, &str, &str)] = &[$(($path, include_str!(concat!("../web/", $file)), $kind)),+];
    };
}

files! {
    "/": "index.html", HTML;
    "/favicon.svg": "favicon.svg", SVG;
    "/base.css": "base.css", CSS;
    "/page.css": "page.css", CSS;
    "/transcript.css": "transcript.css", CSS;
    "/app.js": "app.js", SCRIPT;
    "/connection.js": "connection.js", SCRIPT;
    "/door.js": "door.js", SCRIPT;
    "/envelopes.js": "envelopes.js", SCRIPT;
    "/markdown.js": "markdown.js", SCRIPT;
    "/workspace.js": "workspace.js", SCRIPT;
    "/view/announcer.js": "view/announcer.js", SCRIPT;
    "/view/composer.js": "view/composer.js", SCRIPT;
    "/view/dom.js": "view/dom.js", SCRIPT;
    "/view/markdown-view.js": "view/markdown-view.js", SCRIPT;
    "/view/panel.js": "view/panel.js", SCRIPT;
    "/view/people.js": "view/people.js", SCRIPT;
    "/view/queue.js": "view/queue.js", SCRIPT;
    "/view/transcript.js": "view/transcript.js", SCRIPT;
}

/// Only what comes from here runs, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router(sandbox: &Sandbox) -> Router {
    let config = sandbox.config().to_string();
    let mut router = Router::new().route(
        "/config.json",
        get(async move || ([(header::CONTENT_TYPE, "application/json")], config.clone())),
    );
    for (path, text, kind) in FILES {
        router = router.route(path, get(async move || ([(header::CONTENT_TYPE, *kind)], *text)));
    }
    router
}

/// What stands before everything that is served.
pub(crate) fn guard(router: Router, address: SocketAddr) -> Router {
    router.layer(middleware::from_fn_with_state(address.ip().is_loopback(), check_host))
}

async fn check_host(State(on_this_machine): State<bool>, request: Request, next: Next) -> Response {
    // Anybody's domain can be made to lead to this machine, and its pages would then count as ours.
    if on_this_machine && !is_this_machine(request.headers()) {
        return (StatusCode::MISDIRECTED_REQUEST, "this server is for this machine alone").into_response();
    }
    harden(next.run(request).await)
}

fn is_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}

fn harden(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}
