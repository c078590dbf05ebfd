//! Everything the agent can be told, by source. The vocabulary of a trace.

use crate::dcs::DcsInput;
use crate::fencer::FencerInput;
use crate::operator::OperatorInput;
use crate::peer::PeerInput;
use crate::postgres::PgInput;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The deadline that `next_wakeup` named has come.
    Wakeup,
    Dcs(DcsInput),
    Postgres(PgInput),
    Peer(PeerInput),
    Operator(OperatorInput),
    Fencer(FencerInput),
    /// The agent was asked to end (SIGTERM).
    Stopping,
}
