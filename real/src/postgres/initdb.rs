//! Creates a new cluster in the empty data directory, and the roles of a new cluster in its first primary.
//! Knows nothing of who may found a cluster.

use super::conninfo;
use super::context::Work;
use super::deadline::Deadline;
use super::discard;
use super::marks::{Unfinished, make_private_dir, write_durably};
use super::render;
use super::session::{Kind, Session, identifier, literal, local};
use super::settings::DbUser;
use super::tool;
use super::trouble::{Outcome, Trouble};
use std::fs;
use tanist_core::postgres::Ended;
use tokio::process::Command;

/// What pg_rewind calls on its source (its documentation names these four).
const REWIND_FUNCTIONS: [&str; 4] = [
    "pg_catalog.pg_ls_dir(text, boolean, boolean)",
    "pg_catalog.pg_stat_file(text, boolean)",
    "pg_catalog.pg_read_binary_file(text)",
    "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
];

/// Marked like a clone while it runs: a directory that initdb left half-way is not a cluster.
pub async fn initdb(work: &Work) -> Outcome<Ended> {
    let context = &work.context;
    let settings = work.settings();
    context.refuse_while_running()?;
    if !context.marks.is_set(Unfinished::Clone)? && !discard::is_empty(&settings.data_dir)? {
        return Err(Trouble::failed(
            "the data directory is not empty: no new cluster is created over it",
        ));
    }
    context.marks.forget_leading()?;
    context.marks.begin_copy()?;
    context.marks.set(Unfinished::Clone, "initdb")?;
    discard::remove_contents(&settings.data_dir)?;
    let made = run_initdb(work).await.and_then(|()| finish(work));
    if let Err(trouble) = made {
        discard::remove_contents(&settings.data_dir)?;
        context.marks.clear(Unfinished::Clone)?;
        return Err(trouble);
    }
    context.marks.set(Unfinished::Roles, "initdb")?;
    context.marks.clear(Unfinished::Rewind)?;
    context.marks.clear(Unfinished::Clone)?;
    Ok(Ended::Done)
}

async fn run_initdb(work: &Work) -> Outcome {
    let settings = work.settings();
    let mut command = Command::new(settings.program("initdb"));
    command.arg("--pgdata").arg(&settings.data_dir);
    command.arg(format!("--username={}", settings.superuser.username));
    let pwfile = settings.state_dir.join("initdb-password");
    if !settings.superuser.password.is_empty() {
        make_private_dir(&settings.state_dir)?;
        write_durably(&pwfile, settings.superuser.password.expose().as_bytes())?;
        command.arg(format!("--pwfile={}", pwfile.display()));
    }
    command.args(&settings.initdb_options);
    let ran = tool::run(command, &settings.pgpass, None, &work.cancel, |_| ()).await;
    if !settings.superuser.password.is_empty() {
        fs::remove_file(&pwfile).map_err(|e| Trouble::file("remove", &pwfile, &e))?;
    }
    let output = ran?;
    if output.status.success() {
        return Ok(());
    }
    Err(Trouble::failed(format!("initdb: {}", output.complaint())))
}

/// `bootstrap.pg_hba` counts only where `postgresql.pg_hba` does not say it all.
fn finish(work: &Work) -> Outcome {
    let settings = work.settings();
    if !settings.pg_hba.is_empty() || settings.bootstrap_pg_hba.is_empty() {
        return Ok(());
    }
    let path = settings.data_dir.join("pg_hba.conf");
    let written = fs::read_to_string(&path).map_err(|e| Trouble::file("read", &path, &e))?;
    let text = format!("{written}\n{}", render::lines(&settings.bootstrap_pg_hba));
    let target = settings.config_dir.join("pg_hba.conf");
    render::replace(&target, &text)
}

/// Creates the roles, in one transaction whose statements are kept out of every log.
pub async fn post_bootstrap(work: &Work) -> Outcome<Ended> {
    let settings = work.settings();
    conninfo::write_pgpass(settings)?;
    let deadline = Deadline::after(settings.pg_ctl_timeout);
    let failed = |e: super::session::SqlTrouble| Trouble::failed(format!("post-bootstrap: {e}"));
    let session = Session::open(local(settings, Kind::Sql), deadline)
        .await
        .map_err(failed)?;
    for quiet in [
        "log_statement TO none",
        "log_min_duration_statement TO -1",
        "log_min_error_statement TO panic",
        "log_min_messages TO fatal",
    ] {
        session
            .rows(&format!("SET {quiet}"))
            .await
            .map_err(failed)?;
    }
    // Placeholders when the extensions are not loaded.
    for quiet in [
        "pg_stat_statements.track_utility TO off",
        "pgaudit.log TO none",
    ] {
        session
            .rows(&format!("SET {quiet}"))
            .await
            .map_err(failed)?;
    }
    session
        .rows("SET synchronous_commit TO local; BEGIN")
        .await
        .map_err(failed)?;
    work.cancel.check()?;
    let own = &settings.superuser.username;
    if settings.replication.username != *own {
        create_role(&session, &settings.replication, "REPLICATION LOGIN")
            .await
            .map_err(failed)?;
    }
    if let Some(rewind) = settings.rewind.as_ref().filter(|r| r.username != *own) {
        if rewind.username != settings.replication.username {
            create_role(&session, rewind, "LOGIN")
                .await
                .map_err(failed)?;
        }
        for function in REWIND_FUNCTIONS {
            let grant = format!(
                "GRANT EXECUTE ON FUNCTION {function} TO {}",
                identifier(&rewind.username)
            );
            session.rows(&grant).await.map_err(failed)?;
        }
    }
    work.cancel.check()?;
    session.rows("COMMIT").await.map_err(failed)?;
    work.context.marks.clear(Unfinished::Roles)?;
    Ok(Ended::Done)
}

async fn create_role(
    session: &Session,
    user: &DbUser,
    attributes: &str,
) -> Result<(), super::session::SqlTrouble> {
    let name = identifier(&user.username);
    let exists = format!(
        "SELECT 1 FROM pg_roles WHERE rolname = {}",
        literal(&user.username)
    );
    let verb = if session.rows(&exists).await?.is_empty() {
        "CREATE"
    } else {
        "ALTER"
    };
    let password = if user.password.is_empty() {
        String::new()
    } else {
        format!(" PASSWORD {}", literal(user.password.expose()))
    };
    session
        .rows(&format!("{verb} ROLE {name} WITH {attributes}{password}"))
        .await?;
    Ok(())
}
