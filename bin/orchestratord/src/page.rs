use api_types::InvalidField;
use catalog_core::CatalogId;
use operations::OperationId;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{Schema, Type},
    },
};

use crate::query::Query;

/// Longest page of a list.
const LIMIT_MAX: usize = 500;
/// The usual page of a list.
const LIMIT_DEFAULT: usize = 50;

/// What every list route takes: `limit` and `cursor` (ORCH-010). `K` is where a list goes on: the place of
/// the last item that was shown, in the list's own order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageWish<K> {
    limit: usize,
    /// Only items behind this one are wanted.
    pub(crate) after: Option<K>,
}

/// A place in a list's order that goes through the client's hands as an opaque text.
pub(crate) trait PageKey: Sized {
    fn encode(&self) -> String;
    /// The key with this text; `None` for any text that [`Self::encode`] does not make.
    fn decode(text: &str) -> Option<Self>;
}

impl<K: PageKey> PageWish<K> {
    /// Names to let into the query.
    pub(crate) const NAMES: [&'static str; 2] = ["limit", "cursor"];

    /// Reads the page that a query asks for.
    ///
    /// # Errors
    /// `limit` out of range, or a `cursor` that no page gave.
    pub(crate) fn read(query: &Query) -> Result<Self, InvalidField> {
        let limit = query.get("limit").map_or(Some(LIMIT_DEFAULT), number);
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        let limit = limit.ok_or_else(|| InvalidField::new("limit", "allowed: 1 to 500"))?;
        let problem = || InvalidField::new("cursor", "allowed: a next_cursor as it was given");
        let cursor = query.get("cursor").map(|text| K::decode(text).ok_or_else(problem));
        Ok(Self { limit, after: cursor.transpose()? })
    }

    /// How many rows to fetch: one more than are shown, which tells whether there is a next page.
    pub(crate) fn fetch(&self) -> usize {
        self.limit + 1
    }

    /// Cuts fetched rows to the page, and tells the cursor of the next one if there is one.
    pub(crate) fn cut<T>(&self, rows: &mut Vec<T>, key: impl FnOnce(&T) -> K) -> Option<String> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        rows.last().filter(|_| has_more).map(|row| key(row).encode())
    }
}

/// Digits only: a sign is not what a client means.
fn number(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A list by a number, such as the order of admission.
impl PageKey for u64 {
    fn encode(&self) -> String {
        format!("s{self:x}")
    }

    fn decode(text: &str) -> Option<Self> {
        let key = Self::from_str_radix(text.strip_prefix('s')?, 16).ok()?;
        (key.encode() == text).then_some(key)
    }
}

/// A list by the ids of operations.
impl PageKey for OperationId {
    fn encode(&self) -> String {
        self.to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        text.parse().ok().filter(|id: &Self| id.to_string() == text)
    }
}

/// A list by the ids of models.
impl PageKey for CatalogId {
    fn encode(&self) -> String {
        self.to_string()
    }

    fn decode(text: &str) -> Option<Self> {
        text.parse().ok().filter(|id: &Self| id.to_string() == text)
    }
}

impl<K> IntoParams for PageWish<K> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(LIMIT_MAX))
            .default(Some(LIMIT_DEFAULT.into()));
        let cursor = ObjectBuilder::new().schema_type(Type::String);
        let parameter = |name: &str, schema: ObjectBuilder, about: &str| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .description(Some(about))
                .schema(Some(Schema::Object(schema.build())))
                .build()
        };
        vec![
            parameter("limit", limit, "Items on the page."),
            parameter("cursor", cursor, "`next_cursor` of the page before, as it was given."),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<PageWish<u64>, String> {
        let query = Query::read(Some(query), &PageWish::<u64>::NAMES).unwrap();
        PageWish::read(&query).map_err(|problem| problem.field)
    }

    /// Verifies: ORCH-010
    #[test]
    fn a_page_has_50_items_unless_1_to_500_are_asked_for() {
        let limit = |query: &str| read(query).map(|page| page.limit);
        assert_eq!(limit(""), Ok(50));
        assert_eq!((limit("limit=1"), limit("limit=500")), (Ok(1), Ok(500)));
        for wrong in ["0", "501", "-1", "+1", "1.0", "", "many", "99999999999999999999999"] {
            assert_eq!(limit(&format!("limit={wrong}")), Err("limit".to_owned()), "{wrong}");
        }
    }

    /// Verifies: ORCH-010
    #[test]
    fn a_cursor_is_read_back_only_as_it_was_given() {
        for key in [0, 1, 42, u64::MAX] {
            assert_eq!(u64::decode(&key.encode()), Some(key));
        }
        for wrong in ["", "s", "2a", "s2A", "s02a", "s+2a", "s10000000000000000", "S2a", "s2a "] {
            assert_eq!(u64::decode(wrong), None, "{wrong}");
            assert_eq!(read(&format!("cursor={wrong}")), Err("cursor".to_owned()), "{wrong}");
        }
    }

    /// Verifies: ORCH-010
    #[test]
    fn only_a_page_that_something_follows_has_a_next_cursor() {
        let page = read("limit=2").unwrap();
        let mut rows = vec![9, 8, 7];
        assert_eq!(page.cut(&mut rows, |row| *row), Some("s8".to_owned()));
        assert_eq!(rows, [9, 8]);
        assert_eq!(page.cut(&mut rows, |row| *row), None);
    }
}
