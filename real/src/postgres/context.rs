//! What every piece of work has at hand: settings, processes, marks, the host, and the way to report.
//! Knows nothing of any particular work.

use super::host::PostmasterHost;
use super::marks::{Marks, Unfinished};
use super::process::{Found, Held, Instance, Proc};
use super::settings::PgSettings;
use super::trouble::{Cancel, Outcome, Trouble};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tanist_core::postgres::PgInput;
use tokio::sync::mpsc::UnboundedSender;

pub struct Context {
    pub settings: PgSettings,
    pub host: Arc<dyn PostmasterHost>,
    pub instance: Instance,
    pub marks: Marks,
    /// A look at the disk is under way; a second one would only hang beside it.
    pub looking_at_disk: AtomicBool,
    inputs: UnboundedSender<Input>,
    /// The postmaster whose exit is awaited; 0: none.
    watched: AtomicU32,
}

impl Context {
    pub fn new(
        settings: PgSettings,
        host: Arc<dyn PostmasterHost>,
        inputs: UnboundedSender<Input>,
    ) -> Context {
        Context {
            instance: Instance::new(&settings.data_dir),
            marks: Marks::new(&settings.state_dir),
            settings,
            host,
            looking_at_disk: AtomicBool::new(false),
            inputs,
            watched: AtomicU32::new(0),
        }
    }

    /// The agent that does not listen any more has ended; nobody else wants to know.
    pub fn send(&self, input: PgInput) {
        let _ = self.inputs.send(Input::Postgres(input));
    }

    pub fn scan(&self) -> Outcome<Found> {
        let scanned = self.instance.scan();
        scanned.map_err(|e| Trouble::failed(format!("cannot read the process table: {e}")))
    }

    /// Work that rewrites the data directory is refused while anything of the instance lives in it.
    pub fn refuse_while_running(&self) -> Outcome {
        let found = self.scan()?;
        match found.postmaster {
            Some(p) => Err(Trouble::failed(format!(
                "a postmaster (pid {}) runs in the data directory; stop it first",
                p.pid
            ))),
            None if found.backends.is_empty() => Ok(()),
            None => {
                let n = found.backends.len();
                Err(Trouble::failed(format!(
                    "{n} backends outlived their postmaster in the data directory; stop them first"
                )))
            }
        }
    }

    pub fn refuse_unfinished(&self) -> Outcome {
        if self.marks.is_set(Unfinished::Clone)? {
            return Err(Trouble::failed(
                "a clone into this data directory did not finish; it can only be discarded",
            ));
        }
        if self.marks.is_set(Unfinished::Rewind)? {
            return Err(Trouble::failed(
                "a rewind of this data directory did not finish; it can only be discarded and cloned anew",
            ));
        }
        Ok(())
    }

    /// Sends `PostmasterExited` once when `postmaster` (ours or adopted) ends.
    pub fn watch(self: &Arc<Self>, postmaster: Proc) {
        let pid = postmaster.pid;
        if self.watched.swap(pid, Ordering::SeqCst) == pid {
            return;
        }
        let context = Arc::clone(self);
        let wait = move || {
            if let Some(held) = Held::open(postmaster) {
                // Ends with the postmaster.
                while !held.ended_within(Duration::from_secs(3600)) {}
            }
            let _ = context
                .watched
                .compare_exchange(pid, 0, Ordering::SeqCst, Ordering::SeqCst);
            context.send(PgInput::PostmasterExited { pid });
        };
        if let Err(e) = std::thread::Builder::new()
            .name("postmaster-watch".to_string())
            .spawn(wait)
        {
            // Its exit is then seen by the next look only; the look after that tries again.
            tracing::warn!(pid, "cannot watch the postmaster: {e}");
            self.watched.store(0, Ordering::SeqCst);
        }
    }
}

/// One piece of work under way.
#[derive(Clone)]
pub struct Work {
    pub context: Arc<Context>,
    pub op: OpId,
    pub cancel: Cancel,
}

impl Work {
    pub fn settings(&self) -> &PgSettings {
        &self.context.settings
    }
    pub fn progress(&self, phase: impl Into<String>) {
        self.context.send(PgInput::Progress {
            op: self.op,
            phase: phase.into(),
        });
    }
}
