//! Things that lie at equal distances in some buffers, such as a weight of every layer: one dispatch can go over them.

/// The longest run that begins with the first of `places`: each is where one thing lies in every buffer that holds a part of it, and from one thing of
/// the run to the next the distance is the same in each buffer. Indices in the order of `places`, whose first numbers increase.
pub fn longest_run(places: &[Vec<u64>]) -> Vec<usize> {
    let Some(first) = places.first() else { return Vec::new() };
    let mut longest = vec![0];
    for second in &places[1..] {
        let mut next = first.clone();
        let run: Vec<usize> = (0..places.len())
            .filter(|i| {
                let fits = places[*i] == next;
                if fits {
                    for ((next, second), first) in next.iter_mut().zip(second).zip(first) {
                        *next = next.wrapping_add(second.wrapping_sub(*first));
                    }
                }
                fits
            })
            .collect();
        if run.len() > longest.len() {
            longest = run;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::longest_run;

    #[test]
    fn the_longest_run_keeps_its_distance_in_every_buffer() {
        let two = |a: u64, b: u64| vec![a, b];
        assert_eq!(longest_run(&[]), Vec::<usize>::new());
        assert_eq!(longest_run(&[vec![7]]), [0]);
        // Query and output of three layers: the queries are a run, and so are the outputs once they begin.
        assert_eq!(longest_run(&[vec![0], vec![3], vec![10], vec![13], vec![20], vec![23]]), [0, 2, 4]);
        assert_eq!(longest_run(&[two(0, 5), two(10, 6), two(20, 7), two(30, 9)]), [0, 1, 2], "the last is further on in the second buffer");
    }
}
