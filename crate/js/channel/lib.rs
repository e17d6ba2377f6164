//! In the place of `crossbeam-channel`. `wasm-bindgen-rayon` takes one channel from it, which hands each thread of a pool its part when
//! the pool starts. The library's three kinds of channels and its waiting with time limits are 4 kB of each wasm file.

use std::convert::Infallible;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

#[derive(Debug)]
struct Store<T> {
    values: Mutex<Vec<T>>,
    sent: Condvar,
}

/// The side that sends.
#[derive(Debug)]
pub struct Sender<T>(Arc<Store<T>>);

/// The side that receives, on any number of threads.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Store<T>>);

/// A channel with room for so many values, which are received in any order. More may be sent, which then takes memory.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let store = Store { values: Mutex::new(Vec::with_capacity(capacity)), sent: Condvar::new() };
    let store = Arc::new(store);
    (Sender(Arc::clone(&store)), Receiver(store))
}

impl<T> Sender<T> {
    /// Sends a value.
    ///
    /// # Errors
    /// None: sender and receiver end together.
    pub fn send(&self, value: T) -> Result<(), Infallible> {
        self.0.values.lock().unwrap_or_else(PoisonError::into_inner).push(value);
        self.0.sent.notify_one();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Waits for a value and takes it.
    ///
    /// # Errors
    /// None, as for [`Sender::send`].
    pub fn recv(&self) -> Result<T, Infallible> {
        let mut values = self.0.values.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = values.pop() {
                return Ok(value);
            }
            values = self.0.sent.wait(values).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
