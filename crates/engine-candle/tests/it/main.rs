#[cfg(test)]
mod engine;
#[cfg(test)]
mod generation;
#[cfg(test)]
mod kernels;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod logits;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod sampler;
#[cfg(test)]
mod starter;
