//! A table as text, for a terminal of any width and for a pipe.

use console::{measure_text_width, pad_str};

/// Between two columns.
const GAP: &str = "  ";

/// The lines of a table whose first row is its heading.
///
/// Where a line would be longer than `width`, the first cell of each row has a line of its own; nothing is cut off. A
/// pipe has no width.
pub fn lines<const N: usize>(rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    let widths: Vec<_> = (0..N)
        .map(|column| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or_default())
        .collect();
    let whole = widths.iter().sum::<usize>() + GAP.len() * N.saturating_sub(1);
    let is_narrow = width.is_some_and(|width| width < whole);
    let line = |row: &[String], widths: &[usize]| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| pad_str(cell, *width, console::Alignment::Left, None).into_owned());
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    rows.iter()
        .flat_map(|row| {
            if is_narrow {
                vec![row[0].clone(), format!("{GAP}{}", line(&row[1..], &widths[1..]))]
            } else {
                vec![line(row, &widths)]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [[String; 3]; 3] {
        [["JOB", "NOW", "USER"], ["a-long-name", "running", ""], ["b", "", "Zoë"]]
            .map(|row| row.map(ToOwned::to_owned))
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let whole = ["JOB          NOW      USER", "a-long-name  running", "b                     Zoë"];
        assert_eq!(lines(&rows(), None), whole);
        assert_eq!(lines(&rows(), Some(26)), whole);
    }

    #[test]
    fn a_narrow_terminal_has_two_lines_for_a_row() {
        let narrow = ["JOB", "  NOW      USER", "a-long-name", "  running", "b", "           Zoë"];
        assert_eq!(lines(&rows(), Some(25)), narrow);
    }
}
