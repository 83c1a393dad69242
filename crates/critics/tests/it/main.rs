//! Tests of the critics through their public API.

#[cfg(test)]
mod finding;
#[cfg(feature = "http")]
#[cfg(test)]
mod http_critics;
#[cfg(feature = "http")]
#[cfg(test)]
mod http_server;
#[cfg(feature = "json-schema")]
#[cfg(test)]
mod json;
#[cfg(feature = "http")]
#[cfg(test)]
mod judges;
#[cfg(test)]
mod keywords;
#[cfg(feature = "config")]
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod lengths;
#[cfg(feature = "http")]
#[cfg(test)]
mod llama_cpp;
#[cfg(test)]
mod patterns;
#[cfg(test)]
mod personal_data;
#[cfg(test)]
mod redaction;
#[cfg(test)]
mod regexes;
#[cfg(test)]
mod simple;
