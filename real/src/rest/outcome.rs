//! How a request's end reads over HTTP: Patroni's status codes, and the core's words.
//! Decides nothing: a refusal's class was given by whoever refused.

use super::route::Change;
use tanist_core::operator::{Answer, Refusal};

/// What goes back to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub shape: Shape,
    pub body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Json,
    Text,
    /// A status and nothing else.
    Bare,
}

impl Reply {
    pub fn text(code: u16, body: impl Into<String>) -> Reply {
        Reply {
            code,
            shape: Shape::Text,
            body: body.into(),
        }
    }
}

pub fn reply(change: Change, answer: Answer) -> Reply {
    match answer {
        Answer::Done(text) => Reply {
            code: 200,
            shape: done_shape(change),
            body: text,
        },
        Answer::Accepted(text) => Reply::text(accepted_code(change), text),
        Answer::Refused { code, why } => Reply::text(refusal_code(code), why),
        // patronictl tells the two apart by the words "status unknown".
        Answer::Failed(text) | Answer::StillRunning(text) => Reply::text(503, text),
    }
}

fn done_shape(change: Change) -> Shape {
    match change {
        Change::PatchConfig | Change::PutConfig => Shape::Json,
        Change::Switchover
        | Change::CancelSwitchover
        | Change::Failover
        | Change::Reinitialize
        | Change::Restart => Shape::Text,
    }
}

/// Something put off is 202; a reinit that was started is 200, as in Patroni.
fn accepted_code(change: Change) -> u16 {
    match change {
        Change::Reinitialize => 200,
        Change::PatchConfig
        | Change::PutConfig
        | Change::Switchover
        | Change::CancelSwitchover
        | Change::Failover
        | Change::Restart => 202,
    }
}

fn refusal_code(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::BadRequest => 400,
        Refusal::NotFound => 404,
        Refusal::Conflict => 409,
        Refusal::PreconditionFailed => 412,
        Refusal::Unprocessable => 422,
        Refusal::Unavailable => 503,
    }
}

/// The agent has said nothing in all the time that a request may take.
pub fn no_word(change: Change) -> Reply {
    let what = match change {
        Change::PatchConfig | Change::PutConfig => "Configuration change",
        Change::Switchover => "Switchover",
        Change::CancelSwitchover => "Switchover cancellation",
        Change::Failover => "Failover",
        Change::Reinitialize => "Reinitialize",
        Change::Restart => "Restart",
    };
    Reply::text(503, format!("{what} status unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_patronis_code() {
        let refused = |code| Answer::Refused {
            code,
            why: "why".into(),
        };
        for (change, answer, code) in [
            (Change::Switchover, Answer::Done("x".into()), 200),
            (Change::Switchover, Answer::Accepted("x".into()), 202),
            (Change::Reinitialize, Answer::Accepted("x".into()), 200),
            (Change::Switchover, refused(Refusal::BadRequest), 400),
            (Change::CancelSwitchover, refused(Refusal::NotFound), 404),
            (Change::PatchConfig, refused(Refusal::Conflict), 409),
            (Change::Failover, refused(Refusal::PreconditionFailed), 412),
            (Change::Switchover, refused(Refusal::Unprocessable), 422),
            (Change::Restart, refused(Refusal::Unavailable), 503),
            (Change::Switchover, Answer::Failed("x".into()), 503),
            (Change::Switchover, Answer::StillRunning("x".into()), 503),
        ] {
            assert_eq!(reply(change, answer.clone()).code, code, "{answer:?}");
        }
    }
}
