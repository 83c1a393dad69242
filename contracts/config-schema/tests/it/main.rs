#[cfg(test)]
mod defaults;
#[cfg(test)]
mod effective;
#[cfg(test)]
mod pools_and_models;
#[cfg(test)]
mod precedence;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod requirement;
#[cfg(test)]
mod reread;
#[cfg(all(test, feature = "schema"))]
mod schema;
