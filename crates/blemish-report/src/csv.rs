//! Text in the cells of CSV files.

use std::borrow::Cow;

/// Text as a cell that spreadsheets show and do not compute.
///
/// Excel and others take a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula, which may run programs. As
/// OWASP advises, an apostrophe goes before it, also before apostrophes that come before such a sign, so that taking one away gives the
/// text back. Numbers are not text: they go into their cells as they are.
pub fn text_cell(text: &str) -> Cow<'_, str> {
    let rest = text.trim_start_matches('\'');
    match rest.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_text_and_other_text_stays_as_it_is() {
        for text in ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@", "＝1"] {
            assert_eq!(text_cell(text), format!("'{text}"));
        }
        for text in ["", "parts/1.png", "'tis.png", "a=b", "1-2.png", "/=x"] {
            assert_eq!(text_cell(text), text);
        }
    }
}
