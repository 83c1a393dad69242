#[cfg(test)]
mod generation;
#[cfg(test)]
mod starter;
