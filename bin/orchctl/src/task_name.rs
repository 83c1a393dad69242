use client::{Client, TaskQuery};

use crate::{failure::Failure, part_of_id::PartOfId};

/// How many pages of tasks are searched.
const PAGES_MAX: usize = 10;
/// Tasks on a page.
const PAGE: u32 = 500;

/// The id of the task that `text` means: an id, or the start or end of just one.
pub(crate) async fn task_id(client: &Client, text: &str) -> Result<String, Failure> {
    let mut search = PartOfId::new(text);
    if let Some(id) = search.whole() {
        return Ok(id.to_owned());
    }
    let mut query = TaskQuery { limit: Some(PAGE), ..TaskQuery::default() };
    for _page in 0..PAGES_MAX {
        let page = client.tasks(&query).await?;
        let is_enough = search.look(page.items.into_iter().map(|task| task.task_id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || is_enough {
            break;
        }
    }
    search.found("task")
}
