use axum::{Router, routing};
use http_edge::{
    Access, BearerToken, EdgeOptions, NamedToken, Needs, RouteNeeds, Scope, TokenSet, guard_routes,
};

use crate::running_server::{Answer, RunningServer};

const ROUTES: [RouteNeeds; 6] = [
    RouteNeeds::all("/healthz", Needs::Nothing),
    RouteNeeds::all("/any", Needs::AnyToken),
    RouteNeeds::all("/work/{id}", Needs::Scope(Scope::Client)),
    RouteNeeds::all("/node", Needs::Scope(Scope::Node)),
    RouteNeeds::all("/admin", Needs::Scope(Scope::Admin)),
    RouteNeeds {
        path: "/catalog",
        reads: Needs::Scope(Scope::Client),
        writes: Needs::Scope(Scope::Admin),
    },
];

async fn server() -> RunningServer {
    let ok = || routing::get(async || "ok").post(async || "ok");
    let router = ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, ok()));
    let router = guard_routes(router.route("/undeclared", ok()), &ROUTES);
    let token = |(name, scope): (&str, Scope)| NamedToken {
        name: name.to_owned(),
        scope,
        current: BearerToken::new(&name.repeat(32)).unwrap(),
        previous: None,
    };
    let tokens = [("c", Scope::Client), ("n", Scope::Node), ("a", Scope::Admin)].map(token);
    let tokens = TokenSet::new(tokens.into()).unwrap();
    RunningServer::start_with(router, EdgeOptions::new(Access::Tokens(tokens))).await
}

async fn ask(server: &RunningServer, request: &str, name: &str) -> Answer {
    let token = name.repeat(32);
    let head = format!("{request} HTTP/1.1\nHost: x\nAuthorization: Bearer {token}");
    server.ask(&head, "").await
}

/// Verifies: ORCH-234
#[tokio::test]
async fn each_scope_opens_its_routes_and_an_admins_opens_all() {
    let server = server().await;
    for (request, opens) in [
        ("GET /healthz", "cna"),
        ("GET /any", "cna"),
        ("GET /work/7", "ca"),
        ("POST /work/7", "ca"),
        ("GET /node", "na"),
        ("GET /admin", "a"),
        ("GET /catalog", "ca"),
        ("POST /catalog", "a"),
        ("GET /undeclared", "a"),
        ("POST /undeclared", "a"),
    ] {
        for name in ["c", "n", "a"] {
            let expected = if opens.contains(name) { 200 } else { 403 };
            let answer = ask(&server, request, name).await;
            assert_eq!(answer.status, expected, "{request} with {name}");
        }
    }
    ask(&server, "GET /admin", "c").await.assert_error(403, "POLICY_DENIED");
    // What is not there is not hidden from those who have a token; methods are, behind the scope.
    ask(&server, "GET /nowhere", "c").await.assert_error(404, "NOT_FOUND");
    ask(&server, "DELETE /admin", "a").await.assert_error(405, "METHOD_NOT_ALLOWED");
    ask(&server, "DELETE /admin", "c").await.assert_error(403, "POLICY_DENIED");
}
