/// What every `apart`th of `number(0, which)` .. `number(end - 1, which)` from `first` on add up to, in runs of 32, so that no chain of additions is
/// long. The kernel says what a `Number` is, and `number(index, which)`; `which` is for it to tell matrices or columns apart.
fn sum_in_runs(first: u32, end: u32, apart: u32, which: u32) -> Number {
    var sum = Number();
    for (var run = first; run < end; run += apart * 32u) {
        var part = Number();
        for (var i = run; i < min(run + apart * 32u, end); i += apart) {
            part += number(i, which);
        }
        sum += part;
    }
    return sum;
}
