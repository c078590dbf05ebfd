//! libpq connection strings: `keyword=value` pairs, written and read. Never with a password: libpq
//! programs and the WAL receiver find it in a password file. Knows nothing of whom they reach.

use super::marks::write_durably;
use super::settings::{DbUser, PgSettings};
use super::trouble::Outcome;
use std::collections::BTreeMap;
use tanist_core::postgres::Address;

/// `host=.. port=.. user=..`, then the user's options, then `more`. Lost peers are noticed by keep-alives.
pub fn to(address: &Address, user: &DbUser, more: &[(&str, &str)]) -> String {
    let port = address.port.to_string();
    let mut words: Vec<(&str, &str)> = vec![
        ("host", &address.host),
        ("port", &port),
        ("user", &user.username),
    ];
    words.extend(user.options.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    for word in [
        ("sslmode", "prefer"),
        ("connect_timeout", "10"),
        ("keepalives_idle", "10"),
        ("keepalives_interval", "5"),
        ("keepalives_count", "3"),
    ] {
        if !user.options.contains_key(word.0) {
            words.push(word);
        }
    }
    words.extend_from_slice(more);
    let quoted: Vec<String> = words
        .iter()
        .filter(|(k, _)| *k != "password")
        .map(|(k, v)| format!("{k}={}", quote(v)))
        .collect();
    quoted.join(" ")
}

fn quote(value: &str) -> String {
    let plain =
        !value.is_empty() && !value.contains(['\'', '\\']) && !value.contains(char::is_whitespace);
    if plain {
        value.to_string()
    } else {
        format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

/// `None`: not a connection string of this form, or empty.
pub fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let mut words = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (keyword, after) = rest.split_once('=')?;
        let (value, after) = value(after.trim_start())?;
        words.insert(keyword.trim().to_string(), value);
        rest = after.trim_start();
    }
    (!words.is_empty()).then_some(words)
}

fn value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut chars = text.char_indices().skip(usize::from(quoted));
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if c.is_whitespace() && !quoted => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

/// Writes the password file: one line for each role, for any host, since a standby's upstream may be any
/// member at any time and each has the same roles.
pub fn write_pgpass(settings: &PgSettings) -> Outcome {
    let users = [
        Some(&settings.replication),
        Some(&settings.superuser),
        settings.rewind.as_ref(),
    ];
    let escape = |s: &str| s.replace('\\', "\\\\").replace(':', "\\:");
    let mut text = String::new();
    for user in users
        .into_iter()
        .flatten()
        .filter(|u| !u.password.is_empty())
    {
        text.push_str(&format!(
            "*:*:*:{}:{}\n",
            escape(&user.username),
            escape(user.password.expose())
        ));
    }
    if std::fs::read_to_string(&settings.pgpass).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write_durably(&settings.pgpass, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_whatever_the_values_hold() {
        let user = DbUser {
            username: "o'brien \\ x".into(),
            password: "canary".into(),
            options: BTreeMap::from([
                ("sslmode".into(), "require".into()),
                ("password".into(), "canary".into()),
            ]),
        };
        let address = Address {
            host: "/run/a b".into(),
            port: 5433,
        };
        let text = to(&address, &user, &[("application_name", "")]);
        assert!(!text.contains("canary"), "{text}");
        let words = parse(&text).unwrap();
        assert_eq!(words["user"], "o'brien \\ x");
        assert_eq!(words["host"], "/run/a b");
        assert_eq!(
            (
                words["sslmode"].as_str(),
                words["application_name"].as_str()
            ),
            ("require", "")
        );
    }

    #[test]
    fn a_torn_connection_string_is_none() {
        for torn in ["", "host", "host='a", "host=a port"] {
            assert_eq!(parse(torn), None, "{torn}");
        }
        assert_eq!(parse("host = a  port=1").unwrap()["host"], "a");
    }
}
