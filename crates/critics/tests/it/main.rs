//! Tests of the critics through their public API.

#[cfg(test)]
mod keywords;
#[cfg(test)]
mod personal_data;
#[cfg(test)]
mod regexes;
