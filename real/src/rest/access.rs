//! Who may change things: anybody, or whoever knows the configured user and password.
//! Reading is free to all, as in Patroni.

use crate::settings::restapi::Credentials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Does the `Authorization` header prove the right to change something?
pub fn may_change(credentials: Option<&Credentials>, header: Option<&[u8]>) -> bool {
    let Some(credentials) = credentials else {
        return true;
    };
    let Some(given) = header.and_then(basic) else {
        return false;
    };
    let wanted = format!("{}:{}", credentials.username, credentials.password.expose());
    is_equal(&given, wanted.as_bytes())
}

fn basic(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    STANDARD.decode(encoded.trim_ascii()).ok()
}

/// Takes as long for a wrong guess as for the right one: the time to answer must not tell how much of a
/// guess was right.
fn is_equal(given: &[u8], wanted: &[u8]) -> bool {
    let mut differences = u8::from(given.len() != wanted.len());
    for (i, byte) in wanted.iter().enumerate() {
        differences |= byte ^ given.get(i).copied().unwrap_or_default();
    }
    differences == 0
}

/// The header with which a client proves the right.
pub fn authorization(credentials: &Credentials) -> String {
    let plain = format!("{}:{}", credentials.username, credentials.password.expose());
    format!("Basic {}", STANDARD.encode(plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn only_the_exact_user_and_password_may_change_things() {
        let credentials = Credentials {
            username: "ops".into(),
            password: Secret::new("a:b"),
        };
        let right = authorization(&credentials);
        assert!(may_change(Some(&credentials), Some(right.as_bytes())));
        assert!(may_change(None, None));
        let longer = format!("Basic {}", STANDARD.encode("ops:a:bc"));
        let shorter = format!("Basic {}", STANDARD.encode("ops:a:"));
        for wrong in [
            "", "Basic", "Basic ", "Basic !!", "Bearer x", &longer, &shorter,
        ] {
            assert!(
                !may_change(Some(&credentials), Some(wrong.as_bytes())),
                "{wrong}"
            );
        }
        assert!(!may_change(Some(&credentials), None));
    }
}
