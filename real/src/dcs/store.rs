//! How do the core's requests reach etcd? Each is one task that drives an exchange to its end; its
//! outcome goes into the agent's queue. Decides nothing: the exchange says what to send and what an
//! answer means.

use super::client::Client;
use super::settings::EtcdSettings;
use super::tls::TlsError;
use super::{watch, wire};
use crate::clock;
use std::sync::{Arc, Mutex, PoisonError};
use tanist_core::dcs::{
    Consistency, DcsInput, DcsOutcome, DcsReply, DcsRequest, Precondition, Revision, Snapshot,
};
use tanist_core::exchange::{Exchange, SessionState, Step};
use tanist_core::input::Input;
use tanist_core::name::OpId;
use tanist_core::primitive::{Primitive, PrimitiveOutcome};
use tanist_core::time::{Mono, Span};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

/// One process's access to one cluster's keys. Clones share session and connections.
#[derive(Clone)]
pub struct Store {
    client: Arc<Client>,
    session: Arc<Mutex<SessionState>>,
}

/// Why a request of a person at the command line failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("somebody else changed the key in the meantime; look again and repeat")]
    Conflict,
    #[error("etcd refused: {0}; check etcd3.username, etcd3.password and the role's permissions")]
    Denied(String),
    #[error("etcd was not reached: {0}; check etcd3.hosts and the network; nothing was changed")]
    NotSent(String),
    #[error(
        "etcd gave no verdict: {0}; the change may have been made or may still be: look before repeating"
    )]
    Unknown(String),
}

/// How a request ended.
struct Ended {
    outcome: DcsOutcome,
    sent_at: Mono,
    maybe_since: Option<Mono>,
}

impl Store {
    /// Reads the TLS files, so it belongs before the agent's loop starts.
    pub fn open(settings: EtcdSettings, namespace: &str, scope: &str) -> Result<Store, TlsError> {
        let client = Client::new(settings, wire::base_path(namespace, scope))?;
        Ok(Store {
            client: Arc::new(client),
            session: Arc::default(),
        })
    }

    /// Starts a request of the core. Its `Completed` comes by `until`, give or take the host's scheduling.
    pub fn start(
        &self,
        op: OpId,
        request: DcsRequest,
        until: Mono,
        inputs: UnboundedSender<Input>,
    ) {
        let store = self.clone();
        tokio::spawn(async move {
            let ended = store.drive(request, until).await;
            // Nobody listens any more only when the agent has ended.
            let _ = inputs.send(Input::Dcs(DcsInput::Completed {
                op,
                sent_at: ended.sent_at,
                maybe_since: ended.maybe_since,
                outcome: ended.outcome,
            }));
        });
    }

    /// Watches the cluster's keys until `inputs` is closed or the handle is aborted.
    pub fn watch(&self, inputs: UnboundedSender<Input>) -> JoinHandle<()> {
        tokio::spawn(watch::run(self.client.clone(), inputs))
    }

    async fn drive(&self, request: DcsRequest, until: Mono) -> Ended {
        let mut exchange = Exchange::new(request, until);
        let mut step = self.with_session(|session| exchange.start(clock::mono(), session));
        loop {
            step = match step {
                Step::Send { call, until } => {
                    let began = clock::mono();
                    let (sent_at, outcome) =
                        match clock::before(until, self.client.call(&call, until)).await {
                            Some(called) => called,
                            None => (began, PrimitiveOutcome::Unknown("no answer in time".into())),
                        };
                    self.with_session(|session| {
                        exchange.answered(clock::mono(), sent_at, outcome, session)
                    })
                }
                Step::Wait { until } => {
                    clock::sleep_until(until).await;
                    self.with_session(|session| exchange.resumed(clock::mono(), session))
                }
                Step::Done {
                    outcome,
                    sent_at,
                    maybe_since,
                } => {
                    return Ended {
                        outcome,
                        sent_at,
                        maybe_since,
                    };
                }
            };
        }
    }

    fn with_session<T>(&self, use_it: impl FnOnce(&mut SessionState) -> T) -> T {
        use_it(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One bare call, for whoever compares a store with its stand-in.
    pub async fn call(&self, call: &Primitive, budget: Span) -> PrimitiveOutcome {
        let until = clock::mono() + budget;
        match clock::before(until, self.client.call(call, until)).await {
            Some((_, outcome)) => outcome,
            None => PrimitiveOutcome::Unknown("no answer in time".into()),
        }
    }

    /// All keys of the cluster, for a person.
    pub async fn read_all(
        &self,
        consistency: Consistency,
        budget: Span,
    ) -> Result<Snapshot, StoreError> {
        let request = DcsRequest::Snapshot { consistency };
        match self.ask(request, budget).await? {
            DcsReply::Snapshot(snapshot) => Ok(snapshot),
            other => Err(odd(&other)),
        }
    }

    /// Writes one key, for a person: its new version.
    pub async fn put(
        &self,
        key: &str,
        value: &str,
        precondition: Precondition,
        budget: Span,
    ) -> Result<Revision, StoreError> {
        let request = DcsRequest::Put {
            key: key.to_string(),
            value: value.to_string(),
            precondition,
            with_session: false,
        };
        self.written(request, budget).await
    }

    /// Deletes one key, for a person.
    pub async fn delete(
        &self,
        key: &str,
        precondition: Precondition,
        budget: Span,
    ) -> Result<Revision, StoreError> {
        let request = DcsRequest::Delete {
            key: key.to_string(),
            precondition,
        };
        self.written(request, budget).await
    }

    async fn written(&self, request: DcsRequest, budget: Span) -> Result<Revision, StoreError> {
        match self.ask(request, budget).await? {
            DcsReply::Written { revision } => Ok(revision),
            other => Err(odd(&other)),
        }
    }

    async fn ask(&self, request: DcsRequest, budget: Span) -> Result<DcsReply, StoreError> {
        match self.drive(request, clock::mono() + budget).await.outcome {
            DcsOutcome::Ok(reply) => Ok(reply),
            DcsOutcome::Conflict { .. } => Err(StoreError::Conflict),
            DcsOutcome::SessionGone => Err(StoreError::Denied("no session".to_string())),
            DcsOutcome::Denied(why) => Err(StoreError::Denied(why)),
            DcsOutcome::NotSent(why) => Err(StoreError::NotSent(why)),
            DcsOutcome::Unknown(why) => Err(StoreError::Unknown(why)),
        }
    }
}

fn odd(reply: &DcsReply) -> StoreError {
    StoreError::Unknown(format!("an answer to another question: {reply:?}"))
}
