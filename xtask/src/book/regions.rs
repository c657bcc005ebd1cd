//! Parts of a page that are generated: from a line with a comment to the line `<!-- end -->`.

const END: &str = "<!-- end -->";

/// Replaces every generated part of `text`. `make` gets the words of the opening comment and gives the new part, or `None` for a comment
/// that orders nothing, which stays.
///
/// # Errors
/// What `make` says, with the number of the line; a part without an end.
pub fn fill(text: &str, make: impl Fn(&str) -> Result<Option<String>, String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        filled.push_str(line);
        filled.push('\n');
        let Some(order) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let at = |error: String| format!("line {}: {error}", number + 1);
        let Some(part) = make(order).map_err(at)? else { continue };
        if !lines.by_ref().any(|(_, line)| line == END) {
            return Err(at(format!("this part has no `{END}`")));
        }
        filled.push_str(&format!("\n{}\n\n{END}\n", part.trim_end()));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::fill;

    fn shout(order: &str) -> Result<Option<String>, String> {
        match order {
            "bad" => Err("no such table".into()),
            "note" => Ok(None),
            _ => Ok(Some(order.to_uppercase())),
        }
    }

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- x -->\nold\n<!-- end -->\n<!-- note -->\nb\n";
        let filled = fill(text, shout).unwrap();
        assert_eq!(filled, "a\n<!-- x -->\n\nX\n\n<!-- end -->\n<!-- note -->\nb\n");
        assert_eq!(fill(&filled, shout).unwrap(), filled, "filling again changes nothing");
    }

    #[test]
    fn faults_name_their_line() {
        assert_eq!(fill("a\n<!-- bad -->\n<!-- end -->\n", shout).unwrap_err(), "line 2: no such table");
        assert!(fill("<!-- x -->\nold\n", shout).unwrap_err().starts_with("line 1: this part has no"));
    }
}
