//! Images in bodies: the file parts of a form, or the body itself.

use crate::fault::Fault;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, header};

/// Characters of a name that are kept.
const NAME: usize = 255;

/// Parts that a form may have, files or not.
const PARTS: usize = 256;

/// An image file of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The name that it came with; empty if none.
    pub(super) name: String,
    pub(super) bytes: Bytes,
}

/// Whether the body is a form with files.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
}

/// The files of a form, in their order; other fields are left out. A form of a single field is that file, whatever it calls itself.
///
/// # Errors
/// `request` for a form that does not parse, with more than `most` files or with none.
pub(super) async fn files(headers: &HeaderMap, bytes: Bytes, most: usize) -> Result<Vec<Part>, Fault> {
    let wrong = |what: &dyn std::fmt::Display| {
        Fault::request(format!(
            "the form cannot be read: {what}; send multipart/form-data with a file a part"
        ))
    };
    let mut request = Request::new(Body::from(bytes));
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    // The body was limited where it was read; what a request carries by itself would limit it to 2 MB.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| wrong(&error.body_text()))?;
    let (mut files, mut fields, mut count) = (Vec::new(), Vec::new(), 0);
    while let Some(field) = form.next_field().await.map_err(|error| wrong(&error.body_text()))? {
        count += 1;
        if count > PARTS {
            return Err(wrong(&format!("it has more than {PARTS} parts")));
        }
        let name = field.file_name().map(|name| name.chars().take(NAME).collect::<String>());
        let is_file = name.is_some() || field.content_type().is_some_and(|kind| kind.starts_with("image/"));
        let bytes = field.bytes().await.map_err(|error| wrong(&error.body_text()))?;
        let list = if is_file { &mut files } else { &mut fields };
        list.push(Part { name: name.unwrap_or_default(), bytes });
        if files.len() > most {
            return Err(match most {
                1 => Fault::request(
                    "the form has several files, and one image is scored here; POST several to .../score-batch",
                ),
                most => Fault::request(format!(
                    "the form has more than {most} files; send them in several requests"
                )),
            });
        }
    }
    if files.is_empty() && fields.len() == 1 {
        return Ok(fields);
    }
    match files.is_empty() {
        true => Err(Fault::request(
            "the form has no file; send the image as a file part, such as curl -F image=@part.png",
        )),
        false => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(parts: &[(&str, &str)]) -> (HeaderMap, Bytes) {
        let mut text = String::new();
        for (about, content) in parts {
            text += &format!("--cut\r\nContent-Disposition: form-data; {about}\r\n\r\n{content}\r\n");
        }
        text += "--cut--\r\n";
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "multipart/form-data; boundary=cut".parse().unwrap());
        (headers, text.into())
    }

    async fn names(parts: &[(&str, &str)], most: usize) -> Result<Vec<(String, Bytes)>, Fault> {
        let (headers, bytes) = form(parts);
        assert!(is_form(&headers));
        Ok(files(&headers, bytes, most).await?.into_iter().map(|part| (part.name, part.bytes)).collect())
    }

    #[tokio::test]
    async fn files_of_a_form_are_found_under_any_name() {
        let one = names(&[("name=\"note\"", "hello"), ("name=\"x\"; filename=\"a b.png\"", "1")], 1).await;
        assert_eq!(one.unwrap(), [("a b.png".to_owned(), Bytes::from("1"))]);
        let single = names(&[("name=\"image\"", "2")], 1).await.unwrap();
        assert_eq!(single, [(String::new(), Bytes::from("2"))]);
        let two = [("name=\"x\"; filename=\"a\"", "1"), ("name=\"x\"; filename=\"b\"", "2")];
        assert_eq!(names(&two, 2).await.unwrap().len(), 2);
        assert!(names(&two, 1).await.unwrap_err().help.contains("score-batch"));
        assert!(names(&[], 1).await.is_err());
        let (headers, bytes) = form(&two);
        for end in 0..bytes.len() {
            // Whatever is cut off, it is an error or fewer files, and no panic.
            let _ = files(&headers, bytes.slice(..end), 64).await;
        }
        assert!(!is_form(&HeaderMap::new()));
    }
}
