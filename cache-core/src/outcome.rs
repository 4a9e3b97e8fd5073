//! Which part of a result is kept, and whether a failure can be shared: decided by types, chosen by the attribute.
//!
//! The attribute sees only names, and a name like `MyResult` may be anything. So it writes an *expression* that asks
//! the type: [`Returns`] offers two traits for one method, and method look-up takes the one that needs no further
//! reference, if it applies. This works in expressions only; a signature cannot name what was decided.
//!
//! It decides where the function is written, once for all types that a parameter of its `impl` block stands for. A
//! `Result` that is such a type is not seen there; [`WholeUnlessResult`] sees it when the function is called.

use std::any::Any;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

/// Splits a function's result `R` into what is kept and what is not.
pub trait Outcome<R>: Copy + Send + Sync + 'static {
    /// What is kept.
    type Value;
    /// What is not kept.
    type Failure;

    /// The value to keep, or the failure.
    fn split(result: R) -> Result<Self::Value, Self::Failure>;
    /// The function's result for a value.
    fn succeed(value: Self::Value) -> R;
    /// The function's result for a failure.
    fn fail(failure: Self::Failure) -> R;

    /// Whether it was decided for another kind of type than `R` turned out to be: then nothing is kept.
    #[inline]
    fn is_mistaken() -> bool {
        false
    }
}

/// Keeps the `Ok` of a `Result`.
#[derive(Debug, Clone, Copy)]
pub struct OkOnly;

impl<T, E> Outcome<Result<T, E>> for OkOnly {
    type Value = T;
    type Failure = E;

    #[inline]
    fn split(result: Result<T, E>) -> Result<T, E> {
        result
    }

    #[inline]
    fn succeed(value: T) -> Result<T, E> {
        Ok(value)
    }

    #[inline]
    fn fail(failure: E) -> Result<T, E> {
        Err(failure)
    }
}

/// Keeps the whole result.
#[derive(Debug, Clone, Copy)]
pub struct Whole;

impl<R> Outcome<R> for Whole {
    type Value = R;
    type Failure = Infallible;

    #[inline]
    fn split(result: R) -> Result<R, Infallible> {
        Ok(result)
    }

    #[inline]
    fn succeed(value: R) -> R {
        value
    }

    fn fail(failure: Infallible) -> R {
        match failure {}
    }
}

/// Keeps the whole result of a function whose signature shows no `Result`, unless its type turns out to be one: then
/// nothing is kept, for an `Err` would be.
#[derive(Debug, Clone, Copy)]
pub struct WholeUnlessResult;

impl<R> Outcome<R> for WholeUnlessResult {
    type Value = R;
    type Failure = Infallible;

    #[inline]
    fn split(result: R) -> Result<R, Infallible> {
        Whole::split(result)
    }

    #[inline]
    fn succeed(value: R) -> R {
        <Whole as Outcome<R>>::succeed(value)
    }

    fn fail(failure: Infallible) -> R {
        Whole::fail(failure)
    }

    /// A generic body can ask for its type's name, but not whether it is a `Result`. Names are made for people, and may
    /// change with the compiler: a test holds this one.
    #[inline]
    fn is_mistaken() -> bool {
        std::any::type_name::<R>().starts_with("core::result::Result<")
    }
}

/// A failure in a form that any thread may hold.
pub type SharedFailure = Arc<dyn Any + Send + Sync>;

/// Whether, and how, one failure is given to everybody who waited for the load.
pub trait Sharing<E>: Copy + Send + Sync + 'static {
    /// The failure for others to hold, if it can be shared.
    fn share(&self, failure: &E) -> Option<SharedFailure>;
    /// One's own copy of a shared failure; `None` if it is of another type.
    fn copy(&self, shared: &SharedFailure) -> Option<E>;
}

/// Failures are cloned.
#[derive(Debug, Clone, Copy)]
pub struct Shared;

impl<E: Clone + Send + Sync + 'static> Sharing<E> for Shared {
    fn share(&self, failure: &E) -> Option<SharedFailure> {
        Some(Arc::new(failure.clone()))
    }

    fn copy(&self, shared: &SharedFailure) -> Option<E> {
        shared.downcast_ref().cloned()
    }
}

/// Failures stay with the caller who met them.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl<E> Sharing<E> for Alone {
    fn share(&self, _failure: &E) -> Option<SharedFailure> {
        None
    }

    fn copy(&self, _shared: &SharedFailure) -> Option<E> {
        None
    }
}

/// Failures are copied by a function, for those that are not `Clone`.
#[derive(Debug)]
pub struct SharedBy<E>(pub fn(&E) -> E);

impl<E> Clone for SharedBy<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for SharedBy<E> {}

