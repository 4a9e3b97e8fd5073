impl Shop {
    async fn price(&self, __arg0: Sku) -> Result<Price, Error<'_>> {
        {
            let site = {
                static SITE: ::cache::__private::Site = ::cache::__private::Site::new(::cache::__private::SiteSpec {
                    function: ::core::concat!(::core::module_path!(), "::price"),
                    namespace: "price",
                    arguments: &[::core::stringify!(self.shop), "id"],
                    version: 0,
                    policy: ::cache::__private::OwnPolicy::NONE,
                });
                &SITE
            };
            #[allow(unused_variables)]
            let Sku(id) = &__arg0;
            let mut buffer = ::cache::__private::KeyBuffer::new();
            let mut key = buffer.begin("price", 2);
            key.arg(&self.shop);
            key.arg(&id);
            let terms = {
                use ::cache::__private::{OutcomeOfOther as _, OutcomeOfResult as _};
                let returns = ::cache::__private::Returns::<
                    Result<Price, Error<'_>>,
                >::new();
                ::cache::__private::Terms::new(
                    returns,
                    (&returns).outcome(),
                    ::cache::__private::Alone,
                    ::cache::__private::Serde,
                )
            };
            let call = ::cache::__private::call_async(
                site,
                ::core::convert::AsRef::<::cache::Region>::as_ref(&self.cache),
                &mut key,
                terms.cache_if(Price::is_final),
                (__arg0,),
                async move |(Sku(id),)| -> Result<Price, Error<'_>> {
                    self.prices.find(id).await
                },
            );
            call
        }
            .await
    }
}
