//! Names in a certificate that was verified.

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

use crate::config::LoginFrom;

/// The subject, the most specific part first, as RabbitMQ writes it: `CN=anna,O=example`.
pub(super) fn subject(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(distinguished(certificate.subject()))
}

/// When a certificate expires, in seconds since 1970.
pub(super) fn expires(der: &[u8]) -> Option<u64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()
}

/// The user that a certificate names; none where it lacks the name that is asked for.
pub(super) fn name(der: &[u8], from: LoginFrom) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = match from {
        LoginFrom::DistinguishedName => Some(distinguished(certificate.subject())),
        LoginFrom::CommonName => {
            let mut names = certificate.subject().iter_common_name();
            names.next()?.as_str().ok().map(str::to_owned)
        }
        LoginFrom::SanDns => {
            let alternatives = certificate.subject_alternative_name().ok()??;
            alternatives
                .value
                .general_names
                .iter()
                .find_map(|name| match name {
                    GeneralName::DNSName(name) => Some((*name).to_owned()),
                    _ => None,
                })
        }
    };
    name.filter(|name| !name.is_empty())
}

fn distinguished(name: &X509Name<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let parts = name.iter_attributes().filter_map(|attribute| {
        let oid = attribute.attr_type();
        let key = x509_parser::objects::oid2abbrev(oid, registry).ok();
        let key = key.map_or_else(|| oid.to_id_string(), str::to_owned);
        Some(format!("{key}={}", attribute.as_str().ok()?))
    });
    let mut parts: Vec<String> = parts.collect();
    parts.reverse();
    parts.join(",")
}
