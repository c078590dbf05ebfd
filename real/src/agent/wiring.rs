//! Which part of the configuration each adapter gets, in that adapter's own words.

use crate::postgres::{AsideCopies, DbUser, Observer, PgSettings};
use crate::rest::{Look, RestSettings};
use crate::secret::Secret;
use crate::settings::local::Local;
use crate::settings::postgresql::Login;
use std::path::PathBuf;
use std::sync::Arc;
use tanist_core::postgres::Address;
use tanist_core::time::Span;

pub fn postgres(local: &Local) -> PgSettings {
    let pg = &local.postgres;
    let state = |file: &str| local.state_dir.join(file);
    PgSettings {
        name: local.settings.name.clone(),
        scope: local.settings.scope.clone(),
        bin_dir: pg.bin_dir.clone().unwrap_or_default(),
        data_dir: pg.data_dir.clone(),
        state_dir: local.state_dir.clone(),
        config_dir: pg.config_dir.clone().unwrap_or_else(|| pg.data_dir.clone()),
        log_file: state("postgresql.log"),
        listen: pg.listen.host.clone(),
        port: pg.listen.port,
        connect_address: Address {
            host: pg.connect.host.clone(),
            port: pg.connect.port,
        },
        database: pg.database.clone(),
        superuser: user(&pg.superuser),
        replication: user(&pg.replication),
        rewind: pg.rewind.as_ref().map(user),
        pgpass: pg.pgpass.clone().unwrap_or_else(|| state("pgpass")),
        unix_socket_dir: pg.use_unix_socket.then(|| socket_dir(local)),
        pg_hba: pg.pg_hba.clone().unwrap_or_default(),
        pg_ident: pg.pg_ident.clone().unwrap_or_default(),
        bootstrap_pg_hba: local.bootstrap.pg_hba.clone(),
        initdb_options: local.bootstrap.initdb.clone(),
        basebackup_options: pg.basebackup.clone(),
        rewind_options: pg.rewind_options.clone(),
        pg_ctl_timeout: pg.pg_ctl_timeout,
        custom_conf: pg.custom_conf.clone(),
        recovery_conf: pg.recovery_conf.clone(),
        aside: AsideCopies::KeepNewest,
    }
}

/// A peer in an election waits two seconds for all of its answers; a healthy PostgreSQL needs milliseconds.
const LOOK_WITHIN: Span = Span::millis(200);

pub fn look(observer: Observer) -> Look {
    Arc::new(move || {
        let observer = observer.clone();
        Box::pin(async move { observer.observe(LOOK_WITHIN).await })
    })
}

pub fn rest(local: &Local) -> RestSettings {
    RestSettings {
        listen: local.rest.listen.clone(),
        credentials: local.rest.credentials.clone(),
        recordings: local.recorder.dir.clone(),
    }
}

fn user(login: &Login) -> DbUser {
    DbUser {
        username: login.username.clone(),
        password: login.password.clone().unwrap_or_else(|| Secret::from("")),
        options: login.options.clone(),
    }
}

/// The first of `unix_socket_directories`, or the place that PostgreSQL itself is built with.
fn socket_dir(local: &Local) -> PathBuf {
    let parameters = &local.postgres.local.parameters;
    let first = parameters
        .get("unix_socket_directories")
        .and_then(|dirs| dirs.split(',').map(str::trim).find(|d| !d.is_empty()));
    PathBuf::from(first.unwrap_or("/tmp"))
}
