//! Connected components of a mask.

/// For every pixel of a mask the number of the 8-connected region it belongs to, from 1 in the order of their first pixels (0 outside),
/// and how many regions there are.
pub(crate) fn label(mask: &[bool], width: usize) -> (Vec<u32>, usize) {
    // Union-find over pixels, each pointing towards the lowest of its region.
    let mut parent: Vec<u32> = (0..mask.len() as u32).collect();
    for pixel in (0..mask.len()).filter(|&pixel| mask[pixel]) {
        let (x, above) = (pixel % width, pixel.wrapping_sub(width));
        let left = (x > 0).then(|| pixel - 1);
        let others = [
            (x > 0).then(|| above.wrapping_sub(1)),
            Some(above),
            (x + 1 < width).then(|| above.wrapping_add(1)),
        ];
        for near in left.into_iter().chain(others.into_iter().flatten()) {
            // Above the first row the index has wrapped around and lies outside.
            if mask.get(near).is_some_and(|&marked| marked) && near < pixel {
                let (a, b) = (root(&mut parent, pixel), root(&mut parent, near));
                parent[a.max(b)] = a.min(b) as u32;
            }
        }
    }
    let (mut labels, mut count) = (vec![0u32; mask.len()], 0);
    for pixel in (0..mask.len()).filter(|&pixel| mask[pixel]) {
        let root = root(&mut parent, pixel);
        // The root is the region's first pixel, so it has its number before any other asks for it.
        if root == pixel {
            count += 1;
            labels[pixel] = count;
        } else {
            labels[pixel] = labels[root];
        }
    }
    (labels, count as usize)
}

/// For every pixel of a mask the size of the 8-connected region it belongs to (0 outside), and the number of regions.
pub(crate) fn region_sizes(mask: &[bool], width: usize) -> (Vec<u32>, u64) {
    let (mut labels, count) = label(mask, width);
    let mut sizes = vec![0u32; count + 1];
    labels.iter().filter(|&&label| label > 0).for_each(|&label| sizes[label as usize] += 1);
    labels.iter_mut().for_each(|label| *label = sizes[*label as usize]);
    (labels, count as u64)
}

fn root(parent: &mut [u32], mut pixel: usize) -> usize {
    while parent[pixel] as usize != pixel {
        parent[pixel] = parent[parent[pixel] as usize];
        pixel = parent[pixel] as usize;
    }
    pixel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(rows: &[&str]) -> (Vec<u32>, u64) {
        let mask: Vec<bool> = rows.concat().chars().map(|pixel| pixel == '#').collect();
        region_sizes(&mask, rows[0].len())
    }

    #[test]
    fn diagonals_connect_and_edges_do_not_wrap() {
        assert_eq!(sizes(&["#..", ".#.", "..#"]), (vec![3, 0, 0, 0, 3, 0, 0, 0, 3], 1));
        assert_eq!(sizes(&["..#", "#.."]), (vec![0, 0, 1, 1, 0, 0], 2));
        assert_eq!(sizes(&["#.#", "#.#", "###"]).0, [7, 0, 7, 7, 0, 7, 7, 7, 7]);
        assert_eq!(sizes(&["...", "..."]), (vec![0; 6], 0));
    }
}
