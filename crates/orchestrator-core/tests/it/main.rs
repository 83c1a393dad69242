#[cfg(test)]
mod admission;
#[cfg(test)]
mod back_off;
#[cfg(test)]
mod dispatch;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod eviction;
#[cfg(test)]
mod forecast;
#[cfg(test)]
mod house;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod naive_forecast;
#[cfg(test)]
mod order;
#[cfg(test)]
mod placing;
#[cfg(test)]
mod random_events;
#[cfg(test)]
mod shedding;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod task_state;
