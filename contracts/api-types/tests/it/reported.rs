use std::fmt::Debug;

use api_types::{
    ErrorCode, ModelState, OperationStatus, Priority, Reported, StepStatus, TaskState, Word,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

/// Each word is read as itself, is named as it is written, and a word of a newer daemon stays what it is.
fn check<T: Word + Serialize + DeserializeOwned + PartialEq + Debug>(words: &[T]) {
    for &word in words {
        let written = serde_json::to_value(word).unwrap();
        assert_eq!(written, word.name());
        let read: Reported<T> = serde_json::from_value(written.clone()).unwrap();
        assert_eq!((read.known(), read.name()), (Some(word), word.name()));
        assert_eq!(read, word);
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }
    let newer: Reported<T> = serde_json::from_value(json!("FROM_the_future")).unwrap();
    assert_eq!((newer.known(), newer.to_string().as_str()), (None, "FROM_the_future"));
    assert_eq!(serde_json::to_value(&newer).unwrap(), "FROM_the_future");
    assert!(words.iter().all(|word| newer != *word));
    assert!(serde_json::from_value::<Reported<T>>(json!(3)).is_err(), "a number is no word");
    assert!(serde_json::from_value::<T>(json!("FROM_the_future")).is_err(), "the list is closed");
}

#[test]
fn clients_read_words_that_they_do_not_know_and_the_lists_stay_closed() {
    check(&[ErrorCode::StorageFull, ErrorCode::NotFound]);
    check(&[ModelState::Active, ModelState::Retired]);
    check(&[
        OperationStatus::Running,
        OperationStatus::Succeeded,
        OperationStatus::Failed,
        OperationStatus::Canceled,
    ]);
    check(&[Priority::Interactive, Priority::Batch]);
    check(&[StepStatus::Pending, StepStatus::Running, StepStatus::Completed, StepStatus::Failed]);
    check(&[
        TaskState::Queued,
        TaskState::Preparing,
        TaskState::Running,
        TaskState::Succeeded,
        TaskState::Failed,
        TaskState::Canceled,
        TaskState::Expired,
        TaskState::Evicted,
    ]);
}
