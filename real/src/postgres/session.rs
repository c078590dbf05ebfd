//! SQL sessions: to the local server and to other members', plain or with replication commands.
//! Knows nothing of what is asked in them.
//!
//! tokio-postgres has no `replication` option: for a replication session the stream below adds the
//! parameter to the startup packet, the first message that a client sends.

use super::deadline::Deadline;
use super::settings::{DbUser, LocalHost, PgSettings};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tanist_core::postgres::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlTrouble {
    /// 57P03: it is starting up, shutting down, or not yet consistent. The text may be in any language.
    CannotConnectNow(String),
    /// The server said no: SQLSTATE and text.
    Refused { code: String, text: String },
    /// Nothing listens there.
    NoListener(String),
    /// No answer in time, or the connection broke.
    Silent(String),
}

impl fmt::Display for SqlTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlTrouble::Refused { code, text } => write!(f, "{text} (SQLSTATE {code})"),
            SqlTrouble::CannotConnectNow(text)
            | SqlTrouble::NoListener(text)
            | SqlTrouble::Silent(text) => f.write_str(text),
        }
    }
}

pub type Row = Vec<Option<String>>;

/// One session; it ends when dropped.
pub struct Session {
    client: Client,
    deadline: Deadline,
}

/// What kind of session the server shall open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sql,
    /// Replication commands of a physical standby; matched by `replication` lines of pg_hba.conf.
    Physical,
    /// Replication commands over an ordinary database connection.
    Database,
}

/// Whom to reach as whom.
pub struct Target<'a> {
    pub place: Place,
    pub user: &'a DbUser,
    pub database: &'a str,
    pub kind: Kind,
}

pub enum Place {
    Socket(std::path::PathBuf),
    Tcp(String, u16),
}

impl From<&Address> for Place {
    fn from(address: &Address) -> Place {
        Place::Tcp(address.host.clone(), address.port)
    }
}

/// The local server, as the superuser.
pub fn local(settings: &PgSettings, kind: Kind) -> Target<'_> {
    let place = match settings.local_host() {
        LocalHost::Socket(dir) => Place::Socket(dir.join(format!(".s.PGSQL.{}", settings.port))),
        LocalHost::Tcp(host) => Place::Tcp(host, settings.port),
    };
    Target {
        place,
        user: &settings.superuser,
        database: &settings.database,
        kind,
    }
}

impl Session {
    /// Opens a session in which every statement, and the session itself, ends at `deadline`.
    pub async fn open(target: Target<'_>, deadline: Deadline) -> Result<Session, SqlTrouble> {
        let silent = || SqlTrouble::Silent("no answer in time".to_string());
        deadline
            .bound(connect(&target, deadline))
            .await
            .unwrap_or_else(|| Err(silent()))
    }

    /// The rows of a statement (or replication command), as text.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Row>, SqlTrouble> {
        let answer = self.deadline.bound(self.client.simple_query(sql)).await;
        let messages = answer
            .ok_or_else(|| SqlTrouble::Silent("no answer in time".to_string()))?
            .map_err(classify)?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push(
                    (0..row.len())
                        .map(|i| row.get(i).map(str::to_string))
                        .collect(),
                );
            }
        }
        Ok(rows)
    }

    /// The single row of a statement that always has one.
    pub async fn row(&self, sql: &str) -> Result<Row, SqlTrouble> {
        let no_row = || SqlTrouble::Silent("the server answered without a row".to_string());
        self.rows(sql).await?.into_iter().next().ok_or_else(no_row)
    }
}

