//! TLS: the certificate that is shown, which clients' certificates are taken, and reading both again.
//!
//! The files are looked at again when a connection comes and the last look is some seconds past, and on SIGHUP. Files that cannot be used are told in the
//! log, and what was read before goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use leveret_amqp::settings::TlsFacts;
use leveret_management::{Handshake, Io};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ProtocolVersion, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config::{ClientCertificates, Config, ListenAddress, Tls as TlsConfig};

mod certificate;
#[cfg(test)]
mod tests;

/// The least time between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// A certificate or key that cannot be used.
#[derive(Debug, Error)]
#[error("{}: {reason}", file.display())]
pub(crate) struct TlsError {
    file: PathBuf,
    reason: String,
}

impl TlsError {
    fn new(file: &Path, reason: impl ToString) -> Self {
        Self {
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// See the module.
pub(crate) struct Tls {
    config: TlsConfig,
    /// Whether clients show certificates.
    asks: ClientCertificates,
    current: Mutex<Current>,
}

struct Current {
    server: Arc<ServerConfig>,
    /// When the files were last changed, as of the last look.
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// **Errors**: the file that cannot be used.
    pub(crate) fn new(config: &TlsConfig, asks: ClientCertificates) -> Result<Self, TlsError> {
        let changed = changed(config);
        Ok(Self {
            asks,
            current: Mutex::new(Current {
                server: Arc::new(read(config, asks)?),
                changed,
                looked: Instant::now(),
            }),
            config: config.clone(),
        })
    }

    /// Takes a connection through its handshake. **Waits** for the peer.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.server()).accept(stream).await
    }

    /// The same for connections of the management API.
    pub(crate) fn handshake(self: &Arc<Self>) -> Handshake {
        let this = Arc::clone(self);
        Handshake::new(move |stream| {
            let this = Arc::clone(&this);
            Box::pin(async move {
                let stream = this.accept(stream).await?;
                Ok(Box::new(stream) as Box<dyn Io>)
            })
        })
    }

    /// What is to be known of a connection, and the user that its certificate names.
    pub(crate) fn facts(&self, stream: &TlsStream<TcpStream>) -> (TlsFacts, Option<String>) {
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        let facts = TlsFacts {
            protocol: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "tlsv1.2",
                _ => "tlsv1.3",
            },
            cipher: session
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            peer_subject: shown.and_then(|shown| certificate::subject(shown)),
        };
        let user = shown.and_then(|shown| certificate::name(shown, self.config.login_from));
        (facts, user)
    }

    /// The present configuration of sessions; looks at the files where the last look is long past.
    fn server(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock();
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            let now = changed(&self.config);
            if now != current.changed {
                current.changed = now;
                self.read_again(&mut current);
            }
        }
        Arc::clone(&current.server)
    }

    /// Reads the files again, changed or not.
    pub(crate) fn reload(&self) {
        let mut current = self.current.lock();
        current.changed = changed(&self.config);
        self.read_again(&mut current);
    }

    fn read_again(&self, current: &mut Current) {
        match read(&self.config, self.asks) {
            Ok(server) => {
                current.server = Arc::new(server);
                tracing::info!(file = %self.config.cert_file.display(), "certificate read again");
            }
            Err(error) => tracing::error!("the certificate stays as it was: {error}"),
        }
    }
}

/// What listeners encrypt with; none where they do not.
#[derive(Debug, Default)]
pub(crate) struct Encryption {
    pub(crate) amqp: Option<Arc<Tls>>,
    pub(crate) management: Option<Arc<Tls>>,
}

impl Encryption {
    /// Reads what the configuration needs.
    ///
    /// **Errors**: the file that cannot be used.
    pub(crate) fn new(config: &Config) -> Result<Self, TlsError> {
        let tls = &config.tls;
        let read = |addresses: &[ListenAddress], asks| match addresses.is_empty() {
            true => Ok(None),
            false => Tls::new(tls, asks).map(|tls| Some(Arc::new(tls))),
        };
        let listeners = &config.listeners;
        Ok(Self {
            amqp: read(&listeners.amqps, tls.client_certificates)?,
            management: read(
                &listeners.management_tls,
                tls.management_client_certificates,
            )?,
        })
    }

    /// Reads the files again, changed or not.
    pub(crate) fn reload(&self) {
        for tls in [&self.amqp, &self.management].into_iter().flatten() {
            tls.reload();
        }
    }
}

/// When the certificate that is shown expires, in seconds since 1970; none where none is, or its file cannot be read.
pub(crate) fn expires(config: &TlsConfig) -> Option<u64> {
    let chain = certificates(&config.cert_file).ok()?;
    chain
        .iter()
        .filter_map(|one| certificate::expires(one))
        .min()
}

/// When each file was last changed; none for one that is not there.
fn changed(config: &TlsConfig) -> Vec<Option<SystemTime>> {
    let files = [&config.cert_file, &config.key_file, &config.ca_file];
    let times = files.map(|file| fs::metadata(file).and_then(|data| data.modified()).ok());
    times.into()
}

fn read(config: &TlsConfig, asks: ClientCertificates) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&config.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file);
    let key = key.map_err(|error| TlsError::new(&config.key_file, error))?;
    let provider = Arc::new(ring::default_provider());
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(&config.cert_file, error))?;
    let clients = match asks {
        ClientCertificates::None => versions.with_no_client_auth(),
        asked => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(&config.ca_file)? {
                let added = roots.add(authority);
                added.map_err(|error| TlsError::new(&config.ca_file, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match asked {
                ClientCertificates::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build();
            versions.with_client_cert_verifier(
                verifier.map_err(|error| TlsError::new(&config.ca_file, error))?,
            )
        }
    };
    let server = clients.with_single_cert(chain, key);
    server.map_err(|error| TlsError::new(&config.key_file, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(file);
    let all = all.map_err(|error| TlsError::new(file, error))?;
    let all: Result<Vec<_>, _> = all.collect();
    let all = all.map_err(|error| TlsError::new(file, error))?;
    match all.is_empty() {
        true => Err(TlsError::new(file, "there is no certificate in it")),
        false => Ok(all),
    }
}
