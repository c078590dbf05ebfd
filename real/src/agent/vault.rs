//! What must not reach the decision core, since all that the core sees is recorded: commands, connection strings, and
//! every text in a field that this build does not know. The core gets a reference in its place, which it compares and
//! hands on like any other text; whoever carries an effect out, or shows the configuration, gets the text back.
//!
//! A reference holds nothing of what it stands for. Equal texts have the same one for the life of the process.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tanist_core::cluster::Cluster;
use tanist_core::dcs::{DcsInput, DcsOutcome, DcsReply, DcsRequest, KeyValue};
use tanist_core::effect::EffectBody;
use tanist_core::input::Input;
use tanist_core::keys;
use tanist_core::member::{ACCEPTS_FIELD, COPY_FIELD, INSTANCE_FIELD};
use tanist_core::operator::{Answer, OperatorRequest};
use tanist_core::params;
use tanist_core::postgres::{Operation, SideTask};
use tanist_core::settings::Settings;

/// Settings whose value is a number, a switch or a time, in Patroni's spelling and ours.
const PLAIN_SETTINGS: [&str; 21] = [
    "check_timeline",
    "failsafe_mode",
    "loop_wait",
    "master_start_timeout",
    "master_stop_timeout",
    "max_timelines_history",
    "maximum_lag_on_failover",
    "maximum_lag_on_syncnode",
    "member_slots_ttl",
    "pause",
    "primary_start_timeout",
    "primary_stop_timeout",
    "remove_data_directory_on_diverged_timelines",
    "remove_data_directory_on_rewind_failure",
    "retry_timeout",
    "synchronous_mode",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "ttl",
    "use_pg_rewind",
    "use_slots",
];
const PLAIN_MEMBER: [&str; 12] = [
    ACCEPTS_FIELD,
    COPY_FIELD,
    INSTANCE_FIELD,
    "api_url",
    "conn_url",
    "proxy_url",
    "replication_state",
    "role",
    "state",
    "tags",
    "tanist",
    "version",
];

#[derive(Debug, Default)]
pub struct Vault {
    numbers: BTreeMap<String, usize>,
    texts: Vec<String>,
    /// The last configuration that was shown, as the core knows it and as it is.
    shown: Option<(Map<String, Value>, Map<String, Value>)>,
}

impl Vault {
    fn reference(&mut self, text: &str) -> String {
        let next = self.texts.len();
        let number = *self.numbers.entry(text.to_string()).or_insert(next);
        if number == next {
            self.texts.push(text.to_string());
        }
        format!("<hidden {number}>")
    }

    fn text_of(&self, reference: &str) -> Option<&str> {
        let number = reference.strip_prefix("<hidden ")?.strip_suffix('>')?;
        self.texts
            .get(number.parse::<usize>().ok()?)
            .map(String::as_str)
    }

    /// The input as the core may see it.
    pub fn admit(&mut self, input: Input) -> Input {
        match input {
            Input::Dcs(DcsInput::Listed { mut snapshot }) => {
                self.hide_keys(snapshot.keys.iter_mut());
                Input::Dcs(DcsInput::Listed { snapshot })
            }
            Input::Dcs(DcsInput::Changed {
                revision,
                mut changes,
            }) => {
                let there = |(key, kv)| Some((key, Option::as_mut(kv)?));
                self.hide_keys(changes.iter_mut().filter_map(there));
                Input::Dcs(DcsInput::Changed { revision, changes })
            }
            Input::Dcs(DcsInput::Completed {
                op,
                sent_at,
                maybe_since,
                outcome: DcsOutcome::Ok(DcsReply::Snapshot(mut snapshot)),
            }) => {
                self.hide_keys(snapshot.keys.iter_mut());
                Input::Dcs(DcsInput::Completed {
                    op,
                    sent_at,
                    maybe_since,
                    outcome: DcsOutcome::Ok(DcsReply::Snapshot(snapshot)),
                })
            }
            Input::Operator(mut asked) => {
                match &mut asked.request {
                    OperatorRequest::PatchConfig { patch: text }
                    | OperatorRequest::PutConfig { config: text } => {
                        self.hide_value(keys::CONFIG, text)
                    }
                    OperatorRequest::Switchover { .. }
                    | OperatorRequest::Failover { .. }
                    | OperatorRequest::CancelSwitchover
                    | OperatorRequest::Restart
                    | OperatorRequest::Reinitialize { .. } => {}
                }
                Input::Operator(asked)
            }
            other => other,
        }
    }

