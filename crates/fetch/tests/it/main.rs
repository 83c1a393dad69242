//! Tests of downloads against a server of their own on loopback.

#[cfg(test)]
mod authorities;
#[cfg(test)]
mod flights;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod redirects;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod verification;
