use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    registry::Registry,
};

/// The media type of a page.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Something that stands on a page.
pub trait Exposed: fmt::Debug + Send + Sync + 'static {
    /// Writes it, description first.
    ///
    /// # Errors
    /// The writer's own.
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result;
}

impl<T: Exposed> Exposed for Arc<T> {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        T::encode(self, encoder)
    }
}

/// Writes a page, in the order given.
///
/// # Errors
/// A family cannot be written as its declaration says.
pub fn write_page(families: Vec<Box<dyn Exposed>>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(families)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Page(Vec<Box<dyn Exposed>>);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}
