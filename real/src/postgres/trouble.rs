//! How a piece of work on PostgreSQL fails: with a sentence for people, or because it was cancelled.
//! Knows nothing of what the work was.

use std::fmt;
use std::path::Path;
use tanist_core::postgres::Ended;
use tokio::sync::watch;

/// Why work did not end as `Done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was told to end before it took effect, and did.
    Cancelled,
    Failed(String),
}

impl Trouble {
    pub fn failed(why: impl Into<String>) -> Trouble {
        Trouble::Failed(why.into())
    }
    /// An error of the system on a file, with the file's name.
    pub fn file(doing: &str, path: &Path, e: &std::io::Error) -> Trouble {
        Trouble::Failed(format!("cannot {doing} {}: {e}", path.display()))
    }
    pub fn into_ended(self) -> Ended {
        match self {
            Trouble::Cancelled => Ended::Cancelled,
            Trouble::Failed(why) => Ended::Failed(why),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Cancelled => f.write_str("cancelled"),
            Trouble::Failed(why) => f.write_str(why),
        }
    }
}

pub type Outcome<T = ()> = Result<T, Trouble>;

/// The other end of a cancel request; dropped requests count as none.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    pub fn new() -> (watch::Sender<bool>, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (sender, Cancel(receiver))
    }

    pub fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Fails with `Cancelled` once it was requested: to be asked before each step that has an effect.
    pub fn check(&self) -> Outcome {
        if self.requested() {
            Err(Trouble::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Completes when it is requested, and never if nobody can request it any more.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|&requested| requested).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
