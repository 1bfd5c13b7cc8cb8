//! Web Locks: at most one tab of the origin holds a lock; the browser releases it when the tab is closed or its worker is terminated.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast, JsValue};

use super::{file_error, wait};
use crate::error::{Error, Result};

#[wasm_bindgen]
extern "C" {
    /// `navigator.locks`; web-sys offers it only behind a compiler flag.
    type LockManager;

    #[wasm_bindgen(method, catch)]
    fn request(this: &LockManager, name: &str, options: &Object, callback: &Function) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn query(this: &LockManager) -> std::result::Result<Promise, JsValue>;
}

/// A lock that is held; released on drop.
pub(super) struct Held {
    release: Function,
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.release.call0(&JsValue::NULL);
    }
}

fn fault(e: &JsValue) -> Error {
    file_error("the page's locks".into(), e)
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

fn manager() -> Result<LockManager> {
    let locks = get(&get(&js_sys::global(), "navigator"), "locks");
    if locks.is_undefined() {
        return Err(Error::file("the page's locks", "this browser has none (it needs a page from https or this machine): use a newer one"));
    }
    Ok(locks.unchecked_into())
}

/// Takes a lock; `None` if it is already held.
pub(super) async fn try_hold(name: &str) -> Result<Option<Held>> {
    let options = Object::new();
    Reflect::set(&options, &"ifAvailable".into(), &true.into()).map_err(|e| fault(&e))?;
    // The browser holds the lock until the promise returned by the callback settles; the caller gets the function that resolves it.
    let mut told = None;
    let granted = Promise::new(&mut |resolve, _| told = Some(resolve));
    let Some(told) = told else { return Ok(None) }; // the constructor calls the closure synchronously
    let callback = Closure::once(move |lock: JsValue| -> JsValue {
        if lock.is_null() || lock.is_undefined() {
            let _ = told.call1(&JsValue::NULL, &JsValue::NULL);
            return JsValue::UNDEFINED;
        }
        let mut release = JsValue::NULL;
        let until = Promise::new(&mut |resolve, _| release = resolve.into());
        let _ = told.call1(&JsValue::NULL, &release);
        until.into()
    });
    let request = manager()?.request(name, &options, callback.as_ref().unchecked_ref()).map_err(|e| fault(&e))?;
    // A rejected request never calls the callback.
    let first: JsValue = wait(Promise::race(&Array::of2(&granted, &request))).await.map_err(|e| fault(&e))?;
    let Ok(release) = first.dyn_into::<Function>() else { return Ok(None) };
    Ok(Some(Held { release }))
}

/// Whether a lock is held.
pub(super) async fn is_held(name: &str) -> Result<bool> {
    let snapshot: JsValue = wait(manager()?.query().map_err(|e| fault(&e))?).await.map_err(|e| fault(&e))?;
    let held: Array = get(&snapshot, "held").unchecked_into();
    Ok(held.iter().any(|lock| get(&lock, "name").as_string().as_deref() == Some(name)))
}
