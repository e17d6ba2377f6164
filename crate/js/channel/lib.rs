//! In the place of `crossbeam-channel`, from which `wasm-bindgen-rayon` takes one queue that hands each thread of a pool its part when
//! the pool starts. The library's three kinds of channels and its waiting with time limits are 4 kB of each wasm file.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

#[derive(Debug)]
struct Queue<T> {
    values: Mutex<VecDeque<T>>,
    sent: Condvar,
}

/// The side that sends.
#[derive(Debug)]
pub struct Sender<T>(Arc<Queue<T>>);

/// The side that receives, on any number of threads.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Queue<T>>);

/// A queue with room for so many values. More of them may be sent, which then takes memory.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue { values: Mutex::new(VecDeque::with_capacity(capacity)), sent: Condvar::new() };
    let queue = Arc::new(queue);
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl<T> Sender<T> {
    /// Sends a value.
    ///
    /// # Errors
    /// None: sender and receiver end together.
    pub fn send(&self, value: T) -> Result<(), Infallible> {
        self.0.values.lock().unwrap_or_else(PoisonError::into_inner).push_back(value);
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
            if let Some(value) = values.pop_front() {
                return Ok(value);
            }
            values = self.0.sent.wait(values).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
