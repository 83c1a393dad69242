use client::{Client, TaskQuery};

use crate::failure::Failure;

/// How many pages of tasks are searched.
const PAGES_MAX: usize = 10;
/// Tasks on a page.
const PAGE: u32 = 500;
/// Characters of a whole id.
const ID_CHARS: usize = 36;
/// How many candidates are named.
const CANDIDATES_MAX: usize = 4;

/// The id of the task that `text` means: an id, or the start or end of just one.
pub(crate) async fn task_id(client: &Client, text: &str) -> Result<String, Failure> {
    let wanted = text.to_ascii_lowercase();
    if wanted.len() == ID_CHARS {
        return Ok(wanted);
    }
    let mut candidates = Vec::new();
    let mut searched = 0;
    let mut query = TaskQuery { limit: Some(PAGE), ..TaskQuery::default() };
    for _page in 0..PAGES_MAX {
        let page = client.tasks(&query).await?;
        searched += page.items.len();
        let ids = page.items.into_iter().map(|task| task.task_id);
        candidates.extend(ids.filter(|id| id.starts_with(&wanted) || id.ends_with(&wanted)));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || candidates.len() >= CANDIDATES_MAX {
            break;
        }
    }
    match candidates.as_slice() {
        [] => Err(Failure::NoSuchTask { text: text.to_owned(), searched }),
        [_] => Ok(candidates.remove(0)),
        _ => {
            candidates.truncate(CANDIDATES_MAX);
            Err(Failure::ManyTasks { text: text.to_owned(), candidates })
        }
    }
}