    fn hide_keys<'a>(&mut self, keys: impl Iterator<Item = (&'a String, &'a mut KeyValue)>) {
        for (key, kv) in keys {
            self.hide_value(key, &mut kv.value);
        }
    }

    fn hide_value(&mut self, key: &str, text: &mut String) {
        let is_member = key.starts_with(keys::MEMBERS);
        if key != keys::CONFIG && !is_member {
            return;
        }
        let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
            // Not what belongs there: whatever it is.
            if !text.is_empty() {
                *text = self.reference(text);
            }
            return;
        };
        let hidden = if is_member {
            self.hide_member(&mut object)
        } else {
            self.hide_config(&mut object)
        };
        if hidden {
            *text = Value::Object(object).to_string();
        }
    }

    fn hide_member(&mut self, member: &mut Map<String, Value>) -> bool {
        let mut hidden = false;
        for (field, value) in member {
            let login = value.as_str().is_some_and(has_password);
            if login || !PLAIN_MEMBER.contains(&field.as_str()) {
                hidden |= self.hide_texts(value);
            }
        }
        hidden
    }

    /// A dynamic configuration, or `bootstrap.dcs`. `false`: nothing was hidden.
    fn hide_config(&mut self, config: &mut Map<String, Value>) -> bool {
        let mut hidden = false;
        for (field, value) in config {
            match (field.as_str(), value) {
                ("postgresql", Value::Object(postgresql)) => {
                    for (field, value) in postgresql {
                        match (field.as_str(), value) {
                            ("parameters", Value::Object(parameters)) => {
                                let secret = parameters
                                    .iter_mut()
                                    .filter(|(name, _)| !params::is_controlled(name));
                                for (_, value) in secret {
                                    hidden |= self.hide_texts(value);
                                }
                            }
                            (name, Value::String(_)) if PLAIN_SETTINGS.contains(&name) => {}
                            (_, value) => hidden |= self.hide_texts(value),
                        }
                    }
                }
                ("tanist", _) => {}
                (name, Value::String(_)) if PLAIN_SETTINGS.contains(&name) => {}
                (_, value) => hidden |= self.hide_texts(value),
            }
        }
        hidden
    }

    /// What this member was configured with, as the core may see it.
    pub fn hide(&mut self, mut settings: Settings) -> Settings {
        if let Some(first) = &mut settings.bootstrap {
            self.hide_config(first);
        }
        for (name, value) in &mut settings.postgresql.parameters {
            if !params::is_controlled(name) {
                *value = self.reference(value);
            }
        }
        settings
    }

    fn hide_texts(&mut self, value: &mut Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
            Value::String(text) => {
                *text = self.reference(text);
                true
            }
            Value::Array(items) => items
                .iter_mut()
                .fold(false, |hidden, item| self.hide_texts(item) | hidden),
            Value::Object(fields) => fields
                .values_mut()
                .fold(false, |hidden, item| self.hide_texts(item) | hidden),
        }
    }

    /// The effect as it is to be carried out.
    pub fn reveal(&self, body: EffectBody) -> EffectBody {
        match body {
            EffectBody::Dcs {
                request:
                    DcsRequest::Put {
                        key,
                        value,
                        precondition,
                        with_session,
                    },
                until,
            } => EffectBody::Dcs {
                request: DcsRequest::Put {
                    value: self.reveal_json(value),
                    key,
                    precondition,
                    with_session,
                },
                until,
            },
            EffectBody::Operation {
                operation:
                    Operation::Start {
                        role,
                        parameters,
                        timeout,
                    },
                term,
            } => EffectBody::Operation {
                operation: Operation::Start {
                    role,
                    parameters: self.reveal_parameters(parameters),
                    timeout,
                },
                term,
            },
            EffectBody::Side {
                task: SideTask::Reconfigure { role, parameters },
                until,
            } => EffectBody::Side {
                task: SideTask::Reconfigure {
                    role,
                    parameters: self.reveal_parameters(parameters),
                },
                until,
            },
            EffectBody::Reply {
                request,
                answer: Answer::Done(text),
            } => EffectBody::Reply {
                request,
                answer: Answer::Done(self.reveal_json(text)),
            },
            other => other,
        }
    }

    fn reveal_parameters(&self, mut all: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for value in all.values_mut() {
            if let Some(text) = self.text_of(value) {
                *value = text.to_string();
            }
        }
        all
    }

    fn reveal_json(&self, text: String) -> String {
        if !text.contains("<hidden ") {
            return text;
        }
        match serde_json::from_str::<Value>(&text) {
            Ok(mut value) => {
                self.reveal_texts(&mut value);
                value.to_string()
            }
            Err(_) => text,
        }
    }

    fn reveal_texts(&self, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => {
                if let Some(was) = self.text_of(text) {
                    *text = was.to_string();
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.reveal_texts(item)),
            Value::Object(fields) => fields.values_mut().for_each(|item| self.reveal_texts(item)),
        }
    }

    /// The cluster's configuration as people wrote it.
    pub fn reveal_config(&mut self, cluster: &mut Cluster) {
        let Some(config) = &mut cluster.config else {
            return;
        };
        if let Some((known, real)) = &self.shown
            && known == config
        {
            config.clone_from(real);
            return;
        }
        let mut real = Value::Object(config.clone());
        self.reveal_texts(&mut real);
        if let Value::Object(real) = real {
            self.shown = Some((std::mem::replace(config, real.clone()), real));
        }
    }
}

