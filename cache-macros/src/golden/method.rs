impl Shop {
    #[must_use]
    async fn price(&self, sku: Sku) -> Option<Price> {
        {
            let (site, region) = Self::__cached_site_price();
            let mut buffer = ::cache::__private::KeyBuffer::new();
            let mut key = buffer.begin("price", 1);
            key.arg(&sku);
            let terms = {
                use ::cache::__private::{
                    OutcomeOfOther as _, OutcomeOfResult as _, SharingOfClone as _,
                    SharingOfOther as _,
                };
                let returns = ::cache::__private::Returns::<Option<Price>>::new();
                ::cache::__private::Terms::new(
                    returns,
                    (&returns).outcome(),
                    (&returns).sharing(),
                    ::cache::__private::NearOnly,
                )
            };
            let call = ::cache::__private::call_async(
                site,
                region,
                &mut key,
                terms.when(!sku.is_draft()),
                (self, sku),
                |(this, sku)| Self::price_uncached(this, sku),
            );
            call
        }
            .await
    }
    /// What the cache keeps of [`price`](fn@Self::price) under these arguments: to look at, set or invalidate.
    #[allow(
        clippy::missing_errors_doc,
        clippy::must_use_candidate,
        clippy::too_many_arguments,
        clippy::used_underscore_binding,
        clippy::wrong_self_convention
    )]
    fn price_entry(
        sku: Sku,
    ) -> ::cache::Entry<Option<Price>, ::cache::__private::NearOnly> {
        let (site, region) = Self::__cached_site_price();
        let mut buffer = ::cache::__private::KeyBuffer::new();
        let mut key = buffer.begin("price", 1);
        key.arg(&sku);
        ::cache::__private::entry(site, region, &mut key, ::cache::__private::NearOnly)
    }
    /// Runs [`price`](fn@Self::price) anew, whatever the cache keeps, and keeps the result.
    #[allow(
        clippy::missing_errors_doc,
        clippy::must_use_candidate,
        clippy::too_many_arguments,
        clippy::used_underscore_binding,
        clippy::wrong_self_convention
    )]
    #[must_use]
    async fn price_refresh(&self, sku: Sku) -> Option<Price> {
        {
            let (site, region) = Self::__cached_site_price();
            let mut buffer = ::cache::__private::KeyBuffer::new();
            let mut key = buffer.begin("price", 1);
            key.arg(&sku);
            let terms = {
                use ::cache::__private::{
                    OutcomeOfOther as _, OutcomeOfResult as _, SharingOfClone as _,
                    SharingOfOther as _,
                };
                let returns = ::cache::__private::Returns::<Option<Price>>::new();
                ::cache::__private::Terms::new(
                    returns,
                    (&returns).outcome(),
                    (&returns).sharing(),
                    ::cache::__private::NearOnly,
                )
            };
            let call = ::cache::__private::call_async(
                site,
                region,
                &mut key,
                terms.when(!sku.is_draft()).force(true),
                (self, sku),
                |(this, sku)| Self::price_uncached(this, sku),
            );
            call
        }
            .await
    }
    /// Runs [`price`](fn@Self::price) without the cache.
    #[allow(
        clippy::missing_const_for_fn,
        clippy::missing_errors_doc,
        clippy::missing_panics_doc,
        clippy::must_use_candidate
    )]
    #[must_use]
    async fn price_uncached(&self, mut sku: Sku) -> Option<Price> {
        sku.normalize();
        self.prices.find(sku).await
    }
    #[doc(hidden)]
    #[inline]
    fn __cached_site_price() -> (
        &'static ::cache::__private::Site,
        &'static ::cache::Region,
    ) {
        static SITE: ::cache::__private::Site = ::cache::__private::Site::new(::cache::__private::SiteSpec {
            function: ::core::concat!(::core::module_path!(), "::price"),
            namespace: "price",
            arguments: &["sku"],
            version: 0,
            policy: ::cache::__private::OwnPolicy::NONE,
        });
        static REGION: ::cache::Region = ::cache::Region::named("short_term");
        (&SITE, &REGION)
    }
}
