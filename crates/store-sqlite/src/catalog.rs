use async_trait::async_trait;
use catalog_core::{Alias, CatalogId, CatalogRecords, CatalogStore, Entry, EntryState, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::SqliteStore;

/// The names of an action in errors.
const READ: &str = "read the models";
const PUT: &str = "keep a model";
const SET_ALIAS: &str = "set the name of a model";
const REMOVE_ALIAS: &str = "remove the name of a model";
const SET_STATE: &str = "change the state of a model";

/// Entries are rows of JSON under their ids. A row that cannot be read is an error, never left out: what
/// it was would be lost with the next write.
#[async_trait]
impl CatalogStore for SqliteStore {
    async fn load(&self) -> Result<CatalogRecords, StoreError> {
        let (entries, aliases) =
            self.read(read_rows).await.map_err(|fault| StoreError::new(READ, fault))?;
        let damaged = |error: Damage| StoreError::new(READ, error);
        let entries: Result<Vec<Entry>, Damage> = entries.into_iter().map(parse_entry).collect();
        let aliases: Result<Vec<_>, Damage> = aliases.into_iter().map(parse_alias).collect();
        let mut entries = entries.map_err(damaged)?;
        entries.sort_unstable_by(|a, b| a.id.cmp(&b.id)); // ids have another order than their texts
        Ok(CatalogRecords { entries, aliases: aliases.map_err(damaged)? })
    }

    async fn put(&self, entry: &Entry, aliases: &[Alias]) -> Result<(), StoreError> {
        let id = entry.id.to_string();
        let json = serde_json::to_string(entry).map_err(|error| StoreError::new(PUT, error))?;
        let aliases = aliases.to_vec();
        let written = self.run(move |connection| {
            let transaction = connection.transaction()?;
            put_entry(&transaction, &id, &json)?;
            for alias in &aliases {
                put_alias(&transaction, alias, &id)?;
            }
            transaction.commit()
        });
        written.await.map_err(|fault| StoreError::new(PUT, fault))
    }

    async fn set_alias(&self, alias: &Alias, id: &CatalogId) -> Result<(), StoreError> {
        let (alias, id) = (alias.clone(), id.to_string());
        // The foreign key refuses an id that no entry has.
        let written = self.run(move |connection| put_alias(connection, &alias, &id));
        written.await.map_err(|fault| StoreError::new(SET_ALIAS, fault))
    }

    async fn remove_alias(&self, alias: &Alias) -> Result<(), StoreError> {
        let alias = alias.clone();
        let written = self.run(move |connection| {
            let sql = "DELETE FROM catalog_aliases WHERE alias = ?1";
            connection.prepare_cached(sql)?.execute([alias.as_str()]).map(drop)
        });
        written.await.map_err(|fault| StoreError::new(REMOVE_ALIAS, fault))
    }

    async fn set_state(&self, id: &CatalogId, state: EntryState) -> Result<(), StoreError> {
        let id = id.to_string();
        let changed = self.run(move |connection| {
            let transaction = connection.transaction()?;
            let Some(json) = entry_json(&transaction, &id)? else { return Ok(Err(no_entry())) };
            let json = match with_state(&json, state) {
                Ok(json) => json,
                Err(error) => return Ok(Err(error.into())),
            };
            put_entry(&transaction, &id, &json)?;
            transaction.commit().map(Ok)
        });
        let outcome = changed.await.map_err(|fault| StoreError::new(SET_STATE, fault))?;
        outcome.map_err(|error: Damage| StoreError::new(SET_STATE, error))
    }
}

/// What is wrong with records, rather than with reading them.
type Damage = Box<dyn std::error::Error + Send + Sync>;

/// Two columns of text.
type Pair = (String, String);

fn no_entry() -> Damage {
    "there is no such entry".into()
}

fn read_rows(connection: &Connection) -> Result<(Vec<Pair>, Vec<Pair>), rusqlite::Error> {
    // One transaction, so that both tables are of the same moment.
    let transaction = connection.unchecked_transaction()?;
    let pairs = |sql: &str| -> Result<Vec<Pair>, rusqlite::Error> {
        let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        transaction.prepare_cached(sql)?.query_map([], pair)?.collect()
    };
    let entries = pairs("SELECT id, entry FROM catalog_entries")?;
    let aliases = pairs("SELECT alias, entry_id FROM catalog_aliases ORDER BY alias")?;
    transaction.finish()?;
    Ok((entries, aliases))
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

fn put_entry(transaction: &Transaction<'_>, id: &str, json: &str) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO catalog_entries (id, entry) VALUES (?1, ?2) \
               ON CONFLICT (id) DO UPDATE SET entry = excluded.entry";
    transaction.prepare_cached(sql)?.execute(params![id, json]).map(drop)
}

fn put_alias(connection: &Connection, alias: &Alias, id: &str) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO catalog_aliases (alias, entry_id) VALUES (?1, ?2) \
               ON CONFLICT (alias) DO UPDATE SET entry_id = excluded.entry_id";
    connection.prepare_cached(sql)?.execute(params![alias.as_str(), id]).map(drop)
}

fn entry_json(connection: &Connection, id: &str) -> Result<Option<String>, rusqlite::Error> {
    let sql = "SELECT entry FROM catalog_entries WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()
}

fn with_state(json: &str, state: EntryState) -> Result<String, serde_json::Error> {
    let entry: Entry = serde_json::from_str(json)?;
    serde_json::to_string(&Entry { state, ..entry })
}
