//! What a client has shown of itself, in the words that logs and plugins are used to.

use keelgate_plugins::exchange::ClientCertificate;
use rustls::pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

/// A chain that was verified, the client's own certificate first.
pub(crate) fn read(chain: &[CertificateDer<'_>]) -> ClientCertificate {
    let own = chain.first().map(|own| X509Certificate::from_der(own));
    let (subject, issuer, serial) = match own {
        Some(Ok((_, own))) => (
            name(own.subject()),
            name(own.issuer()),
            own.raw_serial()
                .iter()
                .map(|byte| format!("{byte:02X}"))
                .collect(),
        ),
        _ => Default::default(),
    };
    ClientCertificate {
        chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
        subject,
        issuer,
        serial,
    }
}

/// A name as RFC 2253 writes it: the last part first.
fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let parts = parts.iter().rev().map(|part| {
        let several: Vec<_> = part.iter().map(attribute).collect();
        several.join("+")
    });
    parts.collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let named = oid2abbrev(oid, oid_registry());
    let kind = named.map_or_else(|_| oid.to_id_string(), str::to_owned);
    let value = match attribute.as_str() {
        Ok(text) => escaped(text),
        Err(_) => attribute
            .as_slice()
            .iter()
            .fold("#".to_owned(), |hex, byte| hex + &format!("{byte:02X}")),
    };
    format!("{kind}={value}")
}

/// Text of a name, in which nothing can be taken for another part of it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        let at_an_end = c == ' ' && (at == 0 || at == last) || c == '#' && at == 0;
        if at_an_end || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};

    use super::*;

    #[test]
    fn a_certificate_is_told_by_its_names_and_its_number() {
        let mut name = DistinguishedName::new();
        name.push(DnType::CountryName, "DE");
        name.push(DnType::OrganizationName, "Example, \"Ltd\"");
        name.push(DnType::CommonName, " client;1 ");
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.serial_number = Some(SerialNumber::from(0x0a_ff_u64));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let chain = [made.der().clone()];
        let read = read(&chain);
        let expected = "CN=\\ client\\;1\\ ,O=Example\\, \\\"Ltd\\\",C=DE";
        assert_eq!((&*read.subject, &*read.issuer), (expected, expected));
        assert_eq!(read.serial, "0AFF");
        assert_eq!(read.chain, chain);
    }
}
