//! Takes every connection that a server has, the ones that are kept for superusers, too, and holds them.

use crate::testbed::sql::{self, Access};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_postgres::Client;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Those that others give back meanwhile are taken, too.
const TAKE_AGAIN: Duration = Duration::from_millis(20);
const FULL_BY: Duration = Duration::from_secs(60);

/// Ends its sessions when it is dropped.
pub struct Crowd {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Returns when the server has refused somebody.
    pub fn fill(access: Access) -> Result<Crowd, String> {
        let (full, is_full) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("crowd".into())
            .spawn(move || hold(access, &full, ended))
            .map_err(|e| e.to_string())?;
        let crowd = Crowd {
            end: Some(end),
            thread: Some(thread),
        };
        match is_full.recv_timeout(FULL_BY) {
            Ok(()) => Ok(crowd),
            Err(_) => Err(format!("{} lets in whoever comes", access.address())),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn hold(access: Access, full: &Sender<()>, ended: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    if let Ok(runtime) = runtime {
        runtime.block_on(async {
            tokio::select! {
                _ = ended => {}
                () = take(access, full) => {}
            }
        });
    }
}

async fn take(access: Access, full: &Sender<()>) {
    let began = Instant::now();
    let mut sessions: Vec<Client> = Vec::new();
    loop {
        match sql::connect(access, CONNECT_LIMIT, |_| {}).await {
            Ok(session) => sessions.push(session),
            Err(why) if why.starts_with("53300") => {
                let _ = full.send(());
                sessions.retain(|session| !session.is_closed());
                tokio::time::sleep(TAKE_AGAIN).await;
            }
            // It may be starting, or gone: a crowd waits at its door.
            Err(_) if began.elapsed() < FULL_BY => tokio::time::sleep(TAKE_AGAIN).await,
            Err(_) => tokio::time::sleep(CONNECT_LIMIT).await,
        }
    }
}
