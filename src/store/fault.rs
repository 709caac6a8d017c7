//! What kind of failure an error of the database is, and so what helps against it.
//!
//! MySQL and MariaDB are told apart by the server's error number, SQLite by its result code, both
//! as their manuals list them. What is not in the lists is [`Fault::Other`]: it is tried again like
//! an absence, because losing rows to an unknown number would be worse than waiting.

use sea_orm::sqlx::error::{DatabaseError, Error as SqlxError};
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::{DbErr, RuntimeErr};

use super::StoreError;

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Another transaction was in the way (deadlock, lock wait, busy file). The same transaction
    /// goes through when it is tried again at once.
    Conflict,
    /// Nobody answers, the connection broke, or all connections are taken. Passes with time.
    Away,
    /// It answers, but too slowly.
    Slow,
    /// No room: disk or table full. Passes when somebody makes room.
    Full,
    /// It takes no writes (a replica, `read_only`, a file that may not be written).
    ReadOnly,
    /// User, password, database or rights are wrong. Somebody must put that right.
    Refused,
    /// One row is at fault, not the database: the others can be stored.
    Row,
    /// Anything else.
    Other,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Conflict,
        Self::Away,
        Self::Slow,
        Self::Full,
        Self::ReadOnly,
        Self::Refused,
        Self::Row,
        Self::Other,
    ];

    /// As in the metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Away => "away",
            Self::Slow => "slow",
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Refused => "refused",
            Self::Row => "row",
            Self::Other => "other",
        }
    }

    /// Whether waiting may help, so that a daemon need not refuse to start.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Conflict | Self::Away | Self::Slow | Self::Full | Self::ReadOnly)
    }
}

impl StoreError {
    /// What kind of failure it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Connect { source, .. }
            | Self::Migrate { source, .. }
            | Self::Statement { source, .. } => of_db_err(source),
            Self::Deadline { .. } => Fault::Slow,
            Self::MigrationLocked { .. } => Fault::Conflict,
            Self::Url { .. } | Self::Folder { .. } => Fault::Refused,
            Self::Content { .. } | Self::Batch(_) => Fault::Other,
        }
    }
}

/// What kind of failure the driver's error is.
pub(crate) fn of_db_err(error: &DbErr) -> Fault {
    match error {
        DbErr::ConnectionAcquire(_) => Fault::Away,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => of_sqlx(error),
        _ => Fault::Other,
    }
}

fn of_sqlx(error: &SqlxError) -> Fault {
    match error {
        SqlxError::Database(error) => of_database(error.as_ref()),
        SqlxError::Io(_)
        | SqlxError::Tls(_)
        | SqlxError::Protocol(_)
        | SqlxError::PoolTimedOut
        | SqlxError::PoolClosed
        | SqlxError::WorkerCrashed => Fault::Away,
        SqlxError::Configuration(_) => Fault::Refused,
        _ => Fault::Other,
    }
}

fn of_database(error: &dyn DatabaseError) -> Fault {
    if let Some(mysql) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return of_mysql(mysql.number(), mysql.code().unwrap_or_default());
    }
    let code = error.code().and_then(|code| code.parse().ok());
    code.map_or(Fault::Other, of_sqlite)
}

/// `state` is the SQLSTATE; its first two characters are a class.
fn of_mysql(number: u16, state: &str) -> Fault {
    match number {
        // Changed since it was read, lock wait, deadlock, too many undo slots in use, NOWAIT.
        1020 | 1205 | 1213 | 1614 | 1637 | 3572 => Fault::Conflict,
        // Too many connections, shutdown, network, killed, interrupted, gone away.
        1040
        | 1053
        | 1077..=1080
        | 1152
        | 1158..=1161
        | 1203
        | 1226
        | 1317
        | 1927
        | 2002..=2013 => Fault::Away,
        // The server's own limit on a statement.
        1969 | 3024 => Fault::Slow,
        // Error writing, disk full, table full, error from the engine.
        3 | 1021 | 1026 | 1030 | 1114 => Fault::Full,
        // read_only, a read-only transaction, a read-only engine.
        1036 | 1290 | 1792 | 1836 | 3100 => Fault::ReadOnly,
        // User, database, host, table and column rights, unknown database, socket authentication.
        1044 | 1045 | 1049 | 1130 | 1142 | 1143 | 1227 | 1251 | 1698 | 3118 | 3159 => {
            Fault::Refused
        }
        // Null, no default, out of range, truncated, not of the character set, too long, a CHECK,
        // a row or packet too large.
        1048 | 1118 | 1153 | 1264 | 1265 | 1292 | 1364 | 1366 | 1406 | 3819 | 4025 => Fault::Row,
        _ => match state.get(..2) {
            Some("08") => Fault::Away,
            Some("22" | "23") => Fault::Row,
            Some("28") => Fault::Refused,
            Some("40") => Fault::Conflict,
            _ => Fault::Other,
        },
    }
}

/// The low byte of an extended result code is the primary one.
const fn of_sqlite(code: i32) -> Fault {
    match code & 0xff {
        // BUSY, LOCKED.
        5 | 6 => Fault::Conflict,
        // FULL.
        13 => Fault::Full,
        // READONLY.
        8 => Fault::ReadOnly,
        // IOERR, CANTOPEN.
        10 | 14 => Fault::Away,
        // PERM, AUTH, NOTADB.
        3 | 23 | 26 => Fault::Refused,
        // TOOBIG, CONSTRAINT, MISMATCH.
        18..=20 => Fault::Row,
        _ => Fault::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_servers() {
        for (number, state, fault) in [
            (1213, "40001", Fault::Conflict),
            (1205, "HY000", Fault::Conflict),
            (1040, "08004", Fault::Away),
            (1927, "70100", Fault::Away),
            (2006, "HY000", Fault::Away),
            (1290, "HY000", Fault::ReadOnly),
            (1792, "25006", Fault::ReadOnly),
            (1114, "HY000", Fault::Full),
            (1045, "28000", Fault::Refused),
            (1049, "42000", Fault::Refused),
            (1406, "22001", Fault::Row),
            (1366, "HY000", Fault::Row),
            (1062, "23000", Fault::Row),
            (1146, "42S02", Fault::Other),
        ] {
            assert_eq!(of_mysql(number, state), fault, "{number}");
        }
        // SQLITE_CONSTRAINT_NOTNULL, SQLITE_BUSY_SNAPSHOT, SQLITE_FULL, SQLITE_IOERR_WRITE.
        let kinds = [1299, 517, 13, 778, 1].map(of_sqlite);
        assert_eq!(kinds, [Fault::Row, Fault::Conflict, Fault::Full, Fault::Away, Fault::Other]);
    }

    #[test]
    fn only_what_may_pass_lets_a_daemon_start() {
        let passing: Vec<&str> = Fault::ALL
            .iter()
            .filter(|fault| fault.may_pass())
            .map(|fault| fault.as_str())
            .collect();
        assert_eq!(passing, ["conflict", "away", "slow", "full", "read_only"]);
    }
}
