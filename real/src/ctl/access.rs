//! How the command line reaches a cluster: its keys through the store's quorum, its members over HTTP.
//! Knows no command.

use super::member_http::{Reach, call};
use crate::dcs::Store;
use crate::rest::authorization;
use crate::settings::tools::Tools;
use serde_json::Value;
use tanist_core::cluster::Cluster;
use tanist_core::dcs::{Consistency, Precondition, Snapshot};
use tanist_core::name::MemberName;
use tanist_core::time::Span;

/// A person waits for it.
const STORE_BUDGET: Span = Span::secs(10);

pub struct Access {
    tools: Tools,
}

/// One cluster of the store.
pub struct Reached {
    pub name: String,
    store: Store,
}

/// What a member answered.
pub struct Response {
    pub code: u16,
    pub body: String,
}

impl Access {
    pub fn new(tools: Tools) -> Access {
        Access { tools }
    }

    pub fn cluster_name(&self, given: Option<&str>) -> anyhow::Result<String> {
        let name = given.or(self.tools.scope.as_deref());
        let name = name.map(str::to_string);
        name.ok_or_else(|| anyhow::anyhow!("name a cluster, or set `scope` in the configuration"))
    }

    pub fn cluster(&self, name: &str) -> anyhow::Result<Reached> {
        let store = Store::open(self.tools.store.clone(), &self.tools.namespace, name)?;
        Ok(Reached {
            name: name.to_string(),
            store,
        })
    }

    /// Asks the member at `api_url` (`http://HOST:PORT/patroni`) for `endpoint` of its interface.
    pub async fn ask(
        &self,
        api_url: &str,
        method: &str,
        endpoint: &str,
        body: Option<&Value>,
        budget: Span,
    ) -> Result<Response, Reach> {
        let base = api_url.strip_suffix("/patroni").unwrap_or(api_url);
        let url = format!("{}/{endpoint}", base.trim_end_matches('/'));
        let header = self.tools.credentials.as_ref().map(authorization);
        let text = body.map(Value::to_string);
        let (code, body) = call(method, &url, header.as_deref(), text, budget).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Response { code, body })
    }
}

impl Reached {
    pub async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let read = self.store.read_all(Consistency::Linearizable, STORE_BUDGET);
        Ok(read.await?)
    }

    pub async fn read(&self) -> anyhow::Result<Cluster> {
        Ok(Cluster::read(&self.snapshot().await?))
    }

    pub async fn write(
        &self,
        key: &str,
        value: &str,
        precondition: Precondition,
    ) -> anyhow::Result<()> {
        self.store
            .put(key, value, precondition, STORE_BUDGET)
            .await?;
        Ok(())
    }
}

/// The address of a member's interface.
pub fn api_url<'a>(cluster: &'a Cluster, member: &MemberName) -> anyhow::Result<&'a str> {
    let url = cluster
        .members
        .get(member)
        .and_then(|m| m.api_url.as_deref());
    url.ok_or_else(|| anyhow::anyhow!("{member} publishes no address of its REST API"))
}
