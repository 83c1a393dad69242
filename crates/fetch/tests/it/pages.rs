use fetch::FetchError;

use crate::server::{TestServer, redirect, text};

#[tokio::test]
async fn a_page_knows_where_it_came_from_and_what_it_is() {
    let server = TestServer::start(|asked| match asked.path.as_str() {
        "/old/" => redirect("/new/"),
        _ => {
            assert_eq!(asked.header("accept"), Some("text/html"));
            let mut page = text(200, "<a>");
            let value = "Text/HTML; charset=utf-8".parse().unwrap();
            page.headers_mut().insert("content-type", value);
            page
        }
    })
    .await;
    let page = server.fetcher().page(&server.at("old/"), "text/html", None, 100).await.unwrap();
    assert_eq!(page.url, server.at("new/"));
    assert_eq!(page.content_type.as_deref(), Some("text/html"));
    assert_eq!(page.body, "<a>");
}

#[tokio::test]
async fn a_page_over_the_limit_is_refused() {
    let server = TestServer::start(|_| text(200, &"x".repeat(101))).await;
    let refused = server.fetcher().page(&server.at("page"), "text/html", None, 100).await;
    assert!(matches!(refused, Err(FetchError::TooLarge { limit_bytes: 100, .. })));
    let absent = TestServer::start(|_| text(404, "")).await;
    let status = absent.fetcher().page(&absent.at("page"), "text/html", None, 100).await;
    assert!(matches!(status, Err(FetchError::Status { status: 404, .. })));
}
