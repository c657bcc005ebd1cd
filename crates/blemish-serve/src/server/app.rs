//! The server as a service: its routes, and what is around each.

use super::{Closing, Room, Server, access};
use crate::api;
use crate::guard::guard;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use std::sync::{Arc, PoisonError};
use utoipa_axum::router::OpenApiRouter;

impl Server {
    /// All routes, with what is around each: the server as a service. What rooms do at the end is returned with it.
    pub fn app(self: &Arc<Self>, rooms: Vec<Room>) -> (Router, Vec<Closing>) {
        let mut routes: OpenApiRouter<Arc<Self>> = api::routes();
        let mut closings: Vec<Closing> = Vec::new();
        for room in rooms {
            routes = routes.merge(room.routes);
            room.listeners.into_iter().for_each(|listener| self.bus.join(listener));
            self.plugs.access.write().unwrap_or_else(PoisonError::into_inner).extend(room.access);
            // The first one counts.
            room.metrics.map(|metrics| self.plugs.metrics.set(metrics));
            room.logins.map(|logins| self.plugs.logins.set(logins));
            closings.extend(room.close);
            room.begin.into_iter().for_each(|begin| begin());
        }
        let (router, openapi) = routes.split_for_parts();
        let _ = self.plugs.openapi.set(api::describe(openapi));
        let router = router
            .fallback(access::not_found)
            .method_not_allowed_fallback(access::method_not_allowed)
            // Bodies are limited where they are read.
            .layer(DefaultBodyLimit::disable())
            .layer(from_fn_with_state(self.clone(), guard))
            .layer(tower_http::catch_panic::CatchPanicLayer::custom(access::panicked))
            .layer(from_fn_with_state(self.clone(), access::access))
            .with_state(self.clone());
        (router, closings)
    }
}
