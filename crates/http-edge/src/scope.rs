use std::{collections::HashMap, sync::Arc};

use api_types::ErrorCode;
use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::Method;

use crate::{Problem, RequestContext};

/// What a token opens (ORCH-234).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Work: tasks and what belongs to them, and reading what there is to use.
    Client,
    /// Everything.
    Admin,
    /// What pool managers ask for.
    Node,
}

/// What a route asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even a token. The edge lets nobody without a token as far as the routes but to its few
    /// open paths.
    Nothing,
    /// Any valid token.
    AnyToken,
    /// A token of this scope, or an admin's.
    Scope(Scope),
}

impl Needs {
    fn are_met_by(self, scope: Option<Scope>) -> bool {
        match self {
            Self::Nothing => true,
            Self::AnyToken => scope.is_some(),
            Self::Scope(needed) => {
                scope.is_some_and(|scope| scope == needed || scope == Scope::Admin)
            }
        }
    }
}

/// What the methods of one path ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteNeeds {
    /// The path as the router has it, such as `/v2/tasks/{id}`.
    pub path: &'static str,
    /// For GET and HEAD.
    pub reads: Needs,
    /// For all other methods.
    pub writes: Needs,
}

impl RouteNeeds {
    /// The same for all methods.
    #[must_use]
    pub const fn all(path: &'static str, needs: Needs) -> Self {
        Self { path, reads: needs, writes: needs }
    }

    fn of(&self, method: &Method) -> Needs {
        if matches!(*method, Method::GET | Method::HEAD) { self.reads } else { self.writes }
    }
}

/// The router with each route behind what `declared` says it needs; a narrower token is 403 `POLICY_DENIED`.
/// Routes that are not declared are for admins only. To be called once all routes are there.
pub fn guard_routes(router: Router, declared: &[RouteNeeds]) -> Router {
    let by_path: HashMap<&'static str, RouteNeeds> =
        declared.iter().map(|route| (route.path, *route)).collect();
    let by_path = Arc::new(by_path);
    router.route_layer(middleware::from_fn(move |request: Request, next: Next| {
        let by_path = Arc::clone(&by_path);
        async move { judge(&by_path, request, next).await }
    }))
}

async fn judge(
    by_path: &HashMap<&'static str, RouteNeeds>,
    request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    let path = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let declared = path.and_then(|path| by_path.get(path));
    let needs = declared.map_or(Needs::Scope(Scope::Admin), |route| route.of(request.method()));
    let scope = extensions.get::<RequestContext>().and_then(|context| context.identity.scope());
    if needs.are_met_by(scope) {
        return next.run(request).await;
    }
    let message = "the token's scope does not open this route; use one with scope `admin`, or the scope \
                   that the route is for";
    let mut answer = Problem::new(ErrorCode::PolicyDenied, message).into_response();
    answer.extensions_mut().insert(ScopeRefused);
    answer
}

/// Marks the answer to a token that was too narrow, for the audit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScopeRefused;
