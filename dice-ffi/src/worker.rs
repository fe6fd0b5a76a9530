//! A thread of the library's own.
//!
//! The standard library's threads end the process if there is no memory for their handle. These are the system's, which say so.

#[cfg(unix)]
pub(crate) use posix::Worker;
#[cfg(not(unix))]
pub(crate) use standard::Worker;

#[cfg(unix)]
mod posix {
    use std::ffi::c_void;
    use std::mem::MaybeUninit;
    use std::ptr;

    /// As much as the standard library gives a thread: a claimant takes a fraction, and the address space may be limited.
    const STACK: usize = 2 << 20;

    /// A thread that was started and not yet waited for.
    pub(crate) struct Worker(libc::pthread_t);

    // SAFETY: the number of a thread, which any other may wait for.
    unsafe impl Send for Worker {}

    impl Worker {
        /// A thread that does `work`, which must not panic; none if the system has no more.
        pub(crate) fn start<F: FnOnce() + Send + 'static>(work: F) -> Option<Self> {
            let work = Box::into_raw(Box::new(work));
            let (mut attributes, mut thread) = (MaybeUninit::uninit(), MaybeUninit::uninit());
            // SAFETY: fills the attributes.
            let mut error = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
            if error == 0 {
                // SAFETY: attributes that were filled, and a size that every system allows.
                unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) };
                // SAFETY: `run` takes what `work` points to, once.
                error = unsafe {
                    libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run::<F>, work.cast::<c_void>())
                };
                // SAFETY: attributes that were filled.
                unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
            }
            if error != 0 {
                // SAFETY: no thread has begun, so nobody else takes it.
                drop(unsafe { Box::from_raw(work) });
                return None;
            }
            // SAFETY: the thread was started, and its number written.
            Some(Self(unsafe { thread.assume_init() }))
        }

        /// Waits until it has ended.
        pub(crate) fn join(self) {
            // SAFETY: a thread that nobody else has waited for.
            unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
        }
    }

    /// Names this thread.
    #[cfg(target_os = "linux")]
    fn name_thread() {
        // SAFETY: always succeeds.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: this thread, and a name of less than 16 bytes.
        unsafe { libc::pthread_setname_np(this, c"dice".as_ptr()) };
    }

    extern "C" fn run<F: FnOnce()>(work: *mut c_void) -> *mut c_void {
        // SAFETY: made by `start` for this thread alone.
        let work = unsafe { Box::from_raw(work.cast::<F>()) };
        #[cfg(target_os = "linux")]
        name_thread();
        work();
        ptr::null_mut()
    }
}

#[cfg(not(unix))]
mod standard {
    use std::thread::{Builder, JoinHandle};

    /// A thread that was started and not yet waited for.
    pub(crate) struct Worker(JoinHandle<()>);

    impl Worker {
        /// A thread that does `work`, which must not panic; none if the system has no more.
        pub(crate) fn start<F: FnOnce() + Send + 'static>(work: F) -> Option<Self> {
            Builder::new().name("dice".into()).spawn(work).ok().map(Self)
        }

        /// Waits until it has ended.
        pub(crate) fn join(self) {
            // It has ended in any case.
            let _ = self.0.join();
        }
    }
}
