use std::sync::Arc;

use orchestrator_core::{Identity, ModelId, TaskId};
use placement::ReplicaKey;
use uuid::Uuid;

/// What the scheduler calls the numbered things of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    models: Vec<ModelId>,
    replicas: Vec<ReplicaKey>,
    identities: Vec<Identity>,
}

impl Names {
    pub(crate) fn new(models: usize, replicas: usize, identities: usize) -> Self {
        Self {
            models: (0..models).map(|it| ModelId(format!("model-{it}").into())).collect(),
            replicas: (0..replicas)
                .map(|it| ReplicaKey::new("local", format!("pool-{it}"), "0"))
                .collect(),
            identities: (0..identities).map(|it| Identity(format!("client-{it}").into())).collect(),
        }
    }

    pub(crate) fn model(&self, number: u8) -> ModelId {
        self.models[usize::from(number)].clone()
    }

    pub(crate) fn model_number(&self, id: &ModelId) -> u8 {
        u8::try_from(place(&self.models, id)).expect("models are few")
    }

    pub(crate) fn models(&self) -> impl Iterator<Item = (u8, &ModelId)> {
        (0..).zip(&self.models)
    }

    pub(crate) fn replica(&self, number: usize) -> ReplicaKey {
        self.replicas[number].clone()
    }

    pub(crate) fn pool(&self, number: usize) -> &Arc<str> {
        &self.replicas[number].pool
    }

    pub(crate) fn replica_number(&self, id: &ReplicaKey) -> usize {
        place(&self.replicas, id)
    }

    pub(crate) fn identity(&self, number: u8) -> Identity {
        self.identities[usize::from(number)].clone()
    }
}

fn place<T: PartialEq>(names: &[T], name: &T) -> usize {
    names.iter().position(|other| other == name).expect("only names of the scenario are used")
}

/// The id of the task of this number.
pub(crate) fn task_id(number: u32) -> TaskId {
    TaskId(Uuid::from_u128(u128::from(number) + 1))
}

/// The number of the task of this id.
pub(crate) fn task_number(id: TaskId) -> u32 {
    u32::try_from(id.0.as_u128() - 1).expect("ids are made of numbers")
}
