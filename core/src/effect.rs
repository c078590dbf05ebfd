//! Everything the agent can ask for. An effect has an id; its completion comes back as an input, and
//! the next dangerous step is issued only then.

use crate::dcs::DcsRequest;
use crate::fencer::FencerRequest;
use crate::name::{OpId, RequestId, Term};
use crate::operator::Answer;
use crate::peer::PeerRequest;
use crate::postgres::{Operation, SideTask};
use crate::time::Mono;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    pub id: OpId,
    pub body: EffectBody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectBody {
    /// To be tried until it has a verdict or `until` is reached.
    Dcs {
        request: DcsRequest,
        until: Mono,
    },
    /// The exclusive lane. `term`: the tenure of the leader key it was begun for (`None`: none).
    Operation {
        operation: Operation,
        term: Option<Term>,
    },
    /// End the operation `op` of the exclusive lane if it has not taken effect; it ends with `Cancelled` or as it would have.
    Cancel {
        op: OpId,
    },
    Side {
        task: SideTask,
        until: Mono,
    },
    Peer {
        request: PeerRequest,
        until: Mono,
    },
    Fencer(FencerRequest),
    /// The end of an operator's request.
    Reply {
        request: RequestId,
        answer: Answer,
    },
    /// The agent ends. PostgreSQL is left as it is.
    Exit {
        code: u8,
    },
}
