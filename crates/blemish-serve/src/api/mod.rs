//! Our own interface: scoring, models, events, health.
//!
//! Routes and their description are one thing: a handler says its path, and the router and `/openapi.json` follow from it.

mod body;
mod events;
mod health;
mod models;
mod parts;
pub mod pictures;
mod query;
mod score;
#[cfg(test)]
mod tests;

use crate::server::Server;
pub use body::receive;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as of;

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong and where.
    error: String,
    /// Stable, in snake case, for programs.
    code: String,
    /// How to mend it.
    help: String,
}

/// Answers to several images.
#[derive(Serialize, ToSchema)]
struct Results {
    /// A verdict, or an error as in [`ErrorBody`], for each image in their order.
    #[schema(value_type = Vec<Object>)]
    results: Vec<serde_json::Value>,
}

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(of!(score::score))
        .routes(of!(score::score_batch))
        .routes(of!(score::score_only))
        .routes(of!(models::list))
        .routes(of!(models::one))
        .routes(of!(models::reload))
        .routes(of!(events::events))
        .routes(of!(health::live))
        .routes(of!(health::ready))
        .routes(of!(health::metrics))
        .routes(of!(health::openapi))
}

/// The description of all routes, as JSON.
pub(crate) fn describe(mut openapi: OpenApi) -> String {
    for (path, item) in &mut openapi.paths.paths {
        let verbs = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
        ];
        for (verb, operation) in verbs {
            // Handlers of several rooms share names such as `list`; verb and path are there once.
            if let Some(operation) = operation {
                operation.operation_id = Some(operation_id(verb, path));
            }
        }
    }
    let token = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Where the server has tokens: what an operation names is the right that the token must have. People's pages have a cookie instead."))
        .build();
    let components = openapi.components.get_or_insert_with(Default::default);
    components.add_security_scheme("token", SecurityScheme::Http(token));
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").build();
    openapi.info = InfoBuilder::new()
        .title("Blemish")
        .description(Some("Finds what does not belong in an image after seeing only good ones."))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(license))
        .build();
    openapi.to_json().unwrap_or_else(|_| "{}".into())
}

/// `post` and `/v1/models/{name}/score` -> `post_v1_models_name_score`.
fn operation_id(verb: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(verb.to_owned(), |id, word| format!("{id}_{word}"))
}
