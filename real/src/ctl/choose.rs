//! Which members a command is about, asked and confirmed in patronictl's words.

use super::ask;
use super::members_table::table;
use tanist_core::cluster::Cluster;
use tanist_core::dcs::Snapshot;
use tanist_core::name::MemberName;

/// The part that members must have to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RoleFilter {
    Leader,
    Primary,
    StandbyLeader,
    Replica,
    Standby,
    Any,
}

impl RoleFilter {
    fn word(self) -> &'static str {
        match self {
            RoleFilter::Leader => "leader",
            RoleFilter::Primary => "primary",
            RoleFilter::StandbyLeader => "standby-leader",
            RoleFilter::Replica => "replica",
            RoleFilter::Standby => "standby",
            RoleFilter::Any => "any",
        }
    }

    fn fits(self, cluster: &Cluster, name: &MemberName) -> bool {
        let leads = cluster.leader.as_ref().is_some_and(|l| l.owner == *name);
        let member = cluster.members.get(name);
        let role = member.and_then(|m| m.role.as_deref()).unwrap_or_default();
        match self {
            RoleFilter::Any => true,
            RoleFilter::Leader => leads,
            RoleFilter::Primary => leads && role != "standby_leader",
            RoleFilter::StandbyLeader => leads && !matches!(role, "primary" | "master"),
            RoleFilter::Replica | RoleFilter::Standby => !leads,
        }
    }
}

pub struct Choice<'a> {
    pub snapshot: &'a Snapshot,
    pub cluster: &'a Cluster,
    pub cluster_name: &'a str,
    pub given: &'a [String],
    pub role: RoleFilter,
    pub action: &'static str,
    pub force: bool,
}

/// What a command without member names is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// Every member that fits.
    All,
    /// One is asked for; nobody when nothing may be asked.
    Ask,
}

/// The members, not yet confirmed. Prints the table first.
pub fn members(choice: &Choice<'_>, unnamed: Unnamed) -> anyhow::Result<Vec<MemberName>> {
    let cluster = choice.cluster;
    let fits = |name: &&MemberName| choice.role.fits(cluster, name);
    let candidates: Vec<MemberName> = cluster.members.keys().filter(fits).cloned().collect();
    if choice.given.is_empty() && candidates.is_empty() {
        anyhow::bail!("{} cluster doesn't have any members", choice.cluster_name);
    }
    print!("{}", table(choice.snapshot, choice.cluster_name));
    if !choice.given.is_empty() {
        let named = |name: &&MemberName| choice.given.iter().any(|g| g == name.as_str());
        let chosen: Vec<MemberName> = candidates.iter().filter(named).cloned().collect();
        if chosen.is_empty() {
            anyhow::bail!("No {} among provided members", choice.role.word());
        }
        // patronictl leaves a misspelt name out silently; here nothing is done by halves.
        for given in choice.given {
            if !chosen.iter().any(|name| name.as_str() == given) {
                anyhow::bail!(
                    "{given} is not a member of cluster, or not {}",
                    choice.role.word()
                );
            }
        }
        return Ok(chosen);
    }
    match (unnamed, choice.force) {
        (Unnamed::All, _) => Ok(candidates),
        (Unnamed::Ask, true) => anyhow::bail!("name the members to {}", choice.action),
        (Unnamed::Ask, false) => {
            let names: Vec<&str> = candidates.iter().map(MemberName::as_str).collect();
            let question = format!(
                "Which member do you want to {} [{}]?",
                choice.action,
                names.join(", ")
            );
            let answer = MemberName::from(ask::prompt(&question, "")?.as_str());
            if !candidates.contains(&answer) {
                anyhow::bail!("{answer} is not a member of cluster");
            }
            Ok(vec![answer])
        }
    }
}

pub fn confirm(action: &str, members: &[MemberName], force: bool) -> anyhow::Result<()> {
    let names: Vec<&str> = members.iter().map(MemberName::as_str).collect();
    let question = format!(
        "Are you sure you want to {action} members {}?",
        names.join(", ")
    );
    if force || ask::confirm(&question)? {
        return Ok(());
    }
    anyhow::bail!("Aborted {action}")
}
