//! TLS as AWS's services speak it, with a certificate of this run's own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

/// A server's certificate and the root that it leads to.
pub struct Certificate {
    acceptor: TlsAcceptor,
    folder: TempDir,
}

impl Certificate {
    pub fn new() -> Result<Self> {
        let mut root = CertificateParams::default();
        // Another name than the server's, or OpenSSL takes that for self-signed.
        root.distinguished_name.push(DnType::CommonName, "root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &root)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key.into())?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("root.pem"), root.pem())?;
        Ok(Self { acceptor: Arc::new(config).into(), folder })
    }

    /// The root, as a file of PEM.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Speaks TLS on what this listener accepts.
    pub fn listen(&self, tcp: TcpListener) -> Listener {
        Listener { tcp, acceptor: self.acceptor.clone() }
    }
}

/// A listener that has the certificate.
pub struct Listener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = axum::serve::Listener::accept(&mut self.tcp).await;
            // Else the second part of an answer waits for the acknowledgement of the first, 40 ms.
            if stream.set_nodelay(true).is_ok()
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