impl<E: Send + Sync + 'static> Sharing<E> for SharedBy<E> {
    fn share(&self, failure: &E) -> Option<SharedFailure> {
        Some(Arc::new((self.0)(failure)))
    }

    fn copy(&self, shared: &SharedFailure) -> Option<E> {
        shared.downcast_ref().map(self.0)
    }
}

/// Stands for the result type of a function, to be asked about.
#[derive(Debug)]
pub struct Returns<R>(PhantomData<fn() -> R>);

impl<R> Returns<R> {
    /// The result type `R`.
    #[expect(clippy::new_without_default, reason = "written by the attribute only")]
    pub const fn new() -> Self {
        Returns(PhantomData)
    }
}

impl<R> Clone for Returns<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Returns<R> {}

/// `(&Returns::<R>::new()).outcome()` where `R` is a `Result`.
pub trait OutcomeOfResult {
    /// [`OkOnly`].
    fn outcome(&self) -> OkOnly {
        OkOnly
    }
}

impl<T, E> OutcomeOfResult for Returns<Result<T, E>> {}

/// `(&Returns::<R>::new()).outcome()` where `R` is anything else.
pub trait OutcomeOfOther {
    /// [`WholeUnlessResult`].
    fn outcome(&self) -> WholeUnlessResult {
        WholeUnlessResult
    }
}

impl<R> OutcomeOfOther for &Returns<R> {}

/// `(&Returns::<R>::new()).sharing()` where the error can be cloned and sent.
pub trait SharingOfClone {
    /// [`Shared`].
    fn sharing(&self) -> Shared {
        Shared
    }
}

impl<T, E: Clone + Send + Sync + 'static> SharingOfClone for Returns<Result<T, E>> {}

/// `(&Returns::<R>::new()).sharing()` where it cannot, or there is none.
pub trait SharingOfOther {
    /// [`Alone`].
    fn sharing(&self) -> Alone {
        Alone
    }
}

impl<R> SharingOfOther for &Returns<R> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::any::type_name_of_val;
    use std::rc::Rc;

    macro_rules! decided {
        ($type:ty) => {{
            let returns = Returns::<$type>::new();
            let (outcome, sharing) = ((&returns).outcome(), (&returns).sharing());
            let last = |name: &'static str| name.rsplit("::").next().unwrap_or_default();
            (last(type_name_of_val(&outcome)), last(type_name_of_val(&sharing)))
        }};
    }

    type Alias<T> = Result<T, std::num::ParseIntError>;
    type AliasOfAlias = Alias<String>;
    trait Port {
        type Out;
    }
    struct Web;
    impl Port for Web {
        type Out = Result<u8, String>;
    }

    #[test]
    fn a_result_is_seen_under_any_name() {
        assert_eq!(decided!(Result<u8, String>), ("OkOnly", "Shared"));
        assert_eq!(decided!(AliasOfAlias), ("OkOnly", "Shared"));
        assert_eq!(decided!(<Web as Port>::Out), ("OkOnly", "Shared"));
        assert_eq!(decided!(std::io::Result<u8>), ("OkOnly", "Alone"));
        assert_eq!(decided!(Result<u8, Arc<std::io::Error>>), ("OkOnly", "Shared"));
        assert_eq!(decided!(Result<u8, Rc<str>>), ("OkOnly", "Alone"));
        assert_eq!(decided!(Option<u8>), ("WholeUnlessResult", "Alone"));
        assert_eq!(decided!(u8), ("WholeUnlessResult", "Alone"));
    }

    #[test]
    fn a_result_behind_a_parameter_is_seen_by_its_name() {
        fn mistaken<R>() -> bool {
            fn of<R, O: Outcome<R>>(_: O) -> bool {
                O::is_mistaken()
            }
            let returns = Returns::<R>::new();
            of::<R, _>((&returns).outcome())
        }
        assert!(mistaken::<Result<u8, String>>() && mistaken::<AliasOfAlias>() && mistaken::<std::io::Result<()>>());
        assert!(!mistaken::<u8>() && !mistaken::<Option<Result<u8, String>>>() && !mistaken::<&Result<u8, String>>());
        assert!(!<Whole as Outcome<Result<u8, String>>>::is_mistaken(), "it was asked for");
    }

    #[test]
    fn a_failure_is_shared_by_the_path_that_was_given() {
        fn copy(error: &std::io::Error) -> std::io::Error {
            std::io::Error::new(error.kind(), error.to_string())
        }
        let sharing = SharedBy(copy as fn(&std::io::Error) -> std::io::Error);
        let shared = sharing.share(&std::io::Error::other("full")).expect("it can be shared");
        assert_eq!(sharing.copy(&shared).map(|error| error.to_string()), Some("full".to_owned()));
        assert!(Sharing::<std::io::Error>::share(&Alone, &std::io::Error::other("x")).is_none());
    }
}
