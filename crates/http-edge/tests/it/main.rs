#[cfg(test)]
mod access;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authority;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod correlation;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod running_server;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod tls;