async fn connect(target: &Target<'_>, deadline: Deadline) -> Result<Session, SqlTrouble> {
    let unreachable = |e: io::Error| match e.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            SqlTrouble::NoListener(e.to_string())
        }
        _ => SqlTrouble::Silent(e.to_string()),
    };
    let stream: Box<dyn Wire> = match &target.place {
        Place::Socket(path) => Box::new(UnixStream::connect(path).await.map_err(unreachable)?),
        Place::Tcp(host, port) => {
            let stream = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            Box::new(stream)
        }
    };
    let mut config = tokio_postgres::Config::new();
    config
        .user(&target.user.username)
        .dbname(target.database)
        .application_name("tanist");
    if !target.user.password.is_empty() {
        config.password(target.user.password.expose());
    }
    let added = match target.kind {
        Kind::Sql | Kind::Database => {
            let ms = deadline.left().as_millis().max(1);
            // Whatever is set for the role or the database, a heartbeat of ours is not to depend on it.
            config.options(format!(
                "-c search_path=pg_catalog -c statement_timeout={ms} -c synchronous_commit=local"
            ));
            (target.kind == Kind::Database).then_some(&b"replication\0database\0"[..])
        }
        Kind::Physical => Some(&b"replication\0true\0"[..]),
    };
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let stream = StartupStream {
        inner: stream,
        added,
        pending: Vec::new(),
    };
    let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(classify)?;
    // Ends when the client is dropped or the server hangs up; its error is also the client's.
    tokio::spawn(async move { connection.await.err() });
    Ok(Session { client, deadline })
}

fn classify(e: tokio_postgres::Error) -> SqlTrouble {
    match e.as_db_error() {
        Some(db) if *db.code() == SqlState::CANNOT_CONNECT_NOW => {
            SqlTrouble::CannotConnectNow(db.message().to_string())
        }
        Some(db) => SqlTrouble::Refused {
            code: db.code().code().to_string(),
            text: db.message().to_string(),
        },
        None => {
            let cause =
                std::error::Error::source(&e).map_or_else(String::new, |c| format!(": {c}"));
            SqlTrouble::Silent(format!("{e}{cause}"))
        }
    }
}

/// A name or text as an SQL literal.
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A name as an SQL identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Adds parameters to the startup packet: length, protocol version, `name NUL value NUL` pairs, NUL.
struct StartupStream {
    inner: Box<dyn Wire>,
    /// Taken when the startup packet passes.
    added: Option<&'static [u8]>,
    /// The rest of the changed packet, still to be written.
    pending: Vec<u8>,
}

impl StartupStream {
    fn changed(packet: &[u8], added: &[u8]) -> io::Result<Vec<u8>> {
        let odd = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the startup packet was not written whole",
            )
        };
        let length = packet
            .get(..4)
            .and_then(|l| l.try_into().ok())
            .map(u32::from_be_bytes)
            .ok_or_else(odd)?;
        let whole = usize::try_from(length).map_err(|_| odd())?;
        if whole < 9 || packet.len() < whole {
            return Err(odd());
        }
        let grown = length + u32::try_from(added.len()).map_err(|_| odd())?;
        let mut changed = grown.to_be_bytes().to_vec();
        changed.extend_from_slice(&packet[4..8]);
        changed.extend_from_slice(added);
        changed.extend_from_slice(&packet[8..]);
        Ok(changed)
    }

    fn write_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            match Pin::new(&mut self.inner).poll_write(cx, &self.pending) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => drop(self.pending.drain(..n)),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for StartupStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for StartupStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(added) = self.added.take() {
            self.pending = StartupStream::changed(buf, added)?;
            // Taken over whole; `flush` or the next write brings out what does not go at once.
            return match self.write_pending(cx) {
                Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
            };
        }
        std::task::ready!(self.write_pending(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.write_pending(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_startup_packet_grows_by_the_replication_parameter() {
        let mut packet = vec![0, 0, 0, 0, 0, 3, 0, 0];
        packet.extend_from_slice(b"user\0u\0\0");
        let length = u32::try_from(packet.len()).unwrap();
        packet[..4].copy_from_slice(&length.to_be_bytes());
        let changed = StartupStream::changed(&packet, b"replication\0true\0").unwrap();
        assert_eq!(
            u32::from_be_bytes(changed[..4].try_into().unwrap()) as usize,
            changed.len()
        );
        assert_eq!(&changed[8..], b"replication\0true\0user\0u\0\0");
        assert!(StartupStream::changed(&packet[..10], b"x\0y\0").is_err());
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
