//! `[tls]`: the certificate that is shown, and those that clients show.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM file of the certificate, with those between it and its authority behind it; empty for none.
    pub(crate) cert_file: PathBuf,
    /// PEM file of its private key.
    pub(crate) key_file: PathBuf,
    /// PEM file of the authorities of clients' certificates.
    pub(crate) ca_file: PathBuf,
    /// Whether AMQP clients show certificates.
    pub(crate) client_certificates: ClientCertificates,
    /// Whether clients of the management API show certificates. They log in by a password all the same.
    pub(crate) management_client_certificates: ClientCertificates,
    /// Which name in it is the user of a client that logs in by EXTERNAL.
    pub(crate) login_from: LoginFrom,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientCertificates {
    /// They are not asked.
    #[default]
    None,
    /// One that is shown has to be good.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// A name in a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoginFrom {
    /// The subject's common name.
    #[default]
    CommonName,
    /// The whole subject, the most specific part first: `CN=anna,O=example`.
    DistinguishedName,
    /// The first alternative name that is a host name.
    SanDns,
}
