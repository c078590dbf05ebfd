//! The local PostgreSQL: `postgresql:`. Where it lives, where it listens, whom the agent logs in as.
//! Knows nothing of processes.

use super::bootstrap::read_options;
use super::restapi::address_or_listen;
use super::section::{HostPort, Section, Unknown};
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tanist_core::settings::LocalPostgres;
use tanist_core::time::Span;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// `host` may hold several, with commas between.
    pub listen: HostPort,
    pub connect: HostPort,
    pub proxy: Option<HostPort>,
    pub database: String,
    pub data_dir: PathBuf,
    /// `None`: programs are found through `PATH`.
    pub bin_dir: Option<PathBuf>,
    pub config_dir: Option<PathBuf>,
    pub pgpass: Option<PathBuf>,
    pub superuser: Login,
    pub replication: Login,
    /// `None`: the superuser does it.
    pub rewind: Option<Login>,
    pub pg_hba: Option<Vec<String>>,
    pub pg_ident: Option<Vec<String>>,
    pub use_unix_socket: bool,
    /// Options of pg_basebackup.
    pub basebackup: Vec<String>,
    /// Options of pg_rewind.
    pub rewind_options: Vec<String>,
    /// Included by the generated `postgresql.conf` instead of the original one.
    pub custom_conf: Option<PathBuf>,
    /// More recovery settings for a standby (`restore_command`, ...).
    pub recovery_conf: BTreeMap<String, String>,
    pub pg_ctl_timeout: Span,
    /// The part that decisions rest on.
    pub local: LocalPostgres,
}

/// A role and how it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password: Option<Secret>,
    /// libpq parameters (`sslmode`, `sslrootcert`, ...). Never a password.
    pub options: BTreeMap<String, String>,
}

/// libpq parameters that a login may carry.
const LOGIN_OPTIONS: &[&str] = &[
    "sslmode",
    "sslkey",
    "sslcert",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "gssencmode",
    "channel_binding",
    "sslnegotiation",
];

const NOT_FOR_BASEBACKUP: &[&str] = &[
    "pgdata",
    "format",
    "wal-method",
    "xlog-method",
    "gzip",
    "version",
    "dbname",
    "host",
    "port",
    "username",
    "password",
];

/// What the agent itself tells pg_rewind.
const NOT_FOR_REWIND: &[&str] = &[
    "target-pgdata",
    "source-pgdata",
    "source-server",
    "write-recovery-conf",
    "dry-run",
    "restore-target-wal",
    "config-file",
    "no-ensure-shutdown",
    "version",
    "help",
];

pub fn read(root: &Section<'_>) -> Option<Postgres> {
    let Some(section) = root.section("postgresql") else {
        root.missing(
            "postgresql",
            "add `postgresql:` with listen, connect_address and data_dir",
        );
        return None;
    };
    refuse_what_is_not_built(&section);
    let listen = section.address("listen", Some(5432));
    if !section.has("listen") {
        section.missing("listen", "write `listen: HOST:5432`");
    }
    let connect = address_or_listen(&section, listen.as_ref(), 5432);
    let data_dir = section.text("data_dir").map(PathBuf::from);
    if data_dir.is_none() {
        section.missing("data_dir", "write the path of the data directory");
    }
    if data_dir.as_ref().is_some_and(|d| !d.is_absolute()) {
        section.wrong(
            "data_dir",
            "expected an absolute path",
            "write it from `/` on",
        );
    }
    let [superuser, replication, rewind] = read_logins(&section);
    let basebackup = read_options(&section, "basebackup", NOT_FOR_BASEBACKUP);
    let postgres = Postgres {
        listen: listen?,
        connect: connect?,
        proxy: section.address("proxy_address", Some(5432)),
        database: section
            .text("database")
            .unwrap_or_else(|| "postgres".into()),
        data_dir: data_dir?,
        bin_dir: section.text("bin_dir").map(PathBuf::from),
        config_dir: section.text("config_dir").map(PathBuf::from),
        pgpass: section.text("pgpass").map(PathBuf::from),
        superuser: superuser.unwrap_or_else(|| Login::named("postgres")),
        replication: replication.unwrap_or_else(|| Login::named("replicator")),
        rewind,
        pg_hba: section.lines("pg_hba"),
        pg_ident: section.lines("pg_ident"),
        use_unix_socket: section.flag("use_unix_socket").unwrap_or(false),
        basebackup,
        rewind_options: read_options(&section, "rewind", NOT_FOR_REWIND),
        custom_conf: section.text("custom_conf").map(PathBuf::from),
        recovery_conf: section.words("recovery_conf").unwrap_or_default(),
        pg_ctl_timeout: section.span("pg_ctl_timeout").unwrap_or(Span::secs(60)),
        local: LocalPostgres {
            use_pg_rewind: section.flag("use_pg_rewind"),
            remove_data_directory_on_rewind_failure: section
                .flag("remove_data_directory_on_rewind_failure"),
            remove_data_directory_on_diverged_timelines: section
                .flag("remove_data_directory_on_diverged_timelines"),
            parameters: section.words("parameters").unwrap_or_default(),
        },
    };
    section.finish(Unknown::Refuse);
    Some(postgres)
}