/// `scheme://user:password@host`
fn has_password(url: &str) -> bool {
    let user = url.split_once("://").map_or(url, |(_, rest)| rest);
    user.split_once('@')
        .is_some_and(|(login, _)| login.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tanist_core::dcs::{LeaseId, Precondition, Revision, Snapshot};
    use tanist_core::name::{OpId, RequestId, Term};
    use tanist_core::postgres::StartAs;
    use tanist_core::time::{Mono, Span};

    const PLANTED: &str = "canary-5bd1";

    fn listed(keys: &[(&str, Value)]) -> Input {
        let kv = |value: &Value| KeyValue {
            value: match value {
                Value::String(raw) => raw.clone(),
                other => other.to_string(),
            },
            created: Revision(1),
            modified: Revision(1),
            lease: LeaseId::NONE,
        };
        let keys = keys.iter().map(|(key, value)| (key.to_string(), kv(value)));
        Input::Dcs(DcsInput::Listed {
            snapshot: Snapshot {
                revision: Revision(1),
                keys: keys.collect(),
            },
        })
    }

    fn config() -> Value {
        json!({
            "ttl": 30,
            "loop_wait": "10s",
            "postgresql": {
                "use_pg_rewind": "yes",
                "parameters": {
                    "max_connections": "200",
                    "archive_command": format!("curl -u x:{PLANTED} %p"),
                    "some.extension": PLANTED,
                },
                "pg_hba": [format!("host all all all ldap ldapbindpasswd={PLANTED}")],
                "recovery_conf": {"restore_command": PLANTED},
            },
            "standby_cluster": {"restore_command": PLANTED},
            "unknown": {"deep": [{"er": PLANTED}]},
        })
    }

    #[test]
    fn nothing_that_was_planted_reaches_the_core() {
        let mut vault = Vault::default();
        let member = json!({
            "conn_url": format!("postgres://u:{PLANTED}@h:5432/postgres"),
            "api_url": "http://h:8008/patroni",
            "state": "running",
            "pending_restart_reason": {"archive_command": {"old_value": PLANTED}},
            "unknown": PLANTED,
        });
        let input = listed(&[
            ("config", config()),
            ("members/a", member),
            ("members/b", Value::String(format!("no json {PLANTED}"))),
        ]);
        let seen = serde_json::to_string(&vault.admit(input)).unwrap();
        assert!(!seen.contains(PLANTED), "{seen}");
        for plain in ["10s", "yes", "200", "http://h:8008/patroni", "running"] {
            assert!(seen.contains(plain), "{plain} is missing: {seen}");
        }
    }

    #[test]
    fn a_configuration_with_nothing_to_hide_stays_byte_for_byte() {
        let text = r#"{"ttl": 30,  "postgresql":{"parameters":{"max_connections":"100"}}}"#;
        let input = listed(&[("config", Value::String(text.into()))]);
        assert_eq!(Vault::default().admit(input.clone()), input);
    }

    /// Seen: hidden from its core, the copy that a member accepts was never the one that another has, and nobody streamed.
    #[test]
    fn what_tanists_tell_each_other_in_their_member_keys_is_not_hidden() {
        let member = json!({
            "conn_url": "postgres://h:5432/postgres",
            "tanist": "0.1.0",
            (COPY_FIELD): "00ff",
            (INSTANCE_FIELD): "0000000000000abc",
            (ACCEPTS_FIELD): {"b": "11ee"},
        });
        let input = listed(&[("members/a", member)]);
        assert_eq!(Vault::default().admit(input.clone()), input);
    }

    #[test]
    fn what_is_carried_out_is_what_was_written() {
        let mut vault = Vault::default();
        let mut hidden = config();
        vault.hide_config(hidden.as_object_mut().unwrap());
        let put = |value: &Value| EffectBody::Dcs {
            request: DcsRequest::Put {
                key: keys::CONFIG.into(),
                value: value.to_string(),
                precondition: Precondition::None,
                with_session: false,
            },
            until: Mono(1),
        };
        assert_eq!(vault.reveal(put(&hidden)), put(&config()));

        let start = |value: &Value| EffectBody::Operation {
            operation: Operation::Start {
                role: StartAs::Primary,
                parameters: serde_json::from_value(value["postgresql"]["parameters"].clone())
                    .unwrap(),
                timeout: Span::secs(1),
            },
            term: Some(Term(1)),
        };
        assert_eq!(vault.reveal(start(&hidden)), start(&config()));
        let answer = |value: &Value| EffectBody::Reply {
            request: RequestId("r".into()),
            answer: Answer::Done(value.to_string()),
        };
        assert_eq!(vault.reveal(answer(&hidden)), answer(&config()));
        let cancel = EffectBody::Cancel { op: OpId(1) };
        assert_eq!(vault.reveal(cancel.clone()), cancel);
    }

    #[test]
    fn one_text_has_one_reference() {
        let mut vault = Vault::default();
        let (a, b) = (vault.reference("x"), vault.reference("y"));
        assert_eq!(vault.reference("x"), a);
        assert_ne!(a, b);
        assert_eq!(vault.text_of(&b), Some("y"));
        assert_eq!(vault.text_of("<hidden 7>"), None);
    }
}
