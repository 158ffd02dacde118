//! TLS by rustls.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use rustls_platform_verifier::BuilderVerifierExt;
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// The protocol's name, by which a server of version 17 or newer is talked to at once.
const PROTOCOL: &[u8] = b"postgresql";

/// TLS for [`connect_with_tls`](crate::PostgresSessionPersistDriver::connect_with_tls), feature `rustls`.
///
/// The server's certificate is always checked, and has to name the host of the connection string. The string
/// should have `sslmode=require`: without it, a server that offers no TLS is talked to in the clear.
/// Channel binding is not done, so that `channel_binding=require` fails.
#[derive(Clone)]
pub struct PostgresTls(Arc<ClientConfig>);

impl PostgresTls {
    /// Trusts the certificates that the platform trusts.
    ///
    /// # Errors
    /// `Other`: the platform's certificates can't be had.
    pub fn with_platform_certificates() -> Result<Self, PersistError> {
        let trusting = builder()?.with_platform_verifier();
        Ok(Self::new(trusting.map_err(|error| unusable("the platform's certificates", error))?))
    }

    /// Trusts these certificates alone, in PEM; for a server whose authority is one's own or a provider's.
    ///
    /// # Errors
    /// `Other`: there is no certificate in it, or one that can't be read.
    pub fn with_certificates(pem: &[u8]) -> Result<Self, PersistError> {
        let what = "the certificates given in PEM";
        let mut trusted = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| unusable(what, error))?;
            trusted.add(certificate).map_err(|error| unusable(what, error))?;
        }
        if trusted.is_empty() {
            return Err(unusable(what, "there is none"));
        }
        Ok(Self::new(builder()?.with_root_certificates(trusted)))
    }

    fn new(trusting: ConfigBuilder<ClientConfig, WantsClientCert>) -> Self {
        let mut config = trusting.with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Self(Arc::new(config))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, PersistError> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("the cryptography that is built in", error))
}

fn unusable(what: &str, why: impl fmt::Display) -> PersistError {
    PersistError::new(PersistErrorKind::Other, format!("{what} can't be used for TLS: {why}; give others"))
}

impl fmt::Debug for PostgresTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTls").finish_non_exhaustive()
    }
}

impl MakeTlsConnect<Socket> for PostgresTls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, InvalidDnsNameError> {
        Ok(Handshake { config: self.0.clone(), host: ServerName::try_from(host)?.to_owned() })
    }
}

/// A connection on which TLS is about to begin.
#[derive(Debug)]
pub struct Handshake {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let connector = TlsConnector::from(self.config);
        Box::pin(async move { connector.connect(self.host, socket).await.map(Encrypted) })
    }
}

/// A connection with TLS.
#[derive(Debug)]
pub struct Encrypted(client::TlsStream<Socket>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_are_none_are_refused() {
        for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = PostgresTls::with_certificates(pem.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("give others"), "{error}");
        }
        assert_eq!(format!("{:?}", PostgresTls::with_platform_certificates().unwrap()), "PostgresTls { .. }");
    }
}
