//! A plain member, and times to tell it: what the tests of a whole agent begin with.

use tanist_core::name::MemberName;
use tanist_core::settings::{LocalPostgres, Safety, Settings};
use tanist_core::time::{Mono, Now, Span, Wall};

pub fn settings() -> Settings {
    Settings {
        scope: "demo".into(),
        namespace: "service".into(),
        name: MemberName::from("a"),
        api_url: "http://127.0.0.1:8008/patroni".into(),
        conn_url: "postgres://127.0.0.1:5432/postgres".into(),
        proxy_url: None,
        tags: Default::default(),
        bootstrap: None,
        postgresql: LocalPostgres::default(),
        safety: Safety::default(),
    }
}

pub fn at(seconds: u64) -> Now {
    Now {
        mono: Mono::default() + Span::secs(seconds),
        wall: Wall(1_700_000_000_000_000).plus(Span::secs(seconds)),
    }
}
