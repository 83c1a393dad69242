use async_trait::async_trait;
use catalog_core::{
    Alias, CatalogId, CatalogRecords, CatalogStore, Change, Commit, Entry, StoreError,
};
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

use crate::SqliteStore;

/// The names of an action in errors.
const READ: &str = "read the models";
const COMMIT: &str = "change the models";

/// Entries are rows of JSON under their ids. A row that cannot be read is an error, never left out: what
/// it was would be lost with the next write.
#[async_trait]
impl CatalogStore for SqliteStore {
    async fn load(&self) -> Result<CatalogRecords, StoreError> {
        let rows = self.read(read_rows).await.map_err(|fault| StoreError::new(READ, fault))?;
        let damaged = |error: Damage| StoreError::new(READ, error);
        let entries: Result<Vec<Entry>, Damage> =
            rows.entries.into_iter().map(parse_entry).collect();
        let aliases: Result<Vec<_>, Damage> = rows.aliases.into_iter().map(parse_alias).collect();
        let mut entries = entries.map_err(damaged)?;
        entries.sort_unstable_by(|a, b| a.id.cmp(&b.id)); // ids have another order than their texts
        let revision = rows.revision;
        Ok(CatalogRecords { revision, entries, aliases: aliases.map_err(damaged)? })
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.read(revision).await.map_err(|fault| StoreError::new(READ, fault))
    }

    async fn commit(&self, revision: u64, changes: Vec<Change>) -> Result<Commit, StoreError> {
        let rows: Result<Vec<Row>, _> = changes.iter().map(row).collect();
        let rows = rows.map_err(|error| StoreError::new(COMMIT, error))?;
        let written = self.run(move |connection| write(connection, revision, &rows));
        written.await.map_err(|fault| StoreError::new(COMMIT, fault))
    }
}

/// A change in texts.
enum Row {
    Put { id: String, json: String },
    Remove { id: String },
    SetAlias { alias: String, id: String },
    RemoveAlias { alias: String },
}

fn row(change: &Change) -> Result<Row, serde_json::Error> {
    Ok(match change {
        Change::Put(entry) => {
            Row::Put { id: entry.id.to_string(), json: serde_json::to_string(entry)? }
        }
        Change::Remove(id) => Row::Remove { id: id.to_string() },
        Change::SetAlias(alias, id) => {
            Row::SetAlias { alias: alias.to_string(), id: id.to_string() }
        }
        Change::RemoveAlias(alias) => Row::RemoveAlias { alias: alias.to_string() },
    })
}

fn write(
    connection: &mut Connection,
    expected: u64,
    rows: &[Row],
) -> Result<Commit, rusqlite::Error> {
    // Taken at once, so that nobody else writes between the look at the revision and the end.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if revision(&transaction)? != expected {
        return Ok(Commit::Outdated);
    }
    let run = |sql: &str, texts: &[&String]| {
        transaction.prepare_cached(sql)?.execute(params_from_iter(texts)).map(drop)
    };
    for row in rows {
        match row {
            Row::Put { id, json } => run(
                "INSERT INTO catalog_entries (id, entry) VALUES (?1, ?2) \
                 ON CONFLICT (id) DO UPDATE SET entry = excluded.entry",
                &[id, json],
            )?,
            Row::Remove { id } => {
                run("DELETE FROM catalog_aliases WHERE entry_id = ?1", &[id])?;
                run("DELETE FROM catalog_entries WHERE id = ?1", &[id])?;
            }
            // The foreign key refuses an id that no entry has.
            Row::SetAlias { alias, id } => run(
                "INSERT INTO catalog_aliases (alias, entry_id) VALUES (?1, ?2) \
                 ON CONFLICT (alias) DO UPDATE SET entry_id = excluded.entry_id",
                &[alias, id],
            )?,
            Row::RemoveAlias { alias } => {
                run("DELETE FROM catalog_aliases WHERE alias = ?1", &[alias])?;
            }
        }
    }
    let revision = expected + 1;
    transaction
        .prepare_cached("UPDATE catalog_revision SET revision = ?1")?
        .execute([i64::try_from(revision).unwrap_or(i64::MAX)])?;
    transaction.commit()?;
    Ok(Commit::Done { revision })
}

fn revision(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let sql = "SELECT revision FROM catalog_revision";
    let number: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    u64::try_from(number).map_err(|_negative| rusqlite::Error::IntegralValueOutOfRange(0, number))
}

/// What is wrong with records, rather than with reading them.
type Damage = Box<dyn std::error::Error + Send + Sync>;

/// Two columns of text.
type Pair = (String, String);

/// Everything, in texts.
struct Rows {
    revision: u64,
    entries: Vec<Pair>,
    aliases: Vec<Pair>,
}

fn read_rows(connection: &Connection) -> Result<Rows, rusqlite::Error> {
    // One transaction, so that all tables are of the same moment.
    let transaction = connection.unchecked_transaction()?;
    let pairs = |sql: &str| -> Result<Vec<Pair>, rusqlite::Error> {
        let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        transaction.prepare_cached(sql)?.query_map([], pair)?.collect()
    };
    let entries = pairs("SELECT id, entry FROM catalog_entries")?;
    let aliases = pairs("SELECT alias, entry_id FROM catalog_aliases ORDER BY alias")?;
    let revision = revision(&transaction)?;
    transaction.finish()?;
    Ok(Rows { revision, entries, aliases })
}

fn parse_entry((id, json): Pair) -> Result<Entry, Damage> {
    let entry: Entry = serde_json::from_str(&json)?;
    if entry.id.to_string() == id {
        Ok(entry)
    } else {
        Err(format!("the entry of {id} says that it is {}", entry.id).into())
    }
}

fn parse_alias((alias, id): Pair) -> Result<(Alias, CatalogId), Damage> {
    Ok((alias.parse()?, id.parse()?))
}
