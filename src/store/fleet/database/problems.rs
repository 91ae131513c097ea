//! Errors of the database in words for operators.

use std::error::Error;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::store::error::{FleetError, StoreError};

/// Converts an error of a statement.
pub(in crate::store::fleet) fn refused(error: tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(problem) if *problem.code() == SqlState::QUERY_CANCELED => {
            FleetError::Late(problem.message().to_owned()).into()
        }
        Some(problem) if !is_temporary(problem) => FleetError::Refused(problem.message().to_owned()).into(),
        _ => unreachable(&with_causes(&error)),
    }
}

/// Returns true for errors that do not come from the statement: the server stops, starts, is a standby or busy. The
/// statement can be repeated.
fn is_temporary(problem: &tokio_postgres::error::DbError) -> bool {
    // PostgreSQL's documentation, appendix A: class 08 is connection exceptions, 40 transaction rollback, such as a
    // deadlock, 53 insufficient resources, 55P03 a lock that is not available, 57 operator intervention with timeouts,
    // 25006 a read-only transaction.
    let code = problem.code().code();
    ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || ["55P03", "25006"].contains(&code)
}

pub(super) fn unreachable(error: &dyn std::fmt::Display) -> StoreError {
    FleetError::Unreachable(error.to_string()).into()
}

/// Converts the error of a pool, with its causes and the setting to look at where the server says why it refuses.
pub(super) fn not_connected(error: &PoolError) -> StoreError {
    match advice(error) {
        Some(advice) => unreachable(&format_args!("{}. {advice}", with_causes(error))),
        None => unreachable(&with_causes(error)),
    }
}

/// Converts the error of the first connection, with its causes and the setting to look at.
pub(super) fn not_connected_at_first(error: &PoolError) -> StoreError {
    let advice = advice(error).unwrap_or("Look at the host and the port in fleet.database_url, and at the server");
    unreachable(&format_args!("{}. {advice}", with_causes(error)))
}

/// Returns the setting to look at, as a sentence, if the error shows which one it is.
fn advice(error: &PoolError) -> Option<&'static str> {
    let is_about = |what: &str| causes(error).any(|cause| cause.to_string().contains(what));
    // PostgreSQL's documentation, appendix A.
    Some(match code_of(error) {
        Some("28000" | "28P01") => "Look at the user name and the password in fleet.database_url",
        Some("3D000") => "Look at the name of the database in fleet.database_url",
        Some("42501") => "Look at the rights of the user in fleet.database_url",
        Some("53300") => "Look at max_connections of PostgreSQL and at fleet.database_connections",
        None if is_about("certificate") => {
            "Look at fleet.database_ca_file, which must have the authority of the server's certificate, and at the host in \
             fleet.database_url, which must be a name in that certificate"
        }
        None if is_about("does not support TLS") => {
            "Look at sslmode in fleet.database_url, and at the setting ssl of the server"
        }
        Some(_) | None => return None,
    })
}

/// Returns the code with which the server has refused a connection.
fn code_of(error: &PoolError) -> Option<&str> {
    let PoolError::Backend(error) = error else { return None };
    error.as_db_error().map(|problem| problem.code().code())
}

pub(in crate::store::fleet) fn too_slow() -> StoreError {
    unreachable(&"it does not respond in time")
}

pub(in crate::store::fleet) fn with_causes(error: &(dyn Error + 'static)) -> String {
    // Some libraries repeat the text of a cause in their own.
    causes(error).map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        text if text.ends_with(&cause) => text.to_owned(),
        text => format!("{text}: {cause}"),
    })
}

/// Returns an error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| Error::source(*error))
}
