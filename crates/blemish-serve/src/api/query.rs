//! What a request says beside its image.

use crate::fault::Fault;
use crate::options::Which;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};

/// How an anomaly map comes with a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MapForm {
    #[default]
    None,
    F32,
    Png,
}

/// What is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// The verdict as JSON.
    #[default]
    Json,
    /// The overlay as PNG.
    Png,
    /// The map as TIFF of floats.
    Tiff,
}

/// The query of a request to score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) map: MapForm,
    pub(super) regions: bool,
    pub(super) min_area: f64,
    pub(super) keep: Option<Which>,
}

impl Wanted {
    /// # Errors
    /// `request` for a key or a value that there is not.
    pub(super) fn of(uri: &Uri) -> Result<Self, Fault> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| {
            Fault::request(format!("the query cannot be read: {error}; write KEY=VALUE&..."))
        })?;
        let mut wanted = Self { map: MapForm::None, regions: true, min_area: 0.0, keep: None };
        for (key, value) in &pairs {
            let unknown = |allowed: &str| {
                let (key, value): (String, String) =
                    (key.chars().take(64).collect(), value.chars().take(64).collect());
                Fault::request(format!("`{key}={value}` is not known in the query; allowed: {allowed}"))
            };
            match key.as_str() {
                "map" => {
                    wanted.map = match value.as_str() {
                        "none" => MapForm::None,
                        "f32" => MapForm::F32,
                        "png" => MapForm::Png,
                        _ => return Err(unknown("map=none, map=f32, map=png")),
                    }
                }
                "regions" => {
                    wanted.regions = match value.as_str() {
                        "true" => true,
                        "false" => false,
                        _ => return Err(unknown("regions=true, regions=false")),
                    }
                }
                "min_area" => {
                    let area = value.parse().ok().filter(|area: &f64| area.is_finite() && *area >= 0.0);
                    wanted.min_area = area.ok_or_else(|| unknown("min_area=PIXELS, 0 and more"))?;
                }
                "keep" => {
                    wanted.keep = Some(match value.as_str() {
                        "never" => Which::None,
                        "flagged" => Which::Flagged,
                        "always" => Which::All,
                        _ => return Err(unknown("keep=never, keep=flagged, keep=always")),
                    })
                }
                _ => return Err(unknown("map, regions, min_area, keep")),
            }
        }
        Ok(wanted)
    }
}

/// What the caller would rather be answered with.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = accepts.flat_map(|value| value.split(','));
    let known = |kind: &str| match kind.split(';').next().unwrap_or_default().trim() {
        "image/png" => Some(Form::Png),
        "image/tiff" => Some(Form::Tiff),
        "application/json" | "application/*" | "*/*" => Some(Form::Json),
        _ => None,
    };
    kinds.filter_map(known).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_what_is_unknown_is_refused() {
        let read = |query: &str| Wanted::of(&format!("/score?{query}").parse().unwrap());
        let all = read("map=f32&regions=false&min_area=2.5&keep=always").unwrap();
        assert_eq!(all, Wanted { map: MapForm::F32, regions: false, min_area: 2.5, keep: Some(Which::All) });
        assert!(read("").is_ok() && Wanted::of(&"/score".parse().unwrap()).unwrap().regions);
        for wrong in [
            "map=jpg",
            "regions=1",
            "min_area=-1",
            "min_area=nan",
            "min_area=inf",
            "keep=yes",
            "token=x",
            "map",
        ] {
            assert_eq!(read(wrong).unwrap_err().code, "request", "{wrong}");
        }
    }

    #[test]
    fn the_first_kind_that_there_is_is_answered() {
        let of = |accept: &str| form(&[(header::ACCEPT, accept.parse().unwrap())].into_iter().collect());
        assert_eq!((of("image/png"), of("image/tiff;q=1, image/png")), (Form::Png, Form::Tiff));
        assert_eq!(
            (of("*/*"), of("text/html"), form(&HeaderMap::new())),
            (Form::Json, Form::Json, Form::Json)
        );
    }
}
