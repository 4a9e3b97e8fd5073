/// The images of an owner.
pub fn images(owner: &str, page: u32) -> Result<Vec<Image>, AwsError> {
    let site = __cached_site_images();
    let mut buffer = ::cache::__private::KeyBuffer::new();
    let mut key = buffer.begin("images", 2);
    key.text(&owner);
    key.arg(&page);
    let terms = {
        use ::cache::__private::{
            OutcomeOfOther as _, OutcomeOfResult as _, SharingOfClone as _,
            SharingOfOther as _,
        };
        let returns = ::cache::__private::Returns::<Result<Vec<Image>, AwsError>>::new();
        ::cache::__private::Terms::new(
            returns,
            (&returns).outcome(),
            (&returns).sharing(),
            ::cache::__private::Serde,
        )
    };
    ::cache::__private::call(
        site,
        ::core::convert::AsRef::<::cache::Region>::as_ref(&LONG_TERM),
        &mut key,
        terms,
        (owner, page),
        |(owner, page)| images_uncached(owner, page),
    )
}
/// What the cache keeps of [`images`](fn@images) under these arguments: to look at, set or invalidate.
#[allow(
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::too_many_arguments,
    clippy::used_underscore_binding,
    clippy::wrong_self_convention
)]
pub fn images_entry(
    owner: &str,
    page: u32,
) -> ::cache::Entry<Result<Vec<Image>, AwsError>> {
    let site = __cached_site_images();
    let mut buffer = ::cache::__private::KeyBuffer::new();
    let mut key = buffer.begin("images", 2);
    key.text(&owner);
    key.arg(&page);
    ::cache::__private::entry(
        site,
        ::core::convert::AsRef::<::cache::Region>::as_ref(&LONG_TERM),
        &mut key,
        ::cache::__private::Serde,
    )
}
/// Runs [`images`](fn@images) anew, whatever the cache keeps, and keeps the result.
#[allow(
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::too_many_arguments,
    clippy::used_underscore_binding,
    clippy::wrong_self_convention
)]
pub fn images_refresh(owner: &str, page: u32) -> Result<Vec<Image>, AwsError> {
    let site = __cached_site_images();
    let mut buffer = ::cache::__private::KeyBuffer::new();
    let mut key = buffer.begin("images", 2);
    key.text(&owner);
    key.arg(&page);
    let terms = {
        use ::cache::__private::{
            OutcomeOfOther as _, OutcomeOfResult as _, SharingOfClone as _,
            SharingOfOther as _,
        };
        let returns = ::cache::__private::Returns::<Result<Vec<Image>, AwsError>>::new();
        ::cache::__private::Terms::new(
            returns,
            (&returns).outcome(),
            (&returns).sharing(),
            ::cache::__private::Serde,
        )
    };
    ::cache::__private::call(
        site,
        ::core::convert::AsRef::<::cache::Region>::as_ref(&LONG_TERM),
        &mut key,
        terms.force(true),
        (owner, page),
        |(owner, page)| images_uncached(owner, page),
    )
}
/// Runs [`images`](fn@images) without the cache.
#[allow(
    clippy::missing_const_for_fn,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate
)]
pub fn images_uncached(owner: &str, page: u32) -> Result<Vec<Image>, AwsError> {
    list(owner, page)
}
#[doc(hidden)]
#[inline]
fn __cached_site_images() -> &'static ::cache::__private::Site {
    static SITE: ::cache::__private::Site = ::cache::__private::Site::new(::cache::__private::SiteSpec {
        function: ::core::concat!(::core::module_path!(), "::images"),
        namespace: "images",
        arguments: &["owner", "page"],
        version: 0,
        policy: ::cache::__private::OwnPolicy {
            ttl: ::core::option::Option::Some(::core::time::Duration::new(600, 0)),
            ..::cache::__private::OwnPolicy::NONE
        },
    });
    &SITE
}
