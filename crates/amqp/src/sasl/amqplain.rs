//! AMQPLAIN: a field table without its length, with LOGIN and PASSWORD.

use leveret_message::table::{TableRef, Value};
use leveret_wire::ReplyCode;

use super::Credentials;
use crate::exception::Exception;

pub(super) fn read(response: &[u8]) -> Result<Credentials, Exception> {
    let refused = |text: &str| Exception::connection(ReplyCode::SyntaxError, text);
    let table = TableRef::parse(response)
        .map_err(|_| refused("AMQPLAIN auth info is not a field table"))?;
    let missing = || refused("AMQPLAIN auth info is missing LOGIN or PASSWORD field");
    let user = table.find("LOGIN").and_then(bytes).ok_or_else(missing)?;
    let password = table.find("PASSWORD").and_then(bytes).ok_or_else(missing)?;
    let user = String::from_utf8(user.to_vec()).map_err(|_| missing())?;
    Ok(Credentials {
        user,
        password: password.to_vec(),
    })
}

fn bytes(value: Value<'_>) -> Option<&[u8]> {
    match value {
        Value::LongStr(bytes) | Value::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use leveret_message::table::TableWriter;

    use super::*;

    #[test]
    fn reads_login_and_password() {
        let mut table = TableWriter::new();
        table.put("LOGIN", Value::LongStr(b"guest"));
        table.put("PASSWORD", Value::Binary(b"secret"));
        let read = read(table.finish().view().as_bytes()).expect("well formed");
        assert_eq!(
            (read.user.as_str(), read.password.as_slice()),
            ("guest", &b"secret"[..])
        );
    }

    #[test]
    fn refuses_what_lacks_a_field_or_is_no_table() {
        let mut table = TableWriter::new();
        table.put("LOGIN", Value::LongStr(b"guest"));
        let refused = read(table.finish().view().as_bytes()).expect_err("no password");
        assert!(
            refused.text().contains("missing LOGIN or PASSWORD"),
            "{}",
            refused.text()
        );
        assert_eq!(
            read(b"\x05LOGIN").expect_err("cut").code,
            ReplyCode::SyntaxError
        );
    }
}
