//! The inspector's pages: markup by maud, a script a screen, one style sheet, all inside the program.
//!
//! ```text
//! GET /history ──> screens::history ─> shell::page ─> HTML (the same for everybody; no data in it)
//!                                        └─ /assets/history.js ─> /v1/station/... (data), /v1/events (news)
//! ```
//! Pages hold no data: scripts fetch it, so what a page shows is text and never markup. The policy forbids scripts, styles and
//! requests from anywhere else. Texts stand in `words.json`, for markup and scripts alike. Colours of maps, the palette, the marks of
//! charts and the counting at a threshold are those of the reports ([`blemish_report`]).

mod assets;
mod screens;
mod shell;
#[cfg(test)]
mod tests;
mod words;

use crate::fault::Fault;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::LazyLock;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApiBuilder, PathsBuilder, Required, ResponseBuilder, Type,
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as of;

/// Nothing from elsewhere, nothing in line; pictures also from the page's own memory.
pub const POLICY: &str = "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
                          frame-ancestors 'none'";

/// The paths of the screens, in the order of the navigation; what needs a token is fetched by the scripts, not in the pages.
pub const SCREENS: [&str; 10] = [
    "/",
    "/history",
    "/image/{id}",
    "/threshold",
    "/models",
    "/new",
    "/compare",
    "/drift",
    "/settings",
    "/login",
];

/// Pages and what they are made of. They need no rights: there is no data in them.
pub fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    let paths =
        SCREENS.into_iter().fold(PathsBuilder::new(), |paths, path| paths.path(path, described(path)));
    SCREENS
        .into_iter()
        .filter(|path| *path != "/")
        .fold(OpenApiRouter::with_openapi(OpenApiBuilder::new().paths(paths).build()), |router, path| {
            router.route(path, get(move || async move { page_at(path) }))
        })
        .route("/", get(|RawQuery(query): RawQuery| async move { page_at(line_for(query.as_deref())) }))
        .routes(of!(asset))
}

/// A screen as `/openapi.json` has it: the handlers are closures, which say nothing of themselves.
fn described(path: &str) -> PathItem {
    let text = || ObjectBuilder::new().schema_type(Type::String).build();
    let parameter = |name: &str, is_in: ParameterIn, is_required: Required, what: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(is_in)
            .required(is_required)
            .description(Some(what))
            .schema(Some(text()))
            .build()
    };
    let page = ContentBuilder::new().schema(Some(text())).build();
    let response = ResponseBuilder::new().description("The page.").content("text/html", page).build();
    let mut operation =
        OperationBuilder::new().tag("pages").summary(Some("A page for people.")).response("200", response);
    if path.contains("{id}") {
        operation = operation.parameter(parameter("id", ParameterIn::Path, Required::True, "The image."));
    }
    if path == "/" {
        let what = "`line` leaves out all but the verdict and the image.";
        operation = operation.parameter(parameter("view", ParameterIn::Query, Required::False, what));
    }
    PathItem::new(HttpMethod::Get, operation.build())
}

/// The line, or the line without anything around it for `?view=line`.
fn line_for(query: Option<&str>) -> &'static str {
    match query.is_some_and(|query| query.split('&').any(|part| part == "view=line")) {
        true => "bare",
        false => "/",
    }
}

/// The name of the screen at a path.
fn name_of(path: &str) -> &str {
    match path {
        "/" => "line",
        "/image/{id}" => "image",
        other => other.trim_start_matches('/'),
    }
}

/// The text of the page at a path.
fn text_of(path: &str) -> String {
    let name = name_of(path);
    let (script, content) = match name {
        "history" => ("history", screens::history()),
        "image" => ("image", screens::image()),
        "threshold" => ("threshold", screens::threshold()),
        "models" => ("models", screens::models()),
        "new" => ("new-page", screens::new_part(false)),
        "compare" => ("compare", screens::compare()),
        "drift" => ("drift", screens::drift()),
        "settings" => ("settings", screens::settings()),
        "login" => ("login", screens::login()),
        _ => ("line", screens::line()),
    };
    shell::page(name, script, &content)
}

fn page_at(path: &'static str) -> Response {
    static PAGES: LazyLock<Vec<(&str, String)>> =
        LazyLock::new(|| SCREENS.into_iter().chain(["bare"]).map(|path| (path, text_of(path))).collect());
    let pages: &'static Vec<(&str, String)> = &PAGES;
    match pages.iter().find(|(known, _)| *known == path) {
        Some((_, text)) => {
            let head = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::REFERRER_POLICY, "same-origin"),
                (header::CACHE_CONTROL, "no-cache"),
            ];
            (head, text.as_str()).into_response()
        }
        None => Fault::new("not_found", "there is no such page").into_response(),
    }
}

/// Gives a script, a style sheet or a picture of the pages.
#[utoipa::path(get, path = "/assets/{name}", tag = "pages", params(("name" = String, Path, description = "The file.")),
    responses((status = 200, description = "The file.", content((String = "text/javascript"), (String = "text/css"), (String = "image/svg+xml"))),
        (status = 304, description = "The file that the caller has is the same."),
        (status = 404, description = "There is no such file.", body = crate::api::ErrorBody)))]
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::answer(&name, &headers)
}
