use async_trait::async_trait;
use operations::{OperationId, OperationRecord, OperationStore, StoreError};
use rusqlite::{Connection, Row, params};

use crate::SqliteStore;

/// The names of an action in errors.
const READ: &str = "read the operations";
const PUT: &str = "keep an operation";
const REMOVE: &str = "remove operations";

/// Operations are rows of JSON under their ids. A row that cannot be read is an error, never left out: it
/// may be one that runs.
#[async_trait]
impl OperationStore for SqliteStore {
    async fn load(&self) -> Result<Vec<OperationRecord>, StoreError> {
        let rows = self.read(|connection| {
            let text = |row: &Row<'_>| row.get::<_, String>(0);
            let sql = "SELECT record FROM operations ORDER BY id";
            connection.prepare_cached(sql)?.query_map([], text)?.collect::<Result<Vec<_>, _>>()
        });
        let rows = rows.await.map_err(|fault| StoreError::new(READ, fault))?;
        let records: Result<Vec<_>, _> =
            rows.iter().map(|json| serde_json::from_str(json)).collect();
        records.map_err(|error| StoreError::new(READ, error))
    }

    async fn put(&self, record: &OperationRecord) -> Result<(), StoreError> {
        let id = record.id;
        let json = serde_json::to_string(record).map_err(|error| StoreError::new(PUT, error))?;
        let written = self.run(move |connection| {
            let sql = "INSERT INTO operations (id, record) VALUES (?1, ?2) \
                       ON CONFLICT (id) DO UPDATE SET record = excluded.record";
            connection.prepare_cached(sql)?.execute(params![id.0.as_bytes(), json]).map(drop)
        });
        written.await.map_err(|fault| StoreError::new(PUT, fault))
    }

    async fn remove(&self, ids: &[OperationId]) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        let removed = self.run(move |connection| remove(connection, &ids));
        removed.await.map_err(|fault| StoreError::new(REMOVE, fault))
    }
}

fn remove(connection: &mut Connection, ids: &[OperationId]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    for id in ids {
        let sql = "DELETE FROM operations WHERE id = ?1";
        transaction.prepare_cached(sql)?.execute([id.0.as_bytes()])?;
    }
    transaction.commit()
}
