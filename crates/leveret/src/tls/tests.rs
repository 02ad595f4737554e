//! Names in certificates, and files that change.

use std::fs;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::config::LoginFrom;

/// A certificate for itself, in files of a folder.
fn write(folder: &TempDir, name: &str) -> TlsConfig {
    let mut params = CertificateParams::new(vec![format!("{name}.example")]).expect("a name");
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "example");
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let config = TlsConfig {
        cert_file: folder.path().join("cert.pem"),
        key_file: folder.path().join("key.pem"),
        ..TlsConfig::default()
    };
    fs::write(&config.cert_file, certificate.pem()).expect("a file of ours");
    fs::write(&config.key_file, key.serialize_pem()).expect("a file of ours");
    config
}

#[test]
fn names_are_read_where_they_are_asked_for() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = write(&folder, "anna");
    let shown = certificates(&config.cert_file).expect("it is good");
    let name = |from| certificate::name(&shown[0], from);
    assert_eq!(name(LoginFrom::CommonName).as_deref(), Some("anna"));
    assert_eq!(name(LoginFrom::SanDns).as_deref(), Some("anna.example"));
    assert_eq!(
        name(LoginFrom::DistinguishedName).as_deref(),
        Some("CN=anna,O=example")
    );
    assert_eq!(
        certificate::name(b"no certificate", LoginFrom::CommonName),
        None
    );
}

#[test]
fn what_cannot_be_used_is_told_and_what_was_read_goes_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = write(&folder, "anna");
    let tls = Tls::new(&config, ClientCertificates::None).expect("they are good");
    let before = tls.server();
    tls.reload();
    let again = tls.server();
    assert!(!Arc::ptr_eq(&before, &again));
    fs::write(&config.cert_file, "nothing").expect("a file of ours");
    tls.reload();
    assert!(Arc::ptr_eq(&again, &tls.server()));
    let error = Tls::new(&config, ClientCertificates::None).expect_err("there is no certificate");
    assert!(
        error
            .to_string()
            .contains("cert.pem: there is no certificate in it"),
        "{error}"
    );
}
