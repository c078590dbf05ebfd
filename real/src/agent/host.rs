//! Carries each effect to the adapter that does it, and what the core shows to whoever asks.
//! Nothing here branches on roles, leases or lag.

use super::vault::Vault;
use crate::clock;
use crate::dcs::Store;
use crate::fencer::client::FencerHandle;
use crate::peers;
use crate::postgres::Adapter;
use crate::recorder::Recorder;
use crate::rest::{Published, RestHandle};
use std::sync::{Arc, PoisonError};
use tanist_core::agent::{Agent, Output};
use tanist_core::effect::{Effect, EffectBody};
use tanist_core::fencer::FencerInput;
use tanist_core::input::Input;
use tanist_core::time::Now;
use tanist_core::view::{Role, View};
use tanist_driver::Host;
use tokio::sync::mpsc::UnboundedSender;

pub struct AgentHost {
    pub store: Store,
    pub postgres: Adapter,
    /// `None`: `fencer: off`.
    pub fencer: Option<FencerHandle>,
    pub recorder: Recorder,
    pub published: Published,
    pub rest: RestHandle,
    pub inputs: UnboundedSender<Input>,
    pub vault: Vault,
    /// What the recorder was last told to be of lasting interest.
    pub standing: Option<(Role, bool)>,
}

impl AgentHost {
    fn refuse_without_fencer(&self, effect: &Effect) {
        let why = "this member is configured with `tanist.fencer: off`".to_string();
        let refused = FencerInput::Refused { op: effect.id, why };
        // Nobody listens any more only when the agent has ended.
        let _ = self.inputs.send(Input::Fencer(refused));
    }
}

impl Host<Agent> for AgentHost {
    fn now(&self) -> Now {
        clock::now()
    }

    fn admit(&mut self, input: Input) -> Input {
        self.vault.admit(input)
    }

    fn start(&mut self, effect: Effect) {
        let op = effect.id;
        let inputs = self.inputs.clone();
        match (self.vault.reveal(effect.body), &self.fencer) {
            (EffectBody::Dcs { request, until }, _) => self.store.start(op, request, until, inputs),
            (EffectBody::Operation { operation, term }, _) => {
                self.postgres.start_operation(op, operation, term);
            }
            (EffectBody::Cancel { op }, _) => self.postgres.cancel(op),
            (EffectBody::Side { task, until }, _) => self.postgres.start_side(op, task, until),
            (EffectBody::Peer { request, until }, _) => peers::start(op, request, until, inputs),
            (EffectBody::Fencer(request), Some(fencer)) => fencer.request(op, request),
            (body @ EffectBody::Fencer(_), None) => {
                self.refuse_without_fencer(&Effect { id: op, body });
            }
            (EffectBody::Reply { request, answer }, _) => self.rest.reply(&request, answer),
            (EffectBody::Exit { code }, _) => {
                tracing::debug!("exit {code} is the loop's own to carry out");
            }
        }
    }

    fn record(&mut self, now: Now, input: &Input, output: &Output, agent: &Agent) {
        self.recorder.record(now, input, output, agent);
        for note in &output.notes {
            tracing::info!("{note}");
        }
    }

    fn publish(&mut self, mut view: View) {
        if let Some(cluster) = &mut view.cluster {
            self.vault.reveal_config(cluster);
        }
        let standing = Some((view.role, view.holds_key));
        if self.standing != standing {
            if self.standing.is_some() {
                self.recorder.keep_this_segment();
            }
            self.standing = standing;
        }
        *self
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}
