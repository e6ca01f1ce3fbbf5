//! Shows the place in a statement that an error is about.

use crate::error::Place;

use super::text::Statement;

/// The line with its number in the text that the statement is of, and a mark below the place:
///
/// ```text
///   3 | SELECT prise FROM market.ticks
///     |        ^
/// ```
///
/// None where the statement has no such place: an engine may count what it added itself.
pub fn excerpt(statement: &Statement, place: Place) -> Option<String> {
    let line = statement.text.split('\n').nth(place.line.checked_sub(1)?)?.trim_end();
    let before = place.column.checked_sub(1)?;
    if before > line.chars().count() {
        return None;
    }
    let number = (statement.line + place.line - 1).to_string();
    let gutter = " ".repeat(number.len());
    // A tab is as wide here as above; no other control character may move the cursor.
    let blank = |c: char| if c == '\t' { c } else { ' ' };
    let shown: String = line.chars().map(|c| if c.is_control() { blank(c) } else { c }).collect();
    let pad: String = line.chars().take(before).map(blank).collect();
    Some(format!("  {number} | {shown}\n  {gutter} | {pad}^"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> Option<String> {
        excerpt(&Statement { text: text.to_owned(), line: 9 }, Place { line, column })
    }

    #[test]
    fn the_mark_is_below_the_character() {
        assert_eq!(shown("SELECT é,\n\tx, y\r", 2, 5).as_deref(), Some("  10 | \tx, y\n     | \t   ^"));
        assert_eq!(shown("SELECT", 1, 7).as_deref(), Some("  9 | SELECT\n    |       ^"));
    }

    #[test]
    fn a_place_that_is_not_there_shows_nothing() {
        for (line, column) in [(0, 1), (1, 0), (2, 1), (1, 9)] {
            assert_eq!(shown("SELECT", line, column), None, "{line}:{column}");
        }
    }
}
