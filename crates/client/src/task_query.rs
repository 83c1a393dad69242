use api_types::TaskState;
use reqwest::Url;

/// Which tasks to list; all where everything is left out.
#[derive(Debug, Clone, Default)]
pub struct TaskQuery {
    /// Only tasks in this state.
    pub status: Option<TaskState>,
    /// Only tasks that asked for this model, in these words.
    pub model_ref: Option<String>,
    /// Only tasks with this name of the client's own.
    pub client_ref: Option<String>,
    /// Tasks on a page, 1 to 500; the daemon's choice where left out.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl TaskQuery {
    pub(crate) fn write_to(&self, url: &mut Url) {
        let limit = self.limit.map(|limit| limit.to_string());
        let pairs = [
            ("status", self.status.map(TaskState::name)),
            ("model_ref", self.model_ref.as_deref()),
            ("client_ref", self.client_ref.as_deref()),
            ("limit", limit.as_deref()),
            ("cursor", self.cursor.as_deref()),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
    }
}
