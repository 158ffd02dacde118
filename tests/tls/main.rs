//! `https://`, and WebSockets over it, with each TLS that can be compiled in.
//!
//! `cert.pem` is a certificate for 127.0.0.1 that nobody trusts but these tests, and `key.pem` its key. They hold until
//! 2126, and were made by
//! `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 36500
//! -subj /CN=sandbox.test -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE`.

#![cfg(any(feature = "rustls", feature = "native-tls"))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sandbox_agent_sdk::acp_schema::StopReason;
use sandbox_agent_sdk::{SandboxAgent, SandboxAgentBuilder, SessionRequest};
use sandbox_agent_testkit::Sandbox;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const CERTIFICATE: &[u8] = include_bytes!("cert.pem");
const KEY: &[u8] = include_bytes!("key.pem");

/// An `https://` address that leads to this one.
async fn in_front_of(server: SocketAddr) -> String {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us goes away.
                let Ok(mut tls) = acceptor.accept(socket).await else { return };
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut tls, &mut server).await;
            });
        }
    });
    url
}

/// A client that trusts the certificate.
fn trusting(client: reqwest::ClientBuilder) -> reqwest::Client {
    let certificate = reqwest::Certificate::from_pem(CERTIFICATE).unwrap();
    client.tls_certs_only([certificate]).no_proxy().build().unwrap()
}

async fn a_session_goes_over(client: reqwest::ClientBuilder) {
    let sandbox = Sandbox::builder().quick_delete().token("secret").start().await.unwrap();
    let url = in_front_of(sandbox.url().strip_prefix("http://").unwrap().parse().unwrap()).await;
    let builder = |url: &str| SandboxAgent::builder(url).token("secret");
    let sdk = builder(&url).client(trusting(client)).connect().await.unwrap();
    let session = sdk.create_session(SessionRequest::new("one", "mock").cwd("/tmp")).await.unwrap();
    assert_eq!(session.prompt("say hello").await.unwrap().stop_reason, StopReason::EndTurn);
    sdk.close().await.unwrap();
    is_refused_without_trust(builder(&url)).await;
}

/// The SDK's own client takes the certificates of the platform alone.
async fn is_refused_without_trust(builder: SandboxAgentBuilder) {
    let limits = sandbox_agent_sdk::Limits::default().connect(std::time::Duration::from_millis(500));
    let error = builder.limits(limits).connect().await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(format!("{error:?}").to_lowercase().contains("certificate"), "{error:?}");
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn a_session_goes_over_rustls() {
    a_session_goes_over(reqwest::Client::builder().tls_backend_rustls()).await;
}

#[cfg(feature = "native-tls")]
#[tokio::test]
async fn a_session_goes_over_the_platforms_own_tls() {
    a_session_goes_over(reqwest::Client::builder().tls_backend_native()).await;
}

#[cfg(feature = "websocket")]
mod websocket {
    use sandbox_agent_sdk::api::processes::{FollowLogs, ProcessCreateRequest};
    use sandbox_agent_testkit::real::{RealServer, RealServerOptions};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn a_terminal_is_typed_into_over(client: reqwest::ClientBuilder) {
        let server = RealServer::start(RealServerOptions::new().token("secret")).await.unwrap();
        let url = in_front_of(server.address()).await;
        let sdk =
            SandboxAgent::builder(url).token("secret").client(trusting(client)).connect().await.unwrap();
        let request =
            ProcessCreateRequest::new("sh").args(["-c", "stty -echo; read a; echo \"<$a>\""]).tty(true);
        let info = sdk.processes().create(&request).await.unwrap();
        let mut io = sdk.processes().terminal(&info.id, FollowLogs::new()).await.unwrap().into_io();
        io.write_all(b"typed\n").await.unwrap();
        let mut shown = String::new();
        io.read_to_string(&mut shown).await.unwrap();
        assert!(shown.contains("<typed>"), "{shown:?}");
    }

    #[cfg(feature = "rustls")]
    #[tokio::test]
    #[ignore = "needs the real server: cargo xtask test"]
    async fn a_terminal_is_typed_into_over_rustls() {
        a_terminal_is_typed_into_over(reqwest::Client::builder().tls_backend_rustls()).await;
    }

    #[cfg(feature = "native-tls")]
    #[tokio::test]
    #[ignore = "needs the real server: cargo xtask test"]
    async fn a_terminal_is_typed_into_over_the_platforms_own_tls() {
        a_terminal_is_typed_into_over(reqwest::Client::builder().tls_backend_native()).await;
    }
}
