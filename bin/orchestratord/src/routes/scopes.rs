use http_edge::{Needs, RouteNeeds, Scope};

/// What each route asks of whoever calls it (ORCH-234). A route that is not here is for admins only, and
/// a test says that it is missing.
pub(crate) const SCOPES: &[RouteNeeds] = &[
    RouteNeeds::all("/healthz", Needs::Nothing),
    RouteNeeds::all("/readyz", Needs::Nothing),
    client("/v2/openapi.json"),
    admin("/metrics"),
    client("/v2/meta/capabilities"),
    client("/v2/meta/version"),
    admin("/v2/status"),
    client("/v2/tasks"),
    client("/v2/tasks/{id}"),
    client("/v2/tasks/{id}/cancel"),
    client("/v2/tasks/{id}/events"),
    client("/v2/tasks/{id}/result"),
    reads("/v2/operations"),
    reads("/v2/operations/{id}"),
    reads("/v2/catalog/models"),
    reads("/v2/catalog/models/{id}"),
    admin("/v2/catalog/models/{id}/verify"),
    admin("/v2/catalog/models/{id}/state"),
    admin("/v2/catalog/aliases/{name}"),
    reads("/v2/catalog/availability"),
    client("/v1/models"),
    client("/v1/models/{*id}"),
    client("/v1/chat/completions"),
    client("/v1/completions"),
    client("/v1/embeddings"),
];

const fn client(path: &'static str) -> RouteNeeds {
    RouteNeeds::all(path, Needs::Scope(Scope::Client))
}

/// Clients may read, admins may change.
const fn reads(path: &'static str) -> RouteNeeds {
    let (reads, writes) = (Needs::Scope(Scope::Client), Needs::Scope(Scope::Admin));
    RouteNeeds { path, reads, writes }
}

const fn admin(path: &'static str) -> RouteNeeds {
    RouteNeeds::all(path, Needs::Scope(Scope::Admin))
}

#[cfg(test)]
mod tests {
    use super::SCOPES;

    /// Verifies: ORCH-234
    #[test]
    fn each_route_declares_what_it_needs() {
        let document = crate::routes::described().into_openapi();
        for path in document.paths.paths.keys() {
            let declared = SCOPES.iter().filter(|route| route.path == path).count();
            assert_eq!(declared, 1, "{path} stands once in routes/scopes.rs");
        }
    }
}
