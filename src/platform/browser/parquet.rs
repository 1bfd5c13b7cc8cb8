//! Parquet files in the browser: decoded by a module of the page's (`web/package/src/parquet.ts`), which is loaded with the first such file, because
//! the native reader would make the first load a tenth larger.

use std::cell::RefCell;

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::{wait, words_of};
use crate::error::{Error, Result};
use crate::platform::parquet_footer::{self, damaged};
use crate::platform::{Directory, RowTaker};

/// The most bytes that a row group may take in the file: they are held at once, and their rows.
const MAX_ROW_GROUP: f64 = (256 << 20) as f64;
/// How many rows are taken over at once.
const ROWS: u32 = 256;

thread_local! {
    static LOAD: RefCell<Option<Function>> = const { RefCell::new(None) };
}

#[wasm_bindgen]
extern "C" {
    type Module;

    #[wasm_bindgen(method, catch)]
    fn open(this: &Module, footer: &Uint8Array, size: f64) -> Result<ParquetFile, JsValue>;

    type ParquetFile;

    #[wasm_bindgen(method, getter)]
    fn groups(this: &ParquetFile) -> Array;

    #[wasm_bindgen(method)]
    fn decode(this: &ParquetFile, index: u32, bytes: &Uint8Array) -> Promise;

    #[wasm_bindgen(method)]
    fn next(this: &ParquetFile, count: u32) -> Promise;
}

/// Sets how the module is loaded: a function that returns a promise of it.
pub(in crate::platform) fn read_by(load: Function) {
    LOAD.set(Some(load));
}

async fn module(shown: &str) -> Result<Module> {
    let fault = |reason: String| Error::dataset(shown, format!("the part of the page that reads Parquet files cannot be loaded: {reason}"));
    let load = LOAD.with_borrow(Clone::clone).ok_or_else(|| fault("this worker has none".into()))?;
    let promise = load.call0(&JsValue::NULL).map_err(|e| fault(words_of(&e)))?;
    wait(promise.unchecked_into()).await.map_err(|e| fault(words_of(&e)))
}

pub(in crate::platform) async fn rows(dir: &dyn Directory, name: &str, shown: &str, take: &mut RowTaker<'_>) -> Result<()> {
    let (size, footer) = parquet_footer::read(dir, name, shown).await?;
    let module = module(shown).await?;
    let file = module.open(&Uint8Array::from(footer.as_slice()), size as f64).map_err(|e| damaged(shown, &words_of(&e)))?;
    let groups = file.groups();
    let number = |group: &JsValue, field: &str| Reflect::get(group, &field.into()).ok().and_then(|n| n.as_f64()).unwrap_or(f64::NAN);
    let total: f64 = groups.iter().map(|group| number(&group, "rows")).sum();
    let mut row = 0;
    for (index, group) in groups.iter().enumerate() {
        let fault = |reason: String| damaged(shown, &format!("row group {} of {}: {reason}", index + 1, groups.length()));
        let (start, end) = (number(&group, "start"), number(&group, "end"));
        if !(0.0 <= start && start <= end && end <= size as f64) {
            return Err(fault(format!("its columns are said to end at byte {end} of {size}")));
        }
        if end - start > MAX_ROW_GROUP {
            return Err(Error::dataset(
                shown,
                "a row group of this Parquet file takes more than 256 MiB, which is too much for a page; write it with a smaller row_group_size",
            ));
        }
        let bytes = dir.read_range(name, start as u64..end as u64).await?;
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        wait::<JsValue>(file.decode(index, &Uint8Array::from(bytes.as_slice()))).await.map_err(|e| fault(words_of(&e)))?;
        drop(bytes);
        loop {
            let text: JsValue = wait(file.next(ROWS)).await.map_err(|e| fault(words_of(&e)))?;
            let records: Vec<serde_json::Value> =
                serde_json::from_str(&text.as_string().unwrap_or_default()).map_err(|e| fault(e.to_string()))?;
            if records.is_empty() {
                break;
            }
            for record in records {
                row += 1;
                if !take(row, (row as f64 / total).min(1.0), record)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
