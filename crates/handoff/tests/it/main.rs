//! Tests of handoff: its decisions with made-up looks, and the watcher with real folders, processes and
//! sockets.

#[cfg(test)]
mod bindings;
#[cfg(test)]
mod folders;
#[cfg(test)]
mod house;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod processes;
