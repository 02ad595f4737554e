//! Certificates for tests, and a bridge over which a client without TLS speaks to a broker with it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An authority with a folder for what it issues.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM file of the certificate.
    pub certificate: PathBuf,
    /// PEM file of the key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of tests");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file of ours");
        Self { issuer, folder }
    }

    /// PEM file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate for a common name that is a host name as well; files of that name are replaced.
    pub fn issue(&self, name: &str) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a host name");
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "example");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let issued = Issued {
            certificate: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
        };
        fs::write(&issued.certificate, certificate.pem()).expect("a file of ours");
        fs::write(&issued.key, key.serialize_pem()).expect("a file of ours");
        issued
    }

    /// How a client that trusts this authority speaks, showing a certificate if it has one.
    pub fn client(&self, shows: Option<&Issued>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.file()).expect("our own file");
        roots.add(own).expect("our own certificate");
        let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots);
        match shows {
            None => versions.with_no_client_auth(),
            Some(issued) => {
                let chain =
                    CertificateDer::from_pem_file(&issued.certificate).expect("our own file");
                let key = PrivateKeyDer::from_pem_file(&issued.key).expect("our own file");
                versions
                    .with_client_auth_cert(vec![chain], key)
                    .expect("our own key")
            }
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Listens without TLS, and passes what comes on to a broker with it, whose certificate has to be for `host`. A connection for which there is no
/// handshake is closed. It goes on until the process ends.
pub fn bridge(broker: SocketAddr, host: &str, client: ClientConfig) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("a socket of ours");
    let host = ServerName::try_from(host.to_owned()).expect("a host name");
    let connector = TlsConnector::from(Arc::new(client));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a socket of ours");
            while let Ok((plain, _)) = listener.accept().await {
                tokio::spawn(pass(plain, broker, host.clone(), connector.clone()));
            }
        });
    });
    address
}

async fn pass(
    mut plain: TcpStream,
    broker: SocketAddr,
    host: ServerName<'static>,
    connector: TlsConnector,
) {
    let Ok(stream) = TcpStream::connect(broker).await else {
        return;
    };
    if let Ok(mut encrypted) = connector.connect(host, stream).await {
        // However it ends, both sides see it.
        let _ = copy_bidirectional(&mut plain, &mut encrypted).await;
    }
}
