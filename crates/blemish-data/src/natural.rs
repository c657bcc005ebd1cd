//! The order in which people number files: `frame2` before `frame10`.

use std::cmp::Ordering;

/// Compares names by their bytes, but runs of digits by their value; of equal values the one with fewer zeros before comes first.
pub(crate) fn natural_order(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one.as_bytes(), other.as_bytes());
    loop {
        let (first, second) = (digits(left), digits(right));
        if first > 0 && second > 0 {
            let order = by_value(&left[..first], &right[..second]);
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (&left[first..], &right[second..]);
            continue;
        }
        match (left.split_first(), right.split_first()) {
            (Some((a, rest)), Some((b, other))) if a == b => (left, right) = (rest, other),
            (Some((a, _)), Some((b, _))) => return a.cmp(b),
            // Equal but for zeros before numbers, or one is the other's beginning.
            _ => {
                return left
                    .len()
                    .cmp(&right.len())
                    .then_with(|| one.len().cmp(&other.len()))
                    .then_with(|| one.cmp(other));
            }
        }
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn by_value(one: &[u8], other: &[u8]) -> Ordering {
    let trim = |digits: &[u8]| digits.iter().take_while(|digit| **digit == b'0').count();
    let (one, other) = (&one[trim(one)..], &other[trim(other)..]);
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::natural_order;
    use std::cmp::Ordering;

    #[test]
    fn numbers_in_names_are_compared_by_value() {
        let sorted = [
            "a",
            "a1b10",
            "a2",
            "a2b",
            "a02b",
            "a10",
            "a99999999999999999999998",
            "a99999999999999999999999",
            "b",
        ];
        for (place, one) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                assert_eq!(natural_order(one, other), place.cmp(&other_place), "{one} {other}");
            }
        }
        assert_eq!(natural_order("x07", "x07"), Ordering::Equal);
    }
}
