//! Promotes the server: the durable mark first, then the signal, then the wait until it has left recovery.
//! Knows nothing of who may promote: the caller holds the authority, and can cancel until the signal.

use super::context::Work;
use super::deadline::Deadline;
use super::marks::write_durably;
use super::process;
use super::session::{Kind, Session, SqlTrouble, local};
use super::trouble::{Outcome, Trouble};
use rustix::process::Signal;
use std::time::Duration;
use tanist_core::postgres::{Ended, PromotionMark};
use tanist_core::time::Span;

const POLL: Duration = Duration::from_millis(10);

pub async fn promote(work: &Work, mark: PromotionMark, timeout: Span) -> Outcome<Ended> {
    let deadline = Deadline::after(timeout);
    let context = &work.context;
    context.refuse_unfinished()?;
    let opened = Session::open(local(work.settings(), Kind::Sql), deadline);
    let session = tokio::select! {
        biased;
        () = work.cancel.wait() => return Err(Trouble::Cancelled),
        session = opened => session,
    };
    let mut session = session.map_err(|e| Trouble::failed(format!("cannot promote: {e}")))?;
    if !in_recovery(&session)
        .await
        .map_err(|e| Trouble::failed(format!("cannot promote: {e}")))?
    {
        return Err(Trouble::failed("cannot promote: it is not in recovery"));
    }
    work.cancel.check()?;
    context.marks.add_promotion(mark)?;
    let Some(postmaster) = context.scan()?.postmaster else {
        return Err(Trouble::failed("cannot promote: the postmaster is gone"));
    };
    let trigger = work.settings().data_dir.join("promote");
    write_durably(&trigger, b"")?;
    // The last moment: whoever cancels from here on can only stop the server.
    if work.cancel.requested() {
        std::fs::remove_file(&trigger).map_err(|e| Trouble::file("remove", &trigger, &e))?;
        return Err(Trouble::Cancelled);
    }
    process::signal(postmaster, Signal::USR1)
        .map_err(|e| Trouble::failed(format!("cannot signal the postmaster: {e}")))?;
    work.progress("promote signal sent");
    loop {
        match in_recovery(&session).await {
            Ok(false) => return Ok(Ended::Done),
            Ok(true) => {}
            // A session may break without the promotion failing; a fresh one tells.
            Err(_) => {
                let limit = deadline.earlier(Deadline::after(Span::secs(1)));
                if let Ok(fresh) = Session::open(local(work.settings(), Kind::Sql), limit).await {
                    session = fresh;
                }
                if context.scan()?.postmaster != Some(postmaster) {
                    return Err(Trouble::failed("the postmaster ended while being promoted"));
                }
            }
        }
        if work.cancel.requested() {
            return Err(Trouble::failed(
                "cancelled after the promote signal: it may yet leave recovery",
            ));
        }
        if deadline.is_over() {
            return Err(Trouble::failed(
                "it has not left recovery in time; it may yet",
            ));
        }
        deadline.pause(POLL).await;
    }
}

async fn in_recovery(session: &Session) -> Result<bool, SqlTrouble> {
    let row = session.row("SELECT pg_is_in_recovery()").await?;
    Ok(row.first().and_then(Option::as_deref) == Some("t"))
}
