//! What the adapter needs to know of this member's PostgreSQL: where it lies, whom to connect as, which
//! lines of configuration are the operator's. Filled from the YAML file elsewhere; decides nothing.

use crate::secret::Secret;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tanist_core::name::MemberName;
use tanist_core::postgres::Address;
use tanist_core::time::Span;

#[derive(Clone, Debug)]
pub struct PgSettings {
    /// `application_name` of this member's WAL receiver.
    pub name: MemberName,
    /// `cluster_name` of the server.
    pub scope: String,
    /// Empty: programs are looked up in PATH.
    pub bin_dir: PathBuf,
    pub data_dir: PathBuf,
    /// Durable marks that must outlive the data directory: a sibling of it.
    pub state_dir: PathBuf,
    /// Where `postgresql.conf`, `pg_hba.conf` and `pg_ident.conf` are written; usually the data directory.
    pub config_dir: PathBuf,
    /// What the postmaster says before and beside its own logging collector.
    pub log_file: PathBuf,
    /// `listen_addresses`, as PostgreSQL takes it.
    pub listen: String,
    pub port: u16,
    /// Where the other members reach this PostgreSQL.
    pub connect_address: Address,
    /// Database of our own sessions.
    pub database: String,
    pub superuser: DbUser,
    pub replication: DbUser,
    /// `None`: `pg_rewind` connects as the superuser.
    pub rewind: Option<DbUser>,
    /// A password file that we write (mode 0600), for every libpq program and for the WAL receiver.
    pub pgpass: PathBuf,
    /// Set: local sessions go over this directory's socket instead of TCP.
    pub unix_socket_dir: Option<PathBuf>,
    /// Whole content of `pg_hba.conf`; empty: the file is left as it is.
    pub pg_hba: Vec<String>,
    /// Whole content of `pg_ident.conf`; empty: the file is left as it is.
    pub pg_ident: Vec<String>,
    /// Appended to the `pg_hba.conf` of a new cluster when `pg_hba` is empty.
    pub bootstrap_pg_hba: Vec<String>,
    /// Ready arguments: `--data-checksums`, `--encoding=UTF8`.
    pub initdb_options: Vec<String>,
    /// Ready arguments: `--max-rate=100M`.
    pub basebackup_options: Vec<String>,
    /// Ready arguments: `--debug`.
    pub rewind_options: Vec<String>,
    /// How long one step of a PostgreSQL program may take where the core gives no time of its own.
    pub pg_ctl_timeout: Span,
    /// Included by the generated `postgresql.conf` instead of `postgresql.base.conf`.
    pub custom_conf: Option<PathBuf>,
    /// More recovery settings for a standby (`restore_command`, ...).
    pub recovery_conf: BTreeMap<String, String>,
    pub aside: AsideCopies,
}

/// A database role, and how libpq connects as it.
#[derive(Clone, Debug, Default)]
pub struct DbUser {
    pub username: String,
    pub password: Secret,
    /// libpq keywords such as `sslmode`, `sslrootcert`, `gssencmode`. Never a password.
    pub options: BTreeMap<String, String>,
}

/// What becomes of data directories that were moved aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsideCopies {
    KeepAll,
    KeepNewest,
    /// Nothing is moved aside: what is discarded is removed.
    KeepNone,
}

impl PgSettings {
    /// The path of a PostgreSQL program: absolute whenever it can be found.
    pub fn program(&self, name: &str) -> PathBuf {
        if !self.bin_dir.as_os_str().is_empty() {
            return self.bin_dir.join(name);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|p| p.is_file());
        found.unwrap_or_else(|| PathBuf::from(name))
    }

    /// The host at which a local client finds the server.
    pub fn local_host(&self) -> LocalHost {
        if let Some(dir) = &self.unix_socket_dir {
            return LocalHost::Socket(dir.clone());
        }
        let first = self
            .listen
            .split(',')
            .map(str::trim)
            .find(|h| !h.is_empty());
        LocalHost::Tcp(match first {
            None | Some("*" | "0.0.0.0" | "localhost") => "127.0.0.1".to_string(),
            Some("::") => "::1".to_string(),
            Some(host) => host.to_string(),
        })
    }

    /// The role for looking at, and rewinding from, another member.
    pub fn rewind_user(&self) -> &DbUser {
        self.rewind.as_ref().unwrap_or(&self.superuser)
    }

    pub fn config_file(&self) -> PathBuf {
        self.config_dir.join("postgresql.conf")
    }

    /// Does the server find its configuration without being told where it is?
    pub fn config_in_data_dir(&self) -> bool {
        self.config_dir == self.data_dir
    }
}

/// Where local sessions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalHost {
    Socket(PathBuf),
    Tcp(String),
}

/// `<data_dir>.tanist`: the usual place of the marks.
pub fn state_dir_beside(data_dir: &Path) -> PathBuf {
    let mut name = data_dir.as_os_str().to_owned();
    name.push(".tanist");
    PathBuf::from(name)
}