impl Login {
    fn named(username: &str) -> Login {
        Login {
            username: username.into(),
            password: None,
            options: BTreeMap::new(),
        }
    }
}

fn refuse_what_is_not_built(section: &Section<'_>) {
    for hook in ["callbacks", "pre_promote", "before_stop"] {
        section.not_built(hook, "no hook is run");
    }
    section.not_built("config_base_name", "the generated files have fixed names");
    section.not_built(
        "bin_name",
        "the programs have PostgreSQL's own names; use bin_dir",
    );
    section.not_built("krbsrvname", "Kerberos is not offered");
    section.not_built("use_unix_socket_repl", "replication connects over TCP");
    section.without_effect("use_slots", "it is a cluster-wide setting: patch /config");
    for role in ["primary", "replica", "standby_leader"] {
        for kind in ["parameters", "pg_hba", "pg_ident"] {
            section.not_built(
                &format!("{kind}_{role}"),
                "one set of settings holds in every role",
            );
        }
    }
    for key in ["create_replica_methods", "create_replica_method"] {
        for method in section.list(key).unwrap_or_default() {
            if method != "basebackup" {
                section.wrong(
                    key,
                    format!("expected basebackup only, found `{method}`: it is not built"),
                    "remove it from the list",
                );
            }
        }
    }
}

/// superuser, replication, rewind; also in the places where old files have them.
fn read_logins(section: &Section<'_>) -> [Option<Login>; 3] {
    let names = ["superuser", "replication", "rewind"];
    match section.section("authentication") {
        Some(authentication) => {
            let logins = names.map(|name| read_login(&authentication, name));
            authentication.finish(Unknown::Refuse);
            logins
        }
        None => [
            read_login(section, "superuser"),
            read_login(section, "replication"),
            None,
        ],
    }
}

fn read_login(section: &Section<'_>, name: &str) -> Option<Login> {
    let login = section.section(name)?;
    let mut options = BTreeMap::new();
    for key in LOGIN_OPTIONS {
        if let Some(value) = login.text(key) {
            options.insert((*key).to_string(), value);
        }
    }
    let demanded = ["require", "verify-ca", "verify-full"];
    if options
        .get("sslmode")
        .is_some_and(|mode| demanded.contains(&mode.as_str()))
    {
        login.beware(
            "sslmode",
            "pg_basebackup, pg_rewind and replication obey it; the agent's own short sessions are not encrypted",
            "let pg_hba admit the members' addresses without TLS, or keep them in a network that you trust",
        );
    }
    login.not_built(
        "sslpassword",
        "client keys with a passphrase are not offered",
    );
    let read = Login {
        username: login.text("username").unwrap_or_else(|| {
            login.missing("username", "give the role's name");
            String::new()
        }),
        password: login.secret("password"),
        options,
    };
    login.finish(Unknown::Warn);
    Some(read)
}
