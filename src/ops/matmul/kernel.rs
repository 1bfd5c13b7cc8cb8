//! The parameters of the kernels for processors, which are the same in all versions: how a product becomes a dispatch.

/// A forward product by one of the kernels that have its parameters: the weights' type, W with its row stride, and (x, columns of y, fours of a row of W,
/// product, y).
macro_rules! forward_kernel {
    ($kernel:ident, $type:expr, $w:expr, $with:expr, $groups:expr, { $($constant:ident: $value:expr),* $(,)? }) => {{
        let ((w, w_stride), (x, n, k4, product, y)) = ($w, $with);
        let Product { scale, bias, second, accumulate } = product;
        let params = $kernel::Params {
            m: x.rows as u32,
            n: n as u32,
            k4,
            second4: second.map_or(0, |s| s.rank.div_ceil(4) as u32),
            x_stride: x.stride4,
            w_stride,
            x2_stride: second.map_or(0, |s| s.x.stride4),
            w2_stride: second.map_or(0, |s| s.stride4),
            y_stride: y.stride4,
            x_column: x.column4,
            y_column: y.column4,
            accumulate: accumulate.into(),
        };
        let constants = $kernel::Constants { BIAS: bias.is_some(), SECOND: second.is_some(), SCALE: scale, $($constant: $value),* };
        let bindings = $kernel::Bindings {
            x: x.bind,
            w,
            bias: bias.unwrap_or(x.bind),
            x2: second.map_or(x.bind, |s| s.x.bind),
            w2: second.map_or(x.bind, |s| s.weight),
            y: y.bind,
        };
        $kernel::dispatch($type, params, constants, bindings, $groups)
    }};
}

/// An input gradient by one of the kernels that have its parameters: the weights' type, W with its row stride and its first row, and (dy, rows of W, fours of
/// a row of W, product, dx).
macro_rules! input_kernel {
    ($kernel:ident, $type:expr, $w:expr, $with:expr, $groups:expr, { $($constant:ident: $value:expr),* $(,)? }) => {{
        let ((w, w_stride, w_row), (dy, n, k4, product, dx)) = ($w, $with);
        let Product { scale, second, accumulate, .. } = product;
        let params = $kernel::Params {
            m: dy.rows as u32,
            n: n as u32,
            k4,
            second: second.map_or(0, |s| s.rank as u32),
            dy_stride: dy.stride4,
            w_stride,
            x2_stride: second.map_or(0, |s| s.x.stride4),
            w2_stride: second.map_or(0, |s| s.stride4),
            dx_stride: dx.stride4,
            dy_column: dy.column4,
            dx_column: dx.column4,
            w_row,
            accumulate: accumulate.into(),
        };
        let constants = $kernel::Constants { SECOND: second.is_some(), SCALE: scale, $($constant: $value),* };
        let bindings = $kernel::Bindings {
            dy: dy.bind,
            w,
            x2: second.map_or(dy.bind, |s| s.x.bind),
            w2: second.map_or(dy.bind, |s| s.weight),
            dx: dx.bind,
        };
        $kernel::dispatch($type, params, constants, bindings, $groups)
    }};
}

/// A weight gradient by one of the kernels that have its parameters: (dy, x, rows and columns of dW, dW, mode), and a range of the rows of dy and x.
macro_rules! weight_kernel {
    ($kernel:ident, $with:expr, $rows:expr, $groups:expr, { $($constant:ident: $value:expr),* $(,)? }) => {{
        let ((dy, x, n, k, stride4, dw, mode), (first, m)) = ($with, $rows);
        let params = $kernel::Params {
            m: m as u32,
            n: n as u32,
            k4: k.div_ceil(4) as u32,
            dy_stride: dy.stride4,
            x_stride: x.stride4,
            dw_stride: stride4,
            row: first as u32,
            dy_column: dy.column4,
            x_column: x.column4,
            columns: k as u32,
            accumulate: mode,
        };
        let bindings = $kernel::Bindings { dy: dy.bind, x: x.bind, dw };
        $kernel::dispatch(params, $kernel::Constants { $($constant: $value),* }, bindings, $groups)
    }};
}
