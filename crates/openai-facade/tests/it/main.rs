#[cfg(test)]
mod answers;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod models;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod streams;
