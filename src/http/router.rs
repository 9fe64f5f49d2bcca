//! Which URL is whose, and the layers around all of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use super::problem::Problem;
use super::{
    HttpConfig, Keys, api, assets, cors, layer, limits, links, problem, session, sse, thumbnails, whep, whip,
};
use crate::control::Control;
use crate::picture::Maker;

/// What every handler can reach.
#[derive(Clone)]
pub(super) struct App {
    pub control: Control,
    pub config: Arc<HttpConfig>,
    /// One value per ICE server, ready for the `Link` header.
    pub ice_links: Arc<[axum::http::HeaderValue]>,
    pub thumbnails: thumbnails::Thumbnails,
    event_streams: Arc<Semaphore>,
}

impl App {
    pub fn keys(&self) -> Arc<Keys> {
        self.config.keys.load()
    }

    /// A place for one more stream of events; `503` while there is none.
    pub fn event_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.event_streams.clone().try_acquire_owned().map_err(|_| {
            let detail = "as many event streams are open as this server allows";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(10))
        })
    }
}

/// The whole HTTP side as one service. The client's address is read from
/// [`ConnectInfo`](axum::extract::ConnectInfo), which [`serve`](super::serve()) provides.
pub fn router(control: Control, config: HttpConfig) -> Router {
    let limiter = Arc::new(limits::Limiter::new(&config));
    let origins = Arc::new(cors::Origins::new(&config.cors_origins));
    let ice_links = links::header_values(&config.ice_servers);
    let maker = Maker::new(config.decoder.clone());
    let app = App {
        thumbnails: thumbnails::Thumbnails::new(control.clone(), maker),
        control,
        config: Arc::new(config),
        ice_links,
        event_streams: Arc::new(Semaphore::new(sse::MAX_STREAMS)),
    };

    let mut routes = api::routes(Router::new());
    routes = both(routes, "/whip", whip::unnamed());
    routes = both(routes, "/whip/{stream}", whip::named());
    routes = both(routes, "/whip/{stream}/{token}", whip::named());
    routes = both(routes, "/whep/{stream}", whep::named());
    routes = both(routes, "/whep/{stream}/{token}", whep::named());
    routes = both(routes, "/session/{id}", session::resource());
    routes = both(routes, "/session/{id}/layer", layer::resource());
    routes = both(routes, "/session/{id}/sse", sse::resource());
    routes = both(routes, "/session/{id}/sse/{subscription}", sse::subscription());

    routes
        .with_state(app)
        .merge(assets::router())
        .fallback(assets::not_found)
        .layer(from_fn(limits::whole_body))
        .layer(from_fn_with_state(limiter, limits::per_address))
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(from_fn(problem::fill))
        .layer(from_fn_with_state(origins, cors::apply))
}

/// The path with and without a trailing slash. Not a redirect: clients do not follow one with a POST.
pub(super) fn both(routes: Router<App>, path: &str, methods: MethodRouter<App>) -> Router<App> {
    routes
        .route(path, methods.clone())
        .route(&format!("{path}/"), methods)
}
