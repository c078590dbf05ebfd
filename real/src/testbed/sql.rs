//! How clients reach a server of the testbed: one connection with a deadline, and one question asked
//! from code that is not async.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

pub const SUPERUSER: &str = "postgres";
pub const SUPERUSER_PASSWORD: &str = "super-secret";

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub host: IpAddr,
    pub port: u16,
}

impl Access {
    pub fn address(self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

/// Connects; messages without a request (notices) go to `listen`. The connection ends with the client.
pub async fn connect(
    access: Access,
    limit: Duration,
    mut listen: impl FnMut(AsyncMessage) + Send + 'static,
) -> Result<Client, String> {
    let mut config = Config::new();
    config
        .host(access.host.to_string())
        .port(access.port)
        .user(SUPERUSER)
        .password(SUPERUSER_PASSWORD)
        .dbname("postgres")
        .application_name("testbed")
        // Probes are refused a hundred times a second; the servers' logs are for what matters.
        .options("-c log_min_messages=fatal -c log_min_error_statement=panic");
    let connected = tokio::time::timeout(limit, config.connect(NoTls)).await;
    let (client, mut connection) = connected
        .map_err(|_| format!("no connection to {} in {limit:?}", access.address()))?
        .map_err(|e| told(&e))?;
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            listen(message);
        }
    });
    Ok(client)
}

/// The server's own words where there are any.
pub fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.code().code(), db.message()),
        None => error.to_string(),
    }
}

/// Rows of a simple query, as text. For code outside the clients' thread.
pub fn ask(access: Access, query: &str, limit: Duration) -> Result<Vec<Vec<String>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let client = connect(access, limit, |_| {}).await?;
        let answer = tokio::time::timeout(limit, client.simple_query(query)).await;
        let messages = answer
            .map_err(|_| format!("no answer from {} in {limit:?}", access.address()))?
            .map_err(|e| told(&e))?;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                let cells = (0..row.len()).map(|i| row.get(i).unwrap_or_default().to_string());
                rows.push(cells.collect());
            }
        }
        Ok(rows)
    })
}
